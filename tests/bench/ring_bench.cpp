// Measures the ring without a file system: puts and gets of small and of 1 MiB values by 1 to 500 clients at once.
//
// ring_bench HOST:PORT[,HOST:PORT...]: nodes of a running ring. Every client has an identity of its own, and starts an
// operation when the last one is answered; clients share some connections. A put is acknowledged when a majority has it
// on disk. Prints a line for each case: clients, operations a second, median and 99th percentile in microseconds. The
// values are erased at the end.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/net/client/object_client.hpp"
#include "dht/net/transport/tcp_transport.hpp"

namespace {

using namespace ringfs;

constexpr Duration timeout = std::chrono::seconds(30);
constexpr std::size_t block_bytes = 64 << 10;  // larger values are several rows, like the contents of files

struct Case {
  std::string name;
  std::size_t value_bytes = 0;
  std::size_t operations = 0;  // of all clients
  bool put = false;
};

class RingBench {
 public:
  RingBench(std::vector<std::string> addresses, std::size_t connections, double seconds)
      : addresses_(std::move(addresses)), seconds_(seconds) {
    for (std::size_t i = 0; i < connections; ++i)
      transports_.push_back(std::make_unique<dht::TcpTransport>(loop_.get_executor(), random_));
  }

  bool run(const Case& one, std::size_t clients) {
    left_ = static_cast<std::int64_t>(one.operations);
    times_.clear();
    failure_.clear();
    while (clients_.size() < clients) {
      clients_.push_back(
          std::make_unique<dht::ObjectClient>(*transports_[clients_.size() % transports_.size()], addresses_));
      spawn(start(clients_.back().get()));
    }
    finish();
    readable_.clear();
    for (const auto& [key, bytes] : written_) {
      if (bytes == one.value_bytes) readable_.push_back(key);
    }
    end_ = now() + std::chrono::microseconds(static_cast<std::int64_t>(seconds_ * 1e6));
    const TimePoint begin = now();
    for (std::size_t i = 0; i < clients; ++i) spawn(work(clients_[i].get(), one, i));
    finish();
    const double seconds = std::chrono::duration<double>(now() - begin).count();
    if (!failure_.empty() || times_.empty()) {
      std::fprintf(stderr, "ring_bench: %s\n", failure_.empty() ? "nothing was done" : failure_.c_str());
      return false;
    }
    std::sort(times_.begin(), times_.end());
    auto at = [&](double share) {
      return times_[std::min(times_.size() - 1, static_cast<std::size_t>(share * static_cast<double>(times_.size())))];
    };
    const double rate = static_cast<double>(times_.size()) / seconds;
    std::printf("%-16s %4zu clients %8zu operations %10.1f/s  median %9.1f us  p99 %10.1f us", one.name.c_str(),
                clients, times_.size(), rate, at(0.5), at(0.99));
    if (one.value_bytes >= block_bytes) std::printf("  %8.1f MB/s", rate * static_cast<double>(one.value_bytes) / 1e6);
    std::printf("\n");
    std::fflush(stdout);
    return true;
  }

  void clean_up() {
    for (const auto& [key, bytes] : written_) {
      spawn(erase(clients_[0].get(), key));
      finish();
    }
  }

 private:
  TimePoint now() { return transports_[0]->now(); }

  void spawn(Task<void> task) {
    boost::asio::co_spawn(loop_, std::move(task), [this](const std::exception_ptr& thrown) {
      if (thrown) failure_ = "an exception";
      if (--running_ == 0) loop_.stop();
    });
    ++running_;
  }
  void finish() {
    if (running_ == 0) return;
    loop_.restart();
    loop_.run();
  }

  Task<void> start(dht::ObjectClient* client) {
    Status status = co_await client->start(now() + timeout);
    if (!status) failure_ = status.error().text();
  }

  // Small values: 1,000 keys for each client; large ones: 8.
  std::string key_of(const Case& one, std::size_t client, std::size_t number) const {
    const std::size_t keys = one.value_bytes >= block_bytes ? 8 : 1000;
    return "bench/" + std::to_string(one.value_bytes) + "/" + std::to_string(client) + "/" +
           std::to_string(number % keys);
  }

