// Short words for the mutations of tests. Threads: none.
#pragma once

#include <string>

#include "dht/base/rows.hpp"

namespace ringfs {

inline Mutation put(std::string key, std::string sort, SharedBytes value) {
  Mutation mutation;
  mutation.kind = Mutation::Kind::put;
  mutation.row = {std::move(key), std::move(sort)};
  mutation.value = std::move(value);
  return mutation;
}

}  // namespace ringfs
