// Telling the kernel of this mount about changes of files that are open here, before an answer shows it the new size or
// bytes. kernel_pages.cpp says why.
//
// Threads: one loop. Errors: timeout: the kernel could not be told in time; those of FileReader: its last page could
// not be read.
#pragma once

#include <optional>

#include "fs/contents/file_reader.hpp"
#include "fs/contents/kernel_sizes.hpp"
#include "fs/instance.hpp"
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

class KernelPages {
 public:
  struct Telling {
    bool by_answer = false;              // before an answer that gives the kernel the size
    bool size_follows = false;           // the answer to the kernel's own request brings the size
    bool raise = false;                  // it takes the end of file to be elsewhere
    std::optional<std::uint64_t> from;   // its pages from here on are old
    std::optional<std::uint64_t> until;  // only pages up to here: those behind may be locked by the request that waits
    std::optional<PageChange::Tail> written;  // what was just written there
  };

  KernelPages(Instance& instance, OpenInodes& open_inodes, FileReader& reader, KernelSizes& sizes)
      : instance_(instance), open_inodes_(open_inodes), reader_(reader), sizes_(sizes) {}

  bool must_tell(const OpenInode& open) const;
  Task<Status> tell(OpenPointer open, Telling telling, TimePoint deadline);
  // Tells it in the background if there is something to tell.
  void start_telling(const OpenPointer& open);

  // The attributes of an answer to the kernel. What the kernel must be told before has been told.
  Task<Result<Attributes>> answer(InodeNumber inode, LoadedInode loaded, TimePoint deadline);
  // The same for an operation that has been carried out, and is answered in any case.
  Task<Attributes> answer_done(InodeNumber inode, LoadedInode loaded, TimePoint deadline);
  // The same without telling it anything.
  Attributes give(InodeNumber inode, LoadedInode loaded);

 private:
  Task<Status> tell_change(OpenPointer open, PageChange change, TimePoint deadline);
  Task<Result<std::optional<PageChange::Tail>>> last_page(OpenPointer open, std::uint64_t end,
                                                          std::optional<PageChange::Tail> known, TimePoint deadline);
  static Task<void> run_telling(std::shared_ptr<KernelPages> self, OpenPointer open);

  Instance& instance_;
  OpenInodes& open_inodes_;
  FileReader& reader_;
  KernelSizes& sizes_;
};

}  // namespace ringfs::fs
