// The commands of Chord scenarios.
#include "tests/unit/core/scenarios/chord_driver.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ringfs::dht::test {

namespace {

constexpr unsigned circle = 64;      // positions: 2^6
constexpr unsigned first_bit = 154;  // of 160: what a position counts
constexpr unsigned replication = 3;  // successor lists name so many other nodes
constexpr Duration until_limit = std::chrono::minutes(5);
const std::set<std::string> kinds = {"Neighbours?", "Neighbours", "Notify", "Find?", "Found"};

Position position_of(unsigned number) {
  Position position;
  position.bytes[0] = static_cast<std::uint8_t>(number << 2);
  return position;
}

unsigned number_of(const Position& position) { return position.bytes[0] >> 2; }

Uuid id_of(unsigned number) {
  Uuid id;
  id.bytes[0] = static_cast<std::uint8_t>(number);
  id.bytes[15] = 1;
  return id;
}

unsigned number_of(const Uuid& node) { return node.bytes[0]; }

std::string name_of(unsigned number) { return "N" + std::to_string(number); }
std::string name_of(const ChordPeer& peer) { return name_of(number_of(peer.token)); }
std::string name_of(const std::optional<ChordPeer>& peer) { return peer ? name_of(*peer) : "none"; }

std::string names_of(const std::vector<ChordPeer>& peers) {
  std::vector<std::string> names;
  for (const ChordPeer& peer : peers) names.push_back(name_of(peer));
  return names.empty() ? "none" : joined(names);
}

// N8, K54.
unsigned numbered(const std::string& word, char letter) {
  const Words command = {"", word.empty() ? "" : word.substr(1)};
  if (word.size() < 2 || word[0] != letter)
    throw BadCommand(std::string("'") + letter + "8' is expected, not '" + word + "'");
  const std::uint64_t number = Arguments(command).number();
  if (number >= circle) throw BadCommand("positions are 0 to 63");
  return static_cast<unsigned>(number);
}

std::string kind_of(const ChordMessage& message) {
  static const char* const names[] = {"Neighbours?", "Neighbours", "Notify", "Find?", "Found"};
  return names[message.index()];
}

}  // namespace

std::vector<std::string> ChordDriver::execute(const Words& command) {
  Arguments arguments(command);
  auto handler = handlers().find(arguments.name());
  if (handler == handlers().end()) throw BadCommand("no such command: " + arguments.name());
  if (!network_ && arguments.name() != "ring") throw BadCommand("there is no ring yet");
  (this->*handler->second)(arguments);
  arguments.end();
  return std::exchange(lines_, {});
}

// ---- Nodes -----------------------------------------------------------------------------------------

void ChordDriver::ring(Arguments& arguments) {
  if (network_) throw BadCommand("there is a ring already");
  network_ = std::make_unique<ChordNetwork>(1, replication);
  while (arguments.more()) {
    const std::uint64_t number = arguments.number();
    if (number >= circle) throw BadCommand("positions are 0 to 63");
    add_row(static_cast<unsigned>(number));
  }
  for (unsigned number : numbers_) network_->start(id_of(number));
  run_until_ideal(std::chrono::seconds(1));
  network_->watch_message = [this](const Uuid& source, const Uuid& destination, const ChordMessage& one, bool arrives) {
    message(source, destination, one, arrives);
  };
  network_->watch_node = [this](const Uuid& changed) { look(number_of(changed)); };
  for (unsigned number : numbers_) look(number);
  lines_.clear();
}

void ChordDriver::add_row(unsigned number) {
  if (!numbers_.insert(number).second) throw BadCommand(name_of(number) + " is there already");
  network_->add_row(id_of(number), {position_of(number)});
}

unsigned ChordDriver::node(Arguments& arguments) const {
  const unsigned number = numbered(arguments.word(), 'N');
  if (!numbers_.contains(number)) throw BadCommand("no such node: " + name_of(number));
  return number;
}

unsigned ChordDriver::running(Arguments& arguments) const {
  const unsigned number = node(arguments);
  if (!network_->running(id_of(number))) throw BadCommand(name_of(number) + " is not running");
  return number;
}

// A row of the members table, which everybody gets, and then the process.
void ChordDriver::join(Arguments& arguments) {
  const unsigned number = numbered(arguments.word(), 'N');
  add_row(number);
  network_->publish();
  network_->start(id_of(number));
}

void ChordDriver::start(Arguments& arguments) {
  const unsigned number = node(arguments);
  if (network_->running(id_of(number))) throw BadCommand(name_of(number) + " is running");
  network_->start(id_of(number));
}

