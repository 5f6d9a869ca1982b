// A ring in memory, and mounts on it, for tests of the file system. Every call runs to its end in virtual time.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fs/claims.hpp"
#include "fs/names/attributes.hpp"
#include "fs/names/keys.hpp"
#include "fs/volume.hpp"
#include "tests/support/memory_object_store.hpp"

namespace ringfs::fs {

// One mount: a store of its own over the common ring, and a Volume on it.
class Mount {
 public:
  Mount(VirtualTime& time, std::shared_ptr<MemoryRing> ring, std::uint64_t seed, FileSystemOptions options = {})
      : time_(time), store(time, std::move(ring), seed), volume(std::make_shared<Volume>(store, options)) {
    Status started = run(volume->start());
    EXPECT_TRUE(started) << started.error().text();
  }
  ~Mount() {
    store.revive();
    volume->abandon();
    time_.settle();
  }

  template <class T>
  T run(Task<T> task) {
    return time_.run(std::move(task));
  }
  // The mount dies after so many steps of the call.
  template <class T>
  T die_after(std::size_t steps, Task<T> task) {
    store.fail_after(steps);
    return run(std::move(task));
  }
  template <class T>
  T must(Task<Result<T>> task) {
    Result<T> result = run(std::move(task));
    if (!result) {
      ADD_FAILURE() << result.error().text();
      return T{};
    }
    return std::move(*result);
  }
  void must(Task<Status> task) {
    Status status = run(std::move(task));
    if (!status) ADD_FAILURE() << status.error().text();
  }
  template <class T>
  ErrorCode error(Task<Result<T>> task) {
    Result<T> result = run(std::move(task));
    return result ? ErrorCode{} : result.error().code;
  }

  InodeNumber mkdir(InodeNumber parent, const std::string& name) {
    return must(volume->names.make_directory({}, parent, name, 0755)).inode;
  }
  Handle create(InodeNumber parent, const std::string& name) {
    return must(volume->files.create({}, parent, name, 0644, O_RDWR | O_EXCL)).handle;
  }
  Handle open(InodeNumber inode, int flags = O_RDWR) { return must(volume->files.open({}, inode, flags)).handle; }
  void write(Handle handle, std::uint64_t offset, std::string bytes) {
    std::size_t size = bytes.size();
    EXPECT_EQ(must(volume->files.write(handle, offset, SharedBytes(std::move(bytes)))), size);
  }
  void close(Handle handle) {
    must(volume->files.flush(handle));
    run(volume->files.release(handle));
  }
  std::string read(Handle handle, std::uint64_t offset = 0, std::size_t size = 4 << 20) {
    std::string bytes;
    for (const SharedBytes& piece : must(volume->files.read(handle, offset, size)).pieces) bytes += piece.view();
    return bytes;
  }
  InodeNumber put(InodeNumber parent, const std::string& name, const std::string& contents) {
    Opened opened = must(volume->files.create({}, parent, name, 0644, O_RDWR));
    if (!contents.empty()) write(opened.handle, 0, contents);
    close(opened.handle);
    return opened.attributes.inode;
  }
  InodeNumber find(InodeNumber parent, const std::string& name) {
    return must(volume->names.lookup(parent, name)).inode;
  }
  bool exists(InodeNumber parent, const std::string& name) { return bool(run(volume->names.lookup(parent, name))); }
  std::string contents(InodeNumber inode) {
    Handle handle = open(inode, O_RDONLY);
    std::string bytes;
    for (;;) {
      std::string part = read(handle, bytes.size());
      if (part.empty()) break;
      bytes += part;
    }
    close(handle);
    return bytes;
  }
  std::string get(InodeNumber parent, const std::string& name) { return contents(find(parent, name)); }
  Attributes stat(InodeNumber inode) { return must(volume->names.get_attributes(inode)); }
  Status rename(InodeNumber parent, const std::string& name, InodeNumber new_parent, const std::string& new_name,
                unsigned flags = 0) {
    return run(volume->names.rename(parent, name, new_parent, new_name, flags));
  }
  std::set<std::string> list(InodeNumber directory) {
    Handle handle = must(volume->directories.open(directory));
    std::set<std::string> names;
    for (std::uint64_t cookie = 0;;) {
      std::vector<DirectoryEntry> entries = must(volume->directories.read(handle, cookie, 100, false));
      if (entries.empty()) break;
      for (const DirectoryEntry& entry : entries) EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
      cookie = entries.back().cookie;
    }
    volume->directories.release(handle);
    names.erase(".");
    names.erase("..");
    return names;
  }
  bool truncate(InodeNumber inode, std::uint64_t size) {
    SetAttributes changes;
    changes.size = size;
    return bool(run(volume->names.set_attributes({}, inode, changes)));
  }

