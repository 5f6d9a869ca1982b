// Contents: inline and chunked, holes, truncation, write-behind, unlinked-but-open, against a model.
#include "tests/unit/fs/world.hpp"

namespace ringfs::fs {
namespace {

class ContentsTest : public World {};

TEST_F(ContentsTest, SmallFile_CreatedWrittenClosed_TakesTwoCommitsAndOneReadToOpen) {
  Mount& a = mount();
  a.stat(root_inode);
  std::size_t before = a.store.commits();
  std::string bytes = pattern(4096);
  InodeNumber file = a.put(root_inode, "f", bytes);
  EXPECT_EQ(a.store.commits(), before + 2);
  Mount& b = mount();
  before = b.store.operations();
  Handle handle = b.open(file, O_RDONLY);
  EXPECT_EQ(b.read(handle, 0, 131072), bytes);
  EXPECT_EQ(b.store.operations(), before + 1);
  b.close(handle);
  EXPECT_EQ(b.store.operations(), before + 1);
}

TEST_F(ContentsTest, Sizes_AroundEveryBoundary_RoundTrip) {
  Mount& a = mount();
  Mount& b = mount();
  for (std::size_t edge : {inline_limit, block_bytes, chunk_bytes, 2 * chunk_bytes}) {
    for (int delta : {-1, 0, 1}) {
      std::size_t size = edge + static_cast<std::size_t>(delta);
      std::string name = std::to_string(size), bytes = pattern(size, size);
      InodeNumber file = a.put(root_inode, name, bytes);
      EXPECT_EQ(b.stat(file).size, size);
      EXPECT_TRUE(b.contents(file) == bytes) << size;
    }
  }
  check_invariants();
}

TEST_F(ContentsTest, OpenAfterClose_OnAnotherMount_SeesTheWrite) {
  Mount& a = mount();
  Mount& b = mount();
  InodeNumber file = a.put(root_inode, "f", "one");
  EXPECT_EQ(b.contents(file), "one");
  Handle handle = a.open(file);
  a.write(handle, 1, "NE and more");
  EXPECT_EQ(a.contents(file), "oNE and more");  // at once on the same mount
  EXPECT_EQ(a.stat(file).size, 12U);
  a.close(handle);
  EXPECT_EQ(b.contents(file), "oNE and more");
  std::string big = pattern(3 << 20);
  handle = b.open(file);
  b.write(handle, 0, big);
  b.close(handle);
  EXPECT_TRUE(a.contents(file) == big);
}

TEST_F(ContentsTest, KeepCache_OnlyWhileNobodyChangedTheContents_IsGranted) {
  Mount& a = mount();
  Mount& b = mount();
  InodeNumber file = a.put(root_inode, "f", "one");
  auto open = [&] {
    Opened opened = b.must(b.volume->files.open({}, file, O_RDONLY));
    b.run(b.volume->files.release(opened.handle));
    return opened.keep_cache;
  };
  EXPECT_FALSE(open());
  EXPECT_TRUE(open());
  Handle handle = a.open(file);
  a.write(handle, 0, "two");
  a.close(handle);
  EXPECT_FALSE(open());
  EXPECT_TRUE(open());
  EXPECT_TRUE(b.truncate(file, 1));
  EXPECT_FALSE(open());
}

TEST_F(ContentsTest, Holes_InSparseFiles_ReadAsZeros) {
  Mount& a = mount();
  Handle handle = a.create(root_inode, "sparse");
  a.write(handle, (5 << 20) + 17, "end");
  a.write(handle, 100, "begin");
  a.close(handle);
  Mount& b = mount();
  std::string expected((5 << 20) + 20, '\0');
  expected.replace(100, 5, "begin").replace((5 << 20) + 17, 3, "end");
  EXPECT_TRUE(b.get(root_inode, "sparse") == expected);
  EXPECT_LE(chunk_rows(), 3U);
  Handle far = b.open(b.find(root_inode, "sparse"));
  EXPECT_EQ(b.error(b.volume->files.write(far, max_file_bytes, SharedBytes("x"))), ErrorCode::file_too_large);
  b.write(far, max_file_bytes - 1, "x");
  b.close(far);
  EXPECT_EQ(a.stat(a.find(root_inode, "sparse")).size, max_file_bytes);
  // It is collected by its segments, not by a quadrillion of bytes.
  a.must(a.volume->names.unlink(root_inode, "sparse"));
  pass(a, std::chrono::minutes(5));
  clean(a);
  pass(a, std::chrono::minutes(5));
  clean(a);
  EXPECT_EQ(chunk_rows(), 0U);
  check_invariants();
}

TEST_F(ContentsTest, Truncate_DownAndUp_ShowsZerosAtEverySize) {
  Mount& a = mount();
  Mount& b = mount();
  std::string bytes = pattern(3 << 20);
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, inline_limit - 1, inline_limit, block_bytes - 1, block_bytes,
                           block_bytes + 1, chunk_bytes - 1, chunk_bytes, chunk_bytes + block_bytes + 3}) {
    for (std::size_t original : {std::size_t{9000}, bytes.size()}) {
      std::string name = std::to_string(size) + "-" + std::to_string(original);
      InodeNumber file = a.put(root_inode, name, bytes.substr(0, original));
      ASSERT_TRUE(a.truncate(file, size));
      std::string expected = bytes.substr(0, original);
      expected.resize(size, '\0');
      EXPECT_TRUE(b.contents(file) == expected) << name;
      ASSERT_TRUE(b.truncate(file, size + 200000));
      expected.resize(size + 200000, '\0');
      EXPECT_TRUE(a.contents(file) == expected) << name;
      EXPECT_EQ(b.stat(file).size, expected.size());
    }
  }
  EXPECT_EQ(a.error([&] {
    SetAttributes changes;
    changes.size = 0;
    return a.volume->names.set_attributes({}, root_inode, changes);
  }()),
            ErrorCode::is_directory);
  check_invariants();
}

