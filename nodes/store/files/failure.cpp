// How errno and Status become the store's exception.
#include "nodes/store/files/failure.hpp"

#include <cerrno>
#include <cstring>

namespace ringfs::nodes {

void or_throw(const Status& status) {
  if (!status) throw StoreFailure(status.error());
}

Error file_error(const std::filesystem::path& file, int error) {
  return {error == ENOSPC || error == EDQUOT ? ErrorCode::no_space : ErrorCode::io_error,
          file.string() + ": " + std::strerror(error)};
}

void file_failed(const std::filesystem::path& file, int error) { throw StoreFailure(file_error(file, error)); }

}  // namespace ringfs::nodes
