// `.ring/` as a table: each row has a file's name, its mode and how its text is made (docs/control-files.md).
//
// Inode numbers: top bit, 7 bits of kind, 56 bits of number. Fixed files are numbered by their row, nodes by a hash of
// their uuid, names in lookup/ by a hash of the name; so they are the same on every mount. The lookup that gives out a
// hashed number remembers what it stands for, up to a limit. A forgotten number gives stale_handle, and the kernel
// looks the name up again.
#include "fs/control/control_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <span>
#include <string_view>
#include <unordered_map>

#include "dht/base/hash.hpp"
#include "dht/base/percent.hpp"
#include "dht/base/ring/settings.hpp"
#include "fs/control/commands.hpp"
#include "fs/control/rebalance_pace.hpp"
#include "fs/control/ring_watch.hpp"
#include "fs/control/utc_text.hpp"
#include "fs/interruptible.hpp"

namespace ringfs::fs {
namespace {

constexpr std::size_t max_remembered_names = 4096;  // each came from a lookup; far more than programs have open
constexpr std::size_t max_error_log_records = 32;   // docs/design.md#control-files
constexpr std::size_t max_stranger_records = 8;     // of users who may not give commands
constexpr std::size_t max_error_text_bytes = 512;   // of one record
constexpr std::size_t max_command_bytes = 4096;     // of one line; a longer one gives E2BIG

enum class Kind : std::uint8_t { fixed = 0, node_directory = 1, node_file = 2, lookup_name = 3, setting = 4 };
constexpr unsigned kind_shift = 56;
constexpr InodeNumber number_mask = (InodeNumber{1} << kind_shift) - 1;
constexpr unsigned node_file_bits = 8;  // the low bits of a node file's number say which file it is

enum class File : std::uint8_t {
  root,
  version,
  id,
  health,
  status,
  members,
  ring,
  node,
  lookup,
  stats,
  metrics,
  error_log,
  wait,
  add,
  remove,
  config,
  rebalance,
  events,
};

struct FixedEntry {
  std::string_view name;
  File file;
  std::uint32_t mode;
};

// The order is part of the inode numbers: append, never reorder.
constexpr auto fixed_entries = std::to_array<FixedEntry>({
    {"", File::root, S_IFDIR | 0555},
    {"version", File::version, S_IFREG | 0444},
    {"id", File::id, S_IFREG | 0444},
    {"health", File::health, S_IFREG | 0444},
    {"status", File::status, S_IFREG | 0444},
    {"members", File::members, S_IFREG | 0444},
    {"ring", File::ring, S_IFREG | 0444},
    {"node", File::node, S_IFDIR | 0555},
    {"lookup", File::lookup, S_IFDIR | 0555},
    {"stats", File::stats, S_IFREG | 0444},
    {"metrics", File::metrics, S_IFREG | 0444},
    {"error_log", File::error_log, S_IFREG | 0644},
    {"wait", File::wait, S_IFREG | 0444},
    {"add", File::add, S_IFREG | 0200},
    {"remove", File::remove, S_IFREG | 0200},
    {"config", File::config, S_IFDIR | 0555},
    {"rebalance", File::rebalance, S_IFREG | 0644},
    {"events", File::events, S_IFREG | 0444},
});

std::string used_bytes(const MemberView& member) { return member.answers ? std::to_string(member.used_bytes) : "-"; }

std::string share_text(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", share);
  return text;
}

std::string round_trip_text(const std::optional<Duration>& round_trip) {
  return round_trip ? std::to_string(round_trip->count()) : "-";
}

struct NodeEntry {
  std::string_view name;
  std::string (*text)(const MemberView&);
};

// The order is part of the inode numbers: append, never reorder.
constexpr auto node_entries = std::to_array<NodeEntry>({
    {"address", [](const MemberView& member) { return member.address; }},
    {"state", [](const MemberView& member) { return std::string(to_string(member.state)); }},
    {"used", used_bytes},
    {"share", [](const MemberView& member) { return share_text(member.share); }},
    {"rtt_us", [](const MemberView& member) { return round_trip_text(member.round_trip); }},
    {"rest", [](const MemberView& member) { return member.rest_address; }},
});

constexpr InodeNumber make_inode(Kind kind, std::uint64_t number) {
  return ControlTree::root | (static_cast<InodeNumber>(kind) << kind_shift) | (number & number_mask);
}
constexpr Kind kind_of(InodeNumber inode) { return static_cast<Kind>((inode >> kind_shift) & 0x7f); }
constexpr std::uint64_t number_of(InodeNumber inode) { return inode & number_mask; }

static_assert(make_inode(Kind::fixed, 0) == ControlTree::root);

// The key that a name in lookup/ stands for. None: a % without two hexadecimal digits behind it, or a NUL.
std::optional<std::string> key_of(std::string_view name) {
  Result<std::string> key = percent_decode(name);
  if (!key || key->find('\0') != std::string::npos) return std::nullopt;
  return std::move(*key);
}

std::string id_or_dash(const std::optional<Uuid>& id) { return id ? id->text() : "-"; }

std::string status_text(const RingStatus& status) {
  std::string text;
  auto line = [&text](std::string_view name, std::string_view value) {
    text.append(name).append(" ").append(value).append("\n");
  };
  line("state", to_string(status.health));
  line("nodes", std::to_string(status.nodes));
  line("up", std::to_string(status.answering));
  line("replication", std::to_string(status.replication));
  line("partitions", std::to_string(status.partitions));
  line("under-replicated", std::to_string(status.under_replicated));
  line("leaderless", std::to_string(status.leaderless));
  line("table-version", std::to_string(status.table_version));
  line("moving", status.moving ? "yes" : "no");
  for (const std::string& remark : status.remarks) line("remark", remark);
  return text;
}

// The word for the ring's health, then a sentence for each problem.
std::string health_text(const RingStatus& status) {
  std::string text = std::string(to_string(status.health)) + "\n";
  if (status.health == Health::ok) return text;
  for (const std::string& remark : status.remarks) text += remark + "\n";
  return text;
}

std::string members_text(const std::vector<MemberView>& members) {
  std::string text;
  for (const MemberView& member : members) {
    text += member.id.text() + " " + member.address + " " + std::string(to_string(member.state)) + " " +
            std::to_string(member.tokens.size()) + " " + share_text(member.share) + " " + used_bytes(member) + "\n";
  }
  return text;
}

std::string ring_text(const std::vector<PartitionView>& partitions) {
  std::string text;
  for (const PartitionView& partition : partitions) {
    text += partition.anchor.hex() + " " + id_or_dash(partition.leader) + " ";
    for (std::size_t i = 0; i < partition.replicas.size(); ++i) {
      if (i > 0) text += ",";
      text += partition.replicas[i].text();
    }
    if (partition.replicas.empty()) text += "-";
    text += " " + std::to_string(partition.term) + "\n";
  }
  return text;
}

std::string route_text(const RouteView& route) {
  std::string text = "position " + route.position.hex() + "\n";
  text += "partition " + std::to_string(index_of(route.partition)) + "\n";
  text += "primary " + route.primary.text() + "\n";
  text += "leader " + id_or_dash(route.leader) + "\n";
  for (const Uuid& replica : route.replicas) text += "replica " + replica.text() + "\n";
  for (const RouteHop& hop : route.hops) {
    text += "hop " + hop.node.text() + " " + hop.address + " " + hop.token.hex() + " " +
            std::to_string(hop.round_trip.count()) + "\n";
  }
  return text;
}

// The samples of a Prometheus text as `name=value`, one a line.
std::string stats_text(std::string_view metrics) {
  std::string text;
  while (!metrics.empty()) {
    const std::size_t end = std::min(metrics.find('\n'), metrics.size());
    const std::string_view line = metrics.substr(0, end);
    metrics.remove_prefix(std::min(end + 1, metrics.size()));
    if (line.empty() || line.front() == '#') continue;
    // Labels may hold spaces: the name ends behind them, if there are any.
    const std::size_t labels = line.rfind('}');
    const std::size_t space = line.find(' ', labels == std::string_view::npos ? 0 : labels);
    if (space == std::string_view::npos) continue;
    text.append(line.substr(0, space)).append("=").append(line.substr(space + 1)).append("\n");
  }
  return text;
}

std::string rebalance_text(const RebalanceView& view, std::uint64_t bytes_a_second,
                           const std::optional<Duration>& left) {
  const char* state = view.unsettled == 0 ? "idle" : view.paused ? "paused" : "moving";
  std::string text = std::string("state ") + state + "\n";
  text += "settled " + std::to_string(view.partitions - view.unsettled) + "/" + std::to_string(view.partitions) + "\n";
  text += "learners " + std::to_string(view.learners) + "\n";
  text += "sent-bytes " + std::to_string(view.sent_bytes) + "\n";
  text += "bytes-per-second " + std::to_string(bytes_a_second) + "\n";
  text += "eta-seconds " +
          (left ? std::to_string(std::chrono::duration_cast<std::chrono::seconds>(*left).count()) : std::string("-")) +
          "\n";
  text += "limit " +
          (view.rate_limit == unlimited_rebalance_rate ? std::string("none") : std::to_string(view.rate_limit)) + "\n";
  return text;
}

std::string line(std::string_view value) { return std::string(value) + "\n"; }

}  // namespace

class ControlTree::Implementation {
 public:
  Implementation(RingView& ring, RingAdmin& admin, ObjectStore& store, FileSystemOptions options)
      : ring_(ring),
        admin_(admin),
        store_(store),
        options_(options),
        born_(store.clock().stamp),
        watch_(ring, store, options.operation_timeout) {}

