// A connection for one frame and its answer: questions that need no handshake, to join a ring or about its trust.
//
// Threads: the executor's loop, on which the caller runs, too. Ownership: shared_ptr, because a dial may outlive
// whoever asks; stop() ends what is under way. Errors: dial's and FrameConnection's, what an error frame says, timeout,
// corrupt (another frame than the one that answers). Limits: the time and size of start().
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/task.hpp"
#include "dht/net/sockets/dial.hpp"
#include "dht/net/transport/frame_connection.hpp"

namespace ringfs::dht {

class OneQuestion final : public FrameConnection::Owner, public std::enable_shared_from_this<OneQuestion> {
 public:
  struct Text {
    FrameKind kind;
    FrameKind answer_kind;
    std::size_t answer_limit;  // bytes
    WireMessage message;
  };

  OneQuestion(const boost::asio::any_io_executor& executor, StreamMaker make_stream, LocalSockets local);

  void start(const std::string& address, Duration limit, Text text);
  Task<void> wait();  // returns when there is a result, or at the limit
  void stop();

  Result<ReceivedFrame> result() const;
  bool was_told() const { return told_; }  // the node itself said it, after it was known

 private:
  void dialled(Result<Socket> socket);
  void frame_received(FrameConnection& connection, ReceivedFrame frame) override;
  void connection_closed(FrameConnection& connection, const Error& why) override;
  void end(Result<ReceivedFrame> result);

  const boost::asio::any_io_executor executor_;
  const StreamMaker make_stream_;
  const LocalSockets local_;
  Flusher flusher_;
  boost::asio::steady_timer timer_;
  std::optional<Text> text_;
  std::shared_ptr<Dial> dial_;
  std::shared_ptr<FrameConnection> connection_;
  std::optional<Result<ReceivedFrame>> result_;
  bool told_ = false;
};

struct Inquiry {
  StreamMaker make_stream;
  LocalSockets local;
  Duration limit;  // of each address: one that hangs costs no more
  std::function<OneQuestion::Text()> text;
  std::function<Status(const ReceivedFrame&)> take;  // an error: as if this node had not answered
  bool busy_is_final = true;                         // when a node says it; otherwise the next one is asked
};

// The same question to one address after the other, each once, until `take` takes an answer. The next one is asked when
// there is no connection, no answer, or a node that cannot carry it out now. Errors, with the addresses: what a node
// says for good; else of all that were asked; invalid_argument: no address; timeout: no time was left.
Task<Status> ask_each(boost::asio::any_io_executor executor, std::vector<std::string> addresses, Inquiry inquiry,
                      TimePoint deadline);

}  // namespace ringfs::dht
