// A directory of a test's own, that is gone with it.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace ringfs {

class ScratchDirectory {
 public:
  // `whose`: a part of its name. Throws when it cannot be made.
  explicit ScratchDirectory(const std::string& whose) {
    std::string name = (std::filesystem::temp_directory_path() / ("ringfs-" + whose + "-XXXXXX")).string();
    if (!mkdtemp(name.data())) throw std::system_error(errno, std::generic_category(), name);
    path = name;
  }
  ~ScratchDirectory() {
    std::error_code ignored;  // what cannot be removed stays in the scratch folder
    std::filesystem::remove_all(path, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  std::filesystem::path operator/(const std::filesystem::path& below) const { return path / below; }

  std::filesystem::path path;
};

}  // namespace ringfs
