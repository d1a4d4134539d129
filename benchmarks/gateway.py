"""What the gateway adds to the first byte of a model's answer, and to each later piece, on this machine.

    python -m benchmarks.gateway [ROUNDS]

A model on the loopback answers at once, directly and through the gateway, in turns; both ways open a connection for
each request. Medians in milliseconds. The gateway's record is a real file.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

from overnight.ports import Route
from overnight.warden.events import EventLog
from overnight.warden.gateway import Gateway
from overnight.warden.http import Exchange, Request, serve

TOKEN, KEY = "overnight-dummy", "key"
PIECES = 50
#: About the size of a request in the middle of a session.
BODY = b"x" * 200_000


async def model(_request: Request, exchange: Exchange) -> None:
    """Streams small pieces, as fast as they are taken."""
    await exchange.start(200, [(b"content-type", b"text/event-stream")])
    for n in range(PIECES):
        await exchange.send(b"event: content_block_delta\ndata: %d\n\n" % n)
    await exchange.finish()


async def ask(port: int) -> tuple[float, float]:
    """Milliseconds to the first byte of the body, and to the end."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"POST /v1/messages HTTP/1.1\r\nhost: m\r\nx-api-key: {TOKEN}\r\ncontent-length: {len(BODY)}\r\n"
        writer.write(head.encode() + b"connection: close\r\n\r\n" + BODY)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1)
        first = time.perf_counter()
        await reader.read()
        return (first - began) * 1000, (time.perf_counter() - began) * 1000
    finally:
        writer.close()
        await writer.wait_closed()


def _listening() -> tuple[socket.socket, int]:
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


async def measure(rounds: int, folder: Path) -> dict[str, float]:
    """Medians: to the first byte and in all, direct and through the gateway."""
    (model_socket, model_port), (gateway_socket, gateway_port) = _listening(), _listening()
    route = Route(
        kind="gateway", upstream=f"http://127.0.0.1:{model_port}", key_header="x-api-key",
        allowed=(("POST", "/v1/messages"),),
    )  # fmt: skip
    log = EventLog(folder / "events.ndjson")
    servers = [
        await serve(model_socket, model),
        await serve(gateway_socket, Gateway(route, TOKEN, KEY, log.write).handle),
    ]
    try:
        direct, through = list[tuple[float, float]](), list[tuple[float, float]]()
        for n in range(rounds + 10):
            for port, times in ((model_port, direct), (gateway_port, through)):
                taken = await ask(port)
                if n >= 10:  # the first ones warm up
                    times.append(taken)
    finally:
        for server in servers:
            await server.close()
        log.close()
    return {
        f"{name}, {what}": statistics.median(times[at] for times in measured)
        for name, measured in (("direct", direct), ("gateway", through))
        for at, what in enumerate(("first byte", "whole answer"))
    }


def main() -> None:
    """Print the medians and what the gateway adds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder:
        medians = asyncio.run(measure(rounds, Path(folder)))
    for name, ms in medians.items():
        print(f"{name:24} {ms:8.2f} ms")
    for what in ("first byte", "whole answer"):
        added = medians[f"gateway, {what}"] - medians[f"direct, {what}"]
        print(f"{'added, ' + what:24} {added:8.2f} ms")


if __name__ == "__main__":
    main()
