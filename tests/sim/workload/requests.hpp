// Short words for the conditions and mutations of the simulator's clients. Threads: none.
#pragma once

#include <string>

#include "tests/support/mutations.hpp"

namespace ringfs::sim {

SharedBytes integer(std::int64_t value);
std::int64_t integer_of(const SharedBytes& bytes);

Mutation add(std::string key, std::string sort, std::int64_t number);
Condition version_is(std::string key, std::string sort, std::uint64_t version);

}  // namespace ringfs::sim
