// A ring that was made with plain loopback addresses moves to TLS node by node (docs/deploy.md#a-ring-made-before).
//
// A node that was started with an address for other machines announces it only when every member has a certificate, so
// that all can dial it; until all members have moved it is reached at its former address as well. Where an operator's
// own authority issues the certificates nobody knows who has one; addresses are announced at once. Threads: the node's
// loop. Errors: none; a former address that cannot be listened on is logged.
#pragma once

#include <boost/asio/io_context.hpp>
#include <string>

#include "dht/core/protocol/members_table.hpp"
#include "dht/net/runtime/server.hpp"

namespace ringfs::nodes {

// Whether the members can dial `address`: it is plain, or each of them has a certificate to show there. Members that
// were removed do not count, here and below.
bool may_be_announced(const dht::MembersTable& table, const std::string& address);

// Whether other machines reach every member. `keys`: the table has the keys of members that have a certificate.
bool all_have_moved(const dht::MembersTable& table, bool keys = true);

class MoveToTls {
 public:
  MoveToTls() = default;  // it does not move
  // `table`: as the node has it when it starts; `address`: its new one; `keys`: see above.
  MoveToTls(const dht::MembersTable& table, const Uuid& node, std::string address, bool keys = true);

  bool may_announce(const dht::MembersTable& table) const { return !keys_ || may_be_announced(table, address_); }

  bool under_way() const { return !former_.empty(); }
  // Where the table says that this node is reached, and nobody but this machine reaches it; empty: it does not move.
  const std::string& former() const { return former_; }

  // Serves the former address, too. Before the server starts.
  void listen(boost::asio::io_context& loop, dht::Server& server, dht::Driver& driver);
  // To be called now and then: tells the new address to the others when all of them can dial it, and lets the former
  // one go when nobody needs it.
  void go_on(dht::Server& server, dht::Driver& driver);

 private:
  std::string address_;
  std::string former_;
  bool keys_ = true;
};

}  // namespace ringfs::nodes