 private:
  VirtualTime& time_;

 public:
  MemoryObjectStore store;
  std::shared_ptr<Volume> volume;
};

class World : public testing::Test {
 protected:
  Mount& mount(FileSystemOptions options = {}) {
    mounts_.push_back(std::make_unique<Mount>(time, ring, mounts_.size() + 1, options));
    return *mounts_.back();
  }
  ~World() override {
    mounts_.clear();
    time.run_until_idle();
  }

  std::vector<PartitionId> partitions() const {
    std::vector<PartitionId> all;
    for (std::uint32_t i = 0; i < (1U << ring->partition_bits); ++i) all.push_back(PartitionId{i});
    return all;
  }
  // Whether a partition has rows that a janitor looks at.
  bool has_garbage(PartitionId partition) const {
    for (const auto& [address, stored] : ring->partitions[partition].rows.all()) {
      const std::string_view sort = address.sort;
      if (sort.starts_with("O/") || sort.starts_with("G/") || sort.starts_with("H/")) return true;
    }
    return false;
  }
  RowAges claim(Mount& by, PartitionId partition) {
    if (!has_garbage(partition)) return {};
    return by.must(claims_.claim(by.store, partition, time.clock().now + std::chrono::minutes(1)));
  }
  // Time passes. The rows that are there at its beginning are claimed soon, as by the nodes' janitors.
  void pass(Mount& by, Duration duration) {
    const Duration until_claimed = std::min(duration, mark_spacing);
    time.advance(until_claimed);
    for (const PartitionId partition : partitions()) claim(by, partition);
    time.advance(duration - until_claimed);
  }

  // Every partition, until nothing is left to do.
  JanitorReport clean(Mount& by) {
    JanitorReport sum;
    for (const PartitionId partition : partitions()) {
      const RowAges ages = claim(by, partition);
      for (bool more = true; more;) {
        JanitorReport report =
            by.must(janitor_pass(by.store, partition, ages, time.clock().now + std::chrono::minutes(1)));
        sum.orphans += report.orphans;
        sum.chunks += report.chunks;
        sum.rows += report.rows;
        more = report.more;
      }
    }
    return sum;
  }

  // Ends every transaction whose coordinator died, as a client that meets its rows does.
  void resolve_all(Mount& by) {
    time.advance(std::chrono::minutes(5));
    for (int round = 0; round < 20 && ring->intents() > 0; ++round) {
      std::vector<RowAddress> locked;
      for (const auto& [id, partition] : ring->partitions) {
        for (const auto& [address, stored] : partition.rows.all()) {
          if (address.key != dht::lock_key) continue;
          Reader reader(address.sort);
          std::string key(reader.string());
          locked.push_back({key, std::string(reader.rest())});
        }
      }
      for (const RowAddress& row : locked) {
        CommitRequest request;
        request.conditions.push_back(present(row));
        by.run(by.store.commit(std::move(request), time.clock().now + std::chrono::seconds(30)));
      }
    }
    EXPECT_EQ(ring->intents(), 0U);
  }

