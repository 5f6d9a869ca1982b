// One gauge or counter for each number of a node's status.
#include "nodes/daemon/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace ringfs::nodes {

namespace {

void gauge(prometheus::Registry& registry, const char* name, const char* help, double value) {
  prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({}).Set(value);
}

void counter(prometheus::Registry& registry, const char* name, const char* help, std::uint64_t value) {
  prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({}).Increment(static_cast<double>(value));
}

void count_refused(prometheus::Registry& registry, const ConnectionCounts& connections) {
  auto& refused = prometheus::BuildCounter()
                      .Name("ringfs_connections_refused_total")
                      .Help("Connections and requests that were refused, by reason (docs/security.md#ports).")
                      .Register(registry);
  const auto count = [&refused](const std::map<std::string, std::string>& labels, std::uint64_t value) {
    refused.Add(labels).Increment(static_cast<double>(value));
  };
  for (std::size_t i = 0; i < dht::refusal_reasons.size(); ++i) {
    const auto reason = static_cast<dht::RefusalReason>(i);
    const std::string name(to_string(reason));
    count({{"interface", "rest"}, {"reason", name}}, connections.refused_rest.count(reason));
    if (reason != dht::RefusalReason::certificate)
      count({{"interface", "rpc"}, {"reason", name}}, connections.refused_rpc.count(reason));
  }
  for (std::size_t i = 0; i < dht::certificate_faults.size(); ++i) {
    const auto fault = static_cast<dht::CertificateFault>(i);
    count({{"interface", "rpc"}, {"reason", "certificate"}, {"fault", std::string(to_string(fault))}},
          connections.refused_rpc.count(fault));
  }
}

void count_leases(prometheus::Registry& registry, const dht::LeaseCounters& leases) {
  counter(registry, "ringfs_row_lease_grants_total", "Row leases that this node granted as a leader.", leases.grants);
  counter(registry, "ringfs_row_lease_recalls_total", "Recalls that left, repeated ones, too.", leases.recalls);
  counter(registry, "ringfs_row_lease_releases_total", "Answers of clients to recalls.", leases.releases);
  counter(registry, "ringfs_row_lease_waits_total", "Batches that waited for row leases.", leases.waits);
  counter(registry, "ringfs_row_lease_ran_out_total", "Of those: until a lease had ended, unanswered.", leases.ran_out);
  prometheus::BuildCounter()
      .Name("ringfs_row_lease_wait_seconds_total")
      .Help("For how long all of them waited.")
      .Register(registry)
      .Add({})
      .Increment(std::chrono::duration<double>(leases.waited).count());
}

}  // namespace

std::string node_metrics_text(const dht::NodeStatus& status, const dht::StorageStatus& storage,
                              const ConnectionCounts& connections, const dht::LeaseCounters& leases) {
  std::size_t led = 0;
  std::size_t leased = 0;
  std::size_t leaderless = 0;
  std::size_t behind = 0;
  std::size_t unsettled = 0, learners = 0, filling = 0, damaged = 0;
  std::uint64_t unapplied = 0;
  std::uint64_t log_entries = 0;
  for (const dht::GroupStatus& group : status.groups) {
    if (group.role == dht::Role::leader) ++led;
    if (group.role == dht::Role::leader && group.behind > 0) ++behind;
    if (group.role == dht::Role::leader && !group.settled) ++unsettled;
    if (group.role == dht::Role::leader) learners += group.learners;
    if (group.snapshotting) ++filling;
    if (group.damaged) ++damaged;
    if (group.lease) ++leased;
    if (!group.leader) ++leaderless;
    unapplied += group.commit - std::min(group.commit, group.applied);
    log_entries += group.last_index + 1 - std::min(group.last_index + 1, group.first_index);
  }
  prometheus::Registry registry;
  gauge(registry, "ringfs_groups", "Replicas that this node holds.", static_cast<double>(status.groups.size()));
  gauge(registry, "ringfs_groups_led", "Partitions that this node leads.", static_cast<double>(led));
  gauge(registry, "ringfs_groups_leased", "Led partitions with a valid read lease.", static_cast<double>(leased));
  gauge(registry, "ringfs_groups_leaderless", "Replicas that know no leader.", static_cast<double>(leaderless));
  gauge(registry, "ringfs_groups_behind", "Led partitions with a member that is behind or silent.",
        static_cast<double>(behind));
  gauge(registry, "ringfs_groups_damaged", "Replicas whose data here is damaged and that wait to be replaced.",
        static_cast<double>(damaged));
  counter(registry, "ringfs_verified_bytes_total",
          "Of rows, log entries and payloads, read and verified in the background.", storage.verified_bytes);
  counter(registry, "ringfs_verify_passes_total", "Through everything that the node holds.", storage.verify_passes);
  counter(registry, "ringfs_damage_found_total", "Damaged places that the background check met.", storage.damage_found);
  gauge(registry, "ringfs_groups_unsettled",
        "Led partitions whose members are not yet those that the members table wants.", static_cast<double>(unsettled));
  gauge(registry, "ringfs_learners", "New replicas of led partitions that are being filled.",
        static_cast<double>(learners));
  gauge(registry, "ringfs_groups_filling", "Replicas here that take in a snapshot.", static_cast<double>(filling));
  counter(registry, "ringfs_snapshot_sent_bytes_total", "Sent by this process to new and to lagging replicas.",
          status.snapshot_bytes_sent);
  gauge(registry, "ringfs_unapplied_entries", "Committed log entries that are not applied yet.",
        static_cast<double>(unapplied));
  gauge(registry, "ringfs_log_entries", "Log entries kept, all replicas together.", static_cast<double>(log_entries));
  gauge(registry, "ringfs_table_version", "Version of the members table held.",
        static_cast<double>(status.table_version));
  gauge(registry, "ringfs_database_bytes", "Size of the database, its WAL and the file of payloads.",
        static_cast<double>(status.database_bytes));
  gauge(registry, "ringfs_disk_total_bytes", "Size of the file system that holds the database.",
        static_cast<double>(status.disk_total_bytes));
  gauge(registry, "ringfs_disk_free_bytes", "Free space there.", static_cast<double>(status.disk_free_bytes));
  const auto seconds = [](Duration duration) { return std::chrono::duration<double>(duration).count(); };
  gauge(registry, "ringfs_disk_stalled_seconds",
        "For how long the disk has not answered, once that is a second; else 0.", seconds(status.disk_stalled));
  gauge(registry, "ringfs_disk_write_seconds", "What a durable write took of late; 0: there was none.",
        seconds(status.disk_write_time));
  gauge(registry, "ringfs_disk_slow",
        "1 while the disk is much slower than those of the other nodes: the node leads nothing.",
        status.disk_slow ? 1 : 0);
  gauge(registry, "ringfs_loop_late", "1 while the process gets too little processor time: the node leads nothing.",
        status.late ? 1 : 0);
  gauge(registry, "ringfs_no_space", "1 while new entries are refused because the disk is full.",
        status.no_space ? 1 : 0);
  count_refused(registry, connections);
  count_leases(registry, leases);
  return prometheus::TextSerializer().Serialize(registry.Collect());
}

}  // namespace ringfs::nodes
