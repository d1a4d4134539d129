"""The money of one run, in its warden: whether it may start, when it must end, and what it used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from overnight.missions.money import Allowance, Bill
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec
from overnight.ports import Route
from overnight.usage.prices import FREE, Catalogue, Price
from overnight.usage.protocols import PROTOCOLS
from overnight.warden.events import Record
from overnight.warden.meter import Meter

#: After the first request that is not paid any more the agent has this long to end by itself, and to say so.
GRACE_S = 3.0
Reason = tuple[End, FailureClass | None, str]


class Account:
    """One run's money. Made when its route is known, before its agent starts."""

    def __init__(self, spec: RunSpec, route: Route, meter: Meter | None) -> None:
        """meter: None where model traffic does not pass here."""
        self.meter = meter
        self._route, self._allowance = route, spec.allowance or Allowance()
        #: Tokens that the agent's own stream speaks of; what it wrote is known at its end only.
        self._heard = 0

    def hear(self, tokens: int) -> None:
        """The agent's stream says that its model read so many tokens."""
        self._heard += tokens

    def over(self, *, ended: bool = False) -> Reason | None:
        """Why the run has to end for want of money or tokens. ended: the agent is gone, so there is nothing to wait
        for."""
        meter, most = self.meter, self._allowance.tokens
        if meter is not None:
            if meter.spent and (ended or time.monotonic() - meter.spent_at > GRACE_S):
                return End.STOPPED_BY_LIMIT, FailureClass.MONEY, meter.spent
        elif most is not None and self._heard > most and not ended:
            why = f"the allowance of {most:,} tokens is spent: {self._allowance.because or 'a budget'}"
            return End.STOPPED_BY_LIMIT, FailureClass.MONEY, why
        return None

    def closed(self, outcome: RunOutcome) -> RunOutcome:
        """The outcome with its bill, and with the time from which on there is money again."""
        until = outcome.until
        if outcome.failure is FailureClass.MONEY and outcome.end is End.STOPPED_BY_LIMIT:
            until = self._allowance.until
        return msgspec.structs.replace(outcome, bill=self._bill(outcome), until=until)

    def _bill(self, outcome: RunOutcome) -> Bill:
        usage, route = outcome.usage, self._route
        known = [use.cost for use in usage.models if use.cost is not None]
        claimed = sum(known, Decimal(0)) if usage.models and len(known) == len(usage.models) else None
        if self.meter is not None:
            return self.meter.bill(claimed)
        if route.kind == "none":
            return nothing(route.kind)
        source = "cli" if usage.models else "none"
        return Bill(
            route=route.kind, source=source, paid=route.paid, models=usage.models, cost=claimed, claimed=claimed
        )


def nothing(route: str = "none") -> Bill:
    """The bill of a run that could not reach any model."""
    return Bill(route=route, source="wire", paid=False, cost=Decimal(0))


def unpayable(spec: RunSpec, route: Route) -> str | None:
    """Why a run may not start on its route; None when it may."""
    if not route.paid or (spec.allowance is not None and spec.allowance.usd is not None):
        return None
    return f"it would be billed by use (the key in {route.key_variable}), and no money was set aside for it"


async def open_account(spec: RunSpec, route: Route, prices: Mapping[str, Price], record: Record) -> Account:
    """The account of a run. Prices are loaded beside everything else."""
    if not route.proxied:
        return Account(spec, route, None)
    if not route.paid:
        meter = Meter(route.kind, lambda _: FREE, record, paid=False, allowance=spec.allowance, dearest=FREE)
        return Account(spec, route, meter)
    protocol = PROTOCOLS.get(route.protocol)
    catalogue = Catalogue(time.time(), protocol.vendor if protocol else "", route.upstream, prices)
    await asyncio.to_thread(catalogue.load)
    meter = Meter(
        route.kind, catalogue, record, paid=True, allowance=spec.allowance, dearest=catalogue.dearest
    )  # fmt: skip
    return Account(spec, route, meter)
