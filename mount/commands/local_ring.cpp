// ring.json, and the processes of a local ring: which are to be started, and what becomes of each.
#include "mount/commands/local_ring.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "dht/base/read_file.hpp"
#include "mount/commands/pipe.hpp"

namespace ringfs::mount {
namespace {

using Json = nlohmann::ordered_json;

constexpr int ring_file_format = 1;
constexpr int database_unusable = 6;                     // of ringfs-node (nodes/main.cpp)
constexpr auto lock_timeout = std::chrono::seconds(60);  // another up or down ends by then
constexpr auto look_interval = std::chrono::milliseconds(5);

std::string cause() { return std::strerror(errno); }

std::string port_of(const std::string& address) { return address.substr(address.rfind(':') + 1); }

}  // namespace

// It only looks at 127.0.0.1, where a local ring listens. If another program takes the port meanwhile, the node's log
// says so.
bool port_in_use(const std::string& address) {
  unsigned port = 0;
  const std::string text = port_of(address);
  std::from_chars(text.data(), text.data() + text.size(), port);
  if (port == 0) return false;
  const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.value < 0) return false;
  const int yes = 1;
  setsockopt(socket.value, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(static_cast<std::uint16_t>(port));
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return bind(socket.value, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0 && errno == EADDRINUSE;
}

namespace {

// The log from `offset` on, or from its beginning if a new file has been begun.
std::ifstream log_from(const std::filesystem::path& log, std::uintmax_t offset) {
  std::error_code error;
  if (const std::uintmax_t size = std::filesystem::file_size(log, error); error || size < offset) offset = 0;
  std::ifstream file(log, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  return file;
}

// The first ready line.
std::optional<ReadyLine> ready_line_in(const std::filesystem::path& log, std::uintmax_t offset) {
  std::ifstream file = log_from(log, offset);
  for (std::string line; std::getline(file, line);) {
    if (file.eof()) break;  // half a line
    if (std::optional<ReadyLine> ready = parse_ready_line(line)) return ready;
  }
  return std::nullopt;
}

std::string with_log(const std::string& text, const std::filesystem::path& log) {
  const std::string tail = tail_of(log);
  return text +
         (tail.empty() ? "; its log " + log.string() + " is empty" : "; the end of " + log.string() + ":\n" + tail);
}

// What a node that ended wrote to its standard error (nodes/main.cpp); the end of its log if it wrote nothing.
std::string cause_of_end(int code, const std::filesystem::path& log, std::uintmax_t offset) {
  constexpr std::string_view mark = "ringfs-node: ";
  std::ifstream file = log_from(log, offset);
  std::string words;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(mark)) words = line.substr(mark.size());
  }
  const std::string ended = "it ended with code " + std::to_string(code);
  return words.empty() ? with_log(ended, log) : ended + ": " + words + "; its log is " + log.string();
}

struct Starting {
  LocalNode* node = nullptr;
  ProcessMark process;
  std::uintmax_t log_offset = 0;
};

// If it were started, it would make itself a new identity, which this ring does not know.
bool has_lost_data(const StateDirectory& state, const LocalNode& node) {
  std::error_code error;
  return node.id && !std::filesystem::exists(state.node_data(node.number) / "ringfs.db", error) && !error;
}

Result<Starting> start_node(const StateDirectory& state, LocalNode& node, const std::string& program) {
  std::error_code error;
  std::filesystem::create_directories(state.node_data(node.number), error);
  if (error)
    return fail(ErrorCode::io_error, "cannot make " + state.node_data(node.number).string() + ": " + error.message());
  Starting starting;
  starting.node = &node;
  const std::uintmax_t size = std::filesystem::file_size(state.node_log(node.number), error);
  starting.log_offset = error ? 0 : size;
  SpawnOptions options;
  options.log = state.node_log(node.number);
  options.arguments = {program,    "--data",     state.node_data(node.number).string(),
                       "--listen", node.rpc,     "--rest",
                       node.rest,  "--log-file", options.log.string()};
  options.new_session = true;
  const Result<ProcessMark> process = spawn_recorded(options, state.node_pid(node.number));
  if (!process) return tl::unexpected<Error>(process.error());
  starting.process = *process;
  return starting;
}

// Nothing while the node is starting. Then true, or false if it was removed from the ring. `lost`: its data is gone or
// cannot be used.
std::optional<Result<bool>> look_at(const StateDirectory& state, const Starting& starting, bool& lost) {
  LocalNode& node = *starting.node;
  const std::filesystem::path log = state.node_log(node.number);
  if (const std::optional<ReadyLine> ready = ready_line_in(log, starting.log_offset)) {
    if (node.id && *node.id != ready->id) {
      stop_processes({starting.process}, stop_grace);
      lost = true;
      return fail(ErrorCode::wrong_identity, "what lies in " + state.node_data(node.number).string() + " is node " +
                                                 ready->id.text() + ", but ring.json knows it as " + node.id->text() +
                                                 ": its data was replaced");
    }
    node.id = ready->id;
    node.rpc = ready->rpc;
    node.rest = ready->rest;
    return true;
  }
  if (const std::optional<int> code = exit_code_of(starting.process.pid)) {
    if (*code == 0) return false;  // it was removed from the ring (ringfs-node --help)
    lost = *code == database_unusable;
    return fail(ErrorCode::io_error, cause_of_end(*code, log, starting.log_offset));
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> LocalRing::addresses() const {
  std::vector<std::string> result;
  for (const LocalNode& node : nodes) result.push_back(node.rpc);
  return result;
}

std::string encode_local_ring(const LocalRing& ring) {
  Json json;
  json["format"] = ring_file_format;
  json["ring"] = ring.ring.text();
  json["created"] = ring.created;
  json["mount_point"] = ring.mount_point;
  json["partition_bits"] = ring.partition_bits;
  json["replication"] = ring.replication;
  json["nodes"] = Json::array();
  for (const LocalNode& node : ring.nodes) {
    Json entry;
    entry["number"] = node.number;
    entry["rpc"] = node.rpc;
    entry["rest"] = node.rest;
    entry["id"] = node.id ? Json(node.id->text()) : Json();
    if (node.replaces) entry["replaces"] = node.replaces->text();
    json["nodes"].push_back(std::move(entry));
  }
  return json.dump(2) + "\n";
}

Result<LocalRing> decode_local_ring(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    if (json.at("format").get<int>() != ring_file_format)
      return fail(ErrorCode::version_mismatch, "a format of another version");
    LocalRing ring;
    const Result<Uuid> id = parse_uuid(json.at("ring").get<std::string>());
    if (!id) return fail(ErrorCode::corrupt, "'ring' is no uuid");
    ring.ring = *id;
    ring.created = json.at("created").get<bool>();
    ring.mount_point = json.at("mount_point").get<std::string>();
    ring.partition_bits = json.at("partition_bits").get<unsigned>();
    ring.replication = json.at("replication").get<unsigned>();
    for (const Json& entry : json.at("nodes")) {
      LocalNode node;
      node.number = entry.at("number").get<unsigned>();
      node.rpc = entry.at("rpc").get<std::string>();
      node.rest = entry.at("rest").get<std::string>();
      if (!entry.at("id").is_null()) {
        const Result<Uuid> node_id = parse_uuid(entry.at("id").get<std::string>());
        if (!node_id) return fail(ErrorCode::corrupt, "the 'id' of a node is no uuid");
        node.id = *node_id;
      }
      if (entry.contains("replaces")) {
        const Result<Uuid> before = parse_uuid(entry.at("replaces").get<std::string>());
        if (!before) return fail(ErrorCode::corrupt, "what a node 'replaces' is no uuid");
        node.replaces = *before;
      }
      if (node.number <= (ring.nodes.empty() ? 0 : ring.nodes.back().number))
        return fail(ErrorCode::corrupt, "the numbers of the nodes do not ascend");
      if (node.rpc.find(':') == std::string::npos || node.rest.find(':') == std::string::npos) {
        return fail(ErrorCode::corrupt, "an address of a node is not host:port");
      }
      ring.nodes.push_back(std::move(node));
    }
    if (ring.nodes.empty() || ring.nodes.size() > max_local_nodes)
      return fail(ErrorCode::corrupt, "it names no nodes or too many");
    if (ring.partition_bits > 16) return fail(ErrorCode::corrupt, "'partition_bits' is out of range");
    return ring;
  } catch (const nlohmann::json::exception& error) {
    return fail(ErrorCode::corrupt, error.what());
  }
}

std::filesystem::path default_state_directory() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && state[0] == '/')
    return std::filesystem::path(state) / "ringfs/default";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home != nullptr && home[0] == '/' ? home : "/") / ".local/state/ringfs/default";
}

