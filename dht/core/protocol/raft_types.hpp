// Terms, entries and configurations of Raft (Ongaro, "Consensus: Bridging Theory and Practice", 2014).
//
// Threads: none. Errors: corrupt, from decoding.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "dht/base/bytes.hpp"
#include "dht/base/error.hpp"
#include "dht/base/position.hpp"
#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"

namespace ringfs::dht {

using Term = std::uint64_t;
using LogIndex = std::uint64_t;  // the first entry has index 1; 0 is "before the log"

// A replica is (node, index of the configuration entry that added it): a node that was removed and added again is
// another replica, so that late messages of its former life do not count (docs/design.md#replica-identity). Genesis
// adds at index 0.
struct ReplicaId {
  Uuid node;
  LogIndex added = 0;
  friend auto operator<=>(const ReplicaId&, const ReplicaId&) = default;
};

// The members of a group. While joint, a majority of both halves decides (dissertation, section 4.3).
struct Configuration {
  std::vector<ReplicaId> voters;      // of the new half when joint
  std::vector<ReplicaId> old_voters;  // non-empty: joint
  std::vector<ReplicaId> learners;
  friend bool operator==(const Configuration&, const Configuration&) = default;
};
std::string encode(const Configuration& configuration);
Result<Configuration> decode_configuration(std::string_view bytes);

enum class EntryKind : std::uint8_t { no_op = 1, configuration = 2, batch = 3 };

struct Entry {
  LogIndex index = 0;
  Term term = 0;
  Stamp stamp;  // the log's time (log_clock.hpp), never going back within a log
  EntryKind kind = EntryKind::no_op;
  SharedBytes head;                // batch: EncodedBatch::head; configuration: encode(Configuration); no-op: empty
  std::vector<SharedBytes> blobs;  // batch: EncodedBatch::blobs

  std::size_t bytes() const;  // what it counts for in queues and caches: head + blobs + 64
};

// What is kept in memory of each entry of the log whose body may be on disk only.
struct EntryInfo {
  LogIndex index = 0;
  Term term = 0;
  std::uint32_t bytes = 0;
};

}  // namespace ringfs::dht
