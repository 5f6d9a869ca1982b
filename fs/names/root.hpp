// The root's attributes while the ring does not answer. Every walk into `.ring` asks for them first, and `.ring` says
// why the ring does not answer.
//
// While the ring answers, each question goes to it, so that a chmod of the root shows at once on every mount. If it has
// not answered for root_timeout, the answer is the attributes seen last. root_timeout is longer than a dead or frozen
// node delays any operation. From then on a question waits only for short_timeout, until a background read reaches the
// ring again. This holds for the root's own attributes, not for its names or its listing.
// Threads: one loop. Errors: those of Inodes.
#pragma once

#include "fs/instance.hpp"
#include "fs/names/hints.hpp"
#include "fs/names/inodes.hpp"
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

class Root {
 public:
  Root(Instance& instance, const NameHints& hints, Inodes& inodes, const OpenInodes& open_inodes)
      : instance_(instance), hints_(hints), inodes_(inodes), open_inodes_(open_inodes) {}

  Task<Result<Attributes>> attributes();

 private:
  static Task<void> listen(std::shared_ptr<Root> self);

  Instance& instance_;
  const NameHints& hints_;
  Inodes& inodes_;
  const OpenInodes& open_inodes_;
  bool is_silent_ = false;
};

}  // namespace ringfs::fs
