"""What is looked at, from a thread: everything at a glance, and whatever one task has to tell."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from overnight.api import acts, looks
from overnight.api.shapes import Diff
from overnight.api.site import Health, Site
from overnight.dashboard.glance import Glance, Glances
from overnight.dashboard.timeline import Item, timeline
from overnight.dashboard.words import speaker
from overnight.durable.pauses import read as read_pauses
from overnight.errors import OvernightError
from overnight.judge.evidence import for_judges
from overnight.judge.verdict import Opinion
from overnight.ports import Examined
from overnight.report.costs import Costs, CostView
from overnight.report.journal import JOURNAL, reading, snapshot
from overnight.report.rundir import EVENTS, folder_of
from overnight.report.story import read_story, story
from overnight.report.views import TaskRow, TaskStory
from overnight.report.wants import Want, wants

#: Even where nothing was written, there is a look this often: windows of limits begin anew.
AGAIN_S = 30.0
#: The watchdog holds a lock on this file of the state folder.
WATCHDOG = "watchdog.lock"
_LOCKS = Path("/proc/locks")


class Look(Struct, frozen=True, kw_only=True):
    """One look at everything."""

    #: Null while the journal has not been read.
    glance: Glance | None
    #: Null while the daemon has not been asked.
    health: Health | None
    #: Whether a watchdog watches this state folder; null where this system does not say.
    watchdog: bool | None
    costs: dict[str, CostView]
    #: Why the journal can't be read; empty when it can.
    trouble: str = ""


class Told(Struct, frozen=True, kw_only=True):
    """One look at one task."""

    story: TaskStory
    items: tuple[Item, ...]
    want: Want
    cost: CostView
    #: Null when none has begun in its present life.
    run: str | None


class Proposal(Struct, frozen=True, kw_only=True):
    """What a decision would be about."""

    row: TaskRow
    repo: str
    target: str
    examined: Examined
    changed: tuple[str, ...]
    opinions: tuple[Opinion, ...]
    #: Why it waits; a blocked result says what blocks it.
    why: str


class Evidence(NamedTuple):
    """What is known about a result, and what judges made of it."""

    text: str
    opinions: tuple[Opinion, ...]


class Eye:
    """Looks again only when something was written, and remembers how far it has read. For one thread at a time."""

    def __init__(self, site: Site) -> None:
        self._site, self._glances, self._costs = site, Glances(site), Costs(site.home)
        self._mark: object = None
        self._at = 0.0
        self._last: Glance | None = None
        #: The daemon was asked at least once.
        self.asked = False

    def look(self) -> Look | None:
        """None when everything is as it was at the last look."""
        mark, at, began = self._marks(), time.monotonic(), time.time()
        if mark == self._mark and at - self._at < AGAIN_S:
            return None
        self._mark, self._at = mark, at
        health = self._site.health() if self.asked else None
        watched = watchdog(self._site.home)
        try:
            glance = self._glances.look()
            costs = self._costs.look((*glance.now.active, *glance.now.needs_person))
        except (OvernightError, sqlite3.Error, OSError) as error:
            self._mark = None
            return Look(glance=self._last, health=health, watchdog=watched, costs={}, trouble=str(error))
        self._last = glance
        if glance.now.at < began:  # what was read a moment ago serves for a while: it may not have the last write
            self._mark = None
        return Look(glance=glance, health=health, watchdog=watched, costs=costs)

    def _marks(self) -> object:
        home, health = self._site.home, self._site.health()
        rows = self._last.now.active if self._last is not None else ()
        events = [folder_of(home, f"{row.id}.{row.life}.{row.run}") / EVENTS for row in rows if row.run is not None]
        return (
            self.asked, health.state, health.daemon, watchdog(home), read_pauses(home),
            *(stamp(path) for path in (home / JOURNAL, home / f"{JOURNAL}-wal", *events)),
        )  # fmt: skip


class TaskEye:
    """The same for one task."""

    def __init__(self, site: Site, task: str) -> None:
        self._site, self._task, self._costs = site, task, Costs(site.home)
        self._mark: object = None
        self._run: str | None = None

    def look(self) -> Told | None:
        """None when it is as it was. Raises OvernightError, sqlite3.Error."""
        home = self._site.home
        paths = [home / JOURNAL, home / f"{JOURNAL}-wal"]
        paths += [folder_of(home, self._run) / EVENTS] if self._run is not None else []
        mark = tuple(stamp(path) for path in paths)
        if mark == self._mark:
            return None
        with reading(home) as db, snapshot(db):
            told = read_story(db, home, self._task)
            want = wants(db, (told.row,))[0]
        cost = self._costs.look((told.row,))[told.row.id]
        run = next((each.id for each in reversed(told.runs) if each.life == told.row.life), None)
        first, self._run = run != self._run, run
        self._mark = None if first else mark
        items = timeline(told, speaker("en"))
        return Told(story=told, items=items, want=want, cost=cost, run=run)


def stamp(path: Path) -> tuple[int, int] | None:
    """Changes with every write to a file."""
    with contextlib.suppress(OSError):
        seen = path.stat()
        return seen.st_mtime_ns, seen.st_size
    return None


def watchdog(home: Path) -> bool | None:
    """Whether a watchdog's lock is held; the lock itself is not touched, or one that begins would find it taken."""
    try:
        inode = (home / WATCHDOG).stat().st_ino
    except OSError:
        return False
    try:
        held = [line.split() for line in _LOCKS.read_text().splitlines()]
    except OSError:
        return None
    return any("FLOCK" in words and any(word.endswith(f":{inode}") for word in words) for words in held)


def proposal(site: Site, task: str, verb: str) -> Proposal:
    """What waits for a person's word now. Raises BadState."""
    told = story(site.home, task)
    examined = acts.waiting(told, verb)
    run = next(each for each in reversed(told.runs) if each.examined is examined)
    assert told.row.hold is not None
    return Proposal(
        row=told.row, repo=told.task.repo.name, target=told.task.repo.target, examined=examined, opinions=run.opinions,
        changed=run.result.changed if run.result is not None else (), why=told.row.hold.why,
    )  # fmt: skip


def change(site: Site, told: TaskStory) -> Diff:
    """What its last run changed. Raises OvernightError."""
    return looks.diff(site, told, None)


def evidence(site: Site, told: TaskStory) -> Evidence | None:
    """None while no result has passed its checks. Raises BadInput."""
    examined = looks.examined_of(told)
    if examined is None:
        return None
    opinions = next(run.opinions for run in reversed(told.runs) if run.examined is examined)
    return Evidence(for_judges(looks.evidence(site, told, examined)), opinions)
