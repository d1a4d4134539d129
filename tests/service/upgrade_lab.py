"""A state folder, a repo, an agent that waits at a gate, and daemons of any version as a service manager runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import overnight
from overnight.durable.client import Client
from overnight.service.plan import KEEPER
from overnight.watchdog.look import read_beat
from testkit.computer import Computer, config, policy
from testkit.waiting import soon


class Site(Computer):
    """A machine of one person, below a folder."""

    def __init__(self, folder: Path) -> None:
        self.gate = folder / "gate"
        os.mkfifo(self.gate)
        agent = f'echo begun >> {folder}/agents; read word < {self.gate}; echo "$OVERNIGHT_TASK" >> work.txt && git add -A && git commit -q -m Work && echo done'
        super().__init__(folder, config(agent, "[work]\ntotal = 2\n"), policy("[limits]\nattempts = 2\n"))

    def end(self) -> None:
        """The machine dies."""
        self.close()

    # -- processes ------------------------------------------------------------------------------------------

    def service(self, part: str, **more: str) -> subprocess.Popen[bytes]:
        """What a service manager starts."""
        return self.spawn("overnight", "service", "run", part, **{KEEPER: "systemd", **more})

    def daemon(self, **more: str) -> subprocess.Popen[bytes]:
        """Start a daemon by hand; returns once it works."""
        return self.works(self.spawn("overnight", "up", "--plain", **more))

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

    def let_go(self) -> None:
        """Let an agent that waits at the gate go on."""
        with self.gate.open("w") as gate:
            gate.write("go\n")

    def query(self, sql: str, *values: object) -> list[Any]:
        """Rows of the journal, as tuples."""
        return [tuple(row.values()) for row in self.rows(sql, *values)]

    def lands(self, ident: str) -> None:
        """Return once a task has landed."""
        soon(lambda: self.query("SELECT 1 FROM task WHERE id = ? AND state = 'done'", ident))
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
