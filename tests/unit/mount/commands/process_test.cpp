// Child processes, their marks and pid files.
#include "mount/commands/process.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/scratch_directory.hpp"

namespace ringfs::mount {
namespace {

class ProcessTest : public testing::Test {
 protected:
  void TearDown() override {
    for (const ProcessMark& mark : marks_) {
      send_signal(mark, SIGKILL);
      stop_processes({mark}, std::chrono::seconds(5));
    }
  }
  ProcessMark start(std::vector<std::string> arguments) {
    SpawnOptions options;
    options.arguments = std::move(arguments);
    options.log = directory_ / "log";
    const auto pid = spawn_process(options);
    EXPECT_TRUE(pid);
    const auto mark = mark_of(*pid);
    EXPECT_TRUE(mark);
    marks_.push_back(*mark);
    return *mark;
  }
  int wait_for(pid_t pid) {
    for (int i = 0; i < 1000; ++i) {
      if (const auto code = exit_code_of(pid)) return *code;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return -1;
  }
  std::string log() { return tail_of(directory_ / "log"); }

  const ScratchDirectory directory_{"process"};
  std::vector<ProcessMark> marks_;
};

TEST_F(ProcessTest, Child_ThatEnds_LeavesItsOutputAndItsCode) {
  const ProcessMark mark = start({"sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(wait_for(mark.pid), 7);
  EXPECT_NE(log().find("out\n"), std::string::npos);
  EXPECT_NE(log().find("err\n"), std::string::npos);
  EXPECT_FALSE(is_running(mark));
}

TEST_F(ProcessTest, Program_ThatIsMissing_IsAnError) {
  SpawnOptions options;
  options.arguments = {"/no/such/program"};
  const auto pid = spawn_process(options);
  ASSERT_FALSE(pid);
  EXPECT_EQ(pid.error().code, ErrorCode::io_error);
  EXPECT_EQ(find_program("no-such-program-at-all").error().code, ErrorCode::not_found);
  EXPECT_TRUE(find_program("sh"));
}

TEST_F(ProcessTest, PidFile_OfARunningProcess_NamesIt) {
  const ProcessMark mark = start({"sleep", "60"});
  ASSERT_TRUE(write_pid_file(directory_ / "pid", mark));
  const auto running = running_from(directory_ / "pid");
  ASSERT_TRUE(running);
  EXPECT_EQ(running->pid, mark.pid);
}

// The same pid, but started at another time or in another boot: another process.
TEST_F(ProcessTest, PidFile_OfAnotherLifeOfThePid_NamesNobodyAndIsNotSignalled) {
  ProcessMark mark = start({"sleep", "60"});
  const ProcessMark real = mark;
  mark.started += 1;
  EXPECT_FALSE(is_running(mark));
  EXPECT_FALSE(send_signal(mark, SIGKILL));
  mark = real;
  mark.boot = "another";
  EXPECT_FALSE(send_signal(mark, SIGKILL));
  EXPECT_TRUE(stop_processes({mark}, std::chrono::milliseconds(100)).empty());
  EXPECT_TRUE(is_running(real));
}

TEST_F(ProcessTest, PidFile_Damaged_NamesNobody) {
  EXPECT_FALSE(read_pid_file(directory_ / "absent"));
  for (const char* text : {"", "abc", "12", "-1 3 x", "1 3 x", "0 3 x"}) {
    std::ofstream(directory_ / "pid") << text;
    EXPECT_FALSE(read_pid_file(directory_ / "pid")) << text;
  }
}

// Like a file of /proc whose process ends between the open and the read.
TEST_F(ProcessTest, File_ThatCanBeOpenedAndNotRead_IsEmpty) { EXPECT_EQ(tail_of("/proc/self/mem", 100), ""); }

TEST_F(ProcessTest, Stop_OfWhoIgnoresSigterm_KillsAndSaysSo) {
  const ProcessMark polite = start({"sleep", "60"});
  const ProcessMark stubborn = start({"sh", "-c", "trap '' TERM; echo set; while :; do sleep 1; done"});
  while (log().find("set") == std::string::npos) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const auto killed = stop_processes({polite, stubborn}, std::chrono::milliseconds(300));
  EXPECT_EQ(killed, std::vector<pid_t>{stubborn.pid});
  EXPECT_FALSE(is_running(polite));
  EXPECT_FALSE(is_running(stubborn));
}

TEST_F(ProcessTest, Life_OfWhoseMainThreadEndedFirst_IsEndingUntilAllThreadsAre) {
  const pid_t child = fork();
  if (child == 0) {
    std::thread([] { pause(); }).detach();
    syscall(SYS_exit, 0);  // this thread only, and without unwinding
  }
  const auto mark = mark_of(child);
  ASSERT_TRUE(mark);
  marks_.push_back(*mark);
  for (int i = 0; i < 1000 && is_running(*mark); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(life_of(*mark), ProcessLife::ending);
  EXPECT_EQ(wait_until_gone({*mark}, std::chrono::milliseconds(50)).size(), 1U);
  ASSERT_TRUE(send_signal(*mark, SIGKILL));
  EXPECT_TRUE(wait_until_gone({*mark}, std::chrono::seconds(10)).empty());
  EXPECT_EQ(life_of(*mark), ProcessLife::gone);
}

TEST_F(ProcessTest, Tail_OfALongLog_StartsAtALine) {
  std::ofstream file(directory_ / "long");
  for (int i = 0; i < 1000; ++i) file << "line " << i << "\n";
  file.close();
  const std::string tail = tail_of(directory_ / "long", 100);
  EXPECT_TRUE(tail.starts_with("line "));
  EXPECT_TRUE(tail.ends_with("line 999\n"));
  EXPECT_LE(tail.size(), 100U);
}

TEST_F(ProcessTest, SpawnRecorded_IsNamedByItsPidFileAndWritesItsLog) {
  SpawnOptions options;
  options.arguments = {"/bin/sh", "-c", "echo out; echo err >&2; exec sleep 100"};
  options.log = directory_ / "log";
  const Result<ProcessMark> mark = spawn_recorded(options, directory_ / "pid");
  ASSERT_TRUE(mark) << mark.error().text();
  const std::optional<ProcessMark> known = running_from(directory_ / "pid");
  ASSERT_TRUE(known);
  EXPECT_EQ(known->pid, mark->pid);
  std::string text;
  for (int i = 0; i < 1000 && text != "out\nerr\n"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    text = tail_of(directory_ / "log");
  }
  EXPECT_EQ(text, "out\nerr\n");
  stop_processes({*mark}, std::chrono::seconds(10));
}

TEST_F(ProcessTest, SpawnRecorded_OfWhatCannotRun_SaysWhyAndLeavesNoPidFile) {
  SpawnOptions options;
  options.arguments = {(directory_ / "nothing").string()};
  const Result<ProcessMark> mark = spawn_recorded(options, directory_ / "pid");
  ASSERT_FALSE(mark);
  EXPECT_NE(mark.error().context.find("No such file"), std::string::npos) << mark.error().context;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "pid"));
}

// The starting process is killed between the start and the pid file: a FIFO without a reader stops it there.
TEST_F(ProcessTest, SpawnRecorded_WhoseParentIsKilledBeforeThePidFile_NeverBegins) {
  const std::filesystem::path fifo = directory_ / "pid", begun = directory_ / "begun";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    close(ends[0]);  // the other end stays open in the process that is started
    SpawnOptions options;
    options.arguments = {"/bin/sh", "-c", "touch " + begun.string() + "; sleep 100"};
    static_cast<void>(spawn_recorded(options, fifo));
    _exit(0);
  }
  close(ends[1]);
  // It has a child, and waits for a reader.
  const std::string children = "/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children";
  for (int i = 0; i < 1000 && tail_of(children).empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_FALSE(tail_of(children).empty());
  ASSERT_EQ(kill(parent, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(waitpid(parent, &status, 0), parent);
  // No process has the pipe open any more: the child has gone, too.
  pollfd gone{ends[0], POLLIN, 0};
  ASSERT_EQ(poll(&gone, 1, 30'000), 1);
  EXPECT_FALSE(std::filesystem::exists(begun));
  close(ends[0]);
}

TEST_F(ProcessTest, RunApart_BesideAnotherThread_IsRefused) {
  std::promise<void> end;
  std::thread other([wait = end.get_future()] { wait.wait(); });
  const std::function<std::string()> work = [] { return std::string("seen"); };
  const Result<std::string> refused = run_apart(work, std::chrono::seconds(20));
  end.set_value();
  other.join();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::internal);
  EXPECT_TRUE(run_apart(work, std::chrono::seconds(20)));
}

TEST_F(ProcessTest, RunApart_GivesTheTextOrSaysThatThereIsNone) {
  const std::function<std::string()> large = [] { return std::string(1 << 20, 'x'); };
  const Result<std::string> text = run_apart(large, std::chrono::seconds(20));
  ASSERT_TRUE(text) << text.error().text();
  EXPECT_EQ(*text, std::string(1 << 20, 'x'));
  const std::function<std::string()> never = [] {
    pause();
    return std::string();
  };
  const Result<std::string> nothing = run_apart(never, std::chrono::milliseconds(50));
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::timeout);
  const std::function<std::string()> dies = []() -> std::string { _exit(3); };
  EXPECT_FALSE(run_apart(dies, std::chrono::seconds(20)));
}

}  // namespace
}  // namespace ringfs::mount
