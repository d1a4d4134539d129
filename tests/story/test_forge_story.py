"""A change's whole way over a forge: real git over HTTP, real wardens and checks, the forge of this machine.

An issue is labelled, a task made, a run done, a draft opened; its CI is red, another run mends it; it is approved at the
command line and merged; the target breaks, a pull request takes it back, and the kind of work loses its level.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from overnight.config import parse_settings
from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.journal import Journal, verify_journal
from overnight.durable.pools import Pool
from overnight.flows.landing import LANDING
from overnight.flows.task import WORK, carry_out
from overnight.judge.autonomy import Fate, standing
from overnight.judge.routing import kind_of
from overnight.landing.forge.github import GitHubForge
from overnight.landing.forge.local.server import TOKEN, Fault, LocalGitHub
from overnight.landing.forge.settings import ForgeSettings
from overnight.missions.hold import Held
from overnight.missions.judging import Earned, Level
from overnight.missions.task import Phase, Repo
from overnight.ports import House
from overnight.report.record import fates
from overnight.report.story import story
from overnight.report.views import TaskStory
from overnight.wiring import house_for, intake_for, purse_for
from testkit.repos import git

#: Mends what the forge's check says, when it is told.
AGENT = (
    'if grep -q "forge\'s check" "$OVERNIGHT_PROMPT"; then echo hello > hello.txt; else echo hi > hello.txt; fi; '
    'git add -A && git commit -q -m "Say hello" && echo done'
)
CONFIG = f"""
[box]
name = "none"
i_know = true
[bounds]
allow_remote_writes = true
[agents.command]
argv = ["sh", "-c", {json.dumps(AGENT)}]
"""
POLICY = """
target = "main"
landing = "pr"
agent = "command"
allow_remote_writes = true
[checks]
test = "test -s seed.txt"
[box]
minimum = "none"
[judges]
families = 0
[clarify]
threshold = 101
[forge]
label = "overnight"
merge = "person"
"""


def green(_text: str, _branch: str) -> str:
    """CI that finds nothing."""
    return "success"


class Clumsy(LocalGitHub):
    """A forge where every kind of request goes wrong the first time, while it is told to be so."""

    clumsy: Fault | None = None

    def __init__(self, folder: Path) -> None:
        self.met = set[str]()
        super().__init__(folder)

    def fault(self, method: str, path: str) -> Fault | None:
        """What goes wrong with this request."""
        kind = re.sub(r"[0-9a-f]{7,40}|[0-9]+", "N", f"{method} {path}")
        if self.clumsy is None or kind in self.met:
            return super().fault(method, path)
        self.met.add(kind)
        return self.clumsy


class Site:
    """A forge with one repository, a person's clone of it, and a journal whose time passes when told."""

    def __init__(self, root: Path, github: Clumsy) -> None:
        self.root, self.github, self.home, self.repo = root, github, root / "state", root / "repo"
        self.clock = ManualClock(time.time())
        self.store = github.store
        self.reports: Callable[[str, str], str] = green
        self.store.permissions["pat"] = "write"
        files = {"overnight.toml": POLICY, "seed.txt": "seed\n"}
        self.store.reports(self.store.commits("main", files, "Seed"), "build", "success")
        self.git("clone", "-q", str(self.store.git_dir), str(self.repo), where=root)
        self.git("remote", "set-url", "origin", f"{github.git}/{self.store.place}.git")
        (root / "config.toml").write_text(CONFIG)
        self.settings = parse_settings(CONFIG.encode(), "config.toml")
        self.env = {**os.environ, "OVERNIGHT_HOME": str(self.home), "OVERNIGHT_CONFIG": str(root / "config.toml")}
        self.registered = Repo(name="site", path=str(self.repo), target="main")

    def git(self, *words: str, where: Path | None = None) -> str:
        """A person's git."""
        return git(where or self.repo, *words)

    def house(self) -> House:
        """Real ports, as a process of its own would have them."""
        forge = ForgeSettings(kind="github", api=self.github.api, git=self.github.git, spare=0)
        made = GitHubForge(self.home, forge, TOKEN, clock=self.clock.now)
        return replace(house_for(self.settings, self.home, environ=self.env), forge=made)

    def take_up(self) -> None:
        """One look at the issues."""
        journal = Journal(self.home, clock=self.clock)
        try:
            intake = intake_for(self.house(), self.settings, journal, Desk(journal))
            assert intake is not None
            asyncio.run(intake.look(self.registered))
        finally:
            journal.close()

    def task(self) -> str:
        """The id of the one task that there is."""
        journal = Journal(self.home)
        try:
            (row,) = journal.db.execute("SELECT id FROM task").fetchall()
            return row["id"]
        finally:
            journal.close()

    def live(self, task: str, *, looks: int = 60, ends: bool = True) -> TaskStory:
        """Processes that come and go, and CI that reports in between, until it ends or only a person is waited for. ends:
        it must within so many looks."""
        for _ in range(looks):
            wake = asyncio.run(self._drive(task))
            told = story(self.home, task)
            if wake is None or (told.row.hold is not None and told.row.hold.reason == "needs-approval"):
                return told
            self.ci()
            self.clock.advance(max(1.0, wake - self.clock.now()))
        told = story(self.home, task)
        assert not ends, f"it does not end: {told.row}"
        return told

    async def _drive(self, task: str) -> float | None:
        """Until nothing goes on by itself; when it is looked at again."""
        journal = Journal(self.home, clock=self.clock)
        house = replace(self.house(), purse=purse_for(journal, self.settings, self.env))
        pools = {WORK: Pool(total=1), LANDING: Pool(per_key=1)}
        engine = Engine(journal, {"task": lambda t: carry_out(t, house)}, pools)
        driving = asyncio.create_task(engine.run())
        try:
            await engine.idle()
            row = journal.db.execute("SELECT state, wake_at FROM task WHERE id = ?", (task,)).fetchone()
            return None if row["state"] == "done" else row["wake_at"]
        finally:
            engine.close()
            await driving
            journal.close()

    def ci(self) -> None:
        """The forge's machines: they look at what is there, and report."""
        for branch in self.store.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split():
            commit = self.store.at(branch)
            if "build" not in self.store.check_runs.get(commit, {}):
                text = self.store.git("show", f"{commit}:hello.txt", ok=(0, 128))
                self.store.reports(commit, "build", self.reports(text, branch), f"it says {text}")

    def overnight(self, *words: str) -> str:
        """The command line, in a process of its own."""
        command = [sys.executable, "-m", "overnight", *words]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """With one labelled issue."""
    (tmp_path / "forge").mkdir()
    with Clumsy(tmp_path / "forge") as github:
        yield Site(tmp_path, github)


