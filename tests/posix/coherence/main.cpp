// coherence SECONDS SEED DIRECTORY...: programs on several mounts of one directory look at the same names and
// attributes and change them; afterwards each name and attribute must have an order of all operations that explains
// what each saw.
//
// Names: stat, open and read, listings, creation with O_EXCL, link, unlink, rename over; a value is an inode number.
// Attributes: chown and utimensat against stat and fstat; a value is an owner or a time. Prints how many operations of
// each kind were checked, and the errors that programs saw. Exit code: 0: no violation and only errors that --errors
// allows.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tests/posix/coherence/register_check.hpp"

namespace ringfs::coherence {
namespace {

using Kind = Operation::Kind;

constexpr std::uint32_t directories = 16, names = 8, files = 60;
constexpr std::uint32_t quiet_directories = 4;  // the last ones: their names change rarely, so that listings are kept
constexpr std::uint32_t owners = directories * names;  // objects: first names, then owners, then times
constexpr std::uint32_t times = owners + files, objects = times + files;
// Each name and attribute changes once in so long, at the mean. What changes all the time is not leased.
constexpr std::uint64_t change_interval = 3'000'000'000;
constexpr std::size_t programs = 3;                 // on each mount
constexpr std::size_t most_operations = 4'000'000;  // of one process
constexpr std::size_t most_errors = 256;

std::uint64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

// What one process leaves, in memory that it shares with the parent.
struct Log {
  std::size_t count = 0;
  std::array<std::uint32_t, most_errors> errors;  // by errno: how often
  std::array<Operation, most_operations> operations;
};

Log* make_log() {
  void* memory =
      ::mmap(nullptr, sizeof(Log), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<Log*>(memory);  // zeros; pages that are not used take no memory
}

class Program {
 public:
  // `all`: how many programs there are.
  Program(std::string root, std::uint8_t number, std::size_t all, std::uint64_t seed, Log* log)
      : root_(std::move(root)),
        number_(number),
        pause_(change_interval * all / (owners + files)),
        random_(seed),
        log_(log) {}

  // The files of the attributes stay open: by a descriptor the kernel asks for no name first.
  void run(std::uint64_t until) {
    for (std::uint32_t i = 0; i < files; ++i) open_.at(i) = ::open(file(i).c_str(), O_RDONLY);
    while (now() < until && log_->count + names < most_operations) step();
  }

 private:
  std::uint64_t draw(std::uint64_t below) { return random_() % below; }
  std::string directory(std::uint32_t index) const { return root_ + "/d" + std::to_string(index); }
  std::string name(std::uint32_t object) const {
    return directory(object / names) + "/n" + std::to_string(object % names);
  }
  std::string file(std::uint32_t index) const { return root_ + "/a/f" + std::to_string(index); }

  void note(std::uint32_t object, Kind kind, std::uint64_t called, std::uint64_t value) {
    log_->operations.at(log_->count++) = {called, now(), value, object, kind, number_};
  }
  // A change whose end is not known.
  void unanswered(std::uint32_t object, Kind kind, std::uint64_t called, std::uint64_t value, int error) {
    ++log_->errors.at(static_cast<std::size_t>(error) % most_errors);
    log_->operations.at(log_->count++) = {called, Operation::unanswered, value, object, kind, number_};
  }
  void failed(int error) { ++log_->errors.at(static_cast<std::size_t>(error) % most_errors); }

  void step() {
    const std::uint64_t time = now();
    if (time >= next_change_) {
      next_change_ = time + draw(2 * pause_);
      return change();
    }
    const std::uint64_t dice = draw(100);
    const auto object = static_cast<std::uint32_t>(draw(owners));
    if (dice < 40) return look(object);
    if (dice < 60) return read(object);
    if (dice < 64) return list(static_cast<std::uint32_t>(draw(directories)));
    look_at_attributes(static_cast<std::uint32_t>(draw(files)));
  }

  void change() {
    if (draw(owners + files) < files) return change_attributes(static_cast<std::uint32_t>(draw(files)));
    auto object = static_cast<std::uint32_t>(draw(owners));
    if (object / names >= directories - quiet_directories && draw(10) != 0)
      object %= (directories - quiet_directories) * names;
    const std::uint64_t dice = draw(16);
    if (dice < 5) return replace(object);
    if (dice < 9) return create(object);
    if (dice < 11) return link(object);
    remove(object);
  }

  void look(std::uint32_t object) {
    struct stat found {};
    const std::uint64_t called = now();
    if (::stat(name(object).c_str(), &found) == 0) return note(object, Kind::read, called, found.st_ino);
    if (errno == ENOENT) return note(object, Kind::read, called, 0);
    failed(errno);
  }

  // The contents, if there are any yet, name the inode.
  void read(std::uint32_t object) {
    const std::uint64_t called = now();
    const int descriptor = ::open(name(object).c_str(), O_RDONLY);
    if (descriptor < 0 && errno == ENOENT) return note(object, Kind::read, called, 0);
    if (descriptor < 0) return failed(errno);
    struct stat found {};
    char bytes[32] = {};
    const bool known = ::fstat(descriptor, &found) == 0;
    const ssize_t size = ::read(descriptor, bytes, sizeof bytes - 1);
    const int error = errno;
    ::close(descriptor);
    if (!known || size < 0) return failed(error);
    note(object, Kind::read, called, found.st_ino);
    if (size > 0 && std::strtoull(bytes, nullptr, 10) != found.st_ino) {
      std::printf("inode %llu has the contents of %s\n", static_cast<unsigned long long>(found.st_ino), bytes);
      failed(EBADMSG);
    }
  }

  void list(std::uint32_t index) {
    std::map<std::string, std::uint64_t> seen;
    const std::uint64_t called = now();
    DIR* stream = ::opendir(directory(index).c_str());
    if (stream == nullptr) return failed(errno);
    errno = 0;
    while (const dirent* entry = ::readdir(stream)) seen[entry->d_name] = entry->d_ino;
    const int error = errno;
    ::closedir(stream);
    if (error != 0) return failed(error);
    for (std::uint32_t i = 0; i < names; ++i) {
      const auto found = seen.find("n" + std::to_string(i));
      note(index * names + i, Kind::read, called, found == seen.end() ? 0 : found->second);
    }
  }

  // A new file of this process with contents, beside the names; its inode number.
  std::optional<std::uint64_t> make_private(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644);
    if (descriptor < 0) {
      failed(errno);
      return std::nullopt;
    }
    struct stat made {};
    bool good = ::fstat(descriptor, &made) == 0;
    const std::string bytes = std::to_string(made.st_ino);
    good = good && ::write(descriptor, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
    good = ::close(descriptor) == 0 && good;
    if (good) return made.st_ino;
    failed(errno);
    return std::nullopt;
  }
  std::string private_name(std::uint32_t object) {
    return directory(object / names) + "/t" + std::to_string(number_) + "-" + std::to_string(++made_);
  }

  void replace(std::uint32_t object) {
    const std::string from = private_name(object);
    const std::optional<std::uint64_t> inode = make_private(from);
    if (!inode) return;
    const std::uint64_t called = now();
    if (::rename(from.c_str(), name(object).c_str()) == 0) return note(object, Kind::put, called, *inode);
    unanswered(object, Kind::put, called, *inode, errno);
  }

  void create(std::uint32_t object) {
    const std::uint64_t called = now();
    const int descriptor = ::open(name(object).c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644);
    if (descriptor < 0 && errno == EEXIST) return note(object, Kind::create_found, called, 0);
    // Its inode number is not known, so nobody could tell what was seen of it.
    if (descriptor < 0) return failed(errno);
    const std::uint64_t returned = now();
    struct stat made {};
    const bool known = ::fstat(descriptor, &made) == 0;
    if (known) log_->operations.at(log_->count++) = {called, returned, made.st_ino, object, Kind::create, number_};
    if (!known) failed(errno);
    const std::string bytes = std::to_string(made.st_ino);
    if (known && ::write(descriptor, bytes.data(), bytes.size()) < 0) failed(errno);
    if (::close(descriptor) != 0) failed(errno);
  }

  void link(std::uint32_t object) {
    const std::string from = private_name(object);
    const std::optional<std::uint64_t> inode = make_private(from);
    if (!inode) return;
    const std::uint64_t called = now();
    if (::link(from.c_str(), name(object).c_str()) == 0)
      note(object, Kind::create, called, *inode);
    else if (errno == EEXIST)
      note(object, Kind::create_found, called, 0);
    else
      unanswered(object, Kind::create, called, *inode, errno);
    if (::unlink(from.c_str()) != 0) failed(errno);
  }

  void remove(std::uint32_t object) {
    const std::uint64_t called = now();
    if (::unlink(name(object).c_str()) == 0) return note(object, Kind::erase, called, 0);
    if (errno == ENOENT) return note(object, Kind::erase_found, called, 0);
    unanswered(object, Kind::erase, called, 0, errno);
  }

  void look_at_attributes(std::uint32_t index) {
    struct stat found {};
    const std::uint64_t called = now();
    const bool by_name = draw(2) == 0 || open_.at(index) < 0;
    const int result = by_name ? ::stat(file(index).c_str(), &found) : ::fstat(open_.at(index), &found);
    if (result != 0) return failed(errno);
    note(owners + index, Kind::read, called, found.st_uid);
    note(times + index, Kind::read, called,
         static_cast<std::uint64_t>(found.st_mtim.tv_sec) * 1'000'000 +
             static_cast<std::uint64_t>(found.st_mtim.tv_nsec) / 1000);
  }

  void change_attributes(std::uint32_t index) {
    const std::uint64_t value = (static_cast<std::uint64_t>(number_) + 1) * 10'000'000 + ++made_;
    const std::uint64_t called = now();
    if (draw(2) == 0) {
      if (::chown(file(index).c_str(), static_cast<uid_t>(value), static_cast<gid_t>(-1)) == 0)
        return note(owners + index, Kind::put, called, value);
      return unanswered(owners + index, Kind::put, called, value, errno);
    }
    const timespec time{static_cast<time_t>(value / 1'000'000), static_cast<long>(value % 1'000'000 * 1000)};
    const timespec both[2] = {time, time};
    if (::utimensat(AT_FDCWD, file(index).c_str(), both, 0) == 0) return note(times + index, Kind::put, called, value);
    unanswered(times + index, Kind::put, called, value, errno);
  }

  const std::string root_;
  const std::uint8_t number_;
  const std::uint64_t pause_;  // between changes of this program
  std::uint64_t next_change_ = 0;
  std::mt19937_64 random_;
  Log* log_;
  std::uint64_t made_ = 0;
  std::array<int, files> open_{};
};

void prepare(const std::string& root) {
  for (std::uint32_t i = 0; i < directories; ++i) {
    const std::string directory = root + "/d" + std::to_string(i);
    ::mkdir(directory.c_str(), 0755);
    for (std::uint32_t name = 0; name < names; ++name) ::unlink((directory + "/n" + std::to_string(name)).c_str());
  }
  ::mkdir((root + "/a").c_str(), 0755);
  for (std::uint32_t i = 0; i < files; ++i) {
    const std::string path = root + "/a/f" + std::to_string(i);
    const int descriptor = ::open(path.c_str(), O_CREAT | O_WRONLY, 0644);
    const timespec zero[2] = {};
    if (descriptor < 0 || ::futimens(descriptor, zero) != 0 || ::fchown(descriptor, 0, 0) != 0) {
      std::perror(path.c_str());
      std::exit(2);
    }
    ::close(descriptor);
  }
}

bool check_all(std::vector<std::vector<Operation>>& histories) {
  bool good = true;
  for (std::uint32_t object = 0; object < objects; ++object) {
    std::vector<Operation>& history = histories[object];
    const Finding finding = check(history, 0);
    if (finding.verdict == Verdict::linearizable) continue;
    good = false;
    const char* what = object < owners ? "name" : object < times ? "owner" : "time";
    std::printf("%s %u: %s\n", what, object,
                finding.verdict == Verdict::undecided ? "undecided" : "no order explains the last of these");
    // The last changes before it, and what overlaps.
    const Operation& last = history[finding.at];
    for (std::size_t i = finding.at > 400 ? finding.at - 400 : 0; i <= finding.at; ++i) {
      const bool near = history[i].returned + 20'000'000 >= last.called;
      if (history[i].kind != Kind::read || near) std::printf("  %s\n", to_text(history[i]).c_str());
    }
  }
  return good;
}

int run(unsigned seconds, std::uint64_t seed, bool errors_allowed, std::span<char*> roots) {
  prepare(roots.front());
  const std::uint64_t until = now() + std::uint64_t{seconds} * 1'000'000'000;
  std::vector<Log*> logs;
  std::vector<pid_t> children;
  for (std::size_t i = 0; i < programs * roots.size(); ++i) {
    logs.push_back(make_log());
    const pid_t child = ::fork();
    if (child < 0) std::abort();
    if (child == 0) {
      Program(roots[i % roots.size()], static_cast<std::uint8_t>(i), programs * roots.size(), seed * 1000 + i,
              logs.back())
          .run(until);
      std::fflush(stdout);
      ::_exit(0);
    }
    children.push_back(child);
  }
  bool good = true;
  for (const pid_t child : children) {
    int status = 0;
    good = ::waitpid(child, &status, 0) == child && status == 0 && good;
  }
  std::vector<std::vector<Operation>> histories(objects);
  std::map<int, std::size_t> errors;
  std::size_t count = 0;
  for (const Log* log : logs) {
    count += log->count;
    for (std::size_t i = 0; i < log->count; ++i)
      histories[log->operations.at(i).object].push_back(log->operations.at(i));
    for (std::size_t i = 0; i < most_errors; ++i) {
      if (log->errors.at(i) != 0) errors[static_cast<int>(i)] += log->errors.at(i);
    }
  }
  std::printf("%zu operations of %zu programs on %zu mounts, %u s, seed %llu\n", count, logs.size(), roots.size(),
              seconds, static_cast<unsigned long long>(seed));
  for (const auto& [error, times_seen] : errors) {
    std::printf("%zu times: %s\n", times_seen, std::strerror(error));
    good = good && errors_allowed && error != EBADMSG;
  }
  good = check_all(histories) && good;
  std::printf("%s\n", good ? "linearizable" : "NOT linearizable, or errors");
  return good ? 0 : 1;
}

}  // namespace
}  // namespace ringfs::coherence

int main(int argc, char** argv) {
  std::vector<char*> words(argv + 1, argv + argc);
  const bool errors = !words.empty() && std::string(words.front()) == "--errors";
  if (errors) words.erase(words.begin());
  if (words.size() < 3) {
    std::fprintf(stderr, "usage: coherence [--errors] SECONDS SEED DIRECTORY...\n");
    return 2;
  }
  return ringfs::coherence::run(static_cast<unsigned>(std::atoi(words[0])), std::strtoull(words[1], nullptr, 10),
                                errors, std::span(words).subspan(2));
}