  void set_operation_timeout(Duration timeout) {
    options_.operation_timeout = timeout;
    watch_.set_operation_timeout(timeout);
  }
  void add_metrics(std::function<std::string()> text) { more_metrics_ = std::move(text); }

  Task<Result<Attributes>> lookup(InodeNumber parent, std::string name) {
    if (name.size() > max_name_bytes) co_return fail(ErrorCode::name_too_long);
    if (name == ".") co_return attributes_of(parent);
    if (name == "..") co_return attributes_of(above(parent));
    if (kind_of(parent) == Kind::node_directory) {
      if (!remembered_nodes_.contains(number_of(parent))) co_return fail(ErrorCode::stale_handle);
      for (std::size_t i = 0; i < node_entries.size(); ++i) {
        if (node_entries[i].name == name) co_return attributes_of(node_file_inode(number_of(parent), i));
      }
      co_return fail(ErrorCode::not_found);
    }
    const FixedEntry* directory = fixed(parent);
    if (directory == nullptr) co_return fail(ErrorCode::not_directory);
    switch (directory->file) {
      case File::root:
        for (std::size_t i = 1; i < fixed_entries.size(); ++i) {
          if (fixed_entries[i].name == name) co_return attributes_of(make_inode(Kind::fixed, i));
        }
        co_return fail(ErrorCode::not_found);
      case File::lookup: {
        if (!key_of(name)) co_return fail(ErrorCode::not_found, "a % is followed by two hexadecimal digits");
        co_return attributes_of(remember_name(name));
      }
      case File::node: {
        const Result<Uuid> id = parse_uuid(name);
        // Only the spelling that listings give: parse_uuid may accept upper case.
        if (!id || id->text() != name) co_return fail(ErrorCode::not_found);
        const Result<MemberView> member = co_await find_member(*id);
        if (!member) co_return tl::unexpected<Error>(member.error());
        co_return attributes_of(remember_node(*id));
      }
      case File::config: {
        const std::optional<std::size_t> setting = setting_number(name);
        if (!setting) co_return fail(ErrorCode::not_found, "no such setting");
        co_return attributes_of(make_inode(Kind::setting, *setting));
      }
      default: co_return fail(ErrorCode::not_directory);
    }
  }

