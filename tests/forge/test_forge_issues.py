"""The daemon's chore that takes up labelled issues, with a daemon, a repository and a forge that are real."""

from __future__ import annotations

import asyncio
import re
import threading

import pytest
from github_world import GitHubWorld

from overnight.config import parse_settings
from overnight.daemon import serve
from overnight.durable.client import Client
from overnight.durable.journal import connect
from overnight.landing.forge.local.server import TOKEN, Fault
from overnight.missions.codec import builtins
from overnight.missions.task import Repo

CONFIG = """
[box]
name = "none"
i_know = true
[bounds]
allow_remote_writes = true
[canary]
required = false
[forge]
kind = "github"
api = "API"
git = "GIT"
spare = 0
"""
POLICY = """
target = "main"
allow_remote_writes = true
[forge]
label = "overnight"
"""


class Chore:
    """A state folder with two registered repositories, of which one is gone; nothing starts there."""

    def __init__(self, world: GitHubWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.home = world, world.state
        first = world.store.commits("main", {"overnight.toml": POLICY}, "Policy")
        world.take("main")
        world.here("reset", "-q", "--hard", first)
        text = CONFIG.replace("API", world.github.api).replace("GIT", world.github.git)
        (world.root / "config.toml").write_text(text)
        self.settings = parse_settings(text.encode(), "config.toml")
        monkeypatch.setenv("OVERNIGHT_GITHUB_TOKEN", TOKEN)
        monkeypatch.setenv("OVERNIGHT_CONFIG", str(world.root / "config.toml"))
        gone = Repo(name="gone", path=str(world.root / "gone"), target="main")
        for repo in (gone, Repo(name="site", path=str(world.repo), target="main")):
            Client(self.home).call("put", kind="repo", key=repo.name, value=builtins(repo))
        Client(self.home).call("pause_all")

    def live(self, until: threading.Event | None = None) -> None:
        """A daemon, until then; else until its journal has a record of an issue."""
        over = until or threading.Event()

        def watch(moment: str, label: str) -> None:
            if until is None and (moment, label) == ("after", "put"):
                over.set()

        async def life() -> None:
            daemon = asyncio.create_task(serve(self.settings, self.home, lambda: None, watch))
            assert await asyncio.to_thread(over.wait, 120)
            await asyncio.to_thread(lambda: Client(self.home).daemon("shutdown"))
            await daemon

        asyncio.run(life())

    def tasks(self) -> list[str]:
        """The ids of all tasks."""
        db = connect(self.home / "journal.db", read_only=True)
        try:
            return [row["id"] for row in db.execute("SELECT id FROM task ORDER BY created")]
        finally:
            db.close()


@pytest.fixture
def chore(github: GitHubWorld, monkeypatch: pytest.MonkeyPatch) -> Chore:
    """See above."""
    return Chore(github, monkeypatch)


def test_a_daemon_takes_up_what_is_labelled_and_says_what_it_cannot(
    chore: Chore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each issue once, over two lives; the repository that is gone is said in the log and keeps no other."""
    first = chore.world.asks("Mend it", "overnight")
    chore.world.asks("Not this", "bug")
    chore.live()
    second = chore.world.asks("And that", "overnight")
    chore.live()
    assert [task.split("-")[1] for task in chore.tasks()] == [str(first), str(second)]
    assert [len(chore.world.told(number)) for number in (first, second)] == [1, 1]
    assert "issues of gone could not be looked at" in capsys.readouterr().err


def test_a_daemon_killed_before_it_said_so_says_it_once(chore: Chore) -> None:
    """The task is on the queue, its comment still under way: the next life finds it and makes no second task."""
    number = chore.world.asks("Mend it", "overnight")
    slow, said = Fault("slow", f"POST .*/issues/{number}/comments$", times=1), threading.Event()
    chore.world.github.faults.append(slow)
    chore.world.github.watch = lambda moment, what: (
        said.set() if moment == "after" and re.fullmatch(r"POST .*/comments", what) else None
    )
    chore.live(slow.waiting)
    slow.release.set()
    assert said.wait(120), "the forge does what it was asked by a daemon that is no more"
    chore.live()
    assert len(chore.tasks()) == 1
    assert len(chore.world.told(number)) == 1
