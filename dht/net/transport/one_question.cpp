// Dial, send, wait for the answer.
#include "dht/net/transport/one_question.hpp"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "dht/net/sockets/peer_user.hpp"
#include "dht/net/wire/codec.hpp"

namespace ringfs::dht {

namespace {

constexpr Duration connect_time = std::chrono::seconds(5);

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

}  // namespace ringfs::dht