def test_from_an_issue_to_a_merge_that_is_taken_back(site: Site) -> None:
    """Every turn of the way, each once, and all of it in the record."""
    number = site.store.asks("pat", "Add a greeting", "It should say hello in hello.txt.", "overnight")
    site.take_up()
    site.take_up()
    task = site.task()

    def says(text: str, branch: str) -> str:
        return "failure" if text == "hi" or (branch == "main" and text == "hello") else "success"

    site.reports = says
    told = site.live(task)
    assert told.row.hold is not None, told.row
    assert told.row.hold.reason == "needs-approval"
    assert [run.outcome.end for run in told.runs if run.outcome] == ["completed", "completed"]
    assert (len(site.store.pulls), site.store.done["open"]) == (1, 1)
    (pull,) = site.store.pulls
    assert not site.store.pulls[pull]["draft"]
    assert f"Closes #{number}" in site.store.pulls[pull]["body"]
    assert site.store.done[f"merge {pull}"] == 0

    site.overnight("approve", task)
    told = site.live(task)
    assert told.row.phase == Phase.LANDED, told.row
    assert told.pull is not None
    merged = site.store.pulls[pull]["merged"]
    assert (told.pull.state, told.pull.merged) == ("reverted", merged)
    assert site.store.done[f"merge {pull}"] == 1
    (back,) = [n for n in site.store.pulls if n != pull]
    assert site.store.pulls[back]["title"].startswith("Revert")
    assert site.git("rev-parse", "main") == merged, "the person's own branch follows"
    assert (site.repo / "hello.txt").read_text() == "hello\n"

    past = fates(site.home, "site", kind_of(told.task)[0])
    assert past == ((Fate.REVERTED, merged),)
    assert standing([fate for fate, _ in past], Earned()).level is Level.L2
    shown = " ".join(site.overnight("show", task).split())
    for words in ("from issue", "pull request opened", "to be mended", "merged: ", "it broke the target"):
        assert words in shown
    assert [moment.what for moment in told.moments].count("approval.taken") == 1
    verify_journal(site.home / "journal.db")


