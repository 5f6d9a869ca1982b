// One accepted connection of a Server. Included by dht/net/runtime/server*.cpp only; threads, errors and limits as
// there.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "dht/net/runtime/server.hpp"

namespace ringfs::dht {

class Server::Session final : public FrameConnection::Owner, public std::enable_shared_from_this<Server::Session> {
 public:
  using Allowed = tl::expected<void, Denial>;
  using Known = tl::expected<KnownPeer, Denial>;

  // `share`: whose HandshakeShares it has, until it is known.
  Session(Server& server, std::unique_ptr<Stream> stream, std::string peer, LocalPeer user,
          std::optional<HandshakeShares::Address> share);

  void start();
  const Handshake& handshake() const { return handshake_; }
  bool is_client() const { return handshake_done_ && handshake_.role == PeerRole::client; }
  bool is_late(TimePoint now) const;
  std::size_t requests_in_flight() const { return requests_.size(); }
  std::size_t queued_bytes() const { return connection_->queued_bytes(); }

  // Whether whoever is at the other end of TLS may still do what it could when it came; its role follows the table.
  Allowed still_counts();
  bool has_ended() const;  // its certificate has

  // Ends the connection with a log line; `tell`: the peer speaks our protocol well enough to be told why.
  void refuse(const Denial& why, bool tell);
  void refuse_late();  // when is_late()
  void end_quietly();
  void drain();
  void recall(const Recall& recall);

 private:
  void frame_received(FrameConnection& connection, ReceivedFrame frame) override;
  void connection_closed(FrameConnection& connection, const Error& why) override;
  void queue_drained(FrameConnection& connection) override;

  void handshake_received(const ReceivedFrame& frame);
  void error_received(const ReceivedFrame& frame);
  Allowed check(const Handshake& handshake);
  Allowed check_identity(const Handshake& handshake, const KnownPeer& peer) const;
  Known who() const;
  // The same for everybody but nodes as peers: without what they say this node would stay cut off.
  Known who_asks() const;
  void join(const ReceivedFrame& frame);
  void administer(const ReceivedFrame& frame);
  // Sends the only answer of a connection with one question, and ends it; `refusal`: what access_denied means.
  void answer_and_end(FrameKind kind, Result<WireMessage> answer, RefusalReason refusal);
  void tell_and_end(const Error& why);
  void envelope(const ReceivedFrame& frame);
  void request(const ReceivedFrame& frame);
  void release(const ReceivedFrame& frame);
  void answer(std::uint64_t request, OperationResult result);
  void throttle();
  void give_share_back(Server& server);
  void end();

  Server* server_;  // null after the end
  std::shared_ptr<FrameConnection> connection_;
  const std::string peer_;  // for logs
  const LocalPeer user_;    // asked for by nobody on a connection that is TLS
  std::optional<HandshakeShares::Address> share_;
  const TimePoint accepted_;
  bool handshake_done_ = false;
  bool asked_ = false;                    // its only question: to join, or about trust
  AccessRole role_ = AccessRole::reader;  // once the handshake is done
  Handshake handshake_;
  std::unordered_map<std::uint64_t, OperationId> requests_;  // the client's number -> the driver's
  bool draining_ = false;
};

}  // namespace ringfs::dht
