"""Says when it is worth looking again: something was written to the journal, or by a run.

One thread sleeps in the kernel until a file changes. Whoever waits is woken, looks for himself and goes at his own
pace: nobody has a queue, so a slow viewer costs nothing, and nothing is ever written to from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from overnight.errors import OvernightError
from overnight.report.journal import reading
from overnight.report.watch import Watch

#: Changes closer together than this are one.
APART_S = 0.05
#: The latest events that are kept for those who listen.
KEPT = 500


class Fresh:
    """One of the journal's latest events."""

    def __init__(self, row: sqlite3.Row) -> None:
        self.row = row
        self.seq: int = row["seq"]
        #: As it is sent, once somebody put it into words.
        self.line: bytes | None = None


class Pulse:
    """The thread, and those who wait for it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        #: Grows with every change that was seen.
        self.beat = 0
        #: Number of the journal's latest event.
        self.seq = 0
        self._recent: tuple[Fresh, ...] = ()
        #: Grows with every change that a person made through here: what was read before is old.
        self.touched = 0
        self.ended = False
        self._wanted: tuple[Path, ...] = ()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()
        self._watch = Watch(at_least=1.0)
        self._thread = threading.Thread(target=self._run, name="overnight-pulse", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """End, and wake everybody."""
        self.ended = True
        self._watch.wake()
        if self._thread.is_alive():
            self._thread.join()
        self._watch.__exit__(None, None, None)
        self._wake()

    def touch(self) -> None:
        """Something changed that no file shows, or that is to be seen at once."""
        self.touched += 1
        self.beat += 1
        self._wake()

    def follow(self, folders: Iterable[Path]) -> None:
        """Also look at what is written in these folders, and no more at those of the call before."""
        self._wanted = tuple(folders)

    async def wait(self, beat: int, most: float) -> None:
        """Return when there was a change since `beat`, or after `most` seconds."""
        woken = asyncio.Event()
        with self._lock:
            if self.beat != beat or self.ended:
                return
            self._waiting[woken] = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(most):
                await woken.wait()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting.pop(woken, None)

    def _run(self) -> None:
        while not self.ended:
            self._watch.only((self._home, *self._wanted))
            self._watch.wait()
            self._look()
            self.beat += 1
            self._wake()
            time.sleep(APART_S)

    def _look(self) -> None:
        with contextlib.suppress(OvernightError, sqlite3.Error), reading(self._home) as db:
            last: int = db.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0]
            first = max(self.seq, last - KEPT) if self._thread.is_alive() else last
            sql = "SELECT seq, at, task, actor, what, why, data FROM event WHERE seq > ? AND seq <= ? ORDER BY seq"
            new = tuple(Fresh(row) for row in db.execute(sql, (first, last)))
            before = self._recent if first == self.seq and last >= self.seq else ()
            self._recent = (*before, *new)[-KEPT:]
            self.seq = last

    def after(self, seq: int) -> tuple[Fresh, ...] | None:
        """The events after this one; None when they are no more among the latest."""
        recent = self._recent
        if seq >= (recent[-1].seq if recent else self.seq):
            return ()
        if not recent or seq + 1 < recent[0].seq:
            return None
        return recent[seq + 1 - recent[0].seq :]

    def _wake(self) -> None:
        with self._lock:
            for woken, loop in self._waiting.items():
                with contextlib.suppress(RuntimeError):  # that loop has ended
                    loop.call_soon_threadsafe(woken.set)
            self._waiting.clear()
