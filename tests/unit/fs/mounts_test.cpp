// Several mounts on one file: appends, conversions, truncations at once.
#include "tests/unit/fs/world.hpp"

namespace ringfs::fs {
namespace {

class MountsTest : public World {
 protected:
  // Lets the held operations of these mounts go on in random order until `ended` reaches `count`.
  void interleave(std::vector<Mount*> mounts, const int& ended, int count, std::uint64_t seed) {
    SeededRandom random(seed);
    for (int step = 0; ended < count && step < 100000; ++step) {
      time.settle();
      Mount& next = *mounts[random.below(mounts.size())];
      if (next.store.held() > 0) {
        next.store.release_one();
      } else if (random.below(8) == 0) {
        time.advance(std::chrono::milliseconds(1));
      }
    }
    EXPECT_EQ(ended, count) << "seed " << seed;
    for (Mount* mount : mounts) mount->store.release_all();
    time.settle();
  }
};

TEST_F(MountsTest, Append_ToASmallFile_IsOneCommit) {
  Mount& a = mount();
  InodeNumber file = a.put(root_inode, "log", "one\n");
  Opened opened = a.must(a.volume->files.open({}, file, O_WRONLY | O_APPEND));
  EXPECT_TRUE(opened.direct_io);
  std::size_t before = a.store.operations();
  a.write(opened.handle, 0, "two\n");
  EXPECT_EQ(a.store.operations(), before + 1);
  EXPECT_EQ(mount().get(root_inode, "log"), "one\ntwo\n");  // durable before close
  a.close(opened.handle);
}

// Three mounts append records while the file grows from inline to several chunks. Every record is whole, and there
// once.
TEST_F(MountsTest, ConcurrentAppends_FromManyMounts_AreWholeAndAtTheEnd) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    std::vector<Mount*> mounts{&mount(), &mount(), &mount()};
    std::string name = "log" + std::to_string(seed);
    InodeNumber file = mounts[0]->put(root_inode, name, "");
    const std::size_t record = seed % 2 == 0 ? 700 : 150000;
    constexpr int each = 20;
    std::vector<Handle> handles;
    for (Mount* mount : mounts) handles.push_back(mount->open(file, O_WRONLY | O_APPEND));
    for (Mount* mount : mounts) mount->store.hold();
    int ended = 0, failed = 0;
    auto writer = [](Mount* mount, Handle handle, char letter, std::size_t size, int* bad) -> Task<void> {
      for (int i = 0; i < each; ++i) {
        SharedBytes bytes(std::string(size - 1, static_cast<char>(letter + i)) + "\n");
        Result<std::size_t> written = co_await mount->volume->files.write(handle, 0, bytes);
        *bad += written ? 0 : 1;
      }
    };
    for (std::size_t i = 0; i < mounts.size(); ++i) {
      char letter = static_cast<char>('!' + 20 * i);
      boost::asio::co_spawn(loop, writer(mounts[i], handles[i], letter, record, &failed),
                            [&](std::exception_ptr) { ++ended; });
    }
    interleave(mounts, ended, 3, seed);
    EXPECT_EQ(failed, 0);
    std::string bytes = mount().contents(file);
    ASSERT_EQ(bytes.size(), 3 * each * record) << "seed " << seed;
    std::map<char, int> seen;
    for (std::size_t place = 0; place < bytes.size(); place += record) {
      std::string expected = std::string(record - 1, bytes[place]) + "\n";
      EXPECT_TRUE(bytes.compare(place, record, expected) == 0) << "seed " << seed << " at " << place;
      ++seen[bytes[place]];
    }
    EXPECT_EQ(seen.size(), 3U * each);
    check_invariants();
    if (HasFailure()) return;
  }
}

