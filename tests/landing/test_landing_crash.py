"""kill -9 between any two acts, and the same call again: the world is right, and everything happened once.

A forked child does the work and dies right before its k-th act on the world (a file it renames, links or removes, a
program it starts that may change something); then this process makes the same call with fresh objects. For every k
there is. Files written under a name that nobody reads yet, and git calls that only read, need no death of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from landing_world import World, git, run, write

from overnight.ports import Landed

_ACTS = frozenset({"os.rename", "os.remove", "os.link", "shutil.rmtree", "subprocess.Popen"})
_READING = frozenset(
    {
        "cat-file", "config", "diff-files", "diff-index", "diff-tree", "for-each-ref", "log", "ls-files", "ls-tree",
        "merge-base", "rev-list", "rev-parse", "version",
    }
)  # fmt: skip
_DIED = 77


def _in_child(work: Callable[[], object], act: int) -> int:
    """Exit code of a child that does the work and dies before its act number `act`, counted from 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads: the child runs nothing of theirs
        pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    seen = -1

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        reads = event == "subprocess.Popen" and args[1][1] in _READING
        removes_thrown_away = event == "os.remove" and args[1] != -1  # by shutil.rmtree, one by one
        if event in _ACTS and not reads and not removes_thrown_away:
            seen += 1
            if seen == act:
                os._exit(_DIED)

    code = 1
    try:
        sys.addaudithook(watch)
        work()
        code = 0
    finally:
        os._exit(code)


class Snapshot:
    """A world that can be put back as it was."""

    def __init__(self, world: World) -> None:
        self.world, self.copy = world, world.root.with_name(world.root.name + "-copy")
        shutil.copytree(world.root, self.copy, symlinks=True)

    def restore(self) -> None:
        shutil.rmtree(self.world.root)
        subprocess.run(["cp", "-a", str(self.copy), str(self.world.root)], check=True)


def killed_everywhere(world: World, work: Callable[[], Any], right: Callable[[Any], None], least: int) -> None:
    """`right` is told what the second call returned, for every place where the first can be cut off.

    least: places that there are at least; fewer would mean that they are not seen.
    """
    snapshot = Snapshot(world)
    for act in range(1000):
        snapshot.restore()
        code = _in_child(work, act)
        assert code in (0, _DIED), f"the child failed at act {act}"
        right(work())
        if code == 0:
            assert act >= least
            return
    raise AssertionError("no end of acts")


@pytest.fixture
def inside(tmp_path: Path) -> World:
    """A world in a folder that can be copied as a whole."""
    (tmp_path / "w").mkdir()
    return World(tmp_path / "w")


@pytest.mark.slow
def test_prepare_cut_off_anywhere(inside: World) -> None:
    """One worktree, registered once, whole and clean."""

    def right(ground: Any) -> None:
        assert git(Path(ground.worktree), "status", "--porcelain") == ""
        assert (Path(ground.worktree) / "sub/b.txt").exists()
        assert git(inside.repo, "worktree", "list").count("\n") == 1
        assert inside.refs()["refs/overnight/t1/base"] == ground.base

    killed_everywhere(inside, inside.prepare, right, 4)


@pytest.mark.slow
def test_open_cut_off_anywhere(inside: World) -> None:
    """The git dir is there whole or not at all."""
    ground = inside.prepare()

    def right(git_dir: Path) -> None:
        assert inside.agent(ground, git_dir)("status", "--porcelain", "--branch") == "## overnight/t1"

    killed_everywhere(inside, lambda: inside.open(ground), right, 2)


@pytest.mark.slow
def test_collect_cut_off_anywhere(inside: World) -> None:
    """The work is in the result, once, and the rest in the rescue ref."""
    ground = inside.prepare()
    agent = inside.agent(ground, inside.open(ground))
    write(Path(ground.worktree), {"one.txt": "1\n"})
    agent("add", "-A")
    agent("commit", "-qm", "one")
    write(Path(ground.worktree), {"half.txt": "half\n"})

    def right(result: Any) -> None:
        assert (result.changed, result.refused) == (("one.txt",), ())
        assert inside.refs()[result.ref] == result.commit
        assert git(inside.repo, "show", f"{result.rescue}:half.txt") == "half"
        assert git(inside.repo, "rev-list", "--count", f"{ground.base}..{result.rescue}") == "2"

    killed_everywhere(inside, lambda: inside.collect(ground, whole=False), right, 9)


