// Credentials in a directory: modes, crashes and what does not belong together.
#include "dht/net/trust/credential_files.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/scratch_directory.hpp"

namespace ringfs::dht {
namespace {

constexpr Stamp now{1'790'000'000'000'000};

unsigned mode_of(const std::filesystem::path& path) {
  struct stat found {};
  EXPECT_EQ(::stat(path.c_str(), &found), 0) << path;
  return found.st_mode & 07777U;
}

class CredentialFiles : public testing::Test {
 protected:
  StoredCredentials made(const PrivateKey& holder, const std::string& name = "laptop") const {
    const Identity identity = client_identity(ring, name);
    const Certificate own =
        issue(authority, make_request(holder).value(), {.identity = identity, .names = {}, .now = now}).value();
    return {.own = {.key = holder, .chain = {own, authority.certificate}},
            .authorities = {authority.certificate},
            .identity = identity};
  }
  void write(const char* name, const std::string& text) const {
    std::ofstream file(directory / name, std::ios::binary);
    file << text;
    ASSERT_TRUE(file.good());
  }
  void expect_refused(ErrorCode code, const std::string& path) const {
    const auto loaded = load_credentials(directory);
    ASSERT_FALSE(loaded) << path;
    EXPECT_EQ(loaded.error().code, code) << loaded.error().text();
    EXPECT_NE(loaded.error().context.find(path), std::string::npos) << loaded.error().text();
    EXPECT_EQ(loaded.error().context.find("PRIVATE"), std::string::npos);
  }

  const Uuid ring = [] {
    Uuid uuid;
    uuid.bytes[0] = 1;
    return uuid;
  }();
  const Authority authority = make_authority(ring, now).value();
  const PrivateKey key = PrivateKey::generate().value();
  const ScratchDirectory scratch{"credentials"};
  const std::filesystem::path directory = scratch / "config/ringfs/ring";
};

TEST_F(CredentialFiles, Saved_ReadBackAndOnlyTheirOwnerMayReadThem) {
  ASSERT_TRUE(save_credentials(directory, made(key)));
  EXPECT_EQ(mode_of(directory), 0700U);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    EXPECT_EQ(mode_of(entry.path()), 0600U) << entry.path();
    ++files;
  }
  EXPECT_EQ(files, 3U) << "no half-written one is left";
  const auto loaded = load_credentials(directory);
  ASSERT_TRUE(loaded && *loaded);
  EXPECT_EQ((*loaded)->own.key.public_hash(), key.public_hash());
  ASSERT_EQ((*loaded)->own.chain.size(), 2U);
  EXPECT_EQ((*loaded)->own.chain[0].key_hash(), key.public_hash());
  EXPECT_EQ((*loaded)->own.chain[1].key_hash(), authority.certificate.key_hash());
  ASSERT_EQ((*loaded)->authorities.size(), 1U);
  EXPECT_EQ((*loaded)->identity, client_identity(ring, "laptop"));
}

TEST_F(CredentialFiles, NoDirectory_HasNoCredentials) {
  const auto loaded = load_credentials(directory);
  ASSERT_TRUE(loaded) << loaded.error().text();
  EXPECT_FALSE(loaded->has_value());
  EXPECT_FALSE(load_key(directory).value().has_value());
  EXPECT_FALSE(std::filesystem::exists(directory)) << "looking makes nothing";
}

TEST_F(CredentialFiles, ModesOfBefore_AreSetRight) {
  std::filesystem::create_directories(directory);
  std::filesystem::permissions(directory, std::filesystem::perms(0755));
  write("certificate.pem", "old");
  ASSERT_TRUE(save_credentials(directory, made(key)));
  EXPECT_EQ(mode_of(directory), 0700U);
  EXPECT_EQ(mode_of(directory / "certificate.pem"), 0600U);
}

TEST_F(CredentialFiles, RenewedCertificate_ReplacesTheFormerOne) {
  ASSERT_TRUE(save_credentials(directory, made(key)));
  ASSERT_TRUE(save_credentials(directory, made(key, "phone")));
  EXPECT_EQ(load_credentials(directory).value()->identity.name, "phone");
}

TEST_F(CredentialFiles, KeySavedBeforeTheRequest_IsThereAfterACrash) {
  ASSERT_TRUE(save_key(directory, key));
  EXPECT_EQ(mode_of(directory / "key.pem"), 0600U);
  EXPECT_FALSE(load_credentials(directory).value().has_value()) << "there is no certificate yet";
  EXPECT_EQ(load_key(directory).value()->public_hash(), key.public_hash());
}

TEST_F(CredentialFiles, AnotherKey_TakesTheFormerCertificateAway) {
  ASSERT_TRUE(save_credentials(directory, made(key)));
  ASSERT_TRUE(save_key(directory, key));
  EXPECT_TRUE(load_credentials(directory).value().has_value()) << "the same key: nothing changes";
  ASSERT_TRUE(save_key(directory, PrivateKey::generate().value()));
  EXPECT_FALSE(load_credentials(directory).value().has_value());
}

TEST_F(CredentialFiles, KeyThatOthersMayRead_IsRefused) {
  ASSERT_TRUE(save_credentials(directory, made(key)));
  for (unsigned mode : {0640U, 0604U, 0610U, 0602U}) {
    std::filesystem::permissions(directory / "key.pem", std::filesystem::perms(mode));
    expect_refused(ErrorCode::access_denied, "key.pem");
  }
}

TEST_F(CredentialFiles, DamagedFiles_AreCorruptAndNamed) {
  const StoredCredentials good = made(key);
  for (const char* name : {"key.pem", "certificate.pem", "authorities.pem"}) {
    ASSERT_TRUE(save_credentials(directory, good));
    write(name, "junk");
    expect_refused(ErrorCode::corrupt, name);
    write(name, "");
    expect_refused(ErrorCode::corrupt, name);
    std::filesystem::remove(directory / "key.pem");
    std::filesystem::remove(directory / "certificate.pem");
  }
}

TEST_F(CredentialFiles, FilesThatDoNotBelongTogether_AreCorrupt) {
  ASSERT_TRUE(save_credentials(directory, made(key)));
  write("key.pem", PrivateKey::generate().value().pem());
  expect_refused(ErrorCode::corrupt, "certificate.pem");
  write("key.pem", key.pem());
  write("certificate.pem", authority.certificate.pem());
  expect_refused(ErrorCode::corrupt, "certificate.pem");
  ASSERT_TRUE(save_credentials(directory, made(key)));
  std::filesystem::remove(directory / "authorities.pem");
  expect_refused(ErrorCode::corrupt, directory.string());
  ASSERT_TRUE(save_credentials(directory, made(key)));
  std::filesystem::remove(directory / "key.pem");
  expect_refused(ErrorCode::corrupt, directory.string());
}

TEST_F(CredentialFiles, DirectoryThatCannotBeMade_IsAnIoError) {
  std::ofstream(scratch / "config") << "a file";
  const Status saved = save_credentials(directory, made(key));
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().code, ErrorCode::io_error);
  EXPECT_NE(saved.error().context.find("config"), std::string::npos);
}

TEST_F(CredentialFiles, Addresses_ReadBackAndAreBounded) {
  EXPECT_TRUE(load_addresses(directory).value().empty());
  const std::vector<std::string> two{"10.0.0.1:4001", "[fd00::1]:4001"};
  ASSERT_TRUE(save_addresses(directory, two));
  EXPECT_EQ(load_addresses(directory).value(), two);
  EXPECT_EQ(mode_of(directory / "nodes"), 0600U);
  write("nodes", "\n10.0.0.1:4001\n\nb:1");
  EXPECT_EQ(load_addresses(directory).value(), (std::vector<std::string>{"10.0.0.1:4001", "b:1"}));
  ASSERT_TRUE(save_addresses(directory, std::vector<std::string>(max_stored_addresses + 5, "a:1")));
  EXPECT_EQ(load_addresses(directory)->size(), max_stored_addresses);
}

}  // namespace
}  // namespace ringfs::dht