  Result<Attributes> attributes_of(InodeNumber inode) const {
    Attributes attributes;
    attributes.inode = inode;
    attributes.uid = options_.owner;
    attributes.generation = 1;
    switch (kind_of(inode)) {
      case Kind::fixed: {
        const FixedEntry* entry = fixed(inode);
        if (entry == nullptr) return fail(ErrorCode::stale_handle);
        attributes.mode = entry->mode;
        break;
      }
      case Kind::node_directory:
        if (!remembered_nodes_.contains(number_of(inode))) return fail(ErrorCode::stale_handle);
        attributes.mode = S_IFDIR | 0555;
        break;
      case Kind::node_file:
        if (!remembered_nodes_.contains(node_number(inode)) || node_file(inode) >= node_entries.size()) {
          return fail(ErrorCode::stale_handle);
        }
        attributes.mode = S_IFREG | 0444;
        break;
      case Kind::setting:
        if (number_of(inode) >= setting_rules().size()) return fail(ErrorCode::stale_handle);
        attributes.mode = S_IFREG | 0644;
        break;
      case Kind::lookup_name:
        if (!remembered_names_.contains(number_of(inode))) return fail(ErrorCode::stale_handle);
        attributes.mode = S_IFREG | 0444;
        break;
      default: return fail(ErrorCode::stale_handle);
    }
    attributes.links = S_ISDIR(attributes.mode) ? 2 : 1;
    attributes.accessed = attributes.modified = attributes.changed = TimeSpec{born_.microseconds * 1000};
    return attributes;
  }

