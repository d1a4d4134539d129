"""A small HTTP/1.1 server on sockets that are listening already, over h11: what the box talks to.

The other side is the box, so it is not trusted: sizes, times and the number of connections are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence

import h11
from msgspec import Struct

MAX_HEAD = 64 << 10
#: A model request with images is the largest that is meant to pass.
MAX_BODY = 64 << 20
MAX_CONNECTIONS = 128
#: Seconds for a request's head and body to arrive, and for an idle connection to say something.
ARRIVES_S, IDLE_S = 60.0, 300.0

Headers = Sequence[tuple[bytes, bytes]]


class Request(Struct, frozen=True):
    """One request, whole. Header names are lower case."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes:
        """The only value of a header; empty when it is missing or given twice."""
        values = [value for key, value in self.headers if key == name]
        return values[0] if len(values) == 1 else b""


class Exchange:
    """The answering side of one request."""

    def __init__(self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connection, self.reader, self.writer = connection, reader, writer
        self.tunnelled = False

    async def reply(self, status: int, body: bytes, kind: bytes = b"application/json") -> None:
        """A whole answer."""
        await self.start(status, [(b"content-type", kind), (b"content-length", b"%d" % len(body))])
        await self.send(body)
        await self.finish()

    async def start(self, status: int, headers: Headers) -> None:
        """Begin an answer that is sent in pieces."""
        await self._write(h11.Response(status_code=status, headers=list(headers)))

    async def send(self, data: bytes) -> None:
        """One piece, on its way when this returns."""
        if data:
            await self._write(h11.Data(data=data))

    async def finish(self) -> None:
        """No more pieces."""
        await self._write(h11.EndOfMessage())

    async def tunnel(self) -> bytes:
        """Answer a CONNECT; from here on reader and writer carry raw bytes. Returns bytes that came early."""
        await self._write(h11.Response(status_code=200, headers=[]))
        self.tunnelled = True
        return self._connection.trailing_data[0]

    async def _write(self, event: h11.Event) -> None:
        if data := self._connection.send(event):
            self.writer.write(data)
            await self.writer.drain()


Handler = Callable[[Request, Exchange], Awaitable[None]]


class Server:
    """Serves one listening socket until closed."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._server = await asyncio.start_server(self._connected, sock=sock, limit=MAX_HEAD)

    async def close(self) -> None:
        """End the listener and every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        try:
            while await self._one(connection, reader, writer):
                connection.start_next_cycle()
        except (h11.RemoteProtocolError, h11.LocalProtocolError, TimeoutError, OSError, asyncio.IncompleteReadError):
            with contextlib.suppress(h11.LocalProtocolError, OSError):
                if connection.our_state is h11.IDLE:
                    await Exchange(connection, reader, writer).reply(400, b'{"error":"bad request"}')
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """One request and its answer; whether the connection goes on."""
        request = await read_request(connection, reader)
        if request is None:
            return False
        exchange = Exchange(connection, reader, writer)
        await self._handler(request, exchange)
        return not exchange.tunnelled and connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def read_request(connection: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    """The next request; None when the other side has left. Raises what h11 raises, TimeoutError, and ValueError."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            async with asyncio.timeout(IDLE_S if head is None else ARRIVES_S):
                connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                raise h11.RemoteProtocolError("the body is too large")
        elif head is not None and (isinstance(event, h11.EndOfMessage) or event is h11.PAUSED):
            return Request(head.method.decode(), head.target.decode("latin-1"), tuple(head.headers), bytes(body))
        else:
            return None


async def serve(sock: socket.socket, handler: Handler) -> Server:
    """Serve a socket that is listening already."""
    server = Server(handler)
    await server.start(sock)
    return server
