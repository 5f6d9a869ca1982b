// TLS on a socket that never blocks.
#include "dht/net/transport/tls_stream.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>

namespace ringfs::dht {

namespace {

constexpr std::size_t receive_bytes = 64 << 10;          // four full records
constexpr std::size_t shared_record_bytes = 4 << 10;     // below, pieces share a record
constexpr std::size_t gathered_bytes = 16 << 10;         // a full record
constexpr std::size_t outgoing_limit_bytes = 256 << 10;  // encrypted ahead of the socket

using Step = TlsEngine::Step::State;

IoResult failed(int error) { return {IoResult::State::failed, 0, error}; }

}  // namespace

struct TlsStream::State : std::enable_shared_from_this<TlsStream::State> {
  State(Socket connected, std::unique_ptr<TlsEngine> tls) : socket(std::move(connected)), engine(std::move(tls)) {}

  // Sends what is encrypted, as much as the socket takes; the rest when there is room. 0, or the errno that ended it.
  int flush() {
    std::string& bytes = engine->outgoing();
    std::size_t sent = 0;
    while (sent < bytes.size() && socket.is_open()) {
      const ssize_t count =
          ::send(socket.native_handle(), bytes.data() + sent, bytes.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count >= 0) {
        sent += static_cast<std::size_t>(count);
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        break;
      } else if (errno != EINTR) {
        bytes.clear();
        return errno;
      }
    }
    bytes.erase(0, sent);
    if (!bytes.empty()) wait_for_room();
    return 0;
  }

  void wait_for_room() {
    if (waiting_for_room || !socket.is_open()) return;
    waiting_for_room = true;
    socket.async_wait(Socket::wait_write, [weak = weak_from_this()](boost::system::error_code error) {
      const std::shared_ptr<State> self = weak.lock();
      if (self == nullptr || error == boost::asio::error::operation_aborted) return;
      self->waiting_for_room = false;
      // A failure is met again by whoever writes or reads next.
      if (self->flush() != 0 || self->engine->outgoing().empty()) self->let_write();
    });
  }

  void let_write() {
    if (Ready ready = std::exchange(writable, nullptr)) ready();
  }

  // After a step of the engine: its handshake may have come to its end.
  int after_step() {
    const int error = flush();
    if (!was_established && engine->established()) {
      was_established = true;
      if (writable && engine->outgoing().empty()) {
        boost::asio::post(socket.get_executor(), [weak = weak_from_this()] {
          if (const std::shared_ptr<State> self = weak.lock()) self->let_write();
        });
      }
    }
    return error;
  }

  // One read of the socket into the engine.
  IoResult receive() {
    if (input.empty()) input.resize(receive_bytes);
    for (;;) {
      const ssize_t count = ::recv(socket.native_handle(), input.data(), input.size(), MSG_DONTWAIT);
      if (count > 0) {
        engine->received({input.data(), static_cast<std::size_t>(count)});
        return {};
      }
      if (count == 0) return {IoResult::State::closed};
      if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoResult::State::would_block};
      if (errno != EINTR) return failed(errno);
    }
  }

  Socket socket;
  std::unique_ptr<TlsEngine> engine;
  std::string input;
  std::string gathered;  // small pieces of one write
  Ready writable;
  bool waiting_for_room = false;
  bool was_established = false;
};

TlsStream::TlsStream(Socket socket, std::unique_ptr<TlsEngine> engine)
    : state_(std::make_shared<State>(std::move(socket), std::move(engine))) {
  set_socket_options(state_->socket);
  // A client speaks first; a server has nothing to say yet. A failure is met by the first read.
  state_->engine->handshake();
  state_->after_step();
}

TlsStream::~TlsStream() { close(); }

IoResult TlsStream::read_some(char* into, std::size_t size) {
  State& state = *state_;
  for (;;) {
    if (!state.socket.is_open()) return {IoResult::State::closed};
    const TlsEngine::Step step = state.engine->read(into, size);
    const int error = state.after_step();
    if (step.state == Step::done) return {IoResult::State::done, step.bytes};
    if (step.state == Step::closed) return {IoResult::State::closed};
    if (step.state == Step::failed) return failed(EPROTO);
    if (error != 0) return failed(error);
    if (IoResult result = state.receive(); result.state != IoResult::State::done) return result;
  }
}

IoResult TlsStream::write_some(std::span<const iovec> pieces) {
  State& state = *state_;
  if (!state.socket.is_open()) return {IoResult::State::closed};
  if (!state.engine->outgoing().empty()) {
    if (int error = state.flush(); error != 0) return failed(error);
    if (!state.engine->outgoing().empty()) return {IoResult::State::would_block};
  }
  std::size_t taken = 0;
  while (!pieces.empty() && state.engine->outgoing().size() < outgoing_limit_bytes) {
    std::string_view plain(static_cast<const char*>(pieces.front().iov_base), pieces.front().iov_len);
    std::size_t used = 1;
    if (plain.size() < shared_record_bytes && pieces.size() > 1) {
      state.gathered.assign(plain);
      for (; used < pieces.size() && pieces[used].iov_len < shared_record_bytes &&
             state.gathered.size() + pieces[used].iov_len <= gathered_bytes;
           ++used) {
        state.gathered.append(static_cast<const char*>(pieces[used].iov_base), pieces[used].iov_len);
      }
      plain = state.gathered;
    }
    pieces = pieces.subspan(used);
    while (!plain.empty()) {
      const TlsEngine::Step step = state.engine->write(plain);
      if (step.state == Step::want_input) {
        // The handshake is under way: nothing was taken.
        RINGFS_CHECK(taken == 0);
        const int error = state.after_step();
        return error != 0 ? failed(error) : IoResult{IoResult::State::would_block};
      }
      if (step.state == Step::closed) return {IoResult::State::closed};
      if (step.state == Step::failed) return failed(EPROTO);
      plain.remove_prefix(step.bytes);
      taken += step.bytes;
    }
  }
  if (int error = state.after_step(); error != 0) return failed(error);
  return {IoResult::State::done, taken};
}

void TlsStream::wait_readable(Ready ready) {
  state_->socket.async_wait(Socket::wait_read, [ready = std::move(ready)](boost::system::error_code error) {
    if (error != boost::asio::error::operation_aborted) ready();
  });
}

void TlsStream::wait_writable(Ready ready) {
  state_->writable = std::move(ready);
  if (!state_->engine->outgoing().empty()) state_->wait_for_room();
}

void TlsStream::close() {
  if (!state_->socket.is_open()) return;
  state_->engine->close();
  static_cast<void>(state_->flush());  // tries once; a peer that is gone needs no farewell
  boost::system::error_code ignored;   // closing has no failure that anybody could act on
  state_->socket.close(ignored);
  state_->writable = nullptr;
}

const TlsEngine* TlsStream::tls() const { return state_->engine.get(); }

std::optional<Error> TlsStream::failure() const {
  if (state_->engine->failure().context.empty()) return std::nullopt;
  return state_->engine->failure();
}

}  // namespace ringfs::dht