TEST_F(MountsTest, AppendLock_OfAMountThatDied_IsBroken) {
  Mount& a = mount();
  Mount& b = mount();
  InodeNumber file = a.put(root_inode, "log", pattern(100000));
  for (std::size_t operations = 1; operations < 6; ++operations) {
    std::string before = b.contents(file);
    Mount& dying = mount({.operation_timeout = std::chrono::seconds(2)});
    Handle handle = dying.open(file, O_WRONLY | O_APPEND);
    dying.die_after(operations, dying.volume->files.write(handle, 0, SharedBytes(std::string(300, 'd'))));
    Handle other = b.open(file, O_WRONLY | O_APPEND);
    b.write(other, 0, "after\n");
    b.close(other);
    std::string now = a.contents(file);
    bool without = now == before + "after\n";
    bool with = now == before + std::string(300, 'd') + "after\n";
    EXPECT_TRUE(without || with) << operations;
    dying.store.revive();
    time.run_until_idle();
    EXPECT_EQ(a.contents(file), now) << "a late write came through";
  }
}

// A small file grows beyond 16 KiB on two mounts at once, at different places: both parts and the old bytes survive.
TEST_F(MountsTest, Conversion_OnTwoMountsAtOnce_LosesNothing) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Mount& a = mount();
    Mount& b = mount();
    std::string old = pattern(9000, seed);
    InodeNumber file = a.put(root_inode, "f" + std::to_string(seed), old);
    Handle one = a.open(file), two = b.open(file);
    std::string first = pattern(50000, seed + 100), second = pattern(60000, seed + 200);
    a.write(one, 20000, first);
    b.write(two, 100000, second);
    a.store.hold();
    b.store.hold();
    int ended = 0;
    auto end = [&](std::exception_ptr, Status status) {
      ++ended;
      EXPECT_TRUE(status);
    };
    boost::asio::co_spawn(loop, a.volume->files.flush(one), end);
    boost::asio::co_spawn(loop, b.volume->files.flush(two), end);
    interleave({&a, &b}, ended, 2, seed);
    std::string expected = old;
    expected.resize(160000, '\0');
    expected.replace(20000, first.size(), first).replace(100000, second.size(), second);
    EXPECT_TRUE(mount().contents(file) == expected) << "seed " << seed;
    a.close(one);
    b.close(two);
    pass(a, std::chrono::minutes(10));
    clean(a);
    EXPECT_TRUE(mount().contents(file) == expected) << "seed " << seed;
    check_invariants();
  }
}

// One mount writes and flushes while another truncates and writes: what was flushed after the truncation had returned
// is there.
TEST_F(MountsTest, WriteAndTruncate_OnTwoMounts_NeverLoseAFlushedWrite) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SeededRandom random(seed);
    Mount& a = mount();
    Mount& b = mount();
    std::string name = "f" + std::to_string(seed);
    InodeNumber file = a.put(root_inode, name, pattern(3 << 20, seed));
    Handle writer = a.open(file);
    std::string bytes = pattern(1 << 20, seed + 50);
    // Full chunks are sent in the background while the other mount cuts below them.
    a.store.hold();
    b.store.hold();
    int ended = 0;
    SetAttributes smaller;
    smaller.size = random.below(2) == 0 ? 0 : random.below(2 << 20);
    auto write_and_flush = [](Mount* mount, Handle handle, std::string data) -> Task<void> {
      SharedBytes shared(std::move(data));
      Result<std::size_t> written = co_await mount->volume->files.write(handle, 4 << 20, shared);
      EXPECT_TRUE(written);
      Status flushed = co_await mount->volume->files.flush(handle);
      EXPECT_TRUE(flushed);
    };
    boost::asio::co_spawn(loop, b.volume->names.set_attributes({}, file, smaller),
                          [&](std::exception_ptr, Result<Attributes> set) {
                            ++ended;
                            EXPECT_TRUE(set);
                          });
    boost::asio::co_spawn(loop, write_and_flush(&a, writer, bytes), [&](std::exception_ptr) { ++ended; });
    interleave({&a, &b}, ended, 2, seed);
    std::string now = mount().contents(file);
    // The two calls may come in either order. In both, the written megabyte is whole, or gone with all that is behind
    // the new size.
    if (now.size() > *smaller.size) {
      ASSERT_EQ(now.size(), 5U << 20) << "seed " << seed;
      EXPECT_TRUE(now.compare(4 << 20, 1 << 20, bytes) == 0) << "seed " << seed;
      std::string hole = now.substr(*smaller.size, (4 << 20) - *smaller.size);
      EXPECT_EQ(hole.find_first_not_of('\0'), std::string::npos) << "seed " << seed;
    } else {
      EXPECT_EQ(now.size(), *smaller.size) << "seed " << seed;
    }
    a.close(writer);
    check_invariants();
  }
}

