"""The kill switch: ends runs by their run directories alone, whether a daemon lives, hangs or is dead."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Collection
from pathlib import Path

from msgspec import Struct

from overnight.durable.identity import Identity, is_alive
from overnight.fleet.local import read_identity, read_outcome, send, write_atomically

#: A warden that did not end by then, and its box with it, is killed. Its run counts as lost.
PATIENCE_S = 3.0


class Ended(Struct, frozen=True, kw_only=True):
    """What came of it."""

    #: Runs (`TASK.LIFE.N`) whose warden was asked and ended.
    ended: tuple[str, ...] = ()
    #: Those whose warden had to be killed.
    killed: tuple[str, ...] = ()
    #: Seconds until the last one was dead.
    seconds: float = 0.0


def end_runs(home: Path, why: str, tasks: Collection[str] | None = None) -> Ended:
    """End every run that goes on, or those of some tasks, and wait until they are dead. tasks: None is all."""
    began = time.monotonic()
    living = {run: who for run, folder in _unended(home, tasks) if (who := _asked(folder, why)) is not None}
    left = _left(living, began + PATIENCE_S)
    for run in left:
        send(living[run], signal.SIGKILL)
    still = _left({run: living[run] for run in left}, time.monotonic() + PATIENCE_S)
    killed = tuple(run for run in left if run not in still)
    ended = tuple(run for run in living if run not in left)
    return Ended(ended=ended, killed=killed, seconds=time.monotonic() - began)


def _unended(home: Path, tasks: Collection[str] | None) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    for folder in (home / "runs").glob("*/*/*"):
        life, task = folder.parent, folder.parent.parent
        named = life.name.isdecimal() and folder.name.isdecimal() and (tasks is None or task.name in tasks)
        if named and read_outcome(folder) is None:
            found.append((f"{task.name}.{life.name}.{folder.name}", folder))
    return found


def _asked(folder: Path, why: str) -> Identity | None:
    """Ask a run's warden to end; who it is, if it lives."""
    with contextlib.suppress(OSError):  # on a full disk the signal must do without a reason
        write_atomically(folder / "stop", why.encode(errors="replace"))
    who = read_identity(folder)
    if who is None or not is_alive(who):
        return None
    send(who, signal.SIGTERM)
    return who


def _left(living: dict[str, Identity], until: float) -> list[str]:
    """Runs whose wardens still live at that time."""
    return [run for run, who in living.items() if not _ends(who, until)]


def _ends(who: Identity, until: float) -> bool:
    try:
        fd = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return True
    try:
        if not is_alive(who):
            return True
        ready, _, _ = select.select([fd], [], [], max(0.0, until - time.monotonic()))
        return bool(ready)
    finally:
        os.close(fd)
