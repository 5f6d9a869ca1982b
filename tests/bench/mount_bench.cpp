// Measures file operations on any directory: create, stat, open and read, rename, append, unlink, chmod, directories,
// links and renames across directories, listing, trees that are copied, searched, compared and removed, sequential and
// random I/O. The files are two directories below the given one. Nothing is left behind.
//
// With --second-mount, another mount of the same file system at that directory, two threads also work in one directory,
// each through its own mount.
//
// Prints a line for each case: threads, operations, microseconds (median, 99th percentile, longest), operations or MB a
// second; or one JSON object with the same (--json). A case ends after its number of operations or after --seconds,
// whichever comes first, so that slow file systems can be measured, too. This is not a test: it asserts no time. But an
// operation that fails ends it with exit code 1.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t small_bytes = 4096;
constexpr std::size_t large_piece = 1 << 20;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

class File {
 public:
  File(const std::string& path, int flags) : path_(path), descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) fail("open " + path);
  }
  File(const File&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  void write_at(const char* data, std::size_t size, std::size_t offset) {
    while (size > 0) {
      ssize_t done = ::pwrite(descriptor_, data, size, static_cast<off_t>(offset));
      if (done <= 0) fail("write " + path_);
      data += done, size -= static_cast<std::size_t>(done), offset += static_cast<std::size_t>(done);
    }
  }
  void read_at(char* data, std::size_t size, std::size_t offset) {
    while (size > 0) {
      ssize_t done = ::pread(descriptor_, data, size, static_cast<off_t>(offset));
      if (done <= 0) fail("read " + path_);
      data += done, size -= static_cast<std::size_t>(done), offset += static_cast<std::size_t>(done);
    }
  }
  void append(const char* data, std::size_t size) {
    if (::write(descriptor_, data, size) != static_cast<ssize_t>(size)) fail("append " + path_);
  }
  void sync() {
    if (::fdatasync(descriptor_) != 0) fail("fdatasync " + path_);
  }
  void expect_random() { static_cast<void>(::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_RANDOM)); }
  void close() {
    if (::close(std::exchange(descriptor_, -1)) != 0) fail("close " + path_);
  }

 private:
  std::string path_;
  int descriptor_;
};

struct Measured {
  std::string name;
  unsigned threads = 1;
  std::size_t operations = 0;
  double seconds = 0;
  std::size_t bytes_each = 0;
  std::vector<double> microseconds;  // of each operation, ascending

  double at(double share) const {
    if (microseconds.empty()) return 0;
    return microseconds[std::min(microseconds.size() - 1,
                                 static_cast<std::size_t>(share * static_cast<double>(microseconds.size())))];
  }
  double per_second() const { return static_cast<double>(operations) / seconds; }
  double megabytes() const { return per_second() * static_cast<double>(bytes_each) / 1e6; }
};

struct Plan {
  std::string directory;
  std::string second_mount;  // empty: none
  std::size_t files = 1000;  // of a thread
  std::size_t large_megabytes = 256;
  double seconds = 15;
  std::vector<unsigned> threads{1, 4};
  std::vector<std::string> only;
};

// Drops the caches of the kernel, so that the next reads come from the file system. Needs root.
bool drop_caches() {
  ::sync();
  std::ofstream file("/proc/sys/vm/drop_caches");
  file << "3" << std::flush;
  return file.good();
}

class Bench {
 public:
  explicit Bench(Plan plan)
      : plan_(std::move(plan)), root_(plan_.directory + "/ringfs-bench-" + std::to_string(::getpid())) {
    if (::mkdir(root_.c_str(), 0755) != 0) fail("mkdir " + root_);
  }
  ~Bench() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  Bench(const Bench&) = delete;

  const std::vector<Measured>& results() const { return results_; }

  void run() {
    overwrite_fsync();
    for (unsigned threads : plan_.threads) small_files(threads);
    across_directories();
    shared_directory();
    listing();
    copied_tree();
    whole_tree();
    sequential();
    random_access();
  }

