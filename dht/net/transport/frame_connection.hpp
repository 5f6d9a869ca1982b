// One connection that carries frames: cuts what arrives into frames, queues what leaves.
//
// Frames that are sent in one turn of the loop leave together, in as few system calls as the socket takes (Flusher).
// Threads: one loop. Ownership: shared_ptr, because a wait for the socket may outlive whoever wanted the connection;
// the owner is a plain pointer that detach() or close() forgets. Errors: the owner hears of the end once, with the
// reason: unreachable (closed, reset), corrupt, too_large, version_mismatch. Limits: frames of max_handshake_bytes
// until set_frame_limit(); memory for a frame grows with what arrives of it, whatever its header claims; the queue's
// bound is the owner's to keep (queued_bytes()).
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "dht/base/time.hpp"
#include "dht/net/sockets/stream.hpp"
#include "dht/net/wire/frame.hpp"

namespace ringfs::dht {

class FrameConnection;

// Remembers which connections have something to send and flushes them together: at the end of the loop's turn, or when
// somebody says so earlier. Lives as long as its loop's users.
class Flusher {
  struct State;

 public:
  explicit Flusher(boost::asio::any_io_executor executor);
  ~Flusher();
  Flusher(const Flusher&) = delete;
  Flusher& operator=(const Flusher&) = delete;

  void add(std::shared_ptr<FrameConnection> connection);
  void flush();

  // While one lives nothing is posted to the loop: its end flushes.
  class Hold {
   public:
    explicit Hold(Flusher& flusher);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    std::shared_ptr<State> state_;
  };

 private:
  std::shared_ptr<State> state_;  // shared with the posted flush and with holds, which may come to an end after this
  boost::asio::any_io_executor executor_;
};

class FrameConnection : public std::enable_shared_from_this<FrameConnection> {
 public:
  class Owner {
   public:
    virtual void frame_received(FrameConnection& connection, ReceivedFrame frame) = 0;
    // Once, unless close() or detach() came first. The connection is closed already.
    virtual void connection_closed(FrameConnection& connection, const Error& why) = 0;
    // The queue fell to `drain_notice_bytes` or less after it had been above.
    virtual void queue_drained(FrameConnection&) {}

   protected:
    ~Owner() = default;
  };

  FrameConnection(std::unique_ptr<Stream> stream, Owner& owner, Flusher& flusher);

  void start();  // begins to read
  void set_frame_limit(std::size_t bytes) { frame_limit_ = bytes; }
  void set_drain_notice(std::size_t bytes) { drain_notice_bytes_ = bytes; }

  // Queues one frame. A closed connection swallows it: its owner has heard or will hear. The frame must fit
  // max_frame_bytes.
  void send(FrameKind kind, std::uint64_t request, WireMessage message);
  std::size_t queued_bytes() const { return queued_bytes_; }

  // Back-pressure: no further frame is delivered until resume_reading(), which may deliver at once.
  void pause_reading() { paused_ = true; }
  void resume_reading();
  bool paused() const { return paused_; }

  // When the frame that is being received started to arrive; never: between frames. For time limits on half a frame.
  TimePoint partial_since() const { return partial_since_; }
  // Held for that frame.
  std::size_t partial_bytes() const { return body_.capacity(); }

  const Stream& stream() const { return *stream_; }

  bool closed() const { return closed_; }
  void close();              // does not call the owner
  void close_after_flush();  // tries once to send what is queued (an error frame), then closes
  void detach() { owner_ = nullptr; }

 private:
  friend class Flusher;

  void read();
  bool parse();  // false: no further frame to be had now
  bool take_header();
  bool take_body();
  void grow_body();
  void deliver(std::string body);
  void wait_for_input();
  void flush();
  void flush_queue();
  void consumed(std::size_t bytes);
  void append_small(std::string_view bytes);
  void end(const Error& why);
  Error failure_of(const IoResult& result) const;
  bool mid_frame() const { return has_header_ || begin_ < end_; }

  std::unique_ptr<Stream> stream_;
  Owner* owner_;
  Flusher* flusher_;
  std::size_t frame_limit_ = max_handshake_bytes;
  std::size_t drain_notice_bytes_ = 0;

  // Receiving: small frames through buffer_, the rest of large ones straight into body_.
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool has_header_ = false;
  FrameHeader header_;
  std::string body_;  // as long as there is room for now, header_.body_bytes() in the end
  std::size_t body_filled_ = 0;
  TimePoint partial_since_ = never;
  bool waiting_for_input_ = false;
  bool paused_ = false;
  bool reading_ = false;  // guards against re-entry through resume_reading()

  // Sending: runs of small bytes gathered in `small`, large pieces shared.
  struct Segment {
    std::string small;
    SharedBytes shared;
    std::size_t sent = 0;
    std::string_view rest() const { return (shared.empty() ? std::string_view(small) : shared.view()).substr(sent); }
  };
  std::deque<Segment> queue_;
  std::size_t queued_bytes_ = 0;
  bool above_notice_ = false;
  bool flush_scheduled_ = false;
  bool waiting_for_output_ = false;
  bool closed_ = false;
};

}  // namespace ringfs::dht
