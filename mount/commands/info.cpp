// ringfs info PATH: where in the ring a file on a mount lives.
#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "fs/control/control_tree.hpp"
#include "fs/file_system.hpp"
#include "mount/commands/command_line.hpp"
#include "mount/commands/mount_table.hpp"
#include "mount/commands/process.hpp"
#include "mount/commands/ring_session.hpp"

namespace ringfs::mount {
namespace {

using Json = nlohmann::ordered_json;

struct InfoArguments {
  std::string path;
  std::string output = "table";
  int timeout_seconds = 10;
  dht::OperatorFiles tls;
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

Task<Result<std::string>> describe(RingSession* session, fs::InodeNumber inode, TimePoint deadline) {
  const Status started = co_await session->start(deadline);
  if (!started) co_return tl::unexpected<Error>(started.error());
  fs::FileSystemOptions options;
  options.operation_timeout = deadline - session->transport().now();
  fs::FileSystem file_system(session->store(), session->view(), session->admin(), options);
  Result<std::string> text = co_await file_system.describe(inode);
  const Status stopped = co_await file_system.stop(deadline);
  if (text && !stopped) co_return tl::unexpected<Error>(stopped.error());
  co_return text;
}

// Asks the mount about the path. Every call here may block for as long as the mount does.
Json look_at(const std::filesystem::path& path) {
  char resolved[PATH_MAX];
  struct stat attributes {};
  Json found;
  // The inode is that of the link itself, not of its target.
  bool good = ::lstat(path.c_str(), &attributes) == 0;
  if (good) {
    const bool is_link = S_ISLNK(attributes.st_mode);
    good = ::realpath((is_link ? path.parent_path() : path).c_str(), resolved) != nullptr;
  }
  if (!good) {
    found["errno"] = errno;
    return found;
  }
  found["inode"] = std::uint64_t{attributes.st_ino};
  const Result<std::optional<MountEntry>> mount = ringfs_mount_of(resolved);
  if (!mount) found["error"] = mount.error().context;
  if (mount && *mount) {
    found["mount_point"] = (*mount)->mount_point;
    found["addresses"] = addresses_of_mount((*mount)->mount_point);
  }
  return found;
}

int info(const InfoArguments& arguments) {
  const std::filesystem::path path = std::filesystem::absolute(arguments.path).lexically_normal();
  const std::function<std::string()> look = [&path] {
    return look_at(path).dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  const Result<std::string> seen = run_apart(look, std::chrono::seconds(arguments.timeout_seconds));
  if (!seen) return report(Error{seen.error().code, path.string() + ": " + seen.error().context}, "ringfs doctor");
  const Json found = Json::parse(*seen);
  if (found.contains("errno")) {
    const int number = found["errno"];
    return report(Error{number == ENOENT ? ErrorCode::not_found : ErrorCode::io_error,
                        path.string() + ": " + std::strerror(number)});
  }
  if (found.contains("error")) return report(Error{ErrorCode::io_error, found["error"].get<std::string>()});
  if (!found.contains("mount_point"))
    return report(Error{ErrorCode::not_found, path.string() + " does not lie on a RingFS mount"},
                  "findmnt -t fuse.ringfs");
  const fs::InodeNumber inode = found["inode"];
  if (fs::ControlTree::owns(inode)) {
    return report(
        Error{ErrorCode::invalid_argument, path.string() + " is made by the mount, it does not live in the ring"});
  }
  const std::string mount_point = found["mount_point"];
  const std::vector<std::string> addresses = found["addresses"];
  if (addresses.empty()) {
    return report(Error{ErrorCode::unreachable, "cannot read " + mount_point + "/.ring/members"},
                  "cat " + mount_point + "/.ring/error_log");
  }
  RingSession session(addresses, arguments.tls);
  const TimePoint deadline = session.in(std::chrono::seconds(arguments.timeout_seconds));
  const Result<std::string> text = session.run(describe(&session, inode, deadline));
  session.finish();
  if (!text) return report(text.error(), "ringfs status --node " + addresses.front());
  // Each line is "name=value".
  Json json;
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
  add_output_option(*command, arguments->output);
  add_timeout_option(*command, arguments->timeout_seconds, 3600);
  add_tls_options(*command, arguments->tls);
  command->callback([arguments, &commands] { commands.action = [arguments] { return info(*arguments); }; });
}

}  // namespace ringfs::mount