TEST_F(ContentsTest, TruncateWithDirtyBytes_KeepsTheOrderOfCalls) {
  Mount& a = mount();
  Handle handle = a.create(root_inode, "f");
  InodeNumber file = a.find(root_inode, "f");
  a.write(handle, 0, pattern(2 << 20));
  ASSERT_TRUE(a.truncate(file, 5));
  a.write(handle, 10, "x");
  ASSERT_TRUE(a.truncate(file, 0));
  a.write(handle, 3, "tail");
  a.close(handle);
  EXPECT_EQ(mount().get(root_inode, "f"), std::string("\0\0\0tail", 7));
  Opened opened = a.must(a.volume->files.open({}, file, O_RDWR | O_TRUNC));
  EXPECT_EQ(opened.attributes.size, 0U);
  EXPECT_EQ(a.read(opened.handle), "");
}

TEST_F(ContentsTest, LargeSequentialWrite_WithASmallBudget_StaysWithinIt) {
  FileSystemOptions options;
  options.max_dirty_bytes = 3 << 20;
  Mount& a = mount(options);
  a.store.set_latency(std::chrono::milliseconds(1));
  std::string bytes = pattern(40 << 20);
  Handle handle = a.create(root_inode, "big");
  for (std::size_t offset = 0; offset < bytes.size(); offset += 128 * 1024) {
    a.write(handle, offset, bytes.substr(offset, 128 * 1024));
  }
  // Much of it is in the ring before a flush.
  EXPECT_GE(mount().stat(a.find(root_inode, "big")).size, bytes.size() - options.max_dirty_bytes - (1 << 20));
  a.close(handle);
  EXPECT_TRUE(mount().get(root_inode, "big") == bytes);
  check_invariants();
}

TEST_F(ContentsTest, SequentialRead_OfChunks_TakesAboutOneRoundTripEach) {
  Mount& a = mount();
  std::string bytes = pattern(16 << 20);
  InodeNumber file = a.put(root_inode, "f", bytes);
  Mount& b = mount();
  Handle handle = b.open(file, O_RDONLY);
  std::size_t before = b.store.operations();
  std::string seen;
  while (seen.size() < bytes.size()) seen += b.read(handle, seen.size(), 128 * 1024);
  EXPECT_TRUE(seen == bytes);
  EXPECT_LE(b.store.operations() - before, 20U);
  b.close(handle);
}

TEST_F(ContentsTest, ReadAhead_AfterAnOverwriteByThisMount_ShowsTheNewBytes) {
  Mount& a = mount();
  std::string bytes = pattern(6 << 20);
  InodeNumber file = a.put(root_inode, "f", bytes);
  Handle handle = a.open(file);
  a.read(handle, 0, 256 * 1024);
  a.read(handle, 256 * 1024, 256 * 1024);
  a.write(handle, 3 << 20, "NEW");
  a.must(a.volume->files.flush(handle));
  bytes.replace(3 << 20, 3, "NEW");
  std::string seen;
  while (seen.size() < bytes.size()) seen += a.read(handle, seen.size(), 128 * 1024);
  EXPECT_TRUE(seen == bytes);
  a.close(handle);
}

