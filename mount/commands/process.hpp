// Child processes of the command line: started detached, remembered in pid files, stopped by pid.
//
// A pid alone may by now belong to another process. So a pid file also holds the process's start time and the boot id,
// and everything here acts only on a process for which all three agree.
// Threads: any. Errors: io_error with the cause.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/error.hpp"

namespace ringfs::mount {

struct SpawnOptions {
  std::vector<std::string> arguments;  // [0]: a path, or a name that is looked up in PATH
  std::filesystem::path log;           // stdout and stderr are appended here; empty: stderr is ours, stdout nothing
  bool new_session = false;            // outlives the terminal
  int inherited = -1;                  // a descriptor that becomes number 3 of the child
};
Result<pid_t> spawn_process(const SpawnOptions& options);

struct ProcessMark {
  pid_t pid = 0;
  std::uint64_t started = 0;  // clock ticks since boot
  std::string boot;
};

// The same for a process that is to be found again. Its program begins when `pid_file` names the process, and never if
// we die before. [0] is a path.
Result<ProcessMark> spawn_recorded(const SpawnOptions& options, const std::filesystem::path& pid_file);

// The exit code of a child that has ended, or 128 + the signal that ended it; reaps the child. Nothing while it runs.
std::optional<int> exit_code_of(pid_t child);

std::optional<ProcessMark> mark_of(pid_t pid);
enum class ProcessLife {
  gone,    // or a zombie, or another process by now
  ending,  // killed, or its main thread has ended, but other threads still hold its sockets and locks (a slow disk)
  running,
};
ProcessLife life_of(const ProcessMark& mark);
bool is_running(const ProcessMark& mark);
// Waits for processes that are ending or running, and reaps our own children. Returns those that are still there.
std::vector<ProcessMark> wait_until_gone(std::vector<ProcessMark> marks, std::chrono::milliseconds timeout);
bool send_signal(const ProcessMark& mark, int number);

Status write_pid_file(const std::filesystem::path& path, const ProcessMark& mark);
// Nothing when there is no file or it does not hold a mark.
std::optional<ProcessMark> read_pid_file(const std::filesystem::path& path);
std::optional<ProcessMark> running_from(const std::filesystem::path& pid_file);

// Sends SIGTERM to all, and SIGKILL to those that still run after `grace`. Returns the pids that were killed.
std::vector<pid_t> stop_processes(const std::vector<ProcessMark>& marks, std::chrono::milliseconds grace);

// Runs `work` in a child process and returns its result: for calls on a mounted file system, which no signal ends while
// the mount's process does not answer. Errors: timeout after `limit` (the child is killed and left behind); io_error;
// internal if we have other threads: locks that they hold at the fork (of getaddrinfo, of the log) would stay locked in
// the child.
Result<std::string> run_apart(const std::function<std::string()>& work, std::chrono::milliseconds limit);

// The last lines of a log, at most `bytes` of it.
std::string tail_of(const std::filesystem::path& file, std::size_t bytes = 2000);
// Beside our own executable, then in PATH. Errors: not_found.
Result<std::string> find_program(const std::string& name);
// Our own executable.
std::string own_program();

}  // namespace ringfs::mount