TEST_F(MountsTest, OpenHandle_AfterAnotherMountAppended_ReadsOn) {
  Mount& a = mount();
  Mount& b = mount();
  InodeNumber file = a.put(root_inode, "log", "one\n");
  Handle tail = b.open(file, O_RDONLY);
  EXPECT_EQ(b.read(tail), "one\n");
  Handle handle = a.open(file, O_WRONLY | O_APPEND);
  a.write(handle, 0, "two\n");
  EXPECT_EQ(b.read(tail, 4), "two\n");
  a.write(handle, 0, std::string(40000, 'x'));
  EXPECT_EQ(b.read(tail, 8), std::string(40000, 'x'));
}

TEST_F(MountsTest, FileReplacedByRename_OpenedByItsOldInode_IsReadableOrStale) {
  Mount& a = mount();
  Mount& b = mount();
  a.put(root_inode, "f", "old");
  InodeNumber seen = b.find(root_inode, "f");
  a.put(root_inode, "tmp", "new");
  EXPECT_TRUE(a.rename(root_inode, "tmp", root_inode, "f"));
  EXPECT_EQ(b.contents(seen), "old");
  EXPECT_EQ(b.get(root_inode, "f"), "new");
  pass(a, std::chrono::minutes(5));
  clean(a);
  EXPECT_EQ(b.error(b.volume->files.open({}, seen, O_RDONLY)), ErrorCode::stale_handle);
}

