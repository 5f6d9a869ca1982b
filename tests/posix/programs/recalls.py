#!/usr/bin/env python3
"""Changes of what another mount remembers: recalls.py DIRECTORY SAME_DIRECTORY_ELSEWHERE PROCESS_OF_THE_OTHER_MOUNT.

The other mount has looked at each file a moment ago, so it answers from its memory. A change here must be visible there at once.
While that mount is frozen changes go on, and when it runs again it shows them.
"""
import os
import signal
import sys
import time

here, there, process = sys.argv[1], sys.argv[2], int(sys.argv[3])
FILES = 30
# A row that another client changed within two seconds is not remembered (row_contention_pause).
CALM = 2.2


def path(mount, number):
    return os.path.join(mount, "recalls", str(number))


def look():
    """Several times, for a mount whose name the nodes do not know yet gets short leases."""
    for _ in range(6):
        for number in range(FILES):
            os.stat(path(there, number))
        time.sleep(0.12)


def expect(mode):
    for number in range(FILES):
        seen = os.stat(path(there, number)).st_mode & 0o777
        assert seen == mode, f"file {number} has mode {seen:o} there, not {mode:o}"


os.mkdir(os.path.join(here, "recalls"))
for number in range(FILES):
    with open(path(here, number), "w", encoding="utf-8") as file:
        file.write("x")

for mode in (0o600, 0o640, 0o644):
    time.sleep(CALM)
    look()
    for number in range(FILES):
        os.stat(path(there, number))
        os.chmod(path(here, number), mode)
        seen = os.stat(path(there, number)).st_mode & 0o777
        assert seen == mode, f"file {number} has mode {seen:o} there, not {mode:o}"

time.sleep(CALM)
look()
os.kill(process, signal.SIGSTOP)
try:
    for number in range(FILES):
        os.chmod(path(here, number), 0o400)
finally:
    os.kill(process, signal.SIGCONT)
expect(0o400)
