// What the leader of the table's partition makes of the nodes' reports: who is up, who is gone, who is dead
// (docs/design.md#members-table).
//
//   joining -> up        It holds all that the placement gives it.
//   leaving -> removed   No committed configuration names it.
//   up, joining -> dead  A majority of the other nodes has not heard it for replace_after. Never more than a third of
//                        the nodes, and only if enough nodes are left to take its place.
//   dead -> joining      It reports again.
//
// A report counts for the table version under which it was made, and for report_life. Threads: none.
// Limits: one report per member. It only decides; whoever holds it commits the changes.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "dht/base/time.hpp"
#include "dht/core/protocol/members_table.hpp"
#include "dht/core/protocol/messages.hpp"

namespace ringfs::dht {

inline constexpr Duration report_interval = std::chrono::seconds(1);
inline constexpr Duration report_life = 3 * report_interval;

class MembersKeeper {
 public:
  void report(const Uuid& node, std::uint64_t table_version, const NodeReport& report, TimePoint now);
  void clear() { reports_.clear(); }

  // Rows that should change now; mostly none.
  std::vector<Member> wanted_changes(const MembersTable& table, std::size_t partitions, TimePoint now);

 private:
  struct Report {
    std::uint64_t table_version = 0;
    TimePoint received{};
    NodeReport content;
  };

  bool covers_all(std::size_t partitions) const;
  bool unsettled(const Uuid& member) const;
  std::optional<Member> dead_member(const MembersTable& table) const;
  bool silent_for_most(const MembersTable& table, const Uuid& member) const;

  std::map<Uuid, Report> reports_;
};

}  // namespace ringfs::dht