// More of them at once than successor lists are made for: the invariant is not demanded until it holds again.
void ChordDriver::crash(Arguments& arguments) {
  arguments.peek();
  while (arguments.more()) {
    const unsigned number = running(arguments);
    network_->crash(id_of(number));
    seen_.erase(number);
  }
  too_many_died_ = !network_->missing_live_successor().empty();
  if (too_many_died_) lines_.push_back("some member has no live successor");
}

// Out of the members table; its process ends.
void ChordDriver::remove(Arguments& arguments) {
  const unsigned number = node(arguments);
  network_->remove_row(id_of(number));
  network_->crash(id_of(number));
  seen_.erase(number);
  numbers_.erase(number);
  network_->publish();
}

// N8 N14: N8's connection to N14 breaks.
void ChordDriver::disconnect(Arguments& arguments) {
  const unsigned number = running(arguments), peer = node(arguments);
  network_->chord(id_of(number)).peer_failed(id_of(peer), network_->now());
}

// N8 N14: N8 hears N14 again.
void ChordDriver::hear(Arguments& arguments) {
  const unsigned number = running(arguments), peer = node(arguments);
  network_->chord(id_of(number)).peer_heard(id_of(peer));
}

// ---- Network and time ------------------------------------------------------------------------------

// N8 N14 | N21 N32
void ChordDriver::split(Arguments& arguments) {
  std::map<Uuid, int> groups;
  int side = 0;
  while (arguments.more()) {
    if (arguments.take("|"))
      ++side;
    else
      groups[id_of(node(arguments))] = side;
    sides_.insert(side);
  }
  network_->split(std::move(groups));
}

void ChordDriver::heal(Arguments&) {
  sides_.clear();
  network_->split({});
}

std::string ChordDriver::difference() const {
  if (sides_.empty()) return network_->difference_from_ideal(true);
  for (int side : sides_) {
    const std::string found = network_->difference_from_ideal(false, side);
    if (!found.empty()) return found;
  }
  return "";
}

// 5s | until ideal
void ChordDriver::run(Arguments& arguments) {
  if (!arguments.take("until")) {
    network_->run(arguments.duration());
    return;
  }
  if (!arguments.take("ideal")) throw BadCommand("'ideal' is expected behind 'until'");
  run_until_ideal(std::chrono::milliseconds(100));
}

void ChordDriver::run_until_ideal(Duration step) {
  const TimePoint end = network_->now() + until_limit;
  while (!difference().empty()) {
    if (::testing::Test::HasFatalFailure()) throw BadCommand("the ring does not become ideal");
    if (network_->now() > end) throw BadCommand("the ring does not become ideal: " + difference());
    network_->run(step);
  }
}

// ---- What is shown ---------------------------------------------------------------------------------

// N8 K54
void ChordDriver::lookup(Arguments& arguments) {
  unsigned asked = running(arguments);
  const unsigned key = numbered(arguments.word(), 'K');
  for (unsigned hops = 1; hops <= circle; ++hops) {
    const Chord::Step step = network_->chord(id_of(asked)).find(position_of(key));
    if (!step.member) {
      lines_.push_back(name_of(asked) + " is no member");
      return;
    }
    lines_.push_back(name_of(asked) + (step.final ? " knows: " : " says: ask ") + name_of(step.peer));
    if (step.final) return;
    asked = number_of(step.peer.node);
    if (!network_->running(id_of(asked))) {
      lines_.push_back(name_of(asked) + " is down");
      return;
    }
  }
}

const Chord::Pointers& ChordDriver::pointers_of(unsigned number) const {
  return network_->chord(id_of(number)).pointers().at(position_of(number));
}

void ChordDriver::pointers(Arguments& arguments) {
  arguments.end();
  for (unsigned number : numbers_) {
    if (!network_->running(id_of(number))) continue;
    const Chord::Pointers& own = pointers_of(number);
    lines_.push_back(name_of(number) + ": predecessor " + name_of(own.predecessor) + ", successors " +
                     names_of(own.successors));
  }
}

// As in figure 4.
void ChordDriver::fingers(Arguments& arguments) {
  arguments.peek();
  while (arguments.more()) show_fingers(running(arguments));
}

