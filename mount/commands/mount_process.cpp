// Serving a mount, and the commands' side of it: starting, looking, unmounting.
#include "mount/commands/mount_process.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <thread>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "dht/core/rows/row_leases.hpp"
#include "dht/net/runtime/rotating_log.hpp"
#include "mount/commands/mount_table.hpp"
#include "mount/commands/pipe.hpp"
#include "mount/commands/ring_session.hpp"
#include "mount/fuse/session.hpp"

namespace ringfs::mount {
namespace {

namespace asio = boost::asio;

constexpr auto reach_timeout = std::chrono::seconds(10);  // until a node answers
constexpr auto first_lookup_timeout =
    std::chrono::seconds(25);                             // until the root directory is there; below mount_timeout
constexpr auto drain_timeout = std::chrono::seconds(30);  // for dirty bytes at the end
constexpr auto in_use_timeout = std::chrono::seconds(5);  // for programs with open files when we are told to end
constexpr auto settings_interval = std::chrono::seconds(10);
constexpr auto settings_timeout = std::chrono::seconds(5);
constexpr auto unmount_timeout = std::chrono::seconds(10);
constexpr auto unmount_interval = std::chrono::milliseconds(10);
constexpr auto probe_timeout = std::chrono::seconds(2);
constexpr auto quiet_timeout = std::chrono::seconds(3);  // before the command says what it waits for

// Tells our starter that the mount is ready, and closes its stderr: a shell that reads it would wait for our end.
void announce(int descriptor, bool let_go) {
  if (descriptor >= 0) {
    const Descriptor ready(descriptor);
    const ssize_t written = ::write(ready.value, "ready\n", 6);
    if (written != 6) spdlog::warn("event=ready_not_heard");
  }
  if (let_go) {
    const Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (null.value >= 0) {
      dup2(null.value, STDOUT_FILENO);
      dup2(null.value, STDERR_FILENO);
    }
  }
}

struct MountRun {
  RingSession& ring;
  fs::FileSystem& file_system;
  FuseSession& session;
  asio::signal_set& signals;
  const MountOptions& options;
  int ready_descriptor;
  bool let_go;
  bool mounted = false;
  bool unmounting = false;
  bool over = false;
};

Task<void> unmount_on_signal(MountRun* run) {
  boost::system::error_code error;
  const int number = co_await run->signals.async_wait(asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return;
  if (!run->mounted) {  // still looking for the ring: give that up
    run->ring.stop();
    co_return;
  }
  run->unmounting = true;
  spdlog::info("event=unmounting signal={}", number);
  co_await run->session.unmount(in_use_timeout);
  run->unmounting = false;
}

// Takes over the ring's op_timeout: before the mount is usable, and then regularly. If the ring does not answer, it
// stays as it is.
Task<void> adopt_settings(RingSession* ring, fs::FileSystem* file_system) {
  const Result<std::map<std::string, std::string>> settings =
      co_await ring->admin().settings(ring->in(settings_timeout));
  if (settings) file_system->set_operation_timeout(std::chrono::seconds(setting_value(*settings, op_timeout_setting)));
}

Task<void> follow_settings(MountRun* run) {
  while (!run->over) {
    co_await run->ring.store().sleep(settings_interval);
    if (!run->over) co_await adopt_settings(&run->ring, &run->file_system);
  }
}

int fail_mount(const Error& error) {
  std::cerr << "ringfs: " << (error.context.empty() ? std::string(to_string(error.code)) : error.context) << std::endl;
  return 1;
}

Task<int> serve(MountRun* run) {
  const TimePoint deadline = run->ring.in(first_lookup_timeout);
  asio::co_spawn(run->ring.loop(), unmount_on_signal(run), [](const std::exception_ptr& thrown) {
    if (thrown) spdlog::error("event=unmount_failed");
  });
  Status status = co_await run->ring.start(run->ring.in(reach_timeout));
  if (!status) co_return fail_mount(Error{status.error().code, "cannot reach the ring: " + status.error().context});
  // The first leaders may not be elected yet. Each call has a deadline of its own, and all of them together have ours.
  for (;;) {
    status = co_await run->file_system.start();
    const bool again = !status && (status.error().code == ErrorCode::timeout ||
                                   status.error().code == ErrorCode::unavailable || not_reached(status.error().code));
    if (!again || run->ring.in(std::chrono::milliseconds(0)) >= deadline) break;
    co_await run->ring.store().sleep(std::chrono::milliseconds(20));
  }
  if (!status)
    co_return fail_mount(
        Error{status.error().code, "the ring does not give its root directory: " + status.error().text()});
  if (!run->options.operation_timeout_seconds) {
    co_await adopt_settings(&run->ring, &run->file_system);
    asio::co_spawn(run->ring.loop(), follow_settings(run), [](const std::exception_ptr& thrown) {
      if (thrown) spdlog::error("event=settings_unknown");
    });
  }
  status = run->session.mount();
  if (!status) co_return fail_mount(status.error());
  run->mounted = true;
  const int ready_descriptor = run->ready_descriptor;
  const bool let_go = run->let_go;
  std::function<void()> ready = [ready_descriptor, let_go] {
    announce(ready_descriptor, let_go);
    spdlog::info("event=mounted");
  };
  co_await run->session.serve(std::move(ready));
  run->signals.cancel();
  run->over = true;
  while (run->unmounting) co_await run->ring.store().sleep(unmount_interval);
  status = co_await run->file_system.stop(run->ring.in(drain_timeout));
  if (!status) {
    spdlog::error("event=drain_failed error=\"{}\"", status.error().text());
    co_return 1;
  }
  spdlog::info("event=unmounted");
  co_return 0;
}

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "/" : parent;
}

std::vector<std::string> words_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(stream, word, '\0');) words.push_back(word);
  return words;
}

