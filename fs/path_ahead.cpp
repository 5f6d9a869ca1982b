// Reading ahead along a path.
//
// The kernel asks for every name of a path at every system call, one after the other, and what is remembered of a name lasts 100 ms: a walk
// that is longer than what fits into that time would wait for the ring at every name, in every walk. So the first name that is not at hand
// makes the names below it, as they were walked last, be read beside it, all at once. Only a guess: whoever walks on asks for each as before,
// and finds most at hand.
#include "fs/volume.hpp"

namespace ringfs {

namespace {

constexpr std::size_t names_ahead = 64;    // of one path: the ring answers them in about the time that the walk takes to get there
constexpr std::size_t max_paths_ahead = 8;  // under way at a time; beyond them nothing is read ahead
constexpr Duration ahead_limit = std::chrono::seconds(1);  // whoever needs the rows asks by himself long before

}  // namespace

Task<void> Volume::read_level(std::shared_ptr<Volume> self, ReadRequest request) {
  // Whoever asks for these rows himself hears of what is wrong.
  static_cast<void>(co_await self->store_.read(std::move(request), self->store_.clock().now + ahead_limit));
}

Task<void> Volume::read_path_ahead(std::shared_ptr<Volume> self, InodeNumber directory) {
  TaskGroup levels;
  for (std::size_t i = 0; i < names_ahead && !self->stopping_; ++i) {
    // What a walk asks for in this directory: its attributes, and the next name; they lie in one partition.
    ReadRequest request;
    request.gets.push_back(inode_row(directory));
    const std::optional<std::string> name = self->walked_.get(directory);
    if (name) {
      for (RowAddress& row : self->entry_places(directory, *name)) request.gets.push_back(std::move(row));
    }
    if (self->store_.at_hand(request) == std::optional(false)) levels.spawn(self->executor_, read_level(self, std::move(request)));
    const std::optional<InodeNumber> next = name ? self->names_.get({directory, *name}) : std::nullopt;
    if (!next) break;
    directory = *next;
  }
  co_await levels.join();
  --self->paths_ahead_;
}

// `name` leads down from `parent`; its rows were asked for just now and are not at hand.
void Volume::start_path_ahead(InodeNumber parent, const std::string& name) {
  if (stopping_ || paths_ahead_ >= max_paths_ahead) return;
  const std::optional<std::string> last = walked_.get(parent);
  const std::optional<InodeNumber> child = names_.get({parent, name});
  if (!last || *last != name || !child || !walked_.get(*child)) return;  // not a way that goes on
  ++paths_ahead_;
  tasks_.spawn(executor_, read_path_ahead(shared_from_this(), *child));
}

}  // namespace ringfs
