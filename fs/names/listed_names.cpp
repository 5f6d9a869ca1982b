// Recognising in which order listed names are looked up.
#include "fs/names/listed_names.hpp"

#include <algorithm>
#include <numeric>

namespace ringfs::fs {

void ListedNames::add(std::string name, InodeNumber inode, std::uint64_t position) {
  names_.emplace_back(std::move(name), inode);
  end_ = position;
}

void ListedNames::append(ListedNames&& page) {
  std::move(page.names_.begin(), page.names_.end(), std::back_inserter(names_));
  end_ = page.end_;
}

ListedNames::Order ListedNames::looked_up(const std::string& name) {
  if (by_name_.size() != names_.size()) {
    by_name_.resize(names_.size());
    std::iota(by_name_.begin(), by_name_.end(), 0U);
    std::sort(by_name_.begin(), by_name_.end(),
              [this](std::uint32_t left, std::uint32_t right) { return names_[left].first < names_[right].first; });
  }
  const auto found =
      std::lower_bound(by_name_.begin(), by_name_.end(), name,
                       [this](std::uint32_t place, const std::string& wanted) { return names_[place].first < wanted; });
  if (found == by_name_.end() || names_[*found].first != name) return Order::none;
  const std::size_t listed = *found;
  const auto named = static_cast<std::size_t>(found - by_name_.begin());
  Order order = Order::none;
  if (named == next_named_) order = Order::named;
  if (listed == next_listed_) order = Order::listed;
  next_listed_ = listed + 1;
  next_named_ = named + 1;
  return order;
}

std::vector<ListedNames::Name> ListedNames::following(Order order, std::size_t most) const {
  std::vector<Name> next;
  const std::size_t begin = order == Order::named ? next_named_ : next_listed_;
  const std::size_t end = order == Order::none ? begin : std::min(names_.size(), begin + most);
  for (std::size_t i = begin; i < end; ++i) next.push_back(names_[order == Order::named ? by_name_[i] : i]);
  return next;
}

}  // namespace ringfs::fs