// The directory where the process was started: it serves in `/`, and the mount point in its command line may be
// relative.
std::string first_directory_of(const std::filesystem::path& process) {
  constexpr std::string_view name = "PWD=";
  for (const std::string& word : words_of(process / "environ")) {
    if (word.starts_with(name)) return word.substr(name.size());
  }
  return "/";
}

}  // namespace

MountAnswer probe_mount(const std::string& path) {
  // The kernel may keep the root's attributes: it must ask.
  const std::function<std::string()> look = [&path] {
    struct statx ignored {};
    const int result = ::statx(AT_FDCWD, path.c_str(), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &ignored);
    return std::string(result != 0 && errno == ENOTCONN ? "dead" : "answers");
  };
  const Result<std::string> answer = run_apart(look, probe_timeout);
  if (!answer) return MountAnswer::silent;
  return *answer == "dead" ? MountAnswer::dead : MountAnswer::answers;
}

bool stop_mount_process(const ProcessMark& mark) {
  send_signal(mark, SIGTERM);
  if (wait_until_gone({mark}, quiet_timeout).empty()) return false;
  std::cerr << "ringfs: waiting for the mount process " << mark.pid
            << ", which writes to the ring what is dirty (at most " << mount_end_timeout.count() << " s)" << std::endl;
  return !stop_processes({mark}, mount_end_timeout - quiet_timeout).empty();
}

int serve_mount(std::vector<std::string> addresses, MountOptions options, const std::string& log_file,
                int ready_descriptor, dht::TransactionFaults faults) {
  spdlog::set_default_logger(spdlog::stderr_logger_st("ringfs"));
  if (!log_file.empty()) {
    const Status opened = dht::log_to_file("ringfs", log_file);
    if (!opened) return fail_mount(opened.error());
  }
  spdlog::flush_on(spdlog::level::info);
  if (ready_descriptor >= 0) fcntl(ready_descriptor, F_SETFD, FD_CLOEXEC);
  if (::chdir("/") != 0) return fail_mount(Error{ErrorCode::io_error, "cannot change to /"});
  ::signal(SIGPIPE, SIG_IGN);
  // Buffers of 1 MiB are allocated all the time: keep them in the heap instead of mapping fresh pages for each.
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 8 << 20);
  RingSession ring(std::move(addresses), options.tls, dht::max_row_lease, faults);
  fs::FileSystemOptions file_system_options;
  if (options.operation_timeout_seconds)
    file_system_options.operation_timeout = std::chrono::seconds(*options.operation_timeout_seconds);
  file_system_options.show_ring = options.show_ring;
  file_system_options.synchronous = options.synchronous;
  file_system_options.owner = ::getuid();
  fs::FileSystem file_system(ring.store(), ring.view(), ring.admin(), file_system_options);
  FuseSession session(ring.loop(), file_system, options);
  asio::signal_set signals(ring.loop(), SIGTERM, SIGINT, SIGHUP);
  MountRun run{
      ring, file_system, session, signals, options, ready_descriptor, ready_descriptor >= 0 && log_file.empty()};
  const int code = ring.run(serve(&run));
  ring.finish();
  return code;
}

