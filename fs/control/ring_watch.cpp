// Waiting for the ring to become still, and following its events.
#include "fs/control/ring_watch.hpp"

#include <algorithm>

#include "fs/control/utc_text.hpp"
#include "fs/interruptible.hpp"

namespace ringfs::fs {
namespace {

struct Count {
  std::size_t& waiters;
  explicit Count(std::size_t& count) : waiters(count) { ++waiters; }
  ~Count() { --waiters; }
};

tl::unexpected<Error> too_many() { return fail(ErrorCode::overloaded, "too many waiters"); }

Task<Result<RingStatus>> ask_status(RingView* ring, TimePoint deadline) { co_return co_await ring->status(deadline); }
Task<Result<std::vector<EventView>>> ask_events(RingView* ring, EventCursor after, TimePoint deadline) {
  co_return co_await ring->events(std::move(after), deadline);
}
Task<void> ask_sleep(ObjectStore* store, Duration duration) { co_await store->sleep(duration); }

// Appends the new ones of `events`, a line each. Another reader of the same stream may have appended some already.
void append(EventStream& stream, const std::vector<EventView>& events) {
  EventCursor newest = stream.seen;
  for (const EventView& event : events) {
    if (event.sequence <= stream.seen[event.node]) continue;
    newest[event.node] = std::max(newest[event.node], event.sequence);
    std::string line = utc_text(event.time, Fraction::milliseconds) + " " + event.node.text() + " " + event.name;
    if (!event.detail.empty()) line += " " + event.detail;
    std::replace_if(
        line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
    stream.text += line + "\n";
  }
  stream.seen = std::move(newest);
}

}  // namespace

Task<Status> RingWatch::pause(Duration duration) {
  co_await shielded(ask_sleep(&store_, duration));
  const bool signalled = co_await was_signalled();
  if (signalled) co_return fail(ErrorCode::interrupted);
  co_return Status();
}

Task<Status> RingWatch::until_still() {
  if (waiters_ >= max_waiters) co_return too_many();
  Count count(waiters_);
  co_await hear_signals();
  for (;;) {
    Result<RingStatus> status = co_await shielded(ask_status(&ring_, deadline()));
    if (!status) co_return tl::unexpected<Error>(status.error());
    if (!status->moving) co_return Status();
    Status paused = co_await pause(wait_poll);
    if (!paused) co_return paused;
  }
}

Task<Result<std::string>> RingWatch::read(std::shared_ptr<EventStream> stream, std::uint64_t offset, std::size_t size) {
  if (offset < stream->start) co_return fail(ErrorCode::invalid_argument, "these events are forgotten");
  const std::uint64_t known = stream->start + stream->text.size();
  if (offset < known) co_return stream->text.substr(static_cast<std::size_t>(offset - stream->start), size);
  if (offset > known) co_return std::string();
  if (stream->text.size() > max_stream_bytes) {
    stream->start = known;
    stream->text.clear();
  }
  if (waiters_ >= max_waiters) co_return too_many();
  Count count(waiters_);
  co_await hear_signals();
  for (;;) {
    Result<std::vector<EventView>> events = co_await shielded(ask_events(&ring_, stream->seen, deadline()));
    if (!events) co_return tl::unexpected<Error>(events.error());
    append(*stream, *events);
    const std::uint64_t end = stream->start + stream->text.size();
    if (offset < stream->start) co_return fail(ErrorCode::invalid_argument, "these events are forgotten");
    if (offset < end) co_return stream->text.substr(static_cast<std::size_t>(offset - stream->start), size);
    if (!stream->follows) co_return std::string();
    Status paused = co_await pause(event_poll);
    if (!paused) co_return tl::unexpected<Error>(paused.error());
  }
}

}  // namespace ringfs::fs