@pytest.mark.parametrize("method", ["merge", "squash"])
def test_what_a_person_merges_there_has_landed(site: Site, method: str) -> None:
    """By a merge, or by a squash that no commit of ours is in: it has landed as what they made of it, here as well."""
    site.store.asks("pat", "Add a greeting", "It should say hello in hello.txt.", "overnight")
    site.take_up()
    task = site.task()
    site.live(task)
    (pull,) = site.store.pulls
    theirs = site.store.merged_by(pull, method)
    site.overnight("resume", task)
    told = site.live(task)
    assert (told.row.phase, site.store.done[f"merge {pull}"]) == (Phase.LANDED, 0), told.row
    assert told.row.ending is not None
    assert (told.row.ending.commit, site.git("rev-parse", "main")) == (theirs, theirs)
    assert "merged by a person" in told.row.ending.why
    assert fates(site.home, "site", kind_of(told.task)[0]) == ((Fate.LANDED, theirs),)
    assert len(site.store.pulls) == 1


FAULTS = {
    "fails": Fault("status", status=502),
    "hangs up after it was done": Fault("hang-up-after"),
    "has a limit": Fault("secondary", status=429, wait=30),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", FAULTS)
def test_a_forge_that_fails_at_every_turn_once_changes_nothing(site: Site, what: str) -> None:
    """Every kind of request, of the API and of git, goes wrong the first time that it is made: the same issue ends as the
    same landing, with one comment, one pull request and one merge, and every wait had its name."""
    number = site.store.asks("pat", "Add a greeting", "It should say hello in hello.txt.", "overnight")
    site.github.clumsy = FAULTS[what]
    for _ in range(8):
        with contextlib.suppress(Held):
            site.take_up()
        site.clock.advance(600)
    task = site.task()
    site.live(task)
    site.overnight("approve", task)
    told = site.live(task)
    assert told.row.phase == Phase.LANDED, told.row
    assert len(site.github.met) > 15, site.github.met
    (pull,) = site.store.pulls
    assert (site.store.done["open"], site.store.done[f"merge {pull}"]) == (1, 1)
    assert [site.store.done[f"{what} {n}"] for what, n in (("comment", number), ("ready", pull))] == [1, 1]
    assert [run.outcome.end for run in told.runs if run.outcome] == ["completed"]
    assert "task.fault" not in [moment.what for moment in told.moments]
    assert site.git("rev-parse", "main") == site.store.pulls[pull]["merged"]


def test_what_landed_here_alone_does_not_travel_with_a_pull_request(site: Site) -> None:
    """Commits of Overnight's own on the local target, which the gate lets pass: they hold the task until they are pushed,
    and the pull request holds its own work alone."""
    site.store.asks("pat", "Add a greeting", "It should say hello in hello.txt.", "overnight")
    for key, value in (("user.name", "Overnight"), ("user.email", "overnight@localhost")):
        site.git("config", key, value)
    done = ["git", "commit", "-q", "--allow-empty", "-m", "Landed here"]
    subprocess.run(done, cwd=site.repo, check=True, env={"PATH": os.environ["PATH"], "HOME": str(site.root)})
    site.take_up()
    task = site.task()
    told = site.live(task, looks=2, ends=False)
    assert told.row.hold is not None
    assert "(“Landed here”): it would travel" in told.row.hold.why
    assert (site.store.pulls, site.store.at(f"overnight/{task}"), told.runs) == ({}, "", ())
    site.git("push", "-q", str(site.store.git_dir), "main")
    site.ci()
    site.overnight("resume", task)
    site.live(task)
    (pull,) = site.store.pulls
    ahead, behind, _ = site.store.apart(site.store.at("main"), site.store.head(pull))
    assert (ahead, behind) == (1, 0)


def test_a_target_that_moved_is_merged_in_by_git(site: Site) -> None:
    """Somebody pushes to the target while it waits: the update is a merge of both, checked, pushed and merged."""
    site.store.asks("pat", "Add a greeting", "It should say hello in hello.txt.", "overnight")
    site.take_up()
    task = site.task()
    site.live(task)
    theirs = site.store.commits("main", {"other.txt": "theirs\n"}, "Theirs")
    site.overnight("approve", task)
    told = site.live(task)
    assert told.row.phase == Phase.LANDED, told.row
    (pull,) = site.store.pulls
    head = site.store.head(pull)
    judged = told.runs[0].result
    assert judged is not None
    assert site.store.parents(head) == [judged.commit, theirs]
    assert site.store.git("show", "main:other.txt") == "theirs"
    assert site.store.git("show", "main:hello.txt") == "hi"
    assert site.git("rev-parse", "main") == site.store.at("main")
