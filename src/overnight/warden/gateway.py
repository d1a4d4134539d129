"""The model gateway: the key stays out here, a dummy token stands for it inside. Bytes pass through untouched.

Whoever wants to know of exchanges (the meter, a recording) hears of each piece after it was passed on.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol as Interface
from urllib.parse import parse_qsl, urlencode, urlsplit

import h11
from msgspec import Struct

from overnight.errors import SettingsInvalid
from overnight.ports import Route
from overnight.usage.protocols import PROTOCOLS, Protocol
from overnight.warden import refusals
from overnight.warden.deck import Deck
from overnight.warden.events import Exchanged, Record, clean
from overnight.warden.http import Exchange, Request, Response, close_stream
from overnight.warden.meter import Meter, Spent
from overnight.warden.refusals import Refused as _Refused

#: About one connection only (RFC 9110, 7.6.1), or written anew for the next one.
_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade host content-length expect".split()
)
#: What is read as it passes is asked for as it is, not packed.
_CODING = frozenset({b"accept-encoding"})
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


class Listener(Interface):
    """Hears one exchange as it passes. What it raises ends the exchange: nothing passes that can't be noted."""

    def begun(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the model's answer, names in lower case."""
        ...

    def feed(self, piece: bytes) -> None:
        """A piece of its body, after it was passed on."""
        ...

    def over(self, *, whole: bool, left: bool) -> None:
        """The end, also of an exchange that never begun. whole: the answer came to its own end. left: the agent went
        away before that."""
        ...


#: Hears of a request that is about to be sent.
Tap = Callable[[Request], Listener]


class _Cut(Exception):
    """The answer of the model API ended before its end."""


class _Tally:
    """What is known of an exchange so far."""

    def __init__(self, request: Request) -> None:
        self._request, self._began = request, time.monotonic()
        self.status: int | None = None
        self.first_byte_ms: float | None = None
        self.sent = self.received = 0
        self.refused = self.cut = self.left = ""
        #: The answer of the model API came to its own end.
        self.whole = False
        #: The recorded exchange that was played instead.
        self.replayed: int | None = None

    def ms(self) -> float:
        return round((time.monotonic() - self._began) * 1000, 2)

    def event(self) -> Exchanged:
        return Exchanged(
            method=self._request.method, path=self._request.path, status=self.status, ms=self.ms(),
            first_byte_ms=self.first_byte_ms, sent=self.sent, received=self.received, refused=self.refused,
            cut=self.cut, replayed=self.replayed,
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
        meter: Meter | None = None,
        taps: Iterable[Tap] = (),
        deck: Deck | None = None,
    ) -> None:
        """token: what stands for the key inside. heard: called for each piece of an answer. tls: instead of the system's certificates.
        meter: judges each call beforehand and counts it. taps: hear every exchange that is let through. deck: answers in place of the model
        what it can; nobody pays for that.

        A key that goes into `Authorization` is sent as a Bearer token. Raises SettingsInvalid for a key, a header or
        an upstream that can't be used; what it says never holds the key.
        """
        self._token, self._record, self._patience = token.encode(), record, patience or Patience()
        self._heard = heard
        if not token:
            raise SettingsInvalid(where="the gateway", problem="it needs a token for the box")
        self._protocol, self._meter, self._taps = _protocol(route), meter, tuple(taps)
        self._deck = deck
        self._allowed = [(method, re.compile(pattern)) for method, pattern in route.allowed]
        self._credential = _credential(route, key)
        self._dropped = _HOP | _IDENTITY | _CODING | frozenset(name for name, _ in self._credential)
        self._host, self._port, self._base, secure = _upstream(route.upstream)
        self._tls = (tls or ssl.create_default_context()) if secure else None
        self._host_header = _authority(self._host, self._port, secure)

    async def handle(self, request: Request, exchange: Exchange) -> Response | None:
        """The handler for `serve`. Refusals are errors in the shape of the API that is spoken."""
        tally = _Tally(request)
        listeners: list[Listener] = []
        try:
            self._admit(request)
            if self._deck is not None and await self._deck.answer(
                request, exchange, tally, lambda: _added(listeners, [tap(request) for tap in self._taps])
            ):
                return None
            listeners += await self._listeners(request)
            await self._forward(request, exchange, tally, listeners)
        except _Refused as refused:
            tally.status, tally.refused = refused.status, refused.why
            return refused.response(self._protocol)
        except _Cut as cut:
            tally.cut = str(cut)
            await exchange.cut()
        except OSError:
            tally.cut = tally.left = "the agent did not take the answer"
            raise
        except asyncio.CancelledError:
            tally.cut = tally.left = "the agent left"
            raise
        finally:
            for listener in listeners:
                listener.over(whole=tally.whole, left=bool(tally.left))
            self._record(tally.event())
        return None

    def _admit(self, request: Request) -> None:
        """Raises _Refused unless every credential is this run's token and the request is on the list."""
        offered = list(_offered(self._protocol, request))
        if not offered or not all(hmac.compare_digest(value, self._token) for value in offered):
            raise refusals.stranger("this is not the run's token")
        if not any(request.method == method and known.fullmatch(request.path) for method, known in self._allowed):
            raise refusals.forbidden(f"{request.method} {clean(request.path, 200)} is not allowed here")

    async def _listeners(self, request: Request) -> list[Listener]:
        """Everybody who hears this exchange. Raises _Refused when it can't be paid."""
        found: list[Listener] = []
        if self._meter is not None:
            known, shape = self._protocol.shape(request.method, request.path)
            if not known:
                raise refusals.forbidden(f"nobody knows what {request.method} {clean(request.path, 200)} costs")
            if shape is not None:
                try:
                    found.append(await self._meter.admit(shape, request.path, request.body))
                except Spent as spent:
                    raise refusals.spent(str(spent)) from None
        return found + [tap(request) for tap in self._taps]

    async def _forward(
        self, request: Request, exchange: Exchange, tally: _Tally, listeners: Iterable[Listener]
    ) -> None:
        try:
            async with asyncio.timeout(self._patience.connect_s):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        except OSError as error:
            raise refusals.away(f"the model API can't be reached: {_kind(error)}") from None
        upstream = _Upstream(reader, writer, self._patience.silence_s)
        # Beside the reading: an answer may come before all is sent, and then nobody may want the rest.
        sending = asyncio.ensure_future(upstream.send(self._head(request), request.body))
        tally.sent = len(request.body)
        try:
            await _answered(upstream)
            await _pass_on(upstream, exchange, tally, self._heard, tuple(listeners))
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await close_stream(writer, now=True)

    def _head(self, request: Request) -> h11.Request:
        dropped = self._dropped | _named(request.values(b"connection"))
        headers = [(b"host", self._host_header), *self._credential, (b"connection", b"close")]
        headers.append((b"accept-encoding", b"identity"))
        headers += [(name, value) for name, value in request.headers if name not in dropped]
        if request.body or request.method not in ("GET", "HEAD", "DELETE"):
            headers.append((b"content-length", b"%d" % len(request.body)))
        return h11.Request(method=request.method, target=self._base + self._target(request), headers=headers)

    def _target(self, request: Request) -> str:
        """The target without the run's token, where the API takes a key in the query."""
        path, mark, query = request.target.partition("?")
        if not mark or not self._protocol.query:
            return request.target
        rest = [(name, value) for name, value in parse_qsl(query, True) if name != self._protocol.query]
        return f"{path}?{urlencode(rest)}" if rest else path


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
        raise refusals.away(f"the model API did not answer: {_kind(error)}") from None


async def _pass_on(
    upstream: _Upstream, exchange: Exchange, tally: _Tally, heard: Callable[[], None], listeners: tuple[Listener, ...]
) -> None:
    """The answer, piece by piece as it comes. Raises _Cut when it is not whole, OSError when nobody takes it."""
    response = upstream.response
    tally.status, tally.first_byte_ms = response.status_code, tally.ms()
    for listener in listeners:
        listener.begun(response.status_code, _texts(response.headers))
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
        for listener in listeners:
            listener.feed(piece)
    tally.whole = True
    await exchange.finish()


def _added(listeners: list[Listener], more: list[Listener]) -> list[Listener]:
    listeners += more
    return more


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def _named(values: Iterable[bytes]) -> frozenset[bytes]:
    """Headers that `Connection` declares to be about this connection only."""
    return frozenset(name.strip().lower() for value in values for name in value.split(b","))


def _kind(error: Exception) -> str:
    """What happened, without words from outside."""
    return type(error).__name__


def _protocol(route: Route) -> Protocol:
    found = PROTOCOLS.get(route.protocol)
    if found is None:
        problem = f"{route.protocol!r} is no protocol that the gateway speaks; it speaks {', '.join(PROTOCOLS)}"
        raise SettingsInvalid(where="the gateway", problem=problem)
    return found


def _offered(protocol: Protocol, request: Request) -> Iterable[bytes]:
    """Everything that a request says of who sends it."""
    for name in protocol.offers:
        for value in request.values(name.encode()):
            scheme, _, rest = value.partition(b" ")
            bearer = rest.strip() if scheme.lower() == b"bearer" else b""
            yield bearer if name == "authorization" else value
    if protocol.query:
        query = request.target.partition("?")[2]
        yield from (value.encode() for name, value in parse_qsl(query, True) if name == protocol.query)


def _credential(route: Route, key: str) -> tuple[tuple[bytes, bytes], ...]:
    """The header that carries the key, with its value; none for a server of one's own that wants no key.

    Raises SettingsInvalid without quoting the key.
    """
    if route.kind == "local" and not route.key_variable:
        return ()
    if not _HEADER.fullmatch(route.key_header):
        raise SettingsInvalid(where="the gateway", problem=f"{route.key_header!r} is not the name of a header")
    if not _KEY.fullmatch(key):
        wrong = "holds characters that no key has, such as a space or a line feed" if key else "is not set"
        raise SettingsInvalid(where=route.key_variable or "the API key", problem=f"it {wrong}. Set it to the API key.")
    header = route.key_header.lower().encode()
    return ((header, (f"Bearer {key}" if header == b"authorization" else key).encode()),)


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
