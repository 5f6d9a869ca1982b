// Errors: one enum for the whole project, a short context beside it, and Result<T>.
//
// Errors travel as values; exceptions stay at start-up and at third-party edges. fs/errno.cpp is the only
// place that turns a code into an errno. Threads: plain values.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace ringfs {

enum class ErrorCode : std::uint8_t {
  // The ring.
  timeout = 1,       // the deadline passed; a mutation may or may not have happened
  unreachable,       // no connection to the node
  not_leader,        // ask the leader (the redirect says who, if known)
  not_member,        // this node holds no replica of the partition
  unavailable,       // leader without lease, node starting, transfer in progress: try again
  overloaded,        // a bounded queue is full: try again later
  locked,            // a pending transaction holds a row
  aborted,           // another client aborted the transaction
  expired,           // the batch's expiry passed (or lies too far ahead) when it was applied
  superseded,        // sequence number below the client's first_incomplete
  no_space,          // the node's disk is full
  corrupt,           // bytes from a peer or the disk do not decode or fail their checksum
  too_large,         // a value, key or message above its limit
  invalid_argument,  // malformed input
  version_mismatch,  // another protocol or format version
  wrong_identity,    // another node answers here
  foreign_ring,      // the peer belongs to another ring
  already_member,    // the node belongs to a ring already
  cancelled,         // the caller went away
  interrupted,       // a signal ended the wait
  io_error,          // the disk or a system call failed
  internal,          // a broken invariant of our own code; a bug
  // The file system.
  not_found,
  exists,
  not_directory,
  is_directory,
  not_empty,
  name_too_long,
  too_many_links,
  cross_device,
  not_permitted,
  access_denied,
  not_supported,
  symlink_loop,
  file_too_large,
  stale_handle,
  bad_handle,
  out_of_range,
  no_data,
  read_only,
  // Changes of the ring's members and settings.
  connection_refused,  // the host answers, but nobody listens there: as unreachable
  busy,                // another change of the same member is running
  too_few_nodes,       // the nodes that would remain are not enough for the copies
  // Another process has run with the peer's identity since: its database is a copy, or an older one put back.
  cloned_identity,
  removed,  // the ring has removed the node that asks
};

// There was no connection: certainly nothing happened there.
inline bool not_reached(ErrorCode code) {
  return code == ErrorCode::unreachable || code == ErrorCode::connection_refused;
}

// The enum's spelling: "not_found".
std::string_view to_string(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string context;  // one short phrase for a person; may be empty

  // "not_found: no such member 127.0.0.1:4003"
  std::string text() const;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(ErrorCode code, std::string context = {}) {
  return tl::unexpected<Error>(Error{code, std::move(context)});
}

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace ringfs

// A broken invariant of our own code: abort, in release too. Never for bytes from a peer or the disk.
#define RINGFS_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::ringfs::check_failed(#condition, __FILE__, __LINE__))
