// The certificate of a process that an operator's own authority issued: three files that the operator names, and
// replaces when he likes (docs/security.md#an-operators-own-authority).
//
// `certificate` has the process's own certificate first, then those between it and the authority; `authorities` has
// whose signatures are taken; `key` is of mode 0600.
// Threads: blocking calls. Errors, with the file and the cause: invalid_argument (no PEM, another key, no URI or that
// of somebody else, another ring, another authority, not valid yet, expired), access_denied (others may read the key),
// not_found and io_error.
#pragma once

#include <string>

#include "dht/net/trust/credential_files.hpp"

namespace ringfs::dht {

struct OperatorFiles {
  std::string authorities, certificate, key;  // paths

  bool given() const { return !certificate.empty(); }
  // All of them are given, or none. Errors: invalid_argument, with what to call them as in "--tls-ca".
  Status check(const std::string& prefix) const;
  void make_absolute();  // for a process that changes its directory
};

struct ExpectedHolder {
  Identity::Kind kind{};
  Uuid ring;  // nil: any
  Uuid node;  // nil: any
};

// All that can be wrong is found here, and not by those who are shown the certificate.
Result<StoredCredentials> load_operator_files(const OperatorFiles& files, const ExpectedHolder& expected, Stamp now);

}  // namespace ringfs::dht
