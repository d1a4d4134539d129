"""What is on record of runs, queue and ends that may be unusual, gathered while it happens."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from overnight.judge.anomalies import Anomaly, AnomalySettings, EndFacts, Kind, QueueFacts, RunFacts, Severity, find
from overnight.judge.budget import HISTORY_S, RECENT_S
from overnight.missions.codec import convert
from overnight.missions.task import Phase
from overnight.report.journal import reading, snapshot
from overnight.report.rows import QUEUED, latest_run
from overnight.report.rundir import EVENTS, folder_of, lines_from, moment_of, read_event
from overnight.report.slept import Sleeps

#: What the watchdog told, for the journal; and the keys of what is worth it there.
SPOOL = "watchdog.ndjson"
MINUTE_S, LATELY_S = 60.0, 86400.0
#: Notices of the watchdog that are taken over in one look, and from when on they are no news.
MOST_SPOOLED, OLD_S = 100, 7 * 86400.0
#: The kind of record that says that something was told, and what.
RECORD = "anomaly"


class Signs:
    """Remembers how far each run's record was read."""

    def __init__(self, home: Path, settings: AnomalySettings, sleeps: Sleeps | None = None) -> None:
        self._home, self._settings, self._sleeps = home, settings, sleeps or Sleeps({})
        self._runs: dict[str, _Run] = {}
        self._spooled: int | None = None

    def look(self, now: float) -> tuple[Anomaly, ...]:
        """Everything that is unusual now. Raises JournalNewer, Refused."""
        with reading(self._home) as db, snapshot(db):
            runs = tuple(self._facts(db, now))
            queues, ends = tuple(_queues(db, now)), tuple(_ends(db, now))
            slept = tuple(self._sleeps.look(db, now))
        return (*find(self._settings, now, runs, queues, ends), *slept, *self._watchdogs(now))

    def _facts(self, db: sqlite3.Connection, now: float) -> Iterator[RunFacts]:
        """Of every run that goes on."""
        sql = "SELECT id, lane, life FROM task WHERE state != 'done' AND phase = ?"
        seen: dict[str, _Run] = {}
        for row in db.execute(sql, (Phase.RUNNING,)).fetchall():
            n = latest_run(db, row["id"], row["life"])
            if n is None:
                continue
            name = f"{row['id']}.{row['life']}.{n}"
            seen[name] = self._runs.get(name) or _Run(folder_of(self._home, name))
            yield seen[name].facts(name, row["id"], row["lane"], now)
        self._runs = seen

    def _watchdogs(self, now: float) -> Iterator[Anomaly]:
        """What the watchdog told since the last look. The first look takes what is there: nobody told the journal."""
        place, offset = self._home / SPOOL, self._spooled or 0
        with contextlib.suppress(OSError):
            if place.stat().st_size < offset:
                offset = 0
            for line, end in [*lines_from(place, offset)][:MOST_SPOOLED]:
                offset = end
                if (found := _told(line)) is not None and found.at > now - OLD_S:
                    yield found
        self._spooled = offset


