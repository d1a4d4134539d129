"""A look at a work tree from outside: what changed is counted, and nothing that an agent planted takes part."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from overnight.boxes.bubblewrap import Bubblewrap
from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import RunSpec
from overnight.warden.survey import Sight, Survey
from testkit.repos import git, repository


class Tree:
    """A repository that is its own work tree, and a survey of it."""

    def __init__(self, root: Path) -> None:
        self.work, self.root = root / "work", root
        repository(self.work, {"a.txt": "one\ntwo\n", ".gitignore": "ignored/\n"}, message="Begin")
        folder = root / "run"
        folder.mkdir()
        spec = RunSpec(
            id="t.1.1", task="t", worktree=str(self.work), git_dir=str(self.work / ".git"),
            objects=str(self.work / ".git/objects"), start=self.git("rev-parse", "HEAD"), agent="command",
            prompt="", limits=Limits(), box=BoxPolicy(),
        )  # fmt: skip
        self.survey = Survey(Bubblewrap(), folder, spec, "/usr/bin:/bin")

    def git(self, *words: str) -> str:
        return git(self.work, *words)

    def look(self) -> Sight:
        sight = asyncio.run(self.survey.look())
        assert sight is not None
        return sight


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_what_is_seen(tree: Tree) -> None:
    """Changed, new and removed files, committed or not; ignored ones are not; odd names are no problem."""
    before = tree.look()
    assert (before.size, before.files) == (0, {})
    (tree.work / "a.txt").write_text("one\n2\nthree\n")
    tree.git("commit", "-qam", "More")
    (tree.work / "new \n\t√.txt").write_text("x" * 400)
    (tree.work / "ignored").mkdir()
    (tree.work / "ignored" / "b.txt").write_text("b")
    after = tree.look()
    assert set(after.files) == {"a.txt", "new \n\t√.txt"}
    assert after.size == 3 + 1 + 10
    assert (after.since(before), after.since(after)) == (2, 0)
    (tree.work / "a.txt").unlink()
    assert tree.look().since(after) == 1


def test_what_an_agent_plants_is_not_run(tree: Tree) -> None:
    """Filters, monitors, hooks and drivers of diffs in its git dir and its attributes: none takes part."""
    mark = tree.root / "ran"
    for key in (
        "filter.x.clean",
        "filter.x.process",
        "core.fsmonitor",
        "diff.x.command",
        "diff.x.textconv",
        "diff.external",
    ):
        tree.git("config", key, f"touch {mark}; cat")
    (tree.work / ".gitattributes").write_text("* filter=x diff=x\n")
    (tree.work / "a.txt").write_text("changed\n")
    assert set(tree.look().files) == {"a.txt", ".gitattributes"}
    assert not mark.exists()


def test_what_can_not_be_seen_is_unknown(tree: Tree) -> None:
    """A store that is gone, a work tree that is gone: nothing is known, and nothing is raised."""
    (tree.work / ".git" / "objects").rename(tree.root / "elsewhere")
    assert asyncio.run(tree.survey.look()) is None