  Task<Result<std::string>> open(Caller caller, InodeNumber inode, int flags) {
    Result<Attributes> attributes = attributes_of(inode);
    if (!attributes) co_return tl::unexpected<Error>(attributes.error());
    if (S_ISDIR(attributes->mode)) co_return fail(ErrorCode::is_directory);
    const int access = flags & O_ACCMODE;
    if (access != O_WRONLY && (attributes->mode & 0444) == 0) {
      co_return refuse(caller, inode, ErrorCode::access_denied, "this file can only be written");
    }
    if (access != O_RDONLY) {
      if ((attributes->mode & 0200) == 0) {
        co_return refuse(caller, inode, ErrorCode::access_denied, "this file can only be read");
      }
      if (!may_command(caller)) {
        co_return refuse(caller, inode, ErrorCode::not_permitted,
                         "only root and the owner of the mount may write here");
      }
    }
    if (access == O_WRONLY) co_return std::string();
    Result<std::string> text = co_await read(inode);
    if (!text && text.error().code != ErrorCode::interrupted) record(name_of(inode), text.error(), may_command(caller));
    co_return text;
  }

  Task<Result<std::string>> read_events(std::shared_ptr<EventStream> stream, std::uint64_t offset, std::size_t size) {
    Result<std::string> text = co_await watch_.read(std::move(stream), offset, size);
    if (!text && text.error().code != ErrorCode::interrupted) record("events", text.error(), false);
    co_return text;
  }

  // If lines before a refused one were accepted, it returns their length: the program gets the error when it writes the
  // rest.
  Task<Result<std::size_t>> write(Caller caller, InodeNumber inode, std::string bytes) {
    Result<Attributes> attributes = attributes_of(inode);
    if (!attributes) co_return tl::unexpected<Error>(attributes.error());
    if ((attributes->mode & 0200) == 0)
      co_return refuse(caller, inode, ErrorCode::access_denied, "this file can only be read");
    if (!may_command(caller)) {
      co_return refuse(caller, inode, ErrorCode::not_permitted, "only root and the owner of the mount may write here");
    }
    // One limit for all lines. A command that has begun is awaited; before the next one a signal or the limit may end
    // the write.
    const TimePoint until = deadline();
    co_await hear_signals();
    std::size_t accepted = 0;
    while (accepted < bytes.size()) {
      const bool signalled = co_await was_signalled();
      if (signalled && accepted == 0) co_return fail(ErrorCode::interrupted);
      if (accepted > 0 && (signalled || store_.clock().now >= until)) break;
      const std::size_t end = std::min(bytes.find('\n', accepted), bytes.size());
      Status done = fail(ErrorCode::too_large, "a line has at most 4096 bytes");
      if (end - accepted <= max_command_bytes) {
        Task<Status> one = command(inode, bytes.substr(accepted, end - accepted), until);
        done = co_await shielded(std::move(one));
      }
      if (!done) {
        if (accepted > 0) break;
        record(name_of(inode), done.error(), true);
        co_return tl::unexpected<Error>(done.error());
      }
      accepted = std::min(end + 1, bytes.size());
    }
    co_return accepted;
  }

