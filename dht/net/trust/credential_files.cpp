// Credentials to files and back.
#include "dht/net/trust/credential_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "dht/base/descriptor.hpp"
#include "dht/base/read_file.hpp"

namespace ringfs::dht {

namespace {

using Path = std::filesystem::path;

constexpr const char* key_file = "key.pem";
constexpr const char* certificate_file = "certificate.pem";
constexpr const char* authorities_file = "authorities.pem";
constexpr const char* addresses_file = "nodes";
constexpr const char* ring_file = "ring";
constexpr mode_t directory_mode = 0700;
constexpr mode_t others = 0077;

tl::unexpected<Error> failed(const std::string& what, const Path& path, int error) {
  return fail(ErrorCode::io_error, "cannot " + what + " " + path.string() + ": " + std::strerror(error));
}

tl::unexpected<Error> damaged(const Path& path, const Error& why) {
  return fail(ErrorCode::corrupt, path.string() + ": " + why.context);
}

// Nothing: no such file.
Result<std::optional<std::string>> read_if_there(const Path& path) {
  Result<std::string> text = read_file(path);
  if (text) return std::optional(std::move(*text));
  if (text.error().code == ErrorCode::not_found) return std::optional<std::string>();
  return tl::unexpected(text.error());
}

Status make_directory(const Path& directory) {
  std::error_code error;
  if (directory.has_parent_path()) std::filesystem::create_directories(directory.parent_path(), error);
  if (error) return failed("make", directory.parent_path(), error.value());
  if (::mkdir(directory.c_str(), directory_mode) != 0 && errno != EEXIST) return failed("make", directory, errno);
  if (::chmod(directory.c_str(), directory_mode) != 0) return failed("set the mode of", directory, errno);
  return {};
}

Status sync_directory(const Path& directory) {
  const Descriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.value < 0 || ::fsync(opened.value) != 0) return failed("sync", directory, errno);
  return {};
}

// 0, or errno.
int write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(file, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return ::fsync(file) == 0 ? 0 : errno;
}

// The directory is there.
Status replace_file(const Path& directory, const char* name, std::string_view text) {
  const Path path = directory / name;
  std::string fresh = path.string() + ".XXXXXX";
  int error = 0;
  {
    const Descriptor file(::mkostemp(fresh.data(), O_CLOEXEC));  // of mode 0600
    if (file.value < 0) return failed("make", fresh, errno);
    error = write_all(file.value, text);
  }
  if (error == 0 && ::rename(fresh.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(fresh.c_str());
    return failed("write", path, error);
  }
  return sync_directory(directory);
}

std::string pem_of(const std::vector<Certificate>& certificates) {
  std::string text;
  for (const Certificate& one : certificates) text += one.pem();
  return text;
}

Status remove_certificate(const Path& directory) {
  const Path path = directory / certificate_file;
  if (::unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return failed("remove", path, errno);
  }
  return sync_directory(directory);
}

}  // namespace

Result<std::optional<std::vector<Certificate>>> read_certificates(const Path& path) {
  Result<std::optional<std::string>> text = read_if_there(path);
  if (!text) return tl::unexpected(text.error());
  if (!*text) return std::optional<std::vector<Certificate>>();
  Result<std::vector<Certificate>> chain = Certificate::chain_from_pem(**text);
  if (!chain) return damaged(path, chain.error());
  return std::optional(std::move(*chain));
}

Result<std::optional<PrivateKey>> read_key(const Path& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return std::optional<PrivateKey>();
    return failed("read", path, errno);
  }
  if ((found.st_mode & others) != 0)
    return fail(ErrorCode::access_denied, path.string() + ": other users may read this key (chmod 600)");
  Result<std::string> text = read_file(path);
  if (!text) return tl::unexpected(text.error());
  Result<PrivateKey> key = PrivateKey::from_pem(*text);
  if (!key) return damaged(path, key.error());
  return std::optional(std::move(*key));
}

Result<std::optional<PrivateKey>> load_key(const Path& directory) { return read_key(directory / key_file); }

Status save_key(const Path& directory, const PrivateKey& key) {
  if (Status made = make_directory(directory); !made) return made;
  // One that cannot be read goes, too.
  const Result<std::optional<PrivateKey>> before = load_key(directory);
  const bool same = before && *before && (*before)->public_hash() == key.public_hash();
  if (same) return {};
  if (Status removed = remove_certificate(directory); !removed) return removed;
  return replace_file(directory, key_file, key.pem());
}

Result<std::optional<StoredCredentials>> load_credentials(const Path& directory) {
  const Path path = directory / certificate_file;
  Result<std::optional<std::vector<Certificate>>> chain = read_certificates(path);
  if (!chain) return tl::unexpected(chain.error());
  if (!*chain) return std::optional<StoredCredentials>();
  Result<std::optional<PrivateKey>> key = load_key(directory);
  if (!key) return tl::unexpected(key.error());
  Result<std::optional<std::vector<Certificate>>> authorities = read_certificates(directory / authorities_file);
  if (!authorities) return tl::unexpected(authorities.error());
  if (!*key || !*authorities)
    return fail(ErrorCode::corrupt, directory.string() + ": a certificate without its key or its authorities");
  const std::optional<Identity> identity = (*chain)->front().identity();
  if (!identity) return fail(ErrorCode::corrupt, path.string() + ": it names no node or client of a ring");
  if ((*chain)->front().key_hash() != (*key)->public_hash())
    return fail(ErrorCode::corrupt, path.string() + ": it is not of the key beside it");
  return std::optional(StoredCredentials{.own = {.key = std::move(**key), .chain = std::move(**chain)},
                                         .authorities = std::move(**authorities),
                                         .identity = *identity});
}

Status save_credentials(const Path& directory, const StoredCredentials& credentials) {
  if (Status key = save_key(directory, credentials.own.key); !key) return key;
  Status written = replace_file(directory, authorities_file, pem_of(credentials.authorities));
  if (!written) return written;
  return replace_file(directory, certificate_file, pem_of(credentials.own.chain));
}

Result<std::optional<Uuid>> load_ring(const Path& directory) {
  Result<std::optional<std::string>> text = read_if_there(directory / ring_file);
  if (!text) return tl::unexpected(text.error());
  if (!*text) return std::optional<Uuid>();
  const Result<Uuid> ring = parse_uuid((*text)->substr(0, (*text)->find('\n')));
  if (!ring) return damaged(directory / ring_file, ring.error());
  return std::optional(*ring);
}

Status save_ring(const Path& directory, const Uuid& ring) {
  if (Status made = make_directory(directory); !made) return made;
  return replace_file(directory, ring_file, ring.text() + "\n");
}

Result<std::vector<std::string>> load_addresses(const Path& directory) {
  Result<std::optional<std::string>> text = read_if_there(directory / addresses_file);
  if (!text) return tl::unexpected(text.error());
  std::vector<std::string> addresses;
  if (!*text) return addresses;
  std::string_view rest = **text;
  while (!rest.empty() && addresses.size() < max_stored_addresses) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    if (!line.empty()) addresses.emplace_back(line);
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  }
  return addresses;
}

Status save_addresses(const Path& directory, const std::vector<std::string>& addresses) {
  if (Status made = make_directory(directory); !made) return made;
  std::string text;
  for (std::size_t i = 0; i < std::min(addresses.size(), max_stored_addresses); ++i) text += addresses[i] + "\n";
  return replace_file(directory, addresses_file, text);
}

}  // namespace ringfs::dht
