"""Faults: how each is done, how it ends, and how one sees that everything is back."""

from __future__ import annotations

import contextlib
import math
import signal
import sqlite3
import time
from collections.abc import Callable
from random import Random

from overnight.errors import OvernightError
from overnight.report.journal import reading
from overnight.soak.facts import Hit
from overnight.soak.model import ModelServer, read_log
from overnight.soak.plan import LASTS, OF_MODEL, Blow, Fault
from overnight.soak.processes import below, send
from overnight.soak.system import System, fill

#: A fault that finds nothing to hit waits this long for it.
PATIENCE_S = 20.0
#: Seconds by which the clock is set ahead: as a bad time server does, and as a wrong time zone does.
AHEAD_S = (120, 6 * 3600)
_WORKS = "the daemon gives signs of life, and a step of a task was finished"


class Under:
    """One fault under way, from its blow to its recovery."""

    def __init__(self, blow: Blow, at: float) -> None:
        self.blow, self.at = blow, at
        self.what = ""
        #: Epoch seconds from which recovery counts; None while the fault lasts.
        self.since: float | None = None
        self.lift: Callable[[], None] | None = None
        #: Epoch seconds of its end; None for what is over at once.
        self.ends: float | None = None
        self.begun = time.time()
        self.back: Callable[[float], bool] | None = None
        self.until = _WORKS
        self.recovered: float | None = None

    def hit(self) -> Hit:
        """What the report says of it."""
        lasted = 0.0 if self.ends is None else min(time.time(), self.ends) - self.begun
        return Hit(
            n=self.blow.n, fault=self.blow.fault, at=round(self.at, 1), what=self.what, lasted=round(max(0.0, lasted), 1),
            recovered=None if self.recovered is None else round(self.recovered, 2), until=self.until,
        )  # fmt: skip


class NothingThere(Exception):
    """Nothing to hit is there now."""


class Impossible(Exception):
    """It can't be done on this machine."""


