"""Nights on a forge that are killed: a real daemon, git over HTTP, wardens and agents, and SIGKILL at one chosen instant.

`python forge_nights.py FOLDER SHARD SHARDS` plays one whole night to count its instants, then one night for each instant of
its shard: killed there (every other time with all its wardens), started again, and looked at. `FOLDER seed SEED NIGHTS`
plays so many of them, chosen by that seed. Prints one JSON object.

An instant is before or after a commit of the journal, a call of git or a start of a warden, as the daemon sees it; or before
or after a request is carried out, as the forge sees it. The forge lives in this process, and daemons are forks of another
one that has no threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from nights import GIT, kill_wardens, processes_of

from overnight.config import parse_settings
from overnight.daemon import serve
from overnight.durable.client import Client
from overnight.durable.journal import connect, verify_journal
from overnight.errors import OvernightError
from overnight.landing.forge.local.server import TOKEN, LocalGitHub
from overnight.missions.approval import Action
from overnight.missions.codec import builtins
from overnight.missions.task import Repo
from overnight.people.operators import CLI, cli_operator

#: Seconds after which a night that does not end counts as hung.
HUNG_S = 400.0
#: Says "hello" when the forge's check has told it that "hi" won't do; does its work again without harm.
AGENT = (
    'if grep -q "forge\'s check" "$OVERNIGHT_PROMPT"; then echo hello > hello.txt; else echo hi > hello.txt; fi; '
    'git add -A && { git diff --cached --quiet || git commit -q -m "Say hello"; } && echo done'
)
CONFIG = f"""
[box]
name = "none"
i_know = true
[bounds]
allow_remote_writes = true
[canary]
required = false
[agents.command]
argv = ["sh", "-c", {json.dumps(AGENT)}]
[forge]
kind = "github"
api = "API"
git = "GIT"
spare = 0
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
settle = "0.01s"
"""
#: Nobody, or somebody's n-th instant: the daemon's or the forge's.
Instant = tuple[str, int]
NEVER: Instant = ("daemon", 0)


class ForgeNight:
    """One issue, from its label to a merge that is taken back, in a folder of its own."""

    def __init__(self, folder: Path, github: LocalGitHub) -> None:
        self.folder, self.github, self.store = folder, github, github.store
        self.home, self.repo, self.config = folder / "state", folder / "site", folder / "config.toml"
        self.daemon: BaseProcess | None = None
        self.kill: Instant = NEVER
        self.instants = 0
        self.killed = ""
        #: What the forge saw that must never be.
        self.seen: list[str] = []

    def prepare(self) -> None:
        """A clone, a labelled issue and a registered repository."""
        self.store.permissions["pat"] = "write"
        self.store.commits("main", {"overnight.toml": POLICY, "seed.txt": "seed\n"}, "Seed")
        self.reports(done=True)
        self.store.asks("pat", "Add a greeting", "It should say hello in hello.txt.", "overnight")
        self._git("clone", "-q", str(self.store.git_dir), str(self.repo), where=self.folder)
        self._git("remote", "set-url", "origin", f"{self.github.git}/{self.store.place}.git")
        self.config.write_text(CONFIG.replace("API", self.github.api).replace("GIT", self.github.git))
        repo = Repo(name="site", path=str(self.repo), target="main")
        Client(self.home).call("put", kind="repo", key="site", value=builtins(repo))
        self.github.watch = self._watch

    def _git(self, *words: str, where: Path | None = None) -> str:
        done = subprocess.run([*GIT, *words], cwd=where or self.repo, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else done.stderr

    # -- the forge ----------------------------------------------------------------------------------------------

    def _watch(self, moment: str, request: str) -> None:
        """One instant of the forge's, and what its machines do then: what was pushed or merged is being checked."""
        if moment == "before" and request.endswith("/merge"):
            self._merging(int(request.split("/")[-2]))
        if moment == "after" and request.endswith(("/git-receive-pack", "/merge")):
            self.reports(done=False)
        with self.github.lock:
            self.instants += 1
            mine = self.kill == ("forge", self.instants)
        if mine and self.daemon is not None and self.daemon.pid is not None:
            self.killed = f"{moment} {request}"
            os.kill(self.daemon.pid, signal.SIGKILL)
            self.daemon.join()
            if moment == "before":
                raise ConnectionAbortedError  # it never came

    def _merging(self, number: int) -> None:
        with self.github.lock:
            runs = self.store.check_runs.get(self.store.head(number), {})
            if [conclusion for _, conclusion, _ in runs.values()] != ["success"]:
                self.seen.append(f"a merge of {number} was tried whose checks are {runs}")

    def reports(self, *, done: bool) -> None:
        """The forge's machines begin with what is new, or end what they have begun."""
        with self.github.lock:
            for branch in self.store.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split():
                commit = self.store.at(branch)
                state = self.store.check_runs.get(commit, {}).get("build")
                if state is None or (done and state[0] != "completed"):
                    text = self.store.git("show", f"{commit}:hello.txt", ok=(0, 128))
                    bad = text == "hi" or (branch == "main" and text == "hello")
                    self.store.reports(commit, "build", ("failure" if bad else "success") if done else None, text)

    # -- one daemon's life --------------------------------------------------------------------------------------

    def drive(self, kill: Instant = NEVER) -> None:
        """A daemon until the task has ended, or until it is killed. Forge and person do their part meanwhile."""
        with self.github.lock:
            self.kill, self.instants, self.killed = kill, 0, ""
        context = multiprocessing.get_context("forkserver")
        at = kill[1] if kill[0] == "daemon" else 0
        self.daemon = context.Process(target=be_the_daemon, args=(str(self.folder), at))
        self.daemon.start()
        until = time.monotonic() + HUNG_S
        try:
            while self.daemon.is_alive() and not self._over():
                if time.monotonic() > until:
                    raise AssertionError(f"the night hangs: {self.state()}")
                self._meanwhile()
                self.daemon.join(0.05)
        finally:
            if self.daemon.is_alive():
                self.daemon.terminate()
            self.daemon.join()
        if self.daemon.exitcode == -signal.SIGKILL and not self.killed:
            self.killed = (self.folder / "instant").read_text()

    def _over(self) -> bool:
        row = self.state()
        return row is not None and row["state"] == "done"

    def state(self) -> dict[str, Any] | None:
        """The task's row, once there is one."""
        with contextlib.closing(connect(self.home / "journal.db", read_only=True)) as db:
            row = db.execute("SELECT * FROM task").fetchone()
            return None if row is None else dict(row)

    def _meanwhile(self) -> None:
        """What others do while the task waits."""
        with contextlib.suppress(sqlite3.OperationalError):  # the journal is just being made
            row = self.state()
            if row is None or row["state"] != "waiting" or row["hold"] is None:
                return
            with contextlib.suppress(OvernightError, OSError):  # the daemon was just killed, or went on by itself
                reason = json.loads(row["hold"])["reason"]
                assert reason in ("needs-approval", "awaits-ci"), row["hold"]
                if reason == "needs-approval":
                    self._approve(row["id"])
                else:
                    self.reports(done=True)
                    Client(self.home).daemon("resume", actor="test", task=row["id"])

    def _approve(self, task: str) -> None:
        ask = {"actor": "test", "ask": task, "operator": cli_operator("pat"), "action": Action.LAND}
        token = Client(self.home).daemon("issue", **ask)
        Client(self.home).daemon("redeem", actor="test", token=token, sender="pat", channel=CLI)

    # -- afterwards ---------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """What is not as it must be after the night."""
        row = self.state()
        assert row is not None
        found = list(self.seen)
        if (row["state"], row["phase"]) != ("done", "landed"):
            found.append(f"the task is {row['state']} {row['phase']}, hold {row['hold']}")
        store = self.store
        merges = {what: count for what, count in store.done.items() if what.startswith("merge")}
        if (store.done["open"], len(store.pulls), list(merges.values())) != (2, 2, [1]):
            found.append(f"the forge saw {dict(store.done)}")
        merged = [pull["merged"] for pull in store.pulls.values() if pull["merged"]]
        if merged != [store.at("main")] or merged != [self._git("rev-parse", "main")]:
            found.append(f"merged {merged}, the target is {store.at('main')}, here {self._git('rev-parse', 'main')}")
        if len(store.comments.get(1, [])) != 1:
            found.append(f"the issue was told {len(store.comments.get(1, []))} times")
        with contextlib.closing(connect(self.home / "journal.db", read_only=True)) as db:
            counts = dict(db.execute("SELECT what, count(*) FROM event GROUP BY what").fetchall())
        once = ("task.submitted", "pull.opened", "approval.taken", "pull.merged", "landing.reverted", "task.ended")
        found += [f"{what} is on record {counts.get(what, 0)} times" for what in once if counts.get(what) != 1]
        if counts.get("task.fault"):
            found.append("a fault is on record")
        if len(self._git("worktree", "list").splitlines()) != 1 or self._git("status", "--porcelain"):
            found.append(f"left: {self._git('worktree', 'list')} {self._git('status', '--porcelain')}")
        found += [f"a process is left: {line}" for line in processes_of(self.folder)]
        verify_journal(self.home / "journal.db")
        return found


