// The one table that turns errors into errno (man 3 errno; docs/design.md#errors).
#include <cerrno>

#include "fs/file_system.hpp"

namespace ringfs::fs {

int to_errno(ErrorCode code) {
  switch (code) {
    case ErrorCode::timeout: return ETIMEDOUT;
    case ErrorCode::unreachable: return EHOSTUNREACH;
    case ErrorCode::not_leader:
    case ErrorCode::not_member:
    case ErrorCode::unavailable:
    case ErrorCode::locked:
    case ErrorCode::aborted:
    case ErrorCode::expired:
    case ErrorCode::superseded: return ETIMEDOUT;
    case ErrorCode::overloaded: return ENFILE;  // the file system's own limits; it waits for the ring's
    case ErrorCode::no_space: return ENOSPC;
    case ErrorCode::corrupt: return EIO;
    case ErrorCode::too_large: return E2BIG;
    case ErrorCode::invalid_argument: return EINVAL;
    case ErrorCode::version_mismatch: return EPROTO;
    case ErrorCode::wrong_identity:
    case ErrorCode::cloned_identity:
    case ErrorCode::removed:
    case ErrorCode::foreign_ring: return EKEYREJECTED;
    case ErrorCode::already_member: return EEXIST;
    case ErrorCode::cancelled:
    case ErrorCode::interrupted: return EINTR;
    case ErrorCode::io_error:
    case ErrorCode::internal: return EIO;
    case ErrorCode::not_found: return ENOENT;
    case ErrorCode::exists: return EEXIST;
    case ErrorCode::not_directory: return ENOTDIR;
    case ErrorCode::is_directory: return EISDIR;
    case ErrorCode::not_empty: return ENOTEMPTY;
    case ErrorCode::name_too_long: return ENAMETOOLONG;
    case ErrorCode::too_many_links: return EMLINK;
    case ErrorCode::cross_device: return EXDEV;
    case ErrorCode::not_permitted: return EPERM;
    case ErrorCode::access_denied: return EACCES;
    case ErrorCode::not_supported: return ENOTSUP;
    case ErrorCode::symlink_loop: return ELOOP;
    case ErrorCode::file_too_large: return EFBIG;
    case ErrorCode::stale_handle: return ESTALE;
    case ErrorCode::bad_handle: return EBADF;
    case ErrorCode::out_of_range: return ERANGE;
    case ErrorCode::no_data: return ENODATA;
    case ErrorCode::read_only: return EROFS;
    case ErrorCode::connection_refused: return ECONNREFUSED;
    case ErrorCode::busy: return EBUSY;
    case ErrorCode::too_few_nodes: return EAGAIN;
  }
  return EIO;
}

}  // namespace ringfs::fs
