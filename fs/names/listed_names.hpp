// The names of a directory as they were listed last, for whoever looks them up one after the other: in the order of the
// listing (ls -l, find) or of the names (a shell's *, git). Only a guess.
//
// Threads: one loop. Limits: whoever fills it (listing.cpp).
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

  std::size_t ahead = 8;  // how many are read with one that was expected: doubles from time to time

  enum class Order : std::uint8_t { none, listed, named };
  // `name` is looked up: in which order it was the next one.
  Order looked_up(const std::string& name);
  // What follows it in that order, at most `most`.
  std::vector<Name> following(Order order, std::size_t most) const;

 private:
  std::uint64_t begin_, end_;
  std::vector<Name> names_;                       // in the order of the listing
  std::vector<std::uint32_t> by_name_;            // places in names_, sorted by name; made when it is asked for
  std::size_t next_listed_ = 0, next_named_ = 0;  // the places that are expected now
};

}  // namespace ringfs::fs
