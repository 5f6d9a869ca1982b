// A disk that hangs, is slow or gives read errors, for one node of a ring: LD_PRELOAD for ringfs-node.
//
// A file named `trouble` in a node's data directory says what happens to the files beside it, at once and for as long
// as it says so:
//   hang       fsync and fdatasync do not return
//   hang all   neither do reads
//   slow MS    each sync takes so many milliseconds more
//   eio        reads of the database and of the file of payloads fail
// No such file: nothing. Threads: any. It looks at the path of each descriptor, so it costs a few microseconds a call.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

void pause_ms(long ms) {
  timespec length = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&length, nullptr);
}

// The name of the descriptor's file, and in `order` what `trouble` beside it says; empty: nothing.
void trouble_of(int descriptor, char name[PATH_MAX], char order[32]) {
  char link[64], path[PATH_MAX + 16];
  order[0] = name[0] = 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length <= 0 || path[0] != '/') return;
  path[length] = 0;
  char* slash = strrchr(path, '/');
  strcpy(name, slash + 1);
  strcpy(slash + 1, "trouble");
  int file = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
  if (file < 0) return;
  ssize_t count = syscall(SYS_read, file, order, 31);
  close(file);
  order[count > 0 ? count : 0] = 0;
  order[strcspn(order, "\n")] = 0;
}

void before_sync(int descriptor) {
  const int kept = errno;
  char name[PATH_MAX], order[32];
  trouble_of(descriptor, name, order);
  if (strncmp(order, "slow ", 5) == 0) pause_ms(atol(order + 5));
  while (strncmp(order, "hang", 4) == 0) {
    pause_ms(20);
    trouble_of(descriptor, name, order);
  }
  errno = kept;
}

// Nonzero: the read fails.
int before_read(int descriptor) {
  const int kept = errno;
  char name[PATH_MAX], order[32];
  trouble_of(descriptor, name, order);
  while (strcmp(order, "hang all") == 0) {
    pause_ms(20);
    trouble_of(descriptor, name, order);
  }
  errno = kept;
  return strcmp(order, "eio") == 0 && (strcmp(name, "ringfs.db") == 0 || strcmp(name, "ringfs.payloads") == 0);
}

}  // namespace

extern "C" {

int fsync(int descriptor) {
  before_sync(descriptor);
  return static_cast<int>(syscall(SYS_fsync, descriptor));
}

int fdatasync(int descriptor) {
  before_sync(descriptor);
  return static_cast<int>(syscall(SYS_fdatasync, descriptor));
}

ssize_t pread64(int descriptor, void* buffer, size_t size, off64_t offset) {
  if (before_read(descriptor)) {
    errno = EIO;
    return -1;
  }
  return syscall(SYS_pread64, descriptor, buffer, size, offset);
}

ssize_t pread(int descriptor, void* buffer, size_t size, off_t offset) {
  return pread64(descriptor, buffer, size, offset);
}

}  // extern "C"
