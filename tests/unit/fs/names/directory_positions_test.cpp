// Positions in listings stay right when entries come and go, in other streams, on other mounts, and in directories of
// former formats.
#include "fs/names/entry_order.hpp"
#include "tests/unit/fs/world.hpp"

namespace ringfs::fs {
namespace {

class DirectoryPositionsTest : public World {
 protected:
  static InodeNumber file(Mount& by, InodeNumber directory, const std::string& name) {
    return by.must(by.volume->names.make_node({}, directory, name, S_IFREG | 0644, 0)).inode;
  }
  // All entries from `cookie` on, in a stream of their own.
  static std::vector<DirectoryEntry> listed(Mount& by, InodeNumber directory, std::uint64_t cookie = 0,
                                            std::size_t at_once = 97) {
    const Handle handle = by.must(by.volume->directories.open(directory));
    std::vector<DirectoryEntry> all = listed_from(by, handle, cookie, at_once);
    by.volume->directories.release(handle);
    return all;
  }
  static std::vector<DirectoryEntry> listed_from(Mount& by, Handle handle, std::uint64_t cookie,
                                                 std::size_t at_once = 97) {
    std::vector<DirectoryEntry> all;
    for (;;) {
      std::vector<DirectoryEntry> some = by.must(by.volume->directories.read(handle, cookie, at_once, false));
      if (some.empty()) return all;
      for (const DirectoryEntry& entry : some)
        EXPECT_GT(entry.cookie, std::exchange(cookie, entry.cookie)) << entry.name;
      std::move(some.begin(), some.end(), std::back_inserter(all));
    }
  }
  static std::vector<std::string> names(const std::vector<DirectoryEntry>& entries) {
    std::vector<std::string> result;
    for (const DirectoryEntry& entry : entries) result.push_back(entry.name);
    return result;
  }
  // The directory as former formats had it: entries by name, and an inode without entries_by_hash.
  void make_old(Mount& by, InodeNumber directory) {
    std::vector<std::pair<RowAddress, SharedBytes>> entries;
    for (auto& [id, partition] : ring->partitions) {
      for (const auto& [address, stored] : partition.rows.all()) {
        if (!address.sort.starts_with(entry_prefix(directory).sort) || address.key != entry_prefix(directory).key)
          continue;
        entries.emplace_back(address, stored.value);
      }
    }
    ChangeSet changes;
    std::size_t count = 0;
    for (const auto& [address, value] : entries) {
      changes.change(erase(address));
      changes.change(put(old_entry_row(directory, entry_name(address.sort)), value));
      if (++count % 1000 != 0) continue;
      ASSERT_TRUE(by.must(changes.apply(by.store, by.store.clock().now + std::chrono::seconds(10))).applied());
      changes = ChangeSet();
    }
    changes.change(write_bytes(inode_row(directory), InodeRow::format_offset, SharedBytes(std::string(1, '\1'))));
    ASSERT_TRUE(by.must(changes.apply(by.store, by.store.clock().now + std::chrono::seconds(10))).applied());
  }
  std::size_t old_places(InodeNumber directory) const {
    std::size_t count = 0;
    for (const auto& [id, partition] : ring->partitions) {
      for (const auto& [address, stored] : partition.rows.all()) {
        count +=
            address.key == old_entry_prefix(directory).key && address.sort.starts_with(old_entry_prefix(directory).sort)
                ? 1
                : 0;
      }
    }
    return count;
  }
};

TEST_F(DirectoryPositionsTest, Position_AfterOthersCameAndWent_GoesOnBehindTheSameEntry) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber d = a.mkdir(root_inode, "d");
  for (int i = 0; i < 2500; ++i) file(a, d, "f" + std::to_string(i));
  const Handle stream = a.must(a.volume->directories.open(d));
  const std::vector<DirectoryEntry> before = listed_from(a, stream, 0);
  ASSERT_EQ(before.size(), 2502U);
  const std::size_t place = 2300;
  const std::uint64_t position = before[place].cookie;
  // The entry itself goes, and every third one before and behind it. New ones come.
  std::set<std::string> gone;
  for (std::size_t i = 2; i < before.size(); ++i) {
    if (i % 3 != 0 && i != place) continue;
    gone.insert(before[i].name);
    b.must(b.volume->names.unlink(d, before[i].name));
  }
  std::set<std::string> fresh;
  for (int i = 0; i < 100; ++i) {
    fresh.insert("new" + std::to_string(i));
    file(b, d, "new" + std::to_string(i));
  }
  std::vector<std::string> expected;
  for (std::size_t i = place + 1; i < before.size(); ++i) {
    if (!gone.contains(before[i].name)) expected.push_back(before[i].name);
  }
  const auto stable = [&](std::vector<DirectoryEntry> entries) {
    std::erase_if(entries, [&](const DirectoryEntry& entry) { return fresh.contains(entry.name); });
    return names(entries);
  };
  EXPECT_EQ(stable(listed(a, d, position)), expected);
  EXPECT_EQ(stable(listed(b, d, position)), expected);
  // The same in the open stream, from the beginning and from there.
  EXPECT_EQ(a.must(a.volume->directories.read(stream, 0, 1, false)).at(0).name, ".");
  EXPECT_EQ(stable(listed_from(a, stream, position)), expected);
  a.volume->directories.release(stream);
}

TEST_F(DirectoryPositionsTest, Positions_OfALargeDirectory_AreRightInAnyOrderOfAsking) {
  Mount& a = mount();
  for (int i = 0; i < 2500; ++i) file(a, root_inode, "f" + std::to_string(10000 + i));
  const Handle stream = a.must(a.volume->directories.open(root_inode));
  const std::vector<DirectoryEntry> all = listed_from(a, stream, 0);
  SeededRandom random(7);
  for (int i = 0; i < 200; ++i) {
    a.must(a.volume->directories.read(stream, 0, 5, false));
    const std::size_t place = random.below(all.size() - 1);
    const std::vector<DirectoryEntry> next = a.must(a.volume->directories.read(stream, all[place].cookie, 1, false));
    ASSERT_EQ(next.size(), 1U);
    EXPECT_EQ(next[0].name, all[place + 1].name) << place;
  }
  EXPECT_TRUE(a.must(a.volume->directories.read(stream, all.back().cookie, 10, false)).empty());
  a.volume->directories.release(stream);
}

TEST_F(DirectoryPositionsTest, Positions_FitOffsets) {
  Mount& a = mount();
  for (int i = 0; i < 100; ++i) file(a, root_inode, "f" + std::to_string(i));
  for (const DirectoryEntry& entry : listed(a, root_inode))
    EXPECT_LT(entry.cookie, std::uint64_t{1} << 63) << entry.name;
}

// Two names with one hash.
class SameHashTest : public DirectoryPositionsTest {
 protected:
  SameHashTest() {
    if (second < first) std::swap(first, second);
  }
  std::string first = "843c7fa058d321", second = "ccf506fc58ee23";
};

TEST_F(SameHashTest, Listing_InStepsOfOne_HasBoth) {
  ASSERT_EQ(entry_hash(first), entry_hash(second));
  Mount& a = mount();
  for (int i = 0; i < 20; ++i) file(a, root_inode, "f" + std::to_string(i));
  const InodeNumber one = file(a, root_inode, first);
  const InodeNumber two = file(a, root_inode, second);
  EXPECT_EQ(a.find(root_inode, first), one);
  EXPECT_EQ(a.find(root_inode, second), two);
  const std::vector<DirectoryEntry> all = listed(a, root_inode, 0, 1);
  EXPECT_EQ(all.size(), 24U);
  EXPECT_EQ(names(all), names(listed(a, root_inode)));
  // A new stream goes on between the two.
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(names(listed(a, root_inode, all[i].cookie)),
              names({all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.end()}));
  }
}

