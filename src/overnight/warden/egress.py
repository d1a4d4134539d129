"""The egress proxy: CONNECT to listed hosts only, over TLS that names the same host, to public addresses only."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence

from overnight.warden.hooks import Record
from overnight.warden.http import Exchange, Request

_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
HELLO_S, CONNECT_S, IDLE_S = 10.0, 30.0, 600.0
MAX_HELLO = 64 << 10

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """The system's answer."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def is_public(address: str) -> bool:
    """Neither this machine nor its neighbourhood."""
    return ipaddress.ip_address(address).is_global


class Egress:
    """One run's way out. hosts: exact names or `*.suffix`."""

    def __init__(
        self,
        hosts: Sequence[str],
        record: Record,
        *,
        ports: frozenset[int] = frozenset({443}),
        resolver: Resolver = resolve,
        address_ok: Callable[[str], bool] = is_public,
    ) -> None:
        self._hosts, self._record, self._ports = tuple(h.lower() for h in hosts), record, ports
        self._resolve, self._address_ok = resolver, address_ok

    async def handle(self, request: Request, exchange: Exchange) -> None:
        """403 with the reason for whatever may not pass."""
        address = await self._judge(request)
        host, _, port = request.target.rpartition(":")
        if address is None:
            await exchange.reply(403, b'{"error":"blocked: this host is not allowed"}')
            return
        hello = await exchange.tunnel()
        with contextlib.suppress(OSError, TimeoutError):
            await self._tunnel(exchange, hello, host.lower().rstrip("."), address, int(port))

    async def _judge(self, request: Request) -> str | None:
        """The address to connect to, or None. Resolved once: what was judged is what is used."""
        host, _, port = request.target.rpartition(":")
        host = host.lower().rstrip(".")
        why = None
        if request.method != "CONNECT":
            why = "only CONNECT is proxied"
        elif not port.isascii() or not port.isdigit() or int(port) not in self._ports:
            why = "port not allowed"
        elif not self._listed(host):
            why = "host not allowed"
        if why is None:
            with contextlib.suppress(OSError):
                addresses = [a for a in await self._resolve(host, int(port)) if self._address_ok(a)]
                if addresses:
                    return addresses[0]
            why = "no public address"
        self._record("egress", target=request.target[:200], allowed=False, why=why)
        return None

    def _listed(self, host: str) -> bool:
        if not _HOST.fullmatch(host):
            return False
        return any(host == known or (known.startswith("*.") and host.endswith(known[1:])) for known in self._hosts)

    async def _tunnel(self, exchange: Exchange, hello: bytes, host: str, address: str, port: int) -> None:
        async with asyncio.timeout(HELLO_S):
            while (named := server_name(hello)) is None:
                data = await exchange.reader.read(16384)
                if not data or len(hello) > MAX_HELLO:
                    return
                hello += data
        if named != host:
            self._record("egress", target=f"{host}:{port}", allowed=False, why=f"TLS names {named or 'nothing'!r}")
            return
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(address, port)
        self._record("egress", target=f"{host}:{port}", allowed=True)
        try:
            writer.write(hello)
            await asyncio.gather(_pump(exchange.reader, writer), _pump(reader, exchange.writer))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        while True:
            async with asyncio.timeout(IDLE_S):
                data = await reader.read(65536)
            if not data:
                break
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


def server_name(data: bytes) -> str | None:
    """The host that a TLS ClientHello names (RFC 6066); empty when it names none or is no ClientHello; None: need more."""
    if data[:1] not in (b"", b"\x16"):
        return ""
    if len(data) < 5 or len(data) < 5 + struct.unpack(">H", data[3:5])[0]:
        return None
    try:
        return _name_in(data[5 : 5 + struct.unpack(">H", data[3:5])[0]])
    except (IndexError, struct.error, UnicodeDecodeError):
        return ""


def _name_in(hello: bytes) -> str:
    if hello[0] != 1:
        return ""
    at = 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + struct.unpack(">H", hello[at : at + 2])[0]
    at += 1 + hello[at]
    end = at + 2 + struct.unpack(">H", hello[at : at + 2])[0]
    at += 2
    while at + 4 <= end:
        kind, size = struct.unpack(">HH", hello[at : at + 4])
        if kind == 0:
            length = struct.unpack(">H", hello[at + 7 : at + 9])[0]
            return hello[at + 9 : at + 9 + length].decode("ascii").lower()
        at += 4 + size
    return ""
