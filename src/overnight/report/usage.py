"""What models were used for and what that is worth, over all of a person's agents: the index, added up by what was asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from overnight.errors import BadInput
from overnight.missions.places import split_run
from overnight.missions.tokens import Tokens
from overnight.report.forecast import BLOCK_S, ForecastView, WindowSeen, forecasts, windows
from overnight.usage.costs import dollars
from overnight.usage.entries import NEVER

BY = ("daily", "weekly", "monthly", "session", "block", "task", "model")
QUARTER_S = 900
#: Where answers go of which nobody knows when they were given.
UNDATED = "undated"
#: Where answers go that no task of Overnight's asked for.
YOURS = "your own sessions"
_UNDATED_QUARTER = NEVER // (QUARTER_S * 1000)
_SUMS = ("answers", "input", "output", "thinking", "read", "written", "hour", "searches", "unknown")


class UsageRow(Struct, frozen=True, kw_only=True):
    """One day, session, task ... with what was used in it."""

    #: `2026-11-21`, `2026-W47`, `2026-11`, a session's, task's or model's name; of a block its beginning.
    name: str
    #: claude, codex or gemini; empty where there are several.
    agent: str
    #: The folder of a session; empty where there are several.
    folder: str
    #: Overnight's task that a session belongs to, and its repo; empty for a person's own.
    task: str
    repo: str
    #: Epoch seconds of the first and the last answer, each at the quarter of an hour before it; null when nobody knows.
    first: float | None
    last: float | None
    answers: int
    tokens: Tokens
    #: US dollars at list prices, as text, exact: of the answers that have a known price.
    cost: Decimal
    #: Answers without a known price; they are in `tokens`, not in `cost`.
    unpriced: int
    #: Answers that do not say what they used; they are in no figure.
    unknown: int
    #: Names of the models, the dearest first; one in its fast mode is `MODEL (fast)`.
    models: tuple[str, ...]
    #: Of them, those without a known price.
    unpriced_models: tuple[str, ...]
    #: What Overnight itself spent of it: tokens, and US dollars at list prices.
    own_tokens: int
    own_cost: Decimal


class UsageView(Struct, frozen=True, kw_only=True):
    """What was used, and what is left of vendors' limits."""

    #: Epoch seconds of the look.
    at: float
    #: daily, weekly, monthly, session, block, task or model.
    by: str
    #: Whose days they are; empty for this machine's own time zone.
    timezone: str
    rows: tuple[UsageRow, ...]
    total: UsageRow
    #: Vendors' limits as somebody told them; empty when nobody did.
    windows: tuple[WindowSeen, ...]
    #: Each agent's five hours under way.
    forecasts: tuple[ForecastView, ...]
    #: Folders with logs that were found, and how many logs are in them.
    roots: tuple[str, ...] = ()
    logs: int = 0
    #: What could not be read.
    problems: tuple[str, ...] = ()


class Wanted(Struct, frozen=True, kw_only=True):
    """What to add up."""

    by: str = "daily"
    #: The first and the last day that count; None leaves that open.
    since: date | None = None
    until: date | None = None
    #: A folder (with all below it), the name of one, or a repo of Overnight's.
    project: str | None = None
    #: None: this machine's.
    zone: ZoneInfo | None = None


class _Cell(NamedTuple):
    """A sum over cells of the index."""

    quarter: int
    session: int
    agent: str
    model: str
    own: bool
    cost: int
    unpriced: int
    sums: tuple[int, ...]


class _Session(NamedTuple):
    name: str
    agent: str
    folder: str
    run: str
    repo: str


def usage(db: sqlite3.Connection, wanted: Wanted, now: float, told: tuple[WindowSeen, ...] = ()) -> UsageView:
    """Add up the index. told: what else is known of vendors' limits. Raises BadInput for a project that no log speaks of."""
    sessions = _sessions(db, wanted)
    key = _keys(db, wanted, sessions)
    rows, total = dict[tuple[object, ...], _Sum](), _Sum()
    for cell in _cells(db, wanted, sessions):
        order, name = key(cell)
        where = (*order, name)
        if where not in rows:
            rows[where] = _Sum()
        for each in (rows[where], total):
            each.add(cell)
    found = [rows[where].row(str(where[-1]), wanted, sessions) for where in sorted(rows, key=_placed)]
    known = (*told, *windows(db, now))
    return UsageView(
        at=now,
        by=wanted.by,
        timezone=wanted.zone.key if wanted.zone is not None else "",
        rows=tuple(found),
        total=total.row("total", wanted, {}),
        windows=known,
        forecasts=tuple(forecasts(db, known, now)),
    )


def _placed(where: tuple[object, ...]) -> tuple[object, ...]:
    return tuple((each is None, each or 0) if not isinstance(each, str) else (False, each) for each in where)