// Random writes, truncations, flushes and reads on two handles, compared with a string.
TEST_F(ContentsTest, RandomOperations_OnOneFile_MatchAModel) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SeededRandom random(seed);
    FileSystemOptions options;
    options.max_dirty_bytes = 2 << 20;
    Mount& a = mount(options);
    Mount& b = mount(options);
    std::string name = "f" + std::to_string(seed);
    Handle one = a.create(root_inode, name);
    InodeNumber file = a.find(root_inode, name);
    Handle two = a.open(file);
    std::string model;
    const std::size_t span = seed % 3 == 0 ? 40000 : 5 << 20;
    for (int step = 0; step < 250; ++step) {
      std::uint64_t offset = random.below(span);
      Handle handle = random.below(2) == 0 ? one : two;
      switch (random.below(12)) {
        case 0: {
          std::uint64_t size = random.below(4) == 0 ? 0 : random.below(span);
          ASSERT_TRUE(a.truncate(file, size));
          model.resize(size, '\0');
          break;
        }
        case 1: a.must(a.volume->files.flush(handle)); break;
        case 2: {
          a.must(a.volume->files.flush(handle));
          Handle other = b.open(file, O_RDONLY);
          EXPECT_TRUE(b.read(other, 0, 8 << 20) == model) << "seed " << seed << " step " << step;
          b.close(other);
          break;
        }
        case 3: {  // the other mount writes, closed, while this one has nothing dirty
          a.must(a.volume->files.flush(handle));
          std::string bytes = pattern(1 + random.below(70000), random.next());
          Handle other = b.open(file);
          b.write(other, offset, bytes);
          b.close(other);
          a.run(a.volume->files.release(two));
          two = a.open(file);
          if (model.size() < offset + bytes.size()) model.resize(offset + bytes.size(), '\0');
          model.replace(offset, bytes.size(), bytes);
          break;
        }
        case 4:
        case 5:
        case 6: {
          std::size_t size = 1 + random.below(200000);
          std::string expected = offset < model.size() ? model.substr(offset, size) : "";
          EXPECT_TRUE(a.read(handle, offset, size) == expected) << "seed " << seed << " step " << step;
          break;
        }
        default: {
          std::size_t limit = random.below(3) == 0 ? 1 << 20 : 9000;
          std::string bytes = pattern(1 + random.below(limit), random.next());
          a.write(handle, offset, bytes);
          if (model.size() < offset + bytes.size()) model.resize(offset + bytes.size(), '\0');
          model.replace(offset, bytes.size(), bytes);
        }
      }
      EXPECT_EQ(a.stat(file).size, model.size()) << "seed " << seed << " step " << step;
      if (HasFailure()) return;
    }
    a.close(one);
    a.close(two);
    EXPECT_TRUE(b.contents(file) == model) << "seed " << seed;
    check_invariants();
  }
}

TEST_F(ContentsTest, ManyTinyWrites_AreOneFlush) {
  Mount& a = mount();
  Handle handle = a.create(root_inode, "f");
  std::string model;
  for (int i = 0; i < 20000; ++i) {
    a.write(handle, model.size(), std::string(1, static_cast<char>(i)));
    model += static_cast<char>(i);
  }
  for (std::size_t i = 0; i < 9000; i += 2) {  // scattered: more pieces than a batch may hold
    a.write(handle, i, "#");
    model[i] = '#';
  }
  std::size_t before = a.store.commits();
  a.close(handle);
  EXPECT_LE(a.store.commits() - before, 12U);
  EXPECT_TRUE(mount().get(root_inode, "f") == model);
}

