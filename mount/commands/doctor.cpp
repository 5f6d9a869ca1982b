// ringfs doctor: checks the usual causes of trouble. Every line that is not ok names the next command.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "dht/base/descriptor.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "mount/commands/command_line.hpp"
#include "mount/commands/local_ring.hpp"
#include "mount/commands/mount_process.hpp"
#include "mount/commands/mount_table.hpp"
#include "mount/commands/process.hpp"
#include "mount/commands/ring_session.hpp"

namespace ringfs::mount {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto node_timeout = std::chrono::seconds(2);            // for one node to answer
constexpr double warn_free_share = 0.10, fail_free_share = 0.02;  // of a disk
constexpr std::uintmax_t warn_wal_bytes = std::uintmax_t{1} << 30;
constexpr Duration warn_clock_difference = std::chrono::milliseconds(500);
constexpr Duration fail_clock_difference = std::chrono::seconds(30);  // half of max_batch_life: batches would expire

enum class Verdict { ok, warn, fail };

struct Finding {
  Verdict verdict;
  std::string check, text, next;
};

class Doctor {
 public:
  void ok(const std::string& check, const std::string& text) { findings_.push_back({Verdict::ok, check, text, ""}); }
  void warn(const std::string& check, const std::string& text, const std::string& next) {
    findings_.push_back({Verdict::warn, check, text, next});
  }
  void fail(const std::string& check, const std::string& text, const std::string& next) {
    findings_.push_back({Verdict::fail, check, text, next});
  }

  int print(bool json) const {
    static constexpr const char* names[] = {"ok", "warn", "fail"};
    Json list = Json::array();
    std::vector<std::vector<std::string>> rows;
    int code = exit_ok;
    for (const Finding& finding : findings_) {
      const char* verdict = names[static_cast<int>(finding.verdict)];
      if (finding.verdict == Verdict::fail) code = exit_failed;
      if (finding.verdict == Verdict::warn && code == exit_ok) code = exit_degraded;
      list.push_back(
          Json{{"verdict", verdict}, {"check", finding.check}, {"text", finding.text}, {"next", finding.next}});
      rows.push_back({verdict, finding.check, finding.text + (finding.next.empty() ? "" : " -> " + finding.next)});
    }
    if (json)
      print_json(list);
    else
      print_table(rows);
    return code;
  }

