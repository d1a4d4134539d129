"""A small HTTP/1.1 client over h11: whole answers, and answers that are read line by line as they come.

The other side is the network, so it is not trusted: sizes and times are bounded, redirects are not followed (they would
take a token elsewhere), and certificates are checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import SplitResult, urlsplit

import h11
from msgspec import Struct

_PIECE = 64 << 10
#: Bytes of an answer that is read whole, and of one line of others.
MOST, MOST_LINE = 4 << 20, 256 << 10
_CLOSE_S = 2.0


class Garbled(OSError):
    """What came back is no HTTP, is too large, or ended too early."""


class Untrusted(OSError):
    """The far end can't show that it is who it should be."""


class Unsendable(OSError):
    """What is to be sent is no HTTP. What it is isn't said: it may be a secret."""


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Reply:
    """An answer whose head has come."""

    def __init__(self, link: _Link, head: h11.Response, silence: float) -> None:
        self.status: int = head.status_code
        self.headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        self._link, self._silence = link, silence

    async def body(self) -> bytes:
        """All of it. Raises OSError."""
        data = bytearray()
        async for piece in self._pieces():
            data += piece
            if len(data) > MOST:
                raise Garbled("the answer is too large")
        return bytes(data)

    async def lines(self) -> AsyncIterator[bytes]:
        """Line by line, as they come. Raises OSError; TimeoutError when nothing comes for too long."""
        rest = b""
        async for piece in self._pieces():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line
            if len(rest) > MOST_LINE:
                raise Garbled("a line is too long")
        if rest:
            yield rest

    async def _pieces(self) -> AsyncIterator[bytes]:
        while True:
            async with asyncio.timeout(self._silence):
                event = await self._link.event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise Garbled("the answer was cut off")


class _Link:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._http = reader, writer, h11.Connection(h11.CLIENT)

    async def send(self, *events: h11.Event) -> None:
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        await self._writer.drain()

    async def event(self) -> h11.Event | type[h11.PAUSED | h11.NEED_DATA]:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(_PIECE))
        except h11.RemoteProtocolError as error:
            raise Garbled(str(error)) from error
        return event


@asynccontextmanager
async def exchange(
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    begins: float = 30.0,
    silence: float = 30.0,
    ca: str = "",
) -> AsyncGenerator[Reply]:
    """Ask once, over a connection of its own. Raises OSError (TimeoutError, Garbled, Untrusted and Unsendable are some).

    begins: seconds until the answer's head is there. silence: seconds between pieces of its body. ca: the file of the CA
    whose certificates count, instead of those that this machine knows.
    """
    parts = _parts(url)
    request = _request(method, parts, headers or {}, body)
    async with _connected(parts, begins, ca) as link:
        async with asyncio.timeout(begins):
            await link.send(request, h11.Data(data=body), h11.EndOfMessage())
            while isinstance(head := await link.event(), h11.InformationalResponse):
                pass
        if not isinstance(head, h11.Response):
            raise Garbled("no answer came")
        yield Reply(link, head, silence)


def _parts(url: str) -> SplitResult:
    """An address that one can connect to. Raises Unsendable."""
    with contextlib.suppress(ValueError):  # its words quote what may be secret
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and (parts.hostname or "").encode("idna") and parts.port != 0:
            return parts
    raise Unsendable("its `url` is no address such as https://example.org")


@asynccontextmanager
async def _connected(parts: SplitResult, limit: float, ca: str) -> AsyncGenerator[_Link]:
    secure = _trusting(ca) if parts.scheme == "https" else None
    port = parts.port or (443 if secure else 80)
    try:
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure, limit=_PIECE)
    except ssl.SSLCertVerificationError as error:
        why = f"the certificate of {parts.hostname} does not count: {error.verify_message.rstrip('.')}"
        raise Untrusted(f"{why}. If a CA of your own made it, name its file in `ca`") from error
    try:
        yield _Link(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_CLOSE_S):
                await writer.wait_closed()


def _trusting(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise Untrusted(f"`ca` names {ca}, which is no certificate that can be read: {error.strerror}") from error


def _request(method: str, parts: SplitResult, headers: dict[str, str], body: bytes) -> h11.Request:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc.rpartition("@")[2]
    said = {"host": host, "user-agent": "overnight", "accept": "*/*", "connection": "close", **headers}
    if body or method in ("POST", "PUT"):
        said["content-length"] = str(len(body))
    try:
        return h11.Request(method=method, target=target, headers=list(said.items()))
    except (h11.LocalProtocolError, ValueError):
        why = "a token or the `url` has a character that can't be sent, such as a space or the end of a line"
        raise Unsendable(why) from None  # its words quote what can't be sent


async def ask(
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    limit: float = 30.0,
    ca: str = "",
) -> Answer:
    """Ask, and read the whole answer, within so many seconds. Raises OSError."""
    async with asyncio.timeout(limit):
        async with exchange(method, url, headers=headers, body=body, begins=limit, silence=limit, ca=ca) as reply:
            return Answer(status=reply.status, headers=reply.headers, body=await reply.body())
