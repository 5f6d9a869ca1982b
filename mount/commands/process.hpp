// Child processes of the command line: started detached, remembered in pid files, stopped by pid.
//
// A pid alone may by now name somebody else's process; a pid file therefore also holds the process's start time and the
// boot's id, and everything here acts only on a process for which all three agree.
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

// The same for a process that is to be found again: its program begins when `pid_file` names it, and never if we die
// before. [0] is a path.
Result<ProcessMark> spawn_recorded(const SpawnOptions& options, const std::filesystem::path& pid_file);

// Of a child that has ended (reaps it): its code, 128 + signal when a signal ended it. Nothing while it runs.
std::optional<int> exit_code_of(pid_t child);

std::optional<ProcessMark> mark_of(pid_t pid);
enum class ProcessLife {
  gone,    // or a zombie, or another process by now
  ending,  // killed, or its main thread has ended: others still hold its sockets and locks, while the disk is slow
  running,
};
ProcessLife life_of(const ProcessMark& mark);
bool is_running(const ProcessMark& mark);
// Waits for those that are ending or running; reaps our own children. Returns those that are still there.
std::vector<ProcessMark> wait_until_gone(std::vector<ProcessMark> marks, std::chrono::milliseconds timeout);
bool send_signal(const ProcessMark& mark, int number);

Status write_pid_file(const std::filesystem::path& path, const ProcessMark& mark);
// Nothing when there is no file or it does not hold a mark.
std::optional<ProcessMark> read_pid_file(const std::filesystem::path& path);
std::optional<ProcessMark> running_from(const std::filesystem::path& pid_file);

// SIGTERM to all; who still runs after `grace` gets SIGKILL. Returns the pids that were killed.
std::vector<pid_t> stop_processes(const std::vector<ProcessMark>& marks, std::chrono::milliseconds grace);

// What `work` returns, run in a child process: for calls on a mounted file system, which no signal ends while its
// process does not answer. Errors: timeout after `limit` (the child is left behind, killed), io_error, internal when
// other threads of ours run: what they hold at the fork (locks of getaddrinfo, of the log) nobody would let go in the
// child.
Result<std::string> run_apart(const std::function<std::string()>& work, std::chrono::milliseconds limit);

// The last lines of a log, at most `bytes` of it.
std::string tail_of(const std::filesystem::path& file, std::size_t bytes = 2000);
// Beside our own executable, then in PATH. Errors: not_found.
Result<std::string> find_program(const std::string& name);
// Our own executable.
std::string own_program();

}  // namespace ringfs::mount
