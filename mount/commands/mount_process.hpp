// The process that serves one mount, and how the command line starts and ends it.
//
// It runs in `/`, so that it keeps no other file system busy and never touches its own mount. SIGTERM, SIGINT and
// SIGHUP unmount, drain and end it with code 0. Threads: one loop, blocking start. Every wait is bounded. Errors: text
// for a person, and the next command where there is one.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/net/client/partitioned_store.hpp"
#include "mount/commands/mount_options.hpp"
#include "mount/commands/process.hpp"

namespace ringfs::mount {

inline constexpr auto mount_timeout = std::chrono::seconds(30);
// A mount process that was told to end has ended within this time. It unmounts (10 s), lets programs with open files
// finish (5 s), answers requests under way (twice the longest operation timeout) and writes dirty bytes (30 s).
inline constexpr auto mount_end_timeout = std::chrono::seconds(10 + 5 + 2 * max_op_timeout_seconds + 30);

// Serves until unmounted. Writes "ready\n" to `ready_descriptor` (unless < 0) when the mount is usable and then, unless
// it logs to `log_file`, points stdout and stderr to /dev/null. Returns the process's exit code.
int serve_mount(std::vector<std::string> addresses, MountOptions options, const std::string& log_file,
                int ready_descriptor, dht::TransactionFaults faults = {});

struct MountStart {
  std::vector<std::string> addresses;
  std::string mount_point;
  std::string options;  // of -o
  dht::OperatorFiles tls = {};
  // Empty: none. It is written before the process is ready, so that the process is known if the start is cut short.
  std::filesystem::path pid_file;
  std::filesystem::path log;  // empty: errors go to our stderr until it is ready, then nowhere
};
// A process that serves the mount; returns when it is usable.
Result<ProcessMark> start_mount_process(const MountStart& start);

// Sends SIGTERM to a mount process and waits for its end. If that takes long, it says on stderr what it waits for.
// True: the process was killed after mount_end_timeout.
bool stop_mount_process(const ProcessMark& mark);

enum class MountAnswer {
  answers,
  dead,    // its process is gone: every access gives ENOTCONN
  silent,  // no answer within two seconds
};
MountAnswer probe_mount(const std::string& path);

// Absolute, and links resolved; also if the mount there is dead.
std::string absolute_mount_point(const std::string& path);
// It must be an existing, empty directory. A dead mount there (ENOTCONN) is unmounted first.
Status check_mount_point(const std::string& path);
Result<bool> is_mounted(const std::string& path);
// The process that serves this mount point, however it was started; of this user's, unless we are root.
std::optional<ProcessMark> mount_process_of(const std::string& path);
// Unmounts, and waits for the end of fusermount3. `lazily`: detaches it also if it is in use.
Status unmount_path(const std::string& path, bool lazily);

}  // namespace ringfs::mount
