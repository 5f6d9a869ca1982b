// Receiving and sending frames over a stream.
#include "dht/net/transport/frame_connection.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <cstring>

#include "dht/net/transport/system_clock.hpp"
#include "dht/net/wire/codec.hpp"

namespace ringfs::dht {

namespace {

constexpr std::size_t receive_buffer_bytes = 16 << 10;
constexpr std::size_t small_piece_bytes = 2 << 10;  // below, a copy is cheaper than one more piece in the system call
constexpr std::size_t small_segment_bytes = 64 << 10;
constexpr std::size_t pieces_per_call = 64;
// The first room for a frame's body; from there on it doubles. Most frames fit.
constexpr std::size_t first_body_bytes = 128 << 10;
// Bytes that one connection reads in one go, so that a fast sender does not starve the others.
constexpr std::size_t read_turn_bytes = 4 << 20;

}  // namespace

// ---- Flusher ---------------------------------------------------------------------------------------

struct Flusher::State {
  std::vector<std::shared_ptr<FrameConnection>> dirty;
  bool posted = false;
  bool flushing = false;
  unsigned holds = 0;

  void flush() {
    // Flushing may close connections, whose owners may send on others or flush: those join the list being worked on.
    if (flushing) return;
    flushing = true;
    for (std::size_t i = 0; i < dirty.size(); ++i) {
      std::shared_ptr<FrameConnection> connection = std::move(dirty[i]);
      connection->flush();
    }
    dirty.clear();
    flushing = false;
  }
};

Flusher::Flusher(boost::asio::any_io_executor executor)
    : state_(std::make_shared<State>()), executor_(std::move(executor)) {}

Flusher::~Flusher() { state_->dirty.clear(); }

void Flusher::add(std::shared_ptr<FrameConnection> connection) {
  state_->dirty.push_back(std::move(connection));
  if (state_->posted || state_->holds > 0) return;
  state_->posted = true;
  boost::asio::post(executor_, [state = state_] {
    state->posted = false;
    state->flush();
  });
}

void Flusher::flush() { state_->flush(); }

Flusher::Hold::Hold(Flusher& flusher) : state_(flusher.state_) { ++state_->holds; }

// Only bad_alloc can be thrown here, and the process ends on it anyway. NOLINTNEXTLINE(bugprone-exception-escape)
Flusher::Hold::~Hold() {
  --state_->holds;
  state_->flush();
}

// ---- Receiving -------------------------------------------------------------------------------------

FrameConnection::FrameConnection(std::unique_ptr<Stream> stream, Owner& owner, Flusher& flusher)
    : stream_(std::move(stream)), owner_(&owner), flusher_(&flusher) {}

void FrameConnection::start() {
  buffer_.resize(receive_buffer_bytes);
  wait_for_input();
}

void FrameConnection::wait_for_input() {
  if (waiting_for_input_ || closed_) return;
  waiting_for_input_ = true;
  stream_->wait_readable([self = shared_from_this()] {
    self->waiting_for_input_ = false;
    self->read();
  });
}

void FrameConnection::resume_reading() {
  if (!paused_) return;
  paused_ = false;
  // The pause was this side's: it does not count against the peer's time for the frame.
  if (partial_since_ != never) partial_since_ = boot_time();
  // If read() is running, its loop goes on by itself.
  if (!reading_) read();
}

void FrameConnection::read() {
  if (closed_ || reading_) return;
  std::shared_ptr<FrameConnection> self = shared_from_this();
  reading_ = true;
  std::size_t total = 0;
  bool drained = false;
  while (!closed_) {
    while (!paused_ && !closed_ && parse()) {
    }
    if (paused_ || closed_) break;
    if (drained || total >= read_turn_bytes) {
      wait_for_input();
      break;
    }
    if (has_header_ && body_filled_ == body_.size()) grow_body();
    char* into = has_header_ ? body_.data() + body_filled_ : buffer_.data() + end_;
    std::size_t room = has_header_ ? body_.size() - body_filled_ : buffer_.size() - end_;
    IoResult result = stream_->read_some(into, room);
    if (result.state == IoResult::State::would_block) {
      wait_for_input();
      break;
    }
    if (result.state == IoResult::State::closed) {
      end({ErrorCode::unreachable,
           mid_frame() ? "the peer closed the connection within a frame" : "the peer closed the connection"});
      break;
    }
    if (result.state == IoResult::State::failed) {
      end(failure_of(result));
      break;
    }
    if (!mid_frame()) partial_since_ = boot_time();
    total += result.bytes;
    drained = result.drained;
    (has_header_ ? body_filled_ : end_) += result.bytes;
  }
  reading_ = false;
}

bool FrameConnection::parse() {
  if (!has_header_ && !take_header()) return false;
  return take_body();
}

bool FrameConnection::take_header() {
  std::string_view available(buffer_.data() + begin_, end_ - begin_);
  if (available.size() < frame_header_bytes) {
    if (!may_be_frame(available)) {
      end({ErrorCode::corrupt, "not a RingFS frame"});
      return false;
    }
    // Make room for the rest of a header that ends beyond the buffer.
    std::memmove(buffer_.data(), available.data(), available.size());
    begin_ = 0;
    end_ = available.size();
    return false;
  }
  Result<FrameHeader> header = decode_frame_header(available, frame_limit_);
  if (!header) {
    // All versions share the start of the header, so the peer understands an error frame.
    if (header.error().code == ErrorCode::version_mismatch) {
      send(FrameKind::error, 0, encode(header.error()));
      flush_queue();
    }
    end(header.error());
    return false;
  }
  header_ = *header;
  has_header_ = true;
  begin_ += frame_header_bytes;
  // Decoded values share the body's buffer, so each body gets a buffer of its own, even when all of it has arrived.
  body_filled_ = 0;
  grow_body();
  body_filled_ = std::min(body_.size(), end_ - begin_);
  std::memcpy(body_.data(), buffer_.data() + begin_, body_filled_);
  begin_ += body_filled_;
  return true;
}

void FrameConnection::grow_body() {
  body_.resize(std::min(header_.body_bytes(), body_filled_ + std::max(first_body_bytes, body_filled_)));
}

bool FrameConnection::take_body() {
  if (body_filled_ < header_.body_bytes()) return false;
  has_header_ = false;
  body_filled_ = 0;
  if (begin_ == end_) begin_ = end_ = 0;
  partial_since_ = begin_ < end_ ? boot_time() : never;
  deliver(std::exchange(body_, {}));
  return true;
}

void FrameConnection::deliver(std::string body) {
  if (owner_ == nullptr) return;
  ReceivedFrame frame{.header = header_, .body = SharedBytes(std::move(body))};
  owner_->frame_received(*this, std::move(frame));
}

// ---- Sending ---------------------------------------------------------------------------------------

void FrameConnection::append_small(std::string_view bytes) {
  if (queue_.empty() || !queue_.back().shared.empty() || queue_.back().small.size() > small_segment_bytes) {
    queue_.emplace_back();
  }
  queue_.back().small.append(bytes);
}

void FrameConnection::send(FrameKind kind, std::uint64_t request, WireMessage message) {
  if (closed_) return;
  std::size_t payload = message.payload_bytes();
  RINGFS_CHECK(message.message.size() + payload <= max_frame_bytes);
  FrameHeader header{.kind = kind,
                     .message_bytes = static_cast<std::uint32_t>(message.message.size()),
                     .payload_bytes = static_cast<std::uint32_t>(payload),
                     .request = request};
  std::array<char, frame_header_bytes> encoded = encode_frame_header(header);
  append_small({encoded.data(), encoded.size()});
  append_small(message.message);
  for (SharedBytes& piece : message.payload) {
    if (piece.size() <= small_piece_bytes) {
      append_small(piece.view());
    } else {
      queue_.emplace_back();
      queue_.back().shared = std::move(piece);
    }
  }
  queued_bytes_ += frame_header_bytes + header.body_bytes();
  above_notice_ = above_notice_ || queued_bytes_ > drain_notice_bytes_;
  if (flush_scheduled_ || waiting_for_output_) return;
  flush_scheduled_ = true;
  flusher_->add(shared_from_this());
}

void FrameConnection::flush() {
  flush_scheduled_ = false;
  if (!waiting_for_output_) flush_queue();
}

void FrameConnection::flush_queue() {
  std::array<iovec, pieces_per_call> pieces;
  while (!closed_ && !queue_.empty()) {
    std::size_t count = 0;
    for (const Segment& segment : queue_) {
      if (count == pieces.size()) break;
      std::string_view rest = segment.rest();
      pieces[count++] = {.iov_base = const_cast<char*>(rest.data()), .iov_len = rest.size()};
    }
    IoResult result = stream_->write_some(std::span(pieces.data(), count));
    if (result.state == IoResult::State::would_block) {
      waiting_for_output_ = true;
      stream_->wait_writable([self = shared_from_this()] {
        self->waiting_for_output_ = false;
        self->flush_queue();
      });
      break;
    }
    if (result.state != IoResult::State::done) {
      const bool failed = result.state == IoResult::State::failed;
      end(failed ? failure_of(result) : Error{ErrorCode::unreachable, "the peer closed the connection"});
      return;
    }
    consumed(result.bytes);
  }
  if (!closed_ && above_notice_ && queued_bytes_ <= drain_notice_bytes_) {
    above_notice_ = false;
    if (owner_ != nullptr) owner_->queue_drained(*this);
  }
}

void FrameConnection::consumed(std::size_t bytes) {
  queued_bytes_ -= bytes;
  while (bytes > 0) {
    Segment& front = queue_.front();
    std::size_t rest = front.rest().size();
    if (bytes < rest) {
      front.sent += bytes;
      return;
    }
    bytes -= rest;
    queue_.pop_front();
  }
}

// ---- The end ---------------------------------------------------------------------------------------

void FrameConnection::close() {
  if (closed_) return;
  closed_ = true;
  owner_ = nullptr;
  stream_->close();
  queue_.clear();
  queued_bytes_ = 0;
}

void FrameConnection::close_after_flush() {
  if (closed_) return;
  owner_ = nullptr;
  if (!waiting_for_output_) flush_queue();
  close();
}

Error FrameConnection::failure_of(const IoResult& result) const {
  return stream_->failure().value_or(Error{ErrorCode::unreachable, std::strerror(result.error)});
}

void FrameConnection::end(const Error& why) {
  if (closed_) return;
  std::shared_ptr<FrameConnection> self = shared_from_this();
  Owner* owner = owner_;
  close();
  if (owner != nullptr) owner->connection_closed(*this, why);
}

}  // namespace ringfs::dht
