// Conditions and mutations of the simulator's clients.
#include "tests/sim/workload/requests.hpp"

#include <utility>

namespace ringfs::sim {

SharedBytes integer(std::int64_t value) {
  Writer writer;
  writer.i64(value);
  return SharedBytes(writer.take());
}

std::int64_t integer_of(const SharedBytes& bytes) { return Reader(bytes.view()).i64(); }

Mutation add(std::string key, std::string sort, std::int64_t number) {
  Mutation mutation;
  mutation.kind = Mutation::Kind::add_i64;
  mutation.row = {std::move(key), std::move(sort)};
  mutation.number = number;
  return mutation;
}

Condition version_is(std::string key, std::string sort, std::uint64_t version) {
  Condition condition;
  condition.kind = Condition::Kind::version_equals;
  condition.row = {std::move(key), std::move(sort)};
  condition.version = version;
  return condition;
}

}  // namespace ringfs::sim
