// Short words for the mutations of tests. Threads: none.
#pragma once

#include <string>

#include "dht/base/row_changes.hpp"

namespace ringfs {

inline Mutation put(std::string key, std::string sort, SharedBytes value) {
  return put(RowAddress{std::move(key), std::move(sort)}, std::move(value));
}

}  // namespace ringfs
