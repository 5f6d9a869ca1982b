// The command line `ringfs` (docs/command-line.md).
#include <algorithm>
#include <csignal>
#include <iostream>

#include "mount/commands/command_line.hpp"
#include "mount/commands/mount_helper.hpp"

namespace {

std::vector<std::string> names_of_commands(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

}  // namespace

int main(int argc, char** argv) {
  // If a reader goes away (`ringfs ring | head`), write fails; no signal ends us.
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("RingFS: a POSIX file system over a ring of nodes", "ringfs");
  app.set_version_flag("--version", std::string("ringfs ") + RINGFS_VERSION);
  app.require_subcommand(1);
  ringfs::mount::Commands commands;
  ringfs::mount::add_local_commands(app, commands);
  ringfs::mount::add_mount_commands(app, commands);
  ringfs::mount::add_create_command(app, commands);
  ringfs::mount::add_ring_commands(app, commands);
  ringfs::mount::add_member_commands(app, commands);
  ringfs::mount::add_token_commands(app, commands);
  ringfs::mount::add_client_commands(app, commands);
  ringfs::mount::add_authority_commands(app, commands);
  ringfs::mount::add_info_command(app, commands);
  ringfs::mount::add_doctor_command(app, commands);
  std::vector<std::string> words(argv, argv + argc);
  const std::vector<std::string> names = names_of_commands(app);
  ringfs::Result<std::optional<ringfs::mount::HelperCall>> helper = ringfs::mount::parse_helper_call(words, names);
  if (!helper) {
    std::cerr << "ringfs: " << helper.error().context << "\n";
    return ringfs::mount::exit_usage;
  }
  if (*helper) words = (*helper)->arguments;
  if (words.size() > 1 && !words[1].starts_with('-') &&
      std::find(names.begin(), names.end(), words[1]) == names.end()) {
    std::cerr << "ringfs: there is no command '" << words[1] << "'\n  try: ringfs --help\n";
    return ringfs::mount::exit_usage;
  }
  try {
    // CLI11 wants them in reverse order.
    app.parse(std::vector<std::string>(words.rbegin(), words.rend() - 1));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? ringfs::mount::exit_ok : ringfs::mount::exit_usage;
  }
  if (*helper && (*helper)->fake) return ringfs::mount::exit_ok;
  try {
    return commands.action();
  } catch (const std::exception& error) {
    std::cerr << "ringfs: " << error.what() << "\n";
    return ringfs::mount::exit_failed;
  }
}
