// A gateway on a thread of its own, over a ring in memory; the test is its client, with blocking sockets.
//
// What a test puts into the ring or changes in the options, it does before start().
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "dht/net/sockets/listener.hpp"
#include "nodes/rest/gateway.hpp"
#include "tests/support/fake_admin.hpp"
#include "tests/support/memory_object_store.hpp"
#include "tests/support/silent_ring.hpp"

namespace ringfs::nodes {

class GatewayFixture : public testing::Test {
 protected:
  using tcp = boost::asio::ip::tcp;

  void start(const RestOptions& options = {}) {
    Result<dht::Listener> listener = dht::listen_on(loop, "127.0.0.1:0");
    ASSERT_TRUE(listener);
    port = listener->acceptor.local_endpoint().port();
    gateway = std::make_unique<RestGateway>(
        loop.get_executor(), store, ring, admin, [] { return std::string("metrics\n"); }, options);
    gateway->start(std::move(*listener));
    loop.restart();  // it may have run before
    thread = std::thread([this] {
      auto work = boost::asio::make_work_guard(loop);
      loop.run();
    });
  }
  std::future<void> stop() {
    auto stopped = std::make_shared<std::promise<void>>();
    std::future<void> future = stopped->get_future();
    boost::asio::co_spawn(loop, gateway->stop(), [stopped](const std::exception_ptr&) { stopped->set_value(); });
    return future;
  }
  void TearDown() override {
    if (!thread.joinable()) return;
    stop().wait();
    loop.stop();
    thread.join();
  }
  // Runs on the gateway's thread.
  template <class Function>
  void on_loop(Function function) {
    std::promise<void> done;
    boost::asio::post(loop, [&] {
      function();
      done.set_value();
    });
    done.get_future().wait();
  }
  std::uint64_t refused(dht::RefusalReason reason) {
    std::uint64_t count = 0;
    on_loop([&] { count = gateway->refusals().count(reason); });
    return count;
  }

  tcp::socket connect() {
    tcp::socket socket(clients);
    socket.connect({boost::asio::ip::address_v4::loopback(), port});
    timeval limit{.tv_sec = 20, .tv_usec = 0};
    setsockopt(socket.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return socket;
  }
  // The head of a request that names this server.
  std::string request(const std::string& what, const std::string& headers = {}) const {
    return what + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\n" + headers + "\r\n";
  }
  static bool send(tcp::socket& socket, std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t count = ::send(socket.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  // Reads until the gateway closes; adds "reset" if it closed with a TCP reset.
  static std::string receive(tcp::socket& socket) {
    std::string all;
    char bytes[4096];
    for (;;) {
      ssize_t count = ::recv(socket.native_handle(), bytes, sizeof bytes, 0);
      if (count < 0) return all + "reset";
      if (count == 0) return all;
      all.append(bytes, static_cast<std::size_t>(count));
    }
  }
  static std::string receive_once(tcp::socket& socket) {
    char bytes[4096];
    ssize_t count = ::recv(socket.native_handle(), bytes, sizeof bytes, 0);
    return count > 0 ? std::string(bytes, static_cast<std::size_t>(count)) : std::string();
  }

  boost::asio::io_context loop{1};
  boost::asio::io_context clients;
  VirtualTime time{loop};
  MemoryObjectStore store{time, std::make_shared<MemoryRing>()};
  SilentRing ring;
  FakeAdmin admin;
  std::unique_ptr<RestGateway> gateway;
  std::uint16_t port = 0;
  std::thread thread;
};

}  // namespace ringfs::nodes