class _Run:
    """One run's record, as far as it was read."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._offset = folder, 0
        self._minute: list[float] = []
        self._pace = self._files = self._denied = 0
        self._burn: tuple[float, float] | None = None
        self._spent = _Spent()

    def facts(self, run: str, task: str, repo: str, now: float) -> RunFacts:
        """What its record says now."""
        with contextlib.suppress(OSError):
            for line, end in lines_from(self._folder / EVENTS, self._offset):
                self._offset = end
                if (event := read_event(line)) is not None:
                    self._take(event)
        recent, before = self._burn or (None, None)
        return RunFacts(
            run=run, task=task, repo=repo, pace=self._pace, files=self._files, denied=self._denied, recent=recent,
            before=before, silent=self._silent(now),
        )  # fmt: skip

    def _take(self, event: dict[str, Any]) -> None:
        match event.get("kind"):
            case "asked":
                at = moment_of(event) or 0.0
                self._minute = [*(each for each in self._minute if each > at - MINUTE_S), at]
                self._pace = max(self._pace, len(self._minute))
            case "verdict" if event.get("decision") != "allow":
                self._denied += 1
            case "changed":
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    self._files = max(self._files, int(event["files"]))
            case "burn":
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    self._faster((float(event["recent"]), float(event["before"])))
            case "usage" if event.get("cost"):
                with contextlib.suppress(ValueError, TypeError):
                    self._faster(self._spent.add(moment_of(event) or 0.0, float(str(event["cost"]))))
            case _:
                pass

    def _faster(self, pace: tuple[float, float] | None) -> None:
        """Keep the fastest, in times of what it was before."""
        if pace is None or not pace[1]:
            return
        if self._burn is None or pace[0] / pace[1] > self._burn[0] / self._burn[1]:
            self._burn = pace

    def _silent(self, now: float) -> float | None:
        """Its warden touches its lock every few seconds once it has started an agent; None when it is over."""
        if (self._folder / "outcome.json").exists() or not (self._folder / "launch.json").exists():
            return None
        with contextlib.suppress(OSError):
            latest = max((self._folder / name).stat().st_mtime for name in ("warden.lock", "launch.json"))
            return max(0.0, now - latest)
        return None


class _Spent:
    """How fast a run spends, from what each of its calls cost."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._calls: deque[tuple[float, float]] = deque()
        self._recent = self._past = 0.0

    def add(self, at: float, cost: float) -> tuple[float, float] | None:
        """(US dollars a minute in the last five, before that), once there is a before that is long enough."""
        self._began = at if self._began is None else self._began
        self._calls.append((at, cost))
        self._recent += cost
        while self._calls[0][0] < at - RECENT_S:
            self._recent -= self._calls[0][1]
            self._past += self._calls.popleft()[1]
        lasted = at - RECENT_S - self._began
        if lasted < HISTORY_S:
            return None
        return self._recent * 60 / RECENT_S, self._past * 60 / lasted


def _queues(db: sqlite3.Connection, now: float) -> Iterator[QueueFacts]:
    """Of every repo the task that waits longest for a place, where nothing holds it and it waits for no other."""
    sql = (
        f"SELECT lane, id, min(CASE WHEN life = 1 THEN created ELSE updated END) AS since, count(*) AS many FROM task "  # noqa: S608
        f"WHERE {QUEUED} AND need_pool IS NOT NULL GROUP BY lane"
    )
    for row in db.execute(sql):
        yield QueueFacts(repo=row["lane"], task=row["id"], waits=max(0.0, now - row["since"]), count=row["many"])


def _ends(db: sqlite3.Connection, now: float) -> Iterator[EndFacts]:
    """What became of each repo's tasks in the last day; one word on it for each day."""
    sql = (
        "SELECT lane, sum(phase = 'landed') AS landed, sum(phase = 'failed') AS failed FROM task "
        "WHERE state = 'done' AND updated > ? GROUP BY lane"
    )
    for row in db.execute(sql, (now - LATELY_S,)):
        yield EndFacts(repo=row["lane"], landed=row["landed"], failed=row["failed"], span=str(int(now // LATELY_S)))


def _told(line: bytes) -> Anomaly | None:
    """An anomaly of what the watchdog told; None for what is no record."""
    found = read_event(line)
    try:
        assert found is not None
        at, severity = float(found["at"]), Severity(found["severity"])
        if severity is Severity.NOTE:
            return None  # such as that something is over
        which, _, run = str(found["key"]).partition(" ")
        task = run.rsplit(".", 2)[0] if which in ("run", "quiet") and run else None
        return Anomaly(
            key=f"watchdog {found['key']} {at:.0f}", kind=Kind.HEARTBEAT, severity=severity,
            why=f"the watchdog: {found['words']}", task=task, at=at,
        )  # fmt: skip
    except (AssertionError, KeyError, TypeError, ValueError):
        return None


def anomalies(db: sqlite3.Connection, since: float, until: float) -> tuple[Anomaly, ...]:
    """What was raised in a span of time, oldest first."""
    sql = "SELECT value FROM record WHERE kind = ? AND at >= ? AND at < ? ORDER BY at, key"
    found = (json.loads(row["value"]).get("anomaly") for row in db.execute(sql, (RECORD, since, until)))
    return tuple(convert(each, Anomaly) for each in found if each is not None)
