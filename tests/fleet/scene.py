"""What runs need to really happen in a test: folders, settings, agents that ring, wardens of their own."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from overnight.agents.command import CommandAgent, CommandSettings
from overnight.audit.record import RunAudit
from overnight.boxes.bubblewrap import Bubblewrap
from overnight.boxes.child import readable
from overnight.boxes.none import Unconfined
from overnight.fleet.local import LocalFleet
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.missions.money import Allowance
from overnight.missions.policy import BoxLevel, BoxPolicy, Limits
from overnight.missions.run import RunSpec
from overnight.ports import Agent
from overnight.warden.keeper import Keeper

T = TypeVar("T")
#: Seconds after which something that must happen did not.
PATIENCE = 60.0
KEY = "sk-real-0123456789"
#: More than any scripted run uses, by its model's list prices.
PLENTY = Allowance(usd=Decimal(1000))
WARDEN = (sys.executable, "-P", "-m", "overnight.warden_process")
#: Stays until it is ended, and ignores being asked.
STUBBORN = "trap '' TERM; exec 9>bell; echo up >&9; while :; do sleep 60; done"
#: Says that it begins, waits to be let go on, and leaves its work.
PATIENT = 'echo began >> begun; exec 9>bell; echo up >&9; read word < gate; echo "heard $word"'


def within(story: Coroutine[Any, Any, T]) -> T:
    """Run a story; one that hangs fails."""

    async def limited() -> T:
        async with asyncio.timeout(PATIENCE):
            return await story

    return asyncio.run(limited())


async def appears(path: Path) -> None:
    """Return once a file is there: nobody announces it to us."""
    until = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < until, f"{path} does not appear"
        await asyncio.sleep(0)


def allow(_: Call) -> Verdict:
    return Verdict(decision=Decision.ALLOW, rule="test", reason="")


class Bell:
    """A FIFO that a run writes to: what it says, and its end once every process that holds it is dead."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    async def rings(self) -> str:
        """The next thing that somebody says."""
        await readable(self._fd)
        said = os.read(self._fd, 4096).decode()
        assert said, "nobody is left to say anything"
        return said

    def let_go(self, seconds: float = 0) -> bool:
        """Whether nobody holds it any more, or will not within so many seconds."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while poll.poll(seconds * 1000):
            if not os.read(self._fd, 4096):
                return True
        return False

    def close(self) -> None:
        os.close(self._fd)


class Gate:
    """A FIFO that a run reads from: it waits there for a word."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        # For reading and writing, so that opening never waits and what is said early is kept.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def say(self, word: str) -> None:
        os.write(self._fd, word.encode() + b"\n")

    def close(self) -> None:
        os.close(self._fd)


class Scene:
    """A worktree with its git dir, a state folder, and FIFOs `bell` and `gate` in the worktree."""

    def __init__(self, root: Path) -> None:
        self.root, self.home, self.work, self.git = root, root / "state", root / "work", root / "git"
        self.objects = root / "objects"
        self.objects.mkdir()
        self.config("")
        command = ["git", "init", "-q", f"--separate-git-dir={self.git}", str(self.work)]
        subprocess.run(command, check=True, env={"PATH": os.environ["PATH"], "HOME": str(root)})
        self.bell, self.gate = Bell(self.work / "bell"), Gate(self.work / "gate")

    def close(self) -> None:
        self.bell.close()
        self.gate.close()

    # -- in this process ------------------------------------------------------------------------------------

    def keeper(self, script: str, box: str = "none", agent: Agent | None = None, **more: Any) -> Keeper:
        """Keeps one run of a shell script, in this process. more: limits, or arguments of the keeper."""
        folder = self.root / "run"
        folder.mkdir(exist_ok=True)
        spec = more.pop("spec", None) or self.spec(limits=more.pop("limits", Limits()))
        made = more.pop("made", None) or (Bubblewrap() if box == "bubblewrap" else Unconfined())

        def audit(version: str, level: str, without: Callable[[str], str]) -> RunAudit:
            return RunAudit(self.home, spec, without, version, level)

        more = {"decide": allow, "environ": {}, "stop": asyncio.Event(), "audit": audit, **more}
        return Keeper(folder, spec, agent or shell(script), made, **more)

    # -- with real wardens ----------------------------------------------------------------------------------

    def config(self, text: str, box: str = "none", script: str = ":") -> None:
        """The settings that wardens find."""
        known = f'[box]\nname = "{box}"\n' + ("i_know = true\n" if box == "none" else "")
        argv = msgspec.json.encode(["sh", "-c", script]).decode()
        (self.root / "config.toml").write_text(f"{known}[agents.command]\nargv = {argv}\n{text}")

    def environ(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.root / "person"),
            "OVERNIGHT_CONFIG": str(self.root / "config.toml"),
            "ANTHROPIC_API_KEY": KEY,
        }

    def fleet(self, command: tuple[str, ...] = WARDEN, **more: Any) -> LocalFleet:
        return LocalFleet(self.home, command, self.environ(), **more)

    def spec(self, **more: Any) -> RunSpec:
        own: dict[str, Any] = {
            "agent": "command",
            "prompt": "Do.",
            "limits": Limits(),
            "id": "t1.1.1",
            "allowance": PLENTY,
        } | more
        return RunSpec(
            task="t1", worktree=str(self.work), git_dir=str(self.git), objects=str(self.objects), start="0" * 40,
            box=BoxPolicy(minimum=BoxLevel.NONE), **own,
        )  # fmt: skip

    @property
    def folder(self) -> Path:
        """The run's."""
        return self.home / "runs" / "t1" / "1" / "1"

    @property
    def begun(self) -> int:
        """How many agents began."""
        path = self.work / "begun"
        return len(path.read_text().splitlines()) if path.exists() else 0


def shell(script: str) -> CommandAgent:
    """The agent `command` with a shell script."""
    return CommandAgent(CommandSettings(argv=("sh", "-c", script)))
