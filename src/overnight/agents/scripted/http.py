"""A small HTTP/1.1 server on loopback: h11 for the protocol, asyncio for the sockets.

A handler answers each request through a `Replier`: a whole answer, a streamed one, or a dropped connection.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import h11
from msgspec import Struct

_READ = 65536


class Request(Struct, frozen=True, kw_only=True):
    """One request, read whole. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Gone(Exception):
    """The client closed the connection before its answer was complete."""


class Replier:
    """Answers one request."""

    def __init__(self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connection = connection
        self._reader = reader
        self._writer = writer

    async def whole(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """A complete answer."""
        await self.start(status, {**headers, "content-length": str(len(body))})
        if body:
            await self.chunk(body)
        await self.end()

    async def start(self, status: int, headers: dict[str, str]) -> None:
        """The head. Without a content-length the body goes out in chunks."""
        await self._send(h11.Response(status_code=status, headers=list(headers.items())))

    async def chunk(self, data: bytes) -> None:
        """A piece of the body, on the wire before this returns."""
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """The end of the body."""
        await self._send(h11.EndOfMessage())

    async def cut(self) -> None:
        """Drop the connection as a broken network would: a reset where the system allows it."""
        raw = self._writer.get_extra_info("socket")
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def until(self, released: asyncio.Event) -> None:
        """Wait for the event. Raises Gone when the client leaves first."""
        wait = asyncio.ensure_future(released.wait())
        left = asyncio.ensure_future(self._reader.read(1))
        try:
            await asyncio.wait({wait, left}, return_when=asyncio.FIRST_COMPLETED)
            if not wait.done():
                raise Gone
        finally:
            for task in (wait, left):
                task.cancel()
            await asyncio.gather(wait, left, return_exceptions=True)

    async def _send(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        data = self._connection.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()


Handler = Callable[[Request, Replier], Awaitable[None]]


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    """The next request on the connection, or None when there is no more."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
            target = head.target.decode("latin-1").partition("?")[0]
            return Request(method=head.method.decode(), path=target, headers=headers, body=bytes(body))
        else:
            return None


async def _converse(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = h11.Connection(h11.SERVER)
    while (request := await _request(connection, reader)) is not None:
        await handler(request, Replier(connection, reader, writer))
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


@asynccontextmanager
async def serving(handler: Handler, port: int = 0) -> AsyncGenerator[int]:
    """Serve on 127.0.0.1 and give the port; on leaving, every connection is closed.

    Raises OSError when the port is taken.
    """
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            with suppress(OSError, Gone, h11.ProtocolError, asyncio.CancelledError):
                await _converse(handler, reader, writer)
        finally:
            talks.discard(task)
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port, limit=2**24)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()
