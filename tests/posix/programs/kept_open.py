#!/usr/bin/env python3
"""Readers that keep a file open while it grows: kept_open.py DIRECTORY SAME_DIRECTORY_ELSEWHERE ROUNDS.

Each round a process writes behind the end, through this mount or the other one, with O_APPEND or without; then every reader, whose
kernel has the end of the file in its cache, must read exactly these bytes.
"""
import os
import random
import sys

here, there, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
generator = random.Random(11)


def pread_all(descriptor, size, offset):
    data = b""
    while part := os.pread(descriptor, size - len(data), offset + len(data)):
        data += part
    return data


def run(name, step):
    with open(f"{here}/{name}", "wb"):
        pass
    model = bytearray()
    writers = {}
    for mount in (here, there):
        writers[mount, "append"] = os.open(f"{mount}/{name}", os.O_WRONLY | os.O_APPEND)
        writers[mount, "plain"] = os.open(f"{mount}/{name}", os.O_WRONLY)
    readers = {mount: os.open(f"{mount}/{name}", os.O_RDONLY) for mount in (here, there)}
    for number in range(rounds):
        mount, kind = who = generator.choice(list(writers))
        data = generator.randbytes(generator.randrange(1, step))
        if kind == "append":
            os.write(writers[who], data)
        else:
            os.pwrite(writers[who], data, len(model))
            os.fsync(writers[who])
        before = len(model)
        model += data
        for reader, descriptor in readers.items():
            where = f"{name} round {number}: {kind} through {mount}, read through {reader}"
            tail = max(0, before - 5000)
            # To the end and beyond, as a reader does that looks for more bytes.
            seen = pread_all(descriptor, len(model) - tail + 1, tail)
            assert seen == model[tail:], f"{where}: {len(seen)} bytes at {tail}, " \
                f"{sum(a != b for a, b in zip(seen, model[tail:]))} wrong of {len(model) - tail}"
            assert pread_all(descriptor, len(model) - tail, tail) == model[tail:], where
    for descriptor in list(writers.values()) + list(readers.values()):
        os.close(descriptor)
    for mount in (here, there):
        with open(f"{mount}/{name}", "rb") as file:
            assert file.read() == model, f"{name} through {mount}"
    print(f"{name}: {rounds} rounds, {len(model)} bytes")


run("kept-open-small", 100)
run("kept-open-large", 30000)
