"""A small HTTP/1.1 server on sockets that are listening already, over h11: what the box talks to.

The other side is the box, so it is not trusted: sizes, times, memory and the number of connections are bounded, and
whoever exceeds a bound loses its own connection only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import h11
from msgspec import Struct

Headers = Sequence[tuple[bytes, bytes]]

_PIECE = 64 << 10
#: Seconds for what was sent last to be taken, once a connection is to be closed.
_CLOSE_S = 2.0
#: Turns of the loop from accepting a connection to its callback.
_ARRIVES_IN = 4


class Limits(Struct, frozen=True, kw_only=True):
    """What one listener grants to the box."""

    #: Bytes of a request's head.
    head: int = 64 << 10
    #: Bytes of a request's body. A model request with images is the largest that is meant to pass.
    body: int = 64 << 20
    #: Bytes of all bodies that are held at the same time.
    held: int = 256 << 20
    #: Connections at the same time.
    connections: int = 128
    #: Seconds for a request to arrive whole, from its first byte.
    arrives_s: float = 120.0
    #: Seconds that a connection may say nothing between requests.
    idle_s: float = 600.0
    #: Seconds that a client may leave what it is sent untaken.
    stall_s: float = 300.0


class Request(Struct, frozen=True, kw_only=True):
    """One request, whole. Header names are lower case."""

    method: str
    #: As sent: path and query, or HOST:PORT for CONNECT.
    target: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """Every value of a header, in order."""
        return tuple(value for key, value in self.headers if key == name)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


class Response(Struct, frozen=True, kw_only=True):
    """A whole answer. Its length is added to the headers."""

    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""

    @classmethod
    def json(cls, status: int, value: Any) -> Response:
        """A JSON answer."""
        kind = (b"content-type", b"application/json")
        return cls(status=status, headers=(kind,), body=json.dumps(value).encode())


class Exchange:
    """The answering side of one request, for a handler that streams or tunnels.

    Its methods raise OSError (TimeoutError is one) when the client doesn't take what it is sent. A client that leaves
    ends the handler with a cancellation.
    """

    def __init__(self, link: _Link, request: Request, watch: asyncio.Task[None]) -> None:
        self._link, self._request, self._watch = link, request, watch
        self.tunnelled = False

    @property
    def started(self) -> bool:
        """An answer has begun; another one is not possible."""
        return self._link.http.our_state is not h11.SEND_RESPONSE

    async def start(self, status: int, headers: Headers) -> None:
        """Begin an answer that is sent in pieces. Without a content-length it is sent chunked."""
        await self._link.send(h11.Response(status_code=status, headers=list(headers)))

    async def send(self, data: bytes) -> None:
        """One piece, handed to the system when this returns. HEAD has no pieces: nothing is sent."""
        if data and self._request.method != "HEAD":
            await self._link.send(h11.Data(data=data))

    async def finish(self) -> None:
        """No more pieces."""
        await self._link.send(h11.EndOfMessage())

    async def reply(self, response: Response) -> None:
        """A whole answer."""
        headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
        body = b"" if self._request.method == "HEAD" else response.body
        await self._link.send(
            h11.Response(status_code=response.status, headers=headers), h11.Data(data=body), h11.EndOfMessage()
        )

    async def cut(self) -> None:
        """End the connection within the answer, so that the client knows that it is not whole."""
        await self._link.cut()

    async def tunnel(self) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """Accept a CONNECT. Returns bytes that came early and the raw streams, which stay the server's to close.

        From here on a client that leaves is seen by reading only.
        """
        await _end(self._watch)
        await self._link.send(h11.Response(status_code=200, headers=[]))
        self.tunnelled = True
        return self._link.http.trailing_data[0], self._link.reader, self._link.writer


#: Answers by returning a Response, or by the exchange and None. Whatever it raises but OSError is reported to the
#: event loop's exception handler; the connection is cut then.
Handler = Callable[[Request, Exchange], Awaitable["Response | None"]]


class Server:
    """Serves one listening socket until closed; made by `serve`."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        self.handler, self.limits = handler, limits
        #: Bytes of request bodies in memory.
        self.held = 0
        self._links: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._links)

    async def start(self, sock: socket.socket) -> None:
        """Take the socket over."""
        sock.setblocking(False)
        self._server = await asyncio.start_server(self._connected, sock=sock, limit=_PIECE)

    async def close(self) -> None:
        """Stop listening and end every connection, also within an answer. A second call does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        # asyncio forgets connections that were just accepted when a server closes meanwhile: they arrive first.
        for sock in server.sockets:
            asyncio.get_running_loop().remove_reader(sock.fileno())
        for _ in range(_ARRIVES_IN):
            await asyncio.sleep(0)
        server.close()
        for link in self._links:
            link.cancel()
        while self._links:
            await asyncio.wait(self._links)
        await server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # accepted just before the end
            writer.transport.abort()
            return
        # asyncio does this only for sockets that were made with TCP's protocol number, and ours come from elsewhere.
        with contextlib.suppress(OSError):  # the client may have gone already
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        crowded = len(self._links) >= self.limits.connections
        link = asyncio.ensure_future(_refuse(writer) if crowded else _Link(self, reader, writer).converse())
        self._links.add(link)
        link.add_done_callback(lambda link: self._over(link, writer))

    def _over(self, link: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self._links.discard(link)
        if link.cancelled():  # one that was cancelled before it began could not close its connection
            writer.transport.abort()
        if not link.cancelled() and (error := link.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a request could not be answered", "exception": error, "task": link}
            )


async def serve(sock: socket.socket, handler: Handler, limits: Limits | None = None) -> Server:
    """Serve a socket that is listening already; it belongs to the server from here on."""
    server = Server(handler, limits or Limits())
    await server.start(sock)
    return server


async def close_stream(writer: asyncio.StreamWriter, *, now: bool = False) -> None:
    """Close a stream and wait for it. now, or what isn't taken within two seconds: the rest is dropped."""
    if now:
        writer.transport.abort()
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_S):
            await writer.wait_closed()
    except (OSError, ssl.SSLError):
        writer.transport.abort()


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _refuse(writer: asyncio.StreamWriter) -> None:
    try:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    finally:
        await close_stream(writer)


