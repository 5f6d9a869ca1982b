// Threads with a read connection each. They read rows and log entries, each request in one read transaction.
//
// A transaction that begins after an apply's commit sees it. Threads: read() and load() on any; `done` is called on a
// reader's thread. Errors: those of dht/net/runtime/storage.hpp: not_member, not_found, corrupt, io_error. Limits: the
// core bounds the queue (max_pending_operations). The destructor answers what is queued.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <thread>
#include <variant>

#include "dht/net/runtime/storage.hpp"
#include "nodes/store/repair/health.hpp"
#include "nodes/store/rows/groups.hpp"

namespace ringfs::nodes {

class StoreReaders {
 public:
  using ReadDone = std::function<void(Result<dht::ReadAnswer>)>;
  using LoadDone = std::function<void(Result<std::vector<dht::Entry>>)>;

  StoreReaders(const std::filesystem::path& directory, unsigned threads, PayloadFile& payload_file, StoreHealth& health,
               HotRows& hot_rows);
  ~StoreReaders();

  void read(dht::ReadEffect read, ReadDone done);
  void load(dht::LoadEntries load, LoadDone done);

 private:
  struct Read {
    dht::ReadEffect effect;
    ReadDone done;
  };
  struct Load {
    dht::LoadEntries effect;
    LoadDone done;
  };
  using Item = std::variant<Read, Load>;
  struct Tables;

  void push(Item item);
  void run(unsigned number, Connection& connection);
  void carry_out(Tables& tables, Item& item);
  Result<dht::ReadAnswer> read_rows(Tables& tables, const dht::ReadEffect& effect);
  static Result<std::vector<dht::Entry>> load_entries(Tables& tables, const dht::LoadEntries& effect);

  PayloadFile& payload_file_;
  StoreHealth& health_;
  HotRows& hot_rows_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::thread> threads_;
};

}  // namespace ringfs::nodes