  Task<void> work(dht::ObjectClient* client, const Case& one, std::size_t number) {
    const std::string block(std::min(one.value_bytes, block_bytes), 'v');
    const SharedBytes value(block);
    for (std::size_t i = 0; left_-- > 0 && now() < end_ && failure_.empty(); ++i) {
      const std::string key = key_of(one, number, i);
      const auto before = std::chrono::steady_clock::now();
      if (one.put) {
        CommitRequest request;
        for (std::size_t done = 0; done < one.value_bytes; done += block.size()) {
          Mutation mutation;
          mutation.kind = Mutation::Kind::put;
          mutation.row = {key, std::to_string(done / block.size())};
          mutation.value = value;
          request.mutations.push_back(std::move(mutation));
        }
        Result<CommitReply> reply = co_await client->commit(std::move(request), now() + timeout);
        if (!reply) failure_ = reply.error().text();
        written_[key] = one.value_bytes;
      } else {
        ReadRequest request;
        ReadRequest::Scan scan;
        scan.key = readable_[random_.below(readable_.size())];
        request.scans.push_back(std::move(scan));
        Result<ReadReply> reply = co_await client->read(std::move(request), now() + timeout);
        if (!reply) failure_ = reply.error().text();
        std::size_t bytes = 0;
        if (reply) {
          for (const Row& row : reply->scans[0].rows) bytes += row.value.size();
        }
        if (reply && bytes != one.value_bytes) failure_ = "a value of " + std::to_string(bytes) + " bytes";
      }
      times_.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - before).count());
    }
  }

  Task<void> erase(dht::ObjectClient* client, std::string key) {
    CommitRequest request;
    Mutation mutation;
    mutation.kind = Mutation::Kind::erase_prefix;
    mutation.row = {std::move(key), {}};
    request.mutations.push_back(std::move(mutation));
    Result<CommitReply> reply = co_await client->commit(std::move(request), now() + timeout);
    if (!reply) failure_ = reply.error().text();
  }

  const std::vector<std::string> addresses_;
  const double seconds_;
  boost::asio::io_context loop_{1};
  SystemRandom random_;
  std::vector<std::unique_ptr<dht::TcpTransport>> transports_;
  std::vector<std::unique_ptr<dht::ObjectClient>> clients_;
  std::size_t running_ = 0;
  std::int64_t left_ = 0;
  TimePoint end_{};
  std::string failure_;
  std::vector<double> times_;
  std::map<std::string, std::size_t> written_;  // key -> bytes
  std::vector<std::string> readable_;           // of the current case
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures puts and gets of a ring's objects");
  std::string nodes;
  std::vector<std::size_t> clients{1, 10, 100, 500};
  std::size_t connections = 4;
  double seconds = 5;
  app.add_option("nodes", nodes, "Addresses of nodes, host:port, separated by commas")->required();
  app.add_option("--clients", clients, "Numbers of clients")->check(CLI::Range(1, 5000));
  app.add_option("--connections", connections, "Connections to each node that they share")->check(CLI::Range(1, 100));
  app.add_option("--seconds", seconds, "Longest time of a case");
  CLI11_PARSE(app, argc, argv);
  std::vector<std::string> addresses;
  std::istringstream words(nodes);
  for (std::string word; std::getline(words, word, ',');) addresses.push_back(word);
  RingBench bench(std::move(addresses), connections, seconds);
  const std::vector<Case> cases{{"put of 100 bytes", 100, 200'000, true},
                                {"get of 100 bytes", 100, 500'000, false},
                                {"put of 1 MiB", 1 << 20, 500, true},
                                {"get of 1 MiB", 1 << 20, 2'000, false}};
  bool good = true;
  for (const Case& one : cases) {
    for (std::size_t count : clients) {
      if (one.value_bytes >= block_bytes && count > 100) continue;  // hundreds of MiB at once would measure the memory
      good = good && bench.run(one, count);
    }
  }
  bench.clean_up();
  return good ? 0 : 1;
}