std::filesystem::path state_path(const std::string& option) {
  return option.empty() ? default_state_directory() : std::filesystem::absolute(option).lexically_normal();
}

std::optional<ReadyLine> parse_ready_line(std::string_view line) {
  ReadyLine ready;
  const auto take = [&line](std::string_view word) {
    if (!line.starts_with(word)) return std::string_view();
    line.remove_prefix(word.size());
    const std::string_view value = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(value.size() + 1, line.size()));
    return value;
  };
  const Result<Uuid> id = parse_uuid(take("ready node="));
  ready.rpc = std::string(take("rpc="));
  ready.rest = std::string(take("rest="));
  if (!id || ready.rpc.empty() || ready.rest.empty()) return std::nullopt;
  ready.id = *id;
  return ready;
}

std::string StateDirectory::option() const {
  return path_ == default_state_directory() ? "" : " --state " + path_.string();
}

Status StateDirectory::lock() {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (error)
    return fail(ErrorCode::io_error, "cannot make the state directory " + path_.string() + ": " + error.message());
  lock_.emplace(::open((path_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock_->value < 0) return fail(ErrorCode::io_error, "cannot open " + (path_ / "lock").string() + ": " + cause());
  const auto end = std::chrono::steady_clock::now() + lock_timeout;
  while (flock(lock_->value, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return fail(ErrorCode::io_error, "cannot lock " + path_.string() + ": " + cause());
    if (std::chrono::steady_clock::now() >= end) {
      return fail(ErrorCode::timeout, "another ringfs up or down works on " + path_.string());
    }
    std::this_thread::sleep_for(look_interval);
  }
  return {};
}

Result<LocalRing> StateDirectory::load() const {
  const Result<std::string> text = read_file(ring_file());
  if (!text && text.error().code == ErrorCode::not_found)
    return fail(ErrorCode::not_found, "there is no ring in " + path_.string());
  if (!text) return tl::unexpected(text.error());
  Result<LocalRing> ring = decode_local_ring(*text);
  if (!ring) {
    return fail(ring.error().code, ring_file().string() + " is damaged (" + ring.error().context +
                                       "): put a good copy back, or move the whole directory away to start anew");
  }
  return ring;
}

Status StateDirectory::save(const LocalRing& ring) const {
  const std::filesystem::path temporary = path_ / "ring.json.new";
  const std::string text = encode_local_ring(ring);
  Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  bool good = file.value >= 0 && ::write(file.value, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
              fsync(file.value) == 0;
  const std::string why = cause();
  close_now(file);
  good = good && ::rename(temporary.c_str(), ring_file().c_str()) == 0;
  if (!good) return fail(ErrorCode::io_error, "cannot write " + ring_file().string() + ": " + why);
  const Descriptor directory(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.value >= 0) fsync(directory.value);
  return {};
}

namespace {

// One `up`: which nodes are to be started, and what becomes of each.
class Start {
 public:
  Start(const StateDirectory& state, LocalRing& ring, std::chrono::steady_clock::time_point deadline)
      : state_(state), ring_(ring), deadline_(deadline) {}

  Result<StartReport> run() {
    const Result<std::string> program = find_program("ringfs-node");
    if (!program) return tl::unexpected<Error>(program.error());
    wait_for_killed();
    for (LocalNode& node : ring_.nodes) {
      if (is_wanted(node) && can_start(node)) begin(node, *program);
    }
    wait_until_ready();
    std::erase_if(report_.started, [&](unsigned number) { return removed_.contains(number) || has_problem(number); });
    std::erase_if(ring_.nodes, [&](const LocalNode& node) { return removed_.contains(node.number); });
    if (ring_.nodes.empty())
      return fail(ErrorCode::not_found, "every node in " + state_.path().string() + " was removed from its ring");
    return std::move(report_);
  }

 private:
  bool has_problem(unsigned number) const {
    return std::any_of(report_.problems.begin(), report_.problems.end(),
                       [&](const NodeProblem& one) { return one.number == number; });
  }
  void problem(unsigned number, Error error, std::string next = {}) {
    report_.problems.push_back({number, std::move(error), std::move(next)});
  }

  // A node that was killed a moment ago holds its ports and its directory until its last thread returns from the disk.
  void wait_for_killed() {
    std::vector<ProcessMark> ending;
    for (const LocalNode& node : ring_.nodes) {
      const std::optional<ProcessMark> mark = read_pid_file(state_.node_pid(node.number));
      if (mark && life_of(*mark) == ProcessLife::ending) ending.push_back(*mark);
    }
    const std::vector<ProcessMark> left = wait_until_gone(std::move(ending), stop_grace);
    for (const LocalNode& node : ring_.nodes) {
      const std::optional<ProcessMark> mark = read_pid_file(state_.node_pid(node.number));
      const bool still =
          mark && std::any_of(left.begin(), left.end(), [&](const ProcessMark& one) { return one.pid == mark->pid; });
      if (!still) continue;
      problem(node.number,
              Error{ErrorCode::timeout, "its process " + std::to_string(mark->pid) +
                                            " was killed but has not ended yet; look at its disk, and try again"});
    }
  }

  bool is_wanted(const LocalNode& node) {
    if (has_problem(node.number)) return false;
    const std::optional<ProcessMark> running = running_from(state_.node_pid(node.number));
    // An `up` started it and was cut short before it learned where the node listens: start it anew.
    const bool unknown = running && (!node.id || port_of(node.rpc) == "0" || port_of(node.rest) == "0");
    if (unknown) stop_processes({*running}, stop_grace);
    return !running || unknown;
  }

  bool can_start(const LocalNode& node) {
    if (has_lost_data(state_, node)) {
      problem(node.number,
              Error{ErrorCode::wrong_identity, "its data is gone: there is no database in " +
                                                   state_.node_data(node.number).string() +
                                                   "; put the directory back, or give its place to a new node"},
              replace_command(state_, ring_, node.number));
      return false;
    }
    for (const std::string& address : {node.rpc, node.rest}) {
      if (!port_in_use(address)) continue;
      problem(node.number,
              Error{ErrorCode::exists,
                    "its port " + port_of(address) + " of " + address + " is in use" +
                        (ring_.created ? "" : "; or choose other ports with --rpc-port and --rest-port")},
              "ss -ltnp sport = :" + port_of(address));
      return false;
    }
    return true;
  }

  void begin(LocalNode& node, const std::string& program) {
    Result<Starting> one = start_node(state_, node, program);
    if (!one) return problem(node.number, one.error());
    report_.started.push_back(node.number);
    starting_.push_back(std::move(*one));
  }

  void wait_until_ready() {
    for (;;) {
      std::erase_if(starting_, [&](const Starting& one) { return has_ended(one); });
      if (starting_.empty()) return;
      if (std::chrono::steady_clock::now() >= deadline_) break;
      std::this_thread::sleep_for(look_interval);
    }
    for (const Starting& one : starting_) {
      problem(one.node->number,
              Error{ErrorCode::timeout, with_log("it did not come up in time", state_.node_log(one.node->number))});
    }
  }

  bool has_ended(const Starting& one) {
    bool lost = false;
    const std::optional<Result<bool>> member = look_at(state_, one, lost);
    if (!member) return false;
    const unsigned number = one.node->number;
    if (!*member) problem(number, member->error(), lost ? replace_command(state_, ring_, number) : std::string());
    if (*member && !**member) removed_.insert(number);
    return true;
  }

  const StateDirectory& state_;
  LocalRing& ring_;
  const std::chrono::steady_clock::time_point deadline_;
  std::vector<Starting> starting_;
  std::set<unsigned> removed_;
  StartReport report_;
};

}  // namespace

Result<StartReport> start_nodes(const StateDirectory& state, LocalRing& ring,
                                std::chrono::steady_clock::time_point deadline) {
  return Start(state, ring, deadline).run();
}

std::string replace_command(const StateDirectory& state, const LocalRing& ring, unsigned number) {
  return "ringfs up --replace " + std::to_string(number) + state.option() + " " +
         (ring.mount_point.empty() ? "MOUNTPOINT" : ring.mount_point);
}

unsigned next_number(const StateDirectory& state, const LocalRing& ring) {
  unsigned last = ring.nodes.empty() ? 0 : ring.nodes.back().number;
  std::error_code error;
  for (const std::filesystem::directory_entry& entry :
       std::filesystem::directory_iterator(state.path() / "nodes", error)) {
    unsigned number = 0;
    const std::string name = entry.path().filename().string();
    const auto [end, bad] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (bad == std::errc() && end == name.data() + name.size()) last = std::max(last, number);
  }
  return last + 1;
}

}  // namespace ringfs::mount
