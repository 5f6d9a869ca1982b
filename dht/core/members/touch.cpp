// Looking for the rows of the members table in a batch.
#include "dht/core/members/touch.hpp"

#include <algorithm>

#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

bool touches_members_table(const Batch& batch) {
  return std::any_of(batch.mutations.begin(), batch.mutations.end(), [](const Mutation& mutation) {
    // A resolve applies a part that was prepared earlier: it may be anything.
    return mutation.kind == Mutation::Kind::resolve || mutation.row.key == members_key;
  });
}

bool touches_members_table(const Entry& entry) {
  Result<Batch> batch = decode_batch(entry.head, entry.blobs);
  return batch && touches_members_table(*batch);  // what does not decode changes nothing
}

}  // namespace ringfs::dht