TEST_F(SameHashTest, Listing_WhoseReaderStandsBetweenThem_HasTheSecondWhenTheFirstGoes) {
  Mount& a = mount();
  for (int i = 0; i < 2500; ++i) file(a, root_inode, "f" + std::to_string(i));
  file(a, root_inode, first);
  file(a, root_inode, second);
  const std::vector<DirectoryEntry> all = listed(a, root_inode);
  const auto place =
      std::find_if(all.begin(), all.end(), [&](const DirectoryEntry& entry) { return entry.name == first; });
  ASSERT_NE(place, all.end());
  const Handle stream = a.must(a.volume->directories.open(root_inode));
  ASSERT_EQ(listed_from(a, stream, 0).size(), all.size());
  // The stream goes elsewhere and comes back. Meanwhile the first one goes.
  const bool in_the_first_half = place - all.begin() < 1250;
  a.must(a.volume->directories.read(stream, in_the_first_half ? all[2400].cookie : all[0].cookie, 1, false));
  a.must(a.volume->names.unlink(root_inode, first));
  const std::vector<DirectoryEntry> rest = listed_from(a, stream, place->cookie);
  EXPECT_EQ(names(rest), names({place + 1, all.end()}));
  a.volume->directories.release(stream);
}

TEST_F(DirectoryPositionsTest, OldDirectory_IsUsedAsBefore) {
  Mount& a = mount();
  const InodeNumber d = a.mkdir(root_inode, "d");
  const InodeNumber e = a.mkdir(root_inode, "e");
  std::set<std::string> there;
  for (int i = 0; i < 30; ++i) {
    file(a, d, "f" + std::to_string(i));
    there.insert("f" + std::to_string(i));
  }
  const InodeNumber child = a.mkdir(d, "child");
  there.insert("child");
  make_old(a, d);
  Mount& b = mount();  // knows nothing
  EXPECT_EQ(b.find(d, "child"), child);
  EXPECT_EQ(b.error(b.volume->names.make_node({}, d, "f1", S_IFREG | 0644, 0)), ErrorCode::exists);
  EXPECT_EQ(b.error(b.volume->names.make_directory({}, d, "f1", 0755)), ErrorCode::exists);
  EXPECT_EQ(b.error(b.volume->names.link(b.find(d, "f2"), d, "f1")), ErrorCode::exists);
  EXPECT_EQ(b.rename(d, "f2", d, "f1", 1 /* RENAME_NOREPLACE */).error().code, ErrorCode::exists);
  EXPECT_EQ(b.run(b.volume->names.remove_directory(root_inode, "d")).error().code, ErrorCode::not_empty);
  const InodeNumber third = b.find(d, "f3");
  const InodeNumber fourth = b.find(d, "f4");
  ASSERT_TRUE(b.rename(d, "f3", d, "f4", 2 /* RENAME_EXCHANGE */));
  EXPECT_EQ(b.find(d, "f3"), fourth);
  EXPECT_EQ(b.find(d, "f4"), third);
  ASSERT_TRUE(b.rename(d, "f5", d, "f6"));  // onto an old one
  there.erase("f5");
  ASSERT_TRUE(b.rename(d, "f7", e, "moved"));
  there.erase("f7");
  ASSERT_TRUE(b.rename(e, "moved", d, "f8"));
  b.must(b.volume->names.unlink(d, "f9"));
  there.erase("f9");
  file(b, d, "new");
  there.insert("new");
  EXPECT_EQ(a.list(d), there);
  EXPECT_EQ(b.list(d), there);
  check_invariants();
}