  Task<Result<std::vector<DirectoryEntry>>> list(InodeNumber directory) {
    std::vector<DirectoryEntry> entries;
    if (kind_of(directory) == Kind::node_directory) {
      if (!remembered_nodes_.contains(number_of(directory))) co_return fail(ErrorCode::stale_handle);
      for (std::size_t i = 0; i < node_entries.size(); ++i) {
        add_entry(entries, node_entries[i].name, node_file_inode(number_of(directory), i));
      }
      co_return entries;
    }
    const FixedEntry* entry = fixed(directory);
    if (entry == nullptr) co_return fail(ErrorCode::not_directory);
    switch (entry->file) {
      case File::root:
        for (std::size_t i = 1; i < fixed_entries.size(); ++i) {
          add_entry(entries, fixed_entries[i].name, make_inode(Kind::fixed, i));
        }
        co_return entries;
      case File::node: {
        Result<std::vector<MemberView>> members = co_await ring_.members(deadline());
        if (!members) co_return tl::unexpected<Error>(members.error());
        for (const MemberView& member : *members) add_entry(entries, member.id.text(), remember_node(member.id));
        co_return entries;
      }
      case File::config:
        for (std::size_t i = 0; i < setting_rules().size(); ++i) {
          add_entry(entries, setting_rules()[i].name, make_inode(Kind::setting, i));
        }
        co_return entries;
      case File::lookup: co_return entries;  // every name is there; none is listed
      default: co_return fail(ErrorCode::not_directory);
    }
  }

 private:
  TimePoint deadline() const { return store_.clock().now + options_.operation_timeout; }
  bool may_command(const Caller& caller) const { return caller.uid == 0 || caller.uid == options_.owner; }

  static const FixedEntry* fixed(InodeNumber inode) {
    if (kind_of(inode) != Kind::fixed || number_of(inode) >= fixed_entries.size()) return nullptr;
    return &fixed_entries[number_of(inode)];
  }

  // For the root, whose parent lies outside, and for files: the inode itself.
  static InodeNumber above(InodeNumber inode) {
    if (kind_of(inode) != Kind::node_directory) return fixed(inode) != nullptr ? ControlTree::root : inode;
    for (std::size_t i = 0; i < fixed_entries.size(); ++i) {
      if (fixed_entries[i].file == File::node) return make_inode(Kind::fixed, i);
    }
    return inode;
  }

  static std::uint64_t node_number(InodeNumber inode) {
    return number_of(inode) & ~((std::uint64_t{1} << node_file_bits) - 1);
  }
  static std::size_t node_file(InodeNumber inode) { return inode & ((std::uint64_t{1} << node_file_bits) - 1); }
  static InodeNumber node_file_inode(std::uint64_t node, std::size_t file) {
    return make_inode(Kind::node_file, node | file);
  }

  void add_entry(std::vector<DirectoryEntry>& entries, std::string_view name, InodeNumber inode) const {
    Result<Attributes> attributes = attributes_of(inode);
    if (!attributes) return;  // more members than are remembered; lookup finds them all the same
    DirectoryEntry entry;
    entry.name = std::string(name);
    entry.inode = inode;
    entry.type = attributes->mode & S_IFMT;
    entry.cookie = entries.size() + 1;
    entry.attributes = *attributes;
    entries.push_back(std::move(entry));
  }

  // Two texts with one hash get neighbouring numbers.
  template <class Value>
  static InodeNumber remember(std::unordered_map<std::uint64_t, Value>& known, std::deque<std::uint64_t>& order,
                              Kind kind, std::uint64_t number, std::uint64_t step, const Value& value) {
    number &= number_mask & ~(step - 1);
    while (known.contains(number) && known.at(number) != value) number = (number + step) & number_mask;
    if (known.try_emplace(number, value).second) {
      order.push_back(number);
      if (order.size() > max_remembered_names) {
        known.erase(order.front());
        order.pop_front();
      }
    }
    return make_inode(kind, number);
  }

  InodeNumber remember_node(const Uuid& id) {
    return remember(remembered_nodes_, node_order_, Kind::node_directory, checksum(id.raw()),
                    std::uint64_t{1} << node_file_bits, id);
  }
  InodeNumber remember_name(const std::string& name) {
    return remember(remembered_names_, name_order_, Kind::lookup_name, checksum(name), 1, name);
  }

  std::string name_of(InodeNumber inode) const {
    if (const FixedEntry* entry = fixed(inode)) return std::string(entry->name);
    if (kind_of(inode) == Kind::lookup_name) return "lookup";
    if (kind_of(inode) == Kind::setting) return "config/" + std::string(setting_rules()[number_of(inode)].name);
    return "node";
  }

  Task<Result<MemberView>> find_member(Uuid id) {
    Result<std::vector<MemberView>> members = co_await ring_.members(deadline());
    if (!members) co_return tl::unexpected<Error>(members.error());
    for (MemberView& member : *members) {
      if (member.id == id) co_return std::move(member);
    }
    co_return fail(ErrorCode::not_found, "no such member");
  }

