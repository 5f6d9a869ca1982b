// The rows on which a client has a lease, and which it therefore answers from its memory (row_leases.hpp).
//
// This client's leases do not delay its own batches. So a row that a batch of this client changes is forgotten before
// the batch is sent, and is not remembered again from a read that was asked before the batch had ended. A batch whose
// end is unknown may happen as long as it lives; until then its rows are read from the ring. A row that a leader
// recalls is treated like one that a batch of this client has changed just now. Rows that a pending
// transaction holds are not remembered from a read. So the end of a transaction, this client's or another's, changes no
// remembered row. Threads: one loop. Limits: max_leased_row_bytes; beyond it ended leases are dropped, then all.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "dht/core/protocol/operations.hpp"
#include "dht/core/rows/row_leases.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_leased_row_bytes = 16 << 20;

// Of one answer.
struct GrantedLease {
  // A twentieth of each lease is not used: this machine's clock may run slower than the leader's.
  static constexpr int margin = 20;

  TimePoint asked;
  Duration lease{};
  TimePoint until(bool present) const {
    const Duration granted = present ? lease : std::min(lease, absent_row_lease);
    return asked + granted - granted / margin;
  }
};

class LeasedRows {
  struct Leased {
    RowAddress address;
    ReadReply::Get get;
    TimePoint until;
    PartitionId partition{};
    std::size_t bytes() const { return address.key.size() + address.sort.size() + get.row.value.size() + 128; }
  };

 public:
  // `remember_held_rows`: TransactionFaults.
  explicit LeasedRows(bool remember_held_rows = false) : remember_held_rows_(remember_held_rows) {}

  // Every get under a lease that holds now, no scans; otherwise none. Call it before every read.
  std::optional<ReadReply> find(const ReadRequest& request, TimePoint now);
  // Whether find() would find them now.
  bool knows(const ReadRequest& request, TimePoint now) const;

  // How long a row of this version is leased; none: it is not.
  std::optional<TimePoint> leased_until(const RowAddress& row, std::uint64_t version, TimePoint now) const;

  // What a leader wants back is forgotten, and what was asked for before is not remembered.
  void recall(const Recall& recall);
  std::size_t size() const { return rows_.size(); }
  std::uint64_t recalls() const { return recalls_; }  // since the client began

  // From before a read is sent until its answer is remembered.
  class Asking {
   public:
    Asking(std::shared_ptr<LeasedRows> rows, PartitionId partition);
    Asking(const Asking&) = delete;
    Asking& operator=(const Asking&) = delete;
    void remember(const ReadRequest& request, const ReadReply& reply, const GrantedLease& lease);
    // Rows that the scans found, but for those at the places `unleased` among them.
    void remember_found(const ReadRequest& request, const ReadReply& reply, const GrantedLease& lease,
                        const std::vector<std::uint32_t>& unleased);

   private:
    void keep(const RowAddress& row, const ReadReply::Get& get, const GrantedLease& lease);

    const std::shared_ptr<LeasedRows> rows_;
    const PartitionId partition_;
    const std::uint64_t ticket_;
  };

  // From before a batch is sent until its end is known; or, if it never is, for as long as the batch may live.
  class Changing {
   public:
    Changing(std::shared_ptr<LeasedRows> rows, PartitionId partition, const Batch& batch, TimePoint may_happen_until);
    Changing(const Changing&) = delete;
    Changing& operator=(const Changing&) = delete;
    ~Changing();
    const RowChanges& rows() const { return changes_; }
    void sent() { ended_ = false; }
    void ended() { ended_ = true; }
    // The batch was applied just now, and its rows are leased: what they are follows from what they were, if that
    // is still certain at `now`.
    void remember(const Batch& batch, std::uint64_t version, const GrantedLease& lease, TimePoint now);

   private:
    const std::shared_ptr<LeasedRows> rows_;
    const PartitionId partition_;
    RowChanges changes_;
    const TimePoint may_happen_until_;
    const std::uint64_t ticket_;
    std::unordered_map<std::uint64_t, Leased> before_;  // what was known of them
    bool ended_ = true;                                 // nothing was sent yet
  };

 private:
  struct Own {
    std::uint32_t under_way = 0;
    std::uint64_t ended = 0;  // the ticket of that moment
  };

  const Leased* known(const RowAddress& row, TimePoint now) const;
  void begin(const RowChanges& changes);
  void end(const RowChanges& changes);
  void end_the_old(TimePoint now);
  void forget(std::uint64_t hash);
  void make_room(TimePoint now);
  bool changed_since(std::uint64_t hash, std::uint64_t ticket) const;
  bool invalid_since(PartitionId partition, std::uint64_t ticket) const;
  void keep(Leased leased, std::uint64_t hash);
  void prune_own(std::uint64_t now);

  const bool remember_held_rows_;
  std::unordered_map<std::uint64_t, Leased> rows_;
  std::size_t bytes_ = 0;
  std::uint64_t last_ticket_ = 0;
  std::unordered_map<std::uint64_t, Own> own_;
  Own everything_;
  std::map<PartitionId, std::uint64_t> recalled_;  // all of the partition: the ticket of that moment
  std::uint64_t recalls_ = 0;
  std::vector<std::pair<TimePoint, RowChanges>> unknown_;  // batches whose ends were never heard of
};

}  // namespace ringfs::dht
