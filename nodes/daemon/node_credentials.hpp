// Where a node's certificate comes from: its files, the ring that it founds, the ring that it joins with a token, or
// the ring that it is in already (docs/security.md). They are in `credentials` below the node's directory.
//
// A node that founds a ring makes the ring's authority. Its key lies in `credentials/authority` until it is committed
// to the ring, and nowhere on disks as a file after that. Each step is on the disk before the next one begins, so a
// start after a crash goes on.
// Threads: start-up code; join() on the loop. Errors: DaemonFailure's reasons as Error: invalid_argument (files that do
// not fit, a token that is none), access_denied (the ring refused it), unreachable, io_error.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/base/task.hpp"
#include "dht/core/protocol/genesis.hpp"
#include "dht/net/transport/ring_trust.hpp"
#include "dht/net/wire/codec.hpp"

namespace ringfs::nodes {

class NodeCredentials {
 public:
  NodeCredentials(const std::filesystem::path& data, const Uuid& node);

  // Whether an earlier start has left some; the files are not looked into.
  static bool are_in(const std::filesystem::path& data);
  // What an earlier start has left; null: nothing.
  Result<std::shared_ptr<dht::RingTrust>> load() const;

  struct FoundedRing {
    std::shared_ptr<dht::RingTrust> trust;
    dht::Genesis genesis;
  };
  struct Founding {
    std::string address, rest_address;
    unsigned partition_bits = 8;
    unsigned replication = 3;
  };
  // A ring of this node alone; after a crash the one that was begun.
  Result<FoundedRing> found(const Founding& founding, Random& random) const;
  // A ring of this node alone, with neither authority nor keys.
  Result<dht::Genesis> genesis(const Founding& founding, const Uuid& ring, Random& random) const;
  // For an operator's own authority: the ring that certificates are to be for, the same one each time. Errors:
  // invalid_argument (`wanted` is another one than before).
  Result<Uuid> prepare_ring(const std::optional<Uuid>& wanted, Random& random) const;
  Result<std::optional<Uuid>> prepared_ring() const;
  // The authority that still has to be committed.
  Result<std::optional<dht::Authority>> founded_authority(const dht::RingTrust& trust) const;
  Status forget_founded_authority() const;

  struct Joining {
    std::vector<std::string> nodes;
    std::string token;
    std::string address, rest_address;
  };
  Task<Result<std::shared_ptr<dht::RingTrust>>> join(boost::asio::any_io_executor executor, Joining joining,
                                                     TimePoint deadline) const;
  // The key that is there, or a new one, on the disk.
  Result<dht::PrivateKey> key() const;
  // What an answer gave to the holder of that key: written, and as the node uses it.
  Result<std::shared_ptr<dht::RingTrust>> take(const dht::JoinAnswer& answer, const dht::PrivateKey& key) const;
  // What a renewal gave: written, then used by `trust`.
  Status renew(dht::RingTrust& trust, const dht::JoinAnswer& answer) const;

 private:
  const std::filesystem::path directory_;
  const std::filesystem::path authority_directory_;
  const Uuid node_;
};

}  // namespace ringfs::nodes