  static std::optional<std::size_t> setting_number(std::string_view name) {
    const SettingRule* rule = find_setting(name);
    if (rule == nullptr) return std::nullopt;
    return static_cast<std::size_t>(rule - setting_rules().data());
  }

  Task<Status> command(InodeNumber inode, std::string line, TimePoint until) {
    if (kind_of(inode) == Kind::setting) {
      co_return co_await setting_command(admin_, std::string(setting_rules()[number_of(inode)].name), std::move(line),
                                         until);
    }
    const FixedEntry* entry = fixed(inode);
    RINGFS_CHECK(entry != nullptr);
    switch (entry->file) {
      case File::add: co_return co_await add_command(admin_, std::move(line), until);
      case File::remove: co_return co_await remove_command(admin_, std::move(line), until);
      case File::rebalance: co_return co_await rebalance_command(admin_, std::move(line), until);
      default: break;
    }
    RINGFS_CHECK(entry->file == File::error_log);  // the only other row of the table that may be written
    error_log_.clear();
    co_return Status();
  }

  Task<Result<std::string>> read_rebalance() {
    const Result<RebalanceView> view = co_await ring_.rebalance(deadline());
    if (!view) co_return tl::unexpected<Error>(view.error());
    const Clock now = store_.clock();
    const std::uint64_t rate = pace_.rate(view->sent_bytes, view->unsettled, now.now);
    co_return rebalance_text(*view, rate, pace_.remaining());
  }

  Task<Result<std::string>> read_setting(std::string name) {
    const Result<std::map<std::string, std::string>> settings = co_await admin_.settings(deadline());
    if (!settings) co_return tl::unexpected<Error>(settings.error());
    const auto value = settings->find(name);
    if (value == settings->end()) co_return fail(ErrorCode::not_found, "no such setting");
    co_return line(value->second);
  }

  Task<Result<std::string>> read(InodeNumber inode) {
    if (kind_of(inode) == Kind::setting) {
      co_return co_await read_setting(std::string(setting_rules()[number_of(inode)].name));
    }
    if (kind_of(inode) == Kind::node_file) {
      const Uuid id = remembered_nodes_.at(node_number(inode));
      const Result<MemberView> member = co_await find_member(id);
      if (!member) co_return tl::unexpected<Error>(member.error());
      co_return line(node_entries[node_file(inode)].text(*member));
    }
    if (kind_of(inode) == Kind::lookup_name) {
      std::optional<std::string> key = key_of(remembered_names_.at(number_of(inode)));
      RINGFS_CHECK(key.has_value());
      const Result<RouteView> route = co_await ring_.lookup(std::move(*key), deadline());
      if (!route) co_return tl::unexpected<Error>(route.error());
      co_return route_text(*route);
    }
    const FixedEntry* entry = fixed(inode);
    RINGFS_CHECK(entry != nullptr);
    switch (entry->file) {
      case File::version: co_return line(RINGFS_VERSION);
      case File::stats: co_return stats_text(metrics_text());
      case File::metrics: co_return metrics_text();
      case File::error_log: co_return error_log_text();
      case File::wait: {
        const Status still = co_await watch_.until_still();
        if (!still) co_return tl::unexpected<Error>(still.error());
        co_return line("ok");
      }
      case File::events: co_return std::string();  // read_events()
      case File::rebalance: co_return co_await read_rebalance();
      case File::members: {
        const Result<std::vector<MemberView>> members = co_await ring_.members(deadline());
        if (!members) co_return tl::unexpected<Error>(members.error());
        co_return members_text(*members);
      }
      case File::ring: {
        const Result<std::vector<PartitionView>> partitions = co_await ring_.partitions(deadline());
        if (!partitions) co_return tl::unexpected<Error>(partitions.error());
        co_return ring_text(*partitions);
      }
      case File::id:
      case File::health:
      case File::status: {
        const Result<RingStatus> status = co_await ring_.status(deadline());
        if (!status) co_return tl::unexpected<Error>(status.error());
        if (entry->file == File::id) co_return line(status->ring.text());
        if (entry->file == File::health) co_return health_text(*status);
        co_return status_text(*status);
      }
      case File::add:
      case File::remove: co_return fail(ErrorCode::access_denied, "this file can only be written");
      case File::root:
      case File::node:
      case File::config:
      case File::lookup: break;
    }
    co_return fail(ErrorCode::is_directory);
  }

