// Starting, finding, marking and ending processes (man 3 posix_spawn, man 5 proc).
#include "mount/commands/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>
#include <utility>

extern char** environ;

#include "dht/base/read_file.hpp"
#include "mount/commands/pipe.hpp"

namespace ringfs::mount {
namespace {

constexpr auto exit_interval = std::chrono::milliseconds(10);

// Empty if it cannot be read: the process may have ended since (ENOENT, or ESRCH while it is read).
std::string read_proc(const std::string& name) { return read_file("/proc/" + name).value_or(std::string()); }

std::string boot_id() {
  std::string id = read_proc("sys/kernel/random/boot_id");
  while (!id.empty() && (id.back() == '\n' || id.back() == ' ')) id.pop_back();
  return id.empty() ? "-" : id;
}

struct ProcessStat {
  char state = '?';
  std::uint64_t started = 0;
};

// man 5 proc, /proc/PID/stat: the name is in parentheses and may hold anything; state is field 3, starttime field 22.
std::optional<ProcessStat> parse_stat(const std::string& text) {
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  ProcessStat result;
  std::string skipped;
  if (!(fields >> result.state)) return std::nullopt;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  if (!(fields >> result.started)) return std::nullopt;
  return result;
}

std::optional<ProcessStat> stat_of(pid_t pid) { return parse_stat(read_proc(std::to_string(pid) + "/stat")); }

bool has_ended(const ProcessStat& stat) { return stat.state == 'Z' || stat.state == 'X'; }

bool other_threads_live(pid_t pid) {
  std::error_code error;
  for (std::filesystem::directory_iterator task("/proc/" + std::to_string(pid) + "/task", error), end;
       !error && task != end; task.increment(error)) {
    const std::string thread = task->path().filename().string();
    if (thread == std::to_string(pid)) continue;
    const std::optional<ProcessStat> stat = parse_stat(read_file(task->path() / "stat").value_or(std::string()));
    if (stat && !has_ended(*stat)) return true;
  }
  return false;
}

// man 5 proc, /proc/PID/status: SigPnd and ShdPnd are hexadecimal masks of the signals that wait.
bool was_killed(pid_t pid) {
  std::istringstream lines(read_proc(std::to_string(pid) + "/status"));
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("SigPnd:", 0) != 0 && line.rfind("ShdPnd:", 0) != 0) continue;
    const std::uint64_t mask = std::strtoull(line.c_str() + 7, nullptr, 16);
    if ((mask >> (SIGKILL - 1) & 1) != 0) return true;
  }
  return false;
}

}  // namespace

Result<pid_t> spawn_process(const SpawnOptions& options) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (options.log.empty()) {
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  } else {
    posix_spawn_file_actions_addopen(&actions, 1, options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
  }
  // dup2 onto itself keeps the descriptor open across exec (POSIX.1-2024, and glibc since 2.29).
  if (options.inherited >= 0) posix_spawn_file_actions_adddup2(&actions, options.inherited, 3);
  // The child starts with no blocked and no ignored signals, whatever we do with ours.
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  sigdelset(&all, SIGKILL);
  sigdelset(&all, SIGSTOP);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (options.new_session) flags = static_cast<short>(flags | POSIX_SPAWN_SETSID);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, flags);

  std::vector<char*> arguments;
  for (const std::string& argument : options.arguments) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    return fail(ErrorCode::io_error, "cannot start " + options.arguments[0] + ": " + std::strerror(error));
  return pid;
}

namespace {

// The same file, with a number above those that mean something to the child.
Descriptor moved_up(Descriptor descriptor) {
  constexpr int first_free = 10;
  return Descriptor(descriptor.value < 0 ? -1 : fcntl(descriptor.value, F_DUPFD_CLOEXEC, first_free));
}

struct Waiting {  // what the child needs until its program begins; made before the fork
  std::vector<char*> arguments;
  int null, log, gate, cause, inherited;
  bool new_session;
};

// Calls only what is safe after a fork (man 7 signal-safety). It waits for a byte from the gate; if the gate is closed
// instead, its starter has died or given up.
[[noreturn]] void begin_when_recorded(const Waiting& waiting) {
  if (waiting.new_session) setsid();
  for (int number = 1; number < NSIG; ++number)
    ::signal(number, SIG_DFL);  // fails for some, which cannot be changed anyway
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(waiting.null, 0);
  dup2(waiting.log >= 0 ? waiting.log : waiting.null, 1);
  if (waiting.log >= 0) dup2(waiting.log, 2);
  if (waiting.inherited == 3) fcntl(3, F_SETFD, 0);
  if (waiting.inherited >= 0 && waiting.inherited != 3) dup2(waiting.inherited, 3);
  char byte = 0;
  ssize_t count = 0;
  while ((count = ::read(waiting.gate, &byte, 1)) < 0 && errno == EINTR) {
  }
  if (count != 1) _exit(0);
  execv(waiting.arguments[0], waiting.arguments.data());
  const int error = errno;
  if (::write(waiting.cause, &error, sizeof error) != sizeof error) _exit(126);
  _exit(127);
}

// What the child wrote: the errno of execv. Nothing: its program has begun.
std::optional<int> cause_from(int descriptor) {
  int error = 0;
  ssize_t count = 0;
  while ((count = ::read(descriptor, &error, sizeof error)) < 0 && errno == EINTR) {
  }
  return count == sizeof error ? std::optional<int>(error) : std::nullopt;
}

}  // namespace

