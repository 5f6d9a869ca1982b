// Renewing a client's certificate while its process runs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dht/base/task.hpp"
#include "dht/net/transport/operator_trust.hpp"

namespace ringfs::mount {

// Asks one of `nodes` for the next certificate, keeps it, and uses it for connections that are made from then on.
// Errors: of renew() (dht/net/transport/join_ring.hpp) and of files; timeout.
Task<Status> renew_certificate(boost::asio::any_io_executor executor, std::shared_ptr<dht::RingTrust> trust,
                               std::vector<std::string> nodes, TimePoint deadline);

// How long whoever starts may wait for the next certificate, at most until `deadline`: a moment while the present one
// counts, for the ring may not be able to sign another one just now.
TimePoint renewal_deadline(const dht::RingTrust& trust, Stamp now, TimePoint deadline);

// Looks again and again until it is cancelled, from the second time on after `refresh`, which brings the members table
// up to date: when a renewal is due (RingTrust) it asks one of `nodes` for the next certificate, keeps it, and uses it
// for connections that are made from then on. Failures are logged and tried again. Threads: the executor's loop.
// Errors: none.
Task<void> keep_certificate(boost::asio::any_io_executor executor, std::shared_ptr<dht::RingTrust> trust,
                            std::vector<std::string> nodes, std::function<Task<void>()> refresh);

// The same where an operator's own authority issues the certificates: takes up files that he replaced.
Task<void> follow_files(boost::asio::any_io_executor executor, dht::OperatorTrust* files,
                        std::function<Task<void>()> refresh);

}  // namespace ringfs::mount
