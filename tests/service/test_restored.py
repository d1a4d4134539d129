"""A backup taken in the middle of a run, restored elsewhere: the run is lost, the task goes on, nothing lands twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from upgrade_lab import Site

from overnight.durable.journal import verify_journal
from testkit.waiting import PATIENCE, soon

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path: Path) -> Generator[Site]:
    """A machine on which nothing runs yet."""
    site = Site(tmp_path)
    yield site
    site.close()


def backed_up(site: Site) -> None:
    """A task whose agent works, and a backup made meanwhile."""
    site.daemon()
    site.add("one")
    site.warden("one.1.1")
    done = site.run("backup", "night.tar.gz")
    assert done.returncode == 0, done.stderr


def restored(site: Site) -> str:
    """Another state folder, made of the backup; what was said."""
    site.home = site.folder / "again"
    site.env["OVERNIGHT_HOME"] = str(site.home)
    done = site.run("restore", "night.tar.gz")
    assert done.returncode == 0, done.stderr
    assert (site.home / "restored.json").exists()
    return done.stdout


def told(site: Site, what: str) -> list[str]:
    """Why of all events of a kind."""
    return [row[0] for row in site.query("SELECT why FROM event WHERE what = ?", what)]


def test_the_machine_is_gone(site: Site) -> None:
    """State folder, worktree and warden are gone: the run counts as lost with its whole allowance, what refs hold is kept
    under names of its own, the next run works in a new worktree and lands, once."""
    backed_up(site)
    old = site.home
    site.end()
    shutil.rmtree(old)
    work = site.git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "Work that was collected after the backup")
    site.git("update-ref", "refs/overnight/one/1.1", work)
    site.git("update-ref", "refs/overnight/one/1.2", work)
    assert "was under way" in restored(site)
    daemon = site.daemon()
    site.warden("one.1.2")
    assert not (site.home / "restored.json").exists()
    (why,) = told(site, "task.restored")
    assert "one.1.1 is lost" in why
    assert "refs/overnight/one/before-restore/1.1, refs/overnight/one/before-restore/1.2" in why
    spent = site.query("SELECT settled IS NOT NULL, reserved_usd FROM spend WHERE run = 'one.1.1'")
    assert spent == [(1, 0)]
    site.let_go()
    site.lands("one")
    assert site.landed("one") == 1
    assert "restored from a backup: one.1.1 is lost" in " ".join(site.run("show", "one").stdout.split())
    assert (site.folder / "agents").read_text() == "begun\nbegun\n"
    outcome = json.loads(site.query("SELECT output FROM step WHERE task = 'one' AND name = 'run 1'")[0][0])
    assert (outcome["end"], outcome["failure"]) == ("lost", "machine")
    for n in (1, 2):
        assert site.git("rev-parse", f"refs/overnight/one/before-restore/1.{n}") == work
    assert verify_journal(site.home / "journal.db") > 0
    assert not old.exists()
    daemon.terminate()
    assert daemon.wait(PATIENCE) == 0
    assert told(site, "task.restored") == [why]


def test_it_landed_after_the_backup(site: Site) -> None:
    """The old machine finished the task before it went: restored, it ends as landed by that commit; no agent starts."""
    backed_up(site)
    site.let_go()
    site.lands("one")
    landed = site.git("rev-parse", "main")
    site.end()
    restored(site)
    site.daemon()
    site.lands("one")
    assert site.landed("one") == 1
    assert site.git("rev-parse", "main") == landed
    assert landed[:12] in told(site, "task.ended")[0]
    assert (site.folder / "agents").read_text() == "begun\n"
    assert site.query("SELECT count(*) FROM spend WHERE settled IS NULL") == [(0,)]


def test_words_of_an_agent_land_nothing(site: Site) -> None:
    """A commit on the target that only claims to be the task's landing is none: the task goes on."""
    backed_up(site)
    site.end()
    site.git("commit", "-q", "--allow-empty", "-m", "Mine\n\nOvernight-Task: one")
    restored(site)
    site.daemon()
    site.warden("one.1.2")
    site.let_go()
    site.lands("one")
    assert "one" in site.git("log", "-1", "--format=%(trailers:key=Overnight-Task,valueonly)", "main")
    assert site.landed("one") == 2  # the claim, and the landing


def test_a_queue_needs_nothing(site: Site) -> None:
    """Tasks that had not begun, and those that had ended, are as they were."""
    backed_up(site)
    site.let_go()
    site.lands("one")
    (site.folder / "night.tar.gz").unlink()
    assert site.run("pause").returncode == 0
    site.add("two")
    assert site.run("backup", "night.tar.gz").returncode == 0
    site.end()
    assert "was under way" not in restored(site)
    site.daemon()
    assert (site.phase("one"), site.phase("two")) == ("landed", "queued")
    assert site.run("resume").returncode == 0
    site.warden("two.1.1")
    site.let_go()
    site.lands("two")
    assert (site.landed("one"), site.landed("two")) == (1, 1)
    assert told(site, "task.restored") == []
    soon(lambda: told(site, "journal.restored"))