// A small sparse file shrinks on one mount while the other fills its hole: what was cut off does not come back.
TEST_F(MountsTest, ShrinkOfASmallFile_WhileAnotherMountWritesBehindTheNewEnd_CutsThoseBytesToo) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "f", "");
  ASSERT_TRUE(a.truncate(file, 10000));
  const Handle handle = a.open(file);
  b.store.hold();
  SetAttributes smaller;
  smaller.size = 100;
  const Begun<Result<Attributes>> set = time.begin(b.volume->names.set_attributes({}, file, smaller));
  b.store.release_one();  // it has read the file
  time.settle();
  ASSERT_EQ(b.store.held(), 1U);
  a.write(handle, 5000, std::string(50, 'x'));
  a.close(handle);
  b.store.release_all();
  for (int i = 0; i < 100 && !set.ended(); ++i) {
    time.settle();
    b.store.release_all();
    time.advance(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(set.ended() && set.result());
  ASSERT_TRUE(a.truncate(file, 10000));
  EXPECT_EQ(mount().contents(file), std::string(10000, '\0'));
}

// The kernel that asks for the creation has not checked the permissions of the existing file.
TEST_F(MountsTest, Create_OfANameThatAnotherMountMade_OpensItOnlyForItsOwner) {
  Mount& a = mount();
  Mount& b = mount();
  const Caller owner{7, 7, 0, 0}, stranger{8, 8, 0, 0};
  const Opened made = a.must(a.volume->files.create(owner, root_inode, "f", 0400, O_RDWR | O_CREAT));
  a.write(made.handle, 0, "private");
  a.close(made.handle);
  constexpr int read_or_make = O_RDONLY | O_CREAT, write_or_make = O_RDWR | O_CREAT;
  EXPECT_EQ(b.error(b.volume->files.create(stranger, root_inode, "f", 0644, read_or_make)), ErrorCode::stale_handle);
  EXPECT_EQ(b.error(b.volume->files.create(owner, root_inode, "f", 0644, write_or_make)), ErrorCode::stale_handle);
  EXPECT_EQ(b.error(b.volume->files.create(owner, root_inode, "f", 0644, read_or_make | O_TRUNC)),
            ErrorCode::stale_handle);
  EXPECT_EQ(b.error(b.volume->files.create(owner, root_inode, "f", 0644, write_or_make | O_EXCL)), ErrorCode::exists);
  const Opened opened = b.must(b.volume->files.create(owner, root_inode, "f", 0644, read_or_make));
  EXPECT_EQ(opened.attributes.inode, made.attributes.inode);
  EXPECT_EQ(b.read(opened.handle), "private");
  a.must(a.volume->names.make_symlink(owner, root_inode, "link", "f"));
  EXPECT_EQ(b.error(b.volume->files.create(owner, root_inode, "link", 0644, read_or_make)), ErrorCode::stale_handle);
}

// The first chunk never becomes full: it was begun and flushed before. At any time the size that others see has its
// bytes, also if the writer ends here.
TEST_F(MountsTest, LongWrite_BegunInTheMiddleOfAChunk_IsVisibleOnlyWithItsBytes) {
  Mount& a = mount();
  Mount& b = mount();
  const std::string whole = pattern(3 << 20);
  const InodeNumber file = a.put(root_inode, "f", whole.substr(0, 500000));
  const Handle handle = a.open(file);
  for (std::size_t offset = 500000; offset < whole.size(); offset += 100000) {
    a.write(handle, offset, whole.substr(offset, 100000));
    time.settle();
    const std::string seen = b.contents(file);
    ASSERT_TRUE(seen == whole.substr(0, seen.size())) << seen.size() << " bytes at " << offset;
  }
  EXPECT_GT(b.stat(file).size, 2U << 20);
  a.close(handle);
  EXPECT_TRUE(b.contents(file) == whole);
}

// After a flush the size is known, also if another mount had made the file shorter.
TEST_F(MountsTest, Flush_AfterAnotherMountShortenedTheFile_KnowsWhereItEnds) {
  Mount& a = mount();
  Mount& b = mount();
  for (const std::size_t size : {std::size_t{1000}, std::size_t{100000}}) {
    const InodeNumber file = a.put(root_inode, "f" + std::to_string(size), std::string(size, 'a'));
    const Handle handle = b.open(file);
    ASSERT_TRUE(a.truncate(file, 10));
    b.write(handle, 500, "0123456789");
    b.must(b.volume->files.flush(handle));
    const std::string expected = std::string(10, 'a') + std::string(490, '\0') + "0123456789";
    EXPECT_EQ(b.read(handle), expected);
    EXPECT_EQ(a.contents(file), expected);
    b.close(handle);
  }
}

// The kernel is told of changes that it cannot know, and not of those that it wrote through its pages.
class KernelPagesTest : public MountsTest {
 protected:
  struct Told {
    std::optional<std::uint64_t> from, until;
    std::string tail;  // its bytes
    std::uint64_t end = 0;
  };
  void listen(Mount& mount) {
    mount.volume->pages_changed = [this](const PageChange& change, std::function<void()> done) {
      Told one{change.from, change.until, "", 0};
      if (change.tail) one.tail = change.tail->bytes.str();
      if (change.tail) one.end = change.tail->offset + change.tail->bytes.size();
      told.push_back(one);
      if (late) {
        waiting.push_back(done);
      } else {
        boost::asio::post(loop, done);
      }
    };
  }
  // The kernel has done what it was told.
  void release_kernel() {
    late = false;
    for (const std::function<void()>& done : std::exchange(waiting, {})) boost::asio::post(loop, done);
    time.settle();
  }
  void overwrite(Mount& by, InodeNumber file, std::uint64_t offset, const std::string& bytes) {
    const Handle handle = by.open(file);
    by.write(handle, offset, bytes);
    by.close(handle);
  }
  std::vector<Told> told;
  bool late = false;  // the kernel waits for locked pages
  std::vector<std::function<void()>> waiting;
  std::vector<Handle> handles;
  static constexpr Duration long_ago = std::chrono::seconds(10);  // the kernel has handled all answers from then
};

TEST_F(KernelPagesTest, OverwrittenElsewhere_IsToldWhileAFileIsOpenWhateverItsSizeIs) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "f", "0123456789");
  listen(b);
  overwrite(a, file, 0, "ABC");
  b.stat(file);
  EXPECT_TRUE(told.empty());  // it is not open
  const Handle reader = b.open(file, O_RDONLY);
  overwrite(a, file, 0, "abc");
  b.stat(file);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].from, 0U);
  // Another size, and the first one again: the kernel never sees that it changed.
  overwrite(a, file, 9, "more");
  overwrite(a, file, 1, "BC");
  a.truncate(file, 10);
  b.stat(file);
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1].from, 0U);
  b.close(reader);
  overwrite(a, file, 0, "xyz");
  b.stat(file);
  EXPECT_EQ(told.size(), 2U);
}

