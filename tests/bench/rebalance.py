#!/usr/bin/env python3
"""The steps of rebalance.sh: files that can be checked, timed operations, the added node, and the table.

  rebalance.py fill DIR RECORD --gigabytes G       incompressible files of 1 to 8 MiB; their numbers determine their contents
  rebalance.py verify DIR RECORD                   checks every byte; exit code 1: one is wrong or cannot be read
  rebalance.py probe DIR                           MB a second of a sequential write with fdatasync, three times, and of one bare SQLite writer
  rebalance.py operations DIR RECORD OUT (--seconds S | --until FILE)   one thread, one operation after the other, each timed
  rebalance.py check DIR OUT                       checks what `operations` (with that OUT) left in DIR
  rebalance.py move MOUNT STATE OUT COMMAND...     runs COMMAND, which adds a node, then waits for .ring/wait
  rebalance.py report STATE RESULTS                the table; the nodes must be stopped

RECORD and OUT are JSON files outside the mount; STATE is the directory that `ringfs up --state` made; RESULTS the directory with
fill.json, probe.json, undisturbed.json, moving.json and move.json. MB are 10^6 bytes.
"""
import argparse
import glob
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import threading
import time

MIB = 1 << 20
BLOCK = 64 << 10      # contents are made by the block, so that a part of a file can be checked alone
SMALL = 4096
POOL = 200            # files to stat and to read
SYNCED = 16           # files that are kept open, overwritten and synced
PROBE_BYTES = 1 << 30
SAMPLE_SECONDS = 1


# ---- The files ---------------------------------------------------------------------------------------


def block_contents(file, block):
    return random.Random(file << 20 | block).randbytes(BLOCK)


def contents(file, size):
    blocks = (size + BLOCK - 1) // BLOCK
    return b"".join(block_contents(file, block) for block in range(blocks))[:size]


def small_contents(name, generation):
    return random.Random("%s %d" % (name, generation)).randbytes(SMALL)


def big_file(directory, number):
    return os.path.join(directory, "%03d" % (number % 20), "file-%06d" % number)


def write_new(path, data, sync):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view):]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fill(arguments):
    sizes = []
    draw = random.Random(1)
    for number in range(20):
        os.makedirs(os.path.dirname(big_file(arguments.directory, number)))
    begin = time.monotonic()
    while sum(sizes) < arguments.gigabytes * 1e9:
        sizes.append(draw.randrange(MIB, 8 * MIB + 1))
        write_new(big_file(arguments.directory, len(sizes) - 1), contents(len(sizes) - 1, sizes[-1]), True)
    seconds = time.monotonic() - begin
    print("%d files, %.0f MB, written in %.1f s: %.0f MB/s" % (len(sizes), sum(sizes) / 1e6, seconds, sum(sizes) / 1e6 / seconds))
    save(arguments.record, {"sizes": sizes, "seconds": seconds})
    return 0


def verify(arguments):
    sizes = load(arguments.record)["sizes"]
    begin = time.monotonic()
    problems = []
    for number, size in enumerate(sizes):
        path = big_file(arguments.directory, number)
        try:
            with open(path, "rb") as file:
                if file.read() != contents(number, size):
                    problems.append(path + ": wrong bytes")
        except OSError as problem:
            problems.append(str(problem))
    print("%d files compared in %.1f s, %d wrong" % (len(sizes), time.monotonic() - begin, len(problems)))
    return failed(problems)


