// ringfs status, members, ring, lookup, wait: questions to the ring.
#include <iostream>

#include "mount/commands/command_line.hpp"
#include "mount/commands/ring_session.hpp"

namespace ringfs::mount {
namespace {

using Json = nlohmann::ordered_json;

// Starts the session, then asks one question.
template <class T>
Task<Result<T>> ask(RingSession* session, Task<Result<T>> (*question)(RingView*, std::string, TimePoint),
                    std::string argument, TimePoint deadline) {
  const Status started = co_await session->start(deadline);
  if (!started) co_return tl::unexpected<Error>(started.error());
  co_return co_await question(&session->view(), std::move(argument), deadline);
}

template <class T>
Result<T> ask_ring(const RingOptions& options, Task<Result<T>> (*question)(RingView*, std::string, TimePoint),
                   std::string argument = {}) {
  const Result<std::vector<std::string>> addresses = ring_addresses(options);
  if (!addresses) return tl::unexpected<Error>(addresses.error());
  RingSession session(*addresses, options.tls);
  const TimePoint deadline = session.in(std::chrono::seconds(options.timeout_seconds));
  Result<T> answer = session.run(ask<T>(&session, question, std::move(argument), deadline));
  session.finish();
  return answer;
}

Task<Result<RingStatus>> ask_status(RingView* view, std::string, TimePoint deadline) {
  co_return co_await view->status(deadline);
}
Task<Result<std::vector<MemberView>>> ask_members(RingView* view, std::string, TimePoint deadline) {
  co_return co_await view->members(deadline);
}
Task<Result<std::vector<PartitionView>>> ask_partitions(RingView* view, std::string, TimePoint deadline) {
  co_return co_await view->partitions(deadline);
}
Task<Result<RouteView>> ask_route(RingView* view, std::string key, TimePoint deadline) {
  co_return co_await view->lookup(std::move(key), deadline);
}

std::string id_or_dash(const std::optional<Uuid>& id) { return id ? id->text() : "-"; }
Json id_or_null(const std::optional<Uuid>& id) { return id ? Json(id->text()) : Json(); }
std::string microseconds(const std::optional<Duration>& duration) {
  return duration ? std::to_string(duration->count()) + " us" : "-";
}
std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f%%", share * 100);
  return text;
}

int status(const RingOptions& options) {
  const Result<RingStatus> answer = ask_ring<RingStatus>(options, ask_status);
  if (!answer) return report_asking(options, answer.error());
  if (options.json()) {
    Json json;
    json["ring"] = answer->ring.text();
    json["state"] = to_string(answer->health);
    json["nodes"] = answer->nodes;
    json["up"] = answer->answering;
    json["replication"] = answer->replication;
    json["partitions"] = answer->partitions;
    json["under_replicated"] = answer->under_replicated;
    json["leaderless"] = answer->leaderless;
    json["table_version"] = answer->table_version;
    json["moving"] = answer->moving;
    json["remarks"] = answer->remarks;
    print_json(json);
  } else {
    print_table({{"ring", answer->ring.text()},
                 {"state", std::string(to_string(answer->health))},
                 {"nodes", std::to_string(answer->nodes) + ", " + std::to_string(answer->answering) + " up"},
                 {"replication", std::to_string(answer->replication)},
                 {"partitions", std::to_string(answer->partitions) + ", " + std::to_string(answer->under_replicated) +
                                    " under-replicated, " + std::to_string(answer->leaderless) + " leaderless"},
                 {"moving data", answer->moving ? "yes" : "no"}});
    for (const std::string& remark : answer->remarks) std::cout << remark << "\n";
  }
  return answer->health == Health::ok ? exit_ok : exit_degraded;
}

int members(const RingOptions& options) {
  const Result<std::vector<MemberView>> answer = ask_ring<std::vector<MemberView>>(options, ask_members);
  if (!answer) return report_asking(options, answer.error());
  if (options.json()) {
    Json json = Json::array();
    for (const MemberView& member : *answer) {
      Json entry;
      entry["id"] = member.id.text();
      entry["address"] = member.address;
      entry["rest"] = member.rest_address;
      entry["state"] = to_string(member.state);
      entry["answers"] = member.answers;
      entry["tokens"] = member.tokens.size();
      entry["share"] = member.share;
      entry["used_bytes"] = member.used_bytes;
      entry["round_trip_us"] = member.round_trip ? Json(member.round_trip->count()) : Json();
      json.push_back(std::move(entry));
    }
    print_json(json);
    return exit_ok;
  }
  std::vector<std::vector<std::string>> rows = {
      {"id", "address", "state", "answers", "tokens", "share", "used", "round trip"}};
  for (const MemberView& member : *answer) {
    rows.push_back({member.id.text(), member.address, std::string(to_string(member.state)),
                    member.answers ? "yes" : "no", std::to_string(member.tokens.size()), percent(member.share),
                    member.answers ? human_bytes(member.used_bytes) : "-", microseconds(member.round_trip)});
  }
  print_table(rows);
  return exit_ok;
}

int ring(const RingOptions& options) {
  const Result<std::vector<PartitionView>> answer = ask_ring<std::vector<PartitionView>>(options, ask_partitions);
  if (!answer) return report_asking(options, answer.error());
  Json json = Json::array();
  std::vector<std::vector<std::string>> rows = {{"partition", "position", "leader", "term", "replicas", "answering"}};
  for (const PartitionView& partition : *answer) {
    std::string replicas;
    Json replica_list = Json::array();
    for (const Uuid& replica : partition.replicas) {
      replicas += (replicas.empty() ? "" : ",") + replica.text().substr(0, 8);
      replica_list.push_back(replica.text());
    }
    rows.push_back({std::to_string(index_of(partition.partition)), partition.anchor.hex().substr(0, 8),
                    id_or_dash(partition.leader).substr(0, 8), std::to_string(partition.term), replicas,
                    std::to_string(partition.answering_replicas)});
    Json entry;
    entry["partition"] = index_of(partition.partition);
    entry["position"] = partition.anchor.hex();
    entry["leader"] = id_or_null(partition.leader);
    entry["term"] = partition.term;
    entry["replicas"] = std::move(replica_list);
    entry["answering"] = partition.answering_replicas;
    json.push_back(std::move(entry));
  }
  if (options.json())
    print_json(json);
  else
    print_table(rows);
  return exit_ok;
}

int lookup(const RingOptions& options, const std::string& key) {
  const Result<RouteView> answer = ask_ring<RouteView>(options, ask_route, key);
  if (!answer) return report_asking(options, answer.error());
  if (options.json()) {
    Json json;
    json["key"] = answer->key;
    json["position"] = answer->position.hex();
    json["partition"] = index_of(answer->partition);
    json["primary"] = answer->primary.text();
    json["leader"] = id_or_null(answer->leader);
    json["replicas"] = Json::array();
    for (const Uuid& replica : answer->replicas) json["replicas"].push_back(replica.text());
    json["hops"] = Json::array();
    for (const RouteHop& hop : answer->hops) {
      Json entry;
      entry["node"] = hop.node.text();
      entry["address"] = hop.address;
      entry["token"] = hop.token.hex();
      entry["round_trip_us"] = hop.round_trip.count();
      json["hops"].push_back(std::move(entry));
    }
    print_json(json);
    return exit_ok;
  }
  std::vector<std::vector<std::string>> rows = {{"position", answer->position.hex()},
                                                {"partition", std::to_string(index_of(answer->partition))},
                                                {"primary", answer->primary.text()},
                                                {"leader", id_or_dash(answer->leader)}};
  for (const Uuid& replica : answer->replicas) rows.push_back({"replica", replica.text()});
  for (std::size_t i = 0; i < answer->hops.size(); ++i) {
    const RouteHop& hop = answer->hops[i];
    rows.push_back(
        {"hop " + std::to_string(i + 1), hop.node.text() + "  " + hop.address + "  " + microseconds(hop.round_trip)});
  }
  print_table(rows);
  return exit_ok;
}

Task<Result<RingStatus>> start_and_wait(RingSession* session, TimePoint deadline) {
  const Status started = co_await session->start(deadline);
  if (!started) co_return tl::unexpected<Error>(started.error());
  std::function<void(const RingStatus&)> nobody = [](const RingStatus&) {};
  co_return co_await wait_until_still(session, deadline, std::move(nobody));
}

int wait(const RingOptions& options) {
  const Result<std::vector<std::string>> addresses = ring_addresses(options);
  if (!addresses) return report_asking(options, addresses.error());
  RingSession session(*addresses, options.tls);
  const TimePoint deadline = session.in(std::chrono::seconds(options.timeout_seconds));
  const Result<RingStatus> answer = session.run(start_and_wait(&session, deadline));
  session.finish();
  if (!answer) return report_asking(options, answer.error());
  if (options.json())
    print_json(Json{{"state", to_string(answer->health)}, {"moving", false}});
  else
    std::cout << to_string(answer->health) << "\n";
  return answer->health == Health::ok ? exit_ok : exit_degraded;
}

void add_question(CLI::App& app, Commands& commands, const std::string& name, const std::string& help,
                  int (*question)(const RingOptions&), int timeout_seconds = 10) {
  CLI::App* command = app.add_subcommand(name, help);
  auto options = std::make_shared<RingOptions>();
  options->timeout_seconds = timeout_seconds;
  options->add_to(*command);
  command->callback(
      [options, question, &commands] { commands.action = [options, question] { return question(*options); }; });
}

}  // namespace

void add_ring_commands(CLI::App& app, Commands& commands) {
  add_question(app, commands, "status", "Is the ring well? Exit code 3 when it is degraded", status);
  add_question(app, commands, "members", "The nodes of the ring", members);
  add_question(app, commands, "ring", "Every partition: where, who leads, who holds it", ring);
  add_question(app, commands, "wait", "Wait until no data is moving (at most --timeout, 600 s by default)", wait, 600);
  CLI::App* command = app.add_subcommand("lookup", "The Chord route to an object's key, hop by hop");
  auto options = std::make_shared<RingOptions>();
  auto key = std::make_shared<std::string>();
  command->add_option("KEY", *key, "The object's key, such as ring/members or kv/NAME")->required();
  options->add_to(*command);
  command->callback([options, key, &commands] { commands.action = [options, key] { return lookup(*options, *key); }; });
}

}  // namespace ringfs::mount
