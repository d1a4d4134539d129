"""The model gateway: the key stays out here, a dummy token stands for it inside. Bytes pass through untouched."""

from __future__ import annotations

import asyncio
import hmac
import re
import ssl
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import h11
from msgspec import Struct

from overnight.errors import SettingsInvalid
from overnight.ports import Route
from overnight.warden.events import Exchanged, Record, clean
from overnight.warden.http import Exchange, Request, Response, close_stream

#: About one connection only (RFC 9110, 7.6.1), or written anew for the next one.
_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade host content-length expect".split()
)
#: Who is asking: inside that is the dummy, outside it is the key.
_IDENTITY = frozenset(
    b"authorization x-api-key api-key x-goog-api-key proxy-authorization proxy-authenticate cookie".split()
)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_KEY = re.compile(r"[\x21-\x7e]+")
_PIECE = 64 << 10


class Patience(Struct, frozen=True, kw_only=True):
    """How long the gateway waits for the model API."""

    #: Seconds to connect.
    connect_s: float = 30.0
    #: Seconds without a byte. The CLI gives up earlier; this ends what nobody waits for any more.
    silence_s: float = 900.0


class _Refused(Exception):
    """The request is answered here."""

    def __init__(self, status: int, kind: str, why: str) -> None:
        super().__init__(why)
        self.status, self.kind, self.why = status, kind, why


class _Cut(Exception):
    """The answer of the model API ended before its end."""


class _Tally:
    """What is known of an exchange so far."""

    def __init__(self, request: Request) -> None:
        self._request, self._began = request, time.monotonic()
        self.status: int | None = None
        self.first_byte_ms: float | None = None
        self.sent = self.received = 0
        self.refused = self.cut = ""

    def ms(self) -> float:
        return round((time.monotonic() - self._began) * 1000, 2)

    def event(self) -> Exchanged:
        return Exchanged(
            method=self._request.method, path=self._request.path, status=self.status, ms=self.ms(),
            first_byte_ms=self.first_byte_ms, sent=self.sent, received=self.received, refused=self.refused,
            cut=self.cut,
        )  # fmt: skip


class Gateway:
    """One run's way to its model. The environment's proxies are not used: the upstream is what the route says."""

    def __init__(
        self,
        route: Route,
        token: str,
        key: str,
        record: Record,
        *,
        heard: Callable[[], None] = lambda: None,
        tls: ssl.SSLContext | None = None,
        patience: Patience | None = None,
    ) -> None:
        """token: what stands for the key inside. heard: called for each piece of an answer. tls: instead of the system's certificates.

        A key that goes into `Authorization` is sent as a Bearer token. Raises SettingsInvalid for a key, a header or
        an upstream that can't be used; what it says never holds the key.
        """
        self._token, self._record, self._patience = token.encode(), record, patience or Patience()
        self._heard = heard
        if not token:
            raise SettingsInvalid(where="the gateway", problem="it needs a token for the box")
        self._allowed = [(method, re.compile(pattern)) for method, pattern in route.allowed]
        self._header, self._key = _credential(route, key)
        self._dropped = _HOP | _IDENTITY | {self._header}
        self._host, self._port, self._base, secure = _upstream(route.upstream)
        self._tls = (tls or ssl.create_default_context()) if secure else None
        self._host_header = _authority(self._host, self._port, secure)

    async def handle(self, request: Request, exchange: Exchange) -> Response | None:
        """The handler for `serve`. Refusals are errors in the shape of the Anthropic API."""
        tally = _Tally(request)
        try:
            self._admit(request)
            await self._forward(request, exchange, tally)
        except _Refused as refused:
            tally.status, tally.refused = refused.status, refused.why
            return _error(refused)
        except _Cut as cut:
            tally.cut = str(cut)
            await exchange.cut()
        except OSError:
            tally.cut = "the agent did not take the answer"
            raise
        except asyncio.CancelledError:
            tally.cut = "the agent left"
            raise
        finally:
            self._record(tally.event())
        return None

    def _admit(self, request: Request) -> None:
        """Raises _Refused unless every credential is this run's token and the request is on the list."""
        offered = [*request.values(b"x-api-key")]
        for value in request.values(b"authorization"):
            scheme, _, rest = value.partition(b" ")
            offered.append(rest.strip() if scheme.lower() == b"bearer" else b"")
        if not offered or not all(hmac.compare_digest(value, self._token) for value in offered):
            raise _Refused(401, "authentication_error", "this is not the run's token")
        if not any(request.method == method and known.fullmatch(request.path) for method, known in self._allowed):
            raise _Refused(403, "permission_error", f"{request.method} {clean(request.path, 200)} is not allowed here")

    async def _forward(self, request: Request, exchange: Exchange, tally: _Tally) -> None:
        try:
            async with asyncio.timeout(self._patience.connect_s):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        except OSError as error:
            raise _Refused(502, "api_error", f"the model API can't be reached: {_kind(error)}") from None
        upstream = _Upstream(reader, writer, self._patience.silence_s)
        # Beside the reading: an answer may come before all is sent, and then nobody may want the rest.
        sending = asyncio.ensure_future(upstream.send(self._head(request), request.body))
        tally.sent = len(request.body)
        try:
            await _answered(upstream)
            await _pass_on(upstream, exchange, tally, self._heard)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await close_stream(writer, now=True)

    def _head(self, request: Request) -> h11.Request:
        dropped = self._dropped | _named(request.values(b"connection"))
        headers = [(b"host", self._host_header), (self._header, self._key), (b"connection", b"close")]
        headers += [(name, value) for name, value in request.headers if name not in dropped]
        if request.body or request.method not in ("GET", "HEAD", "DELETE"):
            headers.append((b"content-length", b"%d" % len(request.body)))
        return h11.Request(method=request.method, target=self._base + request.target, headers=headers)


