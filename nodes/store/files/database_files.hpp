// What the file layer below SQLite knows of a database that is open in this process: the layout of its pages, the
// checksum of each frame of its WAL, and the durable end of the WAL.
//
// All connections to a database share one object, which lives from the first open file to the last. It learns the
// checksums of frames when the WAL is opened (wal_frames.hpp) and when frames are written. A frame that is read and
// does not match is damaged.
//
// Threads: any. Errors: those of wal_frames.hpp. Limits: 8 bytes for each frame of the WAL.
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

  // The object of this database; created if there is none.
  static std::shared_ptr<DatabaseFiles> of(const std::string& database);

  const std::string& database() const { return database_; }

  // ---- Pages of the database ----
  void learn_layout(std::string_view header);  // no layout if this is not a header
  std::optional<PageLayout> layout() const;
  // Held while a page of the database is written, and while a page that did not match is read again. A reader without
  // SQLite's locks (of the header, when a connection is opened) can meet half of a write.
  std::mutex& page_writes() { return page_writes_; }

  // From now on damage before the mark is worked around, so that everything else can be copied. Nothing may be written
  // then. Called before the database is opened, because the first page may be damaged.
  void work_around_damage();
  // The copy of the first page that is used then, if there is one. It does not change.
  const std::optional<std::string>& first_page() const { return first_page_; }
  Status open_wal(bool heed_mark);  // reads it, the first time
  bool wal_open() const;
  // The size of the database in pages, as the last transaction in the WAL has it; none: the WAL has no transaction.
  std::optional<std::uint32_t> committed_pages() const;
  std::uint32_t frame_page_bytes() const;  // 0: the WAL has no header yet

  void started_over(std::string_view header);
  void frame_written(std::uint64_t frame, std::uint64_t sum);
  void transaction_written(std::uint64_t frames, std::uint32_t database_pages);
  enum class Frame { sound, damaged, unknown };
  Frame check_frame(std::uint64_t frame, std::string_view page) const;
  bool first_page_lost(std::uint64_t frame) const;  // whether this frame is lost and held the first page
  bool lost_page(std::uint64_t number) const;       // whether damage in the WAL lost this page of the database
  // Where damage is worked around: what SQLite is to see of the WAL. False: what the file has.
  bool show_header(char* bytes) const;
  bool show_frame_header(std::uint64_t frame, char* bytes) const;

  // ---- The mark ----
  WalMark end() const;              // what was written; taken before a sync of the WAL
  void synced(const WalMark& end);  // after the sync
  Status forget_mark();             // durable; before the WAL is removed

 private:
  const std::string database_;
  mutable std::mutex mutex_;  // guards what follows
  std::optional<PageLayout> layout_;
  bool around_damage_ = false;
  std::optional<std::string> first_page_;  // set once, before any file is open
  bool wal_read_ = false;
  std::uint32_t frame_page_bytes_ = 0;
  std::uint64_t salts_ = 0;
  std::vector<std::uint64_t> frames_;
  std::uint64_t committed_ = 0;
  std::uint32_t database_pages_ = 0;
  WalMark marked_;
  bool mark_failed_ = false;  // logged once
  WalContents around_;        // what SQLite is shown, and what is lost

  std::mutex page_writes_;
};

}  // namespace ringfs::nodes
