// Three files to credentials, and what is wrong with them in words.
#include "dht/net/trust/operator_files.hpp"

#include <array>
#include <ctime>
#include <filesystem>

namespace ringfs::dht {

namespace {

tl::unexpected<Error> wrong(const std::string& file, const std::string& what) {
  return fail(ErrorCode::invalid_argument, file + ": " + what);
}

std::string date_of(Stamp stamp) {
  const std::time_t seconds = stamp.microseconds / 1'000'000;
  std::tm parts{};
  std::array<char, 32> text{};
  if (gmtime_r(&seconds, &parts) == nullptr) return "?";
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

Result<std::vector<Certificate>> certificates_in(const std::string& file) {
  Result<std::optional<std::vector<Certificate>>> found = read_certificates(file);
  if (!found) return tl::unexpected(found.error());
  if (!*found) return fail(ErrorCode::not_found, file + ": there is no such file");
  return std::move(**found);
}

std::string wanted_uri(const ExpectedHolder& expected) {
  const std::string ring = expected.ring.is_nil() ? "RING" : expected.ring.text();
  if (expected.kind == Identity::Kind::client) return "ringfs://" + ring + "/client/NAME";
  return "ringfs://" + ring + "/node/" + (expected.node.is_nil() ? "UUID" : expected.node.text());
}

Status check_holder(const OperatorFiles& files, const Certificate& leaf, const ExpectedHolder& expected) {
  const std::optional<Identity> identity = leaf.identity();
  const std::string wanted = "; it needs exactly one URI among its alternative names: " + wanted_uri(expected);
  if (!identity) return wrong(files.certificate, "it has no URI of RingFS, or several" + wanted);
  if (identity->kind != expected.kind) return wrong(files.certificate, "it is for " + identity->uri() + wanted);
  if (!expected.ring.is_nil() && identity->ring != expected.ring)
    return wrong(files.certificate, "it is for the ring " + identity->ring.text() + wanted);
  if (!expected.node.is_nil() && identity->node != expected.node)
    return wrong(files.certificate, "it is for the node " + identity->node.text() + wanted);
  return {};
}

}  // namespace

Status OperatorFiles::check(const std::string& prefix) const {
  const bool none = authorities.empty() && certificate.empty() && key.empty();
  const bool all = !authorities.empty() && !certificate.empty() && !key.empty();
  if (none || all) return {};
  return fail(ErrorCode::invalid_argument,
              prefix + "ca, " + prefix + "certificate and " + prefix + "key belong together: give all three or none");
}

void OperatorFiles::make_absolute() {
  if (!given()) return;
  for (std::string* file : {&authorities, &certificate, &key}) *file = std::filesystem::absolute(*file).string();
}

Result<StoredCredentials> load_operator_files(const OperatorFiles& files, const ExpectedHolder& expected, Stamp now) {
  Result<std::optional<PrivateKey>> key = read_key(files.key);
  if (!key) return tl::unexpected(key.error());
  if (!*key) return fail(ErrorCode::not_found, files.key + ": there is no such file");
  Result<std::vector<Certificate>> chain = certificates_in(files.certificate);
  if (!chain) return tl::unexpected(chain.error());
  Result<std::vector<Certificate>> authorities = certificates_in(files.authorities);
  if (!authorities) return tl::unexpected(authorities.error());
  const Certificate& leaf = chain->front();
  if (leaf.key_hash() != (*key)->public_hash())
    return wrong(files.certificate, "its key is not the one in " + files.key);
  if (Status holder = check_holder(files, leaf, expected); !holder) return tl::unexpected(holder.error());
  const std::vector<Certificate> between(chain->begin() + 1, chain->end());
  const auto identity = verify(leaf, between, *authorities, {.ring = expected.ring, .now = now});
  if (!identity) {
    switch (identity.error()) {
      case Refusal::expired: return wrong(files.certificate, "it expired at " + date_of(leaf.not_after()));
      case Refusal::not_yet_valid:
        return wrong(files.certificate, "it is not valid before " + date_of(leaf.not_before()) +
                                            ": the clock of this machine or of the authority is wrong");
      case Refusal::foreign_authority:
        return wrong(files.certificate, "no authority in " + files.authorities +
                                            " has signed it, directly or through the certificates behind it");
      default: return wrong(files.certificate, std::string(to_string(identity.error())));
    }
  }
  return StoredCredentials{.own = {.key = std::move(**key), .chain = std::move(*chain)},
                           .authorities = std::move(*authorities),
                           .identity = *identity};
}

}  // namespace ringfs::dht
