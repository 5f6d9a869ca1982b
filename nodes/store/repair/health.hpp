// Whether the store still works. After the first failure of the disk, or of the store's own invariants, it refuses all
// work: what the disk holds must not be trusted until the process starts again (docs/design.md#failed-writes). Threads:
// any.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>

#include "dht/base/error.hpp"

namespace ringfs::nodes {

class StoreHealth {
 public:
  void fail(Error error) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    failed_.store(true, std::memory_order_release);
  }
  // The error for everything that is refused, if there is one: corrupt or io_error.
  std::optional<Error> failure() const {
    if (!failed_.load(std::memory_order_acquire)) return std::nullopt;
    std::lock_guard lock(mutex_);
    ErrorCode code = error_->code == ErrorCode::corrupt ? ErrorCode::corrupt : ErrorCode::io_error;
    return Error{code, "the store has failed: " + error_->text()};
  }

 private:
  std::atomic<bool> failed_{false};
  mutable std::mutex mutex_;
  std::optional<Error> error_;
};

}  // namespace ringfs::nodes
