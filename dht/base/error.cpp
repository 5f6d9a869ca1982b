// The names of error codes.
#include "dht/base/error.hpp"

namespace ringfs {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::timeout: return "timeout";
    case ErrorCode::unreachable: return "unreachable";
    case ErrorCode::not_leader: return "not_leader";
    case ErrorCode::not_member: return "not_member";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::overloaded: return "overloaded";
    case ErrorCode::locked: return "locked";
    case ErrorCode::aborted: return "aborted";
    case ErrorCode::expired: return "expired";
    case ErrorCode::superseded: return "superseded";
    case ErrorCode::no_space: return "no_space";
    case ErrorCode::corrupt: return "corrupt";
    case ErrorCode::too_large: return "too_large";
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::version_mismatch: return "version_mismatch";
    case ErrorCode::wrong_identity: return "wrong_identity";
    case ErrorCode::foreign_ring: return "foreign_ring";
    case ErrorCode::already_member: return "already_member";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::interrupted: return "interrupted";
    case ErrorCode::io_error: return "io_error";
    case ErrorCode::internal: return "internal";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::exists: return "exists";
    case ErrorCode::not_directory: return "not_directory";
    case ErrorCode::is_directory: return "is_directory";
    case ErrorCode::not_empty: return "not_empty";
    case ErrorCode::name_too_long: return "name_too_long";
    case ErrorCode::too_many_links: return "too_many_links";
    case ErrorCode::cross_device: return "cross_device";
    case ErrorCode::not_permitted: return "not_permitted";
    case ErrorCode::access_denied: return "access_denied";
    case ErrorCode::not_supported: return "not_supported";
    case ErrorCode::symlink_loop: return "symlink_loop";
    case ErrorCode::file_too_large: return "file_too_large";
    case ErrorCode::stale_handle: return "stale_handle";
    case ErrorCode::bad_handle: return "bad_handle";
    case ErrorCode::out_of_range: return "out_of_range";
    case ErrorCode::no_data: return "no_data";
    case ErrorCode::read_only: return "read_only";
    case ErrorCode::connection_refused: return "connection_refused";
    case ErrorCode::busy: return "busy";
    case ErrorCode::too_few_nodes: return "too_few_nodes";
    case ErrorCode::cloned_identity: return "cloned_identity";
    case ErrorCode::removed: return "removed";
  }
  return "unknown";
}

std::string Error::text() const {
  std::string result(to_string(code));
  if (!context.empty()) result += ": " + context;
  return result;
}

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "ringfs: broken invariant: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace ringfs
