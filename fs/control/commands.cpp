// The words of a command, and the calls of RingAdmin that they mean.
#include "fs/control/commands.hpp"

#include <vector>

#include "dht/base/ring/settings.hpp"

namespace ringfs::fs {

namespace {

std::vector<std::string> words_of(std::string_view line) {
  constexpr std::string_view blanks = " \t\r";
  std::vector<std::string> words;
  for (std::size_t at = line.find_first_not_of(blanks); at != std::string_view::npos;
       at = line.find_first_not_of(blanks, at)) {
    const std::size_t end = std::min(line.find_first_of(blanks, at), line.size());
    words.emplace_back(line.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace

Task<Status> add_command(RingAdmin& admin, std::string line, TimePoint deadline) {
  const std::vector<std::string> words = words_of(line);
  if (words.size() != 1) co_return fail(ErrorCode::invalid_argument, "write: host:port");
  const Result<Uuid> node = co_await admin.add(words[0], deadline);
  if (!node) co_return tl::unexpected<Error>(node.error());
  co_return Status();
}

Task<Status> remove_command(RingAdmin& admin, std::string line, TimePoint deadline) {
  const std::vector<std::string> words = words_of(line);
  const bool force = words.size() == 2 && words[1] == "force";
  if (words.size() != 1 && !force) co_return fail(ErrorCode::invalid_argument, "write: <id or host:port> [force]");
  const Result<Uuid> node = co_await admin.remove(words[0], force, deadline);
  if (!node) co_return tl::unexpected<Error>(node.error());
  co_return Status();
}

Task<Status> rebalance_command(RingAdmin& admin, std::string line, TimePoint deadline) {
  const std::vector<std::string> words = words_of(line);
  if (words.size() != 1) co_return fail(ErrorCode::invalid_argument, "write: pause, resume, or bytes a second");
  if (words[0] == "pause" || words[0] == "resume") {
    const std::uint64_t rate = words[0] == "pause" ? 0 : unlimited_rebalance_rate;
    co_return co_await admin.set(std::string(rebalance_rate_setting), std::to_string(rate), deadline);
  }
  co_return co_await admin.set(std::string(rebalance_rate_setting), words[0], deadline);
}

Task<Status> setting_command(RingAdmin& admin, std::string name, std::string line, TimePoint deadline) {
  const std::vector<std::string> words = words_of(line);
  if (words.size() != 1) co_return fail(ErrorCode::invalid_argument, "write: one number");
  co_return co_await admin.set(std::move(name), words[0], deadline);
}

}  // namespace ringfs::fs
