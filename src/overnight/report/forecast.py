"""The five hours under way: what is left of them, how fast they are used, and what they may come to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

from msgspec import Struct

from overnight.judge.limits import Ceilings
from overnight.report.limits import limits
from overnight.usage.costs import dollars

BLOCK_S = 5 * 3600
#: Spans whose pace is looked at, seconds; the middle one says what is likely.
SPANS_S = (15 * 60, 60 * 60)
#: Less than this says nothing of a pace.
LEAST_S = 5 * 60
#: Vendors say of these agents how much of five hours is left.
AGENTS = ("claude", "codex")


class WindowSeen(Struct, frozen=True, kw_only=True):
    """One of a vendor's limits, as somebody told it."""

    #: The agent, or the agent and its way to its model.
    account: str
    #: five-hour, seven-day, or the vendor's own word.
    name: str
    #: The part that is used, 0 to 1 and beyond; null when nobody knows it.
    used: float | None
    #: Epoch seconds at which it begins anew; null when nobody knows, as once it has.
    resets: float | None
    #: In the vendor's words: allowed, rejected ...; empty when it says none.
    status: str
    #: Who said it: `log` (of a session), `stream` (of a run) or `headers` (of a model's answers).
    source: str
    #: Epoch seconds at which it was said.
    seen: float


class ForecastView(Struct, frozen=True, kw_only=True):
    """An agent's five hours under way."""

    agent: str
    #: Epoch seconds.
    start: float
    end: float
    #: Where the end is from: `vendor`, or `guess`: five hours from the full hour of the first answer.
    source: str
    #: Seconds until the end.
    left: float
    #: Used so far: tokens, and US dollars at list prices; null when a part of it has no known price.
    tokens: int
    cost: Decimal | None
    #: Tokens in a minute and US dollars in an hour, over the last hour; null where there is too little to say.
    tokens_minute: float | None
    cost_hour: float | None
    #: What it comes to at its end if the last hour's pace goes on: null where there is too little to say.
    likely_tokens: int | None
    likely_cost: float | None
    #: The same by the slowest and the fastest of three paces: of the last quarter of an hour, of the last hour, and of
    #: all since its first answer.
    range_tokens: tuple[int, int] | None
    range_cost: tuple[float, float] | None


def told(home: Path, now: float) -> tuple[WindowSeen, ...]:
    """What Overnight's own runs saw of vendors' limits."""
    accounts = limits(home, Ceilings(), now).accounts
    return tuple(
        WindowSeen(account=account.name, name=window.name, used=window.used, resets=window.resets,
                   status=window.status, source=window.source, seen=window.seen)
        for account in accounts
        for window in account.windows
    )  # fmt: skip


def windows(db: sqlite3.Connection, now: float) -> tuple[WindowSeen, ...]:
    """What sessions' logs say of vendors' limits. A window that has begun anew since then is unknown, not empty."""
    sql = "SELECT agent, name, used, resets, status, seen FROM window ORDER BY agent, name"
    return tuple(
        _current(WindowSeen(account=row[0], name=row[1], used=row[2], resets=row[3], status=row[4], source="log",
                            seen=row[5]), now)
        for row in db.execute(sql)
    )  # fmt: skip


def _current(window: WindowSeen, now: float) -> WindowSeen:
    if window.resets is None or window.resets > now:
        return window
    return WindowSeen(
        account=window.account, name=window.name, used=None, resets=None, status="", source=window.source,
        seen=window.seen,
    )  # fmt: skip


def forecasts(db: sqlite3.Connection, known: Iterable[WindowSeen], now: float) -> Iterator[ForecastView]:
    """One for each agent that worked within its latest five hours. known: what was said of limits."""
    timed = [each for each in known if each.name == "five-hour" and each.resets is not None]
    latest = {each.account.split(" ")[0]: each for each in sorted(timed, key=lambda each: each.seen)}
    for agent in AGENTS:
        window = latest.get(agent)
        if window is not None and window.resets is not None:
            start, source = window.resets - BLOCK_S, "vendor"
        else:
            begun, source = _begun(db, agent, now), "guess"
            if begun is None:
                continue
            start = begun
        yield _forecast(db, agent, start, source, now)


def _begun(db: sqlite3.Connection, agent: str, now: float) -> float | None:
    """The guess at when the five hours under way began; None when none are."""
    start, sql = float("-inf"), (
        "SELECT DISTINCT c.quarter FROM cell AS c JOIN session AS s ON s.id = c.session "
        "WHERE s.agent = ? AND c.quarter <= ? ORDER BY 1"
    )  # fmt: skip
    for (quarter,) in db.execute(sql, (agent, now // 900)):
        if quarter * 900 >= start + BLOCK_S:
            start = quarter * 900 // 3600 * 3600
    return start if start + BLOCK_S > now else None


def _forecast(db: sqlite3.Connection, agent: str, start: float, source: str, now: float) -> ForecastView:
    sql = (
        "SELECT a.at / 1000.0, a.input + a.output + a.read + a.written, CASE WHEN s.free THEN 0 ELSE a.cost END "
        "FROM answer AS a JOIN session AS s ON s.id = a.session WHERE a.at >= ? AND a.at <= ? AND s.agent = ? ORDER BY 1"
    )
    found = db.execute(sql, (start * 1000, now * 1000, agent)).fetchall()
    end = start + BLOCK_S
    left, priced = max(0.0, end - now), all(row[2] is not None for row in found)
    tokens, parts = sum(row[1] for row in found), sum(row[2] or 0 for row in found)
    paces = list(_paces(found, now))
    usual = paces[min(1, len(paces) - 1)] if paces else None
    ends = sorted(tokens + round(left * pace[0]) for pace in paces)
    costs = sorted(float(dollars(parts)) + left * pace[1] for pace in paces)
    return ForecastView(
        agent=agent,
        start=start,
        end=end,
        source=source,
        left=left,
        tokens=tokens,
        cost=dollars(parts) if priced else None,
        tokens_minute=usual[0] * 60 if usual else None,
        cost_hour=usual[1] * 3600 if usual and priced else None,
        likely_tokens=tokens + round(left * usual[0]) if usual else None,
        likely_cost=float(dollars(parts)) + left * usual[1] if usual and priced else None,
        range_tokens=(ends[0], ends[-1]) if ends else None,
        range_cost=(costs[0], costs[-1]) if costs and priced else None,
    )


def _paces(found: list[tuple[float, int, int | None]], now: float) -> Iterator[tuple[float, float]]:
    """Tokens and dollars in a second: over each span that there was, and over all since the first answer."""
    since = now - found[0][0] if found else 0.0
    if since < LEAST_S:
        return
    for span in (*(each for each in SPANS_S if each < since), since):
        late = [row for row in found if row[0] >= now - span]
        yield sum(row[1] for row in late) / span, float(dollars(sum(row[2] or 0 for row in late))) / span
