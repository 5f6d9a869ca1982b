// ringfs mount, ringfs umount.
#include <unistd.h>

#include <iostream>
#include <thread>

#include "dht/net/trust/token.hpp"
#include "mount/commands/command_line.hpp"
#include "mount/commands/mount_process.hpp"
#include "mount/commands/trust/client_credentials.hpp"

namespace ringfs::mount {
namespace {

constexpr auto mount_end_interval = std::chrono::milliseconds(5);

struct MountArguments {
  std::string nodes, mount_point;
  std::vector<std::string> options;
  bool foreground = false;
  std::string log_file;
  std::string token_file, name;
  dht::OperatorFiles tls;
  int ready_descriptor = -1;
};

// With a token that is given; without one it has its credentials, or needs none.
Status get_in(const MountArguments& arguments, const std::vector<std::string>& addresses) {
  const Result<std::string> token = dht::read_token(arguments.token_file);
  if (!token) return tl::unexpected(token.error());
  if (token->empty()) return {};
  const Result<std::string> name = join_as_client({.nodes = addresses, .token = *token, .name = arguments.name});
  if (!name) return tl::unexpected(name.error());
  return {};
}

int mount(const MountArguments& arguments) {
  const std::vector<std::string> addresses = split_list(arguments.nodes);
  if (addresses.empty()) {
    std::cerr << "ringfs: name at least one node as host:port\n";
    return exit_usage;
  }
  MountOptions options;
  options.source = source_of(arguments.nodes);
  std::string option_text;
  for (const std::string& text : arguments.options) {
    const Status good = apply_mount_options(text, options);
    if (!good) {
      std::cerr << "ringfs: " << good.error().context << "\n";
      return exit_usage;
    }
    option_text += (option_text.empty() ? "" : ",") + text;
  }
  if (arguments.tls.given()) options.tls = arguments.tls;
  if (const Status files = options.tls.check("-o tls_"); !files) return report(files.error());
  options.tls.make_absolute();
  const Status permitted = check_privileged_options(options, ::geteuid() == 0);
  if (!permitted) return report(permitted.error());
  if (const Status in = get_in(arguments, addresses); !in)
    return report(in.error(), "ringfs token create --role writer    (on a machine with a node)");
  options.mount_point = absolute_mount_point(arguments.mount_point);
  const Status good = check_mount_point(options.mount_point);
  if (!good) return report(good.error());
  if (arguments.foreground) {
    return serve_mount(addresses, options, arguments.log_file, arguments.ready_descriptor);
  }

  MountStart start;
  start.addresses = addresses;
  start.mount_point = options.mount_point;
  start.options = option_text;
  start.tls = options.tls;
  if (!arguments.log_file.empty()) start.log = std::filesystem::absolute(arguments.log_file);
  const Result<ProcessMark> process = start_mount_process(start);
  if (!process) return report(process.error(), "ringfs doctor --node " + addresses.front());
  std::cout << "mounted on " << options.mount_point << " by process " << process->pid << "\n"
            << "Unmount it with: ringfs umount " << options.mount_point << "\n";
  return exit_ok;
}

int umount(const std::string& path) {
  const std::string mount_point = absolute_mount_point(path);
  const Result<bool> mounted = is_mounted(mount_point);
  if (!mounted) return report(mounted.error());
  if (!*mounted) return report(Error{ErrorCode::not_found, "no RingFS is mounted on " + mount_point});
  const std::optional<ProcessMark> process = mount_process_of(mount_point);
  const Status done = unmount_path(mount_point, false);
  if (!done) return report(done.error());
  // The kernel may have written mapped pages only now. The process sends them to the ring, then ends.
  const auto end = std::chrono::steady_clock::now() + mount_end_timeout;
  while (process && is_running(*process) && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(mount_end_interval);
  if (process && is_running(*process)) {
    return report(Error{ErrorCode::timeout,
                        "unmounted, but process " + std::to_string(process->pid) + " still writes to the ring"},
                  "ringfs status");
  }
  return exit_ok;
}

}  // namespace

void add_mount_commands(CLI::App& app, Commands& commands) {
  CLI::App* command = app.add_subcommand("mount", "Mount a ring; returns when it is usable");
  auto arguments = std::make_shared<MountArguments>();
  command->add_option("NODE", arguments->nodes, "Nodes to ask first: host:port[,host:port]")->required();
  command->add_option("MOUNTPOINT", arguments->mount_point, "An empty directory")->required();
  command
      ->add_option(
          "-o", arguments->options,
          "Mount options: allow_other, show_ring, cache=WHAT, cached=SECONDS, op_timeout=SECONDS, fsname=NAME, "
          "tls_ca=FILE, tls_certificate=FILE, tls_key=FILE, and those of mount(8)")
      ->expected(1);
  command->add_flag("--foreground", arguments->foreground, "Stay in the foreground, log to stderr");
  command->add_option("--log-file", arguments->log_file,
                      "Log to this file; at 16 MiB it becomes FILE.1, and that one goes");
  command->add_option("--token-file", arguments->token_file,
                      "Get in with the token in this file, once; - is standard input. Without it: RINGFS_TOKEN");
  command->add_option("--name", arguments->name, "The name to get in with (default: this host's, with a number)");
  add_tls_options(*command, arguments->tls);
  command->add_option("--ready-fd", arguments->ready_descriptor)->group("");  // how the starting process is told
  command->callback([arguments, &commands] { commands.action = [arguments] { return mount(*arguments); }; });

  CLI::App* unmount = app.add_subcommand("umount", "Unmount; everything written is in the ring when it returns");
  auto path = std::make_shared<std::string>();
  unmount->add_option("MOUNTPOINT", *path, "Where it is mounted")->required();
  unmount->callback([path, &commands] { commands.action = [path] { return umount(*path); }; });
}

}  // namespace ringfs::mount