 private:
  std::vector<Finding> findings_;
};

void check_machine(Doctor& doctor) {
  const Descriptor device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (device.value >= 0) {
    doctor.ok("/dev/fuse", "can be opened");
  } else {
    const bool forbidden = errno == EACCES;
    doctor.fail(
        "/dev/fuse", std::strerror(errno),
        forbidden ? "chmod 666 /dev/fuse (udev's default)" : "modprobe fuse, or give the container --device /dev/fuse");
  }
  const Result<std::string> helper = find_program("fusermount3");
  struct stat attributes {};
  if (!helper) {
    doctor.fail("fusermount3", "is not in PATH", "apt-get install fuse3");
  } else if (::geteuid() != 0 && (::stat(helper->c_str(), &attributes) != 0 || (attributes.st_mode & S_ISUID) == 0)) {
    doctor.fail("fusermount3", *helper + " is not set-user-id root", "chmod u+s " + *helper);
  } else {
    doctor.ok("fusermount3", *helper);
  }
  std::ifstream configuration("/etc/fuse.conf");
  bool allowed = false;
  for (std::string line; std::getline(configuration, line);) allowed = allowed || line == "user_allow_other";
  if (allowed || ::geteuid() == 0)
    doctor.ok("user_allow_other", "-o allow_other works");
  else
    doctor.ok("user_allow_other", "is off: -o allow_other needs the line user_allow_other in /etc/fuse.conf");
}

void check_space(Doctor& doctor, const std::filesystem::path& path) {
  struct statvfs space {};
  if (::statvfs(path.c_str(), &space) != 0 || space.f_blocks == 0) {
    doctor.fail("disk space", path.string() + ": " + std::strerror(errno), "ls -ld " + path.string());
    return;
  }
  const double share = static_cast<double>(space.f_bavail) / static_cast<double>(space.f_blocks);
  const std::string text = human_bytes(std::uint64_t{space.f_bavail} * space.f_frsize) + " free at " + path.string();
  if (share < fail_free_share)
    doctor.fail("disk space", text, "df -h " + path.string());
  else if (share < warn_free_share)
    doctor.warn("disk space", text, "df -h " + path.string());
  else
    doctor.ok("disk space", text);
}

void check_local(Doctor& doctor, const StateDirectory& state, const LocalRing& ring) {
  const std::string up =
      "ringfs up" + state.option() + " " + (ring.mount_point.empty() ? "MOUNTPOINT" : ring.mount_point);
  std::uintmax_t largest_wal = 0;
  std::filesystem::path largest_path;
  for (const LocalNode& node : ring.nodes) {
    const std::string name = "node " + std::to_string(node.number);
    if (const std::optional<ProcessMark> mark = running_from(state.node_pid(node.number))) {
      doctor.ok(name, "runs as process " + std::to_string(mark->pid) + " at " + node.rpc);
    } else {
      doctor.fail(name, "does not run; its log: " + state.node_log(node.number).string(), up);
    }
    std::error_code error;
    for (const std::filesystem::directory_entry& entry :
         std::filesystem::directory_iterator(state.node_data(node.number), error)) {
      std::error_code ignored;
      const std::uintmax_t size = entry.path().string().ends_with("-wal") ? entry.file_size(ignored) : 0;
      if (!ignored && size >= largest_wal && size > 0) {
        largest_wal = size;
        largest_path = entry.path();
      }
    }
  }
  if (largest_wal > warn_wal_bytes) {
    doctor.warn("write-ahead logs", largest_path.string() + " has " + human_bytes(largest_wal),
                "restart that node: a checkpoint does not finish");
  } else {
    doctor.ok("write-ahead logs", "the largest has " + human_bytes(largest_wal));
  }
  check_space(doctor, state.path());
  const bool process = running_from(state.mount_pid()).has_value();
  const Result<bool> looked = ring.mount_point.empty() ? false : is_mounted(ring.mount_point);
  const bool mounted = looked && *looked;
  if (!looked)
    doctor.fail("mount", looked.error().context, "ls -l /proc/self/mountinfo");
  else if (process && mounted)
    doctor.ok("mount", ring.mount_point);
  else if (mounted)
    doctor.fail("mount", ring.mount_point + " is mounted, but its process has died", up);
  else
    doctor.warn("mount", "not mounted", up);
}

// Asks each node over a connection of its own.
bool check_nodes(Doctor& doctor, const std::vector<std::string>& addresses, const dht::OperatorFiles& tls) {
  bool any = false;
  for (const std::string& address : addresses) {
    RingSession session({address}, tls);
    dht::Operation question = dht::StatusOperation{};
    dht::OperationResult answer =
        session.run(session.transport().call(address, Uuid{}, std::move(question), session.in(node_timeout)));
    const Stamp answered = dht::wall_time();
    session.finish();
    const std::string check = "at " + address;
    if (!answer) {
      doctor.fail(check, answer.error().error.text(), "is ringfs-node running there and the port reachable?");
      continue;
    }
    const auto* status = std::get_if<dht::NodeStatus>(&*answer);
    if (status == nullptr || !status->ring) {
      doctor.warn(check, "waits, belongs to no ring", "ringfs create " + address + " ...");
      continue;
    }
    any = true;
    const Duration distance = std::chrono::abs(status->wall - answered);
    const std::string clock = "its clock is " + std::to_string(distance.count() / 1000) + " ms away from ours";
    if (distance > fail_clock_difference)
      doctor.fail(check, clock, "timedatectl (is NTP on, here and there?)");
    else if (distance > warn_clock_difference)
      doctor.warn(check, clock, "timedatectl (is NTP on, here and there?)");
    else if (status->no_space)
      doctor.fail(check, "its disk is full: it takes no writes", "df -h at the node's data directory");
    else
      doctor.ok(check, "node " + status->node.text() + " answers; " + clock);
  }
  return any;
}

Task<Result<RingStatus>> ask_status(RingSession* session, TimePoint deadline) {
  const Status started = co_await session->start(deadline);
  if (!started) co_return tl::unexpected<Error>(started.error());
  co_return co_await session->view().status(deadline);
}

void check_partitions(Doctor& doctor, const std::vector<std::string>& addresses, const RingOptions& options) {
  RingSession session(addresses, options.tls);
  const Result<RingStatus> status =
      session.run(ask_status(&session, session.in(std::chrono::seconds(options.timeout_seconds))));
  session.finish();
  if (!status) {
    doctor.fail("partitions", status.error().text(), "see the nodes above");
    return;
  }
  const std::string counts = std::to_string(status->partitions) + " partitions, " +
                             std::to_string(status->under_replicated) + " under-replicated, " +
                             std::to_string(status->leaderless) + " leaderless";
  const std::string next = "ringfs members --node " + addresses.front();
  if (status->leaderless > 0)
    doctor.fail("partitions", counts, next);
  else if (status->health != Health::ok)
    doctor.warn("partitions", counts, next);
  else
    doctor.ok("partitions", counts);
}

int examine(const RingOptions& options) {
  // This comes first, while the process has one thread: later, threads of the name resolver run beside it.
  std::vector<std::pair<MountEntry, MountAnswer>> mounts;
  Result<std::vector<MountEntry>> table = read_mount_table();
  if (!table) return report(table.error());
  for (MountEntry& entry : *table) {
    if (entry.type != ringfs_mount_type) continue;
    const MountAnswer answer = probe_mount(entry.mount_point);
    mounts.emplace_back(std::move(entry), answer);
  }
  Doctor doctor;
  check_machine(doctor);
  std::vector<std::string> addresses = split_list(options.nodes);
  if (addresses.empty()) {
    const StateDirectory state(state_path(options.state));
    const Result<LocalRing> ring = state.load();
    if (ring) {
      check_local(doctor, state, *ring);
      addresses = ring->addresses();
    } else if (ring.error().code == ErrorCode::not_found) {
      doctor.warn("local ring", ring.error().context, "ringfs up MOUNTPOINT, or name a node with --node HOST:PORT");
    } else {
      doctor.fail("local ring", ring.error().context, "ls -l " + state.path().string());
    }
  }
  if (!addresses.empty() && check_nodes(doctor, addresses, options.tls)) check_partitions(doctor, addresses, options);
  for (const auto& [entry, answer] : mounts) {
    if (answer == MountAnswer::dead)
      doctor.fail("dead mount", entry.mount_point + " has lost its process", "fusermount3 -u -z " + entry.mount_point);
    if (answer == MountAnswer::silent) {
      doctor.fail("silent mount", entry.mount_point + " does not answer (the ring is away, or its process is stopped)",
                  "fusermount3 -u -z " + entry.mount_point);
    }
  }
  return doctor.print(options.json());
}

}  // namespace

void add_doctor_command(CLI::App& app, Commands& commands) {
  CLI::App* command =
      app.add_subcommand("doctor", "Check the machine and the ring; every complaint names the next command");
  auto options = std::make_shared<RingOptions>();
  options->add_to(*command);
  command->callback([options, &commands] { commands.action = [options] { return examine(*options); }; });
}

}  // namespace ringfs::mount
