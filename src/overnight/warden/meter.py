"""The meter of one run: what its model calls use, and whether the next one may still be paid.

Every call is judged before it is sent, by the most that it may cost: what was used, what is under way and this one
must fit into the allowance together. So a run does not go over it, except by what a vendor bills beyond what a request
asks for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from overnight.judge.budget import Burn, passed, show_usd
from overnight.missions.money import Allowance, Bill, ModelUse
from overnight.missions.tokens import Tokens
from overnight.usage.answers import Answer, Reader, reader
from overnight.usage.prices import Billed, Lookup, Rates, cost, worst
from overnight.usage.protocols import Asked, Shape, asked
from overnight.usage.tokens import Used
from overnight.warden.events import Asking, Metered, Record, Spending, TooFast

#: Tokens in a byte of a request, before any answer has said how many there really are.
DENSE = Decimal("0.5")
#: How much more than in the densest request so far.
DENSER = Decimal("1.2")


class Spent(Exception):
    """The allowance does not pay for this request."""


class Call:
    """One model call, from before it is sent to its end."""

    def __init__(self, meter: Meter, number: int, shape: Shape, said: Asked, size: int, most: Worst) -> None:
        self.number, self.shape, self.said, self.size, self.most = number, shape, said, size, most
        self._meter = meter
        self._reader: Reader | None = None
        self._began = False

    def begun(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the answer is here. An error costs nothing."""
        self._began = True
        if 200 <= status < 300:
            self._reader = reader(self.shape, headers)

    def feed(self, piece: bytes) -> None:
        """A piece of the answer's body, after it was passed on."""
        if self._reader is not None:
            self._reader.feed(piece)

    def over(self, *, whole: bool, left: bool) -> None:
        """No more comes. whole: the answer came to its end. left: the agent went away before that."""
        answer = None if self._reader is None else self._reader.answer()
        # An answer that nobody waits for may be made, and billed, all the same.
        self._meter.settle(self, answer, whole, lost=left and not self._began)


class Worst(Struct, frozen=True):
    """What a call may cost at most."""

    #: None: its model has no known price, not even a dearest one.
    usd: Decimal | None
    tokens: int


