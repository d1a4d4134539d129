"""The ledger: what runs were given and what they took, in the journal. Sums are whole numbers, so they are exact."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal

import msgspec
from msgspec import Struct

from overnight.durable.journal import Journal
from overnight.judge.budget import Sum, Window, passed, show_amount
from overnight.missions.codec import decode, encode
from overnight.missions.money import Allowance, Amount, Budget

#: Parts of a dollar that the ledger counts in. No price list goes below them.
PARTS = 10**12
SPANS = ("run", "task", "day", "month", "all")
_WORDS = {"run": "run's", "task": "task's", "day": "day's", "month": "month's", "all": "whole"}
#: What the ids of loans to judges hold, and those of runs never do: `RUN/judge/NAME/N`.
ASKING = "/judge/"
#: Settled runs that say how fast runs usually spend.
USUAL_RUNS, LEAST_RUNS = 20, 5


class Scope(Struct, frozen=True, kw_only=True):
    """Limits, and whose they are."""

    #: None: of all repos together.
    repo: str | None
    budget: Budget
    #: Who set them: "this machine's settings". Only tells two limits of the same span apart.
    by: str


class Run(Struct, frozen=True, kw_only=True):
    """Who spends."""

    id: str
    task: str
    repo: str
    #: Epoch seconds of its grant.
    at: float


def day_of(at: float) -> tuple[str, str, float, float]:
    """Day, month, and when each of them ends, by this machine's clock; epoch seconds."""
    now = datetime.fromtimestamp(at).astimezone()
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time.min).astimezone()
    first = datetime.combine((now.date().replace(day=1) + timedelta(days=32)).replace(day=1), time.min).astimezone()
    return f"{now:%Y-%m-%d}", f"{now:%Y-%m}", tomorrow.timestamp(), first.timestamp()


def windows_of(db: sqlite3.Connection, run: Run, scopes: Iterable[Scope]) -> tuple[Window, ...]:
    """Every limit that a run is under, with what is taken from it; what this run itself was given is not counted."""
    return tuple(_window(db, run, scope, span, limit) for scope in scopes for span, limit in _limits(scope.budget))


def _limits(budget: Budget) -> Iterable[tuple[str, Amount]]:
    return ((span, limit) for span in SPANS if (limit := getattr(budget, span)) is not None)


def _window(db: sqlite3.Connection, run: Run, scope: Scope, span: str, limit: Amount) -> Window:
    day, month, tomorrow, next_month = day_of(run.at)
    whose = "" if span in ("run", "task") else f" of {f'repo {scope.repo}' if scope.repo else 'all repos'}"
    which = {"run": run.id, "task": run.task, "day": day, "month": month, "all": "time"}[span]
    place = "" if span in ("run", "task") else f"{scope.repo or '*'} "
    spent, reserved = taken(db, span, run, scope.repo, but=run.id)
    return Window(
        key=f"{place}{span} {which} ({scope.by})",
        name=f"the {_WORDS[span]} budget{whose} ({scope.by})",
        span=span,
        repo=scope.repo,
        limit=limit,
        spent=spent,
        reserved=reserved,
        until={"day": tomorrow, "month": next_month}.get(span),
    )


def taken(db: sqlite3.Connection, span: str, run: Run, repo: str | None, but: str = "") -> tuple[Sum, Sum]:
    """What runs took of a limit, and what is set aside for those that go on; without the run `but`, if it goes on.

    repo: whose limit it is; None: of all repos together.
    """
    day, month, _, _ = day_of(run.at)
    values = {"run": run.id, "task": run.task, "day": day, "month": month, "repo": repo, "but": but}
    condition = {
        "run": "run = :run",
        "task": "task = :task",
        "day": "day = :day",
        "month": "month = :month",
        "all": "1",
    }
    sql = (  # the condition is one of ours
        "SELECT coalesce(sum(usd), 0) AS usd, coalesce(sum(tokens), 0) AS tokens, "  # noqa: S608
        "coalesce(sum(reserved_usd), 0) AS held_usd, coalesce(sum(reserved_tokens), 0) AS held_tokens "
        f"FROM spend WHERE {condition[span]} AND (:repo IS NULL OR repo = :repo) "
        "AND NOT (run = :but AND settled IS NULL)"
    )
    row = db.execute(sql, values).fetchone()
    spent = Sum(usd=Decimal(row["usd"]) / PARTS, tokens=row["tokens"])
    return spent, Sum(usd=Decimal(row["held_usd"]) / PARTS, tokens=row["held_tokens"])


