"""Nights that are killed: a real daemon, real git, real wardens and agents, and SIGKILL at one chosen instant.

`python nights.py FOLDER SHARD SHARDS` plays one whole night to count its instants, then one night for each instant of
its shard: killed there (every other time with all its wardens, as when the machine goes down), started again, and
looked at. Prints one JSON object. Each daemon is a fork of this process, so
that a hundred nights do not import everything a hundred times.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from overnight.config import Settings, parse_settings
from overnight.daemon import serve
from overnight.durable.client import Client
from overnight.durable.identity import is_alive
from overnight.durable.journal import connect, verify_journal
from overnight.fleet.local import read_identity
from overnight.missions.codec import builtins
from overnight.missions.task import Phase, Repo, Task

#: Seconds after which a night that does not end counts as hung.
HUNG_S = 60.0
#: Does its work again without harm, as an agent does that finds it done by a run that was lost.
AGENT = (
    'echo "$OVERNIGHT_TASK" > work.txt && git add -A && '
    '{ git diff --cached --quiet || git commit -q -m "Work of $OVERNIGHT_TASK"; } && echo done'
)
CONFIG = f"""
[work]
total = 2
per_repo = 2
[box]
name = "none"
i_know = true
[agents.command]
argv = ["sh", "-c", {json.dumps(AGENT)}]
"""
POLICY = """
target = "main"
landing = "merge"
agent = "command"
[checks]
test = "test -s seed.txt"
[box]
minimum = "none"
[judges]
families = 0
[clarify]
threshold = 101
"""
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]


class Night:
    """One task from queued to landed, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.repo = folder, folder / "state", folder / "repo"
        self.settings: Settings = parse_settings(CONFIG.encode(), "config.toml")

    def prepare(self) -> None:
        """A repository and a queued task."""
        self.repo.mkdir(parents=True)
        (self.repo / "seed.txt").write_text("seed\n")
        (self.repo / "overnight.toml").write_text(POLICY)
        (self.folder / "config.toml").write_text(CONFIG)
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Seed"]):
            subprocess.run([*GIT, *words], cwd=self.repo, check=True)
        os.environ |= {"OVERNIGHT_HOME": str(self.home), "OVERNIGHT_CONFIG": str(self.folder / "config.toml")}
        task = Task(id="one", repo=Repo(name="repo", path=str(self.repo), target="main"), title="One", text="Do one.")
        Client(self.home).call(
            "submit", id="one", flow="task", lane="repo", input=builtins(task), phase=Phase.QUEUED, pool="work"
        )

    def drive(self, at: Callable[[int], None]) -> int:
        """A daemon in a fork, until the task has ended or the daemon is killed. Its wait status."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = self._be_the_daemon(at)
            finally:
                os._exit(code)
        until = time.monotonic() + HUNG_S
        while time.monotonic() < until:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return status
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise AssertionError(f"the night hangs: {self.state()}")

    def _be_the_daemon(self, at: Callable[[int], None]) -> int:
        instants = 0

        def observe(moment: str, label: str) -> None:
            nonlocal instants
            instants += 1
            (self.folder / "instants").write_text(f"{instants} {moment} {label}")
            at(instants)
            if (moment, label) == ("after", "end"):
                os.kill(os.getpid(), signal.SIGTERM)

        asyncio.run(serve(self.settings, self.home, lambda: self._end_if_over(), observe))
        return 0

    def _end_if_over(self) -> None:
        if self.state()["state"] == "done":
            os.kill(os.getpid(), signal.SIGTERM)

    def state(self) -> dict[str, Any]:
        """The task's row."""
        db = connect(self.home / "journal.db", read_only=True)
        try:
            return dict(db.execute("SELECT * FROM task").fetchone())
        finally:
            db.close()

    def problems(self) -> list[str]:
        """What is not as it must be after the night."""
        found: list[str] = []
        row = self.state()
        if (row["state"], row["phase"]) != ("done", "landed"):
            found.append(f"the task is {row['state']} {row['phase']}, hold {row['hold']}")
        if (count := len(self._git("log", "--format=%H", "--grep=^Overnight-Task: one$", "main"))) != 1:
            found.append(f"it landed {count} times")
        if (work := self._git("show", "main:work.txt")) != ["one"]:
            found.append(f"the target holds {work}")
        if len(self._git("worktree", "list")) != 1 or list((self.home / "worktrees").glob("*")):
            found.append(f"worktrees are left: {self._git('worktree', 'list')}")
        if self._git("status", "--porcelain"):
            found.append(f"the person's folder is {self._git('status', '--porcelain')}")
        found += [f"a process is left: {line}" for line in processes_of(self.folder)]
        verify_journal(self.home / "journal.db")
        return found

    def _git(self, *words: str) -> list[str]:
        done = subprocess.run([*GIT, *words], cwd=self.repo, capture_output=True, text=True, check=False)
        return done.stdout.splitlines() if done.returncode == 0 else [done.stderr]


def kill_wardens(home: Path) -> None:
    """What a machine that goes down does to them."""
    for folder in home.glob("runs/*/*/*"):
        who = read_identity(folder)
        if who is not None and is_alive(who):
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                os.kill(who.pid, signal.SIGKILL)
                psutil.Process(who.pid).wait(10)


def processes_of(folder: Path) -> list[str]:
    """Other processes that this folder's name is in the arguments of."""
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline", "pid"])
        if process.info["pid"] != os.getpid() and str(folder) in " ".join(process.info["cmdline"] or [])
    ]


def kill_at(instant: int) -> Callable[[int], None]:
    """kill -9 itself at that instant."""

    def at(now: int) -> None:
        if now == instant:
            os.kill(os.getpid(), signal.SIGKILL)

    return at


def main() -> None:
    """See the module's words."""
    top, shard, shards = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    night = Night(top / "whole")
    night.prepare()
    night.drive(kill_at(0))
    whole = night.problems()
    total = int((night.folder / "instants").read_text().split()[0])
    failures = {"whole": whole} if whole else {}
    killed = 0
    for instant in range(1 + shard, total + 1, shards):
        night = Night(top / f"night-{instant}")
        night.prepare()
        killed += os.WIFSIGNALED(night.drive(kill_at(instant)))
        where = (night.folder / "instants").read_text()
        if instant // 2 % 2:
            kill_wardens(night.home)
        night.drive(kill_at(0))
        if problems := night.problems():
            failures[where] = problems
        else:
            shutil.rmtree(night.folder, ignore_errors=True)
    sys.stdout.write(json.dumps({"total": total, "killed": killed, "failures": failures}) + "\n")


if __name__ == "__main__":
    main()
