"""Budgets: what may still be spent, what is set aside before a run starts, and what goes back.

Money is set aside first and settled afterwards, so that what was spent and what is set aside never exceed a limit
together. All sums are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from msgspec import Struct

from overnight.missions.money import Allowance, Amount, Bill, Budget
from overnight.missions.units import Money

#: Percent of a limit at which it is told, once each.
THRESHOLDS = (50, 75, 80, 90, 100)
#: With less than this left no run starts: it could not pay for one answer of a large model.
LEAST_USD, LEAST_TOKENS = Decimal("0.05"), 5_000
#: Seconds of the recent past that are held against the longer one, and by how much it may exceed it.
RECENT_S, TOO_FAST = 300.0, 3
#: The longer past must be at least this long before it says anything.
HISTORY_S = 600.0


class BudgetSettings(Budget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What runs on this machine may spend. Dollars count where a model is billed by use: never on a subscription, never
    on a server of your own."""

    #: All runs of one task together. It can be changed, not left out: nothing is billed by use without a limit.
    task: Amount | None = Amount(usd=Money("5"))
    #: Limits of each repo by itself.
    repo: Budget = Budget()


class Sum(Struct, frozen=True, kw_only=True):
    """Dollars and tokens."""

    usd: Decimal = Decimal(0)
    tokens: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(usd=self.usd + other.usd, tokens=self.tokens + other.tokens)


class Window(Struct, frozen=True, kw_only=True):
    """One limit and what was taken from it so far."""

    #: Unique and stable while it lasts: `repo web day 2026-11-21`.
    key: str
    #: For a person: "the day's budget of repo web".
    name: str
    #: run, task, day, month or all.
    span: str
    #: Whose it is; None: of all repos together.
    repo: str | None = None
    limit: Amount
    spent: Sum = Sum()
    #: Set aside for runs that go on.
    reserved: Sum = Sum()
    #: Epoch seconds at which it begins anew; None when it does not.
    until: float | None = None

    @property
    def left(self) -> tuple[Decimal | None, int | None]:
        """Dollars and tokens that nobody has taken; None where there is no limit."""
        taken, limit = self.spent + self.reserved, self.limit
        usd = None if limit.usd is None else Decimal(limit.usd) - taken.usd
        return usd, None if limit.tokens is None else limit.tokens - taken.tokens

    @property
    def percent(self) -> int:
        """Percent spent, of dollars or tokens, whichever is more; rounded down."""
        parts = [0]
        if self.limit.usd is not None:
            parts.append(_percent(self.spent.usd, Decimal(self.limit.usd)))
        if self.limit.tokens is not None:
            parts.append(_percent(Decimal(self.spent.tokens), Decimal(self.limit.tokens)))
        return max(parts)


class Short(Struct, frozen=True, kw_only=True):
    """Nothing can be granted: this limit leaves too little."""

    window: Window
    #: What is missing is only set aside: it may come back when runs end.
    only_reserved: bool


def grant(windows: Sequence[Window], *, paid: bool) -> Allowance | Short:
    """What a run may spend: as much as every limit leaves. paid: it may be billed by use, so dollars count.

    Taking the grant from every window leaves none of them below zero.
    """
    for window in windows:
        if _short(window, paid):
            free = Window(key="", name="", span="", limit=window.limit, spent=window.spent)
            return Short(window=window, only_reserved=not _short(free, paid))
    usd = [(left, n) for n, w in enumerate(windows) if paid and (left := w.left[0]) is not None]
    tokens = [(left, n) for n, w in enumerate(windows) if (left := w.left[1]) is not None]
    tightest = windows[min(usd or tokens)[1]] if usd or tokens else None
    return Allowance(
        usd=min(usd)[0] if usd else None,
        tokens=min(tokens)[0] if tokens else None,
        because=f"{tightest.name} of {show_amount(tightest.limit)}" if tightest else "",
        until=tightest.until if tightest else None,
    )


def _short(window: Window, paid: bool) -> bool:
    usd, tokens = window.left
    few = tokens is not None and tokens < LEAST_TOKENS
    return few or (paid and usd is not None and usd < LEAST_USD)


