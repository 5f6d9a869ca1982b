#!/usr/bin/env python3
"""A long line between two interfaces: each frame arrives later, in order, and some do not arrive.

  slow_link.py INTERFACE INTERFACE MILLISECONDS LOST_OF_100 READY

The file READY is there when it has begun; it ends when it is killed. Needs root (AF_PACKET, packet(7)). Frames pass with their
virtio header, so segments that the kernel has not cut up yet, or not summed, stay as they are.
"""
import asyncio
import collections
import random
import socket
import sys

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_VNET_HDR = 15
PACKET_OUTGOING = 4
LARGEST_FRAME = 1 << 17
LATE = 0.1      # seconds: this machine is too busy
QUEUE = 10000  # frames; more are lost, as in a router


class Direction:
    def __init__(self, loop, source, target, seconds, lost, seed):
        self.loop, self.source, self.target, self.seconds, self.lost = loop, source, target, seconds, lost
        self.random = random.Random(seed)
        self.frames = collections.deque()
        loop.add_reader(source.fileno(), self.receive)

    def receive(self):
        while True:
            try:
                frame, address = self.source.recvfrom(LARGEST_FRAME)
            except BlockingIOError:
                return
            if address[2] == PACKET_OUTGOING:
                continue
            if self.random.random() * 100 < self.lost or len(self.frames) >= QUEUE:
                continue
            self.frames.append((self.loop.time() + self.seconds, frame))
            if len(self.frames) == 1:
                self.loop.call_at(self.frames[0][0], self.send)

    def send(self):
        while self.frames and self.frames[0][0] <= self.loop.time():
            due, frame = self.frames.popleft()
            if self.loop.time() > due + LATE:
                print(f"slow_link.py: {(self.loop.time() - due) * 1000:.0f} ms later than it should be", file=sys.stderr, flush=True)
            try:
                self.target.send(frame)
            except OSError as error:  # no room, or the interface is down: lost
                print("slow_link.py: not sent:", error, file=sys.stderr, flush=True)
        if self.frames:
            self.loop.call_at(self.frames[0][0], self.send)


def open_interface(name):
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    frames.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    frames.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    frames.bind((name, ETH_P_ALL))
    frames.setblocking(False)
    return frames


async def main():
    first, second, milliseconds, lost, ready = sys.argv[1:]
    loop = asyncio.get_running_loop()
    ends = [open_interface(first), open_interface(second)]
    for seed, (source, target) in enumerate((ends, reversed(ends))):
        Direction(loop, source, target, float(milliseconds) / 1000, float(lost), seed)
    open(ready, "w").close()
    await asyncio.Event().wait()


asyncio.run(main())
