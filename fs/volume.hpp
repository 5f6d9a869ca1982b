// The file system without `.ring/`: its parts, and its beginning and end. FileSystem calls the parts.
//
// `names` looks up and changes names and attributes, `directories` lists, `files` are open files. Behind them: `hints`
// guesses about names, `inodes` reads inodes, `open_inodes` is what is known of those in use, `contents` what is in
// files, `kernel_leases` is what the kernel may keep, `holds` looks after files that others unlink while they are
// open here. Each part has a header of its own and uses only the parts before it; all share the Instance.
//
// Background work keeps the Volume alive through a shared_ptr; the store must outlive the loop's work. Threads, errors
// and deadlines as FileSystem.
#pragma once

#include "fs/contents/contents.hpp"
#include "fs/contents/open_files.hpp"
#include "fs/holds.hpp"
#include "fs/instance.hpp"
#include "fs/kernel_leases.hpp"
#include "fs/names/directories.hpp"
#include "fs/names/hints.hpp"
#include "fs/names/inodes.hpp"
#include "fs/names/names.hpp"
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

class Volume final : public Instance {
 public:
  Volume(ObjectStore& object_store, FileSystemOptions file_system_options);

  // Makes the root directory if this ring has none, and begins the regular looks.
  Task<Status> start();
  // Sends what waits, and ends what runs beside the operations.
  Task<Status> stop(TimePoint deadline);

  NameHints hints;
  OpenInodes open_inodes;
  Inodes inodes;
  Contents contents;
  KernelLeases kernel_leases;
  Names names;
  Directories directories;
  OpenFiles files;
  Holds holds;

 private:
  Task<Status> make_root();
  static Task<void> flush_at_end(std::shared_ptr<Volume> self, OpenPointer open, std::shared_ptr<Status> status,
                                 TimePoint deadline);
  static Task<void> settle_loop(std::shared_ptr<Volume> self);
  void settle_some();
};

}  // namespace ringfs::fs