TEST_F(KernelPagesTest, ReadCutAtTheEnd_IsDroppedBeforeALargerSizeIsAnswered) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "f", std::string(5000, 'a'));
  listen(b);
  const Handle reader = b.open(file, O_RDONLY);
  EXPECT_EQ(b.read(reader, 4096, 4096).size(), 904U);
  overwrite(a, file, 5000, std::string(20000, 'b'));
  EXPECT_EQ(b.stat(file).size, 25000U);
  ASSERT_EQ(told.size(), 1U);
  // And the kernel gets the last bytes, whose end becomes its size. After that it ignores the answer's attributes.
  EXPECT_EQ(told[0].from, 0U);
  EXPECT_EQ(told[0].end, 25000U);
  EXPECT_EQ(told[0].tail, std::string(25000 % 4096, 'b'));
  b.close(reader);
}

TEST_F(KernelPagesTest, OwnAppend_DropsWhatWasCutAtTheFormerEndAndKeepsTheRest) {
  Mount& a = mount();
  const InodeNumber file = a.put(root_inode, "log", std::string(9000, 'a'));
  listen(a);
  const Handle reader = a.open(file, O_RDONLY);
  const Handle log = a.open(file, O_WRONLY | O_APPEND);
  a.write(log, 9000, "one");
  EXPECT_TRUE(told.empty());  // no read ended at the end of file
  EXPECT_EQ(a.read(reader, 8192, 4096).size(), 811U);
  a.write(log, 9003, "two");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].from, 8192U);
  EXPECT_EQ(told[0].tail, "");  // the write itself brings the size
  a.close(log);
  a.close(reader);
}

// The kernel takes the end to be where it was before another mount's append: it is told where it really is, for the
// next append. A program asks for the size between an append's commit and its answer, while a descriptor for plain
// writes is open.
TEST_F(KernelPagesTest, SizeOfAnOwnAppendThatIsNotAnswered_DropsWhatWasCutBefore) {
  Mount& a = mount();
  const InodeNumber file = a.put(root_inode, "log", "first ");
  listen(a);
  const Handle reader = a.open(file, O_RDONLY);
  const Handle writer = a.open(file, O_WRONLY);
  const Handle log = a.open(file, O_WRONLY | O_APPEND);
  time.advance(long_ago);
  EXPECT_EQ(a.read(reader, 0, 4096), "first ");
  told.clear();
  a.store.hold_answers(true);
  const Begun<Result<std::size_t>> append =
      time.begin(a.volume->files.write(log, 6, SharedBytes(std::string("second")), {}));
  ASSERT_FALSE(append.ended());
  late = true;
  const Begun<Result<Attributes>> attributes = time.begin(a.volume->names.get_attributes(file));
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].from, 0U);
  EXPECT_EQ(told[0].tail, "");
  EXPECT_FALSE(attributes.ended()) << "before the page is gone";
  release_kernel();
  ASSERT_TRUE(attributes.ended() && attributes.result());
  EXPECT_EQ(attributes.result()->size, 12U);
  a.store.hold_answers(false);
  a.store.release_all();
  time.settle();
  EXPECT_TRUE(append.ended() && append.result());
  a.close(log);
  a.close(writer);
  a.close(reader);
}

