#!/usr/bin/env python3
"""The loads of bounds.sh on a mounted ring, and the measurements of its processes.

  churn.py churn DIR COUNTER --seconds S       a bounded working set that changes all the time, every byte compared
  churn.py sample SAMPLES STATE COUNTER PID    until PID (the load) ends: a line per process of the ring and moment
  churn.py report SAMPLES                      a table over time; exit code 1: a quantity still grows
  churn.py flat DIR STATE --files N            creates files in one directory, lists and removes them
  churn.py idle STATE --seconds S              what the processes use during S seconds
  churn.py now STATE                           a line for each process of the ring

STATE is the directory that `ringfs up --state` made; COUNTER a file outside the mount that holds the number of operations. The load
keeps the expected contents of every file in its own memory. A failed operation or wrong bytes end it with exit code 1. The load may be
stopped (SIGSTOP) for a while: the samples show when.
"""
import argparse
import glob
import json
import os
import random
import shutil
import signal
import statistics
import struct
import sys
import threading
import time

MIB = 1 << 20

# The working set. Each small worker has a tree of its own.
SMALL_WORKERS = 3
SMALL_FILES = 667          # a worker
SMALL_DIRECTORIES = 30     # a worker
SMALL_SYMLINKS = 60        # a worker
SMALL_LIMIT = 96 << 10     # appended to beyond that, a file is cut
OPEN_UNLINKED = 6          # a worker: files without a name, kept open for a while
NAME_POOL = 2000           # half of all names come back again and again, the others are new
LARGE_FILES = 4            # each grows to its limit, loses up to half, grows again
LARGE_LIMIT = 32 * MIB
LARGE_STEP = MIB            # at most, an operation
SMALL_PAUSE = 0.022        # seconds after each operation of a worker, on average
LARGE_PAUSE = 0.1


class Wrong(Exception):
    """The mount gave wrong bytes or names."""


# ---- The load --------------------------------------------------------------------------------------


class Directory:
    def __init__(self, parent, name):
        self.parent = parent
        self.name = name
        self.entries = {}  # name: Directory, File or Symlink

    def path(self):
        return self.name if self.parent is None else os.path.join(self.parent.path(), self.name)


class File:
    def __init__(self):
        self.data = bytearray()
        self.names = 0


class Symlink:
    def __init__(self, target):
        self.target = target


def write_all(descriptor, data, offset=None):
    """At the offset, or at the position of the descriptor."""
    written = os.write(descriptor, data) if offset is None else os.pwrite(descriptor, data, offset)
    if written != len(data):
        raise Wrong("%d of %d bytes written" % (written, len(data)))


def read_all(descriptor):
    parts = []
    while part := os.read(descriptor, MIB):
        parts.append(part)
    return b"".join(parts)


def opened(path, flags, action):
    """action(descriptor), between open and close."""
    descriptor = os.open(path, flags, 0o644)
    try:
        return action(descriptor)
    finally:
        os.close(descriptor)


def put(data, offset, part):
    """The contents after a pwrite."""
    if offset > len(data):
        data.extend(bytes(offset - len(data)))
    data[offset:offset + len(part)] = part


def cut(data, size):
    if size <= len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


class Load:
    """The threads and their shared state."""

    def __init__(self, counter, seconds, pace):
        self.counter = os.open(counter, os.O_RDWR | os.O_CREAT, 0o600)
        self.operations = 0
        self.kinds = {}
        self.end = time.monotonic() + seconds
        self.pace = pace
        self.lock = threading.Lock()
        self.failure = None

    def running(self):
        return self.failure is None and time.monotonic() < self.end

    def count(self, kind):
        with self.lock:
            self.operations += 1
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
            os.pwrite(self.counter, b"%d\n" % self.operations, 0)


