// A mount dies after each single step of an operation. What other mounts see, and what the janitor leaves, must be
// consistent.
#include <functional>

#include "tests/unit/fs/world.hpp"

namespace ringfs::fs {
namespace {

class CrashTest : public World {
 protected:
  // Runs `operation` on a mount that dies after 0, 1, 2, ... steps, until it survives. `after` then looks through
  // another mount. done: the operation returned success.
  void at_every_step(std::function<void(Mount&, const std::string&)> prepare,
                     std::function<bool(Mount&, const std::string&)> operation,
                     std::function<void(Mount&, const std::string&, bool)> after) {
    Mount& witness = mount();
    bool survived = false;
    for (std::size_t steps = 0; !survived && steps < 64; ++steps) {
      SCOPED_TRACE("after " + std::to_string(steps) + " steps");
      std::string name = "case" + std::to_string(steps);
      witness.mkdir(root_inode, name);
      prepare(witness, name);
      time.run_until_idle();
      Mount& dying = mount(of_a_dying_mount);
      dying.stat(root_inode);
      dying.find(root_inode, name);
      base_ = witness.find(root_inode, name);
      dying.store.fail_after(steps);
      bool done = operation(dying, name);
      time.run_until_idle();
      dying.store.fail_after(0);
      survived = done;
      after(witness, name, done);
      pass(witness, std::chrono::minutes(30));
      clean(witness);
      pass(witness, std::chrono::minutes(30));
      clean(witness);
      resolve_all(witness);
      check_invariants();
      after(witness, name, done);
      if (HasFailure()) return;
    }
    EXPECT_TRUE(survived);
  }

  // From one directory of this step to another one.
  bool move_from_p_to_q(Mount& by, const std::string& name) {
    Result<Attributes> p = by.run(by.volume->names.lookup(base_, "p"));
    Result<Attributes> q = by.run(by.volume->names.lookup(base_, "q"));
    if (!p || !q) return false;
    return bool(by.rename(p->inode, name, q->inode, name));
  }