TEST_F(DirectoryPositionsTest, OldDirectory_ThatIsListed_GetsTheNewOrder) {
  Mount& a = mount();
  const InodeNumber d = a.mkdir(root_inode, "d");
  for (int i = 0; i < 2500; ++i) file(a, d, "f" + std::to_string(i));
  const std::vector<std::string> order = names(listed(a, d));
  make_old(a, d);
  EXPECT_EQ(old_places(d), 2500U);
  Mount& b = mount();
  const Handle stream = b.must(b.volume->directories.open(d));
  // While its entries are being moved, they have the positions that they will have.
  std::vector<DirectoryEntry> some = b.must(b.volume->directories.read(stream, 0, 1000, true));
  time.advance(std::chrono::seconds(5));
  std::vector<DirectoryEntry> rest = listed_from(b, stream, some.back().cookie);
  std::move(rest.begin(), rest.end(), std::back_inserter(some));
  EXPECT_EQ(names(some), order);
  b.volume->directories.release(stream);
  EXPECT_EQ(old_places(d), 0U);
  EXPECT_EQ(names(listed(b, d)), order);
  // One read a name, as everywhere.
  b.stat(d);
  const std::size_t operations = b.store.operations();
  EXPECT_EQ(b.error(b.volume->names.lookup(d, "none")), ErrorCode::not_found);
  EXPECT_EQ(b.store.operations(), operations + 1);
  check_invariants();
}

TEST_F(DirectoryPositionsTest, OldDirectory_UnderChangeFromTwoMounts_LosesNothing) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber d = a.mkdir(root_inode, "d");
  std::set<std::string> there;
  for (int i = 0; i < 600; ++i) {
    file(a, d, "f" + std::to_string(i));
    there.insert("f" + std::to_string(i));
  }
  make_old(a, d);
  const Handle stream = a.must(a.volume->directories.open(d));           // a conversion begins
  b.volume->directories.release(b.must(b.volume->directories.open(d)));  // and another one
  for (int i = 0; i < 200; ++i) {
    Mount& by = i % 2 == 0 ? a : b;
    const std::string name = "f" + std::to_string(3 * i);
    if (i % 3 == 0) {
      by.must(by.volume->names.unlink(d, name));
      there.erase(name);
    } else if (i % 3 == 1) {
      ASSERT_TRUE(by.rename(d, name, d, "g" + std::to_string(i)));
      there.erase(name);
      there.insert("g" + std::to_string(i));
    } else {
      file(by, d, "h" + std::to_string(i));
      there.insert("h" + std::to_string(i));
    }
  }
  a.volume->directories.release(stream);
  time.advance(std::chrono::seconds(5));
  EXPECT_EQ(old_places(d), 0U);
  EXPECT_EQ(a.list(d), there);
  EXPECT_EQ(b.list(d), there);
  check_invariants();
}

// A directory that a former program half made: its entry lies in the old place, and leads to it.
TEST_F(DirectoryPositionsTest, OldDirectory_WithAHalfMadeChild_KeepsIt) {
  Mount& a = mount();
  const InodeNumber d = a.mkdir(root_inode, "d");
  const InodeNumber child = a.mkdir(d, "child");
  time.settle();
  make_old(a, d);
  ChangeSet changes;
  OrphanRow orphan{OrphanRow::Kind::half_made, a.store.clock().stamp.microseconds, 0, d, "child"};
  changes.change(put(orphan_row(child, a.store.partition_bits()), SharedBytes(encode(orphan))));
  ASSERT_TRUE(a.must(changes.apply(a.store, a.store.clock().now + std::chrono::seconds(10))).applied());
  pass(a, std::chrono::hours(1));
  clean(a);
  Mount& b = mount();  // knows nothing
  EXPECT_EQ(b.find(d, "child"), child);
  EXPECT_TRUE(b.run(b.volume->names.get_attributes(child)));
}

}  // namespace
}  // namespace ringfs::fs
