// Loading an operator's files, and loading them again.
#include "dht/net/transport/operator_trust.hpp"

#include <spdlog/spdlog.h>

#include "dht/net/transport/system_clock.hpp"

namespace ringfs::dht {

namespace {

std::string text_of(const std::vector<Certificate>& certificates) {
  std::string text;
  for (const Certificate& one : certificates) text += one.pem();
  return text;
}

}  // namespace

Result<OperatorTrust> OperatorTrust::make(OperatorFiles files, ExpectedHolder expected) {
  Result<StoredCredentials> loaded = load_operator_files(files, expected, wall_time());
  if (!loaded) return tl::unexpected(loaded.error());
  expected.ring = loaded->identity.ring;
  Result<std::shared_ptr<RingTrust>> trust =
      RingTrust::make(loaded->identity.ring, std::move(loaded->own), std::move(loaded->authorities), Issuer::operators);
  if (!trust) return tl::unexpected(trust.error());
  return OperatorTrust(std::move(files), expected, std::move(*trust));
}

void OperatorTrust::look() {
  Result<StoredCredentials> loaded = load_operator_files(files_, expected_, wall_time());
  Status taken;
  if (!loaded) {
    taken = tl::unexpected(loaded.error());
  } else {
    const bool same = text_of(loaded->own.chain) == text_of(trust_->own().chain) &&
                      text_of(loaded->authorities) == text_of(trust_->authorities());
    if (!same) {
      taken = trust_->renew(std::move(loaded->own), std::move(loaded->authorities));
      if (taken) spdlog::info("event=certificate_files_taken_up file={}", files_.certificate);
    }
  }
  const std::string failure = taken ? std::string() : taken.error().context;
  if (!failure.empty() && failure != reported_) spdlog::warn("event=certificate_files_unusable reason=\"{}\"", failure);
  reported_ = failure;
}

}  // namespace ringfs::dht
