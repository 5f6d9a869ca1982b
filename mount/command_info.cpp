// ringfs info PATH: where in the ring a file on a mount lives.
#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "fs/control_tree.hpp"
#include "fs/file_system.hpp"
#include "mount/command_line.hpp"
#include "mount/mount_table.hpp"
#include "mount/ring_session.hpp"

namespace ringfs {
namespace {

struct InfoArguments {
  std::string path;
  std::string output = "table";
  int timeout_seconds = 10;
};

// The second word of each line of <mount>/.ring/members (docs/control-files.md).
std::vector<std::string> addresses_of_mount(const std::string& mount_point) {
  std::vector<std::string> addresses;
  std::ifstream file(mount_point + "/.ring/members");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string id, address;
    if (words >> id >> address) addresses.push_back(address);
  }
  return addresses;
}

Task<Result<std::string>> describe(RingSession* session, InodeNumber inode, TimePoint deadline) {
  const Status started = co_await session->start(deadline);
  if (!started) co_return tl::unexpected<Error>(started.error());
  FileSystemOptions options;
  options.operation_timeout = deadline - session->transport().now();
  FileSystem file_system(session->store(), session->view(), options);
  Result<std::string> text = co_await file_system.describe(inode);
  const Status stopped = co_await file_system.stop(deadline);
  if (text && !stopped) co_return tl::unexpected<Error>(stopped.error());
  co_return text;
}

int info(const InfoArguments& arguments) {
  char resolved[PATH_MAX];
  struct stat attributes {};
  // The link itself is what has an inode here, not what it points to.
  const std::filesystem::path path = std::filesystem::absolute(arguments.path).lexically_normal();
  if (::lstat(path.c_str(), &attributes) != 0) {
    return report(Error{errno == ENOENT ? ErrorCode::not_found : ErrorCode::io_error,
                        path.string() + ": " + std::strerror(errno)});
  }
  const bool is_link = S_ISLNK(attributes.st_mode);
  const std::string real_part = is_link ? path.parent_path().string() : path.string();
  if (::realpath(real_part.c_str(), resolved) == nullptr) {
    return report(Error{ErrorCode::io_error, path.string() + ": " + std::strerror(errno)});
  }
  const std::optional<MountEntry> mount = ringfs_mount_of(resolved);
  if (!mount)
    return report(Error{ErrorCode::not_found, path.string() + " does not lie on a RingFS mount"},
                  "findmnt -t fuse.ringfs");
  if (ControlTree::owns(attributes.st_ino)) {
    return report(
        Error{ErrorCode::invalid_argument, path.string() + " is made by the mount, it does not live in the ring"});
  }
  const std::vector<std::string> addresses = addresses_of_mount(mount->mount_point);
  if (addresses.empty()) {
    return report(Error{ErrorCode::unreachable, "cannot read " + mount->mount_point + "/.ring/members"},
                  "cat " + mount->mount_point + "/.ring/error_log");
  }
  RingSession session(addresses);
  const TimePoint deadline = session.in(std::chrono::seconds(arguments.timeout_seconds));
  const Result<std::string> text = session.run(describe(&session, attributes.st_ino, deadline));
  session.finish();
  if (!text) return report(text.error(), "ringfs status --node " + addresses.front());
  // "name=value" a line.
  nlohmann::ordered_json json;
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) continue;
    rows.push_back({line.substr(0, equals), line.substr(equals + 1)});
    json[rows.back()[0]] = rows.back()[1];
  }
  if (arguments.output != "json") {
    print_table(rows);
    return exit_ok;
  }
  print_json(json);
  return exit_ok;
}

}  // namespace

void add_info_command(CLI::App& app, Commands& commands) {
  CLI::App* command = app.add_subcommand("info", "Where in the ring a mounted file or directory lives");
  auto arguments = std::make_shared<InfoArguments>();
  command->add_option("PATH", arguments->path, "A path on a RingFS mount")->required();
  command->add_option("--output", arguments->output, "table or json")->check(CLI::IsMember({"table", "json"}));
  command->add_option("--timeout", arguments->timeout_seconds, "Seconds after which to give up")
      ->check(CLI::Range(1, 3600));
  command->callback([arguments, &commands] { commands.action = [arguments] { return info(*arguments); }; });
}

}  // namespace ringfs