def be_the_daemon(folder: str, kill_at: int) -> None:
    """In a process of its own; kill -9 itself at that instant."""
    here, instants = Path(folder), 0
    home, config = here / "state", here / "config.toml"
    os.environ |= {"OVERNIGHT_HOME": str(home), "OVERNIGHT_CONFIG": str(config), "OVERNIGHT_GITHUB_TOKEN": TOKEN}

    def observe(moment: str, label: str) -> None:
        nonlocal instants
        instants += 1
        (here / "instant").write_text(f"{instants} {moment} {label}")
        if instants == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(serve(parse_settings(config.read_bytes(), "config.toml"), home, lambda: None, observe))


def play(folder: Path, kill: Instant, *, wardens: bool = False) -> tuple[ForgeNight, list[str]]:
    """One night, killed there or never, and what was wrong with it."""
    (folder / "forge").mkdir(parents=True)
    with LocalGitHub(folder / "forge") as github:
        night = ForgeNight(folder, github)
        night.prepare()
        night.drive(kill)
        where = night.killed
        if kill != NEVER:
            if wardens:
                kill_wardens(night.home)
            night.drive()
        problems = night.problems()
        night.killed = where
        return night, problems


def some(seed: str, nights: int) -> list[Instant]:
    """So many instants, in turn of the daemon's and the forge's. There are some more of each in a whole night."""
    order = random.Random(seed)
    return [("forge", order.randrange(1, 240)) if n % 2 else ("daemon", order.randrange(1, 700)) for n in range(nights)]


def shard(top: Path, first: int, step: int) -> list[Instant]:
    """A part of all instants, as one whole night has them."""
    night, problems = play(top / "whole", NEVER)
    assert not problems, problems
    daemon = int((night.folder / "instant").read_text().split()[0])
    every: list[Instant] = [("daemon", n + 1) for n in range(daemon)]
    return [*every, *(("forge", n + 1) for n in range(night.instants))][first::step]


def main() -> None:
    """See the module's words."""
    multiprocessing.set_forkserver_preload(["forge_nights"])
    top, words = Path(sys.argv[1]), sys.argv[2:]
    chosen = some(words[1], int(words[2])) if words[0] == "seed" else shard(top, int(words[0]), int(words[1]))
    failures: dict[str, list[str]] = {}
    killed: list[str] = []
    for instant in chosen:
        folder = top / f"night-{instant[0]}-{instant[1]}"
        night, problems = play(folder, instant, wardens=bool(instant[1] // 2 % 2))
        killed += [night.killed] if night.killed else []
        if problems:
            failures[f"{instant} {night.killed}"] = problems
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(json.dumps({"nights": len(chosen), "killed": killed, "failures": failures}) + "\n")


if __name__ == "__main__":
    main()
