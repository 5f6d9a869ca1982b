// The FUSE binding under the real kernel, over a ring in this process. Skipped where nothing can be mounted.
#include "mount/fuse/session.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <filesystem>
#include <future>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "fs/names/attributes.hpp"
#include "mount/commands/mount_table.hpp"
#include "mount/commands/process.hpp"
#include "tests/support/fake_admin.hpp"
#include "tests/support/memory_object_store.hpp"
#include "tests/support/silent_ring.hpp"

namespace ringfs::mount {
namespace {

class StillRing : public SilentRing {
 public:
  Task<Result<RingStatus>> status(TimePoint) override {
    RingStatus status;
    status.moving = moving;
    ++questions;
    co_return status;
  }
  Task<Result<RouteView>> lookup(std::string, TimePoint) override { co_return fail(ErrorCode::timeout); }
  Task<Result<SpaceView>> space(TimePoint) override {
    co_return SpaceView{std::uint64_t{1} << 30, std::uint64_t{1} << 29};
  }

  std::atomic<bool> moving = false;
  std::atomic<int> questions = 0;
};

// Sleeps of the file system must end by themselves here: no test moves the clock.
class LiveStore : public MemoryObjectStore {
 public:
  LiveStore(VirtualTime& time, std::shared_ptr<MemoryRing> ring) : MemoryObjectStore(time, std::move(ring)) {}
  Task<void> sleep(Duration duration) override {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
    timer.expires_after(duration);
    boost::system::error_code ignored;
    co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
};

class FuseSessionTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/ringfs-mount-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    path_ = name;
    MountOptions options;
    options.mount_point = path_;
    fs::FileSystemOptions file_system_options;
    file_system_options.owner = getuid();
    file_system_.emplace(store_, ring_, admin_, file_system_options);
    session_.emplace(loop_, *file_system_, options);
    ASSERT_TRUE(run(file_system_->start()));
    const int device = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (device < 0) GTEST_SKIP() << "no /dev/fuse";
    ::close(device);
    const Status mounted = session_->mount();
    if (!mounted) GTEST_SKIP() << mounted.error().text();
    std::promise<void> ready;
    std::function<void()> on_ready = [&ready] { ready.set_value(); };
    boost::asio::co_spawn(loop_, session_->serve(std::move(on_ready)), [this](const std::exception_ptr&) {
      served_ = true;
      loop_.stop();
    });
    loop_.restart();
    thread_ = std::thread([this] { loop_.run(); });
    ASSERT_EQ(ready.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  }

  void TearDown() override {
    unmount(true);
    if (thread_.joinable()) thread_.join();
    if (served_ && file_system_) {
      EXPECT_TRUE(run(file_system_->stop(time_.clock().now + std::chrono::seconds(30))));
    }
    session_.reset();
    file_system_.reset();
    rmdir(path_.c_str());
  }

  Status run(Task<Status> task) {
    Status result = fail(ErrorCode::internal, "not ended");
    boost::asio::co_spawn(loop_, std::move(task), [this, &result](const std::exception_ptr&, Status status) {
      result = std::move(status);
      loop_.stop();
    });
    loop_.restart();
    loop_.run();
    return result;
  }