class _TooMuch(h11.RemoteProtocolError):
    """The request is larger than may be."""


class _Link:
    """One connection."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self._limits = server, server.limits
        self.reader, self.writer = reader, writer
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head)
        self._held = 0
        self._heard = False

    async def converse(self) -> None:
        """Requests and answers, until one side has enough. Cancelled: drops everything at once."""
        now = True
        try:
            while await self._turn():
                self.http.start_next_cycle()
            now = False
        except h11.RemoteProtocolError as error:
            await self._complain(error.error_status_hint)
        except TimeoutError:
            if self._heard:
                await self._complain(408)
        except OSError:
            pass
        finally:
            self._release()
            await close_stream(self.writer, now=now)

    async def send(self, *events: h11.Event) -> None:
        """Send as one piece and wait until the client takes it. Raises OSError, TimeoutError."""
        if data := b"".join(self.http.send(event) or b"" for event in events):
            async with asyncio.timeout(self._limits.stall_s):
                self.writer.write(data)
                await self.writer.drain()

    async def cut(self) -> None:
        """Close so that the client can tell. What HTTP/1.0 gets ends by closing, so there it has to be a reset."""
        if self.http.their_http_version == b"1.0" and (sock := self.writer.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        await close_stream(self.writer)

    async def _turn(self) -> bool:
        """One request and its answer; whether the connection goes on."""
        request = await self._receive()
        if request is None:
            return False
        me = asyncio.current_task()
        assert me is not None
        watch = asyncio.ensure_future(self._watch(me))
        exchange = Exchange(self, request, watch)
        try:
            response = await self._server.handler(request, exchange)
            if response is not None:
                await exchange.reply(response)
        finally:
            await _end(watch)
            self._release()
        if exchange.tunnelled or self.writer.is_closing():
            return False
        return self.http.our_state is h11.DONE and self.http.their_state is h11.DONE

    async def _watch(self, me: asyncio.Task[None]) -> None:
        """While a request is answered: notice that its client leaves, keep what it says early."""
        early = 0
        with contextlib.suppress(OSError):
            while early <= self._limits.head:
                data = await self.reader.read(_PIECE)
                if not data:
                    break
                early += len(data)
                self.http.receive_data(data)
            else:
                return
        me.cancel()

    async def _receive(self) -> Request | None:
        """The next request; None when the other side has left. Raises RemoteProtocolError, TimeoutError, OSError."""
        self._heard = False
        head: h11.Request | None = None
        body = bytearray()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._limits.idle_s) as bound:
            while True:
                event = self.http.next_event()
                if event is h11.NEED_DATA:
                    if self.http.they_are_waiting_for_100_continue:
                        await self.send(h11.InformationalResponse(status_code=100, headers=[]))
                    data = await self.reader.read(_PIECE)
                    if data and not self._heard:
                        self._heard = True
                        bound.reschedule(loop.time() + self._limits.arrives_s)
                    self.http.receive_data(data)
                elif isinstance(event, h11.Request):
                    head = event
                    self._expect(event.headers)
                elif isinstance(event, h11.Data):
                    self._hold(len(event.data), len(body))
                    body += event.data
                elif head is not None and isinstance(event, h11.EndOfMessage):
                    return _request(head, bytes(body))
                else:
                    return None

    def _expect(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Refuse what says itself that it is too large, before it is sent."""
        for name, value in headers:
            if name == b"content-length" and int(value) > self._limits.body:
                raise _TooMuch("the body is too large", error_status_hint=413)

    def _hold(self, size: int, so_far: int) -> None:
        self._held += size
        self._server.held += size
        if so_far + size > self._limits.body:
            raise _TooMuch("the body is too large", error_status_hint=413)
        if self._server.held > self._limits.held:
            raise _TooMuch("too much is held for this box", error_status_hint=503)

    def _release(self) -> None:
        self._server.held -= self._held
        self._held = 0

    async def _complain(self, status: int) -> None:
        """Say what was wrong, if an answer is still possible, and hear the rest out for a moment."""
        if self.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = b'{"error":"the request was refused"}'
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        with contextlib.suppress(OSError, h11.LocalProtocolError):
            head = h11.Response(status_code=status, headers=[*headers, (b"connection", b"close")])
            await self.send(head, h11.Data(data=body))
            self.writer.write_eof()
            async with asyncio.timeout(_CLOSE_S):
                # Closing over what is still being sent would take the answer away from the client.
                while await self.reader.read(_PIECE):
                    pass


def _request(head: h11.Request, body: bytes) -> Request:
    return Request(method=head.method.decode(), target=head.target.decode(), headers=tuple(head.headers), body=body)
