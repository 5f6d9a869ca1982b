// The names of a directory as they were listed last, to guess which one is looked up next: programs look them up in the
// order of the listing (ls -l, find) or of the names (a shell's *, git).
//
// Threads: one loop. Limits: NameHints bounds the names of one directory.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fs/file_system.hpp"

namespace ringfs::fs {

class ListedNames {
 public:
  using Name = std::pair<std::string, InodeNumber>;

  // A page of a listing that begins behind the position `after`; the names in it follow.
  explicit ListedNames(std::uint64_t after) : begin_(after), end_(after) {}
  void add(std::string name, InodeNumber inode, std::uint64_t position);
  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return end_; }  // the position of the last name
  std::size_t size() const { return names_.size(); }
  void append(ListedNames&& page);

  std::size_t ahead = 8;  // how many are read with one that was expected; doubles each time

  enum class Order : std::uint8_t { none, listed, named };
  // `name` is looked up. Returns the order in which it was the next one.
  Order looked_up(const std::string& name);
  // At most `most` names that follow it in that order.
  std::vector<Name> following(Order order, std::size_t most) const;

 private:
  std::uint64_t begin_, end_;
  std::vector<Name> names_;                       // in the order of the listing
  std::vector<std::uint32_t> by_name_;            // places in names_, sorted by name; made when it is asked for
  std::size_t next_listed_ = 0, next_named_ = 0;  // the places that are expected now
};

}  // namespace ringfs::fs
