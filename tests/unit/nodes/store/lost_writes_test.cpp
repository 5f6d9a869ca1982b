// Writes that the disk acknowledged and lost: a page of the database is what it was before, with the sum of then.
#include <atomic>
#include <thread>

#include "nodes/store/repair/replacement.hpp"
#include "tests/unit/nodes/store/damage_fixture.hpp"
#include "tests/unit/nodes/store/lost_writes.hpp"

namespace ringfs::nodes {
namespace {

class StoreLostWrites : public DamageTest {
 protected:
  static constexpr PartitionId partition{3};
  static constexpr unsigned rows = 400;

  StoreLostWrites() { options.scrub.delay = Duration(0); }

  static std::string row_of(unsigned i) { return "row-" + std::to_string(1000 + i) + "-of-many"; }

  // Some dozen leaves of rows, and an empty WAL.
  void fill() {
    open();
    std::vector<Mutation> mutations;
    for (unsigned i = 0; i < rows; ++i) mutations.push_back(put("directory", row_of(i), pattern(150, 'a')));
    run(partition, {batch_entry(1, std::move(mutations))});
    run(second_partition, {batch_entry(1, {put("directory", "other", "value")})});
    store.reset();
  }
  unsigned lose_writes(const std::string& before, const std::string& table, const std::string& marker) {
    return nodes::lose_writes(database(), before, table, marker);
  }
  // The first damage that the scrub reports; none: it read everything and found none.
  std::optional<dht::FoundDamage> check() {
    std::promise<dht::FoundDamage> promise;
    std::atomic<bool> found{false};
    store->watch_damage([&](dht::FoundDamage damage) {
      if (!found.exchange(true)) promise.set_value(std::move(damage));
    });
    while (!found && store->status().verify_passes == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::optional<dht::FoundDamage> damage;
    if (found) damage = promise.get_future().get();
    store.reset();
    return damage;
  }
  void expect_lost_rows(const std::optional<dht::FoundDamage>& damage) {
    ASSERT_TRUE(damage);
    EXPECT_EQ(damage->partition, partition);
    EXPECT_FALSE(damage->entry);
    EXPECT_NE(damage->why.context.find("lost a write"), std::string::npos) << damage->why.context;
  }
  // Changes rows, and loses the page of the change.
  void lose_page(std::vector<Mutation> mutations, const std::string& sort) {
    fill();
    const std::string before = contents(database());
    open();
    run(partition, {batch_entry(2, std::move(mutations))});
    store.reset();
    ASSERT_EQ(lose_writes(before, "rows", sort), 1u);
  }
  void lose_new_row() { lose_page({put("directory", row_of(200) + "-new", "value")}, row_of(200) + "-new"); }
  // Afterwards a read finds `former`: no checksum fails.
  void lose(std::vector<Mutation> mutations, const std::string& sort, const std::optional<std::string>& former) {
    ASSERT_NO_FATAL_FAILURE(lose_page(std::move(mutations), sort));
    open();
    EXPECT_EQ(value_of(*store, partition, "directory", sort), former);
    expect_lost_rows(check());
  }
  // Appends an entry and loses what that changed in `table`. That replica is damaged, the other one is not.
  void lose_append(const std::string& table) {
    fill();
    const std::string before = contents(database());
    open();
    ASSERT_TRUE(wait_write(*store, append_write(partition, {no_op(2)})));
    store.reset();
    ASSERT_EQ(lose_writes(before, table, ""), 1u);
    reopen();
    EXPECT_TRUE(damaged.contains(partition));
    EXPECT_EQ(group_in(node, partition).damage, dht::Damage::log);
    EXPECT_EQ(group_in(node, second_partition).damage, dht::Damage::none);
  }
};

TEST_F(StoreLostWrites, Put_Lost_IsNoticed) {
  lose({put("directory", row_of(200) + "-new", "value")}, row_of(200) + "-new", std::nullopt);
}

TEST_F(StoreLostWrites, Overwrite_Lost_IsNoticed) {
  lose({put("directory", row_of(200), "newer")}, row_of(200), pattern(150, 'a'));
}

TEST_F(StoreLostWrites, Patch_Lost_IsNoticed) {
  lose({mutation(Mutation::Kind::write_bytes, "directory", row_of(200), "newer", 7)}, row_of(200), pattern(150, 'a'));
}

TEST_F(StoreLostWrites, Erase_Lost_IsNoticed) {
  lose({mutation(Mutation::Kind::erase, "directory", row_of(200))}, row_of(200), pattern(150, 'a'));
}

TEST_F(StoreLostWrites, NoWriteLost_NothingIsNoticed) {
  fill();
  open();
  run(partition, {batch_entry(2, {put("directory", row_of(200), "newer"),
                                  mutation(Mutation::Kind::erase, "directory", row_of(7))})});
  reopen();
  EXPECT_FALSE(check());
}

// The id of a payload says where its bytes are. If the write of its checksum is lost with that of its bytes, all sums
// match.
TEST_F(StoreLostWrites, Payload_WhoseBytesAndChecksumAreLost_IsNoticed) {
  options.payload_file_bytes = 1 << 20;  // into the database
  open();
  run(partition, {batch_entry(1, {put("c", "0", pattern(20000, 'a'))})});
  run(partition, {batch_entry(2, {mutation(Mutation::Kind::write_bytes, "c", "0", "its own", 0)})});
  store.reset();
  const std::string before = contents(database());
  open();
  run(partition, {batch_entry(3, {mutation(Mutation::Kind::write_bytes, "c", "0", "patched", 0)})});
  store.reset();
  EXPECT_EQ(lose_writes(before, "payload", ""), 1u);
  unsigned lost = lose_writes(before, "payload_data", "its own");
  if (lost == 0) {  // it is on an overflow page
    const std::string after = contents(database());
    for (std::size_t page = 2; page * lost_page_bytes <= before.size(); ++page) {
      if (page_in(before, page).find("its own") == std::string::npos ||
          page_in(after, page).find("patched") == std::string::npos)
        continue;
      put_page_back(database(), before, page);
      ++lost;
    }
  }
  open();
  EXPECT_EQ(value_of(*store, partition, "c", "0")->substr(0, 7), "its own");
  expect_lost_rows(check());
}

// A difference stays, whatever is written afterwards, on the same page, too.
TEST_F(StoreLostWrites, Put_LostAndOtherRowsChangedSince_IsNoticed) {
  ASSERT_NO_FATAL_FAILURE(lose_new_row());
  open();
  run(partition, {batch_entry(3, {put("directory", row_of(199), "x"), put("directory", row_of(201), "y")}),
                  batch_entry(4, {mutation(Mutation::Kind::erase, "directory", row_of(202))})});
  expect_lost_rows(check());
}

// Rows change ahead of the scrub and behind it, while it takes a hundred steps.
class StoreLostWritesBusy : public StoreLostWrites, public testing::WithParamInterface<bool> {};

TEST_P(StoreLostWritesBusy, Check_WhileRowsChange_SaysWhatIsLostAndNothingElse) {
  const bool lost = GetParam();
  open();
  dht::LogIndex next = 1;
  for (unsigned group = 0; group < 10; ++group) {
    std::vector<Mutation> mutations;
    for (unsigned i = 0; i < rows; ++i)
      mutations.push_back(put("directory-" + std::to_string(group), row_of(i), pattern(150, 'a')));
    run(partition, {batch_entry(next++, std::move(mutations))});
  }
  store.reset();
  const std::string before = contents(database());
  open();
  run(partition, {batch_entry(next++, {put("directory-5", row_of(200) + "-new", "value")})});
  store.reset();
  if (lost) {
    ASSERT_EQ(lose_writes(before, "rows", row_of(200) + "-new"), 1u);
  }
  options.scrub.first_bytes_per_second = 2 << 20;
  open();
  std::promise<dht::FoundDamage> promise;
  std::atomic<bool> found{false};
  store->watch_damage([&](dht::FoundDamage damage) {
    if (!found.exchange(true)) promise.set_value(std::move(damage));
  });
  SeededRandom choice(7);
  const dht::LogIndex first = next;
  while (!found && store->status().verify_passes == 0) {
    const std::string key = "directory-" + std::to_string(choice.below(10));
    const std::string sort = row_of(static_cast<unsigned>(choice.below(rows)));
    std::vector<Mutation> mutations;
    switch (choice.below(4)) {
      case 0: mutations.push_back(put(key, sort, pattern(choice.below(300), 'b'))); break;
      case 1: mutations.push_back(put(key, sort + "-too", pattern(100, 'c'))); break;
      case 2: mutations.push_back(mutation(Mutation::Kind::erase, key, sort)); break;
      default: mutations.push_back(mutation(Mutation::Kind::erase_prefix, key, sort)); break;
    }
    if (mutations[0].row.key == "directory-5" && sort == row_of(200)) continue;  // leaves the lost row alone
    run(partition, {batch_entry(next++, std::move(mutations))});
  }
  EXPECT_GT(next - first, 20u);
  EXPECT_EQ(found, lost);
  if (found) expect_lost_rows(promise.get_future().get());
  store.reset();
}

INSTANTIATE_TEST_SUITE_P(All, StoreLostWritesBusy, testing::Bool());

TEST_F(StoreLostWrites, Copy_OfRowsThatAreNotAllThatWereWritten_KeepsAndMarksThem) {
  ASSERT_NO_FATAL_FAILURE(lose_new_row());
  options.rebuild = true;
  reopen();
  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_NE(damaged.at(partition).context.find("lost a write"), std::string::npos) << damaged.at(partition).context;
  EXPECT_EQ(group_in(node, partition).damage, dht::Damage::rows);
  EXPECT_EQ(value_of(*store, partition, "directory", row_of(5)), pattern(150, 'a'));
  options.rebuild = false;
  reopen();
  EXPECT_TRUE(damaged.contains(partition));  // after a restart, too
  expect_lost_rows(check());                 // the digest still shows it
}

// Their pages may name overflow pages that belong to other rows by now.
TEST_F(StoreLostWrites, Rows_ThatWereDamaged_AreLeftBehindByACopyAndNotEmptiedInPlace) {
  fill();
  const std::string of_the_space =
      "SELECT count(*) FROM rows WHERE space = " + std::to_string(number("SELECT space FROM grp WHERE p = 3"));
  open();
  ASSERT_TRUE(wait_write(*store, damage_write(partition, dht::Damage::rows)));
  ASSERT_TRUE(wait_write(*store, reset_write(partition, 9)));
  for (dht::LogIndex index = 2; index < 600; ++index)
    run(second_partition, {batch_entry(index, {put("directory", "other", "again")})});
  EXPECT_GE(number(of_the_space), rows);
  reopen();
  store.reset();
  EXPECT_EQ(number(of_the_space), 0);
  EXPECT_EQ(number("SELECT count(*) FROM garbage"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM meta WHERE name = 'rebuild'"), 0);
}

// An acknowledged entry is in the table of the log and not in its index, so the log would be shorter.
TEST_F(StoreLostWrites, Entry_MissingAtTheEndOfTheLog_IsDamageOfTheReplica) { lose_append("log_place"); }

// SQLite reuses the number of a removed row. The overwritten entry is back in the place of the one that replaced it.
TEST_F(StoreLostWrites, Entry_ThatWasOvertakenIsBack_IsDamageOfTheReplica) {
  fill();
  open();
  ASSERT_TRUE(wait_write(*store, append_write(partition, {no_op(2, 1)})));
  store.reset();
  const std::string before = contents(database());
  open();
  dht::Write write = append_write(partition, {no_op(2, 5)});
  write.groups[0].truncate_from = 2;
  write.groups[0].hard_state = dht::HardState{5, node.id};
  ASSERT_TRUE(wait_write(*store, write));
  store.reset();
  ASSERT_EQ(lose_writes(before, "log", ""), 1u);
  reopen();
  EXPECT_TRUE(damaged.contains(partition));
  EXPECT_EQ(group_in(node, partition).damage, dht::Damage::log);
}

TEST_F(StoreLostWrites, Group_WhoseOwnRowIsOld_IsNotTakenForWhole) { lose_append("grp"); }

// Terms and votes do not change the log; only their second copy shows the loss.
TEST_F(StoreLostWrites, Vote_Lost_IsNotGivenAgain) {
  fill();
  const std::string before = contents(database());
  open();
  for (const dht::HardState& state : {dht::HardState{5, Uuid{}}, dht::HardState{5, node.id}}) {
    ASSERT_TRUE(wait_write(*store, hard_state_write(partition, state)));
  }
  store.reset();
  ASSERT_EQ(lose_writes(before, "grp", ""), 1u);
  for (const bool copied : {true, false}) {  // not forgotten by a copy of the database, either
    if (copied) {
      replace_database(directory, options.page_bytes, {});
    }
    reopen();
    ASSERT_TRUE(damaged.contains(partition));
    EXPECT_FALSE(damaged.contains(second_partition));
    if (copied) {
      EXPECT_NE(damaged.at(partition).context.find("lost a write"), std::string::npos) << damaged.at(partition).context;
    }
    EXPECT_EQ(group_in(node, partition).damage, dht::Damage::log);
    EXPECT_EQ(group_in(node, partition).hard_state.term, 5u);
    EXPECT_EQ(group_in(node, partition).hard_state.vote, node.id);
    store.reset();
  }
}

TEST_F(StoreLostWrites, VoteWithoutASecondCopy_Counts) {
  fill();
  open();
  ASSERT_TRUE(wait_write(*store, hard_state_write(partition, dht::HardState{5, node.id})));
  store.reset();
  change("DELETE FROM meta WHERE name = 'vote/3'");
  for (int start = 0; start < 2; ++start) {
    reopen();
    EXPECT_TRUE(damaged.empty());
    EXPECT_EQ(group_in(node, partition).hard_state.term, 5u);
    EXPECT_EQ(group_in(node, partition).hard_state.vote, node.id);
  }
  store.reset();
  EXPECT_EQ(number("SELECT count(*) FROM meta WHERE name = 'vote/3'"), 1);
}

// The page of `meta` also has the next space and the incarnation.
TEST_F(StoreLostWrites, PageOfMeta_Old_GivesNoSpaceAndNoIncarnationTwice) {
  fill();
  const std::string before = contents(database());
  const PartitionId third{6};
  open();
  run(third, {batch_entry(1, {put("directory", "third", "value")})});
  const dht::Incarnation incarnation = node.incarnation;
  store.reset();
  ASSERT_EQ(lose_writes(before, "meta", ""), 1u);
  open();
  EXPECT_GT(node.incarnation.counter, incarnation.counter);
  const PartitionId fourth{5};
  run(fourth, {batch_entry(1, {put("directory", "fourth", "value")})});
  EXPECT_EQ(value_of(*store, fourth, "directory", "third"), std::nullopt);
  EXPECT_EQ(value_of(*store, third, "directory", "third"), "value");
  store.reset();
  EXPECT_EQ(number("SELECT count(DISTINCT space) FROM grp"), number("SELECT count(*) FROM grp"));
}

// All of it is applied, so the log is compacted.
TEST_F(StoreLostWrites, Log_OldWhereAllIsApplied_IsCut) {
  fill();
  open();
  run(partition, {batch_entry(2, {put("directory", "a", "1")})});
  store.reset();
  const std::string before = contents(database());
  open();
  run(partition, {batch_entry(3, {put("directory", "a", "2")})});
  store.reset();
  ASSERT_EQ(lose_writes(before, "log_place", ""), 1u);
  reopen();
  EXPECT_TRUE(damaged.contains(partition));
  EXPECT_EQ(group_in(node, partition).damage, dht::Damage::none);
  EXPECT_EQ(group_in(node, partition).base_index, 3u);
  EXPECT_EQ(value_of(*store, partition, "directory", "a"), "2");
  run(partition, {batch_entry(4, {put("directory", "a", "3")})});
  reopen();
  EXPECT_TRUE(damaged.empty());
  EXPECT_FALSE(check());
}

// ---- The digests are right whatever is done ----

class StoreDigests : public DamageTest {
 protected:
  struct Digests {
    RowDigest rows = 0;
    std::uint64_t log = 0;
  };

  void expect_digests() {
    std::unique_ptr<Connection> connection = open_reader(directory, 256);
    SqlTransaction transaction(*connection, "BEGIN");
    PayloadFile file(directory, *connection);
    PayloadTable payloads(*connection, file);
    LogTable log(*connection, payloads);
    GroupTable groups(*connection);
    std::map<PartitionId, Error> unreadable;
    for (const auto& [partition, group] : groups.load_all(unreadable)) {
      EXPECT_EQ(digest_of(*connection, payloads, group.space), group.rows_digest) << index_of(partition);
      if (group.staging) {
        EXPECT_EQ(digest_of(*connection, payloads, group.staging->space), group.staging->digest) << index_of(partition);
      }
      EXPECT_TRUE(log_is_whole(group, log.sum(partition))) << index_of(partition);
      digests[partition] = {group.rows_digest, group.log_digest};
    }
    EXPECT_TRUE(unreadable.empty());
  }
  static RowDigest digest_of(Connection& connection, PayloadTable& payloads, SpaceId space) {
    RowDigest digest = 0;
    SpaceScan scan(connection, payloads, space);
    while (scan.next()) digest += row_term(scan.row());
    return digest;
  }
  std::map<PartitionId, Digests> digests;  // the last ones
};

class StoreDigestsRandom : public StoreDigests, public testing::WithParamInterface<std::uint64_t> {
 protected:
  SeededRandom choice{GetParam()};
  std::map<PartitionId, dht::LogIndex> next{{first_partition, 1}, {second_partition, 1}};
  std::uint64_t snapshot = 1;

  Mutation any_mutation() {
    using Kind = Mutation::Kind;
    const std::string key = "key-" + std::to_string(choice.below(3));
    const std::string sort =
        std::string(choice.below(2) + 1, static_cast<char>('a' + choice.below(4))) + std::to_string(choice.below(4));
    const std::size_t size = choice.below(3) == 0 ? 15000 + choice.below(60000) : choice.below(400);
    const auto offset = static_cast<std::uint32_t>(choice.below(20000));
    switch (choice.below(8)) {
      case 0:
      case 1:
      case 2: return put(key, sort, pattern(size, static_cast<char>('a' + choice.below(20))));
      case 3: return mutation(Kind::erase, key, sort);
      case 4: return mutation(Kind::erase_prefix, key, choice.below(8) == 0 ? "" : sort.substr(0, 1));
      case 5: {
        Mutation truncation = mutation(Kind::truncate, key, sort);
        truncation.number = static_cast<std::int64_t>(size);
        return truncation;
      }
      case 6: {
        Mutation addition = mutation(Kind::add_i64, key, sort, {}, offset % 50);
        addition.number = 5;
        return addition;
      }
      default: return mutation(Kind::write_bytes, key, sort, pattern(choice.below(3000), 'z'), offset);
    }
  }
  dht::Entry any_entry(dht::LogIndex index, dht::Term term = 1) {
    std::vector<Mutation> mutations;
    for (std::uint64_t count = choice.below(6) + 1; count > 0; --count) mutations.push_back(any_mutation());
    return batch_entry(index, std::move(mutations), term);
  }
  void apply_some(PartitionId partition) {
    std::vector<dht::Entry> some;
    for (std::uint64_t count = choice.below(4) + 1; count > 0; --count) some.push_back(any_entry(next[partition]++));
    ASSERT_TRUE(wait_write(*store, append_write(partition, std::move(some))));
    auto applied = wait_apply(*store, partition, next[partition] - 1);
    ASSERT_TRUE(applied) << applied.error().text();
  }
  // Entries that those of another leader replace before they are applied.
  void overtake(PartitionId partition) {
    const dht::LogIndex from = next[partition];
    ASSERT_TRUE(
        wait_write(*store, append_write(partition, {any_entry(from), any_entry(from + 1), any_entry(from + 2)})));
    dht::Write write = append_write(partition, {any_entry(from + 1, 2)});
    write.groups[0].truncate_from = from + 1;
    ASSERT_TRUE(wait_write(*store, std::move(write)));
    next[partition] = from + 2;
    ASSERT_TRUE(wait_apply(*store, partition, from + 1));
  }
  // A snapshot of the first partition into the second one; sometimes only its beginning.
  void send_snapshot() {
    if (next[first_partition] < next[second_partition] || next[first_partition] == 1) return;
    const std::uint64_t number = snapshot++;
    const bool half = choice.below(4) == 0;
    for (std::uint32_t chunk = 0;; ++chunk) {
      Result<dht::SnapshotData> data = wait_snapshot(*store, first_partition, number, chunk);
      ASSERT_TRUE(data) << data.error().text();
      ASSERT_TRUE(wait_write(*store, stage_write(second_partition, {number, chunk, data->rows, data->blobs})));
      if (half) return;
      if (!data->last) continue;
      ASSERT_TRUE(wait_write(*store, install_write(second_partition, number, *data)));
      next[second_partition] = data->last_index + 1;
      expect_digests();
      EXPECT_EQ(digests[first_partition].rows, digests[second_partition].rows);
      return;
    }
  }
  void start_over() {
    ASSERT_TRUE(wait_write(*store, reset_write(second_partition, 9)));
    next[second_partition] = 1;
  }
};

TEST_P(StoreDigestsRandom, Digests_AfterAnything_AreWhatIsThere) {
  options.snapshot_chunk_bytes = 50 << 10;
  options.payload_file_bytes = 64 << 10;  // payloads go to both places
  open();
  for (unsigned round = 0; round < 150 && !HasFatalFailure(); ++round) {
    const PartitionId partition = choice.below(2) == 0 ? first_partition : second_partition;
    switch (choice.below(16)) {
      case 0: overtake(partition); break;
      case 1: send_snapshot(); break;
      case 2: start_over(); break;
      case 3: reopen(); break;
      case 4:
        options.rebuild = true;
        reopen();
        options.rebuild = false;
        break;
      case 5:
        if (next[partition] > 1) {
          ASSERT_TRUE(wait_write(
              *store, compact_write(partition,
                                    next[partition] - 1 - choice.below(std::min<dht::LogIndex>(next[partition], 4)))));
        }
        break;
      default: apply_some(partition); break;
    }
    if (round % 5 == 0) expect_digests();
  }
  reopen();
  expect_digests();
  EXPECT_EQ(digests.size(), 2u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, StoreDigestsRandom, testing::Values(1, 2, 3, 4, 5, 6));

// The digest does not depend on where a node puts its payloads.
TEST_F(StoreDigests, Digests_OfReplicas_AreEqual) {
  std::optional<RowDigest> first;
  for (const std::size_t in_database : {std::size_t{0}, std::size_t{1} << 20}) {
    options.payload_file_bytes = in_database;
    open();
    if (first) run(second_partition, {batch_entry(1, {put("k", "before", pattern(20000, 'x'))})});  // so ids differ
    run(first_partition, {batch_entry(1, {put("k", "small", "value"), put("k", "large", pattern(20000, 'p'))}),
                          batch_entry(2, {mutation(Mutation::Kind::write_bytes, "k", "large", "patched", 100)})});
    expect_digests();
    if (first) {
      EXPECT_EQ(digests[first_partition].rows, *first);
    }
    first = digests[first_partition].rows;
    store.reset();
    std::filesystem::remove_all(directory);
  }
}

// A failed apply leaves the digest as it was.
TEST_F(StoreDigests, Digests_AfterAFailedApply_AreWhatIsThere) {
  open();
  run(first_partition, {batch_entry(1, {put("k", "a", "1"), put("k", "large", pattern(20000, 'p'))})});
  store.reset();
  flip_bit(directory / payload_file_name, 10000, 2);
  open();
  ASSERT_TRUE(wait_write(
      *store, append_write(first_partition, {batch_entry(2, {put("k", "b", "2"), mutation(Mutation::Kind::write_bytes,
                                                                                          "k", "large", "x", 9)})})));
  EXPECT_FALSE(wait_apply(*store, first_partition, 2));
  flip_bit(directory / payload_file_name, 10000, 2);
  run(second_partition, {batch_entry(1, {put("k", "a", "1")})});
  expect_digests();
  ASSERT_TRUE(wait_apply(*store, first_partition, 2));
  expect_digests();
}

}  // namespace
}  // namespace ringfs::nodes