TEST_F(KernelPagesTest, AppendBehindAnotherMounts_TellsTheKernelItsEnd) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "log", "first ");
  listen(b);
  const Handle log = b.open(file, O_WRONLY | O_APPEND);
  const Handle other = a.open(file, O_WRONLY | O_APPEND);
  a.write(other, 6, "second ");
  b.write(log, 6, "third");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].from, std::nullopt);
  EXPECT_EQ(told[0].tail, "third");
  EXPECT_EQ(told[0].end, 18U);
  b.write(log, 18, " fourth");
  EXPECT_EQ(told.size(), 1U);
  a.close(other);
  b.close(log);
}

// The kernel was answered with the present size, but ignored that answer, as it does while it writes: its append comes
// with the offset that it knew before.
TEST_F(KernelPagesTest, AppendBehindAnotherMounts_OfAKernelThatLostTheAnswerWithTheEnd_TellsItTheEnd) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "log", std::string(72, 'a'));
  listen(b);
  const Handle log = b.open(file, O_WRONLY | O_APPEND);
  const Handle other = a.open(file, O_WRONLY | O_APPEND);
  a.write(other, 72, std::string(44, 'b'));
  EXPECT_EQ(b.stat(file).size, 116U);
  told.clear();
  b.write(log, 72, "third");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].from, std::nullopt);
  EXPECT_EQ(told[0].tail, "third");
  EXPECT_EQ(told[0].end, 121U);
  a.close(other);
  b.close(log);
}

// The bytes of the last page could overwrite bytes that a local write has put there and not sent yet.
TEST_F(KernelPagesTest, LargerSize_WhileAWriterUsesPages_IsLeftToTheAnswer) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "f", "0123456789");
  listen(b);
  const Handle writer = b.open(file, O_RDWR);
  EXPECT_EQ(b.read(writer, 0, 4096).size(), 10U);
  overwrite(a, file, 10, "more");
  EXPECT_EQ(b.stat(file).size, 14U);
  EXPECT_TRUE(told.empty());
  b.close(writer);
}

TEST_F(KernelPagesTest, OwnWrites_ThroughPages_AreNotTold) {
  Mount& a = mount();
  const InodeNumber file = a.put(root_inode, "f", "0123456789");
  listen(a);
  const Handle reader = a.open(file, O_RDONLY), writer = a.open(file);
  EXPECT_EQ(a.read(reader, 0, 4096).size(), 10U);
  time.advance(long_ago);
  a.write(writer, 5, "abcdefgh");
  a.close(writer);
  EXPECT_EQ(a.stat(file).size, 13U);
  EXPECT_TRUE(told.empty());
  a.close(reader);
}

// The kernel drops its pages some time after an answer, perhaps between taking written bytes into a page and sending
// them. A page that is read then has zeros where they will be.
TEST_F(KernelPagesTest, OwnWrite_AfterAReadOfADroppedPage_DropsItAgain) {
  Mount& a = mount();
  const InodeNumber file = a.put(root_inode, "f", std::string(5000, 'a'));
  listen(a);
  const Handle reader = a.open(file, O_RDONLY), writer = a.open(file);
  EXPECT_EQ(a.read(reader, 4096, 4096).size(), 904U);
  a.write(writer, 5000, std::string(100, 'b'));
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].from, 4096U);
  EXPECT_EQ(told[0].until, 8192U);
  EXPECT_EQ(told[0].tail, "");
  // Reads after that reach to its end.
  a.write(writer, 5100, std::string(100, 'c'));
  EXPECT_EQ(told.size(), 1U);
  // The kernel locks the page in which a longer write ends until the answer.
  EXPECT_EQ(a.read(reader, 4096, 4096).size(), 1104U);
  a.write(writer, 5200, std::string(10000, 'd'));
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1].from, 4096U);
  EXPECT_EQ(told[1].until, 12288U);
  a.close(writer);
  a.close(reader);
}

