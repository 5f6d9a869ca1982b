// Reading the members table's rows on this replica, and asking peers for their copies.
#include "dht/core/node/table_copy.hpp"

#include <utility>

namespace ringfs::dht {

void TableCopy::on(const Uuid& source, const TableRequest&) {
  services_.out.send(source, TableReply{encode(ring_.table)});
}

void TableCopy::on(const Uuid& source, const TableReply& message) {
  fetch_until_ = TimePoint::min();
  Result<MembersTable> table = decode_members_table(message.table);
  if (!table) {
    identities_.refused_event("malformed_table", source);
    return;
  }
  adopt_(std::move(*table), "peer");
}

// One request at a time; whoever is ahead says so again with its next message.
void TableCopy::heard_version(const Uuid& source, std::uint64_t version) {
  if (version <= ring_.table.version || now() < fetch_until_) return;
  fetch_until_ = now() + table_fetch_timeout;
  services_.out.send(source, TableRequest{});
}

void TableCopy::follow(Group& group) {
  if (group.take_members_touched()) read();
}

void TableCopy::tick() {
  if (now() >= read_at_) read();
}

// Any replica of the table's partition knows what it applied; it need not lead to learn from its own rows.
void TableCopy::read() {
  read_at_ = never;
  if (read_ != 0) {
    read_again_ = true;
    return;
  }
  Group* holder = groups_.find(ring_.table_partition);
  if (holder == nullptr || !holder->state().serves()) {  // it was removed meanwhile
    rows_.clear();
    return;
  }
  ReadRequest request;
  ReadRequest::Scan scan;
  scan.key = members_key;
  if (!rows_.empty()) scan.after = rows_.back().sort;
  request.scans.push_back(std::move(scan));
  read_ = services_.out.read(ring_.table_partition, std::move(request));
}

void TableCopy::give_up(const Error& error) {
  services_.out.event("table_read_failed", "error=" + std::string(to_string(error.code)));
  rows_.clear();
  read_at_ = now() + table_read_retry;
}

void TableCopy::read_done(Result<ReadAnswer> answer) {
  read_ = 0;
  if (std::exchange(read_again_, false)) {  // pages of different states do not make a table
    rows_.clear();
    read();
    return;
  }
  if (!answer) {
    give_up(answer.error());
    return;
  }
  Result<ReadReply> reply = decode_read_reply(answer->head, answer->blobs);
  if (!reply || reply->scans.size() != 1) {
    give_up(reply ? Error{ErrorCode::corrupt, {}} : reply.error());
    return;
  }
  ReadReply::ScanResult& page = reply->scans.front();
  bool more = page.more && !page.rows.empty();
  for (Row& row : page.rows) rows_.push_back(std::move(row));
  if (more) {
    read();
    return;
  }
  Result<MembersTable> table = table_from_rows(rows_);
  if (!table) {
    give_up(table.error());
    return;
  }
  rows_.clear();
  adopt_(std::move(*table), "rows");
}

}  // namespace ringfs::dht
