"""What comes out of a box: all that the agent did, nothing that acts."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from landing_world import World, commit, git, run, write

from overnight.landing.worktree import WorkshopSettings
from overnight.ports import Ground

Agent = Callable[..., str]


def start(world: World) -> tuple[Ground, Path, Agent, Path]:
    """Ground, work tree, the agent's git and its git dir."""
    ground = world.prepare()
    git_dir = world.open(ground)
    return ground, Path(ground.worktree), world.agent(ground, git_dir), git_dir


def files(world: World, commit: str) -> set[str]:
    """Names in a commit."""
    return set(git(world.repo, "ls-tree", "-r", "--name-only", "-z", commit).strip("\0").split("\0"))


def test_committed_and_uncommitted_work_is_one_result(boxed: World) -> None:
    """An agent that ended of itself: what it left uncommitted is part of its work."""
    ground, tree, agent, _ = start(boxed)
    write(tree, {"one.txt": "1\n"})
    agent("add", "-A")
    agent("commit", "-qm", "one")
    write(tree, {"two.txt": "2\n", "a.txt": "changed\n"})
    result = boxed.collect(ground)
    assert result.changed == ("a.txt", "one.txt", "two.txt")
    assert (result.rescue, result.refused) == (None, ())
    assert boxed.refs()["refs/overnight/t1/1.1"] == result.commit
    assert git(boxed.repo, "log", "--format=%an|%s", f"{ground.base}..{result.commit}").startswith(
        "Overnight|Work left"
    )


def test_an_interrupted_run_keeps_its_uncommitted_work_apart(boxed: World) -> None:
    """The result is what was committed; the rest is in the rescue ref, and still in the work tree."""
    ground, tree, agent, _ = start(boxed)
    write(tree, {"one.txt": "1\n"})
    agent("add", "-A")
    agent("commit", "-qm", "one")
    write(tree, {"half.txt": "half\n"})
    result = boxed.collect(ground, whole=False)
    assert result.changed == ("one.txt",)
    assert result.rescue == "refs/overnight/t1/1.1-rescue"
    assert git(boxed.repo, "show", f"{result.rescue}:half.txt") == "half"
    assert (tree / "half.txt").exists()


def test_a_run_without_any_change_is_its_start(boxed: World) -> None:
    """Nothing is committed for nothing."""
    ground, *_ = start(boxed)
    result = boxed.collect(ground)
    assert (result.commit, result.changed, result.rescue, result.refused) == (ground.base, (), None, ())


def test_collected_again_it_is_the_same_result(world: World) -> None:
    """Also when the note of the first call is lost: dates and ids are the same."""
    ground, tree, *_ = start(world)
    write(tree, {"one.txt": "1\n"})
    first = world.collect(ground)
    assert world.collect(ground) == first
    (world.state / "runs/t1/1/1/collected.json").unlink()
    assert world.collect(ground) == first


def test_ignored_files_are_left_out_and_forced_ones_stay(world: World) -> None:
    """Ignore rules decide about leftovers; what the agent committed in spite of them is its work."""
    ground, tree, agent, _ = start(world)
    write(tree, {".gitignore": "*.log\nbuild/\n", "x.log": "x", "build/out.o": "o", "kept.log": "k"})
    agent("add", "-f", "kept.log")
    agent("commit", "-qm", "forced")
    assert files(world, world.collect(ground).commit) >= {".gitignore", "kept.log"}
    assert not files(world, world.collect(ground).commit) & {"x.log", "build/out.o"}


