// Measures the store: append and apply of batches of 4 KiB and 1 MiB, one by one and many queued.
//
// store_bench [directory] [page size]: the directory must be on the disk in question; our files in it are removed.
// Prints a line for each case: microseconds of an append, of an apply, and bytes written by this process
// (/proc/self/io) for each byte of data. The fsync probe beside them shows the disk itself.
//
// store_bench [directory] rows: processor time of changes of rows, without syncs: microseconds of the process
// (getrusage) for a batch of new rows, of existing rows, of patches, and of erasures.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>

#include "dht/base/descriptor.hpp"
#include "nodes/store/sqlite_store.hpp"

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

dht::Write batch_write(dht::LogIndex index, std::size_t bytes) {
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
  dht::GroupWrite group;
  group.partition = partition;
  group.append.push_back(dht::Entry{index, 1, bench_stamp, dht::EntryKind::batch, encoded.head, encoded.blobs});
  constexpr dht::LogIndex kept = 32;
  if (index > 2 * kept && index % kept == 0) group.compact_through = index - 2 * kept;
  dht::Write write;
  write.id = index;
  write.groups.push_back(std::move(group));
  return write;
}

void probe(const std::filesystem::path& directory) {
  std::filesystem::path file = directory / "probe";
  const Descriptor descriptor(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  require(descriptor.value >= 0, "probe");
  std::string block(4096, 'x');
  constexpr int rounds = 200;
  Clock::time_point start = Clock::now();
  for (int i = 0; i < rounds; ++i) {
    require(pwrite(descriptor.value, block.data(), block.size(), 0) == 4096 && fdatasync(descriptor.value) == 0,
            "probe");
  }
  std::printf("fdatasync of 4 KiB overwritten: %.0f us\n", microseconds(Clock::now() - start) / rounds);
  std::filesystem::remove(file);
}

void one_at_a_time(nodes::SqliteStore& store, dht::LogIndex& next, std::size_t bytes, int rounds) {
  double appends = 0;
  double applies = 0;
  double slowest = 0;
  std::uint64_t written_before = bytes_written();
  for (int i = 0; i < rounds; ++i, ++next) {
    dht::Write write = batch_write(next, bytes);
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

void queued(nodes::SqliteStore& store, dht::LogIndex& next, std::size_t bytes, int rounds) {
  constexpr int window = 32;
  std::vector<dht::Write> writes;
  for (int i = 0; i < rounds; ++i) writes.push_back(batch_write(next + static_cast<dht::LogIndex>(i), bytes));
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

double processor_microseconds() {
  struct rusage usage {};
  require(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
  auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

Mutation change(Mutation::Kind kind, std::size_t row, std::size_t bytes, std::uint32_t offset = 0) {
  Mutation mutation;
  mutation.kind = kind;
  mutation.row = {"inode/" + std::to_string(row % 97), "name-" + std::to_string(row)};
  if (bytes > 0) mutation.value = SharedBytes(std::string(bytes, static_cast<char>('a' + row % 26)));
  mutation.offset = offset;
  return mutation;
}

// `rounds` batches of one mutation each, 32 queued.
void changes(nodes::SqliteStore& store, dht::LogIndex& next, const char* what, std::size_t rounds,
             const std::function<Mutation(std::size_t)>& make) {
  std::vector<dht::Write> writes;
  for (std::size_t i = 0; i < rounds; ++i) {
    Batch batch;
    batch.client.bytes[0] = 1;
    batch.sequence = batch.first_incomplete = next + i;
    batch.expires = bench_stamp + std::chrono::seconds(30);
    batch.mutations.push_back(make(i));
    EncodedBatch encoded = encode(batch);
    dht::GroupWrite group;
    group.partition = partition;
    group.append.push_back(dht::Entry{next + i, 1, bench_stamp, dht::EntryKind::batch, encoded.head, encoded.blobs});
    if (i == 0 && next > 1) group.compact_through = next - 1;
    dht::Write write;
    write.id = next + i;
    write.groups.push_back(std::move(group));
    writes.push_back(std::move(write));
  }
  constexpr int window = 32;
  std::mutex mutex;
  std::condition_variable room;
  int outstanding = 0;
  const double before = processor_microseconds();
  for (dht::Write& write : writes) {
    {
      std::unique_lock lock(mutex);
      room.wait(lock, [&] { return outstanding < window; });
      ++outstanding;
    }
    store.write(std::move(write), [](Status status) { require(status.has_value(), "append"); });
    store.apply({partition, next++}, [&](auto result) {
      require(result && result->at(0).result.outcome == BatchResult::Outcome::applied, "apply");
      std::lock_guard lock(mutex);
      --outstanding;
      room.notify_one();
    });
  }
  {
    std::unique_lock lock(mutex);
    room.wait(lock, [&] { return outstanding == 0; });
  }
  std::printf("%-32s %.2f us\n", what, (processor_microseconds() - before) / static_cast<double>(rounds));
}

void bench_rows(nodes::SqliteStore& store) {
  using Kind = Mutation::Kind;
  constexpr std::size_t many = 50'000;
  constexpr std::size_t few = 2'000;
  constexpr std::size_t step = 7919;  // a prime, so no row comes twice, and none beside the one before
  dht::LogIndex next = 1;
  auto any = [](std::size_t i) { return i * step % many; };
  changes(store, next, "put of 200 bytes, new", many, [&](std::size_t i) { return change(Kind::put, any(i), 200); });
  changes(store, next, "put of 200 bytes, over another", many,
          [&](std::size_t i) { return change(Kind::put, any(i), 200); });
  changes(store, next, "4 bytes into 200", many,
          [&](std::size_t i) { return change(Kind::write_bytes, any(i), 4, 100); });
  changes(store, next, "put of 12 KiB over 200 bytes", few,
          [&](std::size_t i) { return change(Kind::put, any(i), 12 << 10); });
  changes(store, next, "put of 12 KiB over another", few,
          [&](std::size_t i) { return change(Kind::put, any(i), 12 << 10); });
  changes(store, next, "erasure of 12 KiB", few, [&](std::size_t i) { return change(Kind::erase, any(i), 0); });
  changes(store, next, "erasure of 200 bytes", many / 2,
          [&](std::size_t i) { return change(Kind::erase, any(i + few), 0); });
  changes(store, next, "put of 64 KiB, new", few, [&](std::size_t i) { return change(Kind::put, many + i, 64 << 10); });
  changes(store, next, "put of 64 KiB over another", few,
          [&](std::size_t i) { return change(Kind::put, many + i, 64 << 10); });
  changes(store, next, "4 KiB into 64 KiB", few,
          [&](std::size_t i) { return change(Kind::write_bytes, many + i, 4096, 8192); });
  changes(store, next, "a prefix of some 250 rows", 97, [](std::size_t i) {
    Mutation mutation = change(Kind::erase_prefix, i, 0);
    mutation.row.sort = "name-";
    return mutation;
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::filesystem::path directory = argc > 1 ? argv[1] : "store_bench_data";
  const bool rows_alone = argc > 2 && std::string_view(argv[2]) == "rows";
  SystemRandom random;
  nodes::SqliteStoreOptions options;
  options.synchronous_off = rows_alone;
  if (argc > 2 && !rows_alone) options.page_bytes = static_cast<unsigned>(std::atoi(argv[2]));
  Result<nodes::SqliteStore::Opened> opened = nodes::SqliteStore::open(directory, random, options);
  if (!opened) {
    std::fprintf(stderr, "store_bench: %s\n", opened.error().text().c_str());
    return 1;
  }
  require(opened->node.groups.empty(), "a fresh directory");
  auto clean = [&] {
    opened->store.reset();
    for (const char* name :
         {"ringfs.db", "ringfs.payloads", "ringfs.identity", "ringfs.db-mark", "ringfs.reserve", "lock"}) {
      std::filesystem::remove(directory / name);
    }
  };
  if (rows_alone) {
    bench_rows(*opened->store);
    clean();
    return 0;
  }
  probe(directory);
  dht::LogIndex next = 1;
  one_at_a_time(*opened->store, next, 100, 1000);
  one_at_a_time(*opened->store, next, 4096, 1000);
  queued(*opened->store, next, 4096, 5000);
  one_at_a_time(*opened->store, next, 20 << 10, 500);
  one_at_a_time(*opened->store, next, 64 << 10, 500);
  one_at_a_time(*opened->store, next, 1 << 20, 100);
  queued(*opened->store, next, 1 << 20, 300);
  clean();
  return 0;
}
