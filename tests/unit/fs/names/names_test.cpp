// Names: lookup, create, mkdir, link, unlink, rmdir, listings, and their errors.
#include "tests/unit/fs/world.hpp"

namespace ringfs::fs {
namespace {

class NamesTest : public World {};

TEST_F(NamesTest, Root_OfAFreshRing_IsAnEmptyDirectory) {
  Mount& a = mount();
  Attributes root = a.stat(root_inode);
  EXPECT_TRUE(S_ISDIR(root.mode));
  EXPECT_EQ(root.mode & 07777U, 0755U);
  EXPECT_EQ(root.links, 2U);
  EXPECT_TRUE(a.list(root_inode).empty());
  Mount& b = mount();  // finds it, does not make it again
  EXPECT_EQ(b.stat(root_inode).modified.nanoseconds, root.modified.nanoseconds);
}

TEST_F(NamesTest, Create_OfOneName_TakesOneCommitAndIsSeenByAnotherMount) {
  Mount& a = mount();
  Mount& b = mount();
  a.stat(root_inode);
  std::size_t before = a.store.operations();
  Opened opened = a.must(a.volume->files.create({7, 8, 0, 022}, root_inode, "file", 0666, O_RDWR));
  EXPECT_EQ(a.store.operations(), before + 1);
  Attributes seen = b.must(b.volume->names.lookup(root_inode, "file"));
  EXPECT_EQ(seen.inode, opened.attributes.inode);
  EXPECT_EQ(seen.mode, S_IFREG | 0644U);
  EXPECT_EQ(seen.uid, 7U);
  EXPECT_EQ(seen.gid, 8U);
  EXPECT_EQ(seen.links, 1U);
  EXPECT_EQ(seen.size, 0U);
  before = b.store.operations();
  b.must(b.volume->names.lookup(root_inode, "file"));
  EXPECT_EQ(b.store.operations(), before + 1);  // a warm lookup is one read
  check_invariants();
}

TEST_F(NamesTest, CreateExclusive_FromTwoMountsAtOnce_HasOneWinner) {
  Mount& a = mount();
  Mount& b = mount();
  a.store.hold();
  b.store.hold();
  std::vector<ErrorCode> errors;
  int winners = 0;
  for (Mount* each : {&a, &b}) {
    boost::asio::co_spawn(loop, each->volume->files.create({}, root_inode, "x", 0644, O_RDWR | O_CREAT | O_EXCL),
                          [&](std::exception_ptr, Result<Opened> opened) {
                            opened ? static_cast<void>(++winners) : errors.push_back(opened.error().code);
                          });
  }
  for (int i = 0; i < 8; ++i) {
    time.settle();
    a.store.release_all();
    time.settle();
    b.store.release_all();
  }
  a.store.release_all();
  b.store.release_all();
  time.settle();
  EXPECT_EQ(winners, 1);
  EXPECT_EQ(errors, std::vector<ErrorCode>{ErrorCode::exists});
  check_invariants();
}

TEST_F(NamesTest, Names_OfEveryByteAndLength_RoundTrip) {
  Mount& a = mount();
  std::set<std::string> expected;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/') continue;
    expected.insert("n" + std::string(1, static_cast<char>(byte)));
  }
  expected.insert(std::string(255, '\xff'));
  expected.insert("\n");
  expected.insert("...");
  for (const std::string& name : expected) a.put(root_inode, name, name);
  EXPECT_EQ(a.list(root_inode), expected);
  Mount& b = mount();
  for (const std::string& name : expected) EXPECT_EQ(b.get(root_inode, name), name);
  EXPECT_EQ(a.error(a.volume->names.lookup(root_inode, std::string(256, 'x'))), ErrorCode::name_too_long);
  EXPECT_EQ(a.error(a.volume->names.make_directory({}, root_inode, std::string(256, 'x'), 0755)),
            ErrorCode::name_too_long);
  EXPECT_EQ(a.error(a.volume->names.make_node({}, root_inode, "a/b", S_IFREG | 0644, 0)), ErrorCode::invalid_argument);
  EXPECT_EQ(a.error(a.volume->names.make_node({}, root_inode, std::string("a\0b", 3), S_IFREG, 0)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(a.error(a.volume->names.lookup(root_inode, "")), ErrorCode::not_found);
}

TEST_F(NamesTest, Dots_InEveryOperation_BehaveAsPosix) {
  Mount& a = mount();
  InodeNumber d = a.mkdir(root_inode, "d");
  EXPECT_EQ(a.find(d, "."), d);
  EXPECT_EQ(a.find(d, ".."), root_inode);
  EXPECT_EQ(a.find(root_inode, ".."), root_inode);
  EXPECT_EQ(a.error(a.volume->names.make_directory({}, d, ".", 0755)), ErrorCode::exists);
  EXPECT_EQ(a.error(a.volume->names.remove_directory(d, ".")), ErrorCode::invalid_argument);
  EXPECT_EQ(a.error(a.volume->names.remove_directory(d, "..")), ErrorCode::not_empty);
  EXPECT_EQ(a.error(a.volume->names.unlink(d, "..")), ErrorCode::is_directory);
  EXPECT_EQ(a.rename(root_inode, "d", d, "..").error().code, ErrorCode::invalid_argument);
}

TEST_F(NamesTest, Operations_OnMissingOrWrongThings_SayWhy) {
  Mount& a = mount();
  InodeNumber file = a.put(root_inode, "file", "x");
  InodeNumber d = a.mkdir(root_inode, "d");
  a.put(d, "inside", "y");
  EXPECT_EQ(a.error(a.volume->names.lookup(root_inode, "nothing")), ErrorCode::not_found);
  EXPECT_EQ(a.error(a.volume->names.unlink(root_inode, "nothing")), ErrorCode::not_found);
  EXPECT_EQ(a.error(a.volume->names.unlink(root_inode, "d")), ErrorCode::is_directory);
  EXPECT_EQ(a.error(a.volume->names.remove_directory(root_inode, "file")), ErrorCode::not_directory);
  EXPECT_EQ(a.error(a.volume->names.remove_directory(root_inode, "nothing")), ErrorCode::not_found);
  EXPECT_EQ(a.error(a.volume->names.remove_directory(root_inode, "d")), ErrorCode::not_empty);
  EXPECT_EQ(a.error(a.volume->names.make_directory({}, root_inode, "file", 0755)), ErrorCode::exists);
  EXPECT_EQ(a.error(a.volume->names.make_node({}, file, "below", S_IFREG | 0644, 0)), ErrorCode::not_directory);
  EXPECT_EQ(a.error(a.volume->names.link(d, root_inode, "hard")), ErrorCode::not_permitted);
  EXPECT_EQ(a.error(a.volume->names.link(file, root_inode, "d")), ErrorCode::exists);
  EXPECT_EQ(a.error(a.volume->names.link(file, file, "x")), ErrorCode::not_directory);
  EXPECT_EQ(a.error(a.volume->files.open({}, d, O_RDONLY)), ErrorCode::is_directory);
  EXPECT_EQ(a.error(a.volume->directories.open(file)), ErrorCode::not_directory);
  EXPECT_EQ(a.error(a.volume->names.read_link(file)), ErrorCode::invalid_argument);
  EXPECT_EQ(a.error(a.volume->names.get_attributes(0x123456789)), ErrorCode::stale_handle);
  EXPECT_EQ(a.error(a.volume->names.make_symlink({}, root_inode, "s", std::string(4096, 'x'))),
            ErrorCode::name_too_long);
  EXPECT_EQ(a.error(a.volume->files.read(999, 0, 1)), ErrorCode::bad_handle);
  check_invariants();
}

TEST_F(NamesTest, Directories_MadeAndRemoved_KeepParentsLinkCountAndRefuseChildrenAfterwards) {
  Mount& a = mount();
  Mount& b = mount();
  InodeNumber d = a.mkdir(root_inode, "d");
  InodeNumber e = a.mkdir(d, "e");
  EXPECT_EQ(a.stat(root_inode).links, 3U);
  EXPECT_EQ(a.stat(d).links, 3U);
  b.stat(e);  // b has seen e alive
  a.must(a.volume->names.remove_directory(d, "e"));
  EXPECT_EQ(a.stat(d).links, 2U);
  EXPECT_EQ(b.stat(e).links, 0U);
  EXPECT_EQ(b.error(b.volume->names.make_node({}, e, "late", S_IFREG | 0644, 0)), ErrorCode::not_found);
  EXPECT_EQ(b.error(b.volume->names.make_directory({}, e, "late", 0755)), ErrorCode::not_found);
  EXPECT_EQ(b.error(b.volume->names.make_node({}, e, "late", S_IFREG | 0644, 0)), ErrorCode::not_found);
  check_invariants();
  pass(a, std::chrono::minutes(10));
  clean(a);
  check_invariants();
  EXPECT_EQ(b.error(b.volume->names.get_attributes(e)), ErrorCode::stale_handle);
  EXPECT_EQ(ring->intents(), 0U);
}

TEST_F(NamesTest, SetGroupIdDirectory_NewChildren_InheritGroup) {
  Mount& a = mount();
  InodeNumber d = a.mkdir(root_inode, "d");
  SetAttributes changes;
  changes.gid = 42;
  changes.mode = 02775;
  a.must(a.volume->names.set_attributes({}, d, changes));
  Attributes file = a.must(a.volume->names.make_node({1, 1, 0, 0}, d, "f", S_IFREG | 0644, 0));
  EXPECT_EQ(file.gid, 42U);
  Attributes sub = a.must(a.volume->names.make_directory({1, 1, 0, 0}, d, "s", 0755));
  EXPECT_EQ(sub.gid, 42U);
  EXPECT_EQ(sub.mode & 07777U, 02755U);
  // Another mount takes the bit away; this one must not use what it remembers.
  Mount& b = mount();
  changes.mode = 0775;
  b.must(b.volume->names.set_attributes({}, d, changes));
  EXPECT_EQ(a.must(a.volume->names.make_node({1, 1, 0, 0}, d, "g", S_IFREG | 0644, 0)).gid, 1U);
}

TEST_F(NamesTest, SymlinksAndSpecialFiles_RoundTrip) {
  Mount& a = mount();
  Attributes link = a.must(a.volume->names.make_symlink({}, root_inode, "s", "some/where"));
  EXPECT_EQ(link.mode, S_IFLNK | 0777U);
  EXPECT_EQ(link.size, 10U);
  EXPECT_EQ(a.must(a.volume->names.read_link(link.inode)), "some/where");
  EXPECT_EQ(a.error(a.volume->files.open({}, link.inode, O_RDONLY)), ErrorCode::symlink_loop);
  Attributes device = a.must(a.volume->names.make_node({}, root_inode, "null", S_IFCHR | 0666, 0x103));
  EXPECT_EQ(a.stat(device.inode).device, 0x103U);
  EXPECT_TRUE(S_ISCHR(a.stat(device.inode).mode));
  EXPECT_TRUE(S_ISFIFO(a.must(a.volume->names.make_node({}, root_inode, "p", S_IFIFO | 0600, 0)).mode));
  a.must(a.volume->names.unlink(root_inode, "s"));
  EXPECT_FALSE(a.exists(root_inode, "s"));
  check_invariants();
}

TEST_F(NamesTest, HardLinks_AcrossDirectories_ShareTheFileUntilTheLastGoes) {
  Mount& a = mount();
  InodeNumber d = a.mkdir(root_inode, "d");
  InodeNumber file = a.put(root_inode, "one", "shared");
  EXPECT_EQ(a.must(a.volume->names.link(file, d, "two")).links, 2U);
  EXPECT_EQ(a.must(a.volume->names.link(file, root_inode, "three")).links, 3U);
  Mount& b = mount();
  EXPECT_EQ(b.get(d, "two"), "shared");
  check_invariants();
  a.must(a.volume->names.unlink(root_inode, "one"));
  a.must(a.volume->names.unlink(root_inode, "three"));
  EXPECT_EQ(b.stat(file).links, 1U);
  EXPECT_EQ(b.get(d, "two"), "shared");
  a.must(a.volume->names.unlink(d, "two"));  // the inode lives in the root's partition: a transaction
  EXPECT_EQ(b.stat(file).links, 0U);
  EXPECT_EQ(a.error(a.volume->names.link(file, root_inode, "again")), ErrorCode::not_found);
  check_invariants();
  pass(a, std::chrono::minutes(2));
  EXPECT_GE(clean(a).orphans, 1U);
  EXPECT_EQ(b.error(b.volume->names.get_attributes(file)), ErrorCode::stale_handle);
  EXPECT_EQ(ring->intents(), 0U);
}

TEST_F(NamesTest, Attributes_Set_AreKeptAndTimesFollow) {
  Mount& a = mount();
  InodeNumber file = a.put(root_inode, "f", "x");
  SetAttributes changes;
  changes.mode = 04755;
  changes.modified = TimeSpec{123456789};
  changes.accessed = TimeSpec{-5};
  Attributes set = a.must(a.volume->names.set_attributes({}, file, changes));
  EXPECT_EQ(set.mode, S_IFREG | 04755U);
  Mount& b = mount();
  Attributes seen = b.stat(file);
  EXPECT_EQ(seen.mode, S_IFREG | 04755U);
  EXPECT_EQ(seen.modified.nanoseconds, 123456789);
  EXPECT_EQ(seen.accessed.nanoseconds, -5);
  EXPECT_GE(seen.changed.nanoseconds, time.clock().stamp.microseconds * 1000 - 1'000'000'000);
  SetAttributes owner;
  owner.uid = 5;
  EXPECT_EQ(b.must(b.volume->names.set_attributes({5, 5, 0, 0}, file, owner)).mode, S_IFREG | 0755U);  // set-id bits go
  // Written before the time was set: the later flush must not overwrite it (cp -p).
  Handle handle = a.open(file);
  a.write(handle, 0, "y");
  SetAttributes past;
  past.modified = TimeSpec{77};
  a.must(a.volume->names.set_attributes({}, file, past));
  a.close(handle);
  EXPECT_EQ(b.stat(file).modified.nanoseconds, 77);
  // A time in the future does not hide a later write.
  past.modified = TimeSpec{(time.clock().stamp.microseconds + 3'600'000'000) * 1000};
  a.must(a.volume->names.set_attributes({}, file, past));
  handle = a.open(file);
  a.write(handle, 0, "z");
  a.close(handle);
  EXPECT_LE(b.stat(file).modified.nanoseconds, time.clock().stamp.microseconds * 1000);
}

TEST_F(NamesTest, DirectoryTimes_AfterChanges_NeverGoBack) {
  Mount& a = mount();
  InodeNumber d = a.mkdir(root_inode, "d");
  std::int64_t last = a.stat(d).modified.nanoseconds;
  auto moved_on = [&] {
    std::int64_t now = a.stat(d).modified.nanoseconds;
    EXPECT_GT(now, last);
    last = now;
    time.advance(std::chrono::seconds(1));
  };
  time.advance(std::chrono::seconds(1));
  a.put(d, "f", "");
  moved_on();
  EXPECT_TRUE(a.rename(d, "f", d, "g"));
  moved_on();
  a.must(a.volume->names.unlink(d, "g"));
  moved_on();
}

TEST_F(NamesTest, Listing_OfManyEntriesUnderChange_HasEveryStableEntryOnce) {
  Mount& a = mount();
  constexpr int count = 2500;
  for (int i = 0; i < count; ++i) {
    a.must(a.volume->names.make_node({}, root_inode, "f" + std::to_string(10000 + i), S_IFREG | 0644, 0));
  }
  Handle handle = a.must(a.volume->directories.open(root_inode));
  std::map<std::string, int> seen;
  std::vector<std::uint64_t> cookies;
  int step = 0;
  for (std::uint64_t cookie = 0;;) {
    std::vector<DirectoryEntry> entries = a.must(a.volume->directories.read(handle, cookie, 97, true));
    if (entries.empty()) break;
    for (const DirectoryEntry& entry : entries) {
      ++seen[entry.name];
      if (entry.name[0] == 'f') {
        EXPECT_TRUE(entry.attributes && S_ISREG(entry.attributes->mode)) << entry.name;
      }
    }
    cookie = entries.back().cookie;
    cookies.push_back(cookie);
    // Entries before and behind the reader come and go.
    a.must(a.volume->names.unlink(root_inode, "f" + std::to_string(10000 + 7 * step)));
    a.must(a.volume->names.make_node({}, root_inode, "a" + std::to_string(step), S_IFREG | 0644, 0));
    ++step;
  }
  for (const auto& [name, times] : seen) EXPECT_EQ(times, 1) << name;
  for (int i = 0; i < count; ++i) {
    if (i % 7 == 0 && i / 7 < step) continue;  // removed on the way
    EXPECT_EQ(seen["f" + std::to_string(10000 + i)], 1) << i;
  }
  // Going back to an earlier page, and rewinding.
  std::vector<DirectoryEntry> again = a.must(a.volume->directories.read(handle, cookies[3], 5, false));
  ASSERT_EQ(again.size(), 5U);
  EXPECT_GT(again[0].cookie, cookies[3]);
  EXPECT_EQ(again[0].cookie, a.must(a.volume->directories.read(handle, cookies[3], 1, false)).at(0).cookie);
  std::vector<DirectoryEntry> first = a.must(a.volume->directories.read(handle, 0, 3, false));
  ASSERT_EQ(first.size(), 3U);
  EXPECT_EQ(first[0].name, ".");
  EXPECT_EQ(first[1].name, "..");
  a.volume->directories.release(handle);
  EXPECT_EQ(a.error(a.volume->directories.read(handle, 0, 1, false)), ErrorCode::bad_handle);
}

// For file handles the kernel looks up inodes that it has forgotten.
TEST_F(NamesTest, LookupOfDot_FindsAnyInodeUntilItIsRemoved) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber d = a.mkdir(root_inode, "d");
  const InodeNumber f = a.put(d, "f", "x");
  const Attributes known = a.stat(f);
  ASSERT_TRUE(a.rename(d, "f", root_inode, "g"));
  const Result<Attributes> found = b.run(b.volume->names.lookup(f, "."));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->inode, f);
  EXPECT_EQ(found->generation, known.generation);
  EXPECT_EQ(b.error(b.volume->names.lookup(f, "..")), ErrorCode::not_directory);
  EXPECT_EQ(b.find(d, ".."), root_inode);
  const Handle open = a.open(f);
  a.must(a.volume->names.unlink(root_inode, "g"));
  EXPECT_EQ(b.error(b.volume->names.lookup(f, ".")), ErrorCode::stale_handle);
  EXPECT_EQ(a.error(a.volume->names.lookup(f, ".")), ErrorCode::stale_handle);
  a.close(open);
  a.must(a.volume->names.remove_directory(root_inode, "d"));
  EXPECT_EQ(b.error(b.volume->names.lookup(d, ".")), ErrorCode::stale_handle);
  EXPECT_EQ(b.error(b.volume->names.lookup(d, "..")), ErrorCode::stale_handle);
}

TEST_F(NamesTest, ListingWithAttributes_OfASmallDirectory_IsOneRead) {
  Mount& a = mount();
  for (int i = 0; i < 50; ++i) a.put(root_inode, "f" + std::to_string(i), "x");
  Mount& b = mount();
  Handle handle = b.must(b.volume->directories.open(root_inode));
  std::size_t before = b.store.operations();
  std::vector<DirectoryEntry> entries = b.must(b.volume->directories.read(handle, 0, 1000, true));
  EXPECT_EQ(b.store.operations(), before + 1);
  EXPECT_EQ(entries.size(), 52U);
  for (const DirectoryEntry& entry : entries) EXPECT_TRUE(entry.attributes) << entry.name;
  // And afterwards every name is warm: stat is one read each.
  b.must(b.volume->names.lookup(root_inode, "f7"));
  EXPECT_EQ(b.store.operations(), before + 2);
}

}  // namespace
}  // namespace ringfs::fs
