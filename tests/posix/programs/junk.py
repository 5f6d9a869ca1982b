#!/usr/bin/env python3
"""Sends junk to a node's RPC and REST ports and checks every answer: junk.py RPC REST CONNECTIONS [slow].

REST: a refused request gets 400, 408, 413 or 431 with a reason in JSON, also when the client does not close its side; on bytes that are
not HTTP the node may just close the connection. No truncated request is stored. RPC: the node sends at most a handshake and an error
frame and closes the connection. No connection hangs: with `slow`, clients that send half of a request or frame wait for the node's own
limits, at most a minute.
"""
import errno
import json
import os
import random
import socket
import struct
import sys
import threading

generator = random.Random(11)
REQUEST_LIMIT = 60  # seconds the node gives a request (docs: nodes/rest/gateway.hpp)
FRAME_LIMIT = 30  # and a frame (docs/wire-format.md)
HANDSHAKE_LIMIT = 5
SLACK = 30  # a busy machine


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def send(where, data, finish=True, timeout=SLACK):
    """All bytes until the node closes. `finish`: our side is closed after the data. The host `x` stands for the node's own."""
    data = data.replace(b"Host: x\r\n", b"Host: %s:%d\r\n" % (where[0].encode(), where[1]))
    answer = b""
    with socket.create_connection(where, timeout=10) as connection:
        connection.settimeout(timeout)
        try:
            connection.sendall(data)
            if finish:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                answer += piece
        except socket.timeout as error:
            raise AssertionError(f"no end after {timeout} s to {data[:60]!r}; so far {answer[:200]!r}") from error
        except OSError as error:
            # The node closed the connection; any step may notice it.
            if error.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
                raise
    return answer


def refused(data, *codes, silence=False, **how):
    """The answer is one of these codes with a reason in JSON; `silence`: or there is none."""
    answer = send(rest, data, **how)
    if silence and not answer:
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)
    assert len(status) == 3 and status[0] == b"HTTP/1.1" and int(status[1]) in codes, f"{data[:60]!r} gave {answer[:300]!r}"
    reason = json.loads(body)["reason"]
    assert isinstance(reason, str) and reason, f"{data[:60]!r} gave no reason: {body!r}"


def dropped(data, **how):
    """Node-to-node port: closed, after frames of handshake (1) or error (5) at most."""
    answer = send(rpc, data, **how)
    while answer:
        assert len(answer) >= 24, f"{data[:60]!r} gave {answer!r}"
        magic, version, kind, flags, message, payload, _ = struct.unpack(">4sBBHIIQ", answer[:24])
        assert (magic, version, flags) == (b"RNG1", 1, 0) and kind in (1, 5), f"{data[:60]!r} gave {answer[:60]!r}"
        answer = answer[24 + message + payload :]


def missing(key):
    answer = send(rest, b"GET /v1/kv/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % key)
    assert answer.startswith(b"HTTP/1.1 404 "), f"{key} was stored: {answer[:300]!r}"


def frame(kind, message, payload=b"", length=None, request=0):
    return struct.pack(">4sBBHIIQ", b"RNG1", 1, kind, 0, len(message) if length is None else length, len(payload), request) + message + payload


def in_parallel(*checks):
    """Connections that wait for a limit of the node."""
    failures = []

    def run(check):
        try:
            check()
        except Exception as error:  # reported below, where it ends the program
            failures.append(error)

    threads = [threading.Thread(target=run, args=(check,)) for check in checks]
    for thread in threads:
        thread.start()
    return threads, failures


rpc, rest = address(sys.argv[1]), address(sys.argv[2])
# Handshake of a client of any ring: protocol 1, role 1.
handshake = frame(1, b"\x08\x01\x10\x01" + b"\x1a\x10" + bytes(16) + b"\x22\x00" + b"\x2a\x10" + bytes(16) + b"\x42\x10" + bytes(16))
put = b"PUT /v1/kv/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\ncut short"

halves = [
    lambda: refused(put % b"junk-slow", 408, finish=False, timeout=REQUEST_LIMIT + SLACK),
    lambda: refused(b"GET /v1/kv/x HT", 408, finish=False, timeout=REQUEST_LIMIT + SLACK),
    lambda: dropped(b"", finish=False, timeout=HANDSHAKE_LIMIT + SLACK),
    lambda: dropped(b"RNG1", finish=False, timeout=HANDSHAKE_LIMIT + SLACK),
    lambda: dropped(handshake[:-5], finish=False, timeout=HANDSHAKE_LIMIT + SLACK),
    lambda: dropped(handshake + frame(3, b"abc", length=1000, request=1), finish=False, timeout=FRAME_LIMIT + SLACK),
]
slow, slow_failures = in_parallel(*(halves if sys.argv[4:] == ["slow"] else []))

# Valid frames, truncated at every kind of place, and a complete handshake without a further frame.
for cut in (1, 4, 23, 24, 30, len(handshake) - 1, len(handshake)):
    dropped(handshake[:cut])
dropped(handshake + frame(3, b"abc", length=1000, request=1))
dropped(handshake + frame(3, b"abc", request=1)[:20])
dropped(handshake + frame(3, generator.randbytes(200), request=1))
dropped(handshake + frame(2, generator.randbytes(200)))
dropped(handshake + frame(9, b"unknown kind"), finish=False)
dropped(handshake + frame(3, b"", length=0x7FFFFFFF, request=1), finish=False)
dropped(frame(1, b"", length=1 << 20), finish=False)
dropped(frame(3, b"before a handshake", request=1), finish=False)

for size in (1, 3, 23, 24, 25, 100, 5000, 200_000):
    dropped(generator.randbytes(size))
    refused(generator.randbytes(size), 400, 431, silence=True)
for _ in range(int(sys.argv[3]) // 2):
    dropped(generator.randbytes(generator.randrange(1, 300)))
    refused(generator.randbytes(generator.randrange(1, 300)), 400, silence=True)
dropped(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", finish=False)
dropped(struct.pack(">IIII", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF) * 4, finish=False)
dropped(b"")

refused(b"GET /v1/kv/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort", 400)
refused(b"GET /v1/kv/x HTTP/1.1\r\nHo", 400)
refused(put % b"junk-cut", 400)
refused(b"PUT /v1/kv/junk-chunk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 400)
for finish in (True, False):
    refused(b"PUT /v1/kv/junk-big HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413, finish=finish)
    refused(b"PUT /v1/kv/junk-big HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, finish=finish)
    refused(b"PUT /v1/kv/junk-big HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + b"x" * 0x200000, 413, finish=finish)
    refused(b"PUT /v1/kv/junk-chunk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, finish=finish)
    refused(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", 431, finish=finish)
    refused(b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", 431, finish=finish)
    refused(b"X" * 100_000, 400, 431, finish=finish)
    refused(b"GET / SPDY/9\r\n\r\n", 400, finish=finish)
    refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(100), 400, finish=finish, silence=True)

# The client closes in the middle of a request.
with socket.create_connection(rest, timeout=10) as connection:
    connection.sendall(put % b"junk-gone")

for thread in slow:
    thread.join()
assert not slow_failures, slow_failures
for key in (b"junk-slow", b"junk-cut", b"junk-chunk", b"junk-big", b"junk-gone"):
    missing(key)
print("junk: all connections were answered or closed")