class Worker(threading.Thread):
    def __init__(self, load, root, seed):
        super().__init__()
        self.load = load
        self.root = root
        self.random = random.Random(seed)
        self.pause = 0.0

    def run(self):
        name = "start"
        try:
            os.mkdir(self.root)
            self.start_up()
            while self.load.running():
                operation = self.choose()
                name = operation.__name__
                if operation():
                    self.load.count(name)
                    time.sleep(self.random.uniform(0.5, 1.5) * self.pause * self.load.pace)
            name = "verify"
            if self.load.failure is None:
                self.verify()
            name = "remove"
            if self.load.failure is None:
                self.finish()
                shutil.rmtree(self.root)
        except (OSError, Wrong) as problem:
            self.load.failure = "%s: %s: %s" % (self.root, name, problem)
            print("FAILED at %s: %s" % (time.strftime("%T"), self.load.failure), flush=True)


class SmallWorker(Worker):
    """Thousands of small files in a tree of directories."""

    def __init__(self, load, root, seed):
        super().__init__(load, root, seed)
        self.pause = SMALL_PAUSE
        self.top = Directory(None, root)
        self.directories = [self.top]
        self.files = []      # (Directory, name): one for each hard link
        self.symlinks = []   # the same
        self.nameless = []   # (descriptor, contents)
        self.fresh = 0
        self.table = (
            (self.create, 16), (self.unlink, 12), (self.read, 18), (self.overwrite, 8), (self.patch, 8), (self.append, 10),
            (self.append_synced, 2), (self.truncate, 6), (self.rename_here, 5), (self.rename_across, 6), (self.replace, 5),
            (self.link, 4), (self.symlink, 4), (self.follow, 3), (self.drop_symlink, 3), (self.unlink_open, 4), (self.use_nameless, 6),
            (self.make_directory, 4), (self.remove_directory, 3), (self.move_directory, 1), (self.list, 6), (self.attributes, 4),
            (self.missing, 3))
        self.actions = [action for action, _ in self.table]
        self.weights = [weight for _, weight in self.table]

    def start_up(self):
        pass

    def choose(self):
        # The following operations need a file.
        if not self.files:
            return self.create
        # Towards the size that the working set is to have.
        if len(self.files) < SMALL_FILES * 0.9 and self.random.random() < 0.5:
            return self.create
        if len(self.files) > SMALL_FILES * 1.1:
            return self.unlink
        return self.random.choices(self.actions, self.weights)[0]

    # Picks

    def directory(self):
        return self.random.choice(self.directories)

    def file(self):
        directory, name = self.random.choice(self.files)
        return directory, name, directory.entries[name], os.path.join(directory.path(), name)

    def new_name(self, directory):
        while True:
            self.fresh += 1
            name = "n-%d" % self.fresh if self.random.random() < 0.5 else "p-%d" % self.random.randrange(NAME_POOL)
            if name not in directory.entries:
                return name

    def bytes(self):
        # From nothing to 64 KiB, most of them a few KiB.
        return self.random.randbytes(int(2 ** self.random.uniform(0, 16)) - 1)

    # Bookkeeping

    def enter(self, directory, name, thing):
        directory.entries[name] = thing
        if isinstance(thing, File):
            thing.names += 1
            self.files.append((directory, name))
        elif isinstance(thing, Symlink):
            self.symlinks.append((directory, name))

    def leave(self, directory, name):
        thing = directory.entries.pop(name)
        if isinstance(thing, File):
            thing.names -= 1
            self.files.remove((directory, name))
        elif isinstance(thing, Symlink):
            self.symlinks.remove((directory, name))
        return thing

    def expect(self, path, seen, data):
        if seen != data:
            at = next((index for index, (a, b) in enumerate(zip(seen, data)) if a != b), min(len(seen), len(data)))
            raise Wrong("%s: %d bytes, not %d; the first that differs: %d" % (path, len(seen), len(data), at))

    # Operations. True: it was done.

    def create(self):
        directory, file = self.directory(), File()
        name = self.new_name(directory)
        data = self.bytes()
        opened(os.path.join(directory.path(), name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, lambda fd: write_all(fd, data))
        file.data[:] = data
        self.enter(directory, name, file)
        return True

    def unlink(self):
        directory, name, _, path = self.file()
        os.unlink(path)
        self.leave(directory, name)
        return True

    def read(self):
        _, _, file, path = self.file()
        self.expect(path, opened(path, os.O_RDONLY, read_all), file.data)
        return True

    def overwrite(self):
        _, _, file, path = self.file()
        data = self.bytes()
        opened(path, os.O_WRONLY | os.O_TRUNC, lambda fd: write_all(fd, data))
        file.data[:] = data
        return True

    def patch(self):
        _, _, file, path = self.file()
        offset = self.random.randrange(len(file.data) + 1)
        data = self.random.randbytes(self.random.randrange(1, 5000))

        def action(descriptor):
            write_all(descriptor, data, offset)
            if self.random.random() < 0.3:
                os.fsync(descriptor)

        opened(path, os.O_RDWR, action)
        put(file.data, offset, data)
        return self.shorten(path, file)

    def append(self, flags=0):
        _, _, file, path = self.file()
        data = self.random.randbytes(self.random.randrange(1, 3000))
        opened(path, os.O_WRONLY | os.O_APPEND | flags, lambda fd: write_all(fd, data))
        file.data.extend(data)
        return self.shorten(path, file)

    def append_synced(self):
        return self.append(os.O_SYNC)

    def shorten(self, path, file):
        if len(file.data) > SMALL_LIMIT:
            os.truncate(path, 1000)
            cut(file.data, 1000)
        return True

    def truncate(self):
        _, _, file, path = self.file()
        size = self.random.randrange(2 * len(file.data) + 100) if len(file.data) < SMALL_LIMIT // 3 else self.random.randrange(len(file.data))
        os.truncate(path, size)
        cut(file.data, size)
        if os.stat(path).st_size != size:
            raise Wrong("%s: cut to another size than %d" % (path, size))
        return True

    def rename_here(self):
        directory, name, _, path = self.file()
        return self.rename_to(directory, name, path, directory)

    def rename_across(self):
        directory, name, _, path = self.file()
        return self.rename_to(directory, name, path, self.directory())

    def rename_to(self, directory, name, path, other):
        new = self.new_name(other)
        os.rename(path, os.path.join(other.path(), new))
        self.enter(other, new, self.leave(directory, name))
        return True

    def replace(self):
        """A new file takes the place of an old one, as editors do."""
        directory, name, _, path = self.file()
        data, file = self.bytes(), File()

        def action(descriptor):
            write_all(descriptor, data)
            os.fsync(descriptor)

        opened(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, action)
        os.rename(path + ".new", path)
        self.leave(directory, name)
        file.data[:] = data
        self.enter(directory, name, file)
        return True

    def link(self):
        _, _, file, path = self.file()
        other = self.directory()
        name = self.new_name(other)
        os.link(path, os.path.join(other.path(), name))
        self.enter(other, name, file)
        if os.stat(path).st_nlink != file.names:
            raise Wrong("%s: not %d links" % (path, file.names))
        return True

    def symlink(self):
        if len(self.symlinks) >= SMALL_SYMLINKS:
            return False
        directory = self.directory()
        name, target = self.new_name(directory), "nowhere/%x" % self.random.getrandbits(self.random.randrange(1, 600))
        os.symlink(target, os.path.join(directory.path(), name))
        self.enter(directory, name, Symlink(target))
        return True

    def follow(self):
        if not self.symlinks:
            return False
        directory, name = self.random.choice(self.symlinks)
        if os.readlink(os.path.join(directory.path(), name)) != directory.entries[name].target:
            raise Wrong("%s: another target" % name)
        return True

    def drop_symlink(self):
        if not self.symlinks:
            return False
        directory, name = self.random.choice(self.symlinks)
        os.unlink(os.path.join(directory.path(), name))
        self.leave(directory, name)
        return True

    def unlink_open(self):
        directory, name, file, path = self.file()
        descriptor = os.open(path, os.O_RDWR)
        os.unlink(path)
        self.leave(directory, name)
        if file.names:
            os.close(descriptor)  # others write to it through its other names
            return True
        self.nameless.append((descriptor, file.data))
        if len(self.nameless) > OPEN_UNLINKED:
            os.close(self.nameless.pop(0)[0])
        return True

    def use_nameless(self):
        if not self.nameless:
            return False
        descriptor, data = self.random.choice(self.nameless)
        part, offset = self.random.randbytes(500), self.random.randrange(len(data) + 1)
        write_all(descriptor, part, offset)
        put(data, offset, part)
        os.lseek(descriptor, 0, os.SEEK_SET)
        self.expect("a file without a name", read_all(descriptor), data)
        return True

    def make_directory(self):
        if len(self.directories) >= SMALL_DIRECTORIES:
            return False
        parent = self.directory()
        name = self.new_name(parent)
        directory = Directory(parent, name)
        os.mkdir(directory.path())
        self.enter(parent, name, directory)
        self.directories.append(directory)
        return True

    def remove_directory(self):
        """A directory without subdirectories, and its contents."""
        leaves = [one for one in self.directories[1:] if not any(isinstance(thing, Directory) for thing in one.entries.values())]
        if not leaves:
            return False
        directory = self.random.choice(leaves)
        for name in list(directory.entries):
            os.unlink(os.path.join(directory.path(), name))
            self.leave(directory, name)
        os.rmdir(directory.path())
        directory.parent.entries.pop(directory.name)
        self.directories.remove(directory)
        return True

    def move_directory(self):
        if len(self.directories) < 3:
            return False
        moved, other = self.random.choice(self.directories[1:]), self.directory()
        above = other
        while above is not None:
            if above is moved:
                return False  # not below itself
            above = above.parent
        name, old = self.new_name(other), moved.path()
        os.rename(old, os.path.join(other.path(), name))
        moved.parent.entries.pop(moved.name)
        moved.parent, moved.name = other, name
        other.entries[name] = moved
        return True

    def list(self, directory=None):
        directory = directory or self.directory()
        names = os.listdir(directory.path())
        if sorted(names) != sorted(directory.entries):
            raise Wrong("%s: %d names, not %d" % (directory.path(), len(names), len(directory.entries)))
        return True

    def attributes(self):
        _, _, file, path = self.file()
        mode, when = self.random.randrange(0o600, 0o700), self.random.randrange(1 << 30)
        os.chmod(path, mode)
        os.utime(path, (when, when))
        seen = os.stat(path)
        if (seen.st_mode & 0o777, seen.st_mtime, seen.st_size) != (mode, when, len(file.data)):
            raise Wrong("%s: other attributes than were set" % path)
        return True

    def missing(self):
        directory = self.directory()
        self.fresh += 1
        if os.path.lexists(os.path.join(directory.path(), "missing-%d" % self.fresh)):
            raise Wrong("a name that nobody made")
        return True

    # Afterwards

    def verify(self):
        for directory in self.directories:
            self.list(directory)
        for directory, name in self.files:
            path = os.path.join(directory.path(), name)
            self.expect(path, opened(path, os.O_RDONLY, read_all), directory.entries[name].data)

    def finish(self):
        for descriptor, _ in self.nameless:
            os.close(descriptor)


class LargeWorker(Worker):
    """A few files of up to LARGE_LIMIT: their contents are chunks of their own."""

    def __init__(self, load, root, seed):
        super().__init__(load, root, seed)
        self.pause = LARGE_PAUSE
        self.contents = [bytearray() for _ in range(LARGE_FILES)]
        self.source = self.random.randbytes(4 * LARGE_STEP)

    def path(self, index):
        return os.path.join(self.root, "large-%d" % index)

    def start_up(self):
        for index in range(LARGE_FILES):
            opened(self.path(index), os.O_WRONLY | os.O_CREAT, lambda fd: None)

    def choose(self):
        actions = (self.append_large, self.overwrite_large, self.read_large, self.truncate_large, self.renew_large)
        return self.random.choices(actions, (40, 25, 34, 0.5, 0.5))[0]

    def pick(self):
        index = self.random.randrange(LARGE_FILES)
        return self.contents[index], self.path(index)

    def part(self):
        size = int(2 ** self.random.uniform(10, 20))
        begin = self.random.randrange(len(self.source) - size)
        return self.source[begin:begin + size]

    def append_large(self):
        data, path = self.pick()
        if len(data) + LARGE_STEP > LARGE_LIMIT:
            return self.cut_large(data, path)
        part = self.part()
        opened(path, os.O_WRONLY | os.O_APPEND, lambda fd: write_all(fd, part))
        data.extend(part)
        return True

    def overwrite_large(self):
        data, path = self.pick()
        part, offset = self.part(), self.random.randrange(len(data) + 1)
        if offset + len(part) > LARGE_LIMIT:
            return False
        opened(path, os.O_WRONLY, lambda fd: write_all(fd, part, offset))
        put(data, offset, part)
        return True

    def read_large(self):
        data, path = self.pick()
        offset = self.random.randrange(len(data) + 1)
        seen = opened(path, os.O_RDONLY, lambda fd: os.pread(fd, LARGE_STEP, offset))
        if seen != data[offset:offset + LARGE_STEP]:
            raise Wrong("%s: other bytes between %d and %d" % (path, offset, offset + LARGE_STEP))
        return True

    def truncate_large(self):
        return self.cut_large(*self.pick())

    def cut_large(self, data, path):
        size = self.random.randrange(len(data) // 2, min(LARGE_LIMIT, len(data) + LARGE_STEP) + 1)
        os.truncate(path, size)
        cut(data, size)
        return True

    def renew_large(self):
        data, path = self.pick()
        os.unlink(path)
        opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, lambda fd: None)
        data.clear()
        return True

    def verify(self):
        for index in range(LARGE_FILES):
            if opened(self.path(index), os.O_RDONLY, read_all) != self.contents[index]:
                raise Wrong("%s: other bytes" % self.path(index))

    def finish(self):
        pass


def churn(arguments):
    seed = int(time.time())
    load = Load(arguments.counter, arguments.seconds, arguments.pace)
    workers = [SmallWorker(load, os.path.join(arguments.directory, "small-%d" % number), seed + number) for number in range(SMALL_WORKERS)]
    workers.append(LargeWorker(load, os.path.join(arguments.directory, "large"), seed + SMALL_WORKERS))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("seed %d; %d operations: %s" % (seed, load.operations, ", ".join("%s %d" % one for one in sorted(load.kinds.items()))))
    return 0 if load.failure is None else 1


# ---- Looking at processes --------------------------------------------------------------------------

TICKS = os.sysconf("SC_CLK_TCK")


def processes(state):
    """name: (pid, its log, data directory or None)."""
    found = {}
    for path in glob.glob(os.path.join(state, "nodes/*/node.pid")):
        directory = os.path.dirname(path)
        found["node-%02d" % int(os.path.basename(directory))] = (
            first_number(path), os.path.join(directory, "node.log"), os.path.join(directory, "data"))
    found["mount"] = (first_number(os.path.join(state, "mount.pid")), os.path.join(state, "mount.log"), None)
    return dict(sorted(found.items()))


def first_number(path):
    with open(path) as file:
        return int(file.read().split()[0])


def fields(path):
    """The lines `Name:   value kB` of a file in /proc."""
    with open(path) as file:
        return {name: value.split()[0] for name, value in (line.split(":", 1) for line in file if ":" in line) if value.split()}


def processor_seconds(pid):
    with open("/proc/%d/stat" % pid) as file:
        rest = file.read().rsplit(")", 1)[1].split()
    return (int(rest[11]) + int(rest[12])) / TICKS


def is_stopped(pid):
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "T"


def size_of(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def used_in(database):
    """Bytes of pages that are not free, by the header of the file (as of the last checkpoint)."""
    with open(database, "rb") as file:
        header = file.read(100)
    pages, free = struct.unpack_from(">I", header, 28)[0], struct.unpack_from(">I", header, 36)[0]
    return (pages - free) * 4096


def look(pid, log, data):
    status = fields("/proc/%d/status" % pid)
    seen = {
        "rss": int(status["VmRSS"]) * 1024, "anonymous": int(status["RssAnon"]) * 1024, "threads": int(status["Threads"]),
        "pss": int(fields("/proc/%d/smaps_rollup" % pid)["Pss"]) * 1024, "descriptors": len(os.listdir("/proc/%d/fd" % pid)),
        "processor": processor_seconds(pid), "log": size_of(log)}
    if data is not None:
        database = os.path.join(data, "ringfs.db")
        seen.update({"database": size_of(database), "in use": used_in(database), "wal": size_of(database + "-wal"),
                     "payloads": size_of(os.path.join(data, "ringfs.payloads"))})
    return seen


def sample(arguments):
    """JSON lines: seconds, operations, whether the load is stopped, and the measurements of each process."""
    watched = processes(arguments.state)
    begin = time.monotonic()
    with open(arguments.samples, "w", buffering=1) as file:
        while os.path.exists("/proc/%d" % arguments.pid):
            try:
                stopped = is_stopped(arguments.pid)
                operations = first_number(arguments.counter)
            except (FileNotFoundError, ProcessLookupError, IndexError):
                stopped, operations = False, 0  # at its very beginning or end
            seen = {name: look(*process) for name, process in watched.items()}
            file.write(json.dumps({"seconds": time.monotonic() - begin, "operations": operations, "stopped": stopped, "seen": seen}) + "\n")
            next_time = time.monotonic() + arguments.every
            while time.monotonic() < next_time and os.path.exists("/proc/%d" % arguments.pid):
                time.sleep(0.5)
    return 0


# ---- The report ------------------------------------------------------------------------------------

# quantity: unit, its divisor, and how much it may grow between the second and the last third, besides a tenth. A database and the file
# of payloads keep their largest size; so does the WAL (up to 128 MiB).
QUANTITIES = {
    "rss": ("MiB", MIB, 2 * MIB), "anonymous": ("MiB", MIB, 2 * MIB), "pss": ("MiB", MIB, None), "descriptors": ("", 1, 4),
    "threads": ("", 1, 1), "database": ("MiB", MIB, 8 * MIB), "in use": ("MiB", MIB, 8 * MIB), "wal": ("MiB", MIB, 16 * MIB),
    "payloads": ("MiB", MIB, 8 * MIB),
    "log": ("MiB", MIB, None)}  # None: only shown. Logs grow; pss grows when other programs that shared pages end
GROWTH_ALLOWED = 0.10
SHORT_NAMES = {"anonymous": "anon", "descriptors": "fds", "log": "log file"}


def medians(samples, name, quantity):
    return statistics.median(one["seen"][name][quantity] for one in samples)


def report(arguments):
    with open(arguments.samples) as file:
        samples = [json.loads(line) for line in file]
    # While the load verifies and removes everything at the end, it counts no operations: that is not churn.
    last = samples[-1]["operations"]
    churned = next((index for index, one in enumerate(samples) if one["operations"] == last), len(samples) - 1)
    samples = samples[:churned + 1]
    if len(samples) < 9:
        print("only %d samples" % len(samples))
        return 2
    names = list(samples[0]["seen"])
    nodes = [name for name in names if name != "mount"]
    begin, end = samples[0]["seconds"], samples[-1]["seconds"]

    def within(part, parts):
        low, high = (begin + (end - begin) * edge / parts for edge in (part, part + 1))
        return [one for one in samples if low <= one["seconds"] <= high]

    print("%.1f minutes, %d operations, %.0f a second; %s; of one core: nodes %.1f %%, mount %.1f %%" % (
        (end - begin) / 60, last, last / (end - begin), paused(samples),
        sum(processor_share(samples, name) for name in nodes), processor_share(samples, "mount")))
    print("\nMedians of each tenth, in MiB; of the nodes the largest one's.\n")
    shown = [(quantity, nodes) for quantity in ("rss", "anonymous", "descriptors", "threads", "database", "wal", "payloads", "log")]
    shown += [(quantity, ["mount"]) for quantity in ("rss", "anonymous", "descriptors", "threads")]
    table = [["", ""] + ["mount" if those == ["mount"] else "node" for _, those in shown],
             ["minute", "operations"] + [SHORT_NAMES.get(quantity, quantity) for quantity, _ in shown]]
    for part in range(10):
        those_samples = within(part, 10)
        if not those_samples:
            continue
        row = ["%.1f" % (those_samples[-1]["seconds"] / 60), str(those_samples[-1]["operations"])]
        for quantity, those in shown:
            value = max(medians(those_samples, name, quantity) for name in those) / QUANTITIES[quantity][1]
            row.append(("%.0f" if quantity in ("descriptors", "threads") else "%.1f") % value)
        table.append(row)
    print_table(table)

    print("\nDoes it grow? Medians of each third, and the most that was seen.\n")
    table = [["process", "quantity", "first", "second", "last", "most", "growth, last to second"]]
    growing = []
    for name in names:
        for quantity, (unit, divisor, slack) in QUANTITIES.items():
            if quantity not in samples[0]["seen"][name]:
                continue
            first, second, third = (medians(within(part, 3), name, quantity) for part in range(3))
            most = max(one["seen"][name][quantity] for one in samples)
            grows = slack is not None and third > second * (1 + GROWTH_ALLOWED) + slack
            if grows:
                growing.append("%s of %s" % (quantity, name))
            table.append([name, ("log file" if quantity == "log" else quantity) + (", " + unit if unit else "")] + ["%.1f" % (value / divisor) for value in (first, second, third, most)] +
                         ["%+.1f %%%s" % (100 * (third - second) / second if second else 0, " GROWS" if grows else "")])
    print_table(table)
    if growing:
        print("\nNo plateau: " + ", ".join(growing))
        return 1
    print("\nA plateau in everything.")
    return 0


def processor_share(samples, name):
    used = samples[-1]["seen"][name]["processor"] - samples[0]["seen"][name]["processor"]
    return 100 * used / (samples[-1]["seconds"] - samples[0]["seconds"])


def paused(samples):
    """By a state that was seen, or, if the sampler was stopped as well, by samples that are missing."""
    spans = []
    usual = statistics.median(later["seconds"] - one["seconds"] for one, later in zip(samples, samples[1:]))
    for one, before in zip(samples, [samples[0], *samples]):
        if one["seconds"] - before["seconds"] > 2 * usual:
            spans.append([before["seconds"], one["seconds"]])
        if not one["stopped"]:
            spans.append(None)
        elif spans and spans[-1] is not None:
            spans[-1][1] = one["seconds"]
        else:
            spans.append([one["seconds"], one["seconds"]])
    spans = ["%.1f to %.1f" % (low / 60, high / 60) for low, high in filter(None, spans)]
    return "the load was stopped in minute " + ", ".join(spans) if spans else "the load was never stopped"


def print_table(rows):
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.rjust(width) for text, width in zip(row, widths)))