  InodeNumber base_ = 0;  // of this step
  const FileSystemOptions of_a_dying_mount{.operation_timeout = std::chrono::seconds(5)};
};

TEST_F(CrashTest, MakeDirectory_AtEveryStep_IsThereOrNot) {
  at_every_step([](Mount&, const std::string&) {},
                [this](Mount& m, const std::string&) {
                  const InodeNumber base = base_;
                  return bool(m.run(m.volume->names.make_directory({}, base, "sub", 0755)));
                },
                [](Mount& w, const std::string& name, bool done) {
                  InodeNumber base = w.find(root_inode, name);
                  bool there = w.exists(base, "sub");
                  EXPECT_TRUE(there || !done);
                  EXPECT_EQ(w.stat(base).links, there ? 3U : 2U);
                  if (there && !w.exists(w.find(base, "sub"), "child")) w.put(w.find(base, "sub"), "child", "x");
                });
}

TEST_F(CrashTest, HalfMadeDirectory_RenamedByAnotherMount_IsNotCollected) {
  Mount& witness = mount();
  for (std::size_t steps = 0; steps < 12; ++steps) {
    std::string name = "case" + std::to_string(steps);
    InodeNumber base = witness.mkdir(root_inode, name);
    InodeNumber other = witness.mkdir(root_inode, "other" + name);
    Mount& dying = mount(of_a_dying_mount);
    dying.stat(base);
    dying.die_after(steps, dying.volume->names.make_directory({}, base, "sub", 0755));
    time.run_until_idle();
    if (!witness.exists(base, "sub")) continue;
    InodeNumber sub = witness.find(base, "sub");
    if (steps % 2 == 0) {
      EXPECT_TRUE(witness.rename(base, "sub", base, "moved"));
    } else {
      EXPECT_TRUE(witness.rename(base, "sub", other, "moved"));
    }
    pass(witness, std::chrono::minutes(30));
    clean(witness);
    resolve_all(witness);
    check_invariants();
    EXPECT_EQ(witness.find(steps % 2 == 0 ? base : other, "moved"), sub);
    EXPECT_TRUE(witness.run(witness.volume->names.get_attributes(sub)));
  }
}

TEST_F(CrashTest, RenameAcrossDirectories_AtEveryStep_IsOldOrNewAndNeverBoth) {
  at_every_step(
      [](Mount& w, const std::string& name) {
        InodeNumber base = w.find(root_inode, name);
        InodeNumber p = w.mkdir(base, "p");
        InodeNumber q = w.mkdir(base, "q");
        w.put(p, "file", "moved");
        w.put(q, "file", "replaced");
      },
      [this](Mount& m, const std::string&) { return move_from_p_to_q(m, "file"); },
      [](Mount& w, const std::string& name, bool done) {
        InodeNumber base = w.find(root_inode, name);
        InodeNumber p = w.find(base, "p"), q = w.find(base, "q");
        bool old = w.exists(p, "file");
        EXPECT_EQ(w.get(q, "file"), old ? "replaced" : "moved");
        if (old) {
          EXPECT_EQ(w.get(p, "file"), "moved");
        }
        if (done) {
          EXPECT_FALSE(old);
        }
      });
}

TEST_F(CrashTest, MoveOfADirectory_AtEveryStep_LeavesTheRingMovable) {
  at_every_step(
      [](Mount& w, const std::string& name) {
        InodeNumber base = w.find(root_inode, name);
        InodeNumber p = w.mkdir(base, "p");
        w.mkdir(base, "q");
        w.mkdir(base, "r");
        w.put(w.mkdir(p, "d"), "f", "x");
      },
      [this](Mount& m, const std::string&) { return move_from_p_to_q(m, "d"); },
      [](Mount& w, const std::string& name, bool done) {
        InodeNumber base = w.find(root_inode, name);
        InodeNumber p = w.find(base, "p"), q = w.find(base, "q"), r = w.find(base, "r");
        if (w.exists(r, "d")) return;  // second look
        bool old = w.exists(p, "d");
        EXPECT_NE(old, w.exists(q, "d"));
        if (done) {
          EXPECT_FALSE(old);
        }
        // The ring-wide lock of the dead mount does not stay.
        EXPECT_TRUE(w.rename(old ? p : q, "d", r, "d"));
        EXPECT_EQ(w.get(w.find(r, "d"), "f"), "x");
      });
}

TEST_F(CrashTest, UnlinkAndRmdir_AtEveryStep_RemoveTheNameOrNothing) {
  at_every_step(
      [](Mount& w, const std::string& name) {
        InodeNumber base = w.find(root_inode, name);
        InodeNumber file = w.put(base, "one", pattern(100000));
        w.must(w.volume->names.link(file, w.mkdir(base, "d"), "two"));
        w.mkdir(base, "empty");
      },
      [this](Mount& m, const std::string&) {
        const InodeNumber base = base_;
        Result<Attributes> d = m.run(m.volume->names.lookup(base, "d"));
        if (!d) return false;
        bool first = bool(m.run(m.volume->names.unlink(d->inode, "two")));
        bool second = bool(m.run(m.volume->names.unlink(base, "one")));
        bool third = bool(m.run(m.volume->names.remove_directory(base, "empty")));
        return first && second && third;
      },
      [](Mount& w, const std::string& name, bool done) {
        InodeNumber base = w.find(root_inode, name);
        InodeNumber d = w.find(base, "d");
        if (w.exists(base, "one")) {
          EXPECT_TRUE(w.get(base, "one") == pattern(100000));
        }
        if (w.exists(d, "two")) {
          EXPECT_TRUE(w.get(d, "two") == pattern(100000));
        }
        if (done) {
          EXPECT_FALSE(w.exists(base, "one"));
          EXPECT_FALSE(w.exists(d, "two"));
          EXPECT_FALSE(w.exists(base, "empty"));
        }
      });
}

TEST_F(CrashTest, Conversion_AtEveryStep_KeepsTheOldBytes) {
  at_every_step([](Mount& w, const std::string& name) { w.put(w.find(root_inode, name), "f", pattern(10000)); },
                [this](Mount& m, const std::string&) {
                  const InodeNumber base = base_;
                  Result<Attributes> file = m.run(m.volume->names.lookup(base, "f"));
                  if (!file) return false;
                  Result<Opened> opened = m.run(m.volume->files.open({}, file->inode, O_RDWR));
                  if (!opened) return false;
                  m.write(opened->handle, 10000, pattern(90000, 9));
                  bool done = bool(m.run(m.volume->files.flush(opened->handle)));
                  m.run(m.volume->files.release(opened->handle));
                  return done;
                },
                [](Mount& w, const std::string& name, bool done) {
                  std::string bytes = w.get(w.find(root_inode, name), "f");
                  std::string whole = pattern(10000) + pattern(90000, 9);
                  EXPECT_TRUE(bytes == whole || (!done && bytes == pattern(10000))) << bytes.size();
                });
}

TEST_F(CrashTest, Truncation_AtEveryStep_NeverShowsOldBytesAgain) {
  at_every_step([](Mount& w, const std::string& name) { w.put(w.find(root_inode, name), "f", pattern(3 << 20)); },
                [this](Mount& m, const std::string&) {
                  const InodeNumber base = base_;
                  Result<Attributes> file = m.run(m.volume->names.lookup(base, "f"));
                  return file && m.truncate(file->inode, 100001);
                },
                [](Mount& w, const std::string& name, bool done) {
                  InodeNumber file = w.find(w.find(root_inode, name), "f");
                  std::string old = pattern(3 << 20);
                  if (w.stat(file).size == old.size() && !done) {
                    EXPECT_TRUE(w.contents(file) == old);
                    return;
                  }
                  // A mount that makes the file longer first finishes the cut.
                  EXPECT_TRUE(w.truncate(file, 2 << 20));
                  std::string expected = old.substr(0, 100001);
                  expected.resize(2 << 20, '\0');
                  EXPECT_TRUE(w.contents(file) == expected);
                });
}

}  // namespace
}  // namespace ringfs::fs
