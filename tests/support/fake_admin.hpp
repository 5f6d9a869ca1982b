// A RingAdmin that only records its calls.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dht/base/ring/ring_admin.hpp"
#include "tests/support/virtual_time.hpp"

namespace ringfs {

class FakeAdmin : public RingAdmin {
 public:
  Task<Result<Uuid>> add(std::string address, TimePoint) override { co_return note("add " + address); }
  Task<Result<Uuid>> remove(std::string member, bool force, TimePoint) override {
    co_return note("remove " + member + (force ? " force" : ""));
  }
  Task<Result<std::map<std::string, std::string>>> settings(TimePoint) override { co_return values; }
  Task<Status> set(std::string name, std::string value, TimePoint) override {
    if (time != nullptr) co_await time->sleep(set_takes);
    Result<Uuid> noted = note("set " + name + " " + value);
    if (!noted) co_return tl::unexpected(noted.error());
    values[name] = value;
    co_return Status();
  }

  VirtualTime* time = nullptr;  // with it set() takes that long
  Duration set_takes{0};
  std::vector<std::string> calls;
  std::map<std::string, Error> refused;  // by call
  std::map<std::string, std::string> values = {{"replication", "3"}, {"replace_after", "300"}};

 private:
  Result<Uuid> note(std::string call) {
    const auto error = refused.find(call);
    if (error != refused.end()) return tl::unexpected(error->second);
    calls.push_back(std::move(call));
    return Uuid();
  }
};

}  // namespace ringfs
