// For roles.sh: a client begins a transaction that holds the inode row of the root, and dies at once.
//   hold_rows HOST:PORT[,HOST:PORT]
#include <unistd.h>

#include <iostream>

#include "fs/names/keys.hpp"
#include "mount/commands/command_line.hpp"
#include "mount/commands/ring_session.hpp"

namespace {

constexpr std::chrono::seconds limit{20};
constexpr ringfs::fs::InodeNumber root = 1;

int fail(const ringfs::Error& error) {
  std::cerr << "hold_rows: " << error.text() << "\n";
  return 1;
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) return fail({ringfs::ErrorCode::invalid_argument, "give the ring's nodes"});
  ringfs::mount::RingSession ring(ringfs::mount::split_list(words[1]));
  const ringfs::Status started = ring.run(ring.start(ring.in(limit)));
  if (!started) return fail(started.error());
  const std::unique_ptr<ringfs::Transaction> transaction = ring.store().begin(ring.in(limit));
  ringfs::TransactionPart part;
  part.locks.push_back(ringfs::fs::inode_row(root));
  const ringfs::Result<ringfs::CommitReply> prepared = ring.run(transaction->prepare(std::move(part)));
  if (!prepared) return fail(prepared.error());
  if (!prepared->applied) return fail({ringfs::ErrorCode::internal, "the row is not held"});
  std::cout << "held" << std::endl;
  ::_exit(0);  // nothing is tidied up
}
