// Contents of files.
//
// Chunks knows where contents lie, FileReader reads them, FileWriter changes them. KernelSizes and KernelPages know
// what this mount's kernel has of them, and tell it of changes. OpenFiles offers all of it by handles.
#pragma once

#include "fs/contents/chunks.hpp"
#include "fs/contents/file_reader.hpp"
#include "fs/contents/file_writer.hpp"
#include "fs/contents/kernel_pages.hpp"
#include "fs/contents/kernel_sizes.hpp"

namespace ringfs::fs {

struct Contents {
  Contents(Instance& instance, Inodes& inodes, OpenInodes& open_inodes)
      : chunks(instance, inodes, open_inodes),
        writer(instance, open_inodes, chunks),
        reader(instance, open_inodes),
        kernel_sizes(instance),
        kernel_pages(instance, open_inodes, reader, kernel_sizes) {}

  Chunks chunks;
  FileWriter writer;
  FileReader reader;
  KernelSizes kernel_sizes;
  KernelPages kernel_pages;
};

}  // namespace ringfs::fs