  int unmount(bool lazily) {
    SpawnOptions options;
    options.arguments = {"fusermount3", "-u", "-q"};
    if (lazily) options.arguments.emplace_back("-z");
    options.arguments.push_back(path_);
    const auto child = spawn_process(options);
    if (!child) return -1;
    for (;;) {
      if (const auto code = exit_code_of(*child)) return *code;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  std::string at(const std::string& name) const { return path_ + "/" + name; }
  static std::string read_all(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return "errno " + std::string(strerrorname_np(errno));
    std::string text, buffer(1 << 16, '\0');
    for (ssize_t count; (count = ::read(file, buffer.data(), buffer.size())) > 0;)
      text.append(buffer, 0, static_cast<std::size_t>(count));
    ::close(file);
    return text;
  }
  static int write_all(const std::string& path, const std::string& text, int flags = O_WRONLY | O_CREAT | O_TRUNC) {
    const int file = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (file < 0) return errno;
    const ssize_t count = ::write(file, text.data(), text.size());
    int result = count == static_cast<ssize_t>(text.size()) ? 0 : errno;
    if (::close(file) != 0) result = errno;
    return result;
  }
  static int code(int result) { return result == 0 ? 0 : errno; }

  std::string path_;
  boost::asio::io_context loop_{1};
  VirtualTime time_{loop_};
  LiveStore store_{time_, std::make_shared<MemoryRing>()};
  StillRing ring_;
  FakeAdmin admin_;
  std::optional<fs::FileSystem> file_system_;
  std::optional<FuseSession> session_;
  std::thread thread_;
  std::atomic<bool> served_ = false;
};

TEST_F(FuseSessionTest, File_WrittenAndClosed_ReadsBack) {
  ASSERT_EQ(write_all(at("hello"), "hello world\n"), 0);
  EXPECT_EQ(read_all(at("hello")), "hello world\n");
  struct stat attributes {};
  ASSERT_EQ(::stat(at("hello").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_size, 12);
  EXPECT_EQ(attributes.st_uid, getuid());
  EXPECT_TRUE(S_ISREG(attributes.st_mode));
  EXPECT_EQ(attributes.st_mode & 0777, 0644U);
  EXPECT_EQ(write_all(at("hello"), "short"), 0);  // O_TRUNC
  EXPECT_EQ(read_all(at("hello")), "short");
  EXPECT_EQ(read_all(at("absent")), "errno ENOENT");
}

// Sizes around the inline limit, the chunk, and the payload that takes over the receive buffer.
TEST_F(FuseSessionTest, LargeWrites_OfEverySize_ReadBack) {
  for (const std::size_t size : {std::size_t{16384}, std::size_t{16385}, std::size_t{524287}, std::size_t{524288},
                                 std::size_t{1048576}, std::size_t{3 * 1048576 + 7}}) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 2654435761U) >> 13);
    ASSERT_EQ(write_all(at("large"), text), 0) << size;
    EXPECT_TRUE(read_all(at("large")) == text) << size;
  }
}

TEST_F(FuseSessionTest, Append_FromTwoDescriptors_GoesToTheEnd) {
  ASSERT_EQ(write_all(at("log"), "a\n"), 0);
  const int first = ::open(at("log").c_str(), O_WRONLY | O_APPEND);
  const int second = ::open(at("log").c_str(), O_WRONLY | O_APPEND);
  ASSERT_EQ(::write(first, "b\n", 2), 2);
  ASSERT_EQ(::write(second, "c\n", 2), 2);
  ASSERT_EQ(::write(first, "d\n", 2), 2);
  ::close(first);
  ::close(second);
  EXPECT_EQ(read_all(at("log")), "a\nb\nc\nd\n");
}

TEST_F(FuseSessionTest, Names_MadeMovedAndRemoved_AreAsPosixHasIt) {
  ASSERT_EQ(code(::mkdir(at("d").c_str(), 0755)), 0);
  EXPECT_EQ(code(::mkdir(at("d").c_str(), 0755)), EEXIST);
  ASSERT_EQ(write_all(at("d/f"), "x"), 0);
  EXPECT_EQ(code(::rmdir(at("d").c_str())), ENOTEMPTY);
  EXPECT_EQ(code(::rename(at("d/f").c_str(), at("g").c_str())), 0);
  EXPECT_EQ(code(::link(at("g").c_str(), at("d/h").c_str())), 0);
  struct stat attributes {};
  ASSERT_EQ(::stat(at("g").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_nlink, 2U);
  EXPECT_EQ(code(::symlink("g", at("s").c_str())), 0);
  char target[16] = {};
  EXPECT_EQ(::readlink(at("s").c_str(), target, sizeof target), 1);
  EXPECT_EQ(read_all(at("s")), "x");
  EXPECT_EQ(code(::mkfifo(at("p").c_str(), 0600)), 0);
  EXPECT_EQ(code(::unlink(at("p").c_str())), 0);
  EXPECT_EQ(code(::unlink(at("g").c_str())), 0);
  EXPECT_EQ(read_all(at("d/h")), "x");
  EXPECT_EQ(code(::unlink(at("d/h").c_str())), 0);
  EXPECT_EQ(code(::rmdir(at("d").c_str())), 0);
  EXPECT_EQ(code(::unlink(at("d").c_str())), ENOENT);
}

TEST_F(FuseSessionTest, Attributes_Set_AreThere) {
  ASSERT_EQ(write_all(at("f"), "0123456789"), 0);
  EXPECT_EQ(code(::chmod(at("f").c_str(), 0600)), 0);
  EXPECT_EQ(code(::truncate(at("f").c_str(), 4)), 0);
  const timespec times[2] = {{-1, 500'000'000}, {1'000'000'000, 123'456'789}};
  EXPECT_EQ(code(::utimensat(AT_FDCWD, at("f").c_str(), times, 0)), 0);
  struct stat attributes {};
  ASSERT_EQ(::stat(at("f").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777, 0600U);
  EXPECT_EQ(attributes.st_size, 4);
  EXPECT_EQ(attributes.st_atim.tv_sec, -1);
  EXPECT_EQ(attributes.st_atim.tv_nsec, 500'000'000);
  EXPECT_EQ(attributes.st_mtim.tv_sec, 1'000'000'000);
  EXPECT_EQ(attributes.st_mtim.tv_nsec, 123'456'789);
  EXPECT_EQ(read_all(at("f")), "0123");
}

TEST_F(FuseSessionTest, Times_BeyondWhatNanosecondsReach_BecomeTheNearest) {
  ASSERT_EQ(write_all(at("f"), "x"), 0);
  const timespec times[2] = {{-100'000'000'000, 0}, {100'000'000'000, 0}};
  EXPECT_EQ(code(::utimensat(AT_FDCWD, at("f").c_str(), times, 0)), 0);
  struct stat attributes {};
  ASSERT_EQ(::stat(at("f").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_atim.tv_sec, -9'223'372'036);
  EXPECT_EQ(attributes.st_mtim.tv_sec, fs::last_settable_time / 1'000'000'000);
  EXPECT_EQ(attributes.st_mtim.tv_sec, 9'223'370'937) << "2262-04-11, with room for later changes to move on";
}

TEST_F(FuseSessionTest, AppendFlag_ChangedByFcntl_CountsFromThenOn) {
  ASSERT_EQ(write_all(at("f"), "0123456789"), 0);
  const int file = ::open(at("f").c_str(), O_RDWR);
  ASSERT_EQ(::fcntl(file, F_SETFL, O_APPEND), 0);
  EXPECT_EQ(::write(file, "end", 3), 3);
  EXPECT_EQ(read_all(at("f")), "0123456789end");
  ASSERT_EQ(::fcntl(file, F_SETFL, 0), 0);
  EXPECT_EQ(::pwrite(file, "AB", 2, 0), 2);
  ::close(file);
  const int log = ::open(at("f").c_str(), O_WRONLY | O_APPEND);
  ASSERT_EQ(::fcntl(log, F_SETFL, 0), 0);
  EXPECT_EQ(::pwrite(log, "C", 1, 2), 1);
  ::close(log);
  EXPECT_EQ(read_all(at("f")), "ABC3456789end");
}

TEST_F(FuseSessionTest, OpenForReading_WithTruncation_EmptiesTheFile) {
  ASSERT_EQ(write_all(at("f"), "contents"), 0);
  const int file = ::open(at("f").c_str(), O_RDONLY | O_TRUNC);
  ASSERT_GE(file, 0);
  ::close(file);
  EXPECT_EQ(read_all(at("f")), "");
}

// The kernel has a page that another mount overwrites without changing the size. A stat notices it.
TEST_F(FuseSessionTest, PagesOfAnOpenFile_OverwrittenElsewhere_AreDropped) {
  ASSERT_EQ(write_all(at("f"), "0123456789"), 0);
  const int file = ::open(at("f").c_str(), O_RDONLY);
  char bytes[16] = {};
  ASSERT_EQ(::pread(file, bytes, 10, 0), 10);
  std::promise<bool> written;
  boost::asio::post(loop_, [&] {
    auto other = [](VirtualTime* time, MemoryRing* ring, std::promise<bool>* done) -> Task<void> {
      MemoryObjectStore store(*time, std::shared_ptr<MemoryRing>(std::shared_ptr<void>(), ring), 5);
      StillRing view;
      FakeAdmin admin;
      fs::FileSystem elsewhere(store, view, admin, fs::FileSystemOptions());
      Result<fs::Attributes> found = co_await elsewhere.lookup({}, fs::root_inode, "f");
      Result<fs::Opened> opened = co_await elsewhere.open({}, found->inode, O_RDWR);
      SharedBytes text(std::string("ABC"));
      Result<std::size_t> count = co_await elsewhere.write(opened->handle, 0, text);
      Status flushed = co_await elsewhere.flush(opened->handle);
      co_await elsewhere.release(opened->handle);
      done->set_value(count && flushed);
    };
    boost::asio::co_spawn(loop_, other(&time_, &store_.ring(), &written), boost::asio::detached);
  });
  ASSERT_TRUE(written.get_future().get());
  std::string seen;
  for (int i = 0; i < 500 && seen != "ABC3456789"; ++i) {
    struct stat attributes {};
    ASSERT_EQ(::stat(at("f").c_str(), &attributes), 0);
    ASSERT_EQ(::pread(file, bytes, 10, 0), 10);
    seen.assign(bytes, 10);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(seen, "ABC3456789");
  ::close(file);
}

TEST_F(FuseSessionTest, Directory_OfManyEntries_IsListedOnceEach) {
  std::set<std::string> wanted;
  for (int i = 0; i < 500; ++i) {
    const std::string name = "file-with-a-name-of-some-length-" + std::to_string(i);
    ASSERT_EQ(write_all(at(name), ""), 0);
    wanted.insert(name);
  }
  std::multiset<std::string> seen;
  DIR* directory = ::opendir(path_.c_str());
  ASSERT_NE(directory, nullptr);
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    seen.insert(entry->d_name);
    EXPECT_EQ(entry->d_type, DT_REG);
  }
  ::closedir(directory);
  EXPECT_EQ(seen, std::multiset<std::string>(wanted.begin(), wanted.end()));
}

TEST_F(FuseSessionTest, MappedFile_Changed_IsWritten) {
  ASSERT_EQ(write_all(at("m"), std::string(8192, 'a')), 0);
  const int file = ::open(at("m").c_str(), O_RDWR);
  void* memory = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memcpy(static_cast<char*>(memory) + 5000, "changed", 7);
  EXPECT_EQ(code(::msync(memory, 8192, MS_SYNC)), 0);
  ::munmap(memory, 8192);
  ::close(file);
  EXPECT_EQ(read_all(at("m")).substr(5000, 7), "changed");
}

TEST_F(FuseSessionTest, StatFs_GivesTheRingsSpace) {
  struct statvfs space {};
  ASSERT_EQ(::statvfs(path_.c_str(), &space), 0);
  EXPECT_EQ(space.f_namemax, 255U);
  EXPECT_GT(space.f_blocks, 0U);
  EXPECT_LT(space.f_bavail, space.f_blocks);
}

TEST_F(FuseSessionTest, ControlFiles_ReadThroughTheKernel_GiveTheirText) {
  EXPECT_EQ(read_all(at(".ring/health")), "ok\n");
  EXPECT_EQ(read_all(at(".ring/wait")), "ok\n");
  EXPECT_EQ(write_all(at(".ring/health"), "x", O_WRONLY), EACCES);
  EXPECT_NE(read_all(at(".ring/error_log")), "");
  EXPECT_EQ(write_all(at(".ring/error_log"), "\n"), 0);
  EXPECT_EQ(read_all(at(".ring/error_log")), "");
  EXPECT_EQ(code(::unlink(at(".ring/health").c_str())), EPERM);
  EXPECT_EQ(code(::mkdir(at(".ring/new").c_str(), 0755)), EPERM);
  EXPECT_EQ(code(::rename(at(".ring/health").c_str(), at("stolen").c_str())), EPERM);
  EXPECT_EQ(read_all(at(".ring/nonsense")), "errno ENOENT");
}

void ignore_signal(int) {}

TEST_F(FuseSessionTest, Wait_WhenASignalArrives_EndsWithEintr) {
  struct sigaction action {};
  action.sa_handler = ignore_signal;  // without SA_RESTART
  sigaction(SIGUSR1, &action, nullptr);
  ring_.moving = true;
  std::atomic<int> result = -1;
  std::thread waiter([&] {
    const int file = ::open(at(".ring/wait").c_str(), O_RDONLY);
    result = file >= 0 ? 0 : errno;
    if (file >= 0) ::close(file);
  });
  while (ring_.questions == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  pthread_kill(waiter.native_handle(), SIGUSR1);
  waiter.join();
  EXPECT_EQ(result, EINTR);
  // And the coroutine that polled for it has ended, too.
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const int questions = ring_.questions;
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  EXPECT_EQ(ring_.questions, questions);
}

// The signal ends a read only after the timeout. Until then the read goes on.
TEST_F(FuseSessionTest, Stat_WhenASignalArrivesAndTheRingAnswersLate_Succeeds) {
  ASSERT_EQ(write_all(at("f"), "x"), 0);
  struct sigaction action {};
  action.sa_handler = ignore_signal;
  sigaction(SIGUSR1, &action, nullptr);
  std::promise<void> held;
  boost::asio::post(loop_, [&] {
    store_.hold();
    held.set_value();
  });
  held.get_future().wait();
  std::atomic<int> result = -1;
  std::thread reader([&] {
    const int file = ::open(at("f").c_str(), O_RDONLY);
    result = file >= 0 ? 0 : errno;
    if (file >= 0) ::close(file);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  pthread_kill(reader.native_handle(), SIGUSR1);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(result, -1);
  boost::asio::post(loop_, [this] { store_.release_all(); });
  reader.join();
  EXPECT_EQ(result, 0);
}

TEST_F(FuseSessionTest, Unmount_WithAnOpenFile_IsBusyAndThenDetachesAndCuts) {
  const int file = ::open(at("f").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_GE(file, 0);
  ASSERT_EQ(::write(file, "x", 1), 1);
  EXPECT_NE(unmount(false), 0);
  boost::asio::co_spawn(loop_, session_->unmount(std::chrono::seconds(0)), [](const std::exception_ptr&) {});
  thread_.join();
  EXPECT_TRUE(served_);
  const auto entry = mount_at(path_);
  ASSERT_TRUE(entry);
  EXPECT_FALSE(*entry);
  EXPECT_EQ(::write(file, "y", 1), -1);
  EXPECT_EQ(errno, ENOTCONN);
  ::close(file);
}

TEST_F(FuseSessionTest, Unmount_WhenNobodyUsesIt_EndsTheSession) {
  ASSERT_EQ(write_all(at("f"), "x"), 0);
  EXPECT_EQ(unmount(false), 0);
  thread_.join();
  EXPECT_TRUE(served_);
}

TEST(FuseSession, MountPoint_ThatDoesNotExist_IsAnError) {
  boost::asio::io_context loop;
  VirtualTime time(loop);
  MemoryObjectStore store(time, std::make_shared<MemoryRing>());
  StillRing ring;
  FakeAdmin admin;
  fs::FileSystem file_system(store, ring, admin, fs::FileSystemOptions());
  MountOptions options;
  options.mount_point = "/no/such/directory";
  FuseSession session(loop, file_system, options);
  const Status mounted = session.mount();
  ASSERT_FALSE(mounted);
  EXPECT_EQ(mounted.error().code, ErrorCode::io_error);
}

}  // namespace
}  // namespace ringfs::mount
