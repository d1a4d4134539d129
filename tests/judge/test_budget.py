"""The arithmetic of budgets: nothing is given that is not there, and nothing is lost on the way back."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from overnight.judge.budget import (
    HISTORY_S,
    LEAST_USD,
    RECENT_S,
    THRESHOLDS,
    Burn,
    Short,
    Sum,
    Window,
    charge,
    grant,
    left_of,
    passed,
    show_amount,
)
from overnight.missions.money import Allowance, Amount, Bill, ModelUse
from overnight.missions.tokens import Tokens
from overnight.missions.units import Money

cents = st.integers(0, 10**6).map(lambda n: Decimal(n) / 10**4)
counts = st.integers(0, 10**7)
amounts = st.builds(Amount, usd=st.none() | cents.map(Money), tokens=st.none() | counts)


def window(limit: Amount, spent: Sum | None = None, reserved: Sum | None = None) -> Window:
    """A window of this limit."""
    return Window(
        key="k", name="the day's budget", span="day", limit=limit, spent=spent or Sum(), reserved=reserved or Sum()
    )


windows = st.builds(window, amounts, st.builds(Sum, usd=cents, tokens=counts), st.builds(Sum, usd=cents, tokens=counts))


@given(st.lists(windows, max_size=5), st.booleans())
def test_a_grant_never_exceeds_what_is_left(limits: list[Window], paid: bool) -> None:
    """With the grant set aside, no limit is exceeded that was not exceeded before; a refusal names one that is short."""
    given_ = grant(limits, paid=paid)
    if isinstance(given_, Short):
        usd, tokens = given_.window.left
        assert (paid and usd is not None and usd < LEAST_USD) or (tokens is not None and tokens < 5000)
        return
    assert paid or given_.usd is None
    for limit in limits:
        more = Sum(usd=given_.usd or Decimal(0), tokens=given_.tokens or 0)
        usd, tokens = replace(limit, reserved=limit.reserved + more).left
        assert usd is None or not paid or usd >= 0
        assert tokens is None or tokens >= 0
    if paid and any(limit.limit.usd is not None for limit in limits):
        assert given_.usd == min(left for limit in limits if (left := limit.left[0]) is not None)


@given(amounts, st.lists(st.tuples(cents, st.booleans()), max_size=20))
def test_reserve_then_settle(limit: Amount, runs: list[tuple[Decimal, bool]]) -> None:
    """Runs that take at most what they were given, in any order of ends, never take more than the limit together; what
    they did not take is there again."""
    spent, open_runs = Sum(), list[Sum]()
    for part, ends in runs:
        reserved = sum(open_runs, Sum())
        found = grant([window(limit, spent, reserved)], paid=True)
        if isinstance(found, Allowance):
            open_runs.append(Sum(usd=found.usd or Decimal(0), tokens=found.tokens or 0))
        if ends and open_runs:
            given_ = open_runs.pop(0)
            spent += Sum(usd=min(part, given_.usd), tokens=min(int(part), given_.tokens))
        taken = spent + sum(open_runs, Sum())
        assert limit.usd is None or taken.usd <= limit.usd
        assert limit.tokens is None or taken.tokens <= limit.tokens
    after = window(limit, spent)
    assert limit.usd is None or after.left[0] == Decimal(limit.usd) - spent.usd


def test_what_is_only_set_aside_may_come_back() -> None:
    """A limit that others have set aside says so; one that is spent does not."""
    limit = Amount(usd=Money(5))
    held = grant([window(limit, reserved=Sum(usd=Decimal(5)))], paid=True)
    gone = grant([window(limit, spent=Sum(usd=Decimal(5)))], paid=True)
    assert isinstance(held, Short)
    assert isinstance(gone, Short)
    assert (held.only_reserved, gone.only_reserved) == (True, False)


def test_the_tightest_limit_is_named() -> None:
    """The allowance says which limit it comes from and when that begins anew."""
    day = replace(window(Amount(usd=Money(40)), Sum(usd=Decimal(38))), until=99.0)
    task = replace(window(Amount(usd=Money(5))), name="the task's budget")
    found = grant([task, day], paid=True)
    assert isinstance(found, Allowance)
    assert (found.usd, found.because, found.until) == (Decimal(2), "the day's budget of 40 USD", 99.0)


def bill(cost: str | None, *, paid: bool = True, **more: object) -> Bill:
    """A bill of one model."""
    known = None if cost is None else Decimal(cost)
    use = ModelUse(model="m", calls=1, tokens=Tokens(input=70, output=30), cost=known)
    return Bill(route="gateway", source="wire", paid=paid, models=(use,), cost=known, **more)  # pyright: ignore[reportArgumentType] (fields of the struct)


def test_charge() -> None:
    """What is known counts exactly, what is not counts at the whole allowance, what nobody bills counts no money."""
    allowance = Allowance(usd=Decimal(5), tokens=1000)
    assert charge(bill("1.25"), allowance, paid=True) == Sum(usd=Decimal("1.25"), tokens=100)
    assert charge(bill("6.5"), allowance, paid=True).usd == Decimal("6.5")
    assert charge(bill(None), allowance, paid=True).usd == 5
    assert charge(bill("1", unknown=1), allowance, paid=True).usd == 5
    assert charge(bill("1", pending=Decimal("0.5")), allowance, paid=True).usd == Decimal("1.5")
    assert charge(bill("1.25", paid=False), allowance, paid=True) == Sum(tokens=100)
    assert charge(None, allowance, paid=True) == Sum(usd=Decimal(5), tokens=1000)
    assert charge(None, allowance, paid=False) == Sum(tokens=1000)
    silent = Bill(route="direct", source="none", paid=False)
    assert charge(silent, allowance, paid=False) == Sum(tokens=1000)


@given(st.lists(st.integers(0, 150), min_size=1))
def test_each_threshold_once(shares: list[int]) -> None:
    """Whatever way a share grows, each threshold up to it is told once, in order."""
    told, at = list[int](), 0
    for share in sorted(shares):
        told += passed(at, share)
        at = share
    assert told == [percent for percent in THRESHOLDS if percent <= max(shares)]


def test_percent_is_of_what_is_spent() -> None:
    """What is set aside is not spent; of dollars and tokens the larger share counts."""
    found = window(Amount(usd=Money(10), tokens=100), Sum(usd=Decimal("7.99"), tokens=80), Sum(usd=Decimal(2)))
    assert found.percent == 80
    assert left_of([found], paid=True) == 0.001
    assert left_of([found], paid=False) == 0.2
    assert left_of([], paid=True) is None


def test_burn_tells_once_until_it_is_over() -> None:
    """Five minutes of more than three times the usual are told once, and again only after it was slower."""
    burn, minute = Burn(0.0), 60.0
    told: list[float] = []
    for n in range(60):
        cost = Decimal("0.90") if 30 <= n < 40 or n >= 55 else Decimal("0.10")
        if burn.add(n * minute, cost) is not None:
            told.append(n)
    assert len(told) == 2
    assert 30 <= told[0] < 40
    assert told[1] >= 55


def test_burn_without_a_past_says_nothing() -> None:
    """A run's own beginning is no anomaly, unless runs usually spend less."""
    assert Burn(0.0).add(HISTORY_S, Decimal(9)) is None
    usual = Burn(0.0, usual=Decimal("0.1"))
    assert usual.add(10.0, Decimal("1.4")) is None
    fast = usual.add(20.0, Decimal("0.2"))
    assert fast == (Decimal("1.6") * 60 / Decimal(RECENT_S), Decimal("0.1"))


def test_amounts_in_words() -> None:
    """For a person, both kinds."""
    assert show_amount(Amount(usd=Money("5.00"))) == "5 USD"
    assert show_amount(Amount(usd=Money(40), tokens=2_000_000)) == "40 USD and 2,000,000 tokens"
