"""Both ends of a loopback connection, in the raw, for the tests of the warden's listeners."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import h11

from overnight.warden.events import Event
from overnight.warden.http import Handler, Limits, Server, close_stream, serve

T = TypeVar("T")
#: Seconds after which a test has hung.
PATIENCE = 30.0

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run a test's story to its end; nothing of it may be left behind."""

    async def whole() -> T:
        async with asyncio.timeout(PATIENCE):
            told = await story
            # Streams are let go in the turn after they were closed.
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks are left behind: {left}"
            return told

    told = asyncio.run(whole())
    gc.collect()
    return told


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until something holds that nobody announces."""
    while not condition():  # noqa: ASYNC110 (there is no event to wait for)
        await asyncio.sleep(0)


def listening() -> socket.socket:
    """A socket that listens on a free port of the loopback."""
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def port_of(sock: socket.socket) -> int:
    return sock.getsockname()[1]


class Log:
    """Keeps events in memory, and tells who waits for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()
        self._changed = asyncio.Event()

    async def reaches(self, count: int) -> list[Event]:
        """The events, once there are so many."""
        while len(self.events) < count:
            await self._changed.wait()
        return self.events


@asynccontextmanager
async def served(handler: Handler, limits: Limits | None = None) -> AsyncGenerator[tuple[int, Server]]:
    """A server on the loopback, for as long as the block runs: (port, server)."""
    sock = listening()
    port = port_of(sock)
    server = await serve(sock, handler, limits)
    try:
        yield port, server
    finally:
        await server.close()


@asynccontextmanager
async def raw_server(talk: Talk, **options: Any) -> AsyncGenerator[int]:
    """A server that speaks as the test says; yields its port."""
    talking: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except OSError:
            pass
        finally:
            await close_stream(writer)

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talking.add(asyncio.ensure_future(converse(reader, writer)))

    server = await asyncio.start_server(connected, sock=listening(), **options)
    try:
        yield port_of(server.sockets[0])
    finally:
        server.close()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A raw connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        await close_stream(writer, now=True)


async def say(port: int, data: bytes) -> bytes:
    """Send bytes and leave the rest to the other side: everything it answers until it closes."""
    async with connected(port) as (reader, writer):
        writer.write(data)
        return await reader.read()


class Answer:
    """What a client was told."""

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class Client:
    """An HTTP client over one connection, which stays open between requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._http = h11.Connection(h11.CLIENT)

    async def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """A request and its whole answer."""
        head = await self.begin(method, target, body, **headers)
        pieces = [piece async for piece in self.pieces()]
        return Answer(head.status_code, dict(head.headers), b"".join(pieces))

    async def begin(self, method: str, target: str, body: bytes = b"", **headers: str) -> h11.Response:
        """A request and the head of its answer. Underscores in the names of headers stand for dashes."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        given = [("host", "model"), *((name.replace("_", "-"), value) for name, value in headers.items())]
        if body:
            given.append(("content-length", str(len(body))))
        for event in (
            h11.Request(method=method, target=target, headers=given),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.writer.write(self._http.send(event) or b"")
        head = await self._next()
        assert isinstance(head, h11.Response)
        return head

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises h11.RemoteProtocolError when it ends too early."""
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)
        assert isinstance(event, h11.EndOfMessage)

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(65536))
        return event


@asynccontextmanager
async def client(port: int) -> AsyncGenerator[Client]:
    """An HTTP client."""
    async with connected(port) as (reader, writer):
        yield Client(reader, writer)
