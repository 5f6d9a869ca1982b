#!/usr/bin/env python3
"""Two processes create the same file with O_EXCL behind a barrier: exclusive_race.py DIRECTORY SAME_DIRECTORY_ELSEWHERE ROUNDS.

Exactly one must win each round, and each at least a tenth of the rounds.
"""
import multiprocessing
import os
import sys

first, second, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])


def run(directory, barrier, results):
    wins = bytearray(rounds)
    for number in range(rounds):
        barrier.wait(timeout=60)
        try:
            os.close(os.open(f"{directory}/{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            wins[number] = 1
        except FileExistsError:
            pass
    results.put((directory, bytes(wins)))


barrier = multiprocessing.Barrier(2)
results = multiprocessing.Queue()
processes = [multiprocessing.Process(target=run, args=(directory, barrier, results)) for directory in (first, second)]
for process in processes:
    process.start()
outcome = dict(results.get(timeout=600) for _ in processes)
for process in processes:
    process.join()
one, two = outcome[first], outcome[second]
both = sum(a and b for a, b in zip(one, two))
neither = sum(not a and not b for a, b in zip(one, two))
print(f"{rounds} rounds: {sum(one)} and {sum(two)} wins, {both} with two winners, {neither} with none")
sys.exit(0 if both == 0 and neither == 0 and min(sum(one), sum(two)) >= rounds / 10 else 1)
