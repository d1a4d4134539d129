"""A person's computer below a folder: settings, a state folder, a repository, and Overnight's own processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from overnight.durable.client import Client
from overnight.durable.identity import Identity, is_alive
from overnight.durable.journal import connect
from overnight.fleet.local import read_identity
from overnight.missions.codec import builtins
from overnight.missions.places import run_dir
from overnight.missions.task import Phase, Repo, Task
from overnight.watchdog.look import read_beat
from testkit.repos import git, repository
from testkit.waiting import PATIENCE, soon

#: Starts the command line in a process of its own.
OVERNIGHT = (sys.executable, "-P", "-m", "overnight")


def environment(folder: Path, home: Path, **more: str) -> dict[str, str]:
    """The environment of a person who lives in this folder; nothing of whoever runs the tests. No pages are served.

    home: the state folder. more: further variables, or others' values.
    """
    return {
        "PATH": os.environ["PATH"], "HOME": str(folder), "OVERNIGHT_HOME": str(home), "OVERNIGHT_WEB": "off",
        "OVERNIGHT_CONFIG": str(folder / "config.toml"), **more,
    }  # fmt: skip


def config(script: str, more: str = "") -> str:
    """Settings (config.toml) whose agent is this shell script, in no box. more: further tables."""
    argv = json.dumps(["sh", "-c", script])
    return f'[box]\nname = "none"\ni_know = true\n[agents.command]\nargv = {argv}\n{more}'


def policy(more: str = "", *, check: str = "test -s seed.txt", families: int = 0, clear: int = 101) -> str:
    """A policy (overnight.toml) under which a script's work is merged without a box.

    more: further tables. check: the one check. families: of judges. clear: how unclear a task must be to be asked about.
    """
    return (
        f'target = "main"\nlanding = "merge"\nagent = "command"\n[checks]\ntest = {json.dumps(check)}\n'
        f'[box]\nminimum = "none"\n[judges]\nfamilies = {families}\n[clarify]\nthreshold = {clear}\n{more}'
    )


def submit(home: Path, task: Task) -> None:
    """Queue a task, with the daemon of a state folder or where there is none."""
    Client(home).call(
        "submit", id=task.id, flow="task", lane=task.repo.name, input=builtins(task), phase=Phase.QUEUED, pool="work"
    )


def rows(home: Path, sql: str, *values: object) -> list[dict[str, Any]]:
    """What the journal of a state folder says."""
    with contextlib.closing(connect(home / "journal.db", read_only=True)) as db:
        return [dict(row) for row in db.execute(sql, values)]


class Computer:
    """A computer with one repository, which holds `seed.txt` and a policy, and what was started on it.

    settings: config.toml. rules: overnight.toml. name: the repository's. home: the state folder, if not `state`.
    more: environment variables.
    """

    def __init__(
        self, folder: Path, settings: str, rules: str, *, name: str = "repo", home: Path | None = None, **more: str
    ) -> None:
        self.folder, self.home, self.repo = folder, home or folder / "state", folder / name
        self.env = environment(folder, self.home, **more)
        self.children: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(settings)
        repository(self.repo, {"seed.txt": "seed\n", "overnight.toml": rules})

    def git(self, *words: str) -> str:
        """What git says of the repository."""
        return git(self.repo, *words)

    # -- processes ------------------------------------------------------------------------------------------

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command of the command line, to its end. more: environment variables."""
        return subprocess.run(
            [*OVERNIGHT, *words], env={**self.env, **more}, cwd=self.folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip

    def ok(self, *words: str) -> str:
        """What a command prints that must work, without the white space around it."""
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def spawn(self, module: str, *words: str, **more: str) -> subprocess.Popen[bytes]:
        """A process of Overnight's that stays; `log` is its output. module: what Python runs. more: environment variables."""
        with (self.folder / "log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *words], env={**self.env, **more}, cwd="/",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.children.append(child)
        return child

    def close(self) -> None:
        """The computer goes down: daemons and wardens end at once, whoever started them."""
        for child in self.children:
            child.kill()
            child.wait()
        for home in {self.home, *self.folder.glob("*/")}:
            beat = read_beat(home / "daemon.beat")
            if beat is not None and is_alive(Identity(beat.pid, beat.started, beat.boot)):
                os.kill(beat.pid, signal.SIGKILL)
        for process in psutil.process_iter(["cmdline"]):  # a warden may not have said yet who it is
            if any(self._is_a_run(word) for word in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def _is_a_run(self, word: str) -> bool:
        return word.startswith((f"{self.folder}/", f"{self.home}/")) and "/runs/" in word

    # -- tasks ----------------------------------------------------------------------------------------------

    def add(self, ident: str, title: str = "") -> None:
        """Queue a task."""
        repo = Repo(name=self.repo.name, path=str(self.repo), target="main")
        submit(self.home, Task(id=ident, repo=repo, title=title or f"Do {ident}", text=f"Do {ident}."))

    def warden(self, run: str) -> Identity:
        """The warden of a run, once its agent works. run: its id."""
        folder = Path(run_dir(str(self.home), run))
        soon(lambda: (folder / "launch.json").exists())
        return soon(lambda: read_identity(folder))

    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """What the journal says."""
        return rows(self.home, sql, *values)

    def phase(self, ident: str) -> str:
        """Where a task is."""
        return self.rows("SELECT phase FROM task WHERE id = ?", ident)[0]["phase"]