def local(at: float, zone: ZoneInfo | None) -> datetime:
    """A moment by the clock on the wall."""
    return datetime.fromtimestamp(at, zone) if zone is not None else datetime.fromtimestamp(at).astimezone()


def midnight(day: date, zone: ZoneInfo | None) -> float:
    """Epoch seconds at which a day begins."""
    moment = datetime.combine(day, clock_time.min, zone)
    return (moment if zone is not None else moment.astimezone()).timestamp()


# -- the index ----------------------------------------------------------------------------------------------


def _sessions(db: sqlite3.Connection, wanted: Wanted) -> dict[int, _Session]:
    """The sessions that count, by number. Raises BadInput for a project that none is in."""
    sql = "SELECT id, name, agent, folder, run, repo FROM session"
    every = {row[0]: _Session(*row[1:]) for row in db.execute(sql)}
    if wanted.project is None:
        return every
    found = {number: session for number, session in every.items() if _is_in(session, wanted.project)}
    if not found:
        names = sorted({each for session in every.values() for each in (session.folder, session.repo) if each})
        known = f"Known are {', '.join(names[:8])}{' and more' if len(names) > 8 else ''}." if names else ""
        raise BadInput(problem=f"No log speaks of a project {wanted.project!r}. {known}".strip())
    return found


def _is_in(session: _Session, project: str) -> bool:
    if "/" in project:
        folder = project.rstrip("/") or "/"
        return session.folder == folder or session.folder.startswith(f"{folder.rstrip('/')}/")
    return project in (session.folder.rpartition("/")[2], session.repo)


def _cells(db: sqlite3.Connection, wanted: Wanted, sessions: dict[int, _Session]) -> Iterator[_Cell]:
    timed = wanted.by in ("daily", "weekly", "monthly", "block")
    apart = wanted.by in ("session", "task") or wanted.project is not None
    since = midnight(wanted.since, wanted.zone) // QUARTER_S if wanted.since is not None else None
    until = midnight(wanted.until + timedelta(days=1), wanted.zone) // QUARTER_S if wanted.until is not None else None
    sums = ", ".join(f"sum(c.{name})" for name in _SUMS)
    by = ", ".join([*(["c.quarter"] if timed else []), *(["c.session"] if apart else []), "s.agent", "b.model"])
    # Names of columns only; what a person says goes in as values.
    sql = f"""
        SELECT min(c.quarter), max(c.quarter), c.session, s.agent, b.model, b.speed, s.run != '',
               sum(CASE WHEN s.free THEN 0 ELSE c.cost END), sum(CASE WHEN s.free THEN 0 ELSE c.unpriced END), {sums}
        FROM cell AS c JOIN session AS s ON s.id = c.session JOIN billing AS b ON b.id = c.billing
        WHERE (?1 IS NULL OR c.quarter BETWEEN ?1 AND {_UNDATED_QUARTER - 1}) AND (?2 IS NULL OR c.quarter < ?2)
        GROUP BY {by}, b.speed, s.run != ''
    """  # noqa: S608
    for first, last, session, agent, model, speed, own, cost, unpriced, *rest in db.execute(sql, (since, until)):
        if apart and session not in sessions:
            continue
        shown = f"{model or 'unnamed model'}{f' ({speed})' if speed not in ('', 'standard') else ''}"
        cell = _Cell(first, session, agent, shown, bool(own), cost, unpriced, tuple(rest))
        yield cell
        if last != first:  # only for when the last answer was
            yield cell._replace(quarter=last, cost=0, unpriced=0, sums=(0,) * len(_SUMS))


def _keys(
    db: sqlite3.Connection, wanted: Wanted, sessions: dict[int, _Session]
) -> Callable[[_Cell], tuple[tuple[object, ...], str]]:
    """What a cell belongs to: what to order by, and its name."""
    match wanted.by:
        case "session":
            return lambda cell: ((sessions[cell.session].agent,), sessions[cell.session].name)
        case "task":
            return lambda cell: _task_key(sessions[cell.session])
        case "model":
            return lambda cell: ((), cell.model)
        case "block":
            return _block_key(db, wanted)
        case _:
            return _day_key(wanted)


def _task_key(session: _Session) -> tuple[tuple[object, ...], str]:
    return ((0,), _task_of(session.run)) if session.run else ((1,), YOURS)


def _day_key(wanted: Wanted) -> Callable[[_Cell], tuple[tuple[object, ...], str]]:
    known = dict[int, str]()

    def key(cell: _Cell) -> tuple[tuple[object, ...], str]:
        if cell.quarter not in known:
            known[cell.quarter] = _period(cell.quarter, wanted)
        return (cell.quarter >= _UNDATED_QUARTER,), known[cell.quarter]

    return key


