"""The processes under test, as a service manager and a person at the command line handle them."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from overnight.doctor.canary import Shown
from overnight.durable.beat import NAME as BEAT
from overnight.durable.client import Client
from overnight.durable.identity import Identity, is_alive
from overnight.errors import OvernightError
from overnight.fleet.local import read_identity, read_outcome
from overnight.missions.codec import decode
from overnight.people.verbs import verbs
from overnight.soak.processes import send
from overnight.soak.stage import Stage
from overnight.watchdog.facts import Beat
from overnight.watchdog.look import process_state, read_beat

#: A daemon that was started has this long to show a beat before another one is started.
STARTS_S = 60.0
ENDS_S = 120.0


class System:
    """Daemon and watchdog of one stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        #: Starts of the daemon by the soak, and by whoever else.
        self.starts = self.foreign = 0
        #: The watchdog is to start the next daemon.
        self.hands_off = False
        self._daemon: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._mine: set[int] = set()
        self._seen: set[tuple[int, float]] = set()
        self._client = Client(stage.home, actor="soak", more=lambda journal: verbs(journal, {}))

    # -- processes ------------------------------------------------------------------------------------------

    def beat(self) -> Beat | None:
        """Of the daemon that lives; None when none does."""
        beat = read_beat(self.stage.home / BEAT)
        if beat is None or process_state(beat.pid, beat.started, beat.boot) is None:
            return None
        if (beat.pid, beat.started) not in self._seen:
            self._seen.add((beat.pid, beat.started))
            self.foreign += beat.pid not in self._mine
        return beat

    def beaten_since(self, at: float) -> bool:
        """Whether a daemon that lives gave a sign of life after that; epoch seconds."""
        try:
            return self.beat() is not None and (self.stage.home / BEAT).stat().st_mtime > at
        except OSError:
            return False

    @property
    def watchdog(self) -> int | None:
        """Its process id while it runs."""
        running = self._watchdog is not None and self._watchdog.poll() is None
        return self._watchdog.pid if running and self._watchdog else None

    @property
    def pages(self) -> int | None:
        """The process that serves the pages."""
        if (beat := self.beat()) is None:
            return None
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{beat.pid}/task/{beat.pid}/children").read_text().split():
                if b"overnight.web_process" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None

    def keep_up(self) -> None:
        """Start what is not there, as a service manager does."""
        if self._watchdog is None or self._watchdog.poll() is not None:
            self._watchdog = self._spawn("watchdog", log="watchdog.log")
        if self._daemon is not None and self._daemon.poll() is not None:
            self._daemon = None
        if self.beat() is not None or self.hands_off:
            return
        if self._daemon is not None and time.monotonic() - self._started_at < STARTS_S:
            return
        self._daemon = self._spawn("up", "--plain", log="daemon.log")
        self._mine.add(self._daemon.pid)
        self._started_at = time.monotonic()
        self.starts += 1

    def _spawn(self, *words: str, log: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "overnight", *words]
        environ = {**self.stage.environ(), **self.stage.clock.environ()}
        with (self.stage.folder / log).open("ab") as out:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ,
                cwd=self.stage.folder, start_new_session=True,
            )  # fmt: skip

    def wardens(self) -> Iterator[tuple[str, int]]:
        """(task, process) of every run that goes on."""
        for folder in self.stage.home.glob("runs/*/*/*"):
            with contextlib.suppress(OSError, OvernightError):
                who = read_identity(folder)
                if who is not None and read_outcome(folder) is None and is_alive(who):
                    yield folder.parent.parent.name, who.pid

    def end(self) -> None:
        """End all of it in order. What goes on after that is not there any more."""
        if self._watchdog is not None and self._watchdog.poll() is None:
            self._watchdog.terminate()
            self._watchdog.wait(ENDS_S)
        beat = self.beat()
        if beat is not None:
            send(beat.pid, signal.SIGCONT)
            send(beat.pid, signal.SIGTERM)
            self._until_gone(Identity(beat.pid, beat.started, beat.boot))
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._daemon.wait(ENDS_S)
        for _, pid in list(self.wardens()):
            send(pid, signal.SIGTERM)
        until = time.monotonic() + ENDS_S
        while list(self.wardens()) and time.monotonic() < until:
            time.sleep(0.1)

    def _until_gone(self, who: Identity) -> None:
        until = time.monotonic() + ENDS_S
        while is_alive(who) and time.monotonic() < until:
            if self._daemon is not None:
                self._daemon.poll()
            time.sleep(0.05)

    # -- words ----------------------------------------------------------------------------------------------

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Raises NotNow when nobody can do it at the moment, whatever the reason."""
        try:
            return self._client.call(verb, **arguments)
        except (OvernightError, TimeoutError, sqlite3.Error, OSError) as error:
            raise NotNow(f"{verb}: {error}") from error

    def play_canary(self, agent: str) -> None:
        """Before the daemon does: no fault is to meet it. Raises NotNow when it fails: no run would ever begin."""
        shown = decode(self._run("overnight.doctor", agent, str(self.stage.home)), Shown)
        if not shown.passed:
            raise NotNow(f"the canary of `{agent}` fails, so no run may begin: {shown.why()}")

    def overnight(self, *words: str) -> str:
        """A command of the command line. Raises NotNow."""
        return self._run("overnight", *words)

    def _run(self, module: str, *words: str) -> str:
        command = [sys.executable, "-P", "-m", module, *words]
        done = subprocess.run(command, env=self.stage.environ(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotNow(f"`{module} {' '.join(words)}` said {done.stderr.strip()}")
        return done.stdout


class NotNow(Exception):
    """It can't be done at the moment; it is tried again."""


def stopped(pid: int) -> bool:
    """Whether a signal holds the process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"T", b"t")
    return False


def fill(folder: Path) -> Path:
    """Leave not one free block; the file that takes them."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        size, at = 1 << 26, 0
        while size >= 512:
            try:
                os.posix_fallocate(file.fileno(), at, size)
                at += size
            except OSError:
                size //= 2
    return path