  tl::unexpected<Error> refuse(const Caller& caller, InodeNumber inode, ErrorCode code, std::string reason) {
    record(name_of(inode), Error{code, reason}, may_command(caller));
    return fail(code, std::move(reason));
  }

  // Records of users who may not give commands must not push out records of those who may.
  void record(const std::string& file, const Error& error, bool to_commander) {
    const char* name = strerrorname_np(to_errno(error.code));
    std::string text = utc_text(store_.clock().stamp, Fraction::none) + " " + file + " " +
                       (name != nullptr ? name : "EIO") + " " + error.text();
    std::replace_if(
        text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
    if (text.size() > max_error_text_bytes) text.resize(max_error_text_bytes);
    error_log_.push_back({std::move(text), to_commander});
    const auto of_this_kind = [&](const Refusal& one) { return one.to_commander == to_commander; };
    const std::size_t most = to_commander ? max_error_log_records : max_stranger_records;
    if (static_cast<std::size_t>(std::count_if(error_log_.begin(), error_log_.end(), of_this_kind)) <= most) return;
    error_log_.erase(std::find_if(error_log_.begin(), error_log_.end(), of_this_kind));
  }

  std::string error_log_text() const {
    std::string text;
    for (const Refusal& one : error_log_) text += one.text + "\n";
    return text;
  }

  std::string metrics_text() const { return ring_.metrics_text() + (more_metrics_ ? more_metrics_() : std::string()); }

  RingView& ring_;
  std::function<std::string()> more_metrics_;
  RingAdmin& admin_;
  ObjectStore& store_;
  FileSystemOptions options_;
  const Stamp born_;
  std::unordered_map<std::uint64_t, Uuid> remembered_nodes_;
  std::deque<std::uint64_t> node_order_;
  std::unordered_map<std::uint64_t, std::string> remembered_names_;
  std::deque<std::uint64_t> name_order_;
  struct Refusal {
    std::string text;
    bool to_commander = false;  // the user is root or the owner of the mount
  };
  std::deque<Refusal> error_log_;
  RingWatch watch_;
  RebalancePace pace_;
};

ControlTree::ControlTree(RingView& ring, RingAdmin& admin, ObjectStore& store, FileSystemOptions options)
    : implementation_(std::make_unique<Implementation>(ring, admin, store, options)) {}
ControlTree::~ControlTree() = default;

namespace {

bool is_file(InodeNumber inode, File file) {
  return ControlTree::owns(inode) && kind_of(inode) == Kind::fixed && number_of(inode) < fixed_entries.size() &&
         fixed_entries[number_of(inode)].file == file;
}

}  // namespace

bool ControlTree::is_wait(InodeNumber inode) { return is_file(inode, File::wait); }
bool ControlTree::is_stream(InodeNumber inode) { return is_file(inode, File::events); }

void ControlTree::add_metrics(std::function<std::string()> text) { implementation_->add_metrics(std::move(text)); }

void ControlTree::set_operation_timeout(Duration timeout) { implementation_->set_operation_timeout(timeout); }

Task<Result<Attributes>> ControlTree::lookup(Caller, InodeNumber parent, std::string name) {
  return implementation_->lookup(parent, std::move(name));
}

Task<Result<Attributes>> ControlTree::get_attributes(Caller, InodeNumber inode) {
  co_return implementation_->attributes_of(inode);
}

Task<Result<std::string>> ControlTree::open(Caller caller, InodeNumber inode, int flags) {
  return implementation_->open(caller, inode, flags);
}

Task<Result<std::string>> ControlTree::read(std::shared_ptr<EventStream> stream, std::uint64_t offset,
                                            std::size_t size) {
  return implementation_->read_events(std::move(stream), offset, size);
}

Task<Result<std::size_t>> ControlTree::write(Caller caller, InodeNumber inode, std::string bytes) {
  return implementation_->write(caller, inode, std::move(bytes));
}

Task<Result<std::vector<DirectoryEntry>>> ControlTree::list(Caller, InodeNumber directory) {
  return implementation_->list(directory);
}

}  // namespace ringfs::fs
