"""The index of agents' logs as who serves pages needs it: brought up to date now and then, and how far that is."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from overnight.api.lately import Lately
from overnight.errors import OvernightError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from overnight.usage.index import Progress
    from overnight.usage.places import UsageSettings
    from overnight.usage.prices import Price

#: It is brought up to date at most this often.
EVERY_S = 60.0
#: Who asks after a longer time than this waits for what was written meanwhile.
LATE_S = 300.0
#: It mostly is quick: for so long after its beginning it is waited for, before anybody is told that it goes on.
AT_ONCE_S = 0.2
_KEY = "index"


class Reading(Struct, frozen=True, kw_only=True):
    """How far the logs are read."""

    #: ready: what is asked now is answered at once. failed: until somebody begins it again.
    state: Literal["reading", "ready", "failed"]
    #: Epoch seconds of its beginning.
    begun: float = 0.0
    #: None: the logs are being looked for.
    far: Progress | None = None
    #: What came in the way, for a person.
    words: str = ""


class _Work:
    """One reading in the background."""

    def __init__(self) -> None:
        self.begun, self.ended = time.time(), threading.Event()
        self._since = time.monotonic()
        self.error: Exception | None = None

    def patience(self) -> float:
        """Seconds for which it is still waited for."""
        return max(0.0, AT_ONCE_S - (time.monotonic() - self._since))


class Logs:
    """Of one state folder. Every method may be called from any thread."""

    def __init__(
        self,
        home: Path,
        settings: UsageSettings,
        prices: Mapping[str, Price],
        lately: Lately,
        changed: Callable[[], None],
    ) -> None:
        """changed: called when a reading in the background has ended."""
        self._home, self._settings, self._prices, self._lately = home, settings, prices, lately
        self._changed, self._lock = changed, threading.Lock()
        self._work: _Work | None = None
        self._far: Progress | None = None

    def fresh(self) -> float:
        """Bring the index up to date where it is time; epoch seconds at which it was. Waits. Raises what `Index` raises."""
        return self._lately.get(_KEY, self._mark(), self._read, late=LATE_S)

    def begin(self) -> Reading:
        """As `fresh`, in the background: how far it is after a moment. Raises what came in the way within that."""
        with self._lock:
            work = self._under_way()
            if work is None and not self._waits():
                return Reading(state="ready")
            work = work or self._start()
        if not work.ended.wait(work.patience()):
            return self._seen(work)
        if work.error is not None:
            raise work.error
        return Reading(state="ready")

    def look(self) -> Reading:
        """How far it is. Begins what nobody has begun; what failed is not begun again."""
        with self._lock:
            work = self._under_way()
            if work is None and not self._waits():
                return Reading(state="ready")
            if work is None and (self._work is None or self._work.error is None):
                work = self._start()
            return self._seen(work or self._work)

    def _mark(self) -> object:
        return time.time() // EVERY_S

    def _waits(self) -> bool:
        return self._lately.waits(_KEY, self._mark(), LATE_S)

    def _under_way(self) -> _Work | None:
        return self._work if self._work is not None and not self._work.ended.is_set() else None

    def _start(self) -> _Work:
        work = self._work = _Work()
        threading.Thread(target=self._do, args=(work,), name="overnight-index", daemon=True).start()
        return work

    def _do(self, work: _Work) -> None:
        try:
            self.fresh()
        except OvernightError as error:
            work.error = error
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            work.error = error
        finally:
            work.ended.set()
            self._changed()

    def _seen(self, work: _Work | None) -> Reading:
        assert work is not None
        if not work.ended.is_set():
            return Reading(state="reading", begun=work.begun, far=self._far)
        if work.error is None:
            return Reading(state="ready", begun=work.begun)
        told = isinstance(work.error, OvernightError)
        words = str(work.error) if told else "Something unexpected happened. The details are in the server's log."
        return Reading(state="failed", begun=work.begun, words=words)

    def _read(self) -> float:
        from overnight.report.logs import note_runs
        from overnight.usage.index import Index
        from overnight.usage.places import roots, run_roots

        self._far = None
        with Index(self._home, self._prices) as index:
            index.refresh((*roots(os.environ, self._settings), *run_roots(self._home)), self._went_on)
            note_runs(self._home, index)
        return time.time()

    def _went_on(self, far: Progress) -> None:
        self._far = far
