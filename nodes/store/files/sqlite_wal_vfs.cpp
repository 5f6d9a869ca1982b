// The calls of the file layer: those for the WAL and for the database's pages, and those that pass on to the layer
// below.
#include "nodes/store/files/sqlite_wal_vfs.hpp"

#include <spdlog/spdlog.h>
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <boost/endian/conversion.hpp>
#include <cstring>
#include <new>
#include <optional>
#include <string>

#include "dht/base/hash.hpp"
#include "nodes/store/files/database_files.hpp"

namespace ringfs::nodes {

namespace {

constexpr const char* below_name = "unix-excl";
constexpr const char* own_name = "ringfs-wal";
constexpr std::size_t max_collected_bytes =
    4 << 20;  // of memory; the beginning of a larger transaction is written earlier
constexpr std::size_t max_write_bytes = 64 << 10;  // "unix" writes at most the lowest 17 bits of a size
constexpr int frame_header_size = static_cast<int>(frame_header_bytes);
constexpr int wal_header_size = static_cast<int>(wal_header_bytes);
constexpr int write_lock = 0;  // of the WAL's index: SQLite's WAL_WRITE_LOCK
constexpr std::string_view wal_suffix = "-wal";

std::atomic<bool> verifying{true};
// SQLite cannot carry a text about a page. It waits here for whoever reports the error on this thread.
thread_local std::string damage_text;

enum class Kind { database, wal, other };

struct State {
  Kind kind = Kind::other;
  std::shared_ptr<DatabaseFiles> files;  // none for files of other kinds
  bool writing = false;                  // of a database: this connection holds the write lock of the WAL
  std::string page;                      // a buffer for one page

