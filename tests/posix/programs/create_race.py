#!/usr/bin/env python3
"""Two processes open the same new name with O_CREAT, without O_EXCL: create_race.py DIRECTORY SAME_DIRECTORY_ELSEWHERE ROUNDS.

Both must get the file; if it is private and the second process belongs to another user, that one must get EACCES. No other result is
allowed (the kernel looks up a name again that was stale while it was created).
"""
import collections
import errno
import multiprocessing
import os
import sys

first, second, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])


def run(directory, user, mode, barrier, results):
    os.umask(0)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    outcome = []
    for number in range(rounds):
        barrier.wait(timeout=60)
        try:
            descriptor = os.open(f"{directory}/{mode:o}-{number}", os.O_CREAT | os.O_RDWR, mode)
            outcome.append("made" if os.fstat(descriptor).st_uid == user else "opened")
            os.close(descriptor)
        except OSError as error:
            outcome.append(errno.errorcode[error.errno])
    results.put((directory, outcome))


def race(users, mode, allowed):
    barrier = multiprocessing.Barrier(2)
    results = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=run, args=(directory, user, mode, barrier, results))
                 for directory, user in zip((first, second), users)]
    for process in processes:
        process.start()
    outcome = dict(results.get(timeout=600) for _ in processes)
    for process in processes:
        process.join()
    pairs = collections.Counter(tuple(sorted(pair)) for pair in zip(outcome[first], outcome[second]))
    print(f"users {users}, mode {mode:o}: {dict(pairs)}")
    return set(pairs) <= allowed


os.chmod(first, 0o777)
good = race((0, 0), 0o644, {("made", "made")})  # of one user: each owns the other's file, too
good &= race((1001, 1002), 0o666, {("made", "opened")})
good &= race((1001, 1002), 0o600, {("EACCES", "made")})
sys.exit(0 if good else 1)
