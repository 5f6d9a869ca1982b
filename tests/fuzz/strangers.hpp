// What somebody whom nobody knows can make a node read: TLS records before and while a connection is established, and
// the frames with which it introduces itself. The mutations of CTest and the libFuzzer targets run the same functions.
#pragma once

#include <cstdint>
#include <string_view>

namespace ringfs::strangers {

// What came of one input.
struct Outcome {
  bool introduced = false;   // frames: a handshake, a request for a certificate or a question was decoded
  bool signed_key = false;   // frames: a certificate was issued for it
  bool refused = false;      // the connection ended with an error
  bool established = false;  // records: both ends are, and know each other
  std::uint64_t passed = 0;  // records: bytes of plain text that came through
};

// The first byte says in what pieces the rest arrives at a server that does not know its peer.
Outcome frames(std::string_view input);
// The first byte says at what point and to which end of a connection the rest arrives, or how what they send is
// changed.
Outcome records(std::string_view input);

}  // namespace ringfs::strangers