TEST_F(KernelPagesTest, Open_WhileOthersReadHere_DropsNoPages) {
  Mount& a = mount();
  const InodeNumber file = a.put(root_inode, "f", "0123456789");
  listen(a);
  const auto keeps = [&](int flags) {
    const Opened opened = a.must(a.volume->files.open({}, file, flags));
    handles.push_back(opened.handle);
    return opened.keep_cache;
  };
  EXPECT_FALSE(keeps(O_RDONLY));
  EXPECT_TRUE(keeps(O_RDWR));
  a.write(handles.back(), 10, "more");
  EXPECT_TRUE(keeps(O_RDONLY));
  EXPECT_TRUE(keeps(O_WRONLY | O_APPEND));
  for (const Handle handle : std::exchange(handles, {})) a.close(handle);
}

TEST_F(KernelPagesTest, Open_WhileOthersReadWhatChangedElsewhere_DropsItBefore) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "f", "0123456789");
  listen(b);
  const Handle reader = b.open(file, O_RDONLY);
  overwrite(a, file, 0, "ABC");
  const Opened opened = b.must(b.volume->files.open({}, file, O_RDONLY));
  EXPECT_TRUE(opened.keep_cache);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].from, 0U);
  b.close(opened.handle);
  b.close(reader);
}

// Bytes on their way to the kernel's last page must not overwrite bytes that a program has just written there.
TEST_F(KernelPagesTest, OpenForWriting_WaitsForBytesOnTheirWayToTheKernel) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "f", "0123456789");
  listen(b);
  const Handle reader = b.open(file, O_RDONLY);
  overwrite(a, file, 10, "more");
  late = true;
  const Begun<Result<Attributes>> attributes = time.begin(b.volume->names.get_attributes(file));
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].end, 14U);
  const Begun<Result<Opened>> opened = time.begin(b.volume->files.open({}, file, O_RDWR));
  EXPECT_FALSE(attributes.ended());
  EXPECT_FALSE(opened.ended());
  release_kernel();
  EXPECT_TRUE(attributes.ended() && attributes.result());
  ASSERT_TRUE(opened.ended() && opened.result());
  b.close(opened.result()->handle);
  b.close(reader);
}

// Of two answers that overlap the kernel takes one, and that may be the one with the smaller size. One of them may come
// from before the file was open.
TEST_F(KernelPagesTest, LargerSize_SoonAfterAnAnswerWithASmallerOne_IsHandedToTheKernel) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "f", std::string(5000, 'a'));
  listen(b);
  EXPECT_EQ(b.stat(file).size, 5000U);
  overwrite(a, file, 5000, std::string(20000, 'b'));
  const Handle reader = b.open(file, O_RDONLY);
  EXPECT_EQ(b.stat(file).size, 25000U);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].end, 25000U);
  EXPECT_EQ(b.stat(file).size, 25000U);
  EXPECT_EQ(told.size(), 1U);  // it certainly has it by now
  // It grows while its last page is on its way, and is larger in the answer, which the kernel ignores.
  overwrite(a, file, 25000, "c");
  late = true;
  const Begun<Result<Attributes>> attributes = time.begin(b.volume->names.get_attributes(file));
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1].end, 25001U);
  overwrite(a, file, 25001, "d");
  EXPECT_EQ(b.read(reader, 25001, 10), "d");
  release_kernel();
  ASSERT_TRUE(attributes.ended() && attributes.result());
  EXPECT_EQ(attributes.result()->size, 25002U);
  EXPECT_EQ(b.stat(file).size, 25002U);
  ASSERT_EQ(told.size(), 3U);
  EXPECT_EQ(told[2].end, 25002U);
  b.close(reader);
}

