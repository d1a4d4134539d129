"""A check that asks for hosts, in a real box, behind the real proxy."""

from __future__ import annotations

import asyncio
from pathlib import Path

from overnight.boxes.bubblewrap import Bubblewrap
from overnight.landing.checks import BoxedChecks
from overnight.missions.policy import Check
from overnight.missions.task import Repo, Task
from overnight.wiring import door
from testkit.repos import git, repository

ASK = """\
exec python3 - <<'EOF'
import os, socket, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
link = socket.create_connection((proxy.hostname, proxy.port), timeout=10)
link.sendall(b"CONNECT elsewhere.test:443 HTTP/1.1\\r\\nHost: elsewhere.test\\r\\n\\r\\n")
print(link.recv(4096).decode())
EOF
"""


def test_a_check_finds_the_proxy_and_only_its_hosts_behind_it(tmp_path: Path) -> None:
    """`HTTPS_PROXY` inside the box answers, and refuses a host that the check did not ask for."""
    repo = repository(tmp_path / "repo", {})
    commit = git(repo, "rev-parse", "HEAD")
    task = Task(id="t", repo=Repo(name="r", path=str(repo), target="main"), title="t", text="t")
    checks = BoxedChecks(tmp_path / "state", Bubblewrap(), egress=door)
    (result,) = asyncio.run(checks.run(task, commit, {"ask": Check(run=ASK, egress=("example.test",))}, "label"))
    assert "403" in result.output
    assert result.passed