class Faults:
    """Does faults to one system."""

    def __init__(self, system: System, model: ModelServer, seed: int, cli: bool) -> None:
        self._system, self._model, self._cli = system, model, cli
        self._draw, self._ahead = Random(f"{seed} targets"), Random(f"{seed} clock")
        #: Where the journal's finished steps stood at the first look after a fault, by the fault's `since`.
        self._steps: dict[float, int] = {}

    def do(self, blow: Blow, at: float) -> Under:
        """Raises NothingThere, Impossible. at: seconds since the soak's start."""
        under = Under(blow, at)
        fault = blow.fault
        if fault in OF_MODEL:
            self._of_model(under)
        else:
            self._table()[fault](under)
        if under.ends is None:
            under.since = under.begun
        return under

    def _table(self) -> dict[Fault, Callable[[Under], None]]:
        return {
            Fault.KILL_DAEMON: self._kill_daemon,
            Fault.STOP_DAEMON: self._stop_daemon,
            Fault.HANG_DAEMON: self._hang_daemon,
            Fault.KILL_WARDEN: self._kill_warden,
            Fault.KILL_AGENT: self._kill_agent,
            Fault.POWER_CUT: self._power_cut,
            Fault.DISK_FULL: self._disk_full,
            Fault.CLOCK_JUMP: self._clock_jump,
            Fault.KILL_WATCHDOG: self._kill_watchdog,
        }

    # -- each -----------------------------------------------------------------------------------------------

    def _kill_daemon(self, under: Under) -> None:
        pid = self._daemon()
        under.what = f"process {pid}"
        send(pid, signal.SIGKILL)
        under.back = self._works

    def _stop_daemon(self, under: Under) -> None:
        pid = self._daemon()
        under.what = f"process {pid}"
        send(pid, signal.SIGSTOP)
        under.ends = under.begun + LASTS[Fault.STOP_DAEMON]
        under.lift = lambda: void(send(pid, signal.SIGCONT))
        under.back = self._works

    def _hang_daemon(self, under: Under) -> None:
        pid = self._daemon()
        under.what = f"process {pid}"
        self._system.hands_off = True
        send(pid, signal.SIGSTOP)
        under.until = "the watchdog has started another daemon, and a step of a task was finished"

        def back(since: float) -> bool:
            beat = self._system.beat()
            if not self._works(since) or beat is None or beat.pid == pid:
                return False
            self._system.hands_off = False
            return True

        under.back = back

    def _kill_warden(self, under: Under) -> None:
        task, pid = self._warden()
        before = self._runs(task)
        under.what = f"process {pid}, run of {task}"
        send(pid, signal.SIGKILL)
        self._goes_on(under, task, before)

    def _kill_agent(self, under: Under) -> None:
        task, pid = self._warden()
        inside = below(pid)
        if len(inside) < 3:  # the box's own first process, and what it needs
            raise NothingThere
        before = self._runs(task)
        under.what = f"process {inside[-1]}, in the box of {task}"
        send(inside[-1], signal.SIGKILL)
        self._goes_on(under, task, before)

    def _power_cut(self, under: Under) -> None:
        daemon, wardens = self._daemon(), list(self._system.wardens())
        under.what = f"process {daemon} and {len(wardens)} wardens"
        for pid in (daemon, *(pid for _, pid in wardens)):
            send(pid, signal.SIGKILL)
        under.back = self._works

    def _of_model(self, under: Under) -> None:
        if not self._cli:
            raise Impossible("Claude Code is not installed, so nobody asks a model")
        asking = [task for task, _ in self._system.wardens() if task.endswith("-cli")]
        if not asking:
            raise NothingThere
        under.what = f"while {', '.join(asking)} ran"
        self._model.fault(under.blow.fault)
        under.ends = under.begun + LASTS[under.blow.fault]
        under.lift = lambda: self._model.fault(None)
        under.until = "the model has answered a request to its end"
        under.back = lambda since: (
            any(each.whole and each.at > since for each in read_log(self._model.log))
            or (not self._open("-cli") and self._works(since))
        )

    def _disk_full(self, under: Under) -> None:
        stage = self._system.stage
        if stage.shared_disk:
            raise Impossible(stage.shared_disk)
        filler = fill(stage.disk)
        under.what = f"{filler.stat().st_size >> 20} MiB taken"
        under.begun = time.time()
        under.ends = under.begun + LASTS[Fault.DISK_FULL]
        under.lift = lambda: filler.unlink(missing_ok=True)
        under.back = self._works

    def _clock_jump(self, under: Under) -> None:
        clock = self._system.stage.clock
        if clock.fixed:
            raise Impossible(clock.fixed)
        ahead = round(math.exp(self._ahead.uniform(*map(math.log, AHEAD_S))))
        under.what = f"{ahead} s ahead, then back"
        clock.set(ahead)
        under.ends = under.begun + LASTS[Fault.CLOCK_JUMP]
        under.lift = lambda: clock.set(0)
        under.back = self._works

    def _kill_watchdog(self, under: Under) -> None:
        pid = self._system.watchdog
        if pid is None:
            raise NothingThere
        under.what = f"process {pid}"
        send(pid, signal.SIGKILL)
        under.until = "another watchdog looks"
        seen = self._system.stage.home / "watchdog.lock"
        under.back = lambda since: self._system.watchdog not in (None, pid) and seen.stat().st_mtime > since

    # -- what is there --------------------------------------------------------------------------------------

    def _daemon(self) -> int:
        beat = self._system.beat()
        if beat is None:
            raise NothingThere
        return beat.pid

    def _warden(self) -> tuple[str, int]:
        found = sorted(self._system.wardens())
        if not found:
            raise NothingThere
        return self._draw.choice(found)

    def _runs(self, task: str) -> int:
        return len(list((self._system.stage.home / "runs" / task).glob("*/*/warden.json")))

    # -- whether it is back ---------------------------------------------------------------------------------

    def _works(self, since: float) -> bool:
        """Steps are counted, not compared with the clock: theirs may have been set."""
        with contextlib.suppress(OvernightError, sqlite3.Error), reading(self._system.stage.home) as db:
            newest = "SELECT seq FROM event WHERE what = 'step.done' ORDER BY seq DESC LIMIT 1"
            last = (db.execute(newest).fetchone() or (0,))[0]
            before = self._steps.setdefault(since, last)
            return self._system.beaten_since(since) and (last > before or not self._open(""))
        return False

    def _goes_on(self, under: Under, task: str, before: int) -> None:
        under.until = "the task's next run has begun, or the task has ended"
        under.back = lambda _: self._runs(task) > before or not self._open(task)

    def _open(self, suffix: str) -> bool:
        """Whether a task whose id ends so has not ended."""
        with reading(self._system.stage.home) as db:
            sql = "SELECT 1 FROM task WHERE state != 'done' AND substr(id, -length(?1)) = ?1 LIMIT 1"
            whole = "SELECT 1 FROM task WHERE state != 'done' LIMIT 1"
            return db.execute(sql if suffix else whole, (suffix,) if suffix else ()).fetchone() is not None


def void(_: object) -> None:
    """For what is done for its effect."""