def _period(quarter: int, wanted: Wanted) -> str:
    if quarter >= _UNDATED_QUARTER:
        return UNDATED
    day = local(quarter * QUARTER_S, wanted.zone).date()
    if wanted.by == "weekly":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02d}"
    return f"{day:%Y-%m}" if wanted.by == "monthly" else day.isoformat()


def _block_key(db: sqlite3.Connection, wanted: Wanted) -> Callable[[_Cell], tuple[tuple[object, ...], str]]:
    starts = dict[str, dict[int, int]]()

    def key(cell: _Cell) -> tuple[tuple[object, ...], str]:
        if cell.quarter >= _UNDATED_QUARTER:
            return (True, cell.agent), UNDATED
        if cell.agent not in starts:
            starts[cell.agent] = dict(_blocks(db, cell.agent))
        start = starts[cell.agent][cell.quarter]
        return (False, cell.agent), f"{local(start * QUARTER_S, wanted.zone):%Y-%m-%d %H:%M%z}"

    return key


def _blocks(db: sqlite3.Connection, agent: str) -> Iterator[tuple[int, int]]:
    """Each quarter with answers of an agent, with the one that its five hours began with: at the full hour of the first
    answer after the five hours before."""
    sql = "SELECT DISTINCT c.quarter FROM cell AS c JOIN session AS s ON s.id = c.session WHERE s.agent = ? ORDER BY 1"
    start, hour = -(1 << 62), 3600 // QUARTER_S
    for (quarter,) in db.execute(sql, (agent,)):
        if quarter >= start + BLOCK_S // QUARTER_S:
            start = quarter - quarter % hour
        yield quarter, start


# -- sums ---------------------------------------------------------------------------------------------------


class _Sum:
    """What cells come to."""

    def __init__(self) -> None:
        self._sums = [0] * len(_SUMS)
        self._cost = self._unpriced = self._own_cost = self._own_tokens = 0
        self._models: dict[str, list[int]] = {}
        self._first, self._last = _UNDATED_QUARTER, -1
        self._sessions: set[int] = set()
        self._agents: set[str] = set()

    def add(self, cell: _Cell) -> None:
        """One more."""
        sums = self._sums
        for n, value in enumerate(cell.sums):
            sums[n] += value
        self._cost += cell.cost
        self._unpriced += cell.unpriced
        model = self._models.setdefault(cell.model, [0, 0, 0])
        tokens = _total(cell.sums)
        for n, value in enumerate((cell.cost, tokens, cell.unpriced)):
            model[n] += value
        if cell.own:
            self._own_cost += cell.cost
            self._own_tokens += tokens
        self._sessions.add(cell.session)
        self._agents.add(cell.agent)
        if cell.quarter < _UNDATED_QUARTER:
            self._first, self._last = min(self._first, cell.quarter), max(self._last, cell.quarter)

    def row(self, name: str, wanted: Wanted, sessions: dict[int, _Session]) -> UsageRow:
        """As a value."""
        answers, read, wrote, thinking, cached, written, hour, searches, unknown = self._sums
        tokens = Tokens(
            input=read, output=wrote, thinking=thinking, cache_read=cached, cache_write=written, cache_write_1h=hour,
            web_searches=searches,
        )  # fmt: skip
        ranked = sorted(self._models, key=lambda model: (*(-n for n in self._models[model][:2]), model))
        alone = sessions.get(next(iter(self._sessions))) if wanted.by == "session" and self._sessions else None
        run = alone.run if alone is not None else ""
        repos = {sessions[each].repo for each in self._sessions if each in sessions and wanted.by == "task"}
        return UsageRow(
            name=name,
            agent=next(iter(self._agents)) if len(self._agents) == 1 else "",
            folder=alone.folder if alone is not None else "",
            task=_task_of(run) if run else "",
            repo=alone.repo if alone is not None else next(iter(repos)) if len(repos) == 1 else "",
            first=float(self._first * QUARTER_S) if self._last >= 0 else None,
            last=float(self._last * QUARTER_S) if self._last >= 0 else None,
            answers=answers,
            tokens=tokens,
            cost=dollars(self._cost),
            unpriced=self._unpriced,
            unknown=unknown,
            models=tuple(ranked),
            unpriced_models=tuple(model for model in ranked if self._models[model][2]),
            own_tokens=self._own_tokens,
            own_cost=dollars(self._own_cost),
        )


def _total(sums: tuple[int, ...]) -> int:
    """All that was read and written: input, output, read from a cache, written to one."""
    return sums[1] + sums[2] + sums[4] + sums[5]


def _task_of(run: str) -> str:
    try:
        return split_run(run)[0]
    except ValueError:
        return run
