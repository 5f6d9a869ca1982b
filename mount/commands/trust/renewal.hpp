// Renewing a client's certificate while its process runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dht/base/task.hpp"
#include "dht/net/transport/ring_trust.hpp"

namespace ringfs::mount {

// Looks once an hour until it is cancelled: when two thirds of the certificate's life are over it asks one of `nodes`
// for the next one, keeps it, and uses it for connections that are made from then on. Failures are logged and tried
// again. Threads: the executor's loop. Errors: none.
Task<void> keep_certificate(boost::asio::any_io_executor executor, std::shared_ptr<dht::RingTrust> trust,
                            std::vector<std::string> nodes);

}  // namespace ringfs::mount
