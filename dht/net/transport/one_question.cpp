// Dial, send, wait for the answer.
#include "dht/net/transport/one_question.hpp"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "dht/net/sockets/peer_user.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/wire/codec.hpp"

namespace ringfs::dht {

namespace {

constexpr Duration connect_time = std::chrono::seconds(5);

// Stops a question at the end of a scope, also when the caller is cancelled.
class QuestionEnd {
 public:
  explicit QuestionEnd(std::shared_ptr<OneQuestion> question) : question_(std::move(question)) {}
  ~QuestionEnd() { question_->stop(); }
  QuestionEnd(const QuestionEnd&) = delete;
  QuestionEnd& operator=(const QuestionEnd&) = delete;

 private:
  std::shared_ptr<OneQuestion> question_;
};

// Another node may know better, or be reachable.
bool asks_on(const Error& error, bool was_told, bool busy_is_final) {
  return !was_told || error.code == ErrorCode::unavailable || error.code == ErrorCode::overloaded ||
         error.code == ErrorCode::timeout || (error.code == ErrorCode::busy && !busy_is_final);
}

// Of several the first that came from a node, with the words of all.
Error failure_of_all(const std::vector<Error>& errors) {
  Error all = errors.front();
  for (const Error& error : errors) {
    if (not_reached(all.code) && !not_reached(error.code)) all.code = error.code;
    if (&error != &errors.front()) all.context += "; " + error.context;
  }
  return all;
}

}  // namespace

OneQuestion::OneQuestion(const boost::asio::any_io_executor& executor, StreamMaker make_stream, LocalSockets local)
    : executor_(executor), make_stream_(std::move(make_stream)), local_(local), flusher_(executor), timer_(executor) {}

void OneQuestion::start(const std::string& address, Duration limit, Text text) {
  text_ = std::move(text);
  timer_.expires_after(limit);
  dial_ = dial(
      executor_, address, std::min(limit, connect_time),
      [self = shared_from_this()](Result<Socket> socket) { self->dialled(std::move(socket)); }, local_);
}

Task<void> OneQuestion::wait() {
  if (result_) co_return;
  boost::system::error_code ignored;  // a cancelled wait means that there is a result
  co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
}

void OneQuestion::stop() {
  timer_.cancel();
  if (dial_) dial_->cancel();
  if (connection_) connection_->close();
}

Result<ReceivedFrame> OneQuestion::result() const {
  return result_ ? *result_ : fail(ErrorCode::timeout, connection_ ? "no answer in time" : "no connection in time");
}

void OneQuestion::dialled(Result<Socket> socket) {
  dial_.reset();
  if (!socket) return end(tl::unexpected(socket.error()));
  const LocalPeer server(*socket);
  connection_ = std::make_shared<FrameConnection>(make_stream_(std::move(*socket)), *this, flusher_);
  if (connection_->stream().tls() == nullptr) {
    if (Status believed = server.believed(); !believed)
      return end(
          fail(believed.error().code, "the process that listens there is not taken: " + believed.error().context));
  }
  connection_->set_frame_limit(text_->answer_limit);
  connection_->start();
  connection_->send(text_->kind, 0, std::move(text_->message));
}

void OneQuestion::frame_received(FrameConnection&, ReceivedFrame frame) {
  if (frame.header.kind == text_->answer_kind) {
    end(std::move(frame));
  } else if (frame.header.kind == FrameKind::error) {
    Result<Error> error = decode_error(frame);
    told_ = error.has_value();
    end(tl::unexpected(error ? *error : error.error()));
  } else {
    end(fail(ErrorCode::corrupt, "a frame that does not belong here"));
  }
}

void OneQuestion::connection_closed(FrameConnection&, const Error& why) { end(tl::unexpected(why)); }

void OneQuestion::end(Result<ReceivedFrame> result) {
  if (!result_) result_ = std::move(result);
  timer_.cancel();
}

Task<Status> ask_each(boost::asio::any_io_executor executor, std::vector<std::string> addresses, Inquiry inquiry,
                      TimePoint deadline) {
  if (addresses.empty()) co_return fail(ErrorCode::invalid_argument, "no address of the ring");
  std::vector<Error> errors;
  for (const std::string& address : addresses) {
    const Duration left = deadline - boot_time();
    if (left <= Duration::zero()) break;
    const auto asking = std::make_shared<OneQuestion>(executor, inquiry.make_stream, inquiry.local);
    const QuestionEnd end(asking);
    asking->start(address, std::min(left, inquiry.limit), inquiry.text());
    co_await asking->wait();
    const Result<ReceivedFrame> frame = asking->result();
    const Status taken = frame ? inquiry.take(*frame) : Status(tl::unexpected(frame.error()));
    if (taken) co_return Status();
    Error error = taken.error();
    error.context = address + ": " + (error.context.empty() ? std::string(to_string(error.code)) : error.context);
    if (!asks_on(error, asking->was_told(), inquiry.busy_is_final)) co_return tl::unexpected(error);
    errors.push_back(std::move(error));
  }
  if (errors.empty()) co_return fail(ErrorCode::timeout, "no time was left to ask " + addresses.front());
  co_return tl::unexpected(failure_of_all(errors));
}

}  // namespace ringfs::dht
