#include "nodes/sqlite_wal_vfs.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

namespace ringfs {

namespace {

constexpr const char* below_name = "unix-excl";
constexpr const char* own_name = "ringfs-wal";
constexpr std::size_t max_collected_bytes = 4 << 20;  // memory; of a transaction beyond it the first part is written earlier
constexpr std::size_t max_write_bytes = 64 << 10;      // "unix" takes a size for its lowest 17 bits
constexpr int frame_header_bytes = 24;
constexpr sqlite3_int64 wal_header_bytes = 32;

// The pieces of a WAL that were not written yet.
struct Collected {
  std::string bytes;
  sqlite3_int64 offset = 0;
  bool last_frame = false;  // the header of a transaction's last frame has come, its page has not
};

struct File {
  sqlite3_file base;      // first: SQLite knows this part
  Collected* collected;   // of a WAL; null for other files
  sqlite3_file* below() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File& file_of(sqlite3_file* file) { return *reinterpret_cast<File*>(file); }
sqlite3_file* below(sqlite3_file* file) { return file_of(file).below(); }
sqlite3_vfs* vfs_below() { return sqlite3_vfs_find(below_name); }

int write_collected(sqlite3_file* file) {
  Collected* collected = file_of(file).collected;
  if (collected == nullptr || collected->bytes.empty()) return SQLITE_OK;
  int code = SQLITE_OK;
  for (std::size_t done = 0; done < collected->bytes.size() && code == SQLITE_OK; done += max_write_bytes) {
    const std::size_t size = std::min(max_write_bytes, collected->bytes.size() - done);
    code = below(file)->pMethods->xWrite(below(file), collected->bytes.data() + done, static_cast<int>(size),
                                         collected->offset + static_cast<sqlite3_int64>(done));
  }
  collected->bytes.clear();  // after an error, too: SQLite rolls the transaction back
  collected->last_frame = false;
  return code;
}

int close_file(sqlite3_file* file) {
  int written = write_collected(file);  // of a transaction that was not committed
  delete file_of(file).collected;
  int closed = below(file)->pMethods->xClose(below(file));
  return written == SQLITE_OK ? closed : written;
}

int read(sqlite3_file* file, void* into, int size, sqlite3_int64 offset) {
  if (int code = write_collected(file); code != SQLITE_OK) return code;
  return below(file)->pMethods->xRead(below(file), into, size, offset);
}

bool names_database_size(const void* frame_header) {
  static constexpr char none[4] = {};
  return std::memcmp(static_cast<const char*>(frame_header) + 4, none, sizeof none) != 0;
}

int write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  Collected* collected = file_of(file).collected;
  if (collected == nullptr || offset < wal_header_bytes) {
    if (int code = write_collected(file); code != SQLITE_OK) return code;
    return below(file)->pMethods->xWrite(below(file), from, size, offset);
  }
  const bool follows = collected->offset + static_cast<sqlite3_int64>(collected->bytes.size()) == offset;
  // Only between frames: a page must not be parted from its header, which says whether the transaction ends with it.
  const bool full = size == frame_header_bytes && collected->bytes.size() >= max_collected_bytes;
  if (!follows || full) {
    if (int code = write_collected(file); code != SQLITE_OK) return code;
  }
  try {
    if (collected->bytes.empty()) collected->offset = offset;
    collected->bytes.append(static_cast<const char*>(from), static_cast<std::size_t>(size));
  } catch (const std::bad_alloc&) {
    return SQLITE_IOERR_NOMEM;
  }
  if (size == frame_header_bytes) {
    collected->last_frame = names_database_size(from);
    return SQLITE_OK;
  }
  return collected->last_frame ? write_collected(file) : SQLITE_OK;
}

int truncate(sqlite3_file* file, sqlite3_int64 size) {
  if (int code = write_collected(file); code != SQLITE_OK) return code;
  return below(file)->pMethods->xTruncate(below(file), size);
}

int sync(sqlite3_file* file, int flags) {
  if (int code = write_collected(file); code != SQLITE_OK) return code;
  return below(file)->pMethods->xSync(below(file), flags);
}

int file_size(sqlite3_file* file, sqlite3_int64* size) {
  if (int code = write_collected(file); code != SQLITE_OK) return code;
  return below(file)->pMethods->xFileSize(below(file), size);
}

int lock(sqlite3_file* file, int level) { return below(file)->pMethods->xLock(below(file), level); }
int unlock(sqlite3_file* file, int level) { return below(file)->pMethods->xUnlock(below(file), level); }
int check_reserved_lock(sqlite3_file* file, int* result) { return below(file)->pMethods->xCheckReservedLock(below(file), result); }
int file_control(sqlite3_file* file, int operation, void* argument) {
  return below(file)->pMethods->xFileControl(below(file), operation, argument);
}
int sector_size(sqlite3_file* file) { return below(file)->pMethods->xSectorSize(below(file)); }
int device_characteristics(sqlite3_file* file) { return below(file)->pMethods->xDeviceCharacteristics(below(file)); }
int shm_map(sqlite3_file* file, int region, int size, int extend, void volatile** into) {
  return below(file)->pMethods->xShmMap(below(file), region, size, extend, into);
}
int shm_lock(sqlite3_file* file, int offset, int count, int flags) {
  return below(file)->pMethods->xShmLock(below(file), offset, count, flags);
}
void shm_barrier(sqlite3_file* file) { below(file)->pMethods->xShmBarrier(below(file)); }
int shm_unmap(sqlite3_file* file, int remove) { return below(file)->pMethods->xShmUnmap(below(file), remove); }

// Version 2: the WAL's index, but no memory-mapped reads (the store switches those off).
constexpr sqlite3_io_methods methods = {
    2,      close_file, read,         write,          truncate, sync, file_size, lock, unlock, check_reserved_lock, file_control, sector_size, device_characteristics,
    shm_map, shm_lock,  shm_barrier,  shm_unmap,      nullptr,  nullptr};

int open_file(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* file, int flags, int* out_flags) {
  File& own = file_of(file);
  own.base.pMethods = nullptr;
  own.collected = nullptr;
  own.below()->pMethods = nullptr;
  int code = vfs_below()->xOpen(vfs_below(), name, own.below(), flags, out_flags);
  if (code != SQLITE_OK) {
    if (own.below()->pMethods != nullptr) own.below()->pMethods->xClose(own.below());
    return code;
  }
  if ((flags & SQLITE_OPEN_WAL) != 0) {
    own.collected = new (std::nothrow) Collected;
    if (own.collected == nullptr) {
      own.below()->pMethods->xClose(own.below());
      return SQLITE_NOMEM;
    }
  }
  own.base.pMethods = &methods;
  return SQLITE_OK;
}

bool register_layer() {
  sqlite3_vfs* below = vfs_below();
  if (below == nullptr) return false;
  static sqlite3_vfs own = *below;  // the rest is the layer's below, which needs nothing of its own in these calls
  own.zName = own_name;
  own.szOsFile = static_cast<int>(sizeof(File)) + below->szOsFile;
  own.xOpen = open_file;
  return sqlite3_vfs_register(&own, 0) == SQLITE_OK;
}

}  // namespace

const char* wal_vfs_name() {
  static const bool registered = register_layer();
  return registered ? own_name : below_name;
}

}  // namespace ringfs
