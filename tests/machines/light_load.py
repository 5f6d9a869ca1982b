#!/usr/bin/env python3
"""Writers of small files on a mount, a few times a second, until SIGTERM. Each file is read back; the exit code is 1 when an operation
failed or bytes were wrong.

  light_load.py DIRECTORY
"""
import os
import signal
import sys
import threading

WRITERS = 8
PAUSE_SECONDS = 0.1
BYTES = 2000

stop = threading.Event()
failures = []
done = [0] * WRITERS


def write(directory, writer):
    name = os.path.join(directory, f"file{writer}")
    while not stop.is_set():
        contents = f"{writer} {done[writer]} ".encode().ljust(BYTES, b"x")
        try:
            with open(name + ".new", "wb") as file:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
            os.rename(name + ".new", name)
            with open(name, "rb") as file:
                if file.read() != contents:
                    raise OSError("other bytes than were written")
        except OSError as error:
            failures.append(f"{name}: {error}")
            return
        done[writer] += 1
        stop.wait(PAUSE_SECONDS)


def main():
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    writers = [threading.Thread(target=write, args=(sys.argv[1], writer)) for writer in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    print(f"{sum(done)} files written and read")
    sys.exit("\n".join(failures) if failures or not all(done) else 0)


main()