TEST_F(KernelPagesTest, SizeThatHasBeenTheOnlyOneForLong_IsNotHandedToTheKernel) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "f", std::string(5000, 'a'));
  listen(b);
  EXPECT_EQ(b.stat(file).size, 5000U);
  time.advance(long_ago);
  overwrite(a, file, 5000, std::string(20000, 'b'));
  EXPECT_EQ(b.find(root_inode, "f"), file);
  const Handle reader = b.open(file, O_RDONLY);
  EXPECT_EQ(b.stat(file).size, 25000U);
  EXPECT_TRUE(told.empty());
  b.close(reader);
  // Nor one that a program here has just written.
  const InodeNumber mine = b.put(root_inode, "g", "0123456789");
  const Handle again = b.open(mine, O_RDONLY);
  EXPECT_EQ(b.stat(mine).size, 10U);
  EXPECT_TRUE(told.empty());
  b.close(again);
}

// Otherwise the read that asked for the size would end too early, without an error.
TEST_F(KernelPagesTest, LargerSize_WhoseLastPageCannotBeRead_IsAnsweredWithTheError) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "f", std::string(70000, 'a'));
  listen(b);
  const Handle reader = b.open(file, O_RDONLY);
  EXPECT_EQ(b.read(reader, 69632, 4096).size(), 368U);
  overwrite(a, file, 70000, std::string(1000, 'b'));
  b.store.hold();
  const Begun<Result<Attributes>> attributes = time.begin(b.volume->names.get_attributes(file));
  b.store.release_one();  // the inode
  time.settle();
  EXPECT_EQ(b.store.held(), 1U);  // the last page
  b.store.fail_reads(1, ErrorCode::io_error);
  b.store.release_all();
  time.settle();
  ASSERT_TRUE(attributes.ended() && !attributes.result());
  EXPECT_EQ(attributes.result().error().code, ErrorCode::io_error);
  EXPECT_TRUE(told.empty());
  EXPECT_EQ(b.stat(file).size, 71000U);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].from, 0U);
  EXPECT_EQ(told[0].end, 71000U);
  b.close(reader);
}

// A read is under way when the kernel hears of a larger size: it would take the rest of its page for zeros.
TEST_F(KernelPagesTest, Read_OvertakenByALargerSize_GoesOnToTheNewEnd) {
  Mount& a = mount();
  Mount& b = mount();
  const InodeNumber file = a.put(root_inode, "f", pattern(70000));
  listen(b);
  const Handle reader = b.open(file, O_RDONLY);
  overwrite(a, file, 70000, pattern(1000));
  b.store.hold();
  const Begun<Result<ReadResult>> read = time.begin(b.volume->files.read(reader, 69632, 4096));
  EXPECT_EQ(b.store.held(), 1U);  // it asks for the blocks, and took the file for 70,000 bytes
  const Begun<Result<Attributes>> attributes = time.begin(b.volume->names.get_attributes(file));
  for (int i = 0; i < 100 && !attributes.ended(); ++i) {
    // Everything except the blocks of the read, which came first.
    b.store.release_newest();
    time.settle();
  }
  ASSERT_TRUE(attributes.ended() && attributes.result());
  EXPECT_EQ(attributes.result()->size, 71000U);
  b.store.release_all();
  time.settle();
  ASSERT_TRUE(read.ended() && read.result());
  std::string seen;
  for (const SharedBytes& piece : read.result()->pieces) seen += piece.view();
  EXPECT_EQ(seen, (pattern(70000) + pattern(1000)).substr(69632));
  b.close(reader);
}

}  // namespace
}  // namespace ringfs::fs
