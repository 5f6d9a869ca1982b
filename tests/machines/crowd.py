#!/usr/bin/env python3
"""Many connections to a node that say nothing.

  crowd.py HOST:PORT COUNT READY                 TCP only: no handshake ever. Those that the node closes are opened again
  crowd.py HOST:PORT COUNT READY CREDENTIALS     after the handshakes: TLS with the certificate in this directory, and the first frame.
                                                 It fails when one is refused or closed

The file READY is there, with their number, when all are open, or for the first kind have been tried. They stay until it is killed.
"""
import asyncio
import ssl
import sys

FRAME_HEADER_BYTES = 24
REOPEN_SECONDS = 5
HANDSHAKE = 1


def client_handshake():
    """docs/wire-format.md: protocol 1, a client, without a node's identity, of any ring, to any node."""
    nil = bytes([16]) + bytes(16)
    message = bytes([0x08, 1, 0x10, 1, 0x1A]) + nil + bytes([0x22, 0, 0x2A]) + nil + bytes([0x39]) + bytes(8) + bytes([0x42]) + nil
    return b"RNG1" + bytes([1, HANDSHAKE, 0, 0]) + len(message).to_bytes(4, "big") + bytes(12) + message


async def strangers(host, port, count, ready):
    tried = asyncio.Semaphore(0)

    async def one():
        first = True
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, port)
                if first:
                    tried.release()
                    first = False
                await reader.read()
                writer.close()
            except OSError:
                pass
            await asyncio.sleep(REOPEN_SECONDS)

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    for _ in range(count):
        await tried.acquire()
    with open(ready, "w") as file:
        file.write(f"{count}\n")
    await asyncio.gather(*tasks)


async def clients(host, port, count, ready, credentials):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the node is not what is tried here
    context.set_alpn_protocols(["ringfs/1"])
    context.load_cert_chain(f"{credentials}/certificate.pem", f"{credentials}/key.pem")
    open_ones = []
    for number in range(count):
        try:
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
        except OSError as error:
            sys.exit(f"connection {number}: {error!r}")
        writer.write(client_handshake())
        header = await reader.readexactly(FRAME_HEADER_BYTES)
        body = await reader.readexactly(int.from_bytes(header[8:12], "big") + int.from_bytes(header[12:16], "big"))
        if header[5] != HANDSHAKE:
            sys.exit(f"connection {number} is refused: {body}")
        open_ones.append((reader, writer))
    with open(ready, "w") as file:
        file.write(f"{len(open_ones)}\n")
    ends = [asyncio.create_task(reader.read(1)) for reader, _ in open_ones]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    sys.exit("a connection was closed")


def main():
    address, count, ready = sys.argv[1:4]
    host, port = address.rsplit(":", 1)
    kind = clients if len(sys.argv) > 4 else strangers
    asyncio.run(kind(host, int(port), int(count), ready, *sys.argv[4:]))


main()
