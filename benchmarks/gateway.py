"""What the gateway adds to the first byte of a model's answer, and how much goes through it, on this machine.

    python -m benchmarks.gateway [ROUNDS]

A model on the loopback answers at once, directly and through the gateway, in turns; both ways open a connection for
each request. The third way is the gateway as a paid run has it: with the meter, and with a recording. Client, gateway and model share one process, so in throughput they share one core. Medians with their
quartiles. The gateway's record is a real file.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec import Struct

from overnight.cassette.entries import NAME, Opened, Surroundings
from overnight.cassette.recorder import Hearing, Recorder
from overnight.guard.redact import Redactor
from overnight.missions.money import Allowance
from overnight.ports import Route
from overnight.usage.prices import Catalogue
from overnight.warden.events import EventLog
from overnight.warden.gateway import Gateway
from overnight.warden.http import Exchange, Request, serve
from overnight.warden.meter import Meter

TOKEN, KEY = "overnight-dummy", "key"
PIECES = 50
#: A request of about the size of one in the middle of a session: 40 messages, each with words of its own.
BODY = msgspec.json.encode(
    {
        "model": "claude-opus-5-5", "max_tokens": 1000, "stream": True,
        "messages": [
            {"role": "user", "content": " ".join(f"word{(n * 7919 + k * 104729) % 5003}" for k in range(560))}
            for n in range(40)
        ],
    }
)  # fmt: skip
MUCH = Decimal(10**6)
#: Bytes of the answer that throughput is measured with, and of its pieces.
LARGE, PIECE = 256 << 20, 64 << 10


async def model(request: Request, exchange: Exchange) -> None:
    """Streams small pieces, as fast as they are taken; large ones when asked for `/v1/large`."""
    await exchange.start(200, [(b"content-type", b"text/event-stream")])
    large = request.path == "/v1/large"
    for n in range(LARGE // PIECE if large else PIECES):
        await exchange.send(bytes(PIECE) if large else b"event: content_block_delta\ndata: %d\n\n" % n)
    await exchange.finish()


async def ask(port: int) -> tuple[float, float]:
    """Milliseconds to the first byte of the body, and to the end."""
    async with _asked(port, "/v1/messages", BODY) as (reader, began):
        await reader.readexactly(1)
        first = time.perf_counter()
        await reader.read()
        return (first - began) * 1000, (time.perf_counter() - began) * 1000


async def pull(port: int) -> float:
    """MB/s of a large answer."""
    async with _asked(port, "/v1/large", b"x") as (reader, began):
        size = 0
        while piece := await reader.read(1 << 20):
            size += len(piece)
        if size < LARGE:
            raise RuntimeError(f"{size} bytes came")
        return size / 1e6 / (time.perf_counter() - began)


@contextlib.asynccontextmanager
async def _asked(port: int, path: str, body: bytes) -> AsyncGenerator[tuple[asyncio.StreamReader, float]]:
    """A request whose answer's head was read, and when it began."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"POST {path} HTTP/1.1\r\nhost: m\r\nx-api-key: {TOKEN}\r\ncontent-length: {len(body)}\r\n"
        writer.write(head.encode() + b"connection: close\r\n\r\n" + body)
        await reader.readuntil(b"\r\n\r\n")
        yield reader, began
    finally:
        writer.close()
        await writer.wait_closed()


def _listening() -> tuple[socket.socket, int]:
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


class Figures(Struct, frozen=True):
    """What one way was measured to do, value by value."""

    first_byte: list[float]
    whole: list[float]
    throughput: list[float]
    #: Milliseconds of processor time that the one thread took in which all of them live, the packing thread apart.
    busy: list[float]


async def measure(rounds: int, folder: Path) -> tuple[Figures, Figures, Figures]:
    """Directly, through the gateway, and through one that meters and records."""
    (model_socket, model_port), (gateway_socket, gateway_port) = _listening(), _listening()
    full_socket, full_port = _listening()
    route = Route(
        kind="gateway", upstream=f"http://127.0.0.1:{model_port}", key_header="x-api-key",
        allowed=(("POST", "/v1/(messages|large)"),),
    )  # fmt: skip
    log = EventLog(folder / "events.ndjson")
    catalogue = Catalogue(time.time(), "anthropic", route.upstream, {})
    catalogue.load()
    meter = Meter("gateway", catalogue, log.write, paid=True, dearest=catalogue.dearest, allowance=Allowance(usd=MUCH))
    around = Surroundings(worktree="/w", home="/h", given="/g")
    opened = Opened(run="t1.1.1", agent="claude", version="", protocol="anthropic", start="", around=around)
    recorder = Recorder(folder / NAME, opened, Redactor((TOKEN, KEY)), 1 << 30)

    def tap(request: Request) -> Hearing:
        return recorder.hear(request.method, request.target, request.headers, request.body)

    servers = [
        await serve(model_socket, model),
        await serve(gateway_socket, Gateway(route, TOKEN, KEY, log.write).handle),
        await serve(full_socket, Gateway(route, TOKEN, KEY, log.write, meter=meter, taps=(tap,)).handle),
    ]
    ways = {port: Figures([], [], [], []) for port in (model_port, gateway_port, full_port)}
    try:
        for n in range(rounds + 10):
            for port, figures in ways.items():
                began = time.thread_time()
                first, whole = await ask(port)
                busy = (time.thread_time() - began) * 1000
                if n >= 10:  # the first ones warm up
                    figures.first_byte.append(first)
                    figures.whole.append(whole)
                    figures.busy.append(busy)
        for _ in range(5):
            for port, figures in ways.items():
                if port == full_port:
                    continue  # it knows no price of what is not a model call
                figures.throughput.append(await pull(port))
    finally:
        for server in servers:
            await server.close()
        tape = recorder.close()
        log.close()
    if tape.missing or tape.exchanges != rounds + 10:
        raise RuntimeError(f"not everything was recorded: {tape}")
    print(f"{'recording':42} {(folder / NAME).stat().st_size / (rounds + 10) / 1000:9.2f} kB    for each exchange")
    return ways[model_port], ways[gateway_port], ways[full_port]


def _row(name: str, values: list[float], unit: str) -> None:
    low, middle, high = statistics.quantiles(values, n=4)
    print(f"{name:42} {middle:9.2f} {unit:5} (quartiles {low:.2f} to {high:.2f}, n={len(values)})")


def main() -> None:
    """Print what was measured, and what the gateway adds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder:
        direct, through, full = asyncio.run(measure(rounds, Path(folder)))
    for name, way in (("direct", direct), ("gateway", through)):
        _row(f"{name}, first byte", way.first_byte, "ms")
        _row(f"{name}, whole answer", way.whole, "ms")
        _row(f"{name}, throughput", way.throughput, "MB/s")
    _row("metered and recorded, first byte", full.first_byte, "ms")
    _row("metered and recorded, whole", full.whole, "ms")
    # Each pair was measured one right after the other, so the machine was about as busy for both.
    for name, pairs in (
        ("first byte", zip(direct.first_byte, through.first_byte, strict=True)),
        ("whole answer", zip(direct.whole, through.whole, strict=True)),
        ("first byte, metered and recorded", zip(direct.first_byte, full.first_byte, strict=True)),
        ("whole, metered and recorded", zip(direct.whole, full.whole, strict=True)),
        ("processor time", zip(direct.busy, through.busy, strict=True)),
        ("processor time, metered and recorded", zip(direct.busy, full.busy, strict=True)),
    ):
        _row(f"added, {name}", [after - before for before, after in pairs], "ms")


if __name__ == "__main__":
    main()