  // Of a WAL: the pieces that are not written yet.
  std::string bytes;
  sqlite3_int64 offset = 0;
  bool last_frame = false;  // the header of a transaction's last frame was written, its page was not
  // number of frames up to the end of the last transaction in `bytes`; 0: none ends there
  std::uint64_t ended_frames = 0;
  std::uint32_t database_pages = 0;  // that this transaction gives the database
};

struct File {
  sqlite3_file base;  // must be the first member: SQLite knows only this part
  State* state;
  sqlite3_file* below() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File& file_of(sqlite3_file* file) { return *reinterpret_cast<File*>(file); }
State& state_of(sqlite3_file* file) { return *file_of(file).state; }
sqlite3_file* below(sqlite3_file* file) { return file_of(file).below(); }
sqlite3_vfs* vfs_below() { return sqlite3_vfs_find(below_name); }
int read_below(sqlite3_file* file, void* into, int size, sqlite3_int64 offset) {
  return below(file)->pMethods->xRead(below(file), into, size, offset);
}
int write_below(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  return below(file)->pMethods->xWrite(below(file), from, size, offset);
}

int damaged(std::string text) {
  damage_text = std::move(text);
  return SQLITE_IOERR_DATA;
}

// ---- The WAL's frames -------------------------------------------------------------------------------

int write_collected(sqlite3_file* file) {
  State& state = state_of(file);
  if (state.bytes.empty()) return SQLITE_OK;
  int code = SQLITE_OK;
  for (std::size_t done = 0; done < state.bytes.size() && code == SQLITE_OK; done += max_write_bytes) {
    const std::size_t size = std::min(max_write_bytes, state.bytes.size() - done);
    code = write_below(file, state.bytes.data() + done, static_cast<int>(size),
                       state.offset + static_cast<sqlite3_int64>(done));
  }
  state.bytes.clear();  // also after an error: SQLite rolls the transaction back
  state.last_frame = false;
  const std::uint64_t ended = std::exchange(state.ended_frames, 0);
  if (code == SQLITE_OK && ended > 0) state.files->transaction_written(ended, state.database_pages);
  return code;
}

struct Place {
  std::uint64_t frame = 0;
  std::uint64_t within = 0;  // offset in the frame; 0: its header
};
Place place_of(sqlite3_int64 offset, std::uint32_t page_bytes) {
  const std::uint64_t after = static_cast<std::uint64_t>(offset) - wal_header_bytes;
  return {after / (page_bytes + frame_header_bytes), after % (page_bytes + frame_header_bytes)};
}

// Notes what a piece of a WAL says; false: SQLite writes no such piece.
bool note_wal_piece(State& state, std::string_view piece, sqlite3_int64 offset) {
  if (offset == 0) {
    if (piece.size() != wal_header_bytes) return false;
    state.files->started_over(piece);
    return true;
  }
  const std::uint32_t page_bytes = state.files->frame_page_bytes();
  if (page_bytes == 0 || offset < wal_header_size) return false;
  const Place place = place_of(offset, page_bytes);
  if (piece.size() == frame_header_bytes && place.within == 0) return true;
  if (piece.size() != page_bytes || place.within != frame_header_bytes) return false;
  state.files->frame_written(place.frame, checksum(piece));
  if (state.last_frame) state.ended_frames = place.frame + 1;
  return true;
}

std::uint32_t database_size_in(const void* frame_header) {
  return boost::endian::load_big_u32(static_cast<const unsigned char*>(frame_header) + 4);
}

int write_wal(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  State& state = state_of(file);
  const bool follows = state.offset + static_cast<sqlite3_int64>(state.bytes.size()) == offset;
  // Only between frames: the header of a frame says whether the transaction ends with its page, so both are written
  // together.
  const bool full = size == frame_header_size && state.bytes.size() >= max_collected_bytes;
  if (!follows || full) {
    if (int code = write_collected(file); code != SQLITE_OK) return code;
  }
  const std::string_view piece(static_cast<const char*>(from), static_cast<std::size_t>(size));
  try {
    if (!note_wal_piece(state, piece, offset)) return SQLITE_IOERR_WRITE;
    if (state.bytes.empty()) state.offset = offset;
    state.bytes.append(piece);
  } catch (const std::bad_alloc&) {
    return SQLITE_IOERR_NOMEM;
  }
  if (size == frame_header_size) {
    state.database_pages = database_size_in(from);
    state.last_frame = state.database_pages != 0;
    return SQLITE_OK;
  }
  return state.last_frame ? write_collected(file) : SQLITE_OK;
}

// Where damage is worked around: puts the copy of the first page in its place. False: there is no copy.
bool put_first_page(const State& state, char* into, std::size_t size) {
  const std::optional<std::string>& kept = state.files->first_page();
  if (!kept || kept->size() < size) return false;
  std::memcpy(into, kept->data(), size);
  return true;
}

// `into`: what was read, the first `size` bytes of `page`.
int check_frame(State& state, std::uint64_t frame, std::string_view page, char* into, std::size_t size) {
  if (!verifying || state.files->check_frame(frame, page) != DatabaseFiles::Frame::damaged) return SQLITE_OK;
  if (state.files->first_page_lost(frame) && put_first_page(state, into, size)) return SQLITE_OK;
  return damaged("frame " + std::to_string(frame) + " of " + wal_of(state.files->database()).string() + " is damaged");
}

int read_wal_bytes(sqlite3_file* file, void* into, int size, sqlite3_int64 offset) {
  if (int code = write_collected(file); code != SQLITE_OK) return code;
  int code = read_below(file, into, size, offset);
  State& state = state_of(file);
  auto* bytes = static_cast<char*>(into);
  if (code != SQLITE_OK) return code;
  if (offset == 0 && size == wal_header_size) {
    state.files->show_header(bytes);
    return code;
  }
  const std::uint32_t page_bytes = state.files->frame_page_bytes();
  if (page_bytes == 0 || offset < wal_header_size) return code;
  const Place place = place_of(offset, page_bytes);
  if (place.within == 0 && size >= frame_header_size) {
    // Whole frames are read by recovery, and to sum a transaction that is written again. Where damage is worked around,
    // recovery must get past lost frames.
    if (state.files->show_frame_header(place.frame, bytes)) return code;
    if (static_cast<std::uint32_t>(size) < frame_header_bytes + page_bytes) return code;
    return check_frame(state, place.frame, std::string_view(bytes + frame_header_bytes, page_bytes),
                       bytes + frame_header_bytes, page_bytes);
  }
  if (place.within != frame_header_bytes) return code;
  const auto asked = static_cast<std::size_t>(size);
  if (asked == page_bytes) return check_frame(state, place.frame, std::string_view(bytes, page_bytes), bytes, asked);
  state.page.resize(page_bytes);
  code = read_below(file, state.page.data(), static_cast<int>(page_bytes), offset);
  return code == SQLITE_OK ? check_frame(state, place.frame, state.page, bytes, asked) : code;
}

// ---- The database's pages ---------------------------------------------------------------------------

// Whether a page may be one that was never written. The writer can ask for such a page beyond the committed end, after
// an earlier transaction freed it. While a database is created, before WAL mode, nothing is committed yet. For anybody
// else every page was written.
bool may_be_unwritten(sqlite3_file* file, std::uint64_t number) {
  State& state = state_of(file);
  if (!state.files->wal_open()) return true;
  sqlite3_int64 length = 0;
  if (below(file)->pMethods->xFileSize(below(file), &length) != SQLITE_OK) return false;
  if (length == 0) return true;
  if (!state.writing) return false;
  std::uint64_t committed = static_cast<std::uint64_t>(length) / state.files->layout()->page_bytes;
  if (std::optional<std::uint32_t> pages = state.files->committed_pages()) committed = *pages;
  return number > committed;
}

// SQLITE_OK, the error of the read, or SQLITE_IOERR_SHORT_READ for a page that was never written.
int read_page_as_it_is(sqlite3_file* file, char* into, std::uint32_t page_bytes, std::uint64_t number) {
  State& state = state_of(file);
  const auto size = static_cast<int>(page_bytes);
  const auto offset = static_cast<sqlite3_int64>(number - 1) * page_bytes;
  int code = read_below(file, into, size, offset);
  if (state.files->lost_page(number))
    return damaged("page " + std::to_string(number) + " of " + state.files->database() +
                   " may be lost with a damaged frame");
  auto sound = [&] { return code == SQLITE_OK && page_sum_holds(std::string_view(into, page_bytes), number); };
  if (sound() || !verifying) return code;
  if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) return code;
  std::lock_guard lock(state.files->page_writes());
  code = read_below(file, into, size, offset);
  if (sound()) return code;
  if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) return code;
  if (all_zeros(std::string_view(into, page_bytes)) && may_be_unwritten(file, number)) return code;
  return damaged("page " + std::to_string(number) + " of " + state.files->database() +
                 (code == SQLITE_OK ? " is damaged" : " is missing"));
}

int read_page(sqlite3_file* file, char* into, std::uint32_t page_bytes, std::uint64_t number) {
  const int code = read_page_as_it_is(file, into, page_bytes, number);
  if (code != SQLITE_IOERR_DATA || number != 1 || !put_first_page(state_of(file), into, page_bytes)) return code;
  damage_text.clear();
  return SQLITE_OK;
}

int read_database(sqlite3_file* file, void* into, int size, sqlite3_int64 offset) {
  State& state = state_of(file);
  const std::optional<PageLayout> layout = state.files->layout();
  if (!layout || !layout->summed) return read_below(file, into, size, offset);
  const std::uint64_t page_bytes = layout->page_bytes;
  const auto from = static_cast<std::uint64_t>(offset);
  const auto end = from + static_cast<std::uint64_t>(size);
  auto* bytes = static_cast<char*>(into);
  if (from % page_bytes == 0 && end - from == page_bytes)
    return read_page(file, bytes, layout->page_bytes, from / page_bytes + 1);
  int all = SQLITE_OK;
  state.page.resize(page_bytes);
  for (std::uint64_t place = from; place < end;) {
    const std::uint64_t page_start = place / page_bytes * page_bytes;
    const std::uint64_t until = std::min(end, page_start + page_bytes);
    int code = read_page(file, state.page.data(), layout->page_bytes, page_start / page_bytes + 1);
    if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) return code;
    if (code != SQLITE_OK) all = code;
    std::memcpy(bytes + (place - from), state.page.data() + (place - page_start), until - place);
    place = until;
  }
  return all;
}

