#!/usr/bin/env python3
"""Readers of a file that grows, byte by byte: growing_file.py KIND WRITER_DIRECTORY[,...] READER_DIRECTORY SECONDS.

The offset of each byte determines its value, and none is zero, so a reader that sees a size before the bytes under it sees zeros. The
writers and two readers run at once: one reader keeps each file open, one opens it anew for every read; both read from a random place
to the end. A large file is replaced by a new one. Kinds of writers:

  append       two processes with O_APPEND; each record is in one piece, and the file has only records
  append-here  the same, with another descriptor open for plain writes at the readers' mount
  plain        one process, odd sizes, neither fsync nor close before the file is full
  fsync        the same with an fsync now and then

A read must also reach the end that an append, an fsync or, on the same mount, a write had acknowledged when it began. Prints the number
of reads, and fails when one of them was wrong.
"""
import multiprocessing
import os
import random
import sys
import time

kind, writer_directories, reader_directory, seconds = sys.argv[1], sys.argv[2].split(","), sys.argv[3], float(sys.argv[4])
appending = kind.startswith("append")
largest = 300_000 if appending else 9_000_000
pattern = bytes(1 + i % 251 for i in range(251 * 64)) * (largest // (251 * 64) + 400)
record_line = b"0123456789abcdefghijklmnopqrstuvwxyz"


def name_of(number):
    return f"{kind}-{number}"


def record(generator):
    """A letter as often as the record is long, then a newline."""
    length = generator.choice([1, 7, 30, 95, 300, 1500, 5000])
    return bytes([record_line[generator.randrange(len(record_line))]]) * length + b"\n"


def wrong_bytes(offset, data):
    """The error in the bytes read from `offset` to the end; None: none."""
    if not appending:
        expected = pattern[offset:offset + len(data)]
        if data == expected:
            return None
        bad = [i for i in range(len(data)) if data[i] != expected[i]]
        zeros = sum(data[i] == 0 for i in bad)
        return f"{len(bad)} bytes wrong, {zeros} zeros, from {offset + bad[0]} to {offset + bad[-1]} of {offset + len(data)}"
    if b"\0" in data:
        first = data.index(b"\0")
        return f"{data.count(0)} zeros from {offset + first} of {offset + len(data)}"
    if data and not data.endswith(b"\n"):
        return f"the end of {offset + len(data)} bytes is torn: {data[-20:]}"
    for line in data.split(b"\n")[1 if offset else 0:]:
        if line.strip(line[:1]):
            return f"a torn record: {line[:40]}"
    return None


def read_to_end(descriptor, offset):
    parts = []
    while part := os.pread(descriptor, 1 << 20, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def write(current, acknowledged, end, seed):
    generator = random.Random(seed)
    while time.monotonic() < end:
        number = current.value
        path = f"{writer_directories[seed % len(writer_directories)]}/{name_of(number)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if appending else 0))
        offset = 0
        while time.monotonic() < end and current.value == number:
            if appending:
                length = os.write(descriptor, record(generator))
                with acknowledged[0]:
                    if acknowledged[1].value == number:
                        acknowledged[2].value += length
                if os.fstat(descriptor).st_size > largest:
                    next_file(current, acknowledged, number + 1)
                continue
            if offset == 0 and generator.randrange(2):
                # Begins in the middle of a chunk, over existing bytes.
                size = generator.randrange(1, 1_200_000)
                os.write(descriptor, pattern[:size])
                os.fsync(descriptor)
                offset = size
                acknowledged[2].value = offset
            size = generator.choice([1, 333, 4097, 30011, 65537, 100003, 500009, 1_300_021])
            offset += os.write(descriptor, pattern[offset:offset + size])
            synced = kind == "fsync" and generator.randrange(4) == 0
            if synced:
                os.fsync(descriptor)
            if synced or writer_directories == [reader_directory]:
                acknowledged[2].value = offset
            if generator.randrange(3) == 0:
                time.sleep(generator.random() / 50)
            if offset > largest:
                next_file(current, acknowledged, number + 1)
        os.close(descriptor)


def next_file(current, acknowledged, number):
    """Two appenders may come here at once: the second one changes nothing."""
    with acknowledged[0]:
        if acknowledged[1].value != number:
            acknowledged[2].value = 0
            acknowledged[1].value = number
            current.value = number


def acknowledged_of(acknowledged, number):
    """Bytes of the file with this number that must be there; 0 when it has been replaced."""
    with acknowledged[0]:
        return acknowledged[2].value if acknowledged[1].value == number else 0


def read(current, acknowledged, end, kept, seed, results):
    generator = random.Random(seed)
    reads, wrong, number, descriptor, plain = 0, [], -1, None, None
    while time.monotonic() < end:
        if descriptor is None or number != current.value or not kept:
            if descriptor is not None:
                os.close(descriptor)
                descriptor = None
            try:
                number = current.value
                descriptor = os.open(f"{reader_directory}/{name_of(number)}", os.O_RDONLY)
            except FileNotFoundError:
                continue
            if kind == "append-here":
                if plain is not None:
                    os.close(plain)
                plain = os.open(f"{reader_directory}/{name_of(number)}", os.O_WRONLY)
        size = os.fstat(descriptor).st_size
        there = acknowledged_of(acknowledged, number)
        offset = generator.choice([0, max(0, size - 1), max(0, size - 5000), generator.randrange(size + 1)])
        data = read_to_end(descriptor, offset)
        reads += 1
        what = wrong_bytes(offset, data)
        if not what and offset + len(data) < there:
            what = f"ended at {offset + len(data)}, {there} bytes were acknowledged before"
        if what:
            again = read_to_end(descriptor, offset)
            healed = "" if wrong_bytes(offset, again) else ", a second read is right"
            wrong.append(f"{name_of(number)}, {'kept open' if kept else 'opened anew'}: {what}{healed}")
    results.put((reads, wrong))


def main():
    current = multiprocessing.Value("q", 0)
    acknowledged = (multiprocessing.Lock(), multiprocessing.Value("q", 0), multiprocessing.Value("q", 0))
    results = multiprocessing.Queue()
    end = time.monotonic() + seconds
    writers = [multiprocessing.Process(target=write, args=(current, acknowledged, end, seed)) for seed in range(2 if appending else 1)]
    readers = [multiprocessing.Process(target=read, args=(current, acknowledged, end, kept, seed, results))
               for seed, kept in enumerate([True, False, False] if appending else [True, False])]
    for process in writers + readers:
        process.start()
    ended = [results.get() for _ in readers]
    for process in writers + readers:
        process.join()
    wrong = [line for _, lines in ended for line in lines]
    for line in wrong[:20]:
        print(line)
    print(f"{kind}: {sum(reads for reads, _ in ended)} reads of {current.value + 1} files, {len(wrong)} wrong")
    assert all(process.exitcode == 0 for process in writers), "a writer failed"
    sys.exit(1 if wrong else 0)


main()
