"""What a box costs on this machine: to start, to reach the world through the proxy, and to end.

    python -m benchmarks.boxes [ROUNDS]

Start is from the call until argv runs, with no listeners and with a run's three. End is from the kill until the last
process is dead, with a daemon inside that ignores signals. The way out is measured on the loopback, direct and through
the proxy, in turns; client, proxy and server share one process, so they share one core. Medians with their spread.
Backends that this machine or its user can't have are named as not measured.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.table import head, row
from overnight.boxes.bubblewrap import Bubblewrap
from overnight.boxes.landlock import Landlock
from overnight.boxes.none import Unconfined
from overnight.boxes.settings import BoxSettings
from overnight.errors import BoxUnavailable
from overnight.ports import Box, BoxSpec
from overnight.warden.egress import Bounds, Egress
from overnight.warden.http import serve

HOST = "host.test"
LARGE, PIECE = 256 << 20, 256 << 10
#: A daemon that nothing but SIGKILL ends, and a parent that waits.
DAEMON = 'setsid sh -c \'trap "" TERM HUP; echo up; while :; do sleep 1000; done\' & trap "" TERM; while :; do sleep 1000; done'


def backends() -> dict[str, Box]:
    """Every way to start one here, by a name for the table."""
    if os.geteuid() == 0:
        return {
            "bubblewrap (idmapped)": Bubblewrap(),
            "bubblewrap (root inside)": Bubblewrap(BoxSettings(root_inside=True)),
            "landlock": Landlock(),
            "none": Unconfined(),
        }
    return {"bubblewrap": Bubblewrap(), "landlock": Landlock(), "none": Unconfined()}


async def started(box: Box, folder: str, ports: int) -> float:
    """Milliseconds until argv runs."""
    spec = BoxSpec(argv=("/bin/true",), env={}, cwd=folder, writable=(folder,), ports=box.ports(ports))
    began = time.perf_counter()
    process = await box.start(spec)
    took = (time.perf_counter() - began) * 1000
    await process.wait()
    for listener in process.listeners:
        listener.close()
    return took


async def killed(box: Box, folder: str) -> float:
    """Milliseconds from the kill until all is dead."""
    out = Path(folder, "out")
    out.unlink(missing_ok=True)
    env = {"PATH": "/usr/bin:/bin"}
    spec = BoxSpec(argv=("/bin/sh", "-c", DAEMON), env=env, cwd=folder, writable=(folder,), stdout=str(out))
    process = await box.start(spec)
    while not (out.exists() and out.read_bytes()):  # noqa: ASYNC110 (a file tells nobody)
        await asyncio.sleep(0.005)
    began = time.perf_counter()
    await process.kill()
    return (time.perf_counter() - began) * 1000


async def costs(rounds: int) -> None:
    """The table of starts and ends."""
    with tempfile.TemporaryDirectory() as folder:
        for name, box in backends().items():
            try:
                await started(box, folder, 0)
            except BoxUnavailable:
                row(f"start, {name}", (), "ms")
                continue
            row(f"start, {name}", [await started(box, folder, 0) for _ in range(rounds)], "ms")
            row(f"start with 3 listeners, {name}", [await started(box, folder, 3) for _ in range(rounds)], "ms")
            row(f"kill to last dead, {name}", [await killed(box, folder) for _ in range(rounds)], "ms")


def hello() -> bytes:
    """A ClientHello that names HOST, as long as the proxy looks at it; no server here speaks TLS."""
    name = HOST.encode()
    listed = b"\0" + len(name).to_bytes(2, "big") + name
    body = len(listed).to_bytes(2, "big") + listed
    extensions = b"\0\0" + len(body).to_bytes(2, "big") + body
    said = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + len(extensions).to_bytes(2, "big") + extensions
    message = b"\1" + len(said).to_bytes(3, "big") + said
    return b"\x16\3\1" + len(message).to_bytes(2, "big") + message


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers a hello with many bytes."""
    await reader.readexactly(len(hello()))
    for _ in range(LARGE // PIECE):
        writer.write(bytes(PIECE))
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def _nearby(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def proxied(port: int) -> AsyncGenerator[int]:
    """The proxy, with a way to one port of the loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    egress = Egress(
        (HOST,), lambda _event: None, bounds=Bounds(ports=frozenset({port})), resolver=_nearby,
        address_ok=lambda address: address == "127.0.0.1",
    )  # fmt: skip
    own = listener.getsockname()[1]
    server = await serve(listener, egress.handle)
    try:
        yield own
    finally:
        await server.close()


async def pulled(port: int, through: int | None) -> float:
    """MB/s of a large answer, directly or through a proxy."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", through or port)
    if through is not None:
        writer.write(f"CONNECT {HOST}:{port} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
    writer.write(hello())
    size = 0
    while piece := await reader.read(1 << 20):
        size += len(piece)
    took = time.perf_counter() - began
    writer.close()
    await writer.wait_closed()
    if size != LARGE:
        raise RuntimeError(f"{size} bytes came")
    return size / 1e6 / took


async def way_out(rounds: int) -> None:
    """The table of throughput."""
    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, proxied(port) as own:
        await pulled(port, own)
        both = [(await pulled(port, None), await pulled(port, own)) for _ in range(rounds)]
    row("throughput, direct", [direct for direct, _ in both], "MB/s")
    row("throughput, through the egress proxy", [through for _, through in both], "MB/s")


def main(rounds: int = 15) -> None:
    """Print the tables."""
    asyncio.run(costs(rounds))
    asyncio.run(way_out(max(3, rounds // 3)))


if __name__ == "__main__":
    head("Boxes")
    main(*map(int, sys.argv[1:]))