@pytest.mark.parametrize(
    ("settings", "left"),
    [(WorkshopSettings(min_free=0, leftover_files=2), 3), (WorkshopSettings(min_free=0, leftover_bytes=2), 3)],
    ids=["files", "bytes"],
)
def test_too_many_leftovers_are_only_rescued(world: World, settings: WorkshopSettings, left: int) -> None:
    """They do not pass for work, are in a ref, and the reason is told."""
    ground, tree, _, git_dir = start(world)
    write(tree, {f"out/{n}": str(n) for n in range(left)})
    workshop = world.workshop(settings=settings)
    result = run(workshop.collect(world.task, ground, "t1.1.1", str(git_dir), ground.base, True))
    assert result.commit == ground.base
    assert result.rescue is not None
    assert files(world, result.rescue) >= {"out/0", "out/1", "out/2"}
    assert "3 new files" in result.refused[0]


def test_names_that_are_no_text_come_through(boxed: World) -> None:
    """Line breaks and bytes that are no UTF-8, in changed and in git."""
    ground, tree, agent, _ = start(boxed)
    for name in (b"line\nbreak", b"caf\xe9", b":(glob)*", b"-rf"):
        (tree / os.fsdecode(name)).write_text("x\n")
    agent("add", "-A")
    agent("commit", "-qm", "names")
    (tree / os.fsdecode(b"late\n\xff")).write_text("x\n")
    result = boxed.collect(ground)
    assert set(result.changed) == {"line\nbreak", "caf\\xe9", ":(glob)*", "-rf", "late\n\\xff"}
    assert result.refused == ()


def test_many_objects_arrive_as_one_pack_without_leftovers(world: World) -> None:
    """Above git's own bound a pack is kept whole, and the file that guards it is gone after."""
    ground, tree, *_ = start(world)
    write(tree, {f"many/{n}": str(n) for n in range(150)})
    result = world.collect(ground)
    assert len(result.changed) == 150
    packs = {path.suffix for path in (world.repo / ".git/objects/pack").iterdir()}
    assert packs == {".pack", ".idx"}
    git(world.repo, "fsck", "--strict")


def test_only_what_is_new_comes_in(boxed: World) -> None:
    """A repository of many files: one uncommitted edit adds a handful of objects, not a second copy of the tree."""
    commit(boxed.repo, {f"many/{n}": str(n) for n in range(150)})
    git(boxed.repo, "gc", "-q")
    ground, tree, *_ = start(boxed)
    write(tree, {"many/7": "edited"})
    assert boxed.collect(ground).changed == ("many/7",)
    assert len(list((boxed.repo / ".git/objects").glob("??/*"))) < 10
    assert len(list((boxed.repo / ".git/objects/pack").glob("*.pack"))) == 1


# -- where an agent may have gone ---------------------------------------------------------------------------


def test_work_on_a_detached_head_is_the_result(world: World) -> None:
    """HEAD counts, whatever it is on."""
    ground, tree, agent, _ = start(world)
    agent("checkout", "-q", "--detach")
    write(tree, {"one.txt": "1\n"})
    agent("add", "-A")
    agent("commit", "-qm", "one")
    assert world.collect(ground).changed == ("one.txt",)


def test_an_agent_that_went_back_to_the_target_did_not_lose_its_branch(world: World) -> None:
    """A clean checkout of something older: the work is on the task's branch."""
    ground, tree, agent, _ = start(world)
    write(tree, {"one.txt": "1\n"})
    agent("add", "-A")
    agent("commit", "-qm", "one")
    agent("checkout", "-q", "main")
    assert world.collect(ground).changed == ("one.txt",)


def test_other_branches_and_stashes_are_rescued(world: World) -> None:
    """Nothing that was committed anywhere, or stashed, is lost with the git dir."""
    ground, tree, agent, _ = start(world)
    write(tree, {"stashed.txt": "1\n"})
    agent("stash", "-u")
    agent("checkout", "-q", "-b", "idea")
    write(tree, {"idea.txt": "1\n"})
    agent("add", "-A")
    agent("commit", "-qm", "idea")
    agent("checkout", "-q", "overnight/t1")
    result = world.collect(ground)
    assert result.commit == ground.base
    assert result.rescue is not None
    names = set(git(world.repo, "log", "-m", "--name-only", "--format=", result.rescue).split())
    assert names >= {"stashed.txt", "idea.txt"}