class Ledger:
    """The writer's view."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._db = journal, journal.db

    def granted(self, run: str) -> Allowance | None:
        """What a run was given before; None when nothing was."""
        row = self._db.execute("SELECT allowance FROM spend WHERE run = ?", (run,)).fetchone()
        return None if row is None else decode(row["allowance"], Allowance)

    def windows(self, run: Run, scopes: Iterable[Scope]) -> tuple[Window, ...]:
        """As `windows_of`."""
        return windows_of(self._db, run, scopes)

    def reserve(self, run: Run, allowance: Allowance, windows: Sequence[Window], *, paid: bool) -> None:
        """Set the allowance aside, in the place of an earlier one. To be called in the transaction that looked at the
        windows."""
        day, month, _, _ = day_of(run.at)
        before = self.granted(run.id)
        usd = _parts(allowance.usd) if paid and allowance.usd is not None else 0
        row = (run.id, run.task, run.repo, day, month, run.at, paid, encode(allowance).decode(),
               encode(windows).decode(), usd, allowance.tokens or 0)  # fmt: skip
        sql = (
            "INSERT INTO spend(run, task, repo, day, month, at, paid, allowance, windows, reserved_usd, reserved_tokens) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET day = excluded.day, month = excluded.month, "
            "at = excluded.at, paid = excluded.paid, allowance = excluded.allowance, windows = excluded.windows, "
            "reserved_usd = excluded.reserved_usd, reserved_tokens = excluded.reserved_tokens"
        )
        self._db.execute(sql, row)
        if before is not None and (before.usd, before.tokens) == (allowance.usd, allowance.tokens):
            return  # it was told
        given = Amount(usd=None, tokens=allowance.tokens)
        words = " and ".join(
            part for part in (f"{allowance.usd.normalize():f} USD" if allowance.usd is not None else "",
                              show_amount(given) if allowance.tokens is not None else "") if part
        )  # fmt: skip
        self._journal.tell("budget.granted", task=run.task, why=words or "no limit", run=run.id)

    def rest(self, task: str, begun: Callable[[str], bool]) -> None:
        """Give back for the time being what a task's runs were given that have not begun: it waits, and nobody knows
        how long. `LedgerPurse.take_up` sets it aside again. It may look every few seconds, so nothing is told. To be
        called in a transaction. Of a ledger that can't be read nothing is given back."""
        sql = "SELECT run FROM spend WHERE task = ? AND settled IS NULL AND (reserved_usd > 0 OR reserved_tokens > 0)"
        try:
            rows = self._db.execute(sql, (task,)).fetchall()
        except sqlite3.Error:
            return
        for row in rows:
            if ASKING not in row["run"] and not begun(row["run"]):
                self._db.execute("UPDATE spend SET reserved_usd = 0, reserved_tokens = 0 WHERE run = ?", (row["run"],))

    def resting(self, run: str) -> bool:
        """Whether a run was given something that is not set aside for it now."""
        sql = "SELECT allowance, paid, reserved_usd, reserved_tokens FROM spend WHERE run = ? AND settled IS NULL"
        row = self._db.execute(sql, (run,)).fetchone()
        if row is None:
            return False
        given = decode(row["allowance"], Allowance)
        due = (_parts(given.usd) if row["paid"] and given.usd is not None else 0, given.tokens or 0)
        return due != (row["reserved_usd"], row["reserved_tokens"])

    def open_runs(self, task: str) -> tuple[str, ...]:
        """Runs of a task that were given something and are not settled."""
        rows = self._db.execute("SELECT run FROM spend WHERE task = ? AND settled IS NULL ORDER BY at, run", (task,))
        return tuple(row["run"] for row in rows)

    def loans(self, asking: str) -> tuple[str, ...]:
        """Everything that was lent for one asking, `RUN/judge/NAME`, so far."""
        sql = "SELECT run FROM spend WHERE run > ? AND run < ? ORDER BY at, run"
        after = chr(ord("/") + 1)
        return tuple(row["run"] for row in self._db.execute(sql, (f"{asking}/", f"{asking}{after}")))

    def settle(self, run: str, took: Sum, *, unpriced: bool) -> bool:
        """Take what a run took, give back the rest, and tell the thresholds that this passes. False when it was settled
        before: then nothing changes. To be called in a transaction."""
        row = self._db.execute("SELECT * FROM spend WHERE run = ? AND settled IS NULL", (run,)).fetchone()
        if row is None:
            return False
        sql = (
            "UPDATE spend SET settled = ?, usd = ?, tokens = ?, unpriced = ?, reserved_usd = 0, reserved_tokens = 0 "
            "WHERE run = ?"
        )
        self._db.execute(sql, (self._journal.clock.now(), _parts(took.usd), took.tokens, unpriced, run))
        self._journal.tell("budget.settled", task=row["task"], why=f"{took.usd.normalize():f} USD, {took.tokens} tokens",
                           run=run, unpriced=unpriced)  # fmt: skip
        return True

    def tell_thresholds(self, run: Run, windows: Sequence[Window]) -> None:
        """Tell once what each limit's share went over. To be called in a transaction."""
        for window in windows:
            row = self._db.execute(
                "SELECT max(percent) AS at FROM threshold WHERE window = ?", (window.key,)
            ).fetchone()
            for percent in passed(row["at"] or 0, window.percent):
                self._db.execute(
                    "INSERT INTO threshold VALUES (?, ?, ?)", (window.key, percent, self._journal.clock.now())
                )
                why = f"{percent} % of {window.name}, {show_amount(window.limit)}"
                self._journal.tell("budget.threshold", task=run.task, why=why, percent=percent, window=window.key)

    def run(self, ident: str) -> tuple[Run, bool, tuple[Window, ...]] | None:
        """A run that was given something: who it is, whether it may be billed, and its limits as they were then."""
        row = self._db.execute("SELECT * FROM spend WHERE run = ?", (ident,)).fetchone()
        if row is None:
            return None
        run = Run(id=row["run"], task=row["task"], repo=row["repo"], at=row["at"])
        return run, bool(row["paid"]), decode(row["windows"], tuple[Window, ...])

    def now(self, run: Run, windows: Sequence[Window]) -> tuple[Window, ...]:
        """The same limits, with what is taken from them now."""
        found: list[Window] = []
        for window in windows:
            spent, reserved = taken(self._db, window.span, run, window.repo)
            found.append(msgspec.structs.replace(window, spent=spent, reserved=reserved))
        return tuple(found)

    def usual(self, repo: str) -> Decimal | None:
        """Dollars a minute that runs of a repo lately spent; None when there were too few."""
        sql = (
            "SELECT usd, settled - at AS lasted FROM spend WHERE repo = ? AND paid AND settled > at + 60 AND usd > 0 "
            "AND instr(run, ?) = 0 ORDER BY settled DESC LIMIT ?"
        )
        rows = self._db.execute(sql, (repo, ASKING, USUAL_RUNS)).fetchall()
        if len(rows) < LEAST_RUNS:
            return None
        spent = Decimal(sum(row["usd"] for row in rows)) / PARTS
        return round(spent * 60 / Decimal(sum(row["lasted"] for row in rows)), 12)


def _parts(usd: Decimal) -> int:
    """Whole parts, rounded up: no part of a cost is lost."""
    return int((usd * PARTS).to_integral_value(rounding=ROUND_CEILING))
