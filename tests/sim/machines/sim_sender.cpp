// Messages of a simulated node, and echoes of its former lives.
#include "tests/sim/machines/sim_sender.hpp"

#include <utility>

#include "dht/core/raft/fitness.hpp"
#include "tests/sim/machines/cluster.hpp"
#include "tests/sim/machines/message_trace.hpp"

namespace ringfs::sim {

namespace {

// Until all know that a disk hangs: it notices itself, what was heard before is forgotten, and a transfer that was
// under way ends.
constexpr Duration hang_known_bound = dht::disk_timeout + dht::fitness_life + std::chrono::seconds(1);
constexpr Duration echoes[] = {std::chrono::milliseconds(2), std::chrono::milliseconds(50),
                               std::chrono::milliseconds(200), std::chrono::milliseconds(600)};

}  // namespace

void SimSender::start() {
  ++life_;
  acknowledged_.clear();
}

void SimSender::send(std::shared_ptr<const dht::Envelope> envelope) {
  trace_message(cluster_.world(), Direction::send, node_.index(), envelope->message);
  cluster_.invariants().on_send(*envelope, node_.durable_disk());
  check_hung_disk(*envelope);
  const auto* reply = std::get_if<dht::AppendReply>(&envelope->message);
  if (reply != nullptr && reply->success && cluster_.options().former_lives_echo)
    acknowledged_[reply->raft.partition] = envelope;
  cluster_.send(node_.index(), std::move(envelope));
}

// A node that knows that its disk hangs neither asks for votes nor gives any, and nobody makes it lead who can know it,
// too.
void SimSender::check_hung_disk(const dht::Envelope& envelope) {
  const auto* vote = std::get_if<dht::VoteReply>(&envelope.message);
  if (std::holds_alternative<dht::RequestVote>(envelope.message) || (vote != nullptr && vote->granted)) {
    if (node_.disk().hangs() && node_.status().disk_stalled >= dht::disk_timeout) {
      cluster_.world().violate("a hung disk has no part in elections",
                               "node " + std::to_string(node_.index()) + " asks for a vote or gives one");
    }
  } else if (std::holds_alternative<dht::TimeoutNow>(envelope.message)) {
    SimNode& target = *cluster_.find(envelope.header.destination);
    const bool alert = !node_.starved() && !target.starved() && target.running() && !target.frozen();
    if (alert && target.disk().hangs() && target.status().disk_stalled >= hang_known_bound) {
      cluster_.world().violate(
          "nobody hands over to a hung disk",
          "node " + std::to_string(node_.index()) + " hands over to node " + std::to_string(target.index()));
    }
  }
}

// The network has copied its last acknowledgement of the life before, and is slow.
void SimSender::echo_former_life(PartitionId partition) {
  auto former = acknowledged_.find(partition);
  if (former == acknowledged_.end()) return;
  cluster_.world().count("fault: former life echoes");
  for (const Duration late : echoes) {
    cluster_.world().after(late, [this, life = life_, echo = former->second] {
      if (life == life_) cluster_.send(node_.index(), echo);
    });
  }
  acknowledged_.erase(former);
}

}  // namespace ringfs::sim