void ChordDriver::show_fingers(unsigned number) {
  const Chord::Pointers& own = pointers_of(number);
  for (unsigned finger = first_bit; finger < own.fingers.size(); ++finger) {
    const Position start = plus_power_of_two(position_of(number), finger);
    // Those between a node and its successor are the successor, and are not kept.
    const bool first = !own.successors.empty() && in_half_open_arc(position_of(number), start, own.successors[0].token);
    lines_.push_back(name_of(number) + "+" + std::to_string(1U << (finger - first_bit)) + ": " +
                     (first ? name_of(own.successors[0]) : name_of(own.fingers[finger])));
  }
}

// Messages of these kinds, of these nodes; of no kind named: of every kind.
void ChordDriver::show(Arguments& arguments) {
  arguments.peek();
  shown_kinds_.clear();
  shown_nodes_.clear();
  while (arguments.more()) {
    if (kinds.contains(arguments.peek()))
      shown_kinds_.insert(arguments.word());
    else
      shown_nodes_.insert(numbered(arguments.word(), 'N'));
  }
  if (shown_kinds_.empty()) shown_kinds_ = kinds;
}

void ChordDriver::hide(Arguments&) { shown_kinds_.clear(); }

std::string ChordDriver::describe(const ChordMessage& message) const {
  struct Text {
    std::string operator()(const ChordNeighboursRequest&) const { return ""; }
    std::string operator()(const ChordNeighbours& one) const {
      if (!one.member) return " no member";
      return " predecessor " + name_of(one.predecessor) + ", successors " + names_of(one.successors);
    }
    std::string operator()(const ChordNotify&) const { return ""; }
    std::string operator()(const ChordFind& one) const { return " " + std::to_string(number_of(one.position)); }
    std::string operator()(const ChordFound& one) const {
      if (!one.member) return " no member";
      return (one.final ? " it is " : " ask ") + name_of(one.peer);
    }
  };
  return kind_of(message) + std::visit(Text{}, message);
}

void ChordDriver::message(const Uuid& source, const Uuid& destination, const ChordMessage& one, bool arrives) {
  const unsigned from = number_of(source), to = number_of(destination);
  if (!shown_kinds_.contains(kind_of(one))) return;
  if (!shown_nodes_.empty() && !shown_nodes_.contains(from) && !shown_nodes_.contains(to)) return;
  lines_.push_back(name_of(from) + " -> " + name_of(to) + "  " + describe(one) + (arrives ? "" : "  (lost)"));
}

void ChordDriver::look(unsigned number) {
  const auto& tokens = network_->chord(id_of(number)).pointers();
  auto own = tokens.find(position_of(number));
  if (own == tokens.end()) return;
  const Seen now{own->second.member, name_of(own->second.predecessor), names_of(own->second.successors)};
  Seen& before = seen_[number];
  const std::string name = name_of(number);
  if (now.member && !before.member) lines_.push_back(name + " is a member");
  if (now.successors != before.successors) lines_.push_back(name + " successors " + now.successors);
  if (now.predecessor != before.predecessor) lines_.push_back(name + " predecessor " + now.predecessor);
  before = now;
  const std::string missing = network_->missing_live_successor();
  if (too_many_died_ && missing.empty()) {
    lines_.push_back("every member has a live successor again");
    too_many_died_ = false;
  }
  if (!too_many_died_ && broken_.empty()) broken_ = missing;
}

const std::map<std::string, ChordDriver::Handler>& ChordDriver::handlers() {
  static const std::map<std::string, Handler> table = {
      {"ring", &ChordDriver::ring},              // ring 8 14 21: all at once, until it is ideal
      {"join", &ChordDriver::join},              // join N26: a new node
      {"start", &ChordDriver::start},            // start N21: again
      {"crash", &ChordDriver::crash},            // crash N21 N32
      {"remove", &ChordDriver::remove},          // remove N21: from the members table
      {"disconnect", &ChordDriver::disconnect},  // disconnect N8 N14: as N8 sees it
      {"hear", &ChordDriver::hear},              // hear N8 N14: N8 hears N14 again
      {"split", &ChordDriver::split},            // split N8 N14 | N21 N32
      {"heal", &ChordDriver::heal},              //
      {"run", &ChordDriver::run},                // run 5s; run until ideal
      {"lookup", &ChordDriver::lookup},          // lookup N8 K54
      {"pointers", &ChordDriver::pointers},      // of all nodes
      {"fingers", &ChordDriver::fingers},        // fingers N8 N14
      {"show", &ChordDriver::show},              // show [KIND ...] [N8 ...]: messages
      {"hide", &ChordDriver::hide},              // no messages
  };
  return table;
}

}  // namespace ringfs::dht::test