Result<ProcessMark> start_mount_process(const MountStart& start) {
  std::optional<Pipe> pipe = make_pipe();
  if (!pipe) return fail(ErrorCode::io_error, "cannot make a pipe");
  std::string addresses;
  for (const std::string& address : start.addresses) addresses += (addresses.empty() ? "" : ",") + address;
  SpawnOptions options;
  options.arguments = {own_program(), "mount", addresses, start.mount_point, "--foreground", "--ready-fd", "3"};
  if (!start.options.empty()) options.arguments.insert(options.arguments.end(), {"-o", start.options});
  if (start.tls.given()) {
    options.arguments.insert(options.arguments.end(), {"--tls-ca", start.tls.authorities, "--tls-certificate",
                                                       start.tls.certificate, "--tls-key", start.tls.key});
  }
  if (!start.log.empty()) options.arguments.insert(options.arguments.end(), {"--log-file", start.log.string()});
  options.log = start.log;
  options.new_session = true;
  options.inherited = pipe->writing.value;
  // Without a pid file it is found by its mount point.
  Result<ProcessMark> mark = fail(ErrorCode::io_error, "the mount process ended at once");
  if (start.pid_file.empty()) {
    const Result<pid_t> pid = spawn_process(options);
    const std::optional<ProcessMark> seen = pid ? mark_of(*pid) : std::nullopt;
    if (seen) mark = *seen;
    if (!pid) mark = tl::unexpected<Error>(pid.error());
  } else {
    mark = spawn_recorded(options, start.pid_file);
  }
  close_now(pipe->writing);
  if (!mark) return mark;
  const auto end = std::chrono::steady_clock::now() + mount_timeout;
  bool ready = false, ended = false;
  while (!ready && !ended && std::chrono::steady_clock::now() < end) {
    pollfd wait{pipe->reading.value, POLLIN, 0};
    if (poll(&wait, 1, 100) <= 0) continue;
    char byte = 0;
    const ssize_t count = ::read(pipe->reading.value, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    ready = count == 1;
    ended = count <= 0;
  }
  close_now(pipe->reading);
  if (ready) return mark;
  const std::string tail =
      start.log.empty() ? "see above" : "the end of " + start.log.string() + ":\n" + tail_of(start.log);
  if (ended) return fail(ErrorCode::io_error, "the mount process ended; " + tail);
  stop_processes({*mark}, std::chrono::seconds(1));
  return fail(ErrorCode::timeout, "the mount was not ready in time; " + tail);
}

std::string absolute_mount_point(const std::string& path) {
  char resolved[PATH_MAX];
  std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
  while (absolute.size() > 1 && absolute.ends_with('/')) absolute.pop_back();
  if (::realpath(absolute.c_str(), resolved) != nullptr) return resolved;
  const std::filesystem::path name = std::filesystem::path(absolute).filename();
  if (::realpath(parent_of(absolute).c_str(), resolved) != nullptr)
    return (std::filesystem::path(resolved) / name).string();
  return absolute;
}

Result<bool> is_mounted(const std::string& path) {
  const Result<std::optional<MountEntry>> entry = mount_at(path);
  if (!entry) return tl::unexpected(entry.error());
  return entry->has_value() && (*entry)->type == ringfs_mount_type;
}

Status check_mount_point(const std::string& path) {
  const Result<bool> mounted = is_mounted(path);
  if (!mounted) return tl::unexpected(mounted.error());
  if (*mounted) {
    const MountAnswer answer = probe_mount(path);
    if (answer == MountAnswer::answers)
      return fail(ErrorCode::exists, "a RingFS is mounted on " + path + " already; unmount it: ringfs umount " + path);
    if (answer == MountAnswer::silent) {
      return fail(ErrorCode::exists, "a RingFS is mounted on " + path +
                                         " and does not answer; is its process stopped? Detach it: fusermount3 -u -z " +
                                         path);
    }
    Status cleared = unmount_path(path, true);
    if (!cleared) return cleared;
  }
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return fail(ErrorCode::not_found, "the mount point " + path + " does not exist; make it: mkdir -p " + path);
  }
  if (error) return fail(ErrorCode::io_error, "cannot look at the mount point " + path + ": " + error.message());
  if (status.type() != std::filesystem::file_type::directory) {
    return fail(ErrorCode::not_directory, "the mount point " + path + " is no directory");
  }
  const bool empty = std::filesystem::is_empty(path, error);
  if (error) return fail(ErrorCode::io_error, "cannot read the mount point " + path + ": " + error.message());
  if (!empty) return fail(ErrorCode::not_empty, "the mount point " + path + " is not empty; name an empty directory");
  return {};
}

// By its command line: "ringfs mount ... --foreground ...", one word of it being the mount point.
std::optional<ProcessMark> mount_process_of(const std::string& path) {
  std::error_code error;
  for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::vector<std::string> words = words_of(entry.path() / "cmdline");
    if (words.size() < 5 || words[1] != "mount" || std::find(words.begin(), words.end(), "--foreground") == words.end())
      continue;
    if (std::filesystem::path(words[0]).filename() != std::filesystem::path(own_program()).filename()) continue;
    const std::filesystem::path from = first_directory_of(entry.path());
    const bool serves = std::any_of(words.begin() + 2, words.end(),
                                    [&](const std::string& word) { return absolute_mount_point(from / word) == path; });
    if (!serves) continue;
    std::optional<ProcessMark> mark = mark_of(static_cast<pid_t>(std::stol(name)));
    if (mark && is_running(*mark)) return mark;
  }
  return std::nullopt;
}

Status unmount_path(const std::string& path, bool lazily) {
  SpawnOptions options;
  options.arguments = {"fusermount3", "-u"};
  if (lazily) options.arguments.emplace_back("-z");
  options.arguments.push_back(path);
  const Result<pid_t> child = spawn_process(options);
  if (!child) return tl::unexpected<Error>(child.error());
  const auto end = std::chrono::steady_clock::now() + unmount_timeout;
  std::optional<int> code;
  while (!(code = exit_code_of(*child)) && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(unmount_interval);
  if (!code) return fail(ErrorCode::timeout, "fusermount3 -u " + path + " does not end");
  if (*code != 0) {
    return fail(ErrorCode::io_error, "cannot unmount " + path + "; see who uses it: fuser -vm " + path +
                                         " , or detach it: fusermount3 -u -z " + path);
  }
  return {};
}

}  // namespace ringfs::mount