TEST_F(ContentsTest, UnlinkedButOpen_FileHeldByAMount_StaysUntilClosed) {
  Mount& a = mount();
  Mount& b = mount();
  std::string bytes = pattern(2 << 20);
  InodeNumber file = a.put(root_inode, "f", bytes);
  Handle handle = a.open(file);
  b.must(b.volume->names.unlink(root_inode, "f"));
  for (int i = 0; i < 30; ++i) {  // ten minutes
    pass(b, std::chrono::seconds(20));
    a.must(a.volume->holds.check(time.clock().now + std::chrono::seconds(10)));
    clean(b);
  }
  EXPECT_TRUE(a.read(handle) == bytes);
  a.write(handle, 0, "still");
  a.must(a.volume->files.flush(handle));
  bytes.replace(0, 5, "still");
  EXPECT_TRUE(a.read(handle) == bytes);
  EXPECT_EQ(a.stat(file).links, 0U);
  a.close(handle);
  pass(b, std::chrono::minutes(3));
  const JanitorReport report = clean(b);
  EXPECT_EQ(report.orphans, 1U);
  EXPECT_GT(report.chunks, 0U);  // no mount holds it, so none writes to it: the chunks go at once
  EXPECT_EQ(b.error(b.volume->names.get_attributes(file)), ErrorCode::stale_handle);
  EXPECT_EQ(chunk_rows(), 0U);
  check_invariants();
}

TEST_F(ContentsTest, JanitorPass_TellsOfRowsThatAreTooYoungForIt) {
  Mount& a = mount();
  a.put(root_inode, "f", pattern(2 << 20));
  EXPECT_EQ(clean(a).rows, 0U);
  a.must(a.volume->names.unlink(root_inode, "f"));
  JanitorReport young = clean(a);
  EXPECT_EQ(young.rows, 1U);  // so the partition does not count as empty
  EXPECT_EQ(young.orphans, 0U);
  for (int i = 0; i < 3; ++i) {  // the orphan, then its contents
    pass(a, std::chrono::minutes(10));
    clean(a);
  }
  EXPECT_EQ(clean(a).rows, 0U);
}

TEST_F(ContentsTest, ReplacedContents_AreCollectedAndTheFileIsUntouched) {
  Mount& a = mount();
  std::string bytes = pattern(3 << 20, 2);
  InodeNumber file = a.put(root_inode, "f", pattern(3 << 20, 1));
  Opened opened = a.must(a.volume->files.open({}, file, O_RDWR | O_TRUNC));
  a.write(opened.handle, 0, bytes);
  a.close(opened.handle);
  EXPECT_EQ(chunk_rows(), 96U);
  pass(a, std::chrono::minutes(10));
  clean(a);
  EXPECT_EQ(chunk_rows(), 48U);
  EXPECT_TRUE(mount().contents(file) == bytes);
  check_invariants();
}

TEST_F(ContentsTest, BackgroundFailure_IsReportedOnceByEveryHandleAndFlushTriesAgain) {
  FileSystemOptions options;
  options.operation_timeout = std::chrono::seconds(2);
  Mount& a = mount(options);
  Handle one = a.create(root_inode, "f");
  InodeNumber file = a.find(root_inode, "f");
  Handle two = a.open(file);
  std::string bytes = pattern(2 << 20);
  a.store.fail_commits(50, ErrorCode::no_space);
  a.write(one, 0, bytes);
  time.run_until_idle();
  EXPECT_EQ(a.error(a.volume->files.write(one, 0, SharedBytes("x"))), ErrorCode::no_space);
  EXPECT_EQ(a.error(a.volume->files.write(two, 0, SharedBytes("x"))), ErrorCode::no_space);
  EXPECT_EQ(a.error(a.volume->files.flush(one)), ErrorCode::no_space);
  for (int i = 0; i < 60 && !a.run(a.volume->files.flush(two)); ++i) continue;  // until the disk has room again
  EXPECT_TRUE(mount().contents(file) == bytes);
  a.close(one);
  a.close(two);
}

TEST_F(ContentsTest, FailedFlush_FollowedByRelease_DropsTheBytesAndSaysSo) {
  FileSystemOptions options;
  options.operation_timeout = std::chrono::seconds(1);
  Mount& a = mount(options);
  InodeNumber file = a.put(root_inode, "f", "old");
  Handle handle = a.open(file);
  a.write(handle, 0, "NEW");
  a.store.fail_commits(2, ErrorCode::no_space);
  EXPECT_EQ(a.error(a.volume->files.flush(handle)), ErrorCode::no_space);
  a.run(a.volume->files.release(handle));
  EXPECT_EQ(a.contents(file), "old");
}

