// What a node does about certificates while it runs: lets newcomers in, renews its own, commits the authority of the
// ring that it founded, and answers whoever administers these.
//
// Its certificate is renewed when two thirds of its life are over, or when another authority signs. Connections stay
// open. Threads: the node's loop. Errors: of requests to whoever asked; of the rest logged, and tried again later.
// Limits: max_open_requests at once, request_limit each.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "dht/net/client/admission.hpp"
#include "dht/net/client/object_client.hpp"
#include "dht/net/runtime/driver.hpp"
#include "dht/net/transport/ring_trust.hpp"
#include "nodes/daemon/node_credentials.hpp"
#include "nodes/daemon/trust_desk.hpp"

namespace ringfs::nodes {

class TrustTasks {
 public:
  static constexpr std::size_t max_open_requests = 64;

  // `client` is used as soon as `client_started`.
  TrustTasks(dht::Driver& driver, dht::ObjectClient& client, std::function<bool()> client_started,
             NodeCredentials credentials, std::shared_ptr<dht::RingTrust> trust, std::string address,
             std::string rest_address);

  // These two answer once. Errors: unavailable, before the client has started.
  Task<void> admit(dht::JoinRequest request, std::optional<dht::Certificate> shown,
                   std::function<void(Result<dht::JoinAnswer>)> answer);
  Task<void> administer(std::string question, AccessRole role, std::function<void(Result<std::string>)> answer);

  // Ends when the authority is in the ring; at once when there is none to be committed.
  Task<void> commit_authority();
  Task<void> renew();  // until it is cancelled

 private:
  class Turn;  // one of max_open_requests

  Task<Status> renew_now();

  dht::Driver& driver_;
  dht::ObjectClient& client_;
  const std::function<bool()> client_started_;
  const NodeCredentials credentials_;
  const std::shared_ptr<dht::RingTrust> trust_;
  const std::string address_, rest_address_;
  dht::Admission admission_;
  TrustDesk desk_;
  std::size_t open_requests_ = 0;
  bool founding_ = true;  // the authority is not known to be in the ring yet: until commit_authority() has ended
};

}  // namespace ringfs::nodes
