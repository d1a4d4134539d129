"""HTTP/1.1 as uvicorn speaks it, with patience that ends: a client that never finishes asking is left."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from overnight.api.site import Site

#: Seconds from a connection to the end of its first request's head.
HEAD_S = 10.0
#: Seconds in which a client must take enough of what waits for it, and in which the kernel must get rid of anything.
TAKEN_S = 30.0


class Protocol(H11Protocol):
    """One connection."""

    _patience: asyncio.TimerHandle | None = None

    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] (as uvicorn's own)
        super().connection_made(transport)
        link = transport.get_extra_info("socket")
        if link is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            with contextlib.suppress(OSError):  # not a TCP connection
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TAKEN_S * 1000))
        self._patience = self.loop.call_later(HEAD_S, self._give_up)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.headers and self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def pause_writing(self) -> None:
        """Too much waits for this client. One that reads nothing, or a byte now and then, is cut off."""
        super().pause_writing()
        self._taking = self.loop.call_later(TAKEN_S, self._give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._patience, self._taking):
            if timer is not None:
                timer.cancel()
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
