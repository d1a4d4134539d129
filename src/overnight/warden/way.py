"""A gateway on loopback, for what asks a model without being a run: opened for one asking, closed after it."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal

from overnight.judge.budget import Sum
from overnight.missions.money import Allowance, Bill
from overnight.missions.run import Usage
from overnight.ports import Opened, Route
from overnight.usage.prices import FREE, Billed, Catalogue, Lookup, Price, Rates, worst
from overnight.warden.account import nothing
from overnight.warden.egress import Egress
from overnight.warden.events import Event
from overnight.warden.gateway import Gateway
from overnight.warden.http import Handler, serve
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
            yield Opened(
                address=address, token=token, bill=meter.bill, spent=lambda: meter.spent,
                serve=lambda inside: _served(inside, gateway.handle), claimed=lambda _: None,
            )  # fmt: skip
        finally:
            await server.close()

    async def _rates(self) -> tuple[Lookup, Rates | None]:
        """What things cost today."""
        if not self.paid:
            return lambda _: FREE, FREE
        catalogue = Catalogue(time.time(), self._vendor, self._route.upstream, self._prices)
        await asyncio.to_thread(catalogue.load)
        return catalogue, catalogue.dearest


class DirectWay:
    """Port `Way` for a CLI with a login of its own. What it used is known by its own word only."""

    def __init__(self, route: Route) -> None:
        self._route = route

    @property
    def paid(self) -> bool:
        """Billed by use: it is not."""
        return False

    async def worst(self, size: int, output: int) -> Sum | None:
        """Its tokens."""
        return Sum(tokens=int(size * DENSE) + 1 + output)

    @asynccontextmanager
    async def open(self, _allowance: Allowance) -> AsyncGenerator[Opened]:
        """Nothing listens but what is served. The allowance bounds nothing here: whoever asks counts the tries."""
        said, served = list[Usage](), 0

        async def serve_inside(inside: socket.socket) -> Callable[[], Awaitable[None]]:
            nonlocal served
            served += 1
            return await _served(inside, Egress(self._route.hosts, _untold).handle)

        def bill() -> Bill:
            if not served:
                return nothing(self._route.kind)
            # one asking that told nothing leaves all of it unknown
            known = len(said) == served and all(each.input_tokens is not None for each in said)
            models = tuple(use for each in said for use in each.models)
            costs = [use.cost for use in models if use.cost is not None]
            cost = sum(costs, Decimal(0)) if known and len(costs) == len(models) else None
            source = "cli" if known else "none"
            return Bill(route=self._route.kind, source=source, paid=False, models=models, cost=cost, claimed=cost)

        yield Opened(
            address="", token="", bill=bill, spent=lambda: "", serve=serve_inside, claimed=said.append
        )  # fmt: skip


async def _served(sock: socket.socket, handle: Handler) -> Callable[[], Awaitable[None]]:
    return (await serve(sock, handle)).close


def _untold(_: Event) -> None:
    """A verdict has no log of its own: what it used is in its bill."""
