"""What `overnight up` shows while the daemon runs: a table that follows the journal, or a line per change."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

import click

from overnight import __version__
from overnight.cli.paper import Paper
from overnight.cli.status import DAY_S, MOST, Seen, draw
from overnight.cli.words import clock
from overnight.durable.journal import read_events
from overnight.errors import Refused
from overnight.report.journal import reading
from overnight.report.status import read_status
from overnight.report.views import DaemonView
from overnight.report.watch import Watch

if TYPE_CHECKING:
    import sqlite3

#: The least time between two looks, so that a busy journal does not keep the screen busy.
REST_S = 0.25


class View(ABC):
    """Follows the journal in a thread of its own, until its block ends."""

    def __init__(self, home: Path) -> None:
        self.home, self.began = home, time.time()
        self._watch, self._over = Watch(), False
        self._thread: Thread | None = None

    def start(self) -> None:
        """The daemon answers: begin. A second call does nothing."""
        if self._thread is None:
            self._thread = Thread(target=self._follow, name="view", daemon=True)
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._watch.wake()
        if self._thread is not None:
            self._thread.join()
        self._watch.__exit__(kind, error, trace)

    def _follow(self) -> None:
        """A journal that can't be read for now, or an output that takes nothing, is no end: a full disk is both."""
        self._watch.folder(self.home)
        begun = False
        while True:
            with contextlib.suppress(Refused, OSError), reading(self.home) as db:
                if not begun:
                    self.begin(db)
                    begun = True
                self._look_on(db)
                self.end(db)
                return
            if self._over:
                return
            time.sleep(REST_S)

    def _look_on(self, db: sqlite3.Connection) -> None:
        while not self._over:
            self._watch.wait()
            self.look(db)
            if not self._over:
                time.sleep(REST_S)

    @abstractmethod
    def begin(self, db: sqlite3.Connection) -> None:
        """First look."""

    @abstractmethod
    def look(self, db: sqlite3.Connection) -> None:
        """Something may have changed."""

    @abstractmethod
    def end(self, db: sqlite3.Connection) -> None:
        """Last look."""


class Table(View):
    """The picture of `overnight status`, kept up to date."""

    def begin(self, db: sqlite3.Connection) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="crop")
        self._live.start()
        self.look(db)

    def look(self, db: sqlite3.Connection) -> None:
        me = DaemonView(pid=os.getpid(), version=__version__, since=self.began)
        paper = self._draw(db, me).gap().line(("Ctrl-C ends the daemon; runs under way go on.", "dim"))
        self._live.update(paper.renderable(), refresh=True)

    def end(self, db: sqlite3.Connection) -> None:
        self._live.update(self._draw(db, None).renderable(), refresh=True)
        self._live.stop()

    def _draw(self, db: sqlite3.Connection, daemon: DaemonView | None) -> Paper:
        now = time.time()
        status = read_status(db, self.home, now, max(self.began, now - DAY_S), most=MOST)
        return draw(Seen(daemon=daemon, status=status))


class Log(View):
    """One line per change of a task, from now on."""

    _TOLD: ClassVar[frozenset[str]] = frozenset(
        {"task.submitted", "task.phase", "task.held", "task.released", "task.fault", "task.ended", "task.retried", "task.restored",
         "pause.on", "pause.off", "daemon.up"}
    )  # fmt: skip

    def begin(self, db: sqlite3.Connection) -> None:
        row = db.execute("SELECT max(seq) AS seq FROM event WHERE what = 'daemon.up'").fetchone()
        self._seq: int = (row["seq"] or 1) - 1
        self.look(db)

    def look(self, db: sqlite3.Connection) -> None:
        for event in read_events(db, after=self._seq):
            self._seq = event.seq
            if event.what in self._TOLD or event.what.startswith(("want.", "canary.")):
                words = " ".join(part for part in (event.task or "", event.what, event.why) if part)
                click.echo(Paper().line(f"{clock(event.at)} {words}").text(), nl=False)
        sys.stdout.flush()

    def end(self, db: sqlite3.Connection) -> None:
        self.look(db)