int write_database(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  State& state = state_of(file);
  const std::string_view bytes(static_cast<const char*>(from), static_cast<std::size_t>(size));
  if (offset == 0 && bytes.size() >= database_header_bytes) state.files->learn_layout(bytes);
  const std::optional<PageLayout> layout = state.files->layout();
  if (!layout || !layout->summed) return write_below(file, from, size, offset);
  if (bytes.size() != layout->page_bytes || static_cast<std::uint64_t>(offset) % layout->page_bytes != 0) {
    return SQLITE_IOERR_WRITE;  // not a whole page; SQLite writes no such thing
  }
  state.page = bytes;
  put_page_sum(state.page.data(), state.page.size(), static_cast<std::uint64_t>(offset) / layout->page_bytes + 1);
  std::lock_guard lock(state.files->page_writes());
  return write_below(file, state.page.data(), size, offset);
}

// ---- The calls --------------------------------------------------------------------------------------

int close_file(sqlite3_file* file) {
  int written = write_collected(file);  // the rest of a transaction that was not committed
  delete file_of(file).state;
  int closed = below(file)->pMethods->xClose(below(file));
  return written == SQLITE_OK ? closed : written;
}

int read(sqlite3_file* file, void* into, int size, sqlite3_int64 offset) {
  switch (state_of(file).kind) {
    case Kind::database: return read_database(file, into, size, offset);
    case Kind::wal: return read_wal_bytes(file, into, size, offset);
    default: return read_below(file, into, size, offset);
  }
}

