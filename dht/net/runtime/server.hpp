// The RPC server of a node: accepts connections of clients and of other nodes, checks their handshakes, hands envelopes
// and operations to the Driver and sends the answers back.
//
// Threads: the driver's loop. Errors: listen_on: invalid_argument (not an address; off loopback without TLS), exists
// (the port is in use), access_denied, io_error. A connection that breaks the protocol is told why in an error frame
// where that is safe, closed, and logged (rate-limited). What a connection may do follows from the role of whoever is
// at its other end (access.hpp); a removed node and a revoked client lose theirs within a sweep. Limits: ServerLimits.
// Source: docs/wire-format.md.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <unordered_map>

#include "dht/net/runtime/driver.hpp"
#include "dht/net/sockets/handshake_shares.hpp"
#include "dht/net/sockets/listener.hpp"
#include "dht/net/sockets/peer_user.hpp"
#include "dht/net/transport/log_limit.hpp"
#include "dht/net/transport/ring_trust.hpp"

namespace ringfs::dht {

struct ServerLimits {
  std::size_t connections = 4096;
  std::size_t reserved_for_nodes = 256;   // of these, at most a quarter: idle clients never keep nodes out
  std::size_t requests_in_flight = 1024;  // of one client connection: then it is not read any more
  // Queued on one client connection. Beyond it the connection is not read, and large answers become `overloaded`.
  std::size_t queue_bytes = 32 << 20;
  Duration handshake = std::chrono::seconds(5);     // from accept to the peer's handshake
  Duration question = std::chrono::seconds(30);     // to the answer of one to join or about trust: the ring commits it
  Duration frame = std::chrono::seconds(30);        // from a frame's first byte to its last
  Duration sweep = std::chrono::milliseconds(500);  // how often the two are looked at
};

// Lets a newcomer in, or renews the certificate that somebody has shown; answers once, from the loop.
using Admit = std::function<void(JoinRequest request, std::optional<Certificate> shown,
                                 std::function<void(Result<JoinAnswer>)> answer)>;

// Tokens, clients and the authority: a question and its answer, JSON both. Answers once, from the loop.
using Administer =
    std::function<void(std::string question, AccessRole role, std::function<void(Result<std::string>)> answer)>;

// Settles a lock for a client that may only read (dht/net/client/lock_resolver.hpp); answers once, from the loop.
using Settle = std::function<void(SettleOperation asked, std::function<void(OperationResult)> answer)>;

struct ServerOptions {
  ServerLimits limits;
  StreamMaker make_stream = make_plain_stream;  // accepting_streams() where there is trust
  std::shared_ptr<RingTrust> trust = {};        // whom TLS connections belong to; null: there are none
  Admit admit = {};                             // empty: nobody is let in
  Administer administer = {};                   // empty: there is nothing of the kind
  Settle settle = {};                           // empty: locks are settled by whoever may write
  // Without TLS only root and the user of this process are served (peer_user.hpp). True: whoever reaches the address.
  bool open_loopback = false;
};

class Server {
 public:
  Server(boost::asio::io_context& loop, Driver& driver, Listener listener, ServerOptions options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const std::string& address() const { return listener_.address; }
  // Before start(): another address that is served in the same way, until end_former().
  void listen_at_former(Listener former) { former_ = std::move(former); }
  void start();  // begins to accept
  void end_former();
  // What a node that runs got: from now on there are TLS connections.
  void take_trust(std::shared_ptr<RingTrust> trust) { options_.trust = std::move(trust); }

  // No new connections and no new requests. Answers to open requests still go out; clients' connections close when
  // there is nothing left for them: call it again until open_requests() is 0 and all is flushed().
  void drain();
  std::size_t open_requests() const;
  bool flushed() const;  // nothing queued on any client's connection
  void stop();           // closes everything, cancels what is open

  struct Counters {
    std::uint64_t accepted = 0;
    RefusalCounts refused;  // connections and requests
    std::uint64_t requests = 0;
    std::uint64_t envelopes = 0;
  };
  const Counters& counters() const { return counters_; }
  std::size_t connections() const { return sessions_.size(); }

 private:
  class Session;
  friend class Session;

  void refuse_strangers();  // whose certificates count no more, or whose this node cannot tell any more
  void accept_from(Listener& listener);
  template <class Acceptor>
  void accept_from(Acceptor& acceptor);
  void accepted(Socket socket);
  void sweep();
  void forget(Session& session);
  void node_met(Session& session);
  void node_gone(Session& session);
  void recall(const Recall& recall);
  void log_refused(const std::string& peer, const Denial& why);
  bool room_for_client() const;

  Driver& driver_;
  ServerOptions options_;
  Listener listener_;
  std::optional<Listener> former_;
  WakeTimer sweep_timer_;
  std::unordered_map<Session*, std::shared_ptr<Session>>
      sessions_;                                      // shared: a session may end inside its own callback
  std::unordered_map<Uuid, Session*> nodes_;          // the newest connection of each peer
  std::unordered_map<Uuid, Session*> lease_clients_;  // the newest connection of each client that takes row leases
  std::size_t clients_ = 0;                           // connections whose handshake was a client's
  HandshakeShares shares_;                            // of TLS connections that nobody is known on
  std::uint64_t checked_version_ = 0;                 // of the members table that all sessions were held against
  LogLimit refused_log_;
  Counters counters_;
  bool draining_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for the accept in progress
};

}  // namespace ringfs::dht
