// The root's attributes when the ring is silent: whoever walks into `.ring` asks for them first, and `.ring` is what
// says why the ring is silent.
//
// While the ring answers, each question goes to it, so that a chmod of the root counts at once and everywhere. When it
// has said nothing for root_timeout, which is longer than a node that dies or freezes holds anything up, the attributes
// last seen are the answer. From then on a question waits short_timeout only, until a look in the background hears the
// ring again. Only the root's own attributes are answered in this way: its names and its listing are not.
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
