// ringfs authority: whose signature lets newcomers in.
#include <iostream>

#include "mount/commands/trust/trust_command.hpp"

namespace ringfs::mount {
namespace {

using Json = nlohmann::ordered_json;

int show_authorities(const RingOptions& options) {
  const Result<Json> authorities = ask_trust(options, {{"do", "authority_show"}});
  if (!authorities) return report_asking(options, authorities.error());
  if (options.json()) {
    print_json(*authorities);
    return exit_ok;
  }
  std::vector<std::vector<std::string>> rows{{"KEY", "SIGNS", "SINCE", "UNTIL"}};
  for (const Json& authority : *authorities) {
    rows.push_back({authority.at("key"), authority.at("signs").get<bool>() ? "yes" : "no",
                    time_text(authority.at("since")), time_text(authority.at("until"))});
  }
  print_table(rows);
  return exit_ok;
}

int create(const RingOptions& options) {
  const Result<Json> answer = ask_trust(options, {{"do", "authority_create"}});
  return answer ? show_authorities(options) : report_asking(options, answer.error());
}

int rotate(const RingOptions& options, bool finish, bool now) {
  const Json question = finish ? Json{{"do", "authority_finish"}, {"now", now}} : Json{{"do", "authority_rotate"}};
  const Result<Json> answer = ask_trust(options, question);
  return answer ? int{exit_ok} : report_asking(options, answer.error());
}

}  // namespace

void add_authority_commands(CLI::App& app, Commands& commands) {
  CLI::App* authority = app.add_subcommand("authority", "The ring's authority, which signs certificates");
  authority->require_subcommand(1);
  auto options = std::make_shared<RingOptions>();
  CLI::App* show = authority->add_subcommand("show", "Its key and how long it counts");
  options->add_to(*show);
  show->callback([options, &commands] { commands.action = [options] { return show_authorities(*options); }; });

  CLI::App* first = authority->add_subcommand(
      "create", "Make one for a ring of one machine that has none, so that it can grow over several");
  options->add_to(*first);
  first->callback([options, &commands] { commands.action = [options] { return create(*options); }; });

  CLI::App* change = authority->add_subcommand(
      "rotate", "Make a new authority, which signs from now on; members renew their certificates by themselves");
  options->add_to(*change);
  change->callback([options, &commands] { commands.action = [options] { return rotate(*options, false, false); }; });

  auto now = std::make_shared<bool>(false);
  CLI::App* finish = authority->add_subcommand("finish", "Drop the former authority after a rotation");
  finish->add_flag("--now", *now,
                   "Do not wait until all that it signed has expired: who has not renewed needs a token");
  options->add_to(*finish);
  finish->callback(
      [options, now, &commands] { commands.action = [options, now] { return rotate(*options, true, *now); }; });
}

}  // namespace ringfs::mount
