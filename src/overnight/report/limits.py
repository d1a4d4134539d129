"""What is known of vendors' limits: each account's windows, with source and age, and whether it works."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from msgspec import Struct

from overnight.durable.limits import Account, read_known, read_lifted
from overnight.judge.breaker import State
from overnight.judge.limits import Ceilings, current
from overnight.missions.limits import Window
from overnight.report.journal import reading, snapshot


class WindowView(Struct, frozen=True, kw_only=True):
    """One of a vendor's limits."""

    #: five-hour, seven-day, seven-day-MODEL; requests, tokens, input-tokens or output-tokens of a key.
    name: str
    #: The part that is used, 0 to 1 and beyond; null when nobody knows it, as once it has begun anew.
    used: float | None
    #: Epoch seconds at which it begins anew; null when nobody knows.
    resets: float | None
    #: In the vendor's words: allowed, allowed_warning, rejected; empty when it says none.
    status: str
    #: Who said it: stream (the agent's output) or headers (of the model's answers).
    source: str
    #: Epoch seconds at which it was said.
    seen: float
    #: Percent from which on no run starts, and at which runs are ended; null without such a ceiling.
    start_below: int | None
    stop_above: int | None


class AccountView(Struct, frozen=True, kw_only=True):
    """One account: an agent and its way to its model."""

    name: str
    #: closed: it works as far as is known. open: no run starts. half-open: one run tries.
    state: State
    #: launch, auth or vendor; null while it is closed.
    cause: str | None
    why: str
    #: Epoch seconds at which it opened; null while it is closed.
    since: float | None
    #: Epoch seconds at which one run may try; null waits for a person.
    until: float | None
    #: The run that tries; empty when none does.
    probe: str
    windows: tuple[WindowView, ...]


class LimitsView(Struct, frozen=True, kw_only=True):
    """Everything that is known."""

    #: Epoch seconds of the look.
    at: float
    #: Epoch seconds until which the ceilings are lifted; null when they hold.
    lifted: float | None
    accounts: tuple[AccountView, ...]


def limits(home: Path, ceilings: Ceilings, now: float) -> LimitsView:
    """The view of one instant."""
    with reading(home) as db, snapshot(db):
        return read_limits(db, home, ceilings, now)


def read_limits(db: sqlite3.Connection, home: Path, ceilings: Ceilings, now: float) -> LimitsView:
    """As `limits`, for whoever has a connection."""
    lifted = read_lifted(db)
    accounts = tuple(_account(each, ceilings, now) for each in read_known(db, home))
    return LimitsView(at=now, lifted=lifted if lifted is not None and lifted > now else None, accounts=accounts)


def shut_accounts(db: sqlite3.Connection, home: Path, now: float) -> tuple[AccountView, ...]:
    """Those that do not work."""
    found = (_account(each, Ceilings(), now) for each in read_known(db, home))
    return tuple(each for each in found if each.state is not State.CLOSED)


def _account(found: Account, ceilings: Ceilings, now: float) -> AccountView:
    breaker, state = found.breaker, found.breaker.state(now)
    shut = state is not State.CLOSED
    return AccountView(
        name=found.name,
        state=state,
        cause=breaker.cause,
        why=breaker.why,
        since=breaker.since if shut else None,
        until=breaker.until,
        probe=breaker.probe,
        windows=tuple(_window(window, ceilings, now) for window in found.windows),
    )


def _window(window: Window, ceilings: Ceilings, now: float) -> WindowView:
    known, bounds = current(window, now), ceilings.of(window)
    return WindowView(
        name=known.name,
        used=known.used,
        resets=known.resets,
        status=known.status,
        source=known.source,
        seen=known.seen,
        start_below=bounds.start_below,
        stop_above=bounds.stop_above,
    )
