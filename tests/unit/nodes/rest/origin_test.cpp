// Which requests were meant for this server.
#include "nodes/rest/origin.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace ringfs::nodes {
namespace {

const ServerNames server{.encrypted = false, .addresses = {"127.0.0.1:3000"}};
const ServerNames encrypted{.encrypted = true, .addresses = {"10.0.0.1:3000", "storage.example:3000", "[fd00::1]:443"}};

bool taken(std::string_view host, std::string_view origin = {}, std::string_view site = {}) {
  return check_origin({.host = host, .origin = origin, .sec_fetch_site = site}, server).has_value();
}

TEST(CheckOrigin, ProgramsThatNameTheListener_AreServed) {
  for (const char* host : {"127.0.0.1:3000", "localhost:3000", "LOCALHOST:3000", "[::1]:3000", "127.9.9.9:3000"}) {
    EXPECT_TRUE(taken(host)) << host;
  }
}

TEST(CheckOrigin, OtherHosts_AreRefused) {
  for (const char* host : {"", "evil.example", "evil.example:3000", "127.0.0.1", "127.0.0.1:3001", "localhost",
                           "localhost.evil.example:3000", "127.0.0.1.evil.example:3000", "10.0.0.1:3000", "::1:3000",
                           "127.0.0.1:3000@evil.example", "127.0.0.1:3000 ", "0.0.0.0:3000"}) {
    EXPECT_FALSE(taken(host)) << host;
  }
}

TEST(CheckOrigin, OwnPage_IsServed) {
  EXPECT_TRUE(taken("127.0.0.1:3000", "http://127.0.0.1:3000", "same-origin"));
  EXPECT_TRUE(taken("localhost:3000", "http://localhost:3000"));
  EXPECT_TRUE(taken("localhost:3000", "", "none")) << "typed into the browser";
}

TEST(CheckOrigin, OtherPages_AreRefused) {
  for (const char* origin : {"http://evil.example", "null", "https://127.0.0.1:3000", "http://127.0.0.1:3001",
                             "http://localhost:3000", "http://127.0.0.1"}) {
    EXPECT_FALSE(taken("127.0.0.1:3000", origin)) << origin;
  }
  for (const char* site : {"cross-site", "same-site", "other"}) {
    EXPECT_FALSE(taken("127.0.0.1:3000", "", site)) << site;
  }
}

TEST(CheckOrigin, OverTls_TheAdvertisedAndTheReachedAddressAreItsNames) {
  const auto takes = [](std::string_view host, std::string_view origin = {}, std::string_view site = {}) {
    return check_origin({.host = host, .origin = origin, .sec_fetch_site = site}, encrypted).has_value();
  };
  for (const char* host : {"10.0.0.1:3000", "storage.example:3000", "STORAGE.example:3000", "[fd00::1]:443",
                           "[fd00::1]", "[FD00:0::1]:443"}) {
    EXPECT_TRUE(takes(host)) << host;
  }
  for (const char* host : {"", "localhost:3000", "127.0.0.1:3000", "10.0.0.2:3000", "10.0.0.1", "10.0.0.1:443",
                           "other.example:3000", "[fd00::1]:80"}) {
    EXPECT_FALSE(takes(host)) << host;
  }
  EXPECT_TRUE(takes("storage.example:3000", "https://storage.example:3000", "same-origin"));
  EXPECT_FALSE(takes("storage.example:3000", "http://storage.example:3000"));
  EXPECT_FALSE(takes("storage.example:3000", "https://10.0.0.1:3000")) << "its own, but another origin";
  EXPECT_FALSE(takes("storage.example:3000", "https://storage.example:3001")) << "another port of this host";
  EXPECT_FALSE(takes("storage.example:3000", "", "same-site"));
}

TEST(IsFromOwnPage, OnlyARequestThatSaysSo) {
  EXPECT_TRUE(is_from_own_page({.host = "a:1", .origin = "https://a:1", .sec_fetch_site = {}}));
  EXPECT_TRUE(is_from_own_page({.host = "a:1", .origin = {}, .sec_fetch_site = "same-origin"}));
  EXPECT_FALSE(is_from_own_page({.host = "a:1", .origin = {}, .sec_fetch_site = "none"}));
  EXPECT_FALSE(is_from_own_page({.host = "a:1", .origin = {}, .sec_fetch_site = {}}));
}

TEST(CheckOrigin, Refusals_NameTheHeader) {
  Status refused = check_origin({.host = "evil.example", .origin = {}, .sec_fetch_site = {}}, server);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::access_denied);
  EXPECT_EQ(refused.error().context, "the Host header does not name this server: ask for http://127.0.0.1:3000");
}

}  // namespace
}  // namespace ringfs::nodes