 private:
  using Operation = std::function<void(unsigned thread, std::size_t number)>;

  bool wanted(const std::string& name) const {
    return plan_.only.empty() || std::find(plan_.only.begin(), plan_.only.end(), name) != plan_.only.end();
  }

  // Runs `operations` times in each thread, or as often as the time allows. Gives how often each thread did.
  std::size_t measure(const std::string& name, unsigned threads, std::size_t operations, const Operation& operation,
                      std::size_t bytes_each = 0, bool report = true) {
    std::mutex mutex;
    Measured measured;
    measured.name = name;
    measured.threads = threads;
    measured.bytes_each = bytes_each;
    std::size_t least = operations;
    std::string failure;
    const auto start = Clock::now();
    auto work = [&](unsigned thread) {
      std::vector<double> times;
      times.reserve(operations);
      try {
        for (std::size_t i = 0; i < operations; ++i) {
          const auto before = Clock::now();
          if (std::chrono::duration<double>(before - start).count() > plan_.seconds) break;
          operation(thread, i);
          times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - before).count());
        }
      } catch (const std::exception& error) {
        std::lock_guard lock(mutex);
        failure = error.what();
      }
      std::lock_guard lock(mutex);
      least = std::min(least, times.size());
      measured.microseconds.insert(measured.microseconds.end(), times.begin(), times.end());
    };
    std::vector<std::thread> running;
    for (unsigned thread = 0; thread < threads; ++thread) running.emplace_back(work, thread);
    for (std::thread& thread : running) thread.join();
    measured.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (!failure.empty()) throw std::runtime_error(name + ": " + failure);
    measured.operations = measured.microseconds.size();
    std::sort(measured.microseconds.begin(), measured.microseconds.end());
    if (report) {
      std::fprintf(stderr,
                   "%-22s %2u threads %8zu operations  median %9.1f us  p99 %10.1f us  longest %10.1f us  %10.1f/s",
                   name.c_str(), threads, measured.operations, measured.at(0.5), measured.at(0.99), measured.at(1),
                   measured.per_second());
      if (bytes_each > 0) std::fprintf(stderr, "  %8.1f MB/s", measured.megabytes());
      std::fprintf(stderr, "\n");
      results_.push_back(std::move(measured));
    }
    return least;
  }

  // How long it takes to make 4 KiB durable that overwrite others: to be compared with all other cases.
  void overwrite_fsync() {
    if (!wanted("overwrite_fsync")) return;
    const std::string piece(small_bytes, 'p');
    for (unsigned threads : {1U, 3U}) {
      std::vector<std::unique_ptr<File>> files;
      for (unsigned thread = 0; thread < threads; ++thread) {
        files.push_back(std::make_unique<File>(root_ + "/probe-" + std::to_string(thread), O_CREAT | O_WRONLY));
        for (std::size_t i = 0; i < 256; ++i) files.back()->write_at(piece.data(), piece.size(), i * small_bytes);
        files.back()->sync();
      }
      measure("overwrite_fsync", threads, 500, [&](unsigned thread, std::size_t number) {
        files[thread]->write_at(piece.data(), piece.size(), number % 256 * small_bytes);
        files[thread]->sync();
      });
    }
  }

  // Every thread has its own directory.
  void small_files(unsigned threads) {
    const char* names[] = {"create", "stat", "open_read", "rename", "append", "unlink"};
    if (std::none_of(std::begin(names), std::end(names), [&](const char* name) { return wanted(name); })) return;
    std::vector<std::string> directories;
    for (unsigned thread = 0; thread < threads; ++thread) {
      directories.push_back(root_ + "/small-" + std::to_string(threads) + "-" + std::to_string(thread));
      if (::mkdir(directories.back().c_str(), 0755) != 0) fail("mkdir");
    }
    auto path = [&](unsigned thread, std::size_t number) {
      return directories[thread] + "/f" + std::to_string(number);
    };
    const std::string contents(small_bytes, 'x');
    std::size_t files = measure("create", threads, plan_.files, [&](unsigned thread, std::size_t number) {
      File file(path(thread, number), O_CREAT | O_EXCL | O_WRONLY);
      file.write_at(contents.data(), contents.size(), 0);
      file.close();
    });
    measure("stat", threads, files, [&](unsigned thread, std::size_t number) {
      struct stat found {};
      if (::stat(path(thread, number).c_str(), &found) != 0) fail("stat");
    });
    measure("open_read", threads, files, [&](unsigned thread, std::size_t number) {
      char buffer[small_bytes];
      File file(path(thread, number), O_RDONLY);
      file.read_at(buffer, sizeof buffer, 0);
      file.close();
    });
    measure("append", threads, files, [&](unsigned thread, std::size_t number) {
      File file(path(thread, number), O_WRONLY | O_APPEND | O_CREAT);
      file.append("x\n", 2);
      file.close();
    });
    auto renamed = [&](unsigned thread, std::size_t number) {
      return directories[thread] + "/r" + std::to_string(number);
    };
    std::size_t moved = measure("rename", threads, files, [&](unsigned thread, std::size_t number) {
      if (::rename(path(thread, number).c_str(), renamed(thread, number).c_str()) != 0) fail("rename");
    });
    measure("unlink", threads, moved, [&](unsigned thread, std::size_t number) {
      if (::unlink(renamed(thread, number).c_str()) != 0) fail("unlink");
    });
    for (const std::string& directory : directories) std::filesystem::remove_all(directory);
  }

  // Operations on two directories, or on one and a file that was made in another one, beside a chmod, the smallest
  // change.
  void across_directories() {
    const char* names[] = {"chmod", "mkdir", "rmdir", "link_across", "unlink_link", "rename_across", "unlink_moved"};
    if (std::none_of(std::begin(names), std::end(names), [&](const char* name) { return wanted(name); })) return;
    const std::string home = root_ + "/home", away = root_ + "/away";
    make_directory(home);
    make_directory(away);
    auto numbered = [](const std::string& directory, const char* kind, std::size_t number) {
      return directory + "/" + kind + std::to_string(number);
    };
    const std::size_t files = measure(
        "", 1, plan_.files / 2,
        [&](unsigned, std::size_t number) { File(numbered(home, "f", number), O_CREAT | O_WRONLY).close(); }, 0, false);
    each("chmod", files, [&](std::size_t number) { return ::chmod(numbered(home, "f", number).c_str(), 0600); });
    std::size_t made = each("mkdir", plan_.files / 4,
                            [&](std::size_t number) { return ::mkdir(numbered(home, "d", number).c_str(), 0755); });
    each("rmdir", made, [&](std::size_t number) { return ::rmdir(numbered(home, "d", number).c_str()); });
    made = each("link_across", files, [&](std::size_t number) {
      return ::link(numbered(home, "f", number).c_str(), numbered(away, "l", number).c_str());
    });
    each("unlink_link", made, [&](std::size_t number) { return ::unlink(numbered(away, "l", number).c_str()); });
    made = each("rename_across", files, [&](std::size_t number) {
      return ::rename(numbered(home, "f", number).c_str(), numbered(away, "f", number).c_str());
    });
    each("unlink_moved", made, [&](std::size_t number) { return ::unlink(numbered(away, "f", number).c_str()); });
    std::filesystem::remove_all(home);
    std::filesystem::remove_all(away);
  }

  static void make_directory(const std::string& directory) {
    if (::mkdir(directory.c_str(), 0755) != 0) fail("mkdir " + directory);
  }

  std::size_t each(const char* name, std::size_t operations, const std::function<int(std::size_t)>& call) {
    return measure(name, 1, operations, [&](unsigned, std::size_t number) {
      if (call(number) != 0) fail(name);
    });
  }

  // Two threads in one directory, each through a mount of its own.
  void shared_directory() {
    if (plan_.second_mount.empty()) return;
    const std::string name = std::filesystem::path(root_).filename().string();
    const std::string homes[] = {root_ + "/both", plan_.second_mount + "/" + name + "/both"};
    const std::string aways[] = {root_ + "/elsewhere", plan_.second_mount + "/" + name + "/elsewhere"};
    make_directory(homes[0]);
    make_directory(aways[0]);
    auto path = [](const std::string* mounts, unsigned thread, const char* kind, std::size_t number) {
      return mounts[thread] + "/" + kind + std::to_string(thread) + "-" + std::to_string(number);
    };
    auto both = [&](const char* what, std::size_t operations, const std::function<int(unsigned, std::size_t)>& call) {
      return measure(what, 2, operations, [&](unsigned thread, std::size_t number) {
        if (call(thread, number) != 0) fail(what);
      });
    };
    const std::size_t number_of_files = plan_.files / 4;
    std::size_t files = both("both_create", number_of_files, [&](unsigned thread, std::size_t number) {
      File(path(homes, thread, "f", number), O_CREAT | O_EXCL | O_WRONLY).close();
      return 0;
    });
    both("both_chmod", files,
         [&](unsigned thread, std::size_t number) { return ::chmod(path(homes, thread, "f", number).c_str(), 0600); });
    both("both_rename", files, [&](unsigned thread, std::size_t number) {
      return ::rename(path(homes, thread, "f", number).c_str(), path(homes, thread, "r", number).c_str());
    });
    both("both_rename_across", files, [&](unsigned thread, std::size_t number) {
      return ::rename(path(homes, thread, "r", number).c_str(), path(aways, thread, "r", number).c_str());
    });
    both("both_unlink_moved", files,
         [&](unsigned thread, std::size_t number) { return ::unlink(path(aways, thread, "r", number).c_str()); });
    const std::size_t made = both("both_mkdir", number_of_files, [&](unsigned thread, std::size_t number) {
      return ::mkdir(path(homes, thread, "d", number).c_str(), 0755);
    });
    both("both_rmdir", made,
         [&](unsigned thread, std::size_t number) { return ::rmdir(path(homes, thread, "d", number).c_str()); });
    std::filesystem::remove_all(homes[0]);
    std::filesystem::remove_all(aways[0]);
  }

  void listing() {
    if (!wanted("list_1000")) return;
    const std::string directory = root_ + "/listing";
    if (::mkdir(directory.c_str(), 0755) != 0) fail("mkdir");
    std::size_t made = measure(
        "", 1, 1000,
        [&](unsigned, std::size_t number) {
          File(directory + "/f" + std::to_string(number), O_CREAT | O_WRONLY).close();
        },
        0, false);
    // As ls -l does: names, then the attributes of each.
    measure("list_" + std::to_string(made), 1, 20, [&](unsigned, std::size_t) {
      std::size_t seen = 0;
      DIR* open = ::opendir(directory.c_str());
      if (open == nullptr) fail("opendir");
      while (dirent* entry = ::readdir(open)) {
        struct stat found {};
        if (entry->d_name[0] == '.') continue;
        if (::fstatat(::dirfd(open), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) fail("fstatat");
        ++seen;
      }
      ::closedir(open);
      if (seen != made) throw std::runtime_error("a listing of " + std::to_string(seen) + " files");
    });
    std::filesystem::remove_all(directory);
  }

  // 205 small files in 20 directories, one process after the other, as cp -r does it.
  void copied_tree() {
    if (!wanted("copy_205_files")) return;
    const std::filesystem::path source =
        std::filesystem::temp_directory_path() / ("ringfs-bench-tree-" + std::to_string(::getpid()));
    for (std::size_t number = 0; number < 205; ++number) {
      std::filesystem::create_directories(source / std::to_string(number % 20));
      std::ofstream(source / std::to_string(number % 20) / std::to_string(number))
          << std::string(500 + number * 37 % 7000, 'y');
    }
    measure("copy_205_files", 1, 3, [&](unsigned, std::size_t number) {
      const std::string command = "cp -r '" + source.string() + "' '" + root_ + "/tree-" + std::to_string(number) + "'";
      if (std::system(command.c_str()) != 0) throw std::runtime_error("cp -r failed");
    });
    std::filesystem::remove_all(source);
  }

  // 494 files in 94 directories, by common programs. Each case runs once for a tree.
  void whole_tree() {
    const char* names[] = {"cp_r", "find", "diff_r_cold", "rm_rf"};
    if (std::none_of(std::begin(names), std::end(names), [&](const char* name) { return wanted(name); })) return;
    constexpr std::size_t files = 494, directories = 94, trees = 3;
    const std::filesystem::path source =
        std::filesystem::temp_directory_path() / ("ringfs-bench-whole-" + std::to_string(::getpid()));
    // Some directories are below the top, most are below those.
    std::vector<std::filesystem::path> places{source};
    for (std::size_t number = 1; number < directories; ++number) {
      places.push_back(places[number < 10 ? 0 : 1 + number % 9] / ("d" + std::to_string(number)));
    }
    for (const std::filesystem::path& place : places) std::filesystem::create_directories(place);
    for (std::size_t number = 0; number < files; ++number) {
      std::ofstream(places[number % directories] / ("f" + std::to_string(number)))
          << std::string(500 + number * 37 % 7000, 'y');
    }
    auto tree = [&](std::size_t number) { return "'" + root_ + "/whole-" + std::to_string(number) + "'"; };
    auto program = [&](const char* name, std::size_t times, const std::function<std::string(std::size_t)>& command) {
      return measure(name, 1, times, [&](unsigned, std::size_t number) {
        if (std::system(command(number).c_str()) != 0) throw std::runtime_error(command(number) + " failed");
      });
    };
    const std::size_t copied =
        program("cp_r", trees, [&](std::size_t number) { return "cp -r '" + source.string() + "' " + tree(number); });
    if (!drop_caches())
      std::fprintf(stderr, "diff_r_cold: the kernel's caches could not be dropped (not root), it is warm\n");
    program("diff_r_cold", copied,
            [&](std::size_t number) { return "diff -r '" + source.string() + "' " + tree(number); });
    program("find", copied, [&](std::size_t number) { return "find " + tree(number) + " >/dev/null"; });
    program("rm_rf", copied, [&](std::size_t number) { return "rm -rf " + tree(number); });
    std::filesystem::remove_all(source);
  }

  void sequential() {
    if (!wanted("write_fsync") && !wanted("read_cold")) return;
    const std::string path = root_ + "/large";
    const std::size_t pieces = plan_.large_megabytes;
    std::string piece(large_piece, '\0');
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i + 8 <= piece.size(); i += 8) {
      const std::uint64_t word = random();
      std::memcpy(piece.data() + i, &word, 8);
    }
    std::size_t written = 0;
    {
      Measured whole;
      File file(path, O_CREAT | O_WRONLY | O_TRUNC);
      const auto start = Clock::now();
      for (; written < pieces; ++written) {
        if (std::chrono::duration<double>(Clock::now() - start).count() > plan_.seconds) break;
        file.write_at(piece.data(), piece.size(), written * large_piece);
      }
      file.sync();
      report_stream("write_fsync", written, start);
      file.close();
    }
    if (!drop_caches())
      std::fprintf(stderr, "read_cold: the kernel's caches could not be dropped (not root), it is warm\n");
    File file(path, O_RDONLY);
    const auto start = Clock::now();
    for (std::size_t i = 0; i < written; ++i) file.read_at(piece.data(), piece.size(), i * large_piece);
    report_stream("read_cold", written, start);
  }

  void report_stream(const std::string& name, std::size_t pieces, Clock::time_point start) {
    Measured measured;
    measured.name = name;
    measured.operations = pieces;
    measured.bytes_each = large_piece;
    measured.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    measured.microseconds = {measured.seconds * 1e6 / static_cast<double>(std::max<std::size_t>(pieces, 1))};
    std::fprintf(stderr, "%-22s %8zu MiB  %8.1f MB/s\n", name.c_str(), pieces, measured.megabytes());
    results_.push_back(std::move(measured));
  }

  // Four jobs, each in a file of its own.
  void random_access() {
    if (!wanted("random_read") && !wanted("random_write_fsync32")) return;
    constexpr unsigned jobs = 4;
    constexpr std::size_t megabytes = 32;
    std::vector<std::unique_ptr<File>> files;
    const std::string piece(large_piece, 'z');
    for (unsigned job = 0; job < jobs; ++job) {
      files.push_back(std::make_unique<File>(root_ + "/random-" + std::to_string(job), O_CREAT | O_RDWR));
      for (std::size_t i = 0; i < megabytes; ++i) files.back()->write_at(piece.data(), piece.size(), i * large_piece);
      files.back()->sync();
    }
    drop_caches();
    // Each block once, in random order: the cache of the kernel would answer a second read.
    constexpr std::size_t blocks = megabytes * large_piece / small_bytes;
    std::vector<std::vector<std::size_t>> order(jobs, std::vector<std::size_t>(blocks));
    for (unsigned job = 0; job < jobs; ++job) {
      std::iota(order[job].begin(), order[job].end(), 0);
      std::shuffle(order[job].begin(), order[job].end(), std::mt19937_64(job));
      files[job]->expect_random();
    }
    auto offset = [&](unsigned job, std::size_t number) { return order[job][number % blocks] * small_bytes; };
    measure("random_read", jobs, blocks, [&](unsigned job, std::size_t number) {
      char buffer[small_bytes];
      files[job]->read_at(buffer, sizeof buffer, offset(job, number));
    });
    measure("random_write_fsync32", jobs, blocks, [&](unsigned job, std::size_t number) {
      files[job]->write_at(piece.data(), small_bytes, offset(job, number));
      if (number % 32 == 31) files[job]->sync();
    });
  }

  Plan plan_;
  std::string root_;
  std::vector<Measured> results_;
};

