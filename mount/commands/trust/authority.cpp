// ringfs authority: whose signature lets newcomers in.
#include <iostream>

#include "mount/commands/trust/trust_command.hpp"

namespace ringfs::mount {
namespace {

using Json = nlohmann::ordered_json;

int show_authorities(const RingOptions& options) {
  const TrustQuestion<std::vector<dht::AuthorityView>> question = [](dht::TrustAdmin* admin, TimePoint deadline) {
    return admin->authorities(deadline);
  };
  const Result<std::vector<dht::AuthorityView>> authorities = run_question(options, question);
  if (!authorities) return report_asking(options, authorities.error());
  Json json = Json::array();
  std::vector<std::vector<std::string>> rows{{"KEY", "SIGNS", "SINCE", "UNTIL"}};
  for (const dht::AuthorityView& authority : *authorities) {
    json.push_back(Json{{"key", authority.key_hash},
                        {"signs", authority.current},
                        {"since", time_text(authority.not_before)},
                        {"until", time_text(authority.not_after)}});
    rows.push_back({authority.key_hash, authority.current ? "yes" : "no", time_text(authority.not_before),
                    time_text(authority.not_after)});
  }
  if (options.json())
    print_json(json);
  else
    print_table(rows);
  return exit_ok;
}

}  // namespace

void add_authority_commands(CLI::App& app, Commands& commands) {
  CLI::App* authority = app.add_subcommand("authority", "The ring's authority, which signs certificates");
  authority->require_subcommand(1);
  auto options = std::make_shared<RingOptions>();
  CLI::App* show = authority->add_subcommand("show", "Its key and how long it counts");
  options->add_to(*show);
  show->callback([options, &commands] { commands.action = [options] { return show_authorities(*options); }; });
}

}  // namespace ringfs::mount
