"""What the pages and the API stand on: one machine's state folder, looked at often and cheaply."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from overnight.api.access import Access
from overnight.api.jobs import Jobs
from overnight.api.lately import Lately
from overnight.api.logs import Logs
from overnight.api.pulse import Pulse
from overnight.api.settings import WebSettings
from overnight.api.shapes import LevelRow
from overnight.durable.client import Client
from overnight.errors import OvernightError
from overnight.guard.policy import Layers
from overnight.judge.budget import BudgetSettings
from overnight.judge.limits import Ceilings
from overnight.missions.codec import convert
from overnight.missions.task import Repo, Task
from overnight.people.operators import People
from overnight.people.settings import NotifySettings
from overnight.report.journal import JOURNAL, reading, snapshot
from overnight.report.nights import ReportSettings
from overnight.report.now import NowView, read_now
from overnight.report.rundir import folder_of
from overnight.report.verified import Following, Verified
from overnight.report.views import DaemonView
from overnight.usage.places import UsageSettings
from overnight.usage.prices import Price

DAY_S = 86400.0
#: What is read once serves all who ask within this time, unless the journal was written meanwhile.
FRESH_S = 1.0
#: Even then it serves for so many times as long as reading it took, though not for longer than this: who writes all the
#: time does not make those who look read all the time.
REST, REST_S = 5.0, 0.25
#: How often the daemon is asked whether it lives.
PING_EVERY_S = 1.0
#: The journal's chain is followed for so long in each of these times, for so long after somebody asked.
CHAIN_S, CHAIN_WANTED_S = 0.1, 300.0


def no_levels(_repo: Repo) -> tuple[LevelRow, ...]:
    """None are known."""
    return ()


class Machine(Struct, frozen=True, kw_only=True):
    """What is known about the machine that is served."""

    home: Path
    web: WebSettings = WebSettings()
    #: Who may decide besides the user of this machine.
    people: People = {}
    ceilings: Ceilings = Ceilings()
    budget: BudgetSettings = BudgetSettings()
    usage: UsageSettings = UsageSettings()
    prices: dict[str, Price] = {}
    #: What GitHub signs webhooks with; empty: none is taken.
    webhook_secret: str = ""
    #: Variables of the environment that no child of this server is given.
    hidden: tuple[str, ...] = ()
    report: ReportSettings = ReportSettings()
    notify: NotifySettings = NotifySettings()
    #: How much may happen without a person in a repo. Raises what reading its policy raises.
    levels: Callable[[Repo], tuple[LevelRow, ...]] = no_levels
    #: When a night ends, by this machine's clock.
    night_ends: str = "07:00"
    #: Takes secrets out of a text.
    redact: Callable[[str], str]
    #: Raises BadInput when the repo's policy can't take such a task; what is unclear in its words, for its owner.
    admit: Callable[[Repo, Task], str]
    #: The guard's policy in a work tree, for unattended runs.
    layers: Callable[[str], Layers]


class Health(Struct, frozen=True, kw_only=True):
    """Whether the night is well."""

    #: `up`: it answers. `hung`: its process lives and does not answer. `down`: there is none.
    state: str
    daemon: DaemonView | None
    #: Seconds since the daemon last answered; null when it has not since this server began.
    heartbeat_age: float | None
    #: Version of this server.
    version: str


class _Read(NamedTuple):
    """What was read, and what it cost."""

    mark: object
    touched: int
    #: Monotonic seconds of its end, and seconds that it took.
    at: float
    took: float
    view: NowView


class Site:
    """One machine as it is served. Every method may be called from any thread."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.home = machine, machine.home
        self.access = Access(machine.home, float(machine.web.session), machine.people)
        self.pulse = Pulse(machine.home)
        self.jobs = Jobs(machine.home, machine.redact, machine.hidden, self.pulse.touch)
        self._daemon: DaemonView | None = None
        self._answered: float | None = None
        self._lock = threading.Lock()
        self._now: _Read | None = None
        self._chain, self._chain_asked = Following(machine.home), float("-inf")
        #: What is dear to make.
        self.lately = Lately()
        self.logs = Logs(machine.home, machine.usage, machine.prices, self.lately, self.pulse.touch)
        self._ended = threading.Event()
        self._pinger = threading.Thread(target=self._ping, name="overnight-ping", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self.pulse.start()
        self._look_for_daemon()
        self._pinger.start()

    def stop(self) -> None:
        """No more looks."""
        self._ended.set()
        self.jobs.stop()
        self.pulse.stop()
        self._pinger.join(timeout=15)

    def end_streams(self) -> None:
        """Let go of everybody who watches."""
        self.pulse.ended = True
        self.pulse.touch()

    # -- the daemon -----------------------------------------------------------------------------------------

    def _ping(self) -> None:
        while not self._ended.wait(PING_EVERY_S):
            before = self._daemon
            self._look_for_daemon()
            if before != self._daemon:
                self.pulse.touch()
            if time.monotonic() - self._chain_asked < CHAIN_WANTED_S:
                with contextlib.suppress(OvernightError):  # who asks next is told
                    self._chain.look(CHAIN_S)

    def _look_for_daemon(self) -> None:
        said: Any = None
        with contextlib.suppress(OvernightError, ValueError):
            said = Client(self.home, "web").running()
        self._daemon = None if said is None else convert(said, DaemonView)
        if said is not None:
            self._answered = time.monotonic()

    def health(self) -> Health:
        """As of the last look, at most a few seconds ago."""
        from overnight import __version__

        daemon, answered = self._daemon, self._answered
        state = "up" if daemon is not None else "hung" if self._somebody_holds_it() else "down"
        age = None if answered is None else time.monotonic() - answered
        return Health(state=state, daemon=daemon, heartbeat_age=age, version=__version__)

    def _somebody_holds_it(self) -> bool:
        """Whether the process that wrote its id into the journal's lock lives and is a daemon that does not answer."""
        from overnight.durable.wire import NAME

        if not (self.home / NAME).exists():
            return False
        try:
            pid = int((self.home / "journal.lock").read_text().strip() or 0)
            os.kill(pid, 0) if pid > 0 else None
        except (OSError, ValueError):
            return False
        return pid > 0

    # -- looks ----------------------------------------------------------------------------------------------

    def now(self) -> NowView:
        """Everything at a glance; read again only when something was written, and now and then."""
        if (known := self._now) is not None and self._serves(known):
            return known.view
        with self._lock:
            if (known := self._now) is not None and self._serves(known):
                return known.view
            mark, touched, began = self.mark(), self.pulse.touched, time.monotonic()
            at = time.time()
            with reading(self.home) as db, snapshot(db):
                view = read_now(db, self.home, at, at - DAY_S)
            self.pulse.follow(folder_of(self.home, f"{row.id}.{row.life}.{row.run}") for row in view.active if row.run)
            read = time.monotonic()
            self._now = _Read(mark, touched, read, read - began, view)
            return view

    def _serves(self, known: _Read) -> bool:
        age = time.monotonic() - known.at
        if known.touched != self.pulse.touched:
            return False
        return age < min(REST_S, known.took * REST) or (age < FRESH_S and known.mark == self.mark())

    def mark(self) -> object:
        """Changes with every write to the journal and with every look of the pulse."""
        found: list[object] = [self.pulse.beat]
        for name in (JOURNAL, f"{JOURNAL}-wal"):
            with contextlib.suppress(OSError):
                seen = (self.home / name).stat()
                found.append((seen.st_mtime_ns, seen.st_size))
        return tuple(found)

    def events_after(self, seq: int, most: int, task: str | None = None) -> list[sqlite3.Row]:
        """The next events of the journal after a number."""
        where, args = ("AND task = ?", (seq, task, most)) if task else ("", (seq, most))
        sql = f"SELECT seq, at, task, actor, what, why, data FROM event WHERE seq > ? {where} ORDER BY seq LIMIT ?"  # noqa: S608
        with reading(self.home) as db:
            return db.execute(sql, args).fetchall()

    def chain(self) -> Verified:
        """Whether the journal's chain holds, as far as it was followed by now; it is followed on for a while."""
        self._chain_asked = time.monotonic()
        latest = self._chain.latest
        # While it is being followed in the background, nobody waits for that.
        return latest if latest is not None and latest.state == "going" else self._chain.look(0.0)

    # -- acts -----------------------------------------------------------------------------------------------

    def ask(self, verb: str, actor: str, **arguments: Any) -> Any:
        """Have the daemon do something. Raises what the verb raises; DaemonUnreachable where none answers: this server
        never writes the journal itself, or a daemon could not start meanwhile."""
        return Client(self.home, actor).daemon(verb, **arguments)
