// The trust of a process whose certificate an operator's own authority issued: RingTrust out of the operator's files,
// which he replaces before they expire.
//
// Threads: one loop; reading the files blocks for three small files. Errors: those of load_operator_files() when it is
// made; later they are logged once, and what was taken up before stays.
#pragma once

#include <memory>
#include <string>

#include "dht/net/transport/ring_trust.hpp"
#include "dht/net/trust/operator_files.hpp"

namespace ringfs::dht {

inline constexpr Duration operator_files_interval = std::chrono::seconds(5);  // between two looks

class OperatorTrust {
 public:
  static Result<OperatorTrust> make(OperatorFiles files, ExpectedHolder expected);

  const std::shared_ptr<RingTrust>& trust() const { return trust_; }
  // Takes up files that were replaced, for connections that are made from now on; open ones stay.
  void look();

 private:
  OperatorTrust(OperatorFiles files, ExpectedHolder expected, std::shared_ptr<RingTrust> trust)
      : files_(std::move(files)), expected_(expected), trust_(std::move(trust)) {}

  OperatorFiles files_;
  ExpectedHolder expected_;
  std::shared_ptr<RingTrust> trust_;
  std::string reported_;  // the last failure
};

}  // namespace ringfs::dht