TEST_F(ContentsTest, Stop_WithDirtyFiles_FlushesThem) {
  Mount& a = mount();
  Handle handle = a.create(root_inode, "f");
  a.write(handle, 0, pattern(100000));
  a.must(a.volume->stop(time.clock().now + std::chrono::seconds(30)));
  EXPECT_TRUE(mount().get(root_inode, "f") == pattern(100000));
}

TEST_F(ContentsTest, Write_AfterAppendWasSwitchedOnOrOff_GoesWhereTheDescriptorSaysNow) {
  Mount& a = mount();
  const InodeNumber file = a.put(root_inode, "f", "0123456789");
  const Handle plain = a.open(file, O_WRONLY);
  EXPECT_TRUE(
      a.run(a.volume->files.write(plain, 0, SharedBytes(std::string("end")), WriteHow{O_WRONLY | O_APPEND, false})));
  EXPECT_EQ(a.contents(file), "0123456789end");
  const Handle log = a.open(file, O_WRONLY | O_APPEND);
  EXPECT_TRUE(a.run(a.volume->files.write(log, 0, SharedBytes(std::string("AB")), WriteHow{O_WRONLY, false})));
  EXPECT_TRUE(a.run(a.volume->files.write(log, 0, SharedBytes(std::string("!")))));
  a.close(log);
  a.close(plain);
  EXPECT_EQ(mount().contents(file), "AB23456789end!");
}

// Set-id bits go by the mode that the ring has when the contents change: here another mount sets it after the open and
// after the write.
TEST_F(ContentsTest, SetIdBits_GoWithEveryChangeByAnotherUser) {
  Mount& a = mount();
  Mount& b = mount();
  const Caller user{1000, 1000, 1, 0};
  WriteHow by_user;
  by_user.clears_set_id = true;
  SetAttributes program;
  program.mode = 06777;
  const auto mode = [&](InodeNumber file) { return a.stat(file).mode & 07777U; };
  for (const std::size_t size : {std::size_t{10}, std::size_t{100000}}) {
    for (const int flags : {O_WRONLY, O_WRONLY | O_APPEND}) {
      const InodeNumber file = a.put(root_inode, "program", pattern(size));
      const Handle handle = b.must(b.volume->files.open(user, file, flags)).handle;
      a.must(a.volume->names.set_attributes({}, file, program));
      EXPECT_TRUE(b.run(b.volume->files.write(handle, 0, SharedBytes(std::string("x")), by_user)));
      if (flags == O_WRONLY) a.must(a.volume->names.set_attributes({}, file, program));
      b.must(b.volume->files.flush(handle));
      EXPECT_EQ(mode(file), 0777U) << size << " " << flags;
      // Root keeps them. So does the next flush, which sends nothing of the user's.
      a.must(a.volume->names.set_attributes({}, file, program));
      b.write(handle, 0, "y");
      b.close(handle);
      EXPECT_EQ(mode(file), 06777U) << size << " " << flags;
      SetAttributes shorter;
      shorter.size = 5;
      b.must(b.volume->names.set_attributes(user, file, shorter));
      EXPECT_EQ(mode(file), 0777U);
      a.must(a.volume->names.set_attributes({}, file, program));
      b.must(b.volume->names.set_attributes({}, file, shorter));
      EXPECT_EQ(mode(file), 06777U);
      b.run(b.volume->files.release(b.must(b.volume->files.open(user, file, O_RDONLY | O_TRUNC)).handle));
      EXPECT_EQ(mode(file), 0777U);
      a.must(a.volume->names.unlink(root_inode, "program"));
    }
  }
}

TEST_F(ContentsTest, SetIdBits_SetAfterTheSameUsersWrite_Stay) {
  Mount& a = mount();
  const Caller user{1000, 1000, 1, 0};
  const Opened made = a.must(a.volume->files.create(user, root_inode, "made", 0755, O_WRONLY));
  WriteHow by_user;
  by_user.clears_set_id = true;
  EXPECT_TRUE(a.run(a.volume->files.write(made.handle, 0, SharedBytes(std::string("program")), by_user)));
  SetAttributes program;
  program.mode = 06755;
  a.must(a.volume->names.set_attributes(user, made.attributes.inode, program));
  a.close(made.handle);
  EXPECT_EQ(a.stat(made.attributes.inode).mode & 07777U, 06755U);
}

