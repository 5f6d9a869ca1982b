// The command line `ringfs` (docs/command-line.md).
#include <csignal>
#include <iostream>

#include "mount/command_line.hpp"

int main(int argc, char** argv) {
  // A reader that goes away (`ringfs ring | head`) ends us by an error of write, not by a signal.
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("RingFS: a POSIX file system over a ring of nodes", "ringfs");
  app.set_version_flag("--version", std::string("ringfs ") + RINGFS_VERSION);
  app.require_subcommand(1);
  ringfs::Commands commands;
  ringfs::add_local_commands(app, commands);
  ringfs::add_mount_commands(app, commands);
  ringfs::add_create_command(app, commands);
  ringfs::add_ring_commands(app, commands);
  ringfs::add_member_commands(app, commands);
  ringfs::add_info_command(app, commands);
  ringfs::add_doctor_command(app, commands);
  const auto is_first_word = [&](const CLI::App* command) { return argc > 1 && command->get_name() == argv[1]; };
  if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(is_first_word).empty()) {
    std::cerr << "ringfs: there is no command '" << argv[1] << "'\n  try: ringfs --help\n";
    return ringfs::exit_usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? ringfs::exit_ok : ringfs::exit_usage;
  }
  try {
    return commands.action();
  } catch (const std::exception& error) {
    std::cerr << "ringfs: " << error.what() << "\n";
    return ringfs::exit_failed;
  }
}
