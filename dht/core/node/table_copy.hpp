// How this node's copy of the members table stays new (docs/design.md#members-table): a replica of the table's
// partition reads its own rows, every other node asks a peer whose copy is newer.
//
// Threads: none. Errors: rows or a reply that do not make a table are told and tried again. Limits: one read and one
// request at a time.
#pragma once

#include <functional>
#include <vector>

#include "dht/core/node/groups.hpp"
#include "dht/core/node/known_ring.hpp"
#include "dht/core/node/peer_identities.hpp"

namespace ringfs::dht {

inline constexpr Duration table_fetch_timeout = std::chrono::seconds(1);
inline constexpr Duration table_read_retry = std::chrono::seconds(1);

class TableCopy {
 public:
  // `adopt` gets every copy that was learned, and where it is from.
  using Adopt = std::function<void(MembersTable, const char* from)>;
  TableCopy(GroupServices& services, const KnownRing& ring, Groups& groups, PeerIdentities& identities, Adopt adopt)
      : services_(services), ring_(ring), groups_(groups), identities_(identities), adopt_(std::move(adopt)) {}

  void on(const Uuid& source, const TableRequest& message);
  void on(const Uuid& source, const TableReply& message);
  void learned(MembersTable table, const char* from) { adopt_(std::move(table), from); }
  // A peer says that its copy has this version.
  void heard_version(const Uuid& source, std::uint64_t version);
  // The group may have changed the table's rows.
  void follow(Group& group);

  bool reads(EffectId id) const { return id == read_; }
  void read_done(Result<ReadAnswer> answer);
  void tick();
  TimePoint deadline() const { return read_at_; }

 private:
  TimePoint now() const { return services_.clock.now; }
  void read();
  void give_up(const Error& error);

  GroupServices& services_;
  const KnownRing& ring_;
  Groups& groups_;
  PeerIdentities& identities_;
  const Adopt adopt_;
  TimePoint fetch_until_ = TimePoint::min();
  EffectId read_ = 0;      // under way
  std::vector<Row> rows_;  // pages so far
  bool read_again_ = false;
  TimePoint read_at_ = never;
};

}  // namespace ringfs::dht
