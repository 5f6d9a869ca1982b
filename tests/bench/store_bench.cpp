// What the store costs: append + apply of 4 KiB and 1 MiB batches, one after the other and many queued.
//
// store_bench [directory] [page size]: the directory must lie on the disk in question and is left behind empty of our
// files. Prints a line per case: microseconds of an append, of an apply, and bytes that this process caused to be
// written (/proc/self/io) for a byte of data. The fsync probe beside them says what the disk itself takes.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>

#include "nodes/sqlite_store.hpp"

namespace {

using namespace ringfs;
using Clock = std::chrono::steady_clock;

constexpr PartitionId partition{0};
constexpr Stamp bench_stamp{1'700'000'000'000'000};

double microseconds(Clock::duration duration) { return std::chrono::duration<double, std::micro>(duration).count(); }

std::uint64_t bytes_written() {
  std::ifstream io("/proc/self/io");
  for (std::string word; io >> word;) {
    std::uint64_t value = 0;
    if (word == "write_bytes:" && io >> value) return value;
  }
  return 0;
}

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "store_bench: %s failed\n", what);
  std::exit(1);
}

Write batch_write(LogIndex index, std::size_t bytes) {
  constexpr std::size_t block_bytes = 64 << 10;
  Batch batch;
  batch.client.bytes[0] = 1;
  batch.sequence = index;
  batch.first_incomplete = index;
  batch.expires = bench_stamp + std::chrono::seconds(30);
  for (std::size_t offset = 0; offset < bytes; offset += block_bytes) {
    Mutation mutation;
    mutation.kind = Mutation::Kind::put;
    mutation.row = {"chunk/" + std::to_string(index), std::to_string(offset)};
    mutation.value =
        SharedBytes(std::string(std::min(block_bytes, bytes - offset), static_cast<char>('a' + index % 26)));
    batch.mutations.push_back(std::move(mutation));
  }
  EncodedBatch encoded = encode(batch);
  GroupWrite group;
  group.partition = partition;
  group.append.push_back(Entry{index, 1, bench_stamp, EntryKind::batch, encoded.head, encoded.blobs});
  constexpr LogIndex kept = 32;
  if (index > 2 * kept && index % kept == 0) group.cut_through = index - 2 * kept;
  Write write;
  write.id = index;
  write.groups.push_back(std::move(group));
  return write;
}

void probe(const std::filesystem::path& directory) {
  std::filesystem::path file = directory / "probe";
  int descriptor = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  require(descriptor >= 0, "probe");
  std::string block(4096, 'x');
  constexpr int rounds = 200;
  Clock::time_point start = Clock::now();
  for (int i = 0; i < rounds; ++i) {
    require(pwrite(descriptor, block.data(), block.size(), 0) == 4096 && fdatasync(descriptor) == 0, "probe");
  }
  std::printf("fdatasync of 4 KiB overwritten: %.0f us\n", microseconds(Clock::now() - start) / rounds);
  close(descriptor);
  std::filesystem::remove(file);
}

void one_at_a_time(SqliteStore& store, LogIndex& next, std::size_t bytes, int rounds) {
  double appends = 0;
  double applies = 0;
  double slowest = 0;
  std::uint64_t written_before = bytes_written();
  for (int i = 0; i < rounds; ++i, ++next) {
    Write write = batch_write(next, bytes);
    std::promise<void> written;
    std::promise<void> applied;
    Clock::time_point start = Clock::now();
    store.write(std::move(write), [&](Status status) {
      require(status.has_value(), "append");
      written.set_value();
    });
    written.get_future().get();
    Clock::time_point middle = Clock::now();
    store.apply({partition, next}, [&](auto result) {
      require(result && result->at(0).result.outcome == BatchResult::Outcome::applied, "apply");
      applied.set_value();
    });
    applied.get_future().get();
    Clock::time_point end = Clock::now();
    appends += microseconds(middle - start);
    applies += microseconds(end - middle);
    slowest = std::max(slowest, microseconds(end - start));
  }
  auto caused = static_cast<double>(bytes_written() - written_before);
  std::printf(
      "%7zu bytes, one at a time: append %.0f us, apply %.0f us, slowest pair %.0f us, %.2f bytes written per byte\n",
      bytes, appends / rounds, applies / rounds, slowest, caused / (static_cast<double>(bytes) * rounds));
}

void queued(SqliteStore& store, LogIndex& next, std::size_t bytes, int rounds) {
  constexpr int window = 32;
  std::vector<Write> writes;
  for (int i = 0; i < rounds; ++i) writes.push_back(batch_write(next + static_cast<LogIndex>(i), bytes));
  std::mutex mutex;
  std::condition_variable room;
  int outstanding = 0;
  std::uint64_t written_before = bytes_written();
  Clock::time_point start = Clock::now();
  for (int i = 0; i < rounds; ++i, ++next) {
    {
      std::unique_lock lock(mutex);
      room.wait(lock, [&] { return outstanding < window; });
      ++outstanding;
    }
    store.write(std::move(writes[static_cast<std::size_t>(i)]),
                [](Status status) { require(status.has_value(), "append"); });
    store.apply({partition, next}, [&](auto result) {
      require(result.has_value(), "apply");
      std::lock_guard lock(mutex);
      --outstanding;
      room.notify_one();
    });
  }
  {
    std::unique_lock lock(mutex);
    room.wait(lock, [&] { return outstanding == 0; });
  }
  double total = microseconds(Clock::now() - start);
  auto caused = static_cast<double>(bytes_written() - written_before);
  std::printf("%7zu bytes, %d queued: %.0f us a pair, %.0f MB/s, %.2f bytes written per byte\n", bytes, window,
              total / rounds, static_cast<double>(bytes) * rounds / total,
              caused / (static_cast<double>(bytes) * rounds));
}

}  // namespace

int main(int argc, char** argv) {
  std::filesystem::path directory = argc > 1 ? argv[1] : "store_bench_data";
  SystemRandom random;
  SqliteStoreOptions options;
  if (argc > 2) options.page_bytes = static_cast<unsigned>(std::atoi(argv[2]));
  Result<SqliteStore::Opened> opened = SqliteStore::open(directory, random, options);
  if (!opened) {
    std::fprintf(stderr, "store_bench: %s\n", opened.error().text().c_str());
    return 1;
  }
  require(opened->node.groups.empty(), "a fresh directory");
  probe(directory);
  LogIndex next = 1;
  one_at_a_time(*opened->store, next, 100, 1000);
  one_at_a_time(*opened->store, next, 4096, 1000);
  queued(*opened->store, next, 4096, 5000);
  one_at_a_time(*opened->store, next, 20 << 10, 500);
  one_at_a_time(*opened->store, next, 64 << 10, 500);
  one_at_a_time(*opened->store, next, 1 << 20, 100);
  queued(*opened->store, next, 1 << 20, 300);
  opened->store.reset();
  for (const char* name : {"ringfs.db", "ringfs.payloads", "lock"}) std::filesystem::remove(directory / name);
  return 0;
}
