// What a node does when somebody asks for a certificate: a newcomer with a token, or a holder who renews.
//
// A newcomer's row in the members table, with the hash of its key, and the use of its token are one transaction. So a
// token with one use has one winner, from whichever nodes two ask. Whoever asks again with the same key, because an
// answer was lost, gets a certificate without another use. The certificate is signed afterwards: it counts for as long
// as the row is there (docs/security.md).
//
// A renewal changes nothing in the ring. The key stays, and must still be in the table.
// Threads: one loop; the store outlives it and its calls. Errors, with words for whoever asked: invalid_argument,
// access_denied (the token or the certificate does not let it in), exists (name or uuid belong to another key), busy,
// out_of_range (a full table), not_supported (the ring has no authority), unavailable (the ring did not carry it out;
// asking again is safe), corrupt.
#pragma once

#include <functional>
#include <optional>

#include "dht/base/object_store.hpp"
#include "dht/core/protocol/members_table.hpp"
#include "dht/net/trust/certificate.hpp"
#include "dht/net/wire/codec.hpp"

namespace ringfs::dht {

// How long after its end a client's certificate can still be renewed. A node's can as long as the node is a member.
inline constexpr Duration renewal_time = std::chrono::hours(24 * 365);

class Admission {
 public:
  Admission(ObjectStore& store, std::function<Stamp()> ring_time, Uuid ring);

  // `shown`: the certificate of the connection, whose holder has proved in the handshake that the key is its own.
  // Whether it still counts is asked here.
  Task<Result<JoinAnswer>> admit(JoinRequest request, std::optional<Certificate> shown, TimePoint deadline);

  // The first certificate of a member of a ring that was made without an authority, which the member asks for itself,
  // with its own client. Its key is in the table before it is signed for. Again with the same key: the same again.
  // Errors: as above; removed, not_found (it is no member).
  Task<Result<JoinAnswer>> enrol(JoinRequest request, TimePoint deadline);

 private:
  Task<Result<JoinAnswer>> join(JoinRequest request, KeyHash key, TimePoint deadline);
  Task<Result<JoinAnswer>> renew(JoinRequest request, Certificate shown, KeyHash key, TimePoint deadline);
  Task<Result<JoinAnswer>> sign(JoinRequest request, MembersTable table, TimePoint deadline);

  ObjectStore& store_;
  const std::function<Stamp()> ring_time_;
  const Uuid ring_;
};

}  // namespace ringfs::dht
