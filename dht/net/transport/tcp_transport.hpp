// ClientTransport over TCP: one connection an address, requests pipelined, answers matched by number.
//
// A connection is made when a call needs it and made anew when it broke. All calls on a connection that breaks end with
// unreachable at once; a refused connection fails them at once; a late answer is dropped.
// Threads: one loop. Errors: as in client_transport.hpp, and overloaded beyond the limits below, cancelled when the
// caller's cancellation slot says so (the operation may still happen). Limits: TcpTransportOptions.
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "dht/net/transport/client_transport.hpp"
#include "dht/net/transport/frame_connection.hpp"
#include "dht/net/transport/heard_times.hpp"
#include "dht/net/transport/wake_timer.hpp"
#include "dht/net/wire/codec.hpp"

namespace ringfs::dht {

struct TcpTransportOptions {
  Uuid ring;                                // nil: any ring; else others answer foreign_ring
  std::size_t connections = 1000;           // addresses; beyond, one without calls is closed
  std::size_t calls_per_connection = 4096;  // outstanding: beyond, overloaded
  std::size_t queue_bytes = 64 << 20;       // not yet sent, of one connection: beyond, overloaded
  Duration connect = std::chrono::seconds(3);
  Duration handshake = std::chrono::seconds(5);
  StreamMaker make_stream = make_plain_stream;
};

class TcpTransport : public ClientTransport {
 public:
  TcpTransport(const boost::asio::any_io_executor& executor, Random& random, TcpTransportOptions options = {});
  ~TcpTransport() override;  // outstanding calls end with cancelled
  TcpTransport(const TcpTransport&) = delete;
  TcpTransport& operator=(const TcpTransport&) = delete;

  Task<OperationResult> call(std::string address, Uuid expected, Operation operation, TimePoint deadline) override;
  void take_recalls(const Uuid& client, std::function<void(const Recall&, Forgotten)> handler) override {
    client_ = client;
    recall_ = std::move(handler);
  }
  Task<void> sleep(Duration duration) override;
  TimePoint now() override;
  Stamp ring_time() override;
  Random& random() override { return random_; }

  // From now on only this ring's nodes are spoken to (connections made earlier are checked as well).
  void set_ring(const Uuid& ring) { options_.ring = ring; }
  void stop();  // ends all calls with cancelled and closes; later calls end likewise

 private:
  class Channel;
  friend class Channel;
  using Handler = boost::asio::any_completion_handler<void(OperationResult)>;
  struct Call;

  void begin(Handler handler, const std::string& address, const Uuid& expected, const Operation& operation,
             TimePoint deadline);
  std::shared_ptr<Channel> channel_to(const std::string& address);
  void finish(std::uint64_t id, OperationResult result);
  // Ends a call that cannot begin, not before the caller sleeps.
  void refuse(Handler handler, ErrorCode code, std::string context);
  void expire();
  void heard(const std::string& address, Stamp stamp);

  boost::asio::any_io_executor executor_;
  Random& random_;
  TcpTransportOptions options_;
  Uuid client_;  // nil: takes no row leases
  std::function<void(const Recall&, Forgotten)> recall_;
  Flusher flusher_;
  std::map<std::string, std::shared_ptr<Channel>> channels_;  // shared: a pending connect may outlive the transport
  std::unordered_map<std::uint64_t, Call> calls_;
  std::multimap<TimePoint, std::uint64_t> deadlines_;
  std::uint64_t next_call_ = 1;
  WakeTimer timer_;
  HeardTimes heard_times_;
  bool stopped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for cancellations on their way
};

}  // namespace ringfs::dht
