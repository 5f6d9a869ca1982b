// Randomness comes through constructors, so that one seed decides a simulation.
#pragma once

#include <cstdint>

namespace ringfs {

class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;

  // Uniform in [0, bound); bound > 0. The modulo's bias is below 2^-32 for the bounds in use.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
};

// xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64: fast, not for secrets.
class SeededRandom : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed);
  std::uint64_t next() override;

 private:
  std::uint64_t state_[4];
};

// OpenSSL's RAND_bytes: identities and inode numbers. Aborts when the system has no randomness.
class SystemRandom : public Random {
 public:
  std::uint64_t next() override;
};

}  // namespace ringfs
