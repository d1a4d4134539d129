"""A machine for the dashboard at the terminal: a real daemon, real git, an agent that is a script; and its eyes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from overnight.api.site import Site
from overnight.config import parse_settings
from overnight.durable.client import Client
from overnight.watch.app import Watching
from overnight.web_process import machine_of
from testkit.computer import Computer, config, policy
from testkit.waiting import PATIENCE as HAPPENS_WITHIN_S
from testkit.waiting import soon

#: Does what the first letters of the task's id say.
AGENT = """
case "$OVERNIGHT_TASK" in
  slow*) echo "begins" && read line < "{gate}" ;;
  ask*) printf 'BLOCKED: which colour \\033[31mis it, and is ghp_0123456789abcdefghijklmnopqrstuvwxyz yours?' ;;
  bad*) echo "$OVERNIGHT_TASK" > broken.txt && echo done ;;
  *) echo "work of $OVERNIGHT_TASK" > "$OVERNIGHT_TASK.txt" && echo done ;;
esac
"""


class Lab(Computer):
    """One machine with its state folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        os.mkfifo(folder / "gate")
        self.config = config(AGENT.format(gate=folder / "gate"), "[work]\ntotal = 4\nper_repo = 4\n")
        rules = policy("[limits]\nattempts = 1\n[risk]\nasks_from = 0\n", check="test ! -e broken.txt")
        super().__init__(folder, self.config, rules, name="shop", LANG="C.UTF-8", TERM="xterm-256color")
        self.ok("repo", "add", str(self.repo))
        self._daemon: subprocess.Popen[bytes] | None = None

    # -- the daemon -----------------------------------------------------------------------------------------

    def up(self) -> None:
        """Start it; return when it answers."""
        self._daemon = self.spawn("overnight", "up", "--plain")
        happens(lambda: Client(self.home).running(), "the daemon answers")

    def kill(self) -> None:
        """End it at once."""
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait()
        self._daemon = None

    def end(self) -> None:
        """End what was started."""
        if self._daemon is not None:
            with contextlib.suppress(AssertionError):
                self.ok("stop", "--all")
            self._daemon.terminate()
            self._daemon.wait()

    # -- tasks ----------------------------------------------------------------------------------------------

    def row(self, name: str) -> dict[str, Any]:
        """A task as the journal has it."""
        return self.rows("SELECT *, json_extract(hold, '$.reason') AS reason FROM task WHERE id = ?", name)[0]

    def held(self, name: str, reason: str) -> None:
        """Queue a task, and wait until it waits for this."""
        self.add(name)
        happens(lambda: self.row(name)["reason"] == reason, f"{name} is held for {reason}")

    def running(self, name: str) -> None:
        """Queue a task, and wait until its agent has said something."""
        self.add(name)
        happens(lambda: self.row(name)["phase"] == "running" and self._began(name), f"{name} runs")

    def _began(self, name: str) -> bool:
        return b"begins" in b"".join(path.read_bytes() for path in self.home.glob(f"runs/{name}/*/*/agent.jsonl"))

    # -- the eyes -------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def watched(
        self, width: int = 120, height: int = 36, *, asked: bool = True
    ) -> AsyncGenerator[tuple[Pilot[None], Watching]]:
        """The dashboard, without a terminal, once it has seen everything. asked: also the daemon."""
        site = Site(machine_of(parse_settings(self.config.encode(), "config.toml"), self.home))
        app = Watching(site)
        try:
            async with app.run_test(size=(width, height), notifications=True) as pilot:
                await until(pilot, lambda: app.last is not None and (app.last.health is not None or not asked))
                yield pilot, app
        finally:
            await asyncio.to_thread(site.stop)


def happens(look: Callable[[], Any], what: str) -> Any:
    """What `look` gives as soon as it gives something."""

    def found() -> Any:
        with contextlib.suppress(sqlite3.Error, IndexError):
            return look()

    return soon(found, lambda: what)


async def until(pilot: Pilot[None], look: Callable[[], Any]) -> Any:
    """What `look` gives as soon as it gives something, while the application goes on."""
    end = time.monotonic() + HAPPENS_WITHIN_S
    while time.monotonic() < end:
        with contextlib.suppress(sqlite3.Error, IndexError):
            if found := look():
                return found
        await pilot.pause(0.02)
    raise AssertionError(f"it did not happen; on the screen:\n{shown(pilot.app)}")


def shown(app: Any) -> str:
    """The screen, line by line, without colours."""
    console = app.screen._compositor
    return "\n".join("".join(part.text for part in strip) for strip in console.render_strips())


async def sees(pilot: Pilot[None], words: str) -> None:
    """Wait until words stand on the screen, wherever they are wrapped."""
    await until(pilot, lambda: words in " ".join(shown(pilot.app).split()))
