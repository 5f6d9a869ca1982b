#!/usr/bin/env python3
"""Writers and readers on a mount, for tests that disturb the ring below it.

  load.py run DIR RECORDS LOGS     until LOGS/stop exists: three writers and two readers, a process each, and one beside the ring
  load.py verify DIR RECORDS       checks that DIR has everything acknowledged and nothing that was not written
  load.py longest LOGS             the longest operation of each kind, and the failures
  load.py report LOGS              the durations of all operations during the faults, from LOGS/* and LOGS/rounds

RECORDS is a file outside the mount. For every object it holds two generations: the last one that a writer began, and the last
one that the mount acknowledged (by fsync or close; a rename or an unlink by its return). Contents follow from the generation, so
a reader knows the generation that it read: it must be between the acknowledged and the begun one. The file outlives the processes, and a
second `run` goes on where the first one ended.

Objects:
  slots    small files; their generations are created, replaced by a rename, rewritten in place, moved to another directory, unlinked
  blocks   64 KiB each of one file that is overwritten again and again
  log      records appended to a log, with close and with fsync; one object, its generation is the number of records

LOGS/<process>: a line per operation: begin, seconds, name, and the reason of a failure. Exit code 1: bytes were wrong (verify), or an
operation failed or gave wrong bytes (run, report); 2: nothing is proved.
"""
import ctypes
import errno
import hashlib
import mmap
import os
import random
import signal
import struct
import sys
import time

SLOTS = 40
BLOCKS = 64
BLOCK = 64 << 10
PAGE = 4 << 10
LOG_RECORD = 128
RECORDS_PER_LOG = 2000  # beyond 16 KiB a file's contents become chunks, which happens to each log
SIZES = (10, 900, 4096, 20000, 70000, 200000)
PAUSE = 0.004           # between two operations of a process: the test measures stalls, not throughput
RETRY_PAUSE = 0.05
SYNC_EVERY = 4          # blocks
REOPEN_EVERY = 16       # appends through one descriptor, which fsync acknowledges; as many more with a close each
LOG_OBJECT = SLOTS + BLOCKS
OBJECTS = LOG_OBJECT + 1

# What the generations of a slot are, in turn.
ABSENT, CREATED, REPLACED, REWRITTEN, MOVED = range(5)


class Wrong(Exception):
    """The ring gave wrong or too few bytes."""


class Records:
    """Generations begun and acknowledged, shared by all processes through one mapped file."""

    def __init__(self, path):
        size = OBJECTS * 16
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, size)
        self.map = mmap.mmap(descriptor, size)
        os.close(descriptor)
        self.cells = memoryview(self.map).cast("Q")

    def begun(self, thing):
        return self.cells[2 * thing]

    def acknowledged(self, thing):
        return self.cells[2 * thing + 1]

    def begin(self, thing, generation):
        self.cells[2 * thing] = generation

    def acknowledge(self, thing, generation):
        self.cells[2 * thing + 1] = generation


def slot_contents(slot, generation):
    if generation % 5 == MOVED:
        generation -= 1
    seed = hashlib.sha256(b"slot %d %d" % (slot, generation)).digest()
    size = SIZES[seed[0] % len(SIZES)]
    return random.Random(seed).randbytes(size)


