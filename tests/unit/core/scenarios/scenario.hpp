// Scenarios: protocol tests as text (after the tests of etcd's raft). A file holds commands and, indented under each,
// the trace that it gave:
//
//   # A comment says which figure or section this is.
//   ring 3
//
//   timeout S1
//       S1 is pre-candidate of term 0
//
// A driver carries the commands out; the test compares what it traces with what the file has. CONTRIBUTING.md says how
// to write one and how to rewrite its traces.
//
// Errors: a command that nobody knows, or with arguments that make no sense, ends the scenario and names file and line.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "dht/base/time.hpp"

namespace ringfs::dht::test {

using Words = std::vector<std::string>;

// What a driver throws at a command that makes no sense.
struct BadCommand : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class ScenarioDriver {
 public:
  virtual ~ScenarioDriver() = default;
  // The trace of one command, a line each. Throws BadCommand.
  virtual std::vector<std::string> execute(const Words& command) = 0;
  // What must not happen and did, in any command so far; empty: nothing.
  virtual std::string broken() const = 0;
  // A guard is switched off: something must break.
  virtual bool must_break() const { return false; }
};

struct ScenarioResult {
  std::string text;   // the scenario with the traces that it gave
  std::string error;  // with file and line; empty: all commands were carried out and nothing broke
};

ScenarioResult run_scenario(const std::string& file, const std::string& text, ScenarioDriver& driver);

// Where two texts differ first, with the lines of both; empty: nowhere.
std::string first_difference(const std::string& file, const std::string& expected, const std::string& got);

// ---- For drivers: what words mean -------------------------------------------------------------------

// The arguments of a command, taken one after the other.
class Arguments {
 public:
  explicit Arguments(const Words& command) : command_(command) {}
  const std::string& name() const { return command_.front(); }
  bool more() const { return next_ < command_.size(); }
  const std::string& peek() const;
  std::string word();
  bool take(const std::string& expected);  // false: the next one is another, and stays
  std::uint64_t number();
  Duration duration();  // 300ms, 5s
  // Each command calls it when it has taken what it knows.
  void end() const;

 private:
  const Words& command_;
  std::size_t next_ = 1;
};

std::string joined(const std::vector<std::string>& parts, const std::string& between = " ");

}  // namespace ringfs::dht::test
