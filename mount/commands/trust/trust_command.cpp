// Asking one node after the other.
#include "mount/commands/trust/trust_command.hpp"

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <ctime>

#include "dht/net/transport/one_question.hpp"
#include "dht/net/transport/ring_trust.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/wire/codec.hpp"
#include "mount/commands/run_task.hpp"
#include "mount/commands/trust/client_credentials.hpp"
#include "mount/commands/trust/local_nodes.hpp"

namespace ringfs::mount {

namespace {

using Json = nlohmann::ordered_json;

constexpr auto retry_pause = std::chrono::milliseconds(200);
constexpr Duration ask_limit = std::chrono::seconds(5);  // of one node

Result<std::vector<std::string>> addresses_of(const RingOptions& options) {
  Result<std::vector<std::string>> addresses = ring_addresses(options);
  const bool named = !options.nodes.empty() || !options.state.empty();
  if (addresses || named || addresses.error().code != ErrorCode::not_found) return addresses;
  Result<std::vector<std::string>> local = local_nodes();
  return !local || local->empty() ? std::move(addresses) : std::move(local);
}

Result<std::shared_ptr<dht::RingTrust>> trust_for(const RingOptions& options,
                                                  const std::vector<std::string>& addresses) {
  if (!options.tls.given()) return credentials_for(addresses);
  const Result<dht::OperatorTrust> files = client_trust(options.tls);
  if (!files) return tl::unexpected(files.error());
  return files->trust();
}

Task<Result<std::string>> ask_once(boost::asio::any_io_executor executor, std::vector<std::string> addresses,
                                   dht::StreamMaker make_stream, std::string question, TimePoint deadline) {
  Result<dht::TrustText> answer = fail(ErrorCode::internal);
  dht::Inquiry inquiry;
  inquiry.make_stream = std::move(make_stream);
  inquiry.local = dht::LocalSockets::taken;
  inquiry.limit = ask_limit;
  inquiry.text = [&question] {
    return dht::OneQuestion::Text{.kind = dht::FrameKind::trust,
                                  .answer_kind = dht::FrameKind::trust,
                                  .answer_limit = dht::max_frame_bytes,
                                  .message = encode(dht::TrustText{question})};
  };
  inquiry.take = [&answer](const dht::ReceivedFrame& frame) -> Status {
    answer = dht::decode_trust_text(frame);
    return answer ? Status() : tl::unexpected(answer.error());
  };
  const Status asked = co_await dht::ask_each(executor, std::move(addresses), std::move(inquiry), deadline);
  if (!asked) co_return tl::unexpected(asked.error());
  co_return std::move(answer->text);
}

// A ring that has just been founded, or that has no quorum for a moment, is asked again.
Task<Result<std::string>> ask_until_answered(boost::asio::any_io_executor executor, std::vector<std::string> addresses,
                                             dht::StreamMaker make_stream, std::string question, TimePoint deadline) {
  for (;;) {
    Result<std::string> answer = co_await ask_once(executor, addresses, make_stream, question, deadline);
    const bool again = !answer && (answer.error().code == ErrorCode::unavailable || not_reached(answer.error().code));
    if (!again || dht::boot_time() + retry_pause >= deadline) co_return answer;
    boost::asio::steady_timer timer(executor, retry_pause);
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
}

}  // namespace

Result<Json> ask_trust(const RingOptions& options, const Json& question) {
  Result<std::vector<std::string>> addresses = addresses_of(options);
  if (!addresses) return tl::unexpected(addresses.error());
  const Result<std::shared_ptr<dht::RingTrust>> trust = trust_for(options, *addresses);
  if (!trust) return tl::unexpected(trust.error());
  boost::asio::io_context loop(1);
  const TimePoint deadline = dht::boot_time() + std::chrono::seconds(options.timeout_seconds);
  const Result<std::string> answer =
      run_task(loop, ask_until_answered(loop.get_executor(), std::move(*addresses), dht::dialling_streams(*trust),
                                        question.dump(), deadline));
  if (!answer) return tl::unexpected(answer.error());
  Json json = Json::parse(*answer, nullptr, false);
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
