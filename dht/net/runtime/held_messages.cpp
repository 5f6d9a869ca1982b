// Which messages wait for which write.
#include "dht/net/runtime/held_messages.hpp"

#include <iterator>
#include <utility>

#include "dht/base/error.hpp"

namespace ringfs::dht {

void HeldMessages::taken(EffectId write) {
  RINGFS_CHECK(write > taken_);
  taken_ = write;
}

std::vector<Envelope> HeldMessages::after_write(std::vector<Envelope> messages) {
  if (messages.empty() || durable_ == taken_) return messages;
  held_.push_back({.write = taken_, .messages = std::move(messages)});
  return {};
}

std::vector<Envelope> HeldMessages::durable(EffectId write) {
  RINGFS_CHECK(write > durable_ && write <= taken_);
  durable_ = write;
  std::vector<Envelope> released;
  while (!held_.empty() && held_.front().write <= durable_) {
    std::vector<Envelope>& next = held_.front().messages;
    released.insert(released.end(), std::make_move_iterator(next.begin()), std::make_move_iterator(next.end()));
    held_.pop_front();
  }
  return released;
}

}  // namespace ringfs::dht
