#!/usr/bin/env python3
"""Sends junk to a node's RPC and REST ports: junk.py RPC REST. Each connection must be answered or closed, none may hang."""
import errno
import os
import random
import socket
import struct
import sys

generator = random.Random(11)


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def send(where, data, finish=True):
    with socket.create_connection(where, timeout=10) as connection:
        connection.settimeout(15)
        try:
            connection.sendall(data)
            if finish:
                connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError as error:
            # Closed on us, at whichever step we hear of it: the right answer to junk.
            if error.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
                raise


rpc, rest = address(sys.argv[1]), address(sys.argv[2])
for size in (1, 3, 23, 24, 25, 100, 5000, 200_000):
    send(rpc, generator.randbytes(size))
    send(rest, generator.randbytes(size))
for _ in range(100):
    send(rpc, generator.randbytes(generator.randrange(1, 300)))
send(rpc, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
send(rpc, struct.pack(">IIII", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF) * 4)
send(rpc, b"")
send(rest, b"GET /v1/kv/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort")
send(rest, b"PUT /v1/kv/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
send(rest, b"PUT /v1/kv/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\ncut short")
send(rest, b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n")
send(rest, b"X" * 100_000)
send(rest, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(100))
print("junk: all connections ended")
