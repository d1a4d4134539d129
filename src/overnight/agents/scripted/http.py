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
#: Turns of the loop from accepting a connection to its callback.
_ARRIVES_IN = 4


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


async def _settled(server: asyncio.Server) -> None:
    """Accept nobody any more, and let those that were just accepted arrive: asyncio forgets them when a server closes
    meanwhile, and their clients would hang."""
    for sock in server.sockets:
        asyncio.get_running_loop().remove_reader(sock.fileno())
    for _ in range(_ARRIVES_IN):
        await asyncio.sleep(0)


@asynccontextmanager
async def serving(handler: Handler, port: int = 0) -> AsyncGenerator[int]:
    """Serve on 127.0.0.1 and give the port; on leaving, every connection is closed.

    Raises OSError when the port is taken.
    """
    talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
    over = False

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, Gone, h11.ProtocolError):
            await _converse(handler, reader, writer)

    def ended(task: asyncio.Task[None]) -> None:
        """Here and not in the task: one that is cancelled before it began would leave its connection open."""
        writer = talks.pop(task)
        if task.cancelled():
            writer.transport.abort()
            return
        writer.close()
        if (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "a handler failed", "exception": error})

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if over:  # accepted just before the end
            writer.transport.abort()
            return
        task = asyncio.ensure_future(talk(reader, writer))
        talks[task] = writer
        task.add_done_callback(ended)

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=2**24)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over = True
        await _settled(server)
        server.close()
        for task in tuple(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()
