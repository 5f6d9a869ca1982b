// The log file, its rotation, and the spdlog sink that writes it.
#include "dht/net/runtime/rotating_log.hpp"

#include <fcntl.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

namespace ringfs::dht {

namespace {

constexpr int open_flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
constexpr mode_t open_mode = 0600;  // names of files may stand in it

bool same_file(int left, int right) {
  struct stat one {};
  struct stat other {};
  if (::fstat(left, &one) != 0 || ::fstat(right, &other) != 0) return false;
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

class RotatingSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit RotatingSink(std::unique_ptr<RotatingFile> file) : file_(std::move(file)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    file_->append({line.data(), line.size()});
  }
  void flush_() override {}  // nothing is kept back

  std::unique_ptr<RotatingFile> file_;
};

}  // namespace

Result<std::unique_ptr<RotatingFile>> RotatingFile::open(std::filesystem::path path, std::size_t max_bytes,
                                                         const std::vector<int>& companions) {
  const int descriptor = ::open(path.c_str(), open_flags, open_mode);
  if (descriptor < 0)
    return fail(ErrorCode::io_error, "cannot open the log " + path.string() + ": " + std::strerror(errno));
  std::unique_ptr<RotatingFile> file(new RotatingFile(std::move(path), max_bytes, descriptor));
  for (int companion : companions) {
    if (same_file(companion, descriptor)) file->companions_.push_back(companion);
  }
  return file;
}

RotatingFile::RotatingFile(std::filesystem::path path, std::size_t max_bytes, int descriptor)
    : path_(std::move(path)), max_bytes_(max_bytes), descriptor_(descriptor) {}

RotatingFile::~RotatingFile() { ::close(descriptor_); }

// Asked every time: companions write to it, and somebody may truncate it.
std::size_t RotatingFile::bytes() const {
  struct stat status {};
  return ::fstat(descriptor_, &status) == 0 ? static_cast<std::size_t>(status.st_size) : 0;
}

void RotatingFile::append(std::string_view line) {
  const std::size_t before = bytes();
  if (before > 0 && before + line.size() > max_bytes_) rotate();
  [[maybe_unused]] const ssize_t written =
      ::write(descriptor_, line.data(), line.size());  // on a full disk the line is lost
}

void RotatingFile::rotate() {
  std::error_code ignored;
  std::filesystem::rename(path_, path_.string() + ".1", ignored);
  const int next = ::open(path_.c_str(), open_flags, open_mode);
  if (next < 0) {
    // Within the limit without another file; the next time may go better.
    [[maybe_unused]] const int truncated = ::ftruncate(descriptor_, 0);
    return;
  }
  for (int companion : companions_) ::dup2(next, companion);
  ::close(descriptor_);
  descriptor_ = next;
}

Status log_to_file(const std::string& name, const std::filesystem::path& path) {
  auto file = RotatingFile::open(std::filesystem::absolute(path), max_log_file_bytes, {STDOUT_FILENO, STDERR_FILENO});
  if (!file) return tl::unexpected<Error>(file.error());
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(name, std::make_shared<RotatingSink>(std::move(*file))));
  return {};
}

}  // namespace ringfs::dht