@pytest.mark.slow
def test_landing_cut_off_anywhere(inside: World) -> None:
    """Landed exactly once, the folder follows exactly, the user's own untracked file stays."""
    ground, work = inside.change({"new/x.txt": "new\n", "a.txt": "two\n", "sub/b.txt": None})
    staged = inside.stage(ground, work)
    write(inside.repo, {"mine.txt": "mine\n"})

    def right(landed: Any) -> None:
        assert isinstance(landed, Landed)
        assert git(inside.repo, "rev-parse", "main") == staged.commit
        assert git(inside.repo, "reflog", "--format=%gs", "main").count("landed t1") == 1
        assert git(inside.repo, "status", "--porcelain") == "?? mine.txt"
        assert (inside.repo / "new/x.txt").read_text() == "new\n"
        assert not {"index.lock", "index.overnight"} & {path.name for path in (inside.repo / ".git").iterdir()}

    killed_everywhere(inside, lambda: run(inside.lander().land(inside.task, ground, staged)), right, 6)


@pytest.mark.slow
def test_tidy_cut_off_anywhere(inside: World) -> None:
    """What was uncommitted is in the rescue ref, the worktree and its note are gone."""
    ground, _ = inside.change({"new.txt": "new\n"})
    write(Path(ground.worktree), {"late.txt": "late\n"})

    def right(rescue: Any) -> None:
        assert git(inside.repo, "show", f"{rescue}:late.txt") == "late"
        assert not Path(ground.worktree).exists()
        assert git(inside.repo, "worktree", "list").count("\n") == 0

    killed_everywhere(inside, lambda: run(inside.workshop().tidy(inside.task)), right, 9)


def test_files_half_written_by_a_cut_off_landing_are_taken_up(inside: World) -> None:
    """git itself dies in the middle of writing files: the next call writes the rest."""
    ground, work = inside.change({"a.txt": "two\n", "new.txt": "new\n", "sub/b.txt": None})
    staged = inside.stage(ground, work)
    half_written(inside, staged.commit)
    inside.land(ground, staged)
    assert git(inside.repo, "status", "--porcelain") == ""
    assert (inside.repo / "a.txt").read_text() == "two\n"


def test_files_half_written_are_put_back_when_the_target_moved(inside: World) -> None:
    """The landing is off: what it wrote goes, what the user wrote meanwhile stays."""
    ground, work = inside.change({"a.txt": "two\n", "new.txt": "new\n", "sub/b.txt": None})
    staged = inside.stage(ground, work)
    half_written(inside, staged.commit)
    write(inside.repo, {"new.txt": "the user's own by now\n"})
    theirs = git(inside.repo, "commit-tree", "-p", "main", "-m", "theirs", "main^{tree}")
    git(inside.repo, "update-ref", "refs/heads/main", theirs)
    run(inside.lander().land(inside.task, ground, staged))
    assert git(inside.repo, "status", "--porcelain") == "?? new.txt"
    assert (inside.repo / "a.txt").read_text() == "one\n"
    assert (inside.repo / "sub/b.txt").exists()


def test_an_edit_made_while_a_landing_lay_cut_off_stays(inside: World) -> None:
    """The branch was swapped, the index not yet: the rest follows around the user's edit, and the note says so."""
    ground, work = inside.change({"a.txt": "two\n", "new.txt": "new\n"})
    staged = inside.stage(ground, work)
    half_written(inside, staged.commit)
    git(inside.repo, "update-ref", "refs/heads/main", staged.commit)
    write(inside.repo, {"a.txt": "mine\n"})
    landed = inside.land(ground, staged)
    assert "a.txt" in landed.note
    assert (inside.repo / "a.txt").read_text() == "mine\n"
    assert git(inside.repo, "status", "--porcelain") == "M a.txt"


def half_written(world: World, commit: str) -> None:
    """The folder as a landing leaves it that is cut off between two files."""
    write(world.repo, {"a.txt": git(world.repo, "show", f"{commit}:a.txt") + "\n"})
    write(world.repo, {".git/index.lock": f"overnight t1 {commit}\nwriting\n"})