def test_a_rewritten_history_is_kept_and_refused(world: World) -> None:
    """A result that does not descend from the base can't land, and is not lost."""
    ground, tree, agent, _ = start(world)
    write(tree, {"one.txt": "1\n"})
    agent("checkout", "-q", "--orphan", "fresh")
    agent("add", "-A")
    agent("commit", "-qm", "all new")
    result = world.collect(ground)
    assert "does not contain" in result.refused[0]
    assert "one.txt" in files(world, result.ref)


WRECKED: dict[str, Callable[[Path], object]] = {
    "objects": lambda git_dir: shutil.rmtree(git_dir / "objects"),
    "HEAD": lambda git_dir: (git_dir / "HEAD").unlink(),
    "unborn": lambda git_dir: (git_dir / "HEAD").write_text("ref: refs/heads/nowhere\n"),
    "alternates": lambda git_dir: (git_dir / "objects/info/alternates").write_text("/nonexistent\n"),
    "config": lambda git_dir: (git_dir / "config").write_text("[core\n"),
    "index": lambda git_dir: (git_dir / "index").write_bytes(b"junk"),
    "all": shutil.rmtree,
}


@pytest.mark.parametrize("case", WRECKED)
def test_a_wrecked_git_dir_does_not_cost_the_files(boxed: World, case: str) -> None:
    """Whatever is broken in it, what is in the work tree comes out."""
    ground, tree, agent, git_dir = start(boxed)
    write(tree, {"one.txt": "1\n"})
    agent("add", "-A")
    agent("commit", "-qm", "one")
    write(tree, {"two.txt": "2\n"})
    WRECKED[case](git_dir)
    git_dir.mkdir(exist_ok=True)
    result = boxed.collect(ground)
    assert result.changed == ("one.txt", "two.txt")
    git(boxed.repo, "fsck", "--strict")


def test_a_history_with_a_missing_object_is_left_out_and_named(world: World) -> None:
    """Its commits can't be had; its files can, and the person is told."""
    ground, tree, agent, git_dir = start(world)
    write(tree, {"one.txt": "1\n"})
    agent("add", "-A")
    agent("commit", "-qm", "one")
    write(tree, {"one.txt": "2\n"})
    agent("commit", "-qam", "two")
    blob = agent("rev-parse", "HEAD~1:one.txt")
    (git_dir / "objects" / blob[:2] / blob[2:]).unlink()
    result = world.collect(ground)
    assert git(world.repo, "show", f"{result.commit}:one.txt") == "2"
    assert any("broken" in reason for reason in result.refused)


# -- what may not come in -----------------------------------------------------------------------------------


def test_nested_repositories_and_new_gitlinks_are_refused(boxed: World) -> None:
    """A git dir inside the tree could run programs when a person looks; it is named and does not come in."""
    ground, tree, agent, _ = start(boxed)
    git(tree, "init", "-q", "vendored lib")
    commit(tree / "vendored lib", {"x.txt": "x\n"})
    git(tree, "init", "-q", "empty\none")
    write(tree, {"good.txt": "x\n"})
    result = boxed.collect(ground)
    assert result.changed == ("good.txt",)
    assert set(result.refused) == {
        "vendored lib is a repository of its own and was left out",
        "empty\\none is a repository of its own and was left out",
    }
    agent("add", "vendored lib")
    agent("commit", "-qm", "gitlink")
    (boxed.state / "runs/t1/1/1/collected.json").unlink()
    assert any("gitlink" in reason for reason in boxed.collect(ground).refused)


def test_ignored_nested_repositories_are_nobodys_business(world: World) -> None:
    """A dependency folder may hold git dirs; it is not part of the work."""
    ground, tree, *_ = start(world)
    write(tree, {".gitignore": "node_modules/\n"})
    git(tree, "init", "-q", "node_modules/dep")
    assert world.collect(ground).refused == ()


