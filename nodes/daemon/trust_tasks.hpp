// What a node does about certificates while it runs: lets newcomers in, gets and renews its own, commits the authority
// of the ring that it founded, and answers whoever administers these.
//
// A member without a certificate gets one as soon as the ring has an authority: one of a ring that was made without.
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

  using TakeTrust = std::function<void(std::shared_ptr<dht::RingTrust>)>;

  // `client` is used as soon as `client_started`. `trust`: null until `take_trust` gets it.
  TrustTasks(dht::Driver& driver, dht::ObjectClient& client, std::function<bool()> client_started,
             NodeCredentials credentials, std::shared_ptr<dht::RingTrust> trust, TakeTrust take_trust,
             std::string address, std::string rest_address);

  // These two answer once. Errors: unavailable, before the client has started.
  Task<void> admit(dht::JoinRequest request, std::optional<dht::Certificate> shown,
                   std::function<void(Result<dht::JoinAnswer>)> answer);
  Task<void> administer(std::string question, AccessRole role, std::function<void(Result<std::string>)> answer);

  // Ends when the authority is in the ring; at once when there is none to be committed.
  Task<void> commit_authority();
  Task<void> renew();  // and gets the first one; until it is cancelled

 private:
  class Turn;  // one of max_open_requests

  Task<Status> enrol_now();
  Task<Status> renew_now();
  bool may_enrol() const;
  dht::JoinRequest own_request(std::string pem) const;
  dht::Admission admission();
  std::function<Stamp()> ring_time() const;
  dht::Issuer issuer() const { return trust_ == nullptr ? dht::Issuer::ring : trust_->issuer(); }

  dht::Driver& driver_;
  dht::ObjectClient& client_;
  const std::function<bool()> client_started_;
  const NodeCredentials credentials_;
  std::shared_ptr<dht::RingTrust> trust_;
  const TakeTrust take_trust_;
  const std::string address_, rest_address_;
  std::size_t open_requests_ = 0;
  bool founding_ = true;  // the authority is not known to be in the ring yet: until commit_authority() has ended
};

}  // namespace ringfs::nodes
