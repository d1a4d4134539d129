"""HTTP/1.1 as uvicorn speaks it, with patience that ends: a client that never finishes asking is left."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from overnight.api.site import Site

#: Seconds from a connection to the end of its first request's head, and the most bytes of one.
HEAD_S = 10.0


class Protocol(H11Protocol):
    """One connection."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] (as uvicorn's own)
        super().connection_made(transport)
        self._patience = self.loop.call_later(HEAD_S, self._give_up)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.headers and self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        self.transport.abort()


class Server(uvicorn.Server):
    """Says when it listens, and ends the streams before it ends."""

    def __init__(self, config: uvicorn.Config, site: Site, ready: Callable[[Callable[[], None]], object]) -> None:
        super().__init__(config)
        self._site, self._ready = site, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready(self.end)

    def end(self) -> None:
        """Stop serving, soon."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._site.end_streams()
        await super().shutdown(sockets)
