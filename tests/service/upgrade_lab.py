"""A state folder, a repo, an agent that waits at a gate, and daemons of any version as a service manager runs them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

import overnight
from overnight.durable.client import Client
from overnight.durable.identity import Identity, is_alive
from overnight.durable.journal import connect
from overnight.fleet.local import read_identity
from overnight.missions.codec import builtins
from overnight.missions.task import Phase, Repo, Task
from overnight.service.plan import KEEPER
from overnight.watchdog.look import read_beat

T = TypeVar("T")
#: Seconds after which what must happen did not.
PATIENCE = 120.0
POLICY = """
target = "main"
landing = "merge"
agent = "command"
[checks]
test = "test -s seed.txt"
[limits]
attempts = 2
[box]
minimum = "none"
[judges]
families = 0
[clarify]
threshold = 101
"""
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]


def soon(look: Callable[[], T | None]) -> T:
    """What a look finds, once it finds something: nobody announces what other processes do."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it does not happen")


class Site:
    """A machine of one person, below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.repo, self.gate = folder, folder / "state", folder / "repo", folder / "gate"
        os.mkfifo(self.gate)
        agent = f'echo begun >> {folder}/agents; read word < {self.gate}; echo "$OVERNIGHT_TASK" >> work.txt && git add -A && git commit -q -m Work && echo done'
        config = f'[work]\ntotal = 2\n[box]\nname = "none"\ni_know = true\n[agents.command]\nargv = ["sh", "-c", {json.dumps(agent)}]\n'
        (folder / "config.toml").write_text(config)
        self.env = {
            "OVERNIGHT_WEB": "off", "OVERNIGHT_HOME": str(self.home), "OVERNIGHT_CONFIG": str(folder / "config.toml"),
            "HOME": str(folder), "PATH": os.environ["PATH"],
        }  # fmt: skip
        self._children: list[subprocess.Popen[bytes]] = []
        self.repo.mkdir()
        (self.repo / "seed.txt").write_text("seed\n")
        (self.repo / "overnight.toml").write_text(POLICY)
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Seed"]):
            self.git(*words)

    def git(self, *words: str) -> str:
        """Run git on the repo, without anybody's configuration."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run([*GIT, *words], cwd=self.repo, check=True, env=env, capture_output=True, text=True)
        return done.stdout.strip()

    def close(self) -> None:
        """End everything that lives here."""
        self.end()

    def end(self) -> None:
        """The machine dies: daemons and wardens at once."""
        for child in self._children:
            child.kill()
            child.wait()
        for home in {self.home, *self.folder.glob("*/")}:
            beat = read_beat(home / "daemon.beat")
            if beat is not None and is_alive(Identity(beat.pid, beat.started, beat.boot)):
                os.kill(beat.pid, signal.SIGKILL)
        for process in psutil.process_iter(["cmdline"]):  # a warden may not have said yet who it is
            if any(word.startswith(f"{self.folder}/") and "/runs/" in word for word in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    # -- processes ------------------------------------------------------------------------------------------

    def spawn(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        """A process of Overnight's, in the background."""
        with (self.folder / "log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "overnight", *words], env={**self.env, **more}, cwd="/",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._children.append(child)
        return child

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "overnight", *words], env={**self.env, **more}, cwd=self.folder,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip

    def service(self, part: str, **more: str) -> subprocess.Popen[bytes]:
        """What a service manager starts."""
        return self.spawn("service", "run", part, **{KEEPER: "systemd", **more})

    def daemon(self, **more: str) -> subprocess.Popen[bytes]:
        """Start a daemon by hand; returns once it works."""
        return self.works(self.spawn("up", "--plain", **more))

    def works(self, child: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Return once this daemon drives tasks."""

        def looks() -> bool:
            assert child.poll() is None, (self.folder / "log").read_text()
            beat = read_beat(self.home / "daemon.beat")
            return beat is not None and beat.pid == child.pid and beat.turns > 0

        soon(looks)
        return child

    def ping(self) -> dict[str, Any]:
        """What the daemon says of itself."""
        return Client(self.home).call("ping")

    # -- tasks ----------------------------------------------------------------------------------------------

    def add(self, ident: str) -> None:
        """Queue a task."""
        repo = Repo(name="repo", path=str(self.repo), target="main")
        task = Task(id=ident, repo=repo, title=ident, text=ident)
        Client(self.home).call(
            "submit", id=ident, flow="task", lane="repo", input=builtins(task), phase=Phase.QUEUED, pool="work"
        )

    def warden(self, run: str) -> Identity:
        """The warden of a run, once its agent waits at the gate."""
        task, life, n = run.rsplit(".", 2)
        folder = self.home / "runs" / task / life / n
        soon(lambda: (folder / "launch.json").exists() or None)
        return soon(lambda: read_identity(folder))

    def let_go(self) -> None:
        """Let an agent that waits at the gate go on."""
        with self.gate.open("w") as gate:
            gate.write("go\n")

    def query(self, sql: str, *values: object) -> list[Any]:
        """Rows of the journal, as tuples."""
        db = connect(self.home / "journal.db", read_only=True)
        try:
            return [tuple(row) for row in db.execute(sql, values)]
        finally:
            db.close()

    def phase(self, ident: str) -> str:
        """Where a task is."""
        return self.query("SELECT phase FROM task WHERE id = ?", ident)[0][0]

    def lands(self, ident: str) -> None:
        """Return once a task has landed."""
        soon(lambda: self.query("SELECT 1 FROM task WHERE id = ? AND state = 'done'", ident) or None)
        assert self.phase(ident) == "landed", self.query("SELECT what, why FROM event WHERE task = ?", ident)

    def landed(self, ident: str) -> int:
        """How often a task's change is on the target."""
        trailers = self.git("log", "main", "--format=%(trailers:key=Overnight-Task,valueonly,separator=%x2C)")
        return sum(line.split(",").count(ident) for line in trailers.splitlines())


def newer(folder: Path, version: str, schema: str = "") -> Path:
    """A copy of the package with another version, and with one more migration if SQL is given; what PYTHONPATH names."""
    package = folder / "overnight"
    ignored = shutil.ignore_patterns("__pycache__", "static")
    shutil.copytree(Path(overnight.__file__).parent, package, ignore=ignored)
    init = package / "__init__.py"
    init.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', init.read_text()))
    if schema:
        migrations = package / "durable" / "migrations"
        last = max(int(path.name[:4]) for path in migrations.glob("[0-9]*.sql"))
        (migrations / f"{last + 1:04}_new.sql").write_text(schema)
    return folder
