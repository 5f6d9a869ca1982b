// The commands of Raft and membership scenarios.
#include "tests/unit/core/scenarios/raft_driver.hpp"

namespace ringfs::dht::test {

namespace {

constexpr Duration timeout_limit = std::chrono::seconds(10);
constexpr Duration until_limit = std::chrono::seconds(60);
constexpr unsigned most_nodes = 7;      // that hold a partition
constexpr unsigned partition_bits = 3;  // a place for each node, and one more

using Faults = NodeOptions::Faults;
const std::map<std::string, bool Faults::*> faults = {
    {"send_vote_before_write", &Faults::send_vote_before_write},
    {"commit_earlier_terms", &Faults::commit_earlier_terms},
    {"ignore_previous_term", &Faults::ignore_previous_term},
    {"ignore_lease", &Faults::ignore_lease},
    {"read_before_own_no_op", &Faults::read_before_own_no_op},
    {"count_learners", &Faults::count_learners},
    {"drop_early", &Faults::drop_early},
};

MemberState member_state(const std::string& name) {
  for (MemberState state :
       {MemberState::joining, MemberState::up, MemberState::leaving, MemberState::removed, MemberState::dead}) {
    if (to_string(state) == name) return state;
  }
  throw BadCommand("no such state: " + name);
}

}  // namespace

std::vector<std::string> RaftDriver::execute(const Words& command) {
  Arguments arguments(command);
  auto handler = handlers().find(arguments.name());
  if (handler == handlers().end()) throw BadCommand("no such command: " + arguments.name());
  if (!cluster_ && arguments.name() != "ring") throw BadCommand("there is no ring yet");
  (this->*handler->second)(arguments);
  arguments.end();
  look_at_all();
  return trace_->take();
}

// ---- What a ring is --------------------------------------------------------------------------------

// 3 [replication=N] [partition=N] [keep=N] [append_bytes=N] [fault=NAME]: of how many replicas, which partition is
// shown, how many applied entries stay in the log, how large a message may be (1: an entry each), which guard is off.
void RaftDriver::ring(Arguments& arguments) {
  if (cluster_) throw BadCommand("there is a ring already");
  const std::uint64_t nodes = arguments.number();
  if (nodes < 1 || nodes > most_nodes) throw BadCommand("a ring has 1 to " + std::to_string(most_nodes) + " nodes");
  NodeOptions options;
  RingShape shape{static_cast<unsigned>(nodes), static_cast<unsigned>(nodes), PartitionId{1}};
  while (arguments.more()) {
    const std::string option = arguments.word();
    const Words parts = {option.substr(0, option.find('=')), option.substr(option.find('=') + 1)};
    if (parts[0] == "keep") {
      options.log_keep_entries = Arguments(parts).number();
    } else if (parts[0] == "append_bytes") {
      options.append_bytes = Arguments(parts).number();
    } else if (parts[0] == "replication") {
      shape.replication = static_cast<unsigned>(Arguments(parts).number());
    } else if (parts[0] == "partition") {
      shape.partition = PartitionId{static_cast<std::uint32_t>(Arguments(parts).number() % (1U << partition_bits))};
    } else if (parts[0] == "fault" && faults.contains(parts[1])) {
      options.faults.*(faults.at(parts[1])) = true;
      must_break_ = true;
    } else {
      throw BadCommand("no such option: " + option);
    }
  }
  make_ring(shape, options);
}

// S1, S2, ... are those that hold the partition, in the order of preference, and then the others.
void RaftDriver::make_ring(const RingShape& shape, const NodeOptions& options) {
  Genesis genesis = small_genesis(shape.nodes, partition_bits);
  genesis.first_table.settings["replication"] = std::to_string(shape.replication);
  const Placement placement(genesis.first_table, partition_bits);
  std::vector<unsigned> machines;
  for (const Uuid& node : placement.preference_list(shape.partition)) machines.push_back(number_of(node));
  for (unsigned number = 0; number < shape.nodes; ++number) {
    if (std::find(machines.begin(), machines.end(), number) == machines.end()) machines.push_back(number);
  }
  partition_ = shape.partition;
  cluster_ = std::make_unique<Cluster>(genesis, true, options);
  trace_ = std::make_unique<RaftTrace>(*cluster_, partition_, machines);
  properties_ = std::make_unique<RaftProperties>(*cluster_, partition_);
  cluster_->watch = [this](unsigned number) { watch(number); };
  cluster_->network.watch = [this](const Envelope& envelope, bool arrives) { trace_->message(envelope, arrives); };
  cluster_->network.deliver = [this](const Envelope& envelope) {
    const unsigned from = number_of(envelope.header.source), to = number_of(envelope.header.destination);
    const auto matches = [&](const Pattern& one) { return one.matches(envelope, partition_); };
    return std::none_of(lost_.begin(), lost_.end(), matches) && (side_.empty() || side_[from] == side_[to]);
  };
  for (unsigned number : machines) watch_events(number);
  look_at_all();
  trace_->take();
}

// Those of the node as a whole, and those of the partition.
void RaftDriver::watch_events(unsigned number) {
  machine(number).on_event = [this, number](const Event& event) {
    const std::string own = "partition=" + std::to_string(index_of(partition_)) + " ";
    if (event.detail.starts_with("partition=") && !event.detail.starts_with(own)) return;
    ++events_[{number, event.name}];
    trace_->event(number, event);
  };
}

// A key in the partition: the word with as many primes as it takes.
std::string RaftDriver::key_of(const std::string& word) const {
  std::string key = word;
  while (cluster_->partition_of_key(key) != partition_) key += "'";
  return key;
}

void RaftDriver::watch(unsigned number) {
  trace_->look(number);
  properties_->check(number);
  tell_answers();
}

void RaftDriver::look_at_all() {
  for (unsigned number : trace_->machines()) watch(number);
}

unsigned RaftDriver::node(Arguments& arguments) const {
  const std::string name = arguments.word();
  std::optional<unsigned> found = trace_->machine_of(name);
  if (!found) throw BadCommand("no such node: " + name);
  return *found;
}

unsigned RaftDriver::running(Arguments& arguments) const {
  const unsigned found = node(arguments);
  if (!cluster_->machines[found].node) throw BadCommand(trace_->name_of(found) + " is not running");
  return found;
}

// ---- Messages --------------------------------------------------------------------------------------

bool RaftDriver::Pattern::matches(const Envelope& envelope, PartitionId partition) const {
  return (kind.empty() || RaftTrace::kind_of(envelope.message, partition) == kind) &&
         (!from || number_of(envelope.header.source) == *from) &&
         (!to || number_of(envelope.header.destination) == *to);
}

// [KIND] [S1] [-> S2]
RaftDriver::Pattern RaftDriver::pattern(Arguments& arguments) const {
  Pattern found;
  while (arguments.more()) {
    const std::string word = arguments.word();
    if (word == "->") {
      found.to = node(arguments);
    } else if (RaftTrace::is_kind(word)) {
      found.kind = word;
    } else if (std::optional<unsigned> from = trace_->machine_of(word)) {
      found.from = *from;
    } else {
      throw BadCommand("no such message or node: " + word);
    }
  }
  return found;
}

void RaftDriver::deliver(Arguments& arguments) {
  const Pattern wanted = pattern(arguments);
  while (std::optional<Envelope> one =
             cluster_->network.next([&](const Envelope& e) { return wanted.matches(e, partition_); })) {
    cluster_->receive(*one);
  }
}

void RaftDriver::drop(Arguments& arguments) {
  const Pattern wanted = pattern(arguments);
  while (std::optional<Envelope> one =
             cluster_->network.next([&](const Envelope& e) { return wanted.matches(e, partition_); })) {
    trace_->message(*one, false);
  }
}

void RaftDriver::lose(Arguments& arguments) {
  arguments.peek();
  lost_.push_back(pattern(arguments));
}

// S1 S2 | S3 S4
void RaftDriver::cut(Arguments& arguments) {
  arguments.peek();
  unsigned side = 1;
  side_.clear();
  while (arguments.more()) {
    if (arguments.take("|"))
      ++side;
    else
      side_[node(arguments)] = side;
  }
}

void RaftDriver::heal(Arguments&) {
  lost_.clear();
  side_.clear();
}

// ---- Time ------------------------------------------------------------------------------------------

// Only this node gets time, until it asks for votes. What it sends stays under way.
void RaftDriver::timeout(Arguments& arguments) {
  const unsigned number = running(arguments);
  arguments.end();
  const TimePoint end = cluster_->clock.now + timeout_limit;
  const auto campaigns = [&] { return events_[{number, "campaign"}]; };
  for (const unsigned before = campaigns(); campaigns() == before;) {
    if (cluster_->clock.now > end) throw BadCommand(trace_->name_of(number) + " asks for no votes");
    cluster_->advance_to(std::max(machine(number).deadline, cluster_->clock.now + Duration(1)));
    cluster_->node(number).tick(cluster_->clock_of(number));
    cluster_->pump(number);
  }
}

// S1 100ms: only this node gets time. What it sends stays under way.
void RaftDriver::tick(Arguments& arguments) {
  const unsigned number = running(arguments);
  const TimePoint end = cluster_->clock.now + arguments.duration();
  while (machine(number).deadline <= end) {
    cluster_->advance_to(std::max(machine(number).deadline, cluster_->clock.now + Duration(1)));
    cluster_->node(number).tick(cluster_->clock_of(number));
    cluster_->pump(number);
  }
  cluster_->advance_to(std::max(end, cluster_->clock.now));
}

// Time passes, and nobody does anything.
void RaftDriver::wait(Arguments& arguments) { cluster_->advance_to(cluster_->clock.now + arguments.duration()); }

// Everybody gets time, and messages arrive.
void RaftDriver::run(Arguments& arguments) {
  if (!arguments.take("until")) {
    cluster_->run(arguments.duration());
    return;
  }
  const std::function<bool()> done = condition(arguments);
  if (!cluster_->run_until(done, until_limit)) throw BadCommand("it did not happen within a minute");
}

// S2 leads | somebody leads | S2 is up | settled | EVENT S2
std::function<bool()> RaftDriver::condition(Arguments& arguments) {
  if (arguments.take("settled")) return [this] { return cluster_->settled(); };
  const std::string word = arguments.word();
  const std::optional<unsigned> subject = trace_->machine_of(word);
  if (word == "somebody" || subject) {
    if (subject && arguments.take("is")) {
      const MemberState state = member_state(arguments.word());
      return [this, id = node_id(*subject), state] { return cluster_->table().find(id)->state == state; };
    }
    if (!arguments.take("leads")) throw BadCommand("'leads' is expected behind '" + word + "'");
    return [this, subject] {
      return cluster_->ready(partition_) && (!subject || cluster_->leader(partition_) == subject);
    };
  }
  const unsigned number = node(arguments);
  const unsigned& count = events_[{number, word}];
  return [&count, before = count] { return count > before; };
}

void RaftDriver::freeze(Arguments& arguments) {
  const bool frozen = arguments.name() == "freeze";
  machine(running(arguments)).frozen = frozen;
}

// ---- Machines --------------------------------------------------------------------------------------

void RaftDriver::crash(Arguments& arguments) {
  const unsigned number = running(arguments);
  cluster_->crash(number);
}

// The others see their connections to it close.
void RaftDriver::disconnect(Arguments& arguments) { cluster_->disconnect(node(arguments)); }

void RaftDriver::start(Arguments& arguments) {
  const unsigned number = node(arguments);
  if (machine(number).node) throw BadCommand(trace_->name_of(number) + " is running");
  cluster_->start(number);
}

// writes S1 | reads S1
void RaftDriver::hold(Arguments& arguments) {
  const bool held = arguments.name() == "hold";
  const bool writes = arguments.take("writes");
  if (!writes && !arguments.take("reads")) throw BadCommand("writes or reads");
  const unsigned number = running(arguments);
  (writes ? machine(number).hold_disk : machine(number).hold_reads) = held;
  cluster_->pump(number);
}

void RaftDriver::release(Arguments& arguments) { hold(arguments); }

// ---- Clients ---------------------------------------------------------------------------------------

void RaftDriver::ask(unsigned number, Operation operation, const std::string& text, const std::string& key) {
  const OperationId id = cluster_->submit(number, std::move(operation));
  asked_[id] = {number, text, key, acknowledged_[key]};
  tell_answers();
}

// S1 KEY VALUE
void RaftDriver::put(Arguments& arguments) {
  const unsigned number = running(arguments);
  const std::string key = arguments.word(), value = arguments.word();
  ask(number, cluster_->client.put(key_of(key), value), "put " + key + "=" + value, key);
}

// S1 KEY
void RaftDriver::get(Arguments& arguments) {
  const unsigned number = running(arguments);
  const std::string key = arguments.word();
  ask(number, cluster_->client.get(key_of(key)), "get " + key, key);
}

std::string RaftDriver::text_of(const OperationResult& result) const {
  if (!result) {
    std::string text(to_string(result.error().error.code));
    const Redirect& redirect = result.error().redirect;
    if (redirect.leader) text += ", ask " + trace_->name_of(*redirect.leader);
    std::vector<std::string> members;
    for (const Uuid& member : redirect.members) members.push_back(trace_->name_of(member));
    std::sort(members.begin(), members.end());
    return text + (members.empty() ? "" : " of " + joined(members));
  }
  if (const auto* batch = std::get_if<BatchResult>(&*result)) {
    return batch->outcome == BatchResult::Outcome::applied ? "done, version " + std::to_string(batch->version)
                                                           : "not applied";
  }
  return value_of(result);
}

void RaftDriver::tell_answers() {
  for (auto asked = asked_.begin(); asked != asked_.end();) {
    std::optional<OperationResult> result = cluster_->reply(asked->second.machine, asked->first);
    if (!result) {
      ++asked;
      continue;
    }
    const Asked one = std::move(asked->second);
    asked = asked_.erase(asked);
    trace_->line(trace_->name_of(one.machine) + " answers " + one.text + ": " + text_of(*result));
    if (!*result) continue;
    if (const auto* batch = std::get_if<BatchResult>(&**result)) {
      acknowledged_[one.key] = std::max(acknowledged_[one.key], batch->version);
    } else if (const auto* read = std::get_if<ReadAnswer>(&**result)) {
      Result<ReadReply> reply = decode_read_reply(read->head, read->blobs);
      const std::uint64_t version = reply && reply->gets.at(0).found ? reply->gets[0].row.version : 0;
      properties_->check_read(version, one.acknowledged);
    }
  }
}

// ---- Members ---------------------------------------------------------------------------------------

// The next node, which is not there yet.
void RaftDriver::join(Arguments& arguments) {
  const std::string name = arguments.word();
  arguments.end();
  if (name != "S" + std::to_string(trace_->machines().size() + 1))
    throw BadCommand("the next node has the next number");
  const unsigned number = cluster_->add_machine();
  trace_->add(number);
  watch_events(number);
  cluster_->members.join(number);
}

// S1 joining | leaving | dead
void RaftDriver::set_state(Arguments& arguments) {
  const unsigned number = node(arguments);
  cluster_->members.set_state(number, member_state(arguments.word()));
}

void RaftDriver::set(Arguments& arguments) {
  const std::string setting = arguments.word();
  cluster_->members.set(setting, arguments.word());
}

// ---- What is shown ---------------------------------------------------------------------------------

// As in figure 7: the term of each entry on the disk; a dot: compacted.
void RaftDriver::logs(Arguments& arguments) {
  arguments.end();
  for (unsigned number : trace_->machines()) {
    auto stored = machine(number).store.groups.find(partition_);
    if (stored == machine(number).store.groups.end()) continue;
    std::string text = trace_->name_of(number) + ":";
    for (LogIndex index = 1; index <= stored->second.last_index(); ++index) {
      auto entry = stored->second.log.find(index);
      text += entry == stored->second.log.end() ? " ." : " " + std::to_string(entry->second.term);
    }
    const GroupStatus status = machine(number).node ? cluster_->group(number, partition_) : GroupStatus{};
    trace_->line(text + (machine(number).node ? "   commit " + std::to_string(status.commit) : "   (down)"));
  }
}

void RaftDriver::status(Arguments& arguments) {
  arguments.end();
  for (unsigned number : trace_->machines()) {
    if (!machine(number).node) {
      trace_->line(trace_->name_of(number) + ": down");
      continue;
    }
    const GroupStatus group = cluster_->group(number, partition_);
    if (group.role == Role{}) {
      trace_->line(trace_->name_of(number) + ": no replica");
      continue;
    }
    trace_->line(
        trace_->name_of(number) + ": " + role_name(group.role) + ", term " + std::to_string(group.term) +
        (group.leader && *group.leader != node_id(number) ? ", follows " + trace_->name_of(*group.leader) : "") +
        ", last " + std::to_string(group.last_index) + ", commit " + std::to_string(group.commit) +
        (group.lease ? ", lease" : ""));
  }
}

// heartbeats S1 | KIND ...
void RaftDriver::show(Arguments& arguments) {
  const bool shown = arguments.name() == "show";
  if (arguments.take("heartbeats")) {
    trace_->heartbeats_of = shown ? std::optional(node(arguments)) : std::nullopt;
    return;
  }
  arguments.peek();
  while (arguments.more()) {
    const std::string kind = arguments.word();
    if (!RaftTrace::is_kind(kind)) throw BadCommand("no such message: " + kind);
    if (shown)
      trace_->hidden.erase(kind);
    else
      trace_->hidden.insert(kind);
  }
}

void RaftDriver::quiet(Arguments& arguments) {
  arguments.end();
  look_at_all();
  trace_->quiet = arguments.name() == "quiet";
}

const std::map<std::string, RaftDriver::Handler>& RaftDriver::handlers() {
  static const std::map<std::string, Handler> table = {
      {"ring", &RaftDriver::ring},              // ring NODES [OPTION=VALUE ...], see ring()
      {"timeout", &RaftDriver::timeout},        // timeout S1: its election timeout; messages stay under way
      {"deliver", &RaftDriver::deliver},        // deliver [KIND] [S1] [-> S2]: those and what of the kind they cause
      {"drop", &RaftDriver::drop},              // drop [KIND] [S1] [-> S2]: of what is under way
      {"lose", &RaftDriver::lose},              // lose KIND | S1 | -> S2: from now on
      {"cut", &RaftDriver::cut},                // cut S1 S2 | S3
      {"heal", &RaftDriver::heal},              // no cut, nothing is lost
      {"wait", &RaftDriver::wait},              // wait 500ms: without ticks and messages
      {"tick", &RaftDriver::tick},              // tick S1 100ms: time for it alone; messages stay under way
      {"run", &RaftDriver::run},                // run 500ms; run until CONDITION, see condition()
      {"freeze", &RaftDriver::freeze},          // freeze S1: no ticks for it in run
      {"thaw", &RaftDriver::freeze},            // thaw S1
      {"crash", &RaftDriver::crash},            // crash S1: what is not on its disk is gone
      {"disconnect", &RaftDriver::disconnect},  // disconnect S1: the others see their connections to it close
      {"start", &RaftDriver::start},            // start S1
      {"hold", &RaftDriver::hold},              // hold writes S1; hold reads S1: the disk does not get to it
      {"release", &RaftDriver::release},        // release writes S1; release reads S1
      {"put", &RaftDriver::put},                // put S1 KEY VALUE: asked of S1
      {"get", &RaftDriver::get},                // get S1 KEY
      {"join", &RaftDriver::join},              // join S4: a new node
      {"state", &RaftDriver::set_state},        // state S1 joining | leaving | dead: its row in the members table
      {"set", &RaftDriver::set},                // set SETTING VALUE: in the members table
      {"logs", &RaftDriver::logs},              // as in figure 7
      {"status", &RaftDriver::status},          //
      {"show", &RaftDriver::show},              // show KIND ...; show heartbeats S1: which it sends
      {"hide", &RaftDriver::show},              // hide KIND ...; hide heartbeats
      {"quiet", &RaftDriver::quiet},            // show nothing
      {"trace", &RaftDriver::quiet},            // again
  };
  return table;
}

}  // namespace ringfs::dht::test