def loan(windows: Iterable[Window], most: Allowance, *, paid: bool) -> Window | None:
    """The first limit that leaves less than this; None when all of it can be set aside."""
    for window in windows:
        usd, tokens = window.left
        if (paid and usd is not None and (most.usd is None or usd < most.usd)) or (
            tokens is not None and (most.tokens is None or tokens < most.tokens)
        ):
            return window
    return None


def charge(bill: Bill | None, allowance: Allowance, *, paid: bool) -> Sum:
    """What a run that ended takes from its budgets. bill: None when nobody knows what it used.

    paid: it was allowed to spend money. What is not known counts at the whole allowance, and so does what was spent
    on a model without a price; what was spent beyond the allowance counts as well.
    """
    if bill is None:
        return Sum(usd=_all(allowance.usd) if paid else Decimal(0), tokens=allowance.tokens or 0)
    tokens = bill.tokens.total
    if bill.source == "none":
        tokens = max(tokens, allowance.tokens or 0)
    if not bill.paid:
        return Sum(tokens=tokens)
    known = (bill.cost or Decimal(0)) + bill.pending
    sure = bill.cost is not None and not bill.unknown
    return Sum(usd=known if sure else max(known, _all(allowance.usd)), tokens=tokens)


def _all(usd: Decimal | None) -> Decimal:
    return Decimal(0) if usd is None else usd


def passed(before: int, after: int) -> tuple[int, ...]:
    """Thresholds that a share of a limit went over, both in percent."""
    return tuple(percent for percent in THRESHOLDS if before < percent <= after)


def left_of(windows: Iterable[Window], *, paid: bool) -> float | None:
    """The part of the tightest limit that is left, 0 to 1; None without a limit."""
    parts = list[float]()
    for window in windows:
        usd, tokens = window.left
        if paid and usd is not None and window.limit.usd:
            parts.append(float(usd / Decimal(window.limit.usd)))
        if tokens is not None and window.limit.tokens:
            parts.append(tokens / window.limit.tokens)
    return max(0.0, min(parts)) if parts else None


class Burn:
    """How fast a run spends, now and so far: a run that suddenly spends much more says so once."""

    def __init__(self, began: float, usual: Decimal | None = None) -> None:
        """began: seconds on any clock. usual: dollars in a minute that runs usually spend, if known."""
        self._began, self._usual = began, usual
        self._calls: list[tuple[float, Decimal]] = []
        self._past, self._told = Decimal(0), False

    def add(self, now: float, cost: Decimal) -> tuple[Decimal, Decimal] | None:
        """Note a cost; dollars a minute (recently, before) when the first is too fast and was not before."""
        self._calls.append((now, cost))
        while self._calls[0][0] < now - RECENT_S:
            self._past += self._calls.pop(0)[1]
        recent = sum((cost for _, cost in self._calls), Decimal(0)) * 60 / Decimal(RECENT_S)
        before = self._before(now)
        if before is None or not before or recent <= TOO_FAST * before:
            self._told = False
            return None
        if self._told:
            return None
        self._told = True
        return recent, before

    def _before(self, now: float) -> Decimal | None:
        lasted = now - RECENT_S - self._began
        if lasted >= HISTORY_S:
            return self._past * 60 / Decimal(lasted)
        return self._usual


def show_amount(amount: Amount) -> str:
    """`5 USD`, `2,000,000 tokens`, or both."""
    parts = [f"{Decimal(amount.usd).normalize():f} USD"] if amount.usd is not None else []
    if amount.tokens is not None:
        parts.append(f"{amount.tokens:,} tokens")
    return " and ".join(parts) or "no limit"


def show_usd(usd: Decimal) -> str:
    """Dollars for a person: cents, and more digits where there are no whole cents."""
    return f"{usd:.2f} USD" if abs(usd) >= 1 or not usd else f"{usd:.4f} USD"


def _percent(part: Decimal, whole: Decimal) -> int:
    return int(part * 100 / whole) if whole else 100
