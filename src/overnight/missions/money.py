"""Money of runs: limits of what they may spend, what one was given before it started, and what it used."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from overnight.missions.tokens import Tokens
from overnight.missions.units import Money


class Amount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit, in dollars, in tokens or in both. Written "5 USD", or { usd = "5 USD", tokens = 2000000 }."""

    #: US dollars that routes billed by use may cost; no such limit when absent.
    usd: Money | None = None
    #: Tokens read and written, on every route; no such limit when absent.
    tokens: int | None = None


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of what runs may spend. All of them hold at once."""

    #: One run.
    run: Amount | None = None
    #: All runs of one task together, those of its retries as well.
    task: Amount | None = None
    #: All runs that begin on one day, by this machine's clock.
    day: Amount | None = None
    #: All runs that begin in one calendar month.
    month: Amount | None = None
    #: All runs ever.
    all: Amount | None = None


class Allowance(Struct, frozen=True, kw_only=True):
    """What one run may spend, set aside before it starts. None is no bound."""

    #: US dollars, on a route that is billed by use.
    usd: Decimal | None = None
    #: Tokens read and written, on any route.
    tokens: int | None = None
    #: Which limit it is that leaves no more, for a person: "the task's budget of 5 USD".
    because: str = ""
    #: Epoch seconds at which that limit begins anew; None when it does not by itself.
    until: float | None = None
    #: What runs usually spend in a minute, US dollars; None when there were too few.
    usual: Decimal | None = None


class Grant(Struct, frozen=True, kw_only=True):
    """An allowance, and how tight money is."""

    allowance: Allowance
    #: The part of the tightest limit that was left before it, 0 to 1; None without a limit.
    left: float | None = None


class Lent(Struct, frozen=True, kw_only=True):
    """What a judge was lent."""

    #: Its id; empty when nothing was lent.
    id: str = ""
    #: Why not, as a clause.
    why: str = ""


class ModelUse(Struct, frozen=True, kw_only=True):
    """What one model was used for in a run."""

    model: str
    calls: int
    tokens: Tokens
    #: US dollars, exact; None when a part of it has no known price.
    cost: Decimal | None
    #: What it is called in the price list, and which list that is; empty when it is in none.
    priced_as: str = ""


class Bill(Struct, frozen=True, kw_only=True):
    """What a run used, counted by Overnight itself wherever it can be, and who pays it."""

    #: The billing route: `gateway`, `direct`, `local` or `none`.
    route: str
    #: Where the figures are from. wire: read off the model's answers. cli: the agent's own account. none: nothing is
    #: known.
    source: str
    #: Billed by use; a subscription and a server of one's own are not.
    paid: bool
    models: tuple[ModelUse, ...] = ()
    #: US dollars at list prices, exact; None when it is not known.
    cost: Decimal | None = None
    #: Models without a known price.
    unpriced: tuple[str, ...] = ()
    #: Answers that ended before their end: what was seen of them is counted.
    partial: int = 0
    #: Answers that were paid for and did not say what they used.
    unknown: int = 0
    #: US dollars that requests may have cost whose answers nobody saw to the end: the warden died over them.
    pending: Decimal = Decimal(0)
    #: What the agent itself says this run cost, US dollars; None when it says nothing.
    claimed: Decimal | None = None

    @property
    def tokens(self) -> Tokens:
        """Of all models."""
        return sum((use.tokens for use in self.models), Tokens())

    @property
    def difference(self) -> Decimal | None:
        """What the agent says beyond what was counted, US dollars; None when one of them is not known."""
        return None if self.claimed is None or self.cost is None else self.claimed - self.cost