def page_contents(block, page, generation):
    return struct.pack("<QQQQ", block, page, generation, generation ^ 0x5A5A5A5A) * (PAGE // 32)


def block_contents(block, generation):
    return b"".join(page_contents(block, page, generation) for page in range(BLOCK // PAGE))


def log_record(number):
    text = b"record %d %s" % (number, hashlib.sha256(b"log %d" % number).hexdigest().encode())
    return text.ljust(LOG_RECORD - 1) + b"\n"


class Tree:
    """Where the objects are, and what each may look like."""

    def __init__(self, directory, records):
        self.records = records
        self.here = os.path.join(directory, "here")
        self.there = os.path.join(directory, "there")
        self.large = os.path.join(directory, "large")
        self.logs = os.path.join(directory, "logs")

    def make(self):
        for directory in (self.here, self.there, self.logs):
            os.makedirs(directory, exist_ok=True)
        if not os.path.exists(self.large):
            with open(self.large + ".new", "wb") as file:
                for block in range(BLOCKS):
                    file.write(block_contents(block, 0))
                file.flush()
                os.fsync(file.fileno())
            os.rename(self.large + ".new", self.large)

    def slot_name(self, slot):
        return "f-%02d" % slot

    def slot(self, directory, slot):
        return os.path.join(directory, self.slot_name(slot))

    def log(self, number):
        return os.path.join(self.logs, "log-%d" % (number // RECORDS_PER_LOG))

    def slot_state(self, slot, generation):
        """The contents in `here` and in `there`; None: no such file."""
        kind = generation % 5
        if kind == ABSENT:
            return (None, None)
        contents = slot_contents(slot, generation)
        return (None, contents) if kind == MOVED else (contents, None)

    def slot_may_be(self, slot, state, acknowledged, begun):
        if state in (self.slot_state(slot, generation) for generation in range(acknowledged, begun + 1)):
            return True
        if begun == acknowledged or begun % 5 not in (CREATED, REWRITTEN):
            return False
        # A file that is being written has the length of the finished writes.
        here, there = state
        return there is None and here is not None and slot_contents(slot, begun).startswith(here)

    def read_slot(self, slot):
        return tuple(read_if_there(self.slot(directory, slot)) for directory in (self.here, self.there))

    def check_slot(self, slot):
        acknowledged = self.records.acknowledged(slot)
        state = self.read_slot(slot)
        begun = self.records.begun(slot)
        # Two opens are not atomic: while a slot moves on, only each file by itself can be checked.
        if self.slot_may_be(slot, state, acknowledged, begun) or (begun != acknowledged and self.explained(slot, state, acknowledged, begun)):
            return
        raise Wrong("slot %d, generations %d..%d: %s" % (slot, acknowledged, begun, describe(state)))

    def explained(self, slot, state, acknowledged, begun):
        states = [self.slot_state(slot, generation) for generation in range(acknowledged, begun + 1)]
        for place in (0, 1):
            seen = state[place]
            whole = any(seen == one[place] for one in states)
            part = place == 0 and seen is not None and any(one[0] is not None and one[0].startswith(seen) for one in states)
            if not whole and not part and not (place == 0 and seen is not None and rewritten_while_read(seen, states)):
                return False
        return True

    def check_block(self, descriptor, block):
        # A page that is overwritten at this very moment may be read half old, half new: look again.
        for attempt in range(5):
            acknowledged = self.records.acknowledged(SLOTS + block)
            data = os.pread(descriptor, BLOCK, block * BLOCK)
            begun = self.records.begun(SLOTS + block)
            problem = wrong_page(data, block, acknowledged, begun)
            if problem is None:
                return
            if begun == acknowledged:
                break
            time.sleep(0.01)
        raise Wrong("block %d, generations %d..%d: %s" % (block, acknowledged, begun, problem))

    def check_log_end(self):
        acknowledged = self.records.acknowledged(LOG_OBJECT)
        if acknowledged == 0:
            return
        first = (acknowledged - 1) // RECORDS_PER_LOG * RECORDS_PER_LOG
        data = read_if_there(self.log(acknowledged - 1)) or b""
        begun = min(self.records.begun(LOG_OBJECT), first + RECORDS_PER_LOG)
        self.check_log(data, first, acknowledged, begun)

    def check_log(self, data, first, acknowledged, begun):
        count = len(data) // LOG_RECORD
        if len(data) % LOG_RECORD or not acknowledged - first <= count <= begun - first:
            raise Wrong("log from %d: %d bytes, records %d..%d" % (first, len(data), acknowledged, begun))
        for index in range(count):
            if data[index * LOG_RECORD:(index + 1) * LOG_RECORD] != log_record(first + index):
                raise Wrong("log: record %d is not what was appended" % (first + index))

    def check_listing(self, directory):
        before = [self.records.acknowledged(slot) for slot in range(SLOTS)]
        names = os.listdir(directory)
        after = [self.records.begun(slot) for slot in range(SLOTS)]
        if len(set(names)) != len(names):
            raise Wrong("a name twice in " + directory)
        place = 0 if directory == self.here else 1
        for slot in range(SLOTS):
            if before[slot] != after[slot]:
                continue
            there = self.slot_state(slot, before[slot])[place] is not None
            if there != (self.slot_name(slot) in names):
                raise Wrong("slot %d of generation %d: listed in %s: %s" % (slot, before[slot], directory, not there))


# A reader's first read(2) ended at the end of one generation, the next one found a later one behind that offset.
def rewritten_while_read(seen, states):
    contents = [one[0] for one in states if one[0] is not None]
    for index, former in enumerate(contents):
        if seen.startswith(former):
            rest = seen[len(former):]
            if any(later[len(former):].startswith(rest) for later in contents[index + 1:]):
                return True
    return False


def read_if_there(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def is_there(path):
    """Unlike os.path.exists it raises on failures other than ENOENT."""
    try:
        os.stat(path)
        return True
    except FileNotFoundError:
        return False


def describe(state):
    return ", ".join("none" if part is None else "%d bytes %s" % (len(part), hashlib.sha256(part).hexdigest()[:12]) for part in state)


def wrong_page(data, block, acknowledged, begun):
    if len(data) != BLOCK:
        return "%d bytes" % len(data)
    for page in range(BLOCK // PAGE):
        part = data[page * PAGE:(page + 1) * PAGE]
        generation = struct.unpack_from("<Q", part, 16)[0]
        if not acknowledged <= generation <= begun or part != page_contents(block, page, generation):
            return "page %d holds generation %d" % (page, generation)
    return None


# ---- The processes ---------------------------------------------------------------------------------


class Worker:
    """One process: one operation after the other, each timed and logged; a failed one is repeated."""

    def __init__(self, name, tree, logs, seed):
        self.tree = tree
        self.records = tree.records
        self.random = random.Random(seed)
        self.stop = os.path.join(logs, "stop")
        self.log = open(os.path.join(logs, name), "a", buffering=1)
        self.failed = False
        self.descriptor = None  # kept open between operations
        self.parent = os.getppid()

    def done(self):
        return os.path.exists(self.stop) or os.getppid() != self.parent

    def run(self):
        while not self.done():
            self.step()
            time.sleep(PAUSE)
        self.log.close()

    def timed(self, name, action):
        """True: it succeeded."""
        begin, clock = time.time(), time.monotonic()
        why = ""
        try:
            action()
        except Wrong as problem:
            why = "wrong: %s" % problem
        except OSError as problem:
            why = "error: %s %s" % (errno.errorcode.get(problem.errno, problem.errno), problem.filename or "")
        self.log.write("%.6f %.6f %s %s\n" % (begin, time.monotonic() - clock, name, why))
        if why:
            self.failed = True
            self.close()
            time.sleep(RETRY_PAUSE)
        return not why

    def close(self):
        if self.descriptor is None:
            return
        descriptor, self.descriptor = self.descriptor, None
        try:
            os.close(descriptor)
        except OSError:
            pass  # the failed operation has reported the error


def write_all(descriptor, data):
    while data:
        data = data[os.write(descriptor, data):]


class SlotWriter(Worker):
    names = ("unlink", "create", "replace", "rewrite", "move")

    def step(self):
        slot = self.random.randrange(SLOTS)
        generation = self.records.acknowledged(slot) + 1
        # Repeated after a failure: the failed try may have had its effect, so the first steps may find it done.
        again = self.records.begun(slot) == generation
        self.records.begin(slot, generation)
        action = (self.unlink, self.create, self.replace, self.rewrite, self.move)[generation % 5]
        while not self.timed(self.names[generation % 5], lambda: action(slot, generation, again)):
            again = True
            if self.done():
                return

    def write(self, slot, generation, path, flags):
        """Closed or synced, then acknowledged; a temporary file does not count."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
        try:
            write_all(descriptor, slot_contents(slot, generation))
            if generation % 2:
                os.fsync(descriptor)
                if generation % 5 != REPLACED:
                    self.records.acknowledge(slot, generation)
        finally:
            os.close(descriptor)
        if generation % 5 != REPLACED:
            self.records.acknowledge(slot, generation)

    def create(self, slot, generation, again):
        self.write(slot, generation, self.tree.slot(self.tree.here, slot), os.O_TRUNC if again else os.O_EXCL)

    def replace(self, slot, generation, again):
        temporary = os.path.join(self.tree.here, "t-%02d" % slot)
        self.write(slot, generation, temporary, os.O_TRUNC)
        os.rename(temporary, self.tree.slot(self.tree.here, slot))
        self.records.acknowledge(slot, generation)

    def rewrite(self, slot, generation, again):
        self.write(slot, generation, self.tree.slot(self.tree.here, slot), os.O_TRUNC)

    def move(self, slot, generation, again):
        there = self.tree.slot(self.tree.there, slot)
        if not (again and is_there(there)):
            os.rename(self.tree.slot(self.tree.here, slot), there)
        self.records.acknowledge(slot, generation)

    def unlink(self, slot, generation, again):
        path = self.tree.slot(self.tree.there, slot)
        if not again or is_there(path):
            os.unlink(path)
        self.records.acknowledge(slot, generation)


class BlockWriter(Worker):
    pending = ()

    def step(self):
        if len(self.pending) >= SYNC_EVERY:
            while not self.timed("fsync", self.sync):
                # The state after a failed fsync is unknown, so everything is written again, as a careful program does.
                if self.done() or not all([self.overwrite(block) for block, generation in self.pending]):
                    return
            return
        block = self.random.randrange(BLOCKS)
        if any(block == other for other, generation in self.pending):
            return
        self.records.begin(SLOTS + block, self.records.acknowledged(SLOTS + block) + 1)
        if self.overwrite(block):
            self.pending = (*self.pending, (block, self.records.begun(SLOTS + block)))

    def overwrite(self, block):
        while not self.timed("overwrite", lambda: self.write(block)):
            if self.done():
                return False
        return True

    def write(self, block):
        if self.descriptor is None:
            self.descriptor = os.open(self.tree.large, os.O_WRONLY)
        data = block_contents(block, self.records.begun(SLOTS + block))
        written = os.pwrite(self.descriptor, data, block * BLOCK)
        if written != len(data):
            raise Wrong("%d bytes of %d written" % (written, len(data)))

    def sync(self):
        if self.descriptor is None:
            self.descriptor = os.open(self.tree.large, os.O_WRONLY)
        os.fsync(self.descriptor)
        for block, generation in self.pending:
            self.records.acknowledge(SLOTS + block, generation)
        self.pending = ()
        if self.random.randrange(4) == 0:
            self.close()


class LogWriter(Worker):
    def step(self):
        number = self.records.acknowledged(LOG_OBJECT)
        again = self.records.begun(LOG_OBJECT) == number + 1
        self.records.begin(LOG_OBJECT, number + 1)
        while not self.timed("append", lambda: self.append(number, again)):
            again = True
            if self.done():
                return

    def append(self, number, again):
        if number % RECORDS_PER_LOG == 0:
            self.close()
        if self.descriptor is None:
            self.descriptor = os.open(self.tree.log(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        done = again and os.fstat(self.descriptor).st_size == (number % RECORDS_PER_LOG + 1) * LOG_RECORD
        if not done:
            write_all(self.descriptor, log_record(number))
        if number // REOPEN_EVERY % 2:
            os.fsync(self.descriptor)
        else:
            descriptor, self.descriptor = self.descriptor, None
            os.close(descriptor)
        self.records.acknowledge(LOG_OBJECT, number + 1)


class SlotReader(Worker):
    def step(self):
        slot = self.random.randrange(SLOTS)
        self.timed("read", lambda: self.tree.check_slot(slot))
        self.timed("stat", lambda: os.stat(self.tree.large))
        if self.random.randrange(4) == 0:
            directory = self.random.choice((self.tree.here, self.tree.there))
            self.timed("list", lambda: self.tree.check_listing(directory))


class FileReader(Worker):
    def step(self):
        self.timed("read_block", lambda: self.read_block(self.random.randrange(BLOCKS)))
        self.timed("read_log", self.tree.check_log_end)

    def read_block(self, block):
        descriptor = os.open(self.tree.large, os.O_RDONLY)
        try:
            self.tree.check_block(descriptor, block)
        finally:
            os.close(descriptor)


class Machine(Worker):
    """Measures the delays of the machine alone: sleeps, and syncs beside the nodes' data."""

    def __init__(self, name, tree, logs, seed):
        super().__init__(name, tree, logs, seed)
        self.descriptor = os.open(os.path.join(logs, "synced"), os.O_WRONLY | os.O_CREAT, 0o600)

    def step(self):
        self.timed("machine_sleep", lambda: time.sleep(PAUSE))
        self.timed("machine_fsync", self.sync)

    def sync(self):
        os.pwrite(self.descriptor, b"x" * 4096, 0)
        os.fsync(self.descriptor)


KINDS = (SlotWriter, BlockWriter, LogWriter, SlotReader, FileReader)


def run(directory, records_path, logs):
    tree = Tree(directory, Records(records_path))
    tree.make()
    seed = int(time.time())
    print("seed %d" % seed, flush=True)
    children = []
    for kind in (*KINDS, Machine):
        child = os.fork()
        if child == 0:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ends with the parent
            worker = kind(kind.__name__, tree, logs, seed + len(children))
            worker.run()
            os._exit(1 if worker.failed else 0)
        children.append(child)
    failed = [os.waitpid(child, 0)[1] != 0 for child in children]
    return 1 if any(failed) else 0


# ---- Afterwards ------------------------------------------------------------------------------------


def verify(directory, records_path):
    """Without a running load: operations that were begun but not acknowledged may have happened or not."""
    records = Records(records_path)
    tree = Tree(directory, records)
    problems = []
    unread = []  # the mount gives errors instead of bytes

    def check(action, *arguments):
        try:
            action(*arguments)
        except Wrong as problem:
            problems.append(str(problem))
        except OSError as problem:
            unread.append("%s: %s" % (problem.filename, problem.strerror))

    def whole_log(first):
        acknowledged = min(max(records.acknowledged(LOG_OBJECT), first), first + RECORDS_PER_LOG)
        begun = min(max(records.begun(LOG_OBJECT), first), first + RECORDS_PER_LOG)
        tree.check_log(read_if_there(tree.log(first)) or b"", first, acknowledged, begun)

    def blocks():
        descriptor = os.open(tree.large, os.O_RDONLY)
        for block in range(BLOCKS):
            check(tree.check_block, descriptor, block)
        os.close(descriptor)

    for slot in range(SLOTS):
        check(tree.check_slot, slot)
    for listed in (tree.here, tree.there):
        check(tree.check_listing, listed)
    check(blocks)
    for first in range(0, records.begun(LOG_OBJECT), RECORDS_PER_LOG):
        check(whole_log, first)
    acknowledged = sum(records.acknowledged(thing) for thing in range(OBJECTS))
    for problem in problems:
        print("LOST: " + problem)
    for problem in unread:
        print("UNREAD: " + problem)
    print("%d generations of %d objects acknowledged, %d objects wrong" % (acknowledged, OBJECTS, len(problems)))
    if problems:
        return 1
    if acknowledged == 0 or unread:
        print("nothing was written, or not all could be read: nothing is proved")
        return 2
    return 0


class Operation:
    def __init__(self, line, process):
        begin, seconds, self.name, *rest = line.split(maxsplit=3)
        self.begin, self.seconds = float(begin), float(seconds)
        self.why = " ".join(rest).strip()
        self.end = self.begin + self.seconds
        self.process = process


def load_operations(logs, kinds):
    operations = []
    for kind in kinds:
        with open(os.path.join(logs, kind.__name__)) as file:
            operations += [Operation(line, kind.__name__) for line in file if line.endswith("\n")]
    return operations


BUCKETS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 1.75, 2.0, 5.0, 1e9)


def histogram(title, values):
    print("\n%s" % title)
    low = 0.0
    for high in BUCKETS:
        count = sum(1 for value in values if low <= value < high)
        if count:
            bound = "%5.2f s and more" % low if high > 1e6 else "%5.2f .. %.2f s" % (low, high)
            print("  %-18s %7d %s" % (bound, count, "#" * min(count, 60)))
        low = high


def report(logs):
    """LOGS/rounds: number, kind, whose primary, partition, node, and when it was struck, back, and settled."""
    operations = load_operations(logs, KINDS)
    machine = load_operations(logs, (Machine,))
    longest = {}
    everything = {}
    print("The longest operation, in seconds: while the node was gone, after it came back; of a process beside the ring.")
    print("%5s %-7s %-6s %9s %4s %9s %9s %9s %11s  %s" %
          ("round", "kind", "whose", "partition", "node", "gone", "back", "beside", "operations", "the longest"))
    with open(os.path.join(logs, "rounds")) as file:
        rounds = [line.split() for line in file]
    blows = [float(one[5]) for one in rounds] + [float("inf")]
    for index, line in enumerate(rounds):
        number, kind, whose, partition, node = line[:5]
        struck, back, well = map(float, line[5:])
        # An operation that is under way at the next blow belongs to the next round.
        within = [one for one in operations if one.end >= struck and one.begin < well and one.end < blows[index + 1]]
        down = [one for one in within if one.begin < back]
        after = [one for one in within if one.begin >= back]
        worst = max(within, key=lambda one: one.seconds)
        longest.setdefault(kind, []).append(worst.seconds)
        everything.setdefault(kind, []).extend(one.seconds for one in within)
        if not any(one.begin >= struck and one.end < back and not one.why for one in within):
            print("round %s: nothing was done while the node was gone" % number)
            return 1
        beside = max((one for one in machine if one.end >= struck and one.begin < well), key=lambda one: one.seconds)
        print("%5s %-7s %-6s %9s %4s %9.3f %9.3f %9.3f %11d  %s at %+.3f s%s" %
              (number, kind, whose, partition, node, max(one.seconds for one in down),
               max((one.seconds for one in after), default=0), beside.seconds, len(within), worst.name,
               worst.begin - struck, "; %s at %+.3f s" % (beside.name, beside.begin - struck) if beside.seconds > 0.5 else ""))
    for kind, values in longest.items():
        histogram("%s: the longest operation of each of %d rounds; the longest of all %.3f s" % (kind, len(values), max(values)), values)
        histogram("%s: all %d operations between the blow and the recovery" % (kind, len(everything[kind])), everything[kind])
    failed = [one for one in operations if one.why]
    print("\n%d operations in all, %d failed" % (len(operations), len(failed)))
    for one in failed[:20]:
        print("FAILED: %s %.6f %s %s" % (one.process, one.begin, one.name, one.why))
    return 1 if failed else 0


def print_longest(logs):
    """The longest of each kind of operation, and the failures."""
    operations = load_operations(logs, KINDS)
    machine = load_operations(logs, (Machine,))
    for name in sorted(set(one.name for one in operations)):
        of_name = [one for one in operations if one.name == name]
        print("%-12s %7d operations, the longest %.3f s" % (name, len(of_name), max(one.seconds for one in of_name)))
    print("beside       %7d operations, the longest %.3f s" % (len(machine), max(one.seconds for one in machine)))
    failed = [one for one in operations if one.why]
    print("%d operations in all, %d failed" % (len(operations), len(failed)))
    for one in failed[:20]:
        print("FAILED: %s %.6f %s %s" % (one.process, one.begin, one.name, one.why))
    return 1 if failed else 0


def main():
    commands = {"run": (run, 3), "verify": (verify, 2), "report": (report, 1), "longest": (print_longest, 1)}
    command, count = commands.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if command is None or len(sys.argv) != count + 2:
        print(__doc__, file=sys.stderr)
        return 2
    return command(*sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
