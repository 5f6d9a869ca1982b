// The credentials of a node or a client in a directory of its own: key.pem, certificate.pem (its own first, then who
// signed it), authorities.pem (whose signatures it takes), and for a client `nodes`: addresses of the ring, one a line.
// A node that was prepared for an operator's own authority has `ring` alone: the ring's uuid.
//
// The directory has mode 0700, its files 0600. Each file is written under another name, synced and renamed, so that a
// crash leaves the former one or the new one; certificate.pem is the last. The key is saved before it leaves in a
// request: after a crash the same key asks again, and the ring gives it the same place (dht/net/client/admission.hpp).
// A key that others may read is refused, as ssh(1) does.
// Threads: blocking calls of whoever starts. Errors, with the path: io_error, access_denied (others may read the key),
// corrupt (what lies there is no key or certificate, or they do not belong together).
// Limits: max_pem_bytes a file; max_stored_addresses.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dht/net/trust/tls_context.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_stored_addresses = 64;

struct StoredCredentials {
  Credentials own;
  std::vector<Certificate> authorities;
  Identity identity;  // that of its certificate
};

// Nothing: there is no certificate yet.
Result<std::optional<StoredCredentials>> load_credentials(const std::filesystem::path& directory);
// Makes the directory if it is not there.
Status save_credentials(const std::filesystem::path& directory, const StoredCredentials& credentials);

// Nothing: there is no key yet.
Result<std::optional<PrivateKey>> load_key(const std::filesystem::path& directory);
// Another key than the one that is there takes its certificate away first: they would not belong together.
Status save_key(const std::filesystem::path& directory, const PrivateKey& key);

// A file by itself. Nothing: there is no such file.
Result<std::optional<PrivateKey>> read_key(const std::filesystem::path& file);
Result<std::optional<std::vector<Certificate>>> read_certificates(const std::filesystem::path& file);

// The ring that a certificate is to be for, before there is one (`ringfs-node --init`). Nothing: not known.
Result<std::optional<Uuid>> load_ring(const std::filesystem::path& directory);
Status save_ring(const std::filesystem::path& directory, const Uuid& ring);

// Empty: there are none.
Result<std::vector<std::string>> load_addresses(const std::filesystem::path& directory);
// The first max_stored_addresses of them.
Status save_addresses(const std::filesystem::path& directory, const std::vector<std::string>& addresses);

}  // namespace ringfs::dht
