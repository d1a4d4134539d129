"""The egress proxy: CONNECT to listed hosts only, over TLS that names the same host, to public addresses only."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import time
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from overnight.warden.events import Left, Reached, Record, clean
from overnight.warden.http import Exchange, Request, Response, close_stream
from overnight.warden.tls import NotTls, server_name

#: A host name whose last label begins with a letter: no spelling of an IPv4 address does.
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_PIECE = 64 << 10
#: Bytes before which a ClientHello has to be whole.
_MOST_HELLO = 64 << 10
#: Addresses that stand for an IPv4 address in their last 32 bits, on networks without IPv4 (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
#: Not for traffic to anybody, whatever `is_global` of this Python says: 6to4's relays, and documentation.
_NOBODY = (ipaddress.IPv4Network("192.88.99.0/24"), ipaddress.IPv6Network("3fff::/20"))

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


class Bounds(Struct, frozen=True, kw_only=True):
    """How long the proxy waits, and where to."""

    ports: frozenset[int] = frozenset({443})
    #: Seconds for the first bytes inside a tunnel.
    hello_s: float = 15.0
    #: Seconds to find a host's addresses, and to connect to each.
    connect_s: float = 15.0
    #: Seconds that a tunnel may stand still in both directions.
    idle_s: float = 600.0


async def resolve(host: str, port: int) -> Sequence[str]:
    """The system's addresses of a host. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def is_public(address: str) -> bool:
    """Whether an address is somebody's out there: not this machine, its neighbourhood, or a way around to them."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip in _NAT64:
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    if isinstance(ip, ipaddress.IPv6Address) and (ip not in _GLOBAL_V6 or ip.sixtofour or ip.teredo):
        return False
    unfit = ip.is_multicast or ip.is_reserved or any(ip in network for network in _NOBODY)
    return ip.is_global and not unfit


class _Refused(Exception):
    """Why a connection is not made."""


class Egress:
    """One run's way out. Every decision is on record, and how much went through."""

    def __init__(
        self,
        hosts: Sequence[str],
        record: Record,
        *,
        heard: Callable[[], None] = lambda: None,
        bounds: Bounds | None = None,
        resolver: Resolver = resolve,
        address_ok: Callable[[str], bool] = is_public,
    ) -> None:
        """hosts: exact names, or `*.suffix` for every name below one. heard: called for what comes back."""
        self._hosts = tuple(host.lower().removesuffix(".") for host in hosts)
        self._record, self._bounds = record, bounds or Bounds()
        self._resolve, self._address_ok, self._heard = resolver, address_ok, heard

    async def handle(self, request: Request, exchange: Exchange) -> Response | None:
        """The handler for `serve`: 403 with the reason for whatever may not pass."""
        try:
            host, port = self._admit(request)
            addresses = await self._addresses(host, port)
        except _Refused as refused:
            self._record(Reached(target=clean(request.target, 300), allowed=False, why=str(refused)))
            return _blocked(str(refused))
        early, reader, writer = await exchange.tunnel()
        target = f"{host}:{port}"
        try:
            hello = await self._hello(early, reader, host)
            out_reader, out_writer = await self._connect(addresses, port)
        except _Refused as refused:
            self._record(Reached(target=target, allowed=False, why=str(refused)))
            return None
        tunnel = _Tunnel((reader, writer), (out_reader, out_writer), self._bounds.idle_s, self._heard)
        try:
            self._record(Reached(target=target, allowed=True))
            await tunnel.carry(hello)
        finally:
            await close_stream(out_writer, now=True)
            self._record(tunnel.event(target))
        return None

    def _admit(self, request: Request) -> tuple[str, int]:
        """The host and port that a request may reach, by its words alone. Raises _Refused."""
        if request.method != "CONNECT":
            raise _Refused("only CONNECT is proxied: use https")
        host, _, port = request.target.rpartition(":")
        host = host.lower().removesuffix(".")
        if not _PORT.fullmatch(port) or int(port) not in self._bounds.ports:
            raise _Refused("this port is not allowed")
        if _is_address(host):
            raise _Refused("addresses are not allowed: use the host's name")
        if not _HOST.fullmatch(host) or not self._listed(host):
            raise _Refused("this host is not on the list")
        if not _agrees(request, host, int(port)):
            raise _Refused("the Host header names another host")
        return host, int(port)

    def _listed(self, host: str) -> bool:
        return any(host == known or (known.startswith("*.") and host.endswith(known[1:])) for known in self._hosts)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        """Where to connect, asked once: what was judged is what is used. Raises _Refused."""
        try:
            async with asyncio.timeout(self._bounds.connect_s):
                found = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise _Refused("this host has no address") from None
        public = [address for address in dict.fromkeys(found) if self._address_ok(address)]
        if not public:
            raise _Refused("this host has no public address")
        return public

    async def _hello(self, data: bytes, reader: asyncio.StreamReader, host: str) -> bytes:
        """The first bytes of the tunnel, once they are seen to be TLS for this host. Raises _Refused."""
        try:
            async with asyncio.timeout(self._bounds.hello_s):
                while (named := server_name(data)) is None:
                    more = await reader.read(_PIECE)
                    if not more or len(data) > _MOST_HELLO:
                        raise _Refused("no TLS hello came")
                    data += more
        except NotTls as error:
            raise _Refused(f"what goes through is not TLS: {error}") from None
        except OSError:
            raise _Refused("no TLS hello came") from None
        if named != host:
            raise _Refused(f"TLS names {clean(named, 300)!r}" if named else "TLS names no host")
        return data

    async def _connect(self, addresses: Sequence[str], port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The first address that answers. Raises _Refused."""
        why = ""
        for address in addresses:
            try:
                async with asyncio.timeout(self._bounds.connect_s):
                    return await asyncio.open_connection(address, port)
            except OSError as error:
                why = f"{address} can't be reached: {type(error).__name__}"
        raise _Refused(why)


class _Tunnel:
    """Bytes both ways, until both sides have said all, or nothing moves any more."""

    def __init__(
        self,
        inside: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        outside: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        idle_s: float,
        heard: Callable[[], None],
    ) -> None:
        self._inside, self._outside, self._idle_s, self._heard = inside, outside, idle_s, heard
        self._began = time.monotonic()
        self._moved = {"out": 0, "in": 0}
        self._why = ""

    async def carry(self, hello: bytes) -> None:
        """Raises nothing for what either side does."""
        try:
            async with asyncio.timeout(self._idle_s) as bound:
                await self._both(hello, bound)
        except TimeoutError:
            self._why = "it stood still"

    async def _both(self, hello: bytes, bound: asyncio.Timeout) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump("out", self._inside[0], self._outside[1], bound, hello))
                group.create_task(self._pump("in", self._outside[0], self._inside[1], bound))
        except* OSError:
            self._why = "it was cut"

    async def _pump(
        self,
        way: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        bound: asyncio.Timeout,
        data: bytes = b"",
    ) -> None:
        loop = asyncio.get_running_loop()
        data = data or await reader.read(_PIECE)
        while data:
            writer.write(data)
            await writer.drain()
            self._moved[way] += len(data)
            if way == "in":
                self._heard()
            bound.reschedule(loop.time() + self._idle_s)
            data = await reader.read(_PIECE)
        writer.write_eof()

    def event(self, target: str) -> Left:
        lasted = round(time.monotonic() - self._began, 3)
        return Left(target=target, sent=self._moved["out"], received=self._moved["in"], lasted=lasted, why=self._why)


def _agrees(request: Request, host: str, port: int) -> bool:
    """Whether the Host header says what the target says. HTTP/1.0 has none, and some libraries still speak that here."""
    for key, value in request.headers:
        if key.lower() == b"host":
            given, _, its_port = value.decode("latin-1").strip().lower().partition(":")
            if given.removesuffix(".") != host or its_port not in ("", str(port)):
                return False
    return True


def _is_address(host: str) -> bool:
    """Any spelling of an IP address: dotted, one number, hexadecimal, octal, mapped, in brackets."""
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeError):
        return ":" in host or host.startswith("[")
    return True


def _blocked(why: str) -> Response:
    return Response.json(403, {"error": f"Overnight: {why}"})