void print_json(const std::vector<Measured>& results) {
  nlohmann::json list = nlohmann::json::array();
  for (const Measured& one : results) {
    list.push_back({{"name", one.name},
                    {"threads", one.threads},
                    {"operations", one.operations},
                    {"median_us", one.at(0.5)},
                    {"p99_us", one.at(0.99)},
                    {"longest_us", one.at(1)},
                    {"per_second", one.per_second()},
                    {"mb_per_second", one.megabytes()}});
  }
  std::printf("%s\n", list.dump(1).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures file operations below a directory of any file system");
  Plan plan;
  bool json = false;
  app.add_option("directory", plan.directory, "An existing directory of the file system in question")
      ->required()
      ->check(CLI::ExistingDirectory);
  app.add_option("--second-mount", plan.second_mount, "Another mount of the same file system at that directory")
      ->check(CLI::ExistingDirectory);
  app.add_option("--files", plan.files, "Small files of each thread");
  app.add_option("--large", plan.large_megabytes, "Size of the large file in MiB");
  app.add_option("--seconds", plan.seconds, "Longest time of a case");
  app.add_option("--threads", plan.threads, "Thread counts for the small files");
  app.add_option("--only", plan.only,
                 "Only the group with this case (overwrite_fsync, create, chmod, list_1000, copy_205_files, rm_rf, "
                 "write_fsync, random_read)");
  app.add_flag("--json", json, "Print the figures as JSON");
  CLI11_PARSE(app, argc, argv);
  try {
    Bench bench(plan);
    bench.run();
    if (json) print_json(bench.results());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mount_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
