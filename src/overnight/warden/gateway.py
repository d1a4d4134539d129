"""The model gateway: the key stays out here, a dummy token stands for it inside. Bytes pass through untouched."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import re
import ssl
import time
from urllib.parse import urlsplit

import h11

from overnight.ports import Route
from overnight.warden.hooks import Record
from overnight.warden.http import Exchange, Request

#: Of the hop or of the caller's identity, never passed on.
_DROPPED = frozenset(
    {
        b"host",
        b"connection",
        b"keep-alive",
        b"transfer-encoding",
        b"te",
        b"trailer",
        b"upgrade",
        b"content-length",
        b"expect",
    }
    | {b"x-api-key", b"authorization", b"proxy-authorization", b"proxy-connection", b"cookie"}
)
_HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"trailer"})
CONNECT_S = 30.0


class Gateway:
    """One run's way to its model."""

    def __init__(self, route: Route, token: str, key: str, record: Record) -> None:
        self._route, self._token, self._record = route, token.encode(), record
        self._key = key
        self._upstream = urlsplit(route.upstream)
        self._tls = ssl.create_default_context() if self._upstream.scheme == "https" else None
        self._allowed = [(method, re.compile(pattern)) for method, pattern in route.allowed]

    async def handle(self, request: Request, exchange: Exchange) -> None:
        """Refuses what has not this run's token or is not on the list; the rest goes upstream."""
        began, path = time.monotonic(), request.target.split("?", 1)[0]
        if not self._knows(request):
            await self._refuse(exchange, request, 401, "authentication_error", "this run's token is missing")
        elif not any(method == request.method and pattern.fullmatch(path) for method, pattern in self._allowed):
            await self._refuse(
                exchange, request, 403, "permission_error", f"{request.method} {path} is not allowed here"
            )
        else:
            await self._forward(request, exchange, began)

    def _knows(self, request: Request) -> bool:
        if request.method == "HEAD":
            return True  # a probe carries no token and gets nothing
        offered = request.header(b"x-api-key") or request.header(b"authorization").removeprefix(b"Bearer ").strip()
        return hmac.compare_digest(offered, self._token)

    async def _refuse(self, exchange: Exchange, request: Request, status: int, kind: str, why: str) -> None:
        self._record("model", method=request.method, path=request.target[:200], status=status, refused=why)
        await exchange.reply(status, json.dumps({"type": "error", "error": {"type": kind, "message": why}}).encode())

    async def _forward(self, request: Request, exchange: Exchange, began: float) -> None:
        host, port = self._upstream.hostname or "", self._upstream.port or (443 if self._tls else 80)
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection(host, port, ssl=self._tls)
        except (OSError, TimeoutError) as error:
            await self._refuse(
                exchange, request, 502, "api_error", f"the model API can't be reached: {type(error).__name__}"
            )
            return
        try:
            await self._exchange(request, exchange, reader, writer, began)
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def _exchange(
        self,
        request: Request,
        exchange: Exchange,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        began: float,
    ) -> None:
        connection = h11.Connection(h11.CLIENT)
        writer.write(connection.send(self._head(request)) or b"")
        if request.body:
            writer.write(connection.send(h11.Data(data=request.body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        status, first, size = 0, 0.0, 0
        try:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(65536))
                elif isinstance(event, h11.Response):
                    status, first = event.status_code, time.monotonic() - began
                    await exchange.start(status, [(k, v) for k, v in event.headers if k not in _HOP])
                elif isinstance(event, h11.Data):
                    size += len(event.data)
                    await exchange.send(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    await exchange.finish()
                    break
                elif isinstance(event, h11.ConnectionClosed):
                    raise ConnectionResetError("the model API closed the connection")
        finally:
            ms = round(first * 1000, 1) if status else None
            self._record(
                "model",
                method=request.method,
                path=request.target[:200],
                status=status or None,
                first_byte_ms=ms,
                bytes=size,
            )

    def _head(self, request: Request) -> h11.Request:
        host = self._upstream.netloc.rpartition("@")[2]
        headers = [
            (b"host", host.encode()),
            (self._route.key_header.encode(), self._key.encode()),
            (b"connection", b"close"),
        ]
        headers += [(k, v) for k, v in request.headers if k not in _DROPPED]
        if request.body or request.method == "POST":
            headers.append((b"content-length", b"%d" % len(request.body)))
        target = f"{self._upstream.path.rstrip('/')}{request.target}"
        return h11.Request(method=request.method, target=target, headers=headers)
