#!/usr/bin/env python3
"""Writes every frame that an interface sees to a file, one after the other, until it is killed.

  capture.py INTERFACE FILE

The file is there when the capture has begun. Needs root (AF_PACKET, packet(7)).
"""
import socket
import sys

ETH_P_ALL = 3
LARGEST_FRAME = 1 << 16  # of segments that the kernel has not cut up yet


def main():
    interface, path = sys.argv[1:]
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    frames.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    frames.bind((interface, 0))
    with open(path, "wb", buffering=0) as out:
        while True:
            out.write(frames.recv(LARGEST_FRAME))


main()