Result<ProcessMark> spawn_recorded(const SpawnOptions& options, const std::filesystem::path& pid_file) {
  const auto cannot = [&](int error) {
    return fail(ErrorCode::io_error, "cannot start " + options.arguments[0] + ": " + std::strerror(error));
  };
  std::optional<Pipe> gate = make_pipe();
  if (!gate) return cannot(errno);
  Descriptor gate_in = moved_up(std::move(gate->reading)), gate_out = moved_up(std::move(gate->writing));
  std::optional<Pipe> causes = make_pipe();
  if (!causes) return cannot(errno);
  Descriptor cause_in = moved_up(std::move(causes->reading)), cause_out = moved_up(std::move(causes->writing));
  const Descriptor null = moved_up(Descriptor(::open("/dev/null", O_RDWR | O_CLOEXEC)));
  const Descriptor log = moved_up(Descriptor(
      options.log.empty() ? -1 : ::open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)));
  if (null.value < 0 || (log.value < 0 && !options.log.empty())) return cannot(errno);
  Waiting waiting{{}, null.value, log.value, gate_in.value, cause_out.value, options.inherited, options.new_session};
  for (const std::string& argument : options.arguments)
    waiting.arguments.push_back(const_cast<char*>(argument.c_str()));
  waiting.arguments.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return cannot(errno);
  if (pid == 0) {
    close_now(gate_out);  // our copy: else the gate would not close with the parent's
    begin_when_recorded(waiting);
  }
  close_now(gate_in);
  close_now(cause_out);
  const auto reap = [pid] {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
  };
  const std::optional<ProcessMark> mark = mark_of(pid);
  const Status recorded = mark ? write_pid_file(pid_file, *mark) : fail(ErrorCode::io_error, "cannot read /proc");
  if (!recorded) {
    close_now(gate_out);
    reap();
    return tl::unexpected<Error>(recorded.error());
  }
  if (::write(gate_out.value, "", 1) != 1) return cannot(errno);
  close_now(gate_out);
  if (const std::optional<int> cause = cause_from(cause_in.value)) {
    reap();
    std::error_code ignored;
    std::filesystem::remove(pid_file, ignored);
    return cannot(*cause);
  }
  return *mark;
}

std::optional<int> exit_code_of(pid_t child) {
  int status = 0;
  const pid_t result = waitpid(child, &status, WNOHANG);
  if (result == 0) return std::nullopt;
  if (result < 0) return errno == EINTR ? std::nullopt : std::optional<int>(127);  // not our child any more
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::optional<ProcessMark> mark_of(pid_t pid) {
  const std::optional<ProcessStat> stat = stat_of(pid);
  if (!stat) return std::nullopt;
  return ProcessMark{pid, stat->started, boot_id()};
}

ProcessLife life_of(const ProcessMark& mark) {
  const std::optional<ProcessStat> stat = stat_of(mark.pid);
  if (!stat || stat->started != mark.started || mark.boot != boot_id()) return ProcessLife::gone;
  if (has_ended(*stat)) return other_threads_live(mark.pid) ? ProcessLife::ending : ProcessLife::gone;
  return was_killed(mark.pid) ? ProcessLife::ending : ProcessLife::running;
}

bool is_running(const ProcessMark& mark) { return life_of(mark) == ProcessLife::running; }

std::vector<ProcessMark> wait_until_gone(std::vector<ProcessMark> marks, std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    std::erase_if(marks, [](const ProcessMark& mark) {
      exit_code_of(mark.pid);  // reaps it when it is our child
      return life_of(mark) == ProcessLife::gone;
    });
    if (marks.empty() || std::chrono::steady_clock::now() >= end) return marks;
    std::this_thread::sleep_for(exit_interval);
  }
}