class _Upstream:
    """One request to the model API and its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silence_s: float) -> None:
        self._reader, self._writer, self._silence_s = reader, writer, silence_s
        self._http = h11.Connection(h11.CLIENT)
        self.response: h11.Response

    async def send(self, head: h11.Request, body: bytes) -> None:
        """Send all of it. Raises OSError."""
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self._writer.write(self._http.send(event) or b"")
        async with asyncio.timeout(self._silence_s):
            await self._writer.drain()

    async def head(self) -> None:
        """Wait for the head of the answer. Raises OSError, RemoteProtocolError."""
        while not isinstance(event := await self._next(), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise ConnectionResetError("closed before an answer")
        self.response = event

    async def piece(self) -> bytes | None:
        """The next bytes of the body, as soon as they are there; None at its end. Raises as `head` does."""
        event = await self._next()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            return None
        raise ConnectionResetError("closed within the answer")

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(self._silence_s):
                self._http.receive_data(await self._reader.read(_PIECE))
        return event


async def _answered(upstream: _Upstream) -> None:
    """Wait for the head of the answer. Raises _Refused."""
    try:
        await upstream.head()
    except (OSError, h11.RemoteProtocolError) as error:
        raise _Refused(502, "api_error", f"the model API did not answer: {_kind(error)}") from None


async def _pass_on(upstream: _Upstream, exchange: Exchange, tally: _Tally, heard: Callable[[], None]) -> None:
    """The answer, piece by piece as it comes. Raises _Cut when it is not whole, OSError when nobody takes it."""
    response = upstream.response
    tally.status, tally.first_byte_ms = response.status_code, tally.ms()
    dropped = (_HOP - {b"content-length"}) | _named(value for name, value in response.headers if name == b"connection")
    await exchange.start(
        response.status_code, [(name, value) for name, value in response.headers if name not in dropped]
    )
    while True:
        try:
            piece = await upstream.piece()
        except (OSError, h11.RemoteProtocolError) as error:
            raise _Cut(f"the model API broke off: {_kind(error)}") from None
        if piece is None:
            break
        tally.received += len(piece)
        heard()
        await exchange.send(piece)
    await exchange.finish()


def _named(values: Iterable[bytes]) -> frozenset[bytes]:
    """Headers that `Connection` declares to be about this connection only."""
    return frozenset(name.strip().lower() for value in values for name in value.split(b","))


def _error(refused: _Refused) -> Response:
    return Response.json(
        refused.status, {"type": "error", "error": {"type": refused.kind, "message": f"Overnight: {refused.why}"}}
    )


def _kind(error: Exception) -> str:
    """What happened, without words from outside."""
    return type(error).__name__


def _credential(route: Route, key: str) -> tuple[bytes, bytes]:
    """The header that carries the key, and its value. Raises SettingsInvalid without quoting the key."""
    if not _HEADER.fullmatch(route.key_header):
        raise SettingsInvalid(where="the gateway", problem=f"{route.key_header!r} is not the name of a header")
    if not _KEY.fullmatch(key):
        wrong = "holds characters that no key has, such as a space or a line feed" if key else "is not set"
        raise SettingsInvalid(where=route.key_variable or "the API key", problem=f"it {wrong}. Set it to the API key.")
    header = route.key_header.lower().encode()
    return header, (f"Bearer {key}" if header == b"authorization" else key).encode()


def _upstream(url: str) -> tuple[str, int, str, bool]:
    """Host, port, base path without a slash at its end, whether it is TLS. Raises SettingsInvalid."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or not _KEY.fullmatch(url):
        raise SettingsInvalid(
            where="upstream", problem=f"{parts.scheme}://{parts.hostname} is not the base URL of a model API, "
            "such as https://api.anthropic.com, without a login, query or fragment",
        )  # fmt: skip
    secure = parts.scheme == "https"
    return parts.hostname, port or (443 if secure else 80), parts.path.rstrip("/"), secure


def _authority(host: str, port: int, secure: bool) -> bytes:
    name = f"[{host}]" if ":" in host else host
    return (name if port == (443 if secure else 80) else f"{name}:{port}").encode()
