// Asking one node after the other.
#include "mount/commands/trust/trust_command.hpp"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <ctime>
#include <optional>

#include "dht/net/transport/one_question.hpp"
#include "dht/net/transport/ring_trust.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/wire/codec.hpp"
#include "mount/commands/trust/client_credentials.hpp"
#include "mount/commands/trust/local_nodes.hpp"

namespace ringfs::mount {

namespace {

using Json = nlohmann::ordered_json;

Result<std::vector<std::string>> addresses_of(const RingOptions& options) {
  Result<std::vector<std::string>> addresses = ring_addresses(options);
  const bool named = !options.nodes.empty() || !options.state.empty();
  if (addresses || named || addresses.error().code != ErrorCode::not_found) return addresses;
  Result<std::vector<std::string>> local = local_nodes();
  return !local || local->empty() ? std::move(addresses) : std::move(local);
}

// Who cannot answer now is not the last one to be asked.
bool asks_on(const Error& error, bool was_told) {
  return !was_told || error.code == ErrorCode::unavailable || error.code == ErrorCode::overloaded ||
         error.code == ErrorCode::timeout;
}

Task<Result<std::string>> ask_each(boost::asio::any_io_executor executor, std::vector<std::string> addresses,
                                   dht::StreamMaker make_stream, std::string question, TimePoint deadline) {
  Error last{ErrorCode::not_found, "no node is named"};
  for (const std::string& address : addresses) {
    const auto asking = std::make_shared<dht::OneQuestion>(executor, make_stream, dht::LocalSockets::taken);
    const dht::QuestionEnd end(asking);
    asking->start(address, deadline - dht::boot_time(),
                  {.kind = dht::FrameKind::trust,
                   .answer_kind = dht::FrameKind::trust,
                   .answer_limit = dht::max_frame_bytes,
                   .message = dht::encode_trust_text(question)});
    co_await asking->wait();
    Result<dht::ReceivedFrame> answer = asking->result();
    if (answer) co_return dht::decode_trust_text(*answer);
    last = answer.error();
    last.context = address + ": " + (last.context.empty() ? std::string(to_string(last.code)) : last.context);
    if (!asks_on(last, asking->was_told())) break;
  }
  co_return tl::unexpected(last);
}

}  // namespace

Result<Json> ask_trust(const RingOptions& options, const Json& question) {
  Result<std::vector<std::string>> addresses = addresses_of(options);
  if (!addresses) return tl::unexpected(addresses.error());
  const Result<std::shared_ptr<dht::RingTrust>> trust = credentials_for(*addresses);
  if (!trust) return tl::unexpected(trust.error());
  boost::asio::io_context loop(1);
  std::optional<Result<std::string>> answer;
  std::exception_ptr failure;
  const TimePoint deadline = dht::boot_time() + std::chrono::seconds(options.timeout_seconds);
  boost::asio::co_spawn(
      loop,
      ask_each(loop.get_executor(), std::move(*addresses), dht::dialling_streams(*trust), question.dump(), deadline),
      [&](const std::exception_ptr& thrown, Result<std::string> said) {
        failure = thrown;
        answer.emplace(std::move(said));
      });
  loop.run();
  if (failure) std::rethrow_exception(failure);
  if (!*answer) return tl::unexpected(answer->error());
  Json json = Json::parse(**answer, nullptr, false);
  if (json.is_discarded()) return fail(ErrorCode::corrupt, "the node's answer is no JSON");
  return json;
}

std::string time_text(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm broken_down{};
  if (gmtime_r(&time, &broken_down) == nullptr) return "?";
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &broken_down);
  return std::string(text.data(), size);
}

}  // namespace ringfs::mount
