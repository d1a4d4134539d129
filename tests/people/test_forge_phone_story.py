"""A change's whole way, with nothing in between that is not real: a daemon's process, git over HTTP, the forge and the
phone's server of this machine.

An issue is labelled; its task runs and is pushed as a draft; the forge's check is red and another run mends it; the phone
asks, a press on it merges; the target breaks, a pull request takes it back, and the kind of work loses its level.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from notify_lab import serving
from phone_lab import NtfyServer
from phone_world import NTFY, soon

from overnight.durable.journal import connect, verify_journal
from overnight.landing.forge.local.server import TOKEN, LocalGitHub

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
settle = "1s"
"""
#: What the record is asked for.
KINDS = {
    "issue.put", "task.submitted", "pull.opened", "pull.repair", "approval.issued", "approval.taken", "pull.merged",
    "landing.reverted", "task.ended", "approval.refused",
}  # fmt: skip


class Machine:
    """One person's machine: a clone, a state folder, and a daemon's process. The forge's machines report at once."""

    def __init__(self, root: Path, github: LocalGitHub, phone: int) -> None:
        self.root, self.github, self.store = root, github, github.store
        self.home, self.repo = root / "state", root / "site"
        self.store.permissions["pat"] = "write"
        self.store.commits("main", {"overnight.toml": POLICY, "seed.txt": "seed\n"}, "Seed")
        self._ci()
        github.watch = self._watch
        self._git("clone", "-q", str(self.store.git_dir), str(self.repo), where=root)
        self._git("remote", "set-url", "origin", f"{github.git}/{self.store.place}.git")
        config = CONFIG.replace("API", github.api).replace("GIT", github.git) + NTFY.replace("PORT", str(phone))
        (root / "config.toml").write_text(config)
        self.env = {
            **os.environ, "OVERNIGHT_HOME": str(self.home), "OVERNIGHT_CONFIG": str(root / "config.toml"),
            "OVERNIGHT_GITHUB_TOKEN": TOKEN, "OVERNIGHT_WEB": "off",
        }  # fmt: skip

    def _git(self, *words: str, where: Path | None = None) -> str:
        done = subprocess.run(["git", *words], cwd=where or self.repo, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def target(self) -> str:
        """Where the person's own target is."""
        return self._git("rev-parse", "main")

    def _watch(self, moment: str, request: str) -> None:
        if moment == "after" and request.endswith(("/git-receive-pack", "/merge")):
            self._ci()

    def _ci(self) -> None:
        """Short greetings are red; on the target long ones are as well."""
        with self.github.lock:
            for branch in self.store.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split():
                commit = self.store.at(branch)
                text = self.store.git("show", f"{commit}:hello.txt", ok=(0, 128))
                bad = text == "hi" or (branch == "main" and text == "hello")
                self.store.reports(commit, "build", "failure" if bad else "success", f"it says {text}")

    async def overnight(self, *words: str) -> str:
        """The command line, in a process of its own."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "overnight", *words, env=self.env, cwd=self.root,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode == 0, (words, out, err)
        return " ".join(out.decode().split())

    @asynccontextmanager
    async def daemon(self) -> AsyncGenerator[asyncio.StreamReader]:
        """Its process; gives what it logs. It must end well when it is asked to."""
        with (self.root / "errors").open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "overnight", "up", "--plain", env=self.env, cwd=self.root,
                stdout=asyncio.subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        assert process.stdout is not None
        try:
            yield process.stdout
            await self.overnight("down")
            assert await soon(process.wait()) == 0, (self.root / "errors").read_text()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def events(self) -> list[dict[str, Any]]:
        """The journal, from its beginning."""
        db = connect(self.home / "journal.db", read_only=True)
        try:
            return [dict(row) for row in db.execute("SELECT task, actor, what, why FROM event ORDER BY seq")]
        finally:
            db.close()


async def logged(lines: asyncio.StreamReader, what: str) -> str:
    """The daemon's next line that says so."""
    while line := (await lines.readline()).decode():
        if what in line:
            return line
    raise AssertionError(f"the daemon ended before {what}")


def test_from_an_issue_to_a_merge_that_is_taken_back_with_a_phone_in_between(tmp_path: Path) -> None:
    """Every turn happens once and is on record in order; the press merges exactly what was judged, and counts once."""
    (tmp_path / "forge").mkdir()
    with LocalGitHub(tmp_path / "forge") as github:
        machine, ntfy = asyncio.run(the_night(tmp_path, github))
    store = github.store
    assert ntfy.problems == []
    pull, back = sorted(store.pulls)
    assert (store.done["open"], store.done[f"merge {pull}"], store.done[f"merge {back}"]) == (2, 1, 0)
    assert store.pulls[back]["title"].startswith("Revert")
    assert store.pulls[back]["state"] == "open"
    assert machine.target() == store.pulls[pull]["merged"] == store.at("main")
    before, after = store.git("rev-parse", "main^1^{tree}"), store.git("rev-parse", f"{store.head(back)}^{{tree}}")
    assert after == before, "what it takes back is all that was merged"

    events = machine.events()
    (task,) = {event["task"] for event in events if event["what"] == "task.submitted"}
    assert task.startswith("issue-1-")
    told = [event["what"] for event in events if event["what"] in KINDS]
    assert told == [
        "task.submitted", "issue.put", "pull.opened", "pull.repair", *["approval.issued"] * 2, "approval.taken",
        "pull.merged", "landing.reverted", "task.ended", "approval.refused",
    ]  # fmt: skip
    (taken,) = [event for event in events if event["what"] == "approval.taken"]
    (refused,) = [event for event in events if event["what"] == "approval.refused"]
    assert taken["actor"] == "ann"
    assert refused["why"].startswith("used")
    assert verify_journal(machine.home / "journal.db") > 0


async def the_night(root: Path, github: LocalGitHub) -> tuple[Machine, NtfyServer]:
    """All of it, and what a person sees of it meanwhile and afterwards."""
    ntfy = NtfyServer()
    async with serving(ntfy.handle) as port:
        machine = Machine(root, github, port)
        store = machine.store
        number = store.asks("pat", "Add a greeting", "It should say hello in hello.txt.", "overnight")
        await machine.overnight("repo", "add", str(machine.repo))
        async with machine.daemon() as log:
            (asked,) = await soon(ntfy.wait("alerts", 1))
            task = asked["title"].split(" ")[0]
            assert "waits for your word" in asked["title"]
            (pull,) = store.pulls
            assert (store.pulls[pull]["state"], store.pulls[pull]["draft"]) == ("open", False)
            assert f"Closes #{number}" in store.pulls[pull]["body"]
            await ntfy.press(asked, "Approve")
            await soon(logged(log, "task.ended"))
            answers = [message.get("title", message["message"]) for message in await soon(ntfy.wait("alerts", 3))]
            assert sum("broke its target" in each for each in answers) == 1, answers
            await ntfy.press(asked, "Approve")
            assert "used already" in (await soon(ntfy.wait("alerts", 4)))[3]["message"]
            shown = await machine.overnight("show", task)
            for words in ("from issue", "pull request opened", "to be mended", "merged: ", "it broke the target"):
                assert words in shown
            assert "it broke the target" in await machine.overnight("report", "--since", "8h")
            await machine.overnight("audit", "verify")
            assert "L2" in await machine.overnight("levels")
    return machine, ntfy
