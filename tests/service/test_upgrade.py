"""An upgrade in the middle of a run: the daemon goes, a newer one comes, the run goes on and its outcome is taken once."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from upgrade_lab import Site, newer

from overnight import __version__
from overnight.durable.identity import is_alive
from overnight.durable.journal import verify_journal
from testkit.waiting import PATIENCE, soon

pytestmark = pytest.mark.slow
NEW_TABLE = "CREATE TABLE upgraded(id INTEGER PRIMARY KEY) STRICT;\n"


@pytest.fixture
def site(tmp_path: Path) -> Generator[Site]:
    """A machine on which nothing runs yet."""
    site = Site(tmp_path)
    yield site
    site.close()


def steps(site: Site, task: str) -> list[str]:
    """Names of the finished steps of a task, in order."""
    return [row[0] for row in site.query("SELECT name FROM step WHERE task = ? ORDER BY finished", task)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_outlives_an_upgrade(site: Site, tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM to the main process alone, as `KillMode=process` does it, or its death: a newer Overnight with a newer
    journal takes the run of the old one up; the same warden, one agent, one outcome, one landing."""
    old = site.works(site.service("daemon"))
    site.add("one")
    warden = site.warden("one.1.1")
    os.kill(old.pid, number)
    assert old.wait(PATIENCE) == (0 if number is signal.SIGTERM else -number)
    assert is_alive(warden)
    package = newer(tmp_path / "newer", "99.0.0", NEW_TABLE)
    new = site.works(site.service("daemon", PYTHONPATH=str(package)))
    assert site.ping() == {**site.ping(), "pid": new.pid, "version": "99.0.0"}
    assert site.query("SELECT count(*) FROM upgraded") == [(0,)]
    assert is_alive(warden)
    site.let_go()
    site.lands("one")
    assert (tmp_path / "agents").read_text() == "begun\n"
    assert site.landed("one") == 1
    assert [name for name in steps(site, "one") if name.startswith("run")] == ["run 1"]
    assert not (site.home / "runs" / "one" / "1" / "2").exists()
    ups = [row[0] for row in site.query("SELECT json_extract(data, '$.version') FROM event WHERE what = 'daemon.up'")]
    assert ups == [__version__, "99.0.0"]
    assert verify_journal(site.home / "journal.db") > 0
    new.terminate()
    assert new.wait(PATIENCE) == 0


def test_an_outcome_that_came_while_nobody_looked(site: Site, tmp_path: Path) -> None:
    """The run ends between the two versions: the newer one finds the outcome, and starts nothing again."""
    old = site.works(site.service("daemon"))
    site.add("one")
    site.warden("one.1.1")
    old.terminate()
    assert old.wait(PATIENCE) == 0
    site.let_go()
    outcome = site.home / "runs" / "one" / "1" / "1" / "outcome.json"
    soon(outcome.exists)
    site.works(site.service("daemon", PYTHONPATH=str(newer(tmp_path / "newer", "99.0.0"))))
    site.lands("one")
    assert (tmp_path / "agents").read_text() == "begun\n"
    assert site.landed("one") == 1


def test_the_way_back_is_refused(site: Site, tmp_path: Path) -> None:
    """After an upgrade of the journal the old version does not start, says what to do, and harms no run."""
    package = newer(tmp_path / "newer", "99.0.0", NEW_TABLE)
    new = site.works(site.service("daemon", PYTHONPATH=str(package)))
    site.add("one")
    warden = site.warden("one.1.1")
    new.terminate()
    assert new.wait(PATIENCE) == 0
    old = site.run("up", "--plain")
    assert (old.returncode, "Install the newer Overnight again" in old.stderr) == (3, True)
    assert is_alive(warden)
    site.works(site.service("daemon", PYTHONPATH=str(package)))
    site.let_go()
    site.lands("one")
    assert site.landed("one") == 1