# ---- One directory ---------------------------------------------------------------------------------

MARKS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)


def flat(arguments):
    watched = processes(arguments.state)
    marks = [mark for mark in MARKS if mark < arguments.files] + [arguments.files]
    continued = []  # times in which this process was stopped do not count
    signal.signal(signal.SIGCONT, lambda *_: continued.append(time.monotonic()))
    os.mkdir(arguments.directory)
    print("open(O_CREAT | O_EXCL) and close, microseconds a file between the line above and this one; MiB of memory then")
    print("%9s %9s %9s %9s  %-26s %9s" % ("files", "mean", "median", "99 of 100", "rss of nodes", "of mount"))
    times = []
    for number in range(1, arguments.files + 1):
        begin = time.monotonic()
        os.close(os.open("%s/file-%07d" % (arguments.directory, number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        end = time.monotonic()
        if not (continued and continued[-1] >= begin):
            times.append((end - begin) * 1e6)
        if number == marks[0]:
            seen = {name: look(*process)["rss"] / MIB for name, process in watched.items()}
            mount = seen.pop("mount")
            print("%9d %9.0f %9.0f %9.0f  %-26s %9.1f" % (number, statistics.mean(times), statistics.median(times),
                  sorted(times)[len(times) * 99 // 100], " ".join("%.1f" % one for one in seen.values()), mount), flush=True)
            times = []
            marks.pop(0)
    begin = time.monotonic()
    names = os.listdir(arguments.directory)
    print("listed: %.2f s" % (time.monotonic() - begin), flush=True)
    if len(names) != arguments.files or len(set(names)) != len(names):
        print("FAILED: %d names" % len(names))
        return 1
    begin = last = time.monotonic()
    stopped = 0.0
    for name in names:
        os.unlink(os.path.join(arguments.directory, name))
        end = time.monotonic()
        if continued and continued[-1] >= last:
            stopped += end - last
        last = end
    os.rmdir(arguments.directory)
    seconds = time.monotonic() - begin - stopped
    print("removed: %.1f s, %.0f us a file" % (seconds, seconds / len(names) * 1e6))
    if continued:
        print("stopped and continued %d times; that time is left out" % len(continued))
    print_now(watched)
    return 0


def print_now(watched):
    for name, process in watched.items():
        seen = look(*process)
        print("%s: rss %.1f MiB, %.1f of them anonymous, %d descriptors, %d threads, log %.1f MiB%s" % (
            name, seen["rss"] / MIB, seen["anonymous"] / MIB, seen["descriptors"], seen["threads"], seen["log"] / MIB,
            "" if "database" not in seen else "; database %.1f MiB, %.1f in use" % (seen["database"] / MIB, seen["in use"] / MIB)))


def now(arguments):
    print_now(processes(arguments.state))
    return 0


# ---- An idle ring ----------------------------------------------------------------------------------


def idle(arguments):
    watched = processes(arguments.state)
    before = {name: processor_seconds(pid) for name, (pid, _, _) in watched.items()}
    begin = time.monotonic()
    time.sleep(arguments.seconds)
    seconds = time.monotonic() - begin
    share = {name: 100 * (processor_seconds(pid) - before[name]) / seconds for name, (pid, _, _) in watched.items()}
    table = [["process", "% of a core", "rss, MiB", "anonymous", "pss", "descriptors", "threads"]]
    largest = 0
    for name, process in watched.items():
        seen = look(*process)
        table.append([name, "%.2f" % share[name]] + ["%.1f" % (seen[quantity] / MIB) for quantity in ("rss", "anonymous", "pss")] +
                     [str(seen["descriptors"]), str(seen["threads"])])
        if name != "mount":
            largest = max(largest, seen["rss"] / MIB)
    print_table(table)
    print("\n%d nodes in %.0f s: %.2f %% of one core in all; the mount %.2f %%; the largest node %.1f MiB" % (
        len(watched) - 1, seconds, sum(value for name, value in share.items() if name != "mount"), share["mount"], largest))
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(action, *names):
        one = commands.add_parser(action.__name__)
        one.set_defaults(action=action)
        for name in names:
            one.add_argument(name, type=int if name == "pid" else str)
        return one

    one = command(churn, "directory", "counter")
    one.add_argument("--seconds", type=float, default=3600)
    one.add_argument("--pace", type=float, default=1, help="the pauses, as a multiple of the usual ones")
    command(sample, "samples", "state", "counter", "pid").add_argument("--every", type=float, default=20)
    command(report, "samples")
    command(flat, "directory", "state").add_argument("--files", type=int, default=200_000)
    command(now, "state")
    command(idle, "state").add_argument("--seconds", type=float, default=120)
    arguments = parser.parse_args()
    return arguments.action(arguments)


if __name__ == "__main__":
    sys.exit(main())