def test_links_that_leave_the_tree_are_refused(world: World) -> None:
    """They come in by ref, for a person to see, and can't land."""
    ground, tree, *_ = start(world)
    (tree / "out").symlink_to("/etc/passwd")
    (tree / "sub/up").symlink_to("../../x")
    (tree / "sub/fine").symlink_to("../a.txt")
    refused = world.collect(ground).refused
    assert len(refused) == 2
    assert refused[0].startswith("out is a symbolic link")
    assert refused[1].startswith("sub/up is a symbolic link")


def test_objects_that_git_calls_broken_do_not_come_in(world: World) -> None:
    """A tree with an entry `..`, made by hand: the history is refused as a whole, the files come."""
    ground, tree, agent, git_dir = start(world)
    write(tree, {"one.txt": "1\n"})
    blob = agent("hash-object", "-w", "a.txt")
    env = {"GIT_DIR": str(git_dir)}
    entry = b"100644 ..\0" + bytes.fromhex(blob)
    bad = git(tree, "hash-object", "-t", "tree", "--literally", "-w", "--stdin", env=env, data=entry)
    evil = agent("commit-tree", "-p", ground.base, "-m", "evil", bad)
    agent("update-ref", "refs/heads/overnight/t1", evil)
    result = world.collect(ground)
    assert result.changed == ("one.txt",)
    assert any("could not be taken over" in reason for reason in result.refused)
    git(world.repo, "fsck", "--strict")


def test_a_hostile_git_dir_acts_on_nothing_outside(boxed: World) -> None:
    """Hooks, fsmonitor, filters, aliases, replaced objects and planted links: no canary, and the truth comes out."""
    ground, tree, agent, git_dir = start(boxed)
    canary, outside = boxed.root / "canary", boxed.root / "precious"
    outside.write_text("precious\n")
    write(tree, {"one.txt": "1\n"})
    agent("add", "-A")
    agent("commit", "-qm", "one")
    for key in ("core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "core.pager", "core.sshCommand"):
        git(tree, "config", "--file", str(git_dir / "config"), key, f"touch {canary}; cat")
    hooks = git_dir / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("pre-commit", "post-index-change", "reference-transaction", "post-checkout"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {canary}\n")
        (hooks / name).chmod(0o755)
    write(tree, {".gitattributes": "* filter=evil\n", "two.txt": "2\n"})
    (git_dir / "refs/heads/main").symlink_to(outside)
    (git_dir / "refs/heads/overnight/t1.lock").symlink_to(outside)
    (git_dir / "info/exclude").write_text("two.txt\n")
    result = boxed.collect(ground)
    assert result.changed == (".gitattributes", "one.txt", "two.txt")
    assert git(boxed.repo, "show", f"{result.commit}:two.txt") == "2"
    run(boxed.workshop().tidy(boxed.task))
    assert not canary.exists()
    assert outside.read_text() == "precious\n"


def test_an_agent_that_replaced_the_link_to_its_git_dir_is_undone(world: World) -> None:
    """Without a box it can; the worktree's `.git` is put back, and that is told."""
    ground, tree, *_ = start(world)
    (tree / ".git").unlink()
    git(tree, "init", "-q")
    write(tree, {"one.txt": "1\n"})
    result = world.collect(ground)
    assert result.changed == ("one.txt",)
    assert "replaced" in result.refused[0]
    assert git(tree, "rev-parse", "--git-common-dir") == str(world.repo / ".git")


def test_pipes_and_unreadable_folders_do_not_stop_it(world: World) -> None:
    """What is no file is no work."""
    ground, tree, *_ = start(world)
    os.mkfifo(tree / "pipe", stat.S_IRUSR)
    write(tree, {"one.txt": "1\n"})
    assert world.collect(ground).changed == ("one.txt",)