class Meter:
    """Counts one run. Used from the event loop only."""

    def __init__(
        self,
        route: str,
        lookup: Lookup,
        record: Record,
        *,
        paid: bool,
        allowance: Allowance | None = None,
        dearest: Rates | None = None,
    ) -> None:
        """route: who pays. dearest: the vendor's dearest rates; what has no known price is bounded by them."""
        self._route, self._lookup, self._record = route, lookup, record
        self._paid, self._allowance = paid, allowance or Allowance()
        self._dearest = dearest
        self._number = 0
        self._answers: dict[str, _Counted] = {}
        self._under_way: dict[int, Worst] = {}
        self._partial = self._unknown = 0
        #: What calls may have cost that the agent did not wait for.
        self._lost = Decimal(0)
        #: All that is over. What has no price counts by the dearest, what did not say by its worst case.
        self._usd, self._tokens = Decimal(0), 0
        self._dense: Decimal | None = None
        #: Answers are computed where it costs more, asked for or not.
        self._placed = False
        self._percent = 0
        self._burn = Burn(time.monotonic(), self._allowance.usual)
        self._changed = asyncio.Event()
        #: Why the run may spend no more; empty while it may.
        self.spent = ""
        #: When that was, by the monotonic clock.
        self.spent_at = 0.0

    # -- before a call --------------------------------------------------------------------------------------

    async def admit(self, shape: Shape, path: str, body: bytes) -> Call:
        """Let a call pass; waits for calls under way when it only fits without them. Raises Spent, OSError."""
        said = asked(path, body)
        most = self._most(said, len(body))
        while (short := self._short(most)) is not None:
            if not self._under_way or self.spent:
                self._end(short)
                raise Spent(self.spent)
            self._changed.clear()
            await self._changed.wait()
        self._number += 1
        call = Call(self, self._number, shape, said, len(body), most)
        self._record(Asking(n=call.number, model=said.model, most=None if most.usd is None else str(most.usd)))
        self._under_way[call.number] = most
        return call

    def _most(self, said: Asked, size: int) -> Worst:
        rates = self._rates(said.model)
        density = DENSE if self._dense is None else self._dense * DENSER
        prompt = int(size * density) + 1
        usd = (
            None if rates is None else worst(rates, prompt, said.most, said.caches, placed=said.placed or self._placed)
        )
        return Worst(usd if self._paid else Decimal(0), prompt + said.most)

    def _rates(self, model: str) -> Rates | None:
        """By what a call of this model is bounded beforehand: its price, or the dearest that its vendor asks."""
        return self._lookup(Billed(model)) or self._dearest

    def _short(self, most: Worst) -> str | None:
        """Why the allowance does not pay for one more call; None when it does."""
        if self.spent:
            return self.spent
        allowance, held = self._allowance, self._under_way.values()
        if allowance.usd is not None and self._paid:
            if most.usd is None:
                return "this model has no known price, so nothing says what the request may cost"
            if self._usd + sum((h.usd or Decimal(0) for h in held), most.usd) > allowance.usd:
                return (
                    f"the allowance of {show_usd(allowance.usd)} is spent{_because(allowance)}: "
                    f"{show_usd(self._usd)} used, and this request may cost up to {show_usd(most.usd)}"
                )
        if (
            allowance.tokens is not None
            and self._tokens + sum((h.tokens for h in held), most.tokens) > allowance.tokens
        ):
            return (
                f"the allowance of {allowance.tokens:,} tokens is spent{_because(allowance)}: "
                f"{self._tokens:,} used, and this request may use up to {most.tokens:,}"
            )
        return None

    def _end(self, why: str) -> None:
        if not self.spent:
            self.spent, self.spent_at = why, time.monotonic()
        self._changed.set()

    # -- after a call ---------------------------------------------------------------------------------------

    def settle(self, call: Call, answer: Answer | None, whole: bool, *, lost: bool = False) -> None:
        """Note what a call used. answer: None when it was an error, which costs nothing. lost: nobody knows what became
        of it. Raises OSError."""
        del self._under_way[call.number]
        self._changed.set()
        if lost:
            self._lost += call.most.usd or Decimal(0)
            self._usd, self._tokens = self._usd + (call.most.usd or Decimal(0)), self._tokens + call.most.tokens
            self._record(Metered(n=call.number, model=call.said.model, lost=True))
            return
        if answer is None:
            self._record(Metered(n=call.number, model=call.said.model, error=True))
            return
        model = answer.model or call.said.model
        before = self._usd
        if answer.used is None:
            self._unknown += 1
            self._usd, self._tokens = self._usd + (call.most.usd or Decimal(0)), self._tokens + call.most.tokens
            self._record(Metered(n=call.number, id=answer.id, model=model, unknown=True))
        else:
            self._partial += (partial := not (whole and answer.final))
            counted = self._count(answer.id or f"call {call.number}", model, answer.used)
            self._learn(answer.used.tokens.prompt, call.size)
            self._placed = self._placed or answer.used.geo == "us"
            self._record(_metered(call, answer.id, counted, partial))
        self._watch(self._usd - before)

    def _count(self, ident: str, model: str, used: Used) -> _Counted:
        """Count an answer once, by its id: of two accounts of it the larger one."""
        known = self._answers.get(ident)
        if known is not None and known.used.tokens.total >= used.tokens.total:
            return known
        price = cost(used, model, self._lookup)
        bounded = price if price is not None else self._bounded(model, used)
        counted = _Counted(model, used, price, bounded if self._paid else Decimal(0))
        self._usd += counted.bounded - (known.bounded if known else 0)
        self._tokens += counted.tokens.total - (known.tokens.total if known else 0)
        self._answers[ident] = counted
        return counted

    def _learn(self, prompt: int, size: int) -> None:
        """How many tokens a byte of this run's requests holds. Small requests say little of large ones."""
        if size >= 1024:
            density = Decimal(prompt) / size
            self._dense = density if self._dense is None else max(self._dense, density)

    def _watch(self, more: Decimal) -> None:
        """Say when a threshold was passed, and when money goes too fast."""
        share = self._share()
        for percent in passed(self._percent, share):
            self._record(Spending(percent=percent, usd=str(self._usd), tokens=self._tokens))
        self._percent = max(self._percent, share)
        fast = self._burn.add(time.monotonic(), more)
        if fast is not None:
            self._record(TooFast(recent=str(round(fast[0], 6)), before=str(round(fast[1], 6))))

    def _share(self) -> int:
        """Percent of the allowance that is used."""
        usd, tokens = self._allowance.usd, self._allowance.tokens
        return max(int(self._usd * 100 / usd) if usd else 0, self._tokens * 100 // tokens if tokens else 0)

    # -- what was used --------------------------------------------------------------------------------------

    def _bounded(self, model: str, used: Used) -> Decimal:
        """What has no price counts by the dearest one, for as long as the run goes on."""
        rates = self._rates(model)
        return Decimal(0) if rates is None else worst(rates, used.tokens.prompt, used.tokens.output)

    def bill(self, claimed: Decimal | None = None) -> Bill:
        """What was used so far, model by model. Calls that are still under way are pending."""
        models = self._models()
        unpriced = tuple(use.model for use in models if use.cost is None)
        known = [use.cost for use in models if use.cost is not None]
        return Bill(
            route=self._route, source="wire", paid=self._paid, models=models,
            cost=None if unpriced else sum(known, Decimal(0)), unpriced=unpriced, partial=self._partial,
            unknown=self._unknown, claimed=claimed,
            pending=sum((call.usd or Decimal(0) for call in self._under_way.values()), self._lost),
        )  # fmt: skip

    def _models(self) -> tuple[ModelUse, ...]:
        found: dict[str, ModelUse] = {}
        for counted in self._answers.values():
            had = found.get(counted.model)
            whole = counted.cost if had is None else _plus(had.cost, counted.cost)
            found[counted.model] = ModelUse(
                model=counted.model, calls=1 + (had.calls if had else 0), cost=whole,
                tokens=counted.tokens + (had.tokens if had else Tokens()), priced_as=self._priced_as(counted),
            )  # fmt: skip
        return tuple(found.values())

    def _priced_as(self, counted: _Counted) -> str:
        rates = self._lookup(Billed(counted.model, counted.used.speed, counted.used.tier))
        return "" if rates is None else f"{rates.model}, {rates.source}"


class _Counted(Struct, frozen=True):
    """An answer, as it counts."""

    model: str
    used: Used
    cost: Decimal | None
    #: What it takes from the allowance.
    bounded: Decimal

    @property
    def tokens(self) -> Tokens:
        """With an advisor's or a compaction's: they are of this answer, whichever model they asked."""
        return sum((aside.tokens for aside in self.used.asides), self.used.tokens)


def _plus(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else one + other


def _metered(call: Call, ident: str, counted: _Counted, partial: bool) -> Metered:
    cost = None if counted.cost is None else str(counted.cost)
    used = counted.used
    return Metered(
        n=call.number, id=ident, model=counted.model, tokens=counted.tokens, tier=used.tier, speed=used.speed,
        cost=cost, partial=partial,
    )  # fmt: skip


def _because(allowance: Allowance) -> str:
    return f" ({allowance.because})" if allowance.because else ""