TEST_F(ContentsTest, SetIdBits_OfAFileAndADirectory_GoWithAChownOfTheFileAlone) {
  Mount& a = mount();
  SetAttributes bits, owner;
  bits.mode = 06777;
  owner.uid = 1000;
  const InodeNumber file = a.put(root_inode, "program", "x"), directory = a.mkdir(root_inode, "directory");
  for (const InodeNumber inode : {file, directory}) {
    a.must(a.volume->names.set_attributes({}, inode, bits));
    a.must(a.volume->names.set_attributes({}, inode, owner));
  }
  EXPECT_EQ(a.stat(file).mode & 07777U, 0777U);
  EXPECT_EQ(a.stat(directory).mode & 07777U, 06777U);
  // A chown to the present owner has no field at all.
  a.must(a.volume->names.set_attributes({}, file, bits));
  a.must(a.volume->names.set_attributes({}, file, SetAttributes()));
  EXPECT_EQ(a.stat(file).mode & 07777U, 0777U);
  // Without group execute the set-group-id bit means mandatory locking.
  bits.mode = 06767;
  a.must(a.volume->names.set_attributes({}, file, bits));
  a.must(a.volume->names.set_attributes({}, file, owner));
  EXPECT_EQ(a.stat(file).mode & 07777U, 02767U);
}

TEST_F(ContentsTest, SynchronousMount_MakesEveryWriteDurable) {
  FileSystemOptions options;
  options.synchronous = true;
  Mount& a = mount(options);
  const Handle handle = a.create(root_inode, "f");
  a.write(handle, 0, "durable");
  EXPECT_EQ(mount().get(root_inode, "f"), "durable");
  a.close(handle);
}

TEST_F(ContentsTest, OpenForReading_WithTruncation_EmptiesTheFile) {
  Mount& a = mount();
  const InodeNumber file = a.put(root_inode, "f", "contents");
  const Handle handle = a.open(file, O_RDONLY | O_TRUNC);
  EXPECT_EQ(a.read(handle), "");
  a.close(handle);
  EXPECT_EQ(mount().stat(file).size, 0U);
}

TEST_F(ContentsTest, TimeInTheFuture_SetThroughAnOpenFile_DoesNotHideALaterWrite) {
  Mount& a = mount();
  const InodeNumber file = a.put(root_inode, "f", "x");
  const Handle handle = a.open(file);
  a.write(handle, 0, "y");
  SetAttributes future;
  future.modified = TimeSpec{(time.clock().stamp.microseconds + 3'600'000'000) * 1000};
  a.must(a.volume->names.set_attributes({}, file, future));
  EXPECT_EQ(mount().stat(file).modified.nanoseconds, future.modified->nanoseconds);
  a.write(handle, 0, "z");
  a.close(handle);
  EXPECT_LE(mount().stat(file).modified.nanoseconds, time.clock().stamp.microseconds * 1000);
}

TEST_F(ContentsTest, Janitor_WithADamagedRow_CollectsTheOthersAndReportsIt) {
  Mount& a = mount();
  const InodeNumber file = a.put(root_inode, "f", pattern(100000));
  a.must(a.volume->names.unlink(root_inode, "f"));
  ChangeSet damage;
  const unsigned bits = ring->partition_bits;
  for (std::uint64_t number : {std::uint64_t{2}, ~std::uint64_t{0} >> 1}) {  // rows before and behind the good one
    const InodeNumber inode = (InodeNumber{placement_of(file)} << 36) | (number & 0xfffffffffULL);
    ASSERT_EQ(partition_of_inode(inode, bits), partition_of_inode(file, bits));
    damage.change(put(orphan_row(inode, bits), SharedBytes(std::string("damaged"))));
    damage.change(put(garbage_row(inode, 1, bits), SharedBytes(std::string("damaged"))));
  }
  ASSERT_TRUE(a.run(damage.apply(a.store, time.clock().now + std::chrono::seconds(10))));
  for (int round = 0; round < 3; ++round) {
    pass(a, std::chrono::minutes(10));
    const PartitionId partition = partition_of_inode(file, bits);
    const RowAges ages = claim(a, partition);
    EXPECT_EQ(a.error(janitor_pass(a.store, partition, ages, time.clock().now + std::chrono::minutes(1))),
              ErrorCode::corrupt);
  }
  EXPECT_EQ(a.error(a.volume->files.open({}, file, O_RDONLY)), ErrorCode::stale_handle);
  EXPECT_EQ(chunk_rows(), 0U);
}

}  // namespace
}  // namespace ringfs::fs
