// What the file layer below SQLite knows of one database that is open in this process: how its pages are laid out, the
// sum of each frame of its WAL, and where that durably ends.
//
// All connections to a database share one of these. The frames' sums are learned when the WAL is opened
// (wal_frames.hpp) and when frames are written; a frame that does not match when it is read is damage. It lasts from
// the first file that is opened to the last one that is closed. Threads: any. Errors: those of wal_frames.hpp. Limits:
// 8 bytes for each frame of the WAL.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "nodes/store/files/page_sums.hpp"
#include "nodes/store/files/wal_frames.hpp"

namespace ringfs::nodes {

class DatabaseFiles {
 public:
  explicit DatabaseFiles(std::string database) : database_(std::move(database)) {}

  // The one of this database, made when there is none.
  static std::shared_ptr<DatabaseFiles> of(const std::string& database);

  const std::string& database() const { return database_; }

  // ---- Pages of the database ----
  void learn_layout(std::string_view header);  // none when this is no header
  std::optional<PageLayout> layout() const;
  // Held while a page of the database is written, and while one that did not match is read again: who reads without
  // SQLite's locks (the header, when a connection is opened) may meet half of a write.
  std::mutex& page_writes() { return page_writes_; }

  // ---- The WAL ----
  // From now on damage before the mark is worked around, so that all else can be copied out; nothing may be written
  // then. Before the database is opened: the first page may be damaged.
  void work_around_damage();
  // What stands for the first page then, if there is a copy. Lasts.
  const std::optional<std::string>& first_page() const { return first_page_; }
  Status open_wal(bool heed_mark);  // looks through it, the first time
  bool wal_open() const;
  // Pages of the database as of the last transaction in the WAL; none: the WAL has no transaction.
  std::optional<std::uint32_t> committed_pages() const;
  std::uint32_t frame_page_bytes() const;  // 0: the WAL has no header yet

  void started_over(std::string_view header);
  void frame_written(std::uint64_t frame, std::uint64_t sum);
  void transaction_written(std::uint64_t frames, std::uint32_t database_pages);
  enum class Frame { sound, damaged, unknown };
  Frame check_frame(std::uint64_t frame, std::string_view page) const;
  bool first_page_lost(std::uint64_t frame) const;  // with this frame
  bool lost_page(std::uint64_t number) const;       // of the database, by damage in the WAL that is worked around
  // What SQLite is to see of the WAL where damage is worked around; false: as it is.
  bool show_header(char* bytes) const;
  bool show_frame_header(std::uint64_t frame, char* bytes) const;

  // ---- The mark ----
  WalMark end() const;              // as written, before a sync of the WAL
  void synced(const WalMark& end);  // after it
  Status forget_mark();             // synced; before the WAL goes

 private:
  const std::string database_;
  mutable std::mutex mutex_;  // of what follows
  std::optional<PageLayout> layout_;
  bool around_damage_ = false;
  std::optional<std::string> first_page_;  // written once, before any file is open
  bool wal_read_ = false;
  std::uint32_t frame_page_bytes_ = 0;
  std::uint64_t salts_ = 0;
  std::vector<std::uint64_t> frames_;
  std::uint64_t committed_ = 0;
  std::uint32_t database_pages_ = 0;
  WalMark marked_;
  bool mark_failed_ = false;  // said once
  WalContents around_;        // what is shown and what is lost

  std::mutex page_writes_;
};

}  // namespace ringfs::nodes