  // Checks what holds whenever no operation is under way: every entry leads to an inode of its type, a link count is at
  // least the number of names, a live inode has a name (unless it is half made), a directory's parent names it, and
  // rows of contents belong to an inode or to garbage.
  void check_invariants() {
    std::map<InodeNumber, InodeRow> inodes;
    std::map<InodeNumber, int> names;
    std::map<InodeNumber, std::set<InodeNumber>> children;
    std::set<InodeNumber> orphans;
    std::set<std::string> garbage;
    std::vector<std::pair<InodeNumber, std::string>> chunks;
    for (const auto& [id, partition] : ring->partitions) {
      for (const auto& [address, stored] : partition.rows.all()) {
        if (address.key.front() == '\0') continue;
        std::string_view sort = address.sort;
        if (address.key.starts_with("c/")) {
          Reader reader(std::string_view(address.key).substr(2));
          InodeNumber inode = reader.u64();
          chunks.emplace_back(inode, address.key.substr(10, 8));
        } else if (sort.starts_with("I/")) {
          Result<InodeRow> row = decode_inode(stored.value.view());
          ASSERT_TRUE(row);
          inodes[inode_of(sort)] = *row;
        } else if (sort.starts_with("E/")) {
          Result<EntryRow> entry = decode_entry(stored.value.view());
          ASSERT_TRUE(entry);
          ++names[entry->inode];
          children[inode_of(sort)].insert(entry->inode);
          types_[entry->inode] = entry->type;
        } else if (sort.starts_with("O/")) {
          orphans.insert(inode_of(sort));
        } else if (sort.starts_with("G/")) {
          garbage.insert(std::string(sort.substr(2, 16)));
        }
      }
    }
    for (const auto& [inode, count] : names) {
      ASSERT_TRUE(inodes.contains(inode)) << "dangling entry for " << inode;
      EXPECT_EQ(inodes[inode].mode & S_IFMT, types_[inode]);
      EXPECT_EQ(inodes[inode].state, InodeState::live);
      if (inodes[inode].is_directory()) {
        EXPECT_EQ(count, 1);
      } else {
        EXPECT_EQ(inodes[inode].links, count);
      }
    }
    for (const auto& [inode, row] : inodes) {
      if (inode == root_inode) continue;
      EXPECT_TRUE(names.contains(inode) || orphans.contains(inode)) << "lost inode " << inode;
      if (row.is_directory() && names.contains(inode)) {
        EXPECT_TRUE(children[row.parent].contains(inode)) << "parent of " << inode;
        EXPECT_FALSE(row.state == InodeState::unlinked);
      }
    }
    for (const auto& [directory, entries] : children) {
      EXPECT_TRUE(inodes.contains(directory) && inodes[directory].state == InodeState::live)
          << "entries of a removed directory";
      auto subdirectories = std::count_if(entries.begin(), entries.end(),
                                          [&](InodeNumber inode) { return inodes[inode].is_directory(); });
      EXPECT_EQ(inodes[directory].links, 2 + subdirectories) << "links of directory " << directory;
    }
    for (const auto& [inode, content] : chunks) {
      bool owned = inodes.contains(inode) && encode_u64(inodes[inode].content) == content;
      EXPECT_TRUE(owned || garbage.contains(encode_u64(inode) + content)) << "leaked chunk of " << inode;
    }
  }

  std::size_t chunk_rows() const {
    std::size_t count = 0;
    for (const auto& [id, partition] : ring->partitions) {
      for (const auto& [address, stored] : partition.rows.all()) count += address.key.starts_with("c/") ? 1 : 0;
    }
    return count;
  }

  boost::asio::io_context loop;
  VirtualTime time{loop};
  std::shared_ptr<MemoryRing> ring = std::make_shared<MemoryRing>();

 private:
  std::map<InodeNumber, std::uint32_t> types_;
  Claims claims_;
  std::vector<std::unique_ptr<Mount>> mounts_;
};

inline std::string pattern(std::size_t size, std::uint64_t seed = 1) {
  SeededRandom random(seed);
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    std::uint64_t word = random.next();
    for (std::size_t j = 0; j < 8; ++j) bytes[i + j] = static_cast<char>(word >> (8 * j));
  }
  for (std::size_t i = size / 8 * 8; i < size; ++i) bytes[i] = static_cast<char>(random.next());
  return bytes;
}

}  // namespace ringfs::fs