def probe(arguments):
    """Distinct contents, because a disk might store equal ones once."""
    pieces = [random.randbytes(MIB) for _ in range(16)]
    path = os.path.join(arguments.directory, "probe")
    rates = []
    for _ in range(3):
        begin = time.monotonic()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for number in range(PROBE_BYTES // MIB):
            os.write(descriptor, pieces[number % len(pieces)])
        os.fdatasync(descriptor)
        os.close(descriptor)
        rates.append(PROBE_BYTES / 1e6 / (time.monotonic() - begin))
        os.unlink(path)
    print("sequential write of 1 GiB: " + ", ".join("%.0f" % rate for rate in rates) + " MB/s")
    writers = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sqlite_writers.py")
    said = subprocess.run([sys.executable, writers, arguments.directory, "1024", "1"], check=True, capture_output=True, text=True).stdout
    print("one bare SQLite writer: " + said.strip())
    save(arguments.out, {"disk": rates, "sqlite": float(said.split()[3])})
    return 0


# ---- Operations of clients -----------------------------------------------------------------------------


class Wrong(Exception):
    """The mount gave wrong bytes."""


class Operations:
    """Below DIR/small: `pool`, never changed; `synced`, overwritten; `new-*`, where files are created. DIR/data are the large files."""

    kinds = ("create", "stat", "open_read", "overwrite_fsync", "read_large")

    def __init__(self, directory, run):
        self.top = os.path.join(directory, "small")
        self.large = os.path.join(directory, "data")
        self.new = os.path.join(self.top, "new-" + run)
        self.run = run
        self.random = random.Random(run)
        self.created = 0
        self.sizes = []
        self.generations = {}
        self.descriptors = {}
        self.seconds = {kind: [] for kind in self.kinds}
        self.failures = []

    def make(self):
        """The pool is made once, by the first run."""
        if not os.path.exists(self.top):
            for name in ("pool", "synced"):
                os.makedirs(os.path.join(self.top, name))
            for number in range(POOL):
                write_new(self.pool(number), small_contents("pool %d" % number, 0), False)
            for number in range(SYNCED):
                write_new(self.synced(number), bytes(SMALL), True)
        os.mkdir(self.new)
        for number in range(SYNCED):
            self.descriptors[number] = os.open(self.synced(number), os.O_RDWR)

    def pool(self, number):
        return os.path.join(self.top, "pool", "file-%03d" % number)

    def synced(self, number):
        return os.path.join(self.top, "synced", "file-%02d" % number)

    def created_file(self, number):
        return os.path.join(self.new, "file-%06d" % number)

    def create(self):
        data = small_contents(self.created_name(self.created), 0)
        yield
        write_new(self.created_file(self.created), data, False)
        self.created += 1

    def created_name(self, number):
        return "created %s %d" % (self.run, number)

    def stat(self):
        path = self.pool(self.random.randrange(POOL))
        yield
        if os.stat(path).st_size != SMALL:
            raise Wrong(path)

    def open_read(self):
        number = self.random.randrange(POOL)
        path, expected = self.pool(number), small_contents("pool %d" % number, 0)
        yield
        if read_at(path, 0, SMALL) != expected:
            raise Wrong(path)

    def overwrite_fsync(self):
        number = self.random.randrange(SYNCED)
        generation = self.generations.get(number, 0) + 1
        data = small_contents(self.synced_name(number), generation)
        yield
        if os.pwrite(self.descriptors[number], data, 0) != SMALL:
            raise Wrong(self.synced(number))
        os.fsync(self.descriptors[number])
        self.generations[number] = generation

    def synced_name(self, number):
        return "synced %s %d" % (self.run, number)

    def read_large(self):
        """64 KiB of a file whose data may move."""
        number = self.random.randrange(len(self.sizes))
        block = self.random.randrange(self.sizes[number] // BLOCK)
        path, expected = big_file(self.large, number), block_contents(number, block)
        yield
        if read_at(path, block * BLOCK, BLOCK) != expected:
            raise Wrong("%s at %d" % (path, block * BLOCK))

    def one(self, kind):
        """An operation prepares itself up to its `yield`; the rest is timed."""
        steps = getattr(self, kind)()
        next(steps)
        begin = time.monotonic()
        try:
            next(steps, None)
        except (OSError, Wrong) as problem:
            self.failures.append("%s: %r" % (kind, problem))
        self.seconds[kind].append(time.monotonic() - begin)


def read_at(path, offset, size):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)


def operations(arguments):
    load_of = Operations(arguments.directory, run_of(arguments.out))
    load_of.sizes = load(arguments.record)["sizes"]
    load_of.make()
    begin = time.monotonic()
    if arguments.until:
        print("begun", flush=True)
    while not (os.path.exists(arguments.until) if arguments.until else time.monotonic() >= begin + arguments.seconds):
        for kind in Operations.kinds:
            load_of.one(kind)
    seconds = time.monotonic() - begin
    print("%d operations in %.1f s, %d failed" % (sum(map(len, load_of.seconds.values())), seconds, len(load_of.failures)))
    save(arguments.out, {"seconds": load_of.seconds, "elapsed": seconds, "created": load_of.created,
                         "generations": load_of.generations, "failures": load_of.failures})
    return failed(load_of.failures)


def run_of(out):
    return os.path.splitext(os.path.basename(out))[0]


def check(arguments):
    """The last run that overwrote a file determines its contents: checked after each run."""
    left = Operations(arguments.directory, run_of(arguments.out))
    record = load(arguments.out)
    problems = []

    def compare(path, expected):
        try:
            with open(path, "rb") as file:
                if file.read() != expected:
                    problems.append(path + ": wrong bytes")
        except OSError as problem:
            problems.append(str(problem))

    for number in range(record["created"]):
        compare(left.created_file(number), small_contents(left.created_name(number), 0))
    for number, generation in record["generations"].items():
        compare(left.synced(int(number)), small_contents(left.synced_name(int(number)), generation))
    for number in range(POOL):
        compare(left.pool(number), small_contents("pool %d" % number, 0))
    names = len(os.listdir(left.new))
    if names != record["created"]:
        problems.append("%d files in %s instead of %d" % (names, left.new, record["created"]))
    print("%d created files and %d overwritten ones compared, %d wrong" % (names, len(record["generations"]), len(problems)))
    return failed(problems)


# ---- The node ------------------------------------------------------------------------------------------


def processes(state):
    """Name: process id."""
    found = {"node %s" % path.split("/")[-2]: path for path in sorted(glob.glob(os.path.join(state, "nodes", "*", "node.pid")))}
    found["mount"] = os.path.join(state, "mount.pid")
    pids = {}
    for name, path in found.items():
        with open(path) as file:
            pids[name] = int(file.read().split()[0])
    return pids


def usage(pid):
    """Seconds of processor time, bytes written to the disk."""
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    with open("/proc/%d/io" % pid) as file:
        written = next(int(line.split()[1]) for line in file if line.startswith("write_bytes"))
    return [ticks / os.sysconf("SC_CLK_TCK"), written]


def number_of(state, identity):
    with open(os.path.join(state, "ring.json")) as file:
        return next(str(node["number"]) for node in json.load(file)["nodes"] if node["id"] == identity)


def machine():
    """Ticks of all processors: idle, of processes with a nice value (none of the ring's has one), all."""
    with open("/proc/stat") as file:
        values = [int(value) for value in file.readline().split()[1:]]
    return [values[3] + values[4], values[1], sum(values[:8])]


def rebalance(mount):
    with open(os.path.join(mount, ".ring", "rebalance")) as file:
        return dict(line.split(maxsplit=1) for line in file.read().splitlines())


def wait_until_still(mount, outcome):
    try:
        with open(os.path.join(mount, ".ring", "wait")) as file:
            outcome.append(file.read().strip())
    except OSError as problem:
        outcome.append(str(problem))


def move(arguments):
    before = {name: usage(pid) for name, pid in processes(arguments.state).items()}
    machine_before = machine()
    sent_before = int(rebalance(arguments.mount)["sent-bytes"])
    begin = time.monotonic()
    subprocess.run(arguments.words, check=True, stdout=subprocess.DEVNULL)
    added = time.monotonic() - begin
    outcome = []
    waiter = threading.Thread(target=wait_until_still, args=(arguments.mount, outcome))
    waiter.start()
    samples = []
    while waiter.is_alive():
        waiter.join(SAMPLE_SECONDS)
        if waiter.is_alive():
            now = rebalance(arguments.mount)
            samples.append([time.monotonic() - begin, now["state"], now["settled"], int(now["sent-bytes"]) - sent_before])
    seconds = time.monotonic() - begin
    after = {name: usage(pid) for name, pid in processes(arguments.state).items()}
    idle, nice, ticks = (now - then for now, then in zip(machine(), machine_before))
    sent = int(rebalance(arguments.mount)["sent-bytes"]) - sent_before
    with open(os.path.join(arguments.mount, ".ring", "members")) as file:
        members = [line.split() for line in file]
    save(arguments.out, {
        "seconds": seconds, "added": added, "sent": sent, "samples": samples,
        "members": {number_of(arguments.state, member[0]): member[2:] for member in members},
        "idle": idle / ticks, "nice": nice / ticks,
        "usage": {name: [a - b for a, b in zip(after[name], before.get(name, [0, 0]))] for name in after}})
    print(".ring/wait says %s after %.1f s" % (outcome[0], seconds))
    states = " ".join(member[2] for member in members)
    return failed([] if outcome == ["ok"] and set(states.split()) == {"up"} else ["wait: %s; states: %s" % (outcome[0], states)])


# ---- The table -----------------------------------------------------------------------------------------


def data_of(path):
    """Bytes of the values that the node's replicas hold, without logs and dropped spaces."""
    database = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    (count,) = database.execute("""
        SELECT coalesce(sum(coalesce(payload.size, length(rows.value))), 0) FROM rows LEFT JOIN payload ON payload.id = rows.payload
        WHERE rows.space IN (SELECT space FROM grp WHERE holds_data)""").fetchone()
    return count


def quantiles(seconds):
    values = sorted(seconds)
    return [1000 * value for value in (statistics.median(values), values[len(values) * 99 // 100], values[-1])]


def listed(values):
    return ", ".join("%s %.0f" % (name, value) for name, value in values)


def print_move(results, held):
    moved, disk, writer = results["move"], statistics.median(results["probe"]["disk"]), results["probe"]["sqlite"]
    newest = list(held)[-1]
    in_files = sum(results["fill"]["sizes"])
    all_sent = next((sample[0] for sample in moved["samples"] if sample[3] >= moved["sent"]), moved["seconds"])
    rate = moved["sent"] / 1e6 / all_sent
    fastest = max((later[3] - sooner[3]) / 1e6 / (later[0] - sooner[0]) for sooner, later in zip(moved["samples"], moved["samples"][1:]))
    used = sum(used[0] for used in moved["usage"].values())
    members = sorted(moved["members"].items())
    print("files          %d, %.0f MB; written at %.0f MB/s" % (
        len(results["fill"]["sizes"]), in_files / 1e6, in_files / 1e6 / results["fill"]["seconds"]))
    print("all copies     %.0f MB: %s" % (sum(held.values()) / 1e6, listed(("node " + name, value / 1e6) for name, value in held.items())))
    print("on disk, MB    " + listed(("node " + name, int(member[3]) / 1e6) for name, member in members))
    print("moved          %.0f MB sent; node %s holds %.0f MB, %.1f %% of all copies (even: %.1f)" % (
        moved["sent"] / 1e6, newest, held[newest] / 1e6, 100 * held[newest] / sum(held.values()), 100 / len(held)))
    print("in             %.1f s until .ring/wait said ok; `ringfs add` returned after %.1f s, all was sent after %.1f s" % (
        moved["seconds"], moved["added"], all_sent))
    print("disk           %.0f MB/s, sequential; one bare SQLite writer of 64 KiB blocks, alone: %.0f MB/s" % (disk, writer))
    print("rate           %.1f MB/s until all was sent, %.1f in its best second: %.1f and %.1f %% of the disk's, %.0f and %.0f %% of the SQLite writer's" % (
        rate, fastest, 100 * rate / disk, 100 * fastest / disk, 100 * rate / writer, 100 * fastest / writer))
    print("processors     nodes and mount %.0f %% of what there is, niced others %.0f %%, idle %.0f %%" % (
        100 * used / moved["seconds"] / os.cpu_count(), 100 * moved["nice"], 100 * moved["idle"]))
    print("               seconds: %s; %.1f ms for each MB sent" % (
        ", ".join("%s %.1f" % (name, usage[0]) for name, usage in moved["usage"].items()), 1e9 * used / moved["sent"]))
    print("written, MB    " + listed((name, usage[1] / 1e6) for name, usage in moved["usage"].items()))


def print_operations(undisturbed, moving):
    print("\n%-16s %s   %s   %s" % ("", "undisturbed, ms".center(38), "while data moves, ms".center(38), "ratio of"))
    print("%-16s %s   %s   %s" % ("operation", *[" %7s %9s %9s %9s" % ("number", "median", "p99", "longest")] * 2, " medians"))
    for kind in Operations.kinds:
        columns = [[len(phase["seconds"][kind]), *quantiles(phase["seconds"][kind])] for phase in (undisturbed, moving)]
        print("%-16s %s   %s   %8.2f" % (
            kind, *[" %7d %9.2f %9.2f %9.2f" % tuple(column) for column in columns], columns[1][1] / columns[0][1]))


def print_samples(samples):
    print("\nseconds  settled  MB sent  MB/s since the line above")
    last_seconds = last_sent = 0
    step = max(1, len(samples) // 20)
    for seconds, _, groups, sent in samples[step - 1::step]:
        print("%7.1f %8s %8.0f %8.1f" % (seconds, groups, sent / 1e6, (sent - last_sent) / 1e6 / (seconds - last_seconds)))
        last_seconds, last_sent = seconds, sent


def report(arguments):
    results = {name: load(os.path.join(arguments.results, name + ".json"))
               for name in ("fill", "probe", "undisturbed", "moving", "move")}
    databases = sorted(glob.glob(os.path.join(arguments.state, "nodes", "*", "data", "ringfs.db")))
    print_move(results, {path.split("/")[-3]: data_of(path) for path in databases})
    print_operations(results["undisturbed"], results["moving"])
    print_samples(results["move"]["samples"])
    return 0


# ---- Results -------------------------------------------------------------------------------------------


def failed(problems):
    for problem in problems[:20]:
        print("FAILED: " + problem)
    return 1 if problems else 0


def save(path, value):
    with open(path, "w") as file:
        json.dump(value, file)


def load(path):
    with open(path) as file:
        return json.load(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(action, *names):
        one = commands.add_parser(action.__name__)
        one.set_defaults(action=action)
        for name in names:
            one.add_argument(name)
        return one

    command(fill, "directory", "record").add_argument("--gigabytes", type=float, default=2)
    command(verify, "directory", "record")
    command(probe, "directory", "out")
    one = command(operations, "directory", "record", "out")
    one.add_argument("--seconds", type=float, default=30)
    one.add_argument("--until", help="a file")
    command(check, "directory", "out")
    command(move, "mount", "state", "out").add_argument("words", nargs=argparse.REMAINDER)
    command(report, "state", "results")
    arguments = parser.parse_args()
    return arguments.action(arguments)


if __name__ == "__main__":
    sys.exit(main())
