"""What differs between two commits comes out whole: every path, both contents, and what is no text as such."""

from __future__ import annotations

from pathlib import Path

import pytest
from landing_world import World, commit, git, run

from overnight.judge.change import Change
from overnight.landing.changes import MOST_FILE, changes_between, patch_between
from overnight.landing.places import Places
from overnight.landing.repository import open_repository


def between(world: World, base: str, now: str) -> tuple[Change, ...]:
    async def look() -> tuple[Change, ...]:
        repository = await open_repository(world.task.repo, Places(world.state))
        return await changes_between(repository.plain, base, now)

    return run(look())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_every_kind_of_change_is_read(world: World) -> None:
    """Added, changed, deleted, moved, binary and long files, with contents where they are texts."""
    long = "x\n" * MOST_FILE
    base = commit(
        world.repo, {"gone.txt": "bye\n", "moved.txt": "stays\nthe\nsame\n", "bin": b"\0\1", "\xfc.txt": "u\n"}
    )
    (world.repo / "moved.txt").rename(world.repo / "there.txt")
    files = {
        "a.txt": "two\n",
        "gone.txt": None,
        "new.txt": "hello\n",
        "bin": b"\0\2",
        "long.txt": long,
        "\xfc.txt": "v\n",
    }
    git(world.repo, "add", "-A")
    now = commit(world.repo, {name: text for name, text in files.items() if text is not None} | {"gone.txt": None})
    found = {change.path: change for change in between(world, base, now)}
    assert (found["a.txt"].before, found["a.txt"].after) == ("one\n", "two\n")
    assert (found["a.txt"].added, found["a.txt"].removed) == (1, 1)
    assert (found["gone.txt"].before, found["gone.txt"].after, found["gone.txt"].exists) == ("bye\n", None, False)
    assert (found["new.txt"].before, found["new.txt"].after, found["new.txt"].existed) == (None, "hello\n", False)
    assert (found["there.txt"].was, found["there.txt"].before) == ("moved.txt", "stays\nthe\nsame\n")
    assert (found["bin"].before, found["bin"].after, found["bin"].exists) == (None, None, True)
    assert (found["long.txt"].after, found["long.txt"].exists, found["long.txt"].added) == (None, True, MOST_FILE)
    assert found["\xfc.txt"].after == "v\n"


def test_nothing_changed_is_no_change(world: World) -> None:
    """A commit differs from itself in nothing."""
    assert between(world, world.first, world.first) == ()


def test_the_patch_holds_no_escapes_and_says_what_is_missing(world: World) -> None:
    """A person can read it in a terminal; what is too long is cut, and counted."""
    now = commit(world.repo, {"a.txt": "\x1b[31mred\n", "long.txt": "y\n" * 300_000})

    async def look() -> tuple[str, int]:
        repository = await open_repository(world.task.repo, Places(world.state))
        return await patch_between(repository.plain, world.first, now)

    text, left_out = run(look())
    assert "+red\n" in text
    assert "\x1b" not in text
    assert left_out > 100_000


def test_the_users_settings_take_no_part(world: World) -> None:
    """A diff driver or text conversion that the repository's settings name is not run."""
    git(world.repo, "config", "diff.evil.textconv", "sh -c 'touch ran; cat' --")
    git(world.repo, "config", "diff.external", "sh -c 'touch ran' --")
    now = commit(world.repo, {"a.txt": "two\n", ".gitattributes": "*.txt diff=evil\n"})
    between(world, world.first, now)
    assert not (world.repo / "ran").exists()
