// Reads a scenario, carries its commands out, and writes down what they gave.
#include "tests/unit/core/scenarios/scenario.hpp"

#include <gtest/gtest.h>

#include <charconv>
#include <sstream>

namespace ringfs::dht::test {

namespace {

constexpr const char* indent = "    ";

Words words_of(const std::string& line) {
  Words words;
  std::istringstream stream(line);
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string at(const std::string& file, std::size_t line) { return file + ":" + std::to_string(line) + ": "; }

bool is_trace(const std::string& line) { return line.starts_with(' ') || line.starts_with('\t'); }

std::uint64_t parse_number(const std::string& text, std::string& unit) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) throw BadCommand("a number is expected, not '" + text + "'");
  unit.assign(end, text.data() + text.size());
  return value;
}

}  // namespace

ScenarioResult run_scenario(const std::string& file, const std::string& text, ScenarioDriver& driver) {
  ScenarioResult result;
  std::size_t number = 0, commands = 0;
  for (const std::string& line : lines_of(text)) {
    ++number;
    if (is_trace(line)) continue;  // written anew
    result.text += line + "\n";
    if (line.empty() || line.starts_with('#')) continue;
    ++commands;
    const bool whole = driver.broken().empty();
    try {
      for (const std::string& traced : driver.execute(words_of(line))) result.text += indent + traced + "\n";
    } catch (const BadCommand& bad) {
      result.error = at(file, number) + bad.what();
      return result;
    }
    if (::testing::Test::HasFatalFailure()) {  // an assertion of the cluster, the store or the network: it is printed
      result.error = at(file, number) + "the driver could not go on";
      return result;
    }
    if (whole && !driver.broken().empty()) result.text += indent + ("BROKEN: " + driver.broken()) + "\n";
    if (!driver.broken().empty() && !driver.must_break()) {
      result.error = at(file, number) + driver.broken();
      return result;
    }
  }
  if (commands == 0) result.error = file + ": no command";
  if (driver.must_break() && driver.broken().empty()) result.error = file + ": nothing broke without the guard";
  return result;
}

std::string first_difference(const std::string& file, const std::string& expected, const std::string& got) {
  const std::vector<std::string> left = lines_of(expected), right = lines_of(got);
  for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    const std::string wanted = i < left.size() ? left[i] : "<end of file>";
    const std::string found = i < right.size() ? right[i] : "<end of file>";
    if (wanted != found) return at(file, i + 1) + "the trace is another one\n  file: " + wanted + "\n  now:  " + found;
  }
  return expected == got ? "" : file + ": the last line has no end";
}

const std::string& Arguments::peek() const {
  if (!more()) throw BadCommand("'" + name() + "' needs more arguments");
  return command_[next_];
}

std::string Arguments::word() {
  std::string found = peek();
  ++next_;
  return found;
}

bool Arguments::take(const std::string& expected) {
  if (!more() || command_[next_] != expected) return false;
  ++next_;
  return true;
}

std::uint64_t Arguments::number() {
  std::string unit;
  const std::uint64_t value = parse_number(peek(), unit);
  if (!unit.empty()) throw BadCommand("a number is expected, not '" + peek() + "'");
  ++next_;
  return value;
}

Duration Arguments::duration() {
  std::string unit;
  const auto value = static_cast<Duration::rep>(parse_number(peek(), unit));
  if (unit != "ms" && unit != "s") throw BadCommand("a time in ms or s is expected, not '" + peek() + "'");
  ++next_;
  return unit == "s" ? Duration(std::chrono::seconds(value)) : Duration(std::chrono::milliseconds(value));
}

void Arguments::end() const {
  if (more()) throw BadCommand("'" + name() + "' does not take '" + command_[next_] + "'");
}

std::string joined(const std::vector<std::string>& parts, const std::string& between) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : between) + part;
  return text;
}

}  // namespace ringfs::dht::test