bool send_signal(const ProcessMark& mark, int number) {
  return life_of(mark) != ProcessLife::gone && kill(mark.pid, number) == 0;
}

Status write_pid_file(const std::filesystem::path& path, const ProcessMark& mark) {
  std::ofstream file(path, std::ios::trunc);
  file << mark.pid << ' ' << mark.started << ' ' << mark.boot << '\n' << std::flush;
  if (!file) return fail(ErrorCode::io_error, "cannot write " + path.string());
  return {};
}

std::optional<ProcessMark> read_pid_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  ProcessMark mark;
  if (!(file >> mark.pid >> mark.started >> mark.boot) || mark.pid <= 1) return std::nullopt;
  return mark;
}

std::optional<ProcessMark> running_from(const std::filesystem::path& pid_file) {
  std::optional<ProcessMark> mark = read_pid_file(pid_file);
  if (mark && !is_running(*mark)) mark.reset();
  return mark;
}

std::vector<pid_t> stop_processes(const std::vector<ProcessMark>& marks, std::chrono::milliseconds grace) {
  for (const ProcessMark& mark : marks) send_signal(mark, SIGTERM);
  std::vector<pid_t> killed;
  for (const ProcessMark& mark : wait_until_gone(marks, grace)) {
    if (send_signal(mark, SIGKILL)) killed.push_back(mark.pid);
  }
  if (!killed.empty()) wait_until_gone(marks, std::chrono::seconds(2));
  return killed;
}

Result<std::string> run_apart(const std::function<std::string()>& work, std::chrono::milliseconds limit) {
  if (other_threads_live(getpid())) return fail(ErrorCode::internal, "a process with other threads cannot look apart");
  std::optional<Pipe> answer = make_pipe();
  if (!answer) return fail(ErrorCode::io_error, std::string("cannot make a pipe: ") + std::strerror(errno));
  const pid_t child = fork();
  if (child < 0) return fail(ErrorCode::io_error, std::string("cannot make a process: ") + std::strerror(errno));
  if (child == 0) {
    close_now(answer->reading);
    const std::string text = work();
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t count = ::write(answer->writing.value, text.data() + done, text.size() - done);
      if (count < 0) _exit(1);
      done += static_cast<std::size_t>(count);
    }
    _exit(0);
  }
  close_now(answer->writing);
  const auto end = std::chrono::steady_clock::now() + limit;
  std::string text;
  bool whole = false;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd wait{answer->reading.value, POLLIN, 0};
    if (left.count() <= 0) break;
    const int ready = poll(&wait, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) break;
    if (ready <= 0) continue;
    char buffer[4096];
    const ssize_t count = ::read(answer->reading.value, buffer, sizeof buffer);
    whole = count == 0;
    if (count <= 0) break;
    text.append(buffer, static_cast<std::size_t>(count));
  }
  close_now(answer->reading);
  if (!whole) {
    kill(child, SIGKILL);
    exit_code_of(child);  // it may hang inside the kernel; then init reaps it
    return fail(ErrorCode::timeout, "no answer within " + std::to_string(limit.count()) + " ms");
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return fail(ErrorCode::io_error, "the process that looked has died");
  return text;
}

std::string tail_of(const std::filesystem::path& file, std::size_t bytes) {
  std::string text = read_file(file).value_or(std::string());  // empty if it cannot be read
  if (text.size() <= bytes) return text;
  text.erase(0, text.size() - bytes);
  const std::size_t line = text.find('\n');
  return line == std::string::npos ? text : text.substr(line + 1);
}

std::string own_program() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "ringfs" : path.string();
}

Result<std::string> find_program(const std::string& name) {
  std::vector<std::filesystem::path> directories = {std::filesystem::path(own_program()).parent_path()};
  if (const char* path = std::getenv("PATH")) {
    std::istringstream parts(path);
    for (std::string part; std::getline(parts, part, ':');) directories.emplace_back(part.empty() ? "." : part);
  }
  for (const std::filesystem::path& directory : directories) {
    const std::filesystem::path candidate = directory / name;
    std::error_code error;
    if (access(candidate.c_str(), X_OK) == 0 && std::filesystem::is_regular_file(candidate, error))
      return candidate.string();
  }
  return fail(ErrorCode::not_found, name + " is neither beside " + own_program() + " nor in PATH");
}

}  // namespace ringfs::mount
