// Rename in all its forms, its errors, cycles, and races.
#include <linux/fs.h>

#include "tests/unit/fs/world.hpp"

namespace ringfs::fs {
namespace {

class RenameTest : public World {
 protected:
  static ErrorCode code(const Status& status) { return status ? ErrorCode{} : status.error().code; }
};

TEST_F(RenameTest, File_WithinADirectory_MovesInOneCommit) {
  Mount& a = mount();
  InodeNumber file = a.put(root_inode, "old", "data");
  std::size_t before = a.store.commits();
  EXPECT_TRUE(a.rename(root_inode, "old", root_inode, "new"));
  EXPECT_EQ(a.store.commits(), before + 1);
  EXPECT_FALSE(a.exists(root_inode, "old"));
  EXPECT_EQ(a.find(root_inode, "new"), file);
  EXPECT_EQ(mount().get(root_inode, "new"), "data");
  check_invariants();
}

TEST_F(RenameTest, File_OntoAnother_ReplacesIt) {
  Mount& a = mount();
  InodeNumber d = a.mkdir(root_inode, "d");
  InodeNumber victim = a.put(d, "b", "old");
  a.put(root_inode, "a", "new");
  Handle open = a.open(victim, O_RDONLY);
  EXPECT_TRUE(a.rename(root_inode, "a", d, "b"));
  EXPECT_EQ(mount().get(d, "b"), "new");
  EXPECT_EQ(a.read(open), "old");
  a.close(open);
  EXPECT_EQ(a.stat(victim).links, 0U);
  check_invariants();
  EXPECT_EQ(ring->intents(), 0U);
}

TEST_F(RenameTest, TwoNamesOfOneFile_AreBothKept) {
  Mount& a = mount();
  InodeNumber file = a.put(root_inode, "a", "x");
  a.must(a.volume->names.link(file, root_inode, "b"));
  EXPECT_TRUE(a.rename(root_inode, "a", root_inode, "b"));
  EXPECT_TRUE(a.exists(root_inode, "a"));
  EXPECT_TRUE(a.exists(root_inode, "b"));
  EXPECT_TRUE(a.rename(root_inode, "a", root_inode, "a"));
  check_invariants();
}

TEST_F(RenameTest, Directory_AcrossDirectories_TakesItsTreeAndItsParentAlong) {
  Mount& a = mount();
  InodeNumber from = a.mkdir(root_inode, "from");
  InodeNumber to = a.mkdir(root_inode, "to");
  InodeNumber moved = a.mkdir(from, "moved");
  a.put(moved, "f", "deep");
  EXPECT_TRUE(a.rename(from, "moved", to, "here"));
  EXPECT_EQ(a.find(moved, ".."), to);
  EXPECT_EQ(a.stat(from).links, 2U);
  EXPECT_EQ(a.stat(to).links, 3U);
  EXPECT_EQ(mount().get(moved, "f"), "deep");
  check_invariants();
  EXPECT_EQ(ring->intents(), 0U);
}

TEST_F(RenameTest, Directory_OntoAnEmptyOne_ReplacesItAndOntoAFullOneFails) {
  Mount& a = mount();
  InodeNumber p = a.mkdir(root_inode, "p");
  InodeNumber source = a.mkdir(root_inode, "source");
  InodeNumber target = a.mkdir(p, "target");
  a.put(source, "inside", "1");
  a.put(target, "full", "2");
  EXPECT_EQ(code(a.rename(root_inode, "source", p, "target")), ErrorCode::not_empty);
  a.must(a.volume->names.unlink(target, "full"));
  EXPECT_TRUE(a.rename(root_inode, "source", p, "target"));
  EXPECT_EQ(a.find(p, "target"), source);
  EXPECT_EQ(a.stat(p).links, 3U);
  EXPECT_EQ(a.stat(root_inode).links, 3U);
  check_invariants();
}

TEST_F(RenameTest, ForbiddenCombinations_GiveTheirErrno) {
  Mount& a = mount();
  InodeNumber d = a.mkdir(root_inode, "d");
  InodeNumber e = a.mkdir(d, "e");
  InodeNumber file = a.put(root_inode, "f", "x");
  EXPECT_EQ(code(a.rename(root_inode, "nothing", root_inode, "x")), ErrorCode::not_found);
  EXPECT_EQ(code(a.rename(root_inode, "f", root_inode, "d")), ErrorCode::is_directory);
  EXPECT_EQ(code(a.rename(root_inode, "d", root_inode, "f")), ErrorCode::not_directory);
  EXPECT_EQ(code(a.rename(root_inode, "d", d, "x")), ErrorCode::invalid_argument);
  EXPECT_EQ(code(a.rename(root_inode, "d", e, "x")), ErrorCode::invalid_argument);
  EXPECT_EQ(code(a.rename(d, "e", root_inode, "d")), ErrorCode::not_empty);
  EXPECT_EQ(code(a.rename(root_inode, "f", file, "x")), ErrorCode::not_directory);
  EXPECT_EQ(code(a.rename(root_inode, "f", root_inode, "d", RENAME_NOREPLACE)), ErrorCode::exists);
  EXPECT_EQ(code(a.rename(root_inode, "f", root_inode, "none", RENAME_EXCHANGE)), ErrorCode::not_found);
  EXPECT_EQ(code(a.rename(root_inode, "f", root_inode, "d", RENAME_EXCHANGE | RENAME_NOREPLACE)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code(a.rename(root_inode, "d", d, "e", RENAME_EXCHANGE)), ErrorCode::invalid_argument);
  EXPECT_EQ(code(a.rename(root_inode, "f", root_inode, std::string(256, 'n'))), ErrorCode::name_too_long);
  EXPECT_TRUE(a.rename(root_inode, "f", root_inode, "fresh", RENAME_NOREPLACE));
  check_invariants();
  EXPECT_EQ(ring->intents(), 0U);
}

TEST_F(RenameTest, Exchange_OfFileAndDirectoryAcrossDirectories_SwapsBoth) {
  Mount& a = mount();
  InodeNumber p = a.mkdir(root_inode, "p");
  InodeNumber q = a.mkdir(root_inode, "q");
  InodeNumber sub = a.mkdir(p, "x");
  InodeNumber file = a.put(q, "y", "f");
  EXPECT_TRUE(a.rename(p, "x", q, "y", RENAME_EXCHANGE));
  EXPECT_EQ(a.find(p, "x"), file);
  EXPECT_EQ(a.find(q, "y"), sub);
  EXPECT_EQ(a.find(sub, ".."), q);
  EXPECT_EQ(a.stat(p).links, 2U);
  EXPECT_EQ(a.stat(q).links, 3U);
  check_invariants();
}

// Two moves, each harmless, that make a cycle together: with a/b and c/d, a -> c/d/a while c -> a/b/c. At most one may
// succeed, in any order of the single steps.
TEST_F(RenameTest, OppositeDirectoryMoves_InEveryInterleaving_NeverFormACycle) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SeededRandom random(seed);
    Mount& m = mount();
    Mount& n = mount();
    std::string s = std::to_string(seed);
    InodeNumber base = m.mkdir(root_inode, "base" + s);
    InodeNumber a = m.mkdir(base, "a");
    InodeNumber b = m.mkdir(a, "b");
    InodeNumber c = m.mkdir(base, "c");
    InodeNumber d = m.mkdir(c, "d");
    time.run_until_idle();
    m.store.hold();
    n.store.hold();
    int ended = 0, won = 0;
    auto count = [&](std::exception_ptr, Status status) {
      ++ended;
      won += status ? 1 : 0;
    };
    boost::asio::co_spawn(loop, m.volume->names.rename(base, "a", d, "a", 0), count);
    boost::asio::co_spawn(loop, n.volume->names.rename(base, "c", b, "c", 0), count);
    for (int step = 0; ended < 2 && step < 20000; ++step) {
      time.settle();
      bool first = random.below(2) == 0;
      MemoryObjectStore& one = first ? m.store : n.store;
      MemoryObjectStore& other = first ? n.store : m.store;
      if (one.held() > 0) {
        one.release_one();
      } else if (other.held() > 0) {
        other.release_one();
      } else {
        time.advance(std::chrono::milliseconds(5));
      }
    }
    m.store.release_all();
    n.store.release_all();
    EXPECT_EQ(ended, 2) << "seed " << seed;
    EXPECT_EQ(won, 1) << "seed " << seed;
    // From every directory the way up ends at the root.
    for (InodeNumber start : {a, b, c, d}) {
      InodeNumber place = start;
      for (int depth = 0; depth < 8 && place != root_inode; ++depth) place = m.find(place, "..");
      EXPECT_EQ(place, root_inode) << "seed " << seed;
    }
    check_invariants();
  }
}

// Random operations from three mounts at once, in random order of their single steps, with lost answers.
TEST_F(RenameTest, ManyMounts_ChangingOneTree_KeepEveryInvariant) {
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    SeededRandom random(seed * 77);
    std::vector<Mount*> mounts{&mount(), &mount(), &mount()};
    InodeNumber base = mounts[0]->mkdir(root_inode, "base" + std::to_string(seed));
    std::vector<InodeNumber> directories{base};
    for (int i = 0; i < 3; ++i) directories.push_back(mounts[0]->mkdir(base, "d" + std::to_string(i)));
    for (Mount* each : mounts) each->store.hold();
    int running = 0, done = 0;
    auto status_end = [&](std::exception_ptr, Status) { --running, ++done; };
    auto attributes_end = [&](std::exception_ptr, Result<Attributes>) { --running, ++done; };
    for (int step = 0; done < 400 && step < 200000; ++step) {
      if (running < 6 && done + running < 400) {
        Volume& volume = *mounts[random.below(3)]->volume;
        InodeNumber p = directories[random.below(4)], q = directories[random.below(4)];
        auto name = [&] { return std::string(1, static_cast<char>('a' + random.below(5))); };
        ++running;
        switch (random.below(7)) {
          case 0:
            boost::asio::co_spawn(loop, volume.names.make_node({}, p, name(), S_IFREG | 0644, 0), attributes_end);
            break;
          case 1: boost::asio::co_spawn(loop, volume.names.make_directory({}, p, name(), 0755), attributes_end); break;
          case 2: boost::asio::co_spawn(loop, volume.names.unlink(p, name()), status_end); break;
          case 3: boost::asio::co_spawn(loop, volume.names.remove_directory(p, name()), status_end); break;
          case 4:
            boost::asio::co_spawn(loop, volume.names.rename(p, name(), q, name(), RENAME_EXCHANGE), status_end);
            break;
          case 5: boost::asio::co_spawn(loop, volume.names.rename(p, "d" + name(), q, name(), 0), status_end); break;
          default: boost::asio::co_spawn(loop, volume.names.rename(p, name(), q, name(), 0), status_end); break;
        }
      }
      time.settle();
      Mount& next = *mounts[random.below(3)];
      if (random.below(40) == 0) next.store.fail_commits(1, ErrorCode::timeout, random.below(2) == 0);
      if (next.store.held() > 0) {
        next.store.release_one();
      } else {
        time.advance(std::chrono::milliseconds(1));
      }
    }
    EXPECT_EQ(done, 400) << "seed " << seed;
    for (Mount* each : mounts) {
      each->store.fail_commits(0, ErrorCode::timeout);
      each->store.release_all();
    }
    time.run_until_idle();
    resolve_all(*mounts[0]);
    pass(*mounts[0], std::chrono::minutes(20));
    clean(*mounts[0]);
    pass(*mounts[0], std::chrono::minutes(20));
    clean(*mounts[0]);
    resolve_all(*mounts[0]);
    check_invariants();
    if (HasFailure()) {
      ADD_FAILURE() << "seed " << seed;
      return;
    }
  }
}

}  // namespace
}  // namespace ringfs::fs
