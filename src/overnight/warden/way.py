"""A gateway on loopback, for what asks a model without being a run: opened for one asking, closed after it."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal

from overnight.judge.budget import Sum
from overnight.missions.money import Allowance
from overnight.ports import Opened, Route
from overnight.usage.prices import FREE, Billed, Catalogue, Lookup, Price, Rates, worst
from overnight.warden.events import Event
from overnight.warden.gateway import Gateway
from overnight.warden.http import serve
from overnight.warden.meter import DENSE, Meter


class GatewayWay:
    """Port `Way`."""

    def __init__(
        self, route: Route, model: str, vendor: str, prices: Mapping[str, Price], environ: Mapping[str, str]
    ) -> None:
        """vendor: who bills, as the price list calls it. environ: where the key is looked for, each time it is needed."""
        self._route, self._model, self._environ = route, model, environ
        self._vendor, self._prices = vendor, prices

    @property
    def paid(self) -> bool:
        """Billed by use."""
        return self._route.paid

    async def worst(self, size: int, output: int) -> Sum | None:
        """As the meter will bound it."""
        lookup, dearest = await self._rates()
        prompt = int(size * DENSE) + 1
        rates = lookup(Billed(self._model)) or dearest
        if rates is None:
            return None
        usd = worst(rates, prompt, output, 0, placed=False) if self.paid else Decimal(0)
        return Sum(usd=usd, tokens=prompt + output)

    @asynccontextmanager
    async def open(self, allowance: Allowance) -> AsyncGenerator[Opened]:
        """Serve until it is left."""
        lookup, dearest = await self._rates()
        meter = Meter(
            self._route.kind, lookup, _untold, paid=self._route.paid, allowance=allowance, dearest=dearest
        )  # fmt: skip
        variable, token = self._route.key_variable, secrets.token_urlsafe(32)
        gateway = Gateway(self._route, token, self._environ.get(variable, "") if variable else "", _untold, meter=meter)
        sock = socket.create_server(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{sock.getsockname()[1]}"
        server = await serve(sock, gateway.handle)
        try:
            yield Opened(address=address, token=token, bill=meter.bill, spent=lambda: meter.spent)
        finally:
            await server.close()

    async def _rates(self) -> tuple[Lookup, Rates | None]:
        """What things cost today."""
        if not self.paid:
            return lambda _: FREE, FREE
        catalogue = Catalogue(time.time(), self._vendor, self._route.upstream, self._prices)
        await asyncio.to_thread(catalogue.load)
        return catalogue, catalogue.dearest


def _untold(_: Event) -> None:
    """A verdict has no log of its own: what it used is in its bill."""