int write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  switch (state_of(file).kind) {
    case Kind::database: return write_database(file, from, size, offset);
    case Kind::wal: return write_wal(file, from, size, offset);
    default: return write_below(file, from, size, offset);
  }
}

int truncate(sqlite3_file* file, sqlite3_int64 size) {
  if (int code = write_collected(file); code != SQLITE_OK) return code;
  State& state = state_of(file);
  // SQLite truncates the WAL when all of it is in the database and synced. The mark goes first.
  if (state.kind == Kind::wal && size == 0 && !state.files->forget_mark()) return SQLITE_IOERR_TRUNCATE;
  return below(file)->pMethods->xTruncate(below(file), size);
}

int sync(sqlite3_file* file, int flags) {
  if (int code = write_collected(file); code != SQLITE_OK) return code;
  State& state = state_of(file);
  const WalMark end = state.kind == Kind::wal ? state.files->end() : WalMark{};
  int code = below(file)->pMethods->xSync(below(file), flags);
  if (code == SQLITE_OK && state.kind == Kind::wal) state.files->synced(end);
  return code;
}

int file_size(sqlite3_file* file, sqlite3_int64* size) {
  if (int code = write_collected(file); code != SQLITE_OK) return code;
  return below(file)->pMethods->xFileSize(below(file), size);
}

