"""What may be spent and what was: every limit with what is taken from it, from the journal and the settings."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec import Struct

from overnight.durable.ledger import PARTS, SPANS, day_of
from overnight.durable.purse import RECORD
from overnight.judge.budget import BudgetSettings, Sum, Window
from overnight.missions.codec import convert, decode
from overnight.missions.money import Amount, Budget
from overnight.report.journal import reading, snapshot

#: Spans that are about time; those of a run and of a task are limits of each one.
TIMES = ("day", "month", "all")


class SpentView(Struct, frozen=True, kw_only=True):
    """What was spent in a span of time, and how much is left."""

    #: Name of the repo; null for all repos together.
    repo: str | None
    #: day, month or all (ever).
    span: str
    #: US dollars that were billed by use, as text, exact.
    usd: Decimal
    #: Tokens on every route.
    tokens: int
    #: US dollars and tokens that are set aside for runs that go on.
    reserved_usd: Decimal
    reserved_tokens: int
    #: Runs without a known cost; each counts at its whole allowance.
    unpriced: int
    #: The limits that hold here, the tightest first; empty when there is none.
    limits: tuple[Amount, ...] = ()
    #: Percent of the tightest limit that is spent; null without a limit.
    percent: int | None = None
    #: Epoch seconds at which it begins anew; null when it does not.
    until: float | None = None


class EachView(Struct, frozen=True, kw_only=True):
    """A limit of each run or each task."""

    #: Name of the repo; null for every repo.
    repo: str | None
    #: run or task.
    span: str
    limit: Amount
    #: The one task that it is for; null for every task.
    task: str | None = None


class BudgetView(Struct, frozen=True, kw_only=True):
    """The budget at a glance."""

    #: Epoch seconds of the look.
    at: float
    each: tuple[EachView, ...]
    spent: tuple[SpentView, ...]


def budget(home: Path, settings: BudgetSettings, now: float) -> BudgetView:
    """Limits and what is taken from them. A repo's own limits are those that its latest run was under."""
    with reading(home) as db, snapshot(db):
        return read_budget(db, settings, now)


def read_budget(db: sqlite3.Connection, settings: BudgetSettings, now: float) -> BudgetView:
    """As `budget`, for whoever has a connection."""
    records = {
        row["key"]: convert(msgspec.json.decode(row["value"]), Amount)
        for row in db.execute("SELECT key, value FROM record WHERE kind = ?", (RECORD,))
    }
    known = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'spent'").fetchone() is not None
    repos = _repos(db, records) if known else []
    spent = [view for repo in (None, *repos) for view in _spent(db, settings, records, repo, now)] if known else []
    return BudgetView(at=now, each=tuple(_each(settings, records, repos)), spent=tuple(spent))


def settled_by_repo(db: sqlite3.Connection) -> list[sqlite3.Row]:
    """(repo, runs, usd in parts, tokens, unpriced) of all runs that were settled, ever; the dearest repo first."""
    sql = (
        "SELECT repo, runs - (SELECT count(*) FROM spend WHERE settled IS NULL AND +spend.repo = spent.repo) AS ended, usd, "
        "tokens, unpriced FROM spent WHERE which = ''"
    )
    sql = (
        f"SELECT repo, ended AS runs, usd, tokens, unpriced FROM ({sql}) WHERE ended > 0 ORDER BY usd DESC, tokens DESC"  # noqa: S608
    )
    return db.execute(sql).fetchall()


def _repos(db: sqlite3.Connection, records: dict[str, Amount]) -> list[str]:
    found = {row["repo"] for row in db.execute("SELECT repo FROM spent WHERE which = '' AND runs > 0")}
    return sorted(found | {key.split(" ")[1] for key in records if key.startswith("repo ")})


def _limit(settings: BudgetSettings, records: dict[str, Amount], repo: str | None, span: str) -> Amount | None:
    """What the machine's owner allows; what was set goes before the settings."""
    of: Budget = settings if repo is None else settings.repo
    return records.get(span if repo is None else f"repo {repo} {span}", getattr(of, span))


def _each(settings: BudgetSettings, records: dict[str, Amount], repos: list[str]) -> Iterator[EachView]:
    for repo in (None, *repos):
        for span in (span for span in SPANS if span not in TIMES):
            if (limit := _limit(settings, records, repo, span)) is not None:
                yield EachView(repo=repo, span=span, limit=limit)
    for key, limit in records.items():
        if key.startswith("task "):
            yield EachView(repo=None, span="task", limit=limit, task=key.removeprefix("task "))


def _spent(
    db: sqlite3.Connection, settings: BudgetSettings, records: dict[str, Amount], repo: str | None, now: float
) -> Iterator[SpentView]:
    day, month, tomorrow, next_month = day_of(now)
    ends = {"day": (day, tomorrow), "month": (month, next_month), "all": ("", None)}
    policy = _policy(db, repo) if repo is not None else ()
    for span in TIMES:
        which, until = ends[span]
        spent, reserved, unpriced = _sums(db, which, repo)
        own = _limit(settings, records, repo, span)
        limits = [*([own] if own is not None else []), *(window.limit for window in policy if window.span == span)]
        windows = [Window(key="", name="", span=span, limit=limit, spent=spent, reserved=reserved) for limit in limits]
        windows.sort(key=lambda window: -window.percent)
        if repo is not None and not windows and span != "month":
            continue
        yield SpentView(
            repo=repo, span=span, usd=spent.usd, tokens=spent.tokens, reserved_usd=reserved.usd,
            reserved_tokens=reserved.tokens, unpriced=unpriced,
            limits=tuple(window.limit for window in windows), percent=windows[0].percent if windows else None,
            until=until,
        )  # fmt: skip


def _sums(db: sqlite3.Connection, which: str, repo: str | None) -> tuple[Sum, Sum, int]:
    """What was spent, what is set aside, and how many runs have no known cost. which: a day, a month, or empty."""
    sql = (
        "SELECT coalesce(sum(usd), 0), coalesce(sum(tokens), 0), coalesce(sum(held_usd), 0), "
        "coalesce(sum(held_tokens), 0), coalesce(sum(unpriced), 0) FROM spent WHERE which = ?1 AND (?2 IS NULL OR repo = ?2)"
    )
    usd, tokens, held_usd, held_tokens, unpriced = db.execute(sql, (which, repo)).fetchone()
    spent = Sum(usd=Decimal(usd) / PARTS, tokens=tokens)
    return spent, Sum(usd=Decimal(held_usd) / PARTS, tokens=held_tokens), unpriced


def _policy(db: sqlite3.Connection, repo: str) -> tuple[Window, ...]:
    """What the repo's own policy said when its latest run was granted its allowance."""
    row = db.execute("SELECT windows FROM spend WHERE repo = ? ORDER BY at DESC LIMIT 1", (repo,)).fetchone()
    windows = decode(row["windows"], tuple[Window, ...]) if row is not None else ()
    return tuple(window for window in windows if window.key.endswith("(the repo's)"))
