// The names of the ring's health.
#include "dht/base/ring/ring_view.hpp"

namespace ringfs {

std::string_view to_string(Health health) {
  switch (health) {
    case Health::ok: return "ok";
    case Health::degraded: return "degraded";
    case Health::readonly: return "readonly";
  }
  return "unknown";
}

}  // namespace ringfs