int lock(sqlite3_file* file, int level) { return below(file)->pMethods->xLock(below(file), level); }
int unlock(sqlite3_file* file, int level) { return below(file)->pMethods->xUnlock(below(file), level); }
int check_reserved_lock(sqlite3_file* file, int* result) {
  return below(file)->pMethods->xCheckReservedLock(below(file), result);
}
int file_control(sqlite3_file* file, int operation, void* argument) {
  return below(file)->pMethods->xFileControl(below(file), operation, argument);
}
int sector_size(sqlite3_file* file) { return below(file)->pMethods->xSectorSize(below(file)); }
int device_characteristics(sqlite3_file* file) { return below(file)->pMethods->xDeviceCharacteristics(below(file)); }
int shm_map(sqlite3_file* file, int region, int size, int extend, void volatile** into) {
  return below(file)->pMethods->xShmMap(below(file), region, size, extend, into);
}
int shm_lock(sqlite3_file* file, int offset, int count, int flags) {
  int code = below(file)->pMethods->xShmLock(below(file), offset, count, flags);
  const bool writer = offset <= write_lock && write_lock < offset + count && (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  if (code == SQLITE_OK && writer) state_of(file).writing = (flags & SQLITE_SHM_LOCK) != 0;
  return code;
}
void shm_barrier(sqlite3_file* file) { below(file)->pMethods->xShmBarrier(below(file)); }
int shm_unmap(sqlite3_file* file, int remove) { return below(file)->pMethods->xShmUnmap(below(file), remove); }

// Version 2: with the index of the WAL, without memory-mapped reads, which nobody could verify.
constexpr sqlite3_io_methods methods = {2,
                                        close_file,
                                        read,
                                        write,
                                        truncate,
                                        sync,
                                        file_size,
                                        lock,
                                        unlock,
                                        check_reserved_lock,
                                        file_control,
                                        sector_size,
                                        device_characteristics,
                                        shm_map,
                                        shm_lock,
                                        shm_barrier,
                                        shm_unmap,
                                        nullptr,
                                        nullptr};

// Before the first read of a file: the layout of the pages, or the end of the WAL.
int look_into(sqlite3_file* file, State& state) {
  if (state.kind == Kind::database) {
    std::string header(database_header_bytes, '\0');
    int code = read_below(file, header.data(), static_cast<int>(header.size()), 0);
    if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) return code;
    if (!state.files->layout()) state.files->learn_layout(header);
    return SQLITE_OK;
  }
  if (state.kind != Kind::wal) return SQLITE_OK;
  Status read = state.files->open_wal(verifying);
  if (read) return SQLITE_OK;
  if (read.error().code == ErrorCode::corrupt) return damaged(read.error().context);
  return SQLITE_IOERR_READ;
}

int open_file(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* file, int flags, int* out_flags) {
  File& own = file_of(file);
  own.base.pMethods = nullptr;
  own.state = nullptr;
  own.below()->pMethods = nullptr;
  int code = vfs_below()->xOpen(vfs_below(), name, own.below(), flags, out_flags);
  if (code != SQLITE_OK) {
    if (own.below()->pMethods != nullptr) own.below()->pMethods->xClose(own.below());
    return code;
  }
  try {
    auto state = std::make_unique<State>();
    std::string_view path = name == nullptr ? std::string_view() : std::string_view(name);
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0 && !path.empty()) state->kind = Kind::database;
    if ((flags & SQLITE_OPEN_WAL) != 0 && path.ends_with(wal_suffix)) {
      state->kind = Kind::wal;
      path.remove_suffix(wal_suffix.size());
    }
    if (state->kind != Kind::other) state->files = DatabaseFiles::of(std::string(path));
    own.state = state.release();
    code = look_into(file, *own.state);
  } catch (const std::bad_alloc&) {
    code = SQLITE_NOMEM;
  }
  if (code != SQLITE_OK) {
    delete own.state;
    own.below()->pMethods->xClose(own.below());
    return code;
  }
  own.base.pMethods = &methods;
  return SQLITE_OK;
}

// SQLite removes a WAL when all of it is in the database and synced. The mark goes first.
int delete_file(sqlite3_vfs*, const char* name, int sync_directory) {
  std::string_view path(name);
  if (path.ends_with(wal_suffix)) {
    path.remove_suffix(wal_suffix.size());
    if (!DatabaseFiles::of(std::string(path))->forget_mark()) return SQLITE_IOERR_DELETE;
  }
  return vfs_below()->xDelete(vfs_below(), name, sync_directory);
}

bool register_layer() {
  sqlite3_vfs* below = vfs_below();
  if (below == nullptr) return false;
  // everything else is that of the layer below, whose other calls do not need its own VFS
  static sqlite3_vfs own = *below;
  own.zName = own_name;
  own.szOsFile = static_cast<int>(sizeof(File)) + below->szOsFile;
  own.xOpen = open_file;
  own.xDelete = delete_file;
  return sqlite3_vfs_register(&own, 0) == SQLITE_OK;
}

}  // namespace

const char* wal_vfs_name() {
  static const bool registered = register_layer();
  return registered ? own_name : below_name;
}

std::string take_damage_text() { return std::exchange(damage_text, {}); }

void verify_pages(bool on) { verifying = on; }

}  // namespace ringfs::nodes
