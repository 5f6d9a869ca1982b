// The process's log in a file that stays bounded: NAME, and the lines before those of today's file in NAME.1.
//
// spdlog's rotating sink does not do: version 1.10, which Debian 12 has, writes through a null pointer when a file
// cannot be opened after a rotation (full disk, quota, directory gone). Here an error of the file loses lines and
// nothing else: a log line never throws, waits for the write alone, and the file stays within its limit.
//
// Standard output and error follow into the next file when they are that file, too (`ringfs up` starts its processes
// so): what a dying process prints stands at the end of its log. A file that somebody else truncates is shorter.
//
// Threads: RotatingFile one, the logger any. Errors: only open()'s, io_error. Limits: two files of max_log_file_bytes.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dht/base/error.hpp"

namespace ringfs::dht {

inline constexpr std::size_t max_log_file_bytes = 16 << 20;  // months of a healthy node, some days of a troubled one

class RotatingFile {
 public:
  // `companions`: descriptors that follow into the next file, if they are this one now.
  static Result<std::unique_ptr<RotatingFile>> open(std::filesystem::path path, std::size_t max_bytes,
                                                    const std::vector<int>& companions);
  ~RotatingFile();
  RotatingFile(const RotatingFile&) = delete;
  RotatingFile& operator=(const RotatingFile&) = delete;

  void append(std::string_view line);

 private:
  RotatingFile(std::filesystem::path path, std::size_t max_bytes, int descriptor);
  std::size_t bytes() const;
  void rotate();

  const std::filesystem::path path_;
  const std::size_t max_bytes_;
  int descriptor_;
  std::vector<int> companions_;
};

// Makes it the process's default logger. Call it before the pattern and the level are set.
Status log_to_file(const std::string& name, const std::filesystem::path& path);

}  // namespace ringfs::dht
