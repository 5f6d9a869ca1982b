// This node's outgoing connections to the other nodes: one a peer, for envelopes only. A peer answers over its own
// outgoing connection.
//
// A connection is made when there is something to send. While it is being made, envelopes wait; while the last attempt
// failed less than the back-off ago they are dropped: Raft and Chord repeat what matters, and late copies only hurt.
// Threads: one loop. Errors: a failed or broken connection is told to the listener at once, envelopes are lost.
// Limits: max_peer_queue_bytes a peer (beyond it envelopes are dropped), max_peers, back-off 50 ms .. 1 s with jitter,
// 2 s to connect, 5 s for the handshake.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "dht/base/random.hpp"
#include "dht/core/protocol/messages.hpp"
#include "dht/net/transport/frame_connection.hpp"
#include "dht/net/wire/codec.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_peer_queue_bytes = 32 << 20;
inline constexpr std::size_t small_envelope_bytes = 16 << 10;  // may exceed the queue's limit by an eighth of it
inline constexpr std::size_t max_peers = 1000;                 // as many as a ring has members

struct PeerLimits {
  std::size_t queue_bytes = max_peer_queue_bytes;
  Duration connect = std::chrono::seconds(2);
  Duration handshake = std::chrono::seconds(5);
  Duration first_back_off = std::chrono::milliseconds(50);
  Duration last_back_off = std::chrono::seconds(1);
};

class Peers {
 public:
  class Listener {
   public:
    // What this node says of itself to `expected`.
    virtual Handshake own_handshake(const Uuid& expected) = 0;
    // host:port, empty: not known.
    virtual std::string address_of(const Uuid& peer) = 0;
    // No connection could be made, or it broke.
    virtual void peer_lost(const Uuid& peer) = 0;
    // The connected peer's handshake, which said that it is `peer`. Errors: cloned_identity.
    virtual Status check_peer(const Handshake& handshake) = 0;
    // The peer accepted our handshake. identity_refused: it refuses this process for good
    // (cloned_identity, removed).
    virtual void peer_accepted(const Uuid& peer) = 0;
    virtual void identity_refused(const Uuid& peer, const Error& why) = 0;

   protected:
    ~Listener() = default;
  };

  Peers(boost::asio::any_io_executor executor, Listener& listener, Flusher& flusher, Random& random,
        PeerLimits limits = {}, StreamMaker make_stream = make_plain_stream);
  ~Peers();
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  void send(const Envelope& envelope);
  // The peer has just connected to us, from a server at `address` (empty: unknown): it is alive, so end its back-off.
  void peer_seen(const Uuid& peer, const std::string& address);
  void stop();

  struct Counters {
    std::uint64_t sent = 0;
    std::uint64_t dropped = 0;  // queue full, or no connection
    std::uint64_t connects = 0;
    std::uint64_t failures = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  class Link;
  std::shared_ptr<Link> link_to(const Uuid& peer);

  boost::asio::any_io_executor executor_;
  Listener& listener_;
  Flusher& flusher_;
  Random& random_;
  PeerLimits limits_;
  StreamMaker make_stream_;
  std::map<Uuid, std::shared_ptr<Link>> links_;  // shared: a pending connect or timer may outlive Peers
  Counters counters_;
};

}  // namespace ringfs::dht
