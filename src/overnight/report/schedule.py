"""What comes by itself, and when: tasks that are tried again, windows that open, briefs, digests. From records and settings."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as Clock  # noqa: N812 (a type)
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec import Struct

from overnight.missions.codec import decode
from overnight.missions.hold import Hold
from overnight.people.settings import NotifySettings
from overnight.report.budget import BudgetView
from overnight.report.journal import reading, snapshot
from overnight.report.limits import LimitsView
from overnight.report.nights import ReportSettings, clock_time, latest, night_after

#: Tasks that are told; the count says how many there are.
MOST = 100


class Sort(StrEnum):
    """What comes."""

    #: A held task is tried or looked at again.
    TASK = "task"
    #: A vendor's window opens anew.
    WINDOW = "window"
    #: A limit of spending begins anew.
    BUDGET = "budget"
    #: The brief of a night.
    BRIEF = "brief"
    #: What was gathered is told.
    DIGEST = "digest"
    #: Hours begin or end in which only what is urgent is told.
    QUIET = "quiet"
    #: The audit of the day is signed.
    CHECKPOINT = "checkpoint"


class Coming(Struct, frozen=True, kw_only=True):
    """One thing that comes by itself."""

    #: Epoch seconds.
    at: float
    sort: Sort
    #: What it is about: a task's title, an account and its window.
    what: str
    why: str = ""
    #: The task's id; null for what is about none.
    task: str | None = None


class Schedule(Struct, frozen=True, kw_only=True):
    """What comes, the soonest first."""

    at: float
    coming: tuple[Coming, ...]
    #: Tasks that wait for a time, of which the first are told.
    tasks: int


def schedule(
    home: Path, now: float, limits: LimitsView, spent: BudgetView, report: ReportSettings, notify: NotifySettings
) -> Schedule:
    """As of now, epoch seconds."""
    with reading(home) as db, snapshot(db):
        count = db.execute("SELECT count(*) FROM task WHERE wake_at IS NOT NULL AND state = 'waiting'").fetchone()[0]
        tasks = list(_tasks(db))
    coming = [*tasks, *_windows(limits, now), *_budgets(spent, now), *_daily(report, notify, now)]
    return Schedule(at=now, coming=tuple(sorted(coming, key=lambda each: each.at)), tasks=count)


def _tasks(db: sqlite3.Connection) -> Iterator[Coming]:
    sql = (
        "SELECT id, wake_at, hold, json_extract(input, '$.title') AS title FROM task "
        "WHERE wake_at IS NOT NULL AND state = 'waiting' ORDER BY wake_at LIMIT ?"
    )
    for row in db.execute(sql, (MOST,)):
        hold = decode(row["hold"], Hold) if row["hold"] else None
        why = f"{hold.reason}: {hold.why}" if hold is not None else ""
        yield Coming(at=row["wake_at"], sort=Sort.TASK, what=row["title"] or row["id"], why=why, task=row["id"])


def _windows(limits: LimitsView, now: float) -> Iterator[Coming]:
    for account in limits.accounts:
        for window in account.windows:
            if window.resets is not None and window.resets > now:
                used = "" if window.used is None else f"{window.used:.0%}"
                yield Coming(at=window.resets, sort=Sort.WINDOW, what=f"{account.name}, {window.name}", why=used)


def _budgets(spent: BudgetView, now: float) -> Iterator[Coming]:
    for each in spent.spent:
        if each.limits and each.until is not None and each.until > now:
            used = "" if each.percent is None else f"{each.percent:.0f} %"
            yield Coming(at=each.until, sort=Sort.BUDGET, what=f"{each.repo or ''} {each.span}".strip(), why=used)


def _daily(report: ReportSettings, notify: NotifySettings, now: float) -> Iterator[Coming]:
    if report.daily:
        ends = clock_time(report.at)
        yield Coming(at=night_after(latest(now, ends), ends).until, sort=Sort.BRIEF, what=report.at)
    zone = ZoneInfo(notify.zone) if notify.zone else None
    if any(target.digest for target in notify.targets.values()):
        yield Coming(at=_next(now, notify.digest, zone), sort=Sort.DIGEST, what=notify.digest)
    if notify.quiet and notify.targets:
        begins, _, ends_at = notify.quiet.partition("-")
        soonest = min(_next(now, each, zone) for each in (begins, ends_at))
        yield Coming(at=soonest, sort=Sort.QUIET, what=notify.quiet)
    midnight = (datetime.fromtimestamp(now, UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    yield Coming(at=midnight.timestamp(), sort=Sort.CHECKPOINT, what="")


def _next(now: float, clock: str, zone: ZoneInfo | None) -> float:
    """When a clock shows this the next time."""
    here = datetime.fromtimestamp(now, zone)
    wanted: Clock = clock_time(clock.strip())
    for day in (here.date(), here.date() + timedelta(days=1)):
        plain = datetime.combine(day, wanted)
        at = (plain.replace(tzinfo=zone) if zone is not None else plain.astimezone()).timestamp()
        if at > now:
            return at
    raise AssertionError("a day has 24 hours")
