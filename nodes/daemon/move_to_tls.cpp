// When a node that moves is told of, and where it listens meanwhile.
#include "nodes/daemon/move_to_tls.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "dht/net/sockets/dial.hpp"

namespace ringfs::nodes {

namespace {

bool each_member(const dht::MembersTable& table, bool (*is)(const dht::Member&)) {
  return std::all_of(table.members.begin(), table.members.end(),
                     [is](const dht::Member& one) { return one.state == MemberState::removed || is(one); });
}

// Whether a listener has the loopback address as well: it is the same, or stands for all addresses.
bool includes(const std::string& listener, const std::string& loopback) {
  const auto everywhere = dht::numeric_endpoint(listener);
  const Result<dht::HostPort> parts = dht::split_address(loopback);
  const bool all = everywhere && everywhere->address().is_unspecified() && parts &&
                   parts->port == std::to_string(everywhere->port());
  return all || listener == loopback;
}

}  // namespace

bool may_be_announced(const dht::MembersTable& table, const std::string& address) {
  return dht::is_of_this_machine(address) ||
         each_member(table, [](const dht::Member& one) { return one.key.has_value(); });
}

bool all_have_moved(const dht::MembersTable& table, bool keys) {
  const bool certain = !keys || each_member(table, [](const dht::Member& one) { return one.key.has_value(); });
  return certain && each_member(table, [](const dht::Member& one) { return !dht::is_of_this_machine(one.address); });
}

MoveToTls::MoveToTls(const dht::MembersTable& table, const Uuid& node, std::string address, bool keys)
    : address_(std::move(address)), keys_(keys) {
  const dht::Member* self = table.find(node);
  const bool moves = self != nullptr && self->state != MemberState::removed && dht::is_of_this_machine(self->address) &&
                     !dht::is_of_this_machine(address_);
  if (moves) former_ = self->address;
}

void MoveToTls::listen(boost::asio::io_context& loop, dht::Server& server, dht::Driver& driver) {
  if (!under_way() || includes(server.address(), former_)) return;
  Result<dht::Listener> listener = dht::listen_on(loop, former_);
  if (!listener) {
    spdlog::warn("event=former_address_not_served address={} reason=\"{}\"", former_, listener.error().context);
    driver.set_address(address_);
    return;
  }
  listener->local = dht::listen_beside(loop, former_);
  server.listen_at_former(std::move(*listener));
  spdlog::info("event=former_address_served address={}", former_);
}

void MoveToTls::go_on(dht::Server& server, dht::Driver& driver) {
  if (!under_way()) return;
  const dht::MembersTable& table = driver.node().table();
  if (may_announce(table)) driver.set_address(address_);
  if (!all_have_moved(table, keys_)) return;
  server.end_former();
  spdlog::info("event=all_members_have_moved former_address={}", former_);
  former_.clear();
}

}  // namespace ringfs::nodes
