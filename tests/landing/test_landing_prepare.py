"""What a task stands on: policy, worktree and private git dir."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from landing_world import World, commit, git, run, write
from msgspec.structs import replace

from overnight.landing.worktree import WorkshopSettings
from overnight.missions.hold import Held, HoldReason
from overnight.missions.task import Repo


def held(world: World, settings: WorkshopSettings | None = None) -> Held:
    """The hold that prepare raises."""
    with pytest.raises(Held) as caught:
        run(world.workshop(settings=settings).prepare(world.task))
    return caught.value


def test_the_worktree_is_the_target_and_lies_outside_the_users_folder(world: World) -> None:
    """Files, commit and a clean status, in the state folder; the user's folder is untouched."""
    ground = world.prepare()
    assert ground.base == world.first
    assert Path(ground.worktree).is_relative_to(world.state)
    assert (Path(ground.worktree) / "sub/b.txt").read_text() == "b\n"
    assert git(Path(ground.worktree), "status", "--porcelain") == ""
    assert git(world.repo, "status", "--porcelain") == ""
    assert git(world.repo, "branch", "--list") == "* main"


def test_the_worktree_is_locked_so_that_nobody_prunes_it(world: World) -> None:
    """`git worktree prune` leaves the note even while the folder is away."""
    ground = world.prepare()
    shutil.rmtree(ground.worktree)
    git(world.repo, "worktree", "prune")
    assert "t1" in git(world.repo, "worktree", "list")


def test_prepared_again_it_is_the_same_ground_with_the_work_in_it(world: World) -> None:
    """A second call finds what the first made, though the target moved on, and deletes nothing."""
    ground = world.prepare()
    write(Path(ground.worktree), {"work.txt": "hours of it\n"})
    commit(world.repo, {"a.txt": "two\n"})
    assert world.prepare() == ground
    assert (Path(ground.worktree) / "work.txt").exists()


def test_a_worktree_that_was_deleted_is_made_anew_from_the_target_of_now(world: World) -> None:
    """There is nothing left to go on with, so the task starts where the target is."""
    ground = world.prepare()
    shutil.rmtree(ground.worktree)
    now = commit(world.repo, {"a.txt": "two\n"})
    assert world.prepare().base == now


SPOILT: dict[str, tuple[Callable[[World], object], str]] = {
    "moved": (lambda w: shutil.rmtree(w.repo), "is not there any more"),
    "no git dir": (lambda w: shutil.rmtree(w.repo / ".git"), "is not a git repository"),
    "unsound": (lambda w: shutil.rmtree(w.repo / ".git/objects"), "is not a sound git repository"),
    "no branch": (lambda w: git(w.repo, "branch", "-m", "main", "other"), "no branch `main`"),
    "no policy": (lambda w: commit(w.repo, {"overnight.toml": None}), "is missing"),
    "bad policy": (lambda w: commit(w.repo, {"overnight.toml": "targget = 'x'"}), "targget"),
    "huge policy": (lambda w: commit(w.repo, {"overnight.toml": "x" * (1 << 20) + "x"}), "over 1048576 bytes"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_cant_be_used_holds_and_says_why(world: World, case: str) -> None:
    """Each is a hold with a next step, never a crash or a guess."""
    spoil, says = SPOILT[case]
    spoil(world)
    hold = held(world).hold
    assert hold.reason is HoldReason.REPO_UNAVAILABLE
    assert says in hold.why
    assert "overnight" in hold.releases_on or "main" in hold.releases_on


def test_a_repository_that_moved_names_the_commands_that_mend_it(world: World) -> None:
    """The person is told how to say where it is now."""
    world.repo.rename(world.root / "elsewhere")
    assert "overnight repo add" in held(world).hold.releases_on


def test_a_repository_without_a_commit_holds(tmp_path: Path) -> None:
    """Nothing can start from nothing."""
    world = World(tmp_path)
    git(tmp_path, "init", "-q", "-b", "main", "empty")
    world.task = replace(world.task, repo=Repo(name="empty", path=str(tmp_path / "empty"), target="main"))
    assert "no branch `main` with a commit" in held(world).hold.why


def test_a_full_disk_holds_before_anything_is_made(world: World) -> None:
    """The bound is a setting; the hold comes back by itself."""
    hold = held(world, WorkshopSettings(min_free=1 << 60)).hold
    assert hold.reason is HoldReason.DISK_LOW
    assert hold.until is not None
    assert not (world.state / "worktrees").exists()


def test_a_detached_head_and_a_dirty_folder_of_the_user_do_not_matter(world: World) -> None:
    """Only the target branch counts."""
    git(world.repo, "checkout", "-q", "--detach")
    write(world.repo, {"a.txt": "mid-thought\n"})
    assert world.prepare().base == world.first


def test_instructions_come_from_the_target_capped_and_links_are_not_read(world: World) -> None:
    """CLAUDE.md as committed, cut at the cap with a note; a link of that name is no text."""
    (world.repo / "AGENTS.md").symlink_to("CLAUDE.md")
    commit(world.repo, {"CLAUDE.md": "use tabs\n" * 20})
    git(world.repo, "add", "AGENTS.md")
    git(world.repo, "commit", "-qm", "link")
    write(world.repo, {"CLAUDE.md": "not committed"})
    ground = run(world.workshop(settings=WorkshopSettings(min_free=0, instructions=9)).prepare(world.task))
    assert ground.instructions == (("CLAUDE.md", "use tabs\n\n[… 171 more bytes are not shown …]"),)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
@pytest.mark.parametrize("bare", [False, True], ids=["folder", "bare"])
def test_the_whole_way_works_for_every_kind_of_repository(tmp_path: Path, bare: bool, object_format: str) -> None:
    """Bare or not, SHA-1 or SHA-256: prepared, worked on, merged, landed, tidied."""
    world = World(tmp_path, bare=bare, object_format=object_format)
    ground, work = world.change({"new.txt": "new\n"})
    world.land(ground, world.stage(ground, work))
    assert git(world.repo, "show", "main:new.txt") == "new"
    assert run(world.workshop().tidy(world.task)) is None
    git(world.repo, "fsck", "--strict")


def test_a_repo_registered_by_a_linked_worktree_works(world: World) -> None:
    """Its git dir is found through the link."""
    git(world.repo, "worktree", "add", "-q", "-b", "side", str(world.root / "side"))
    world.task = replace(world.task, repo=replace(world.task.repo, path=str(world.root / "side")))
    assert world.prepare().objects == str(world.repo / ".git/objects")


def test_borrowed_object_stores_are_named_and_readable(world: World) -> None:
    """A chain of `clone --shared`: every store is in the ground, and the private git dir reads through all."""
    git(world.root, "clone", "-q", "--shared", str(world.repo), "second")
    git(world.root, "clone", "-q", "--shared", "second", "third")
    world.task = replace(world.task, repo=replace(world.task.repo, path=str(world.root / "third")))
    ground = world.prepare()
    assert ground.alternates == (str(world.root / "second/.git/objects"), str(world.repo / ".git/objects"))
    agent = world.agent(ground, world.open(ground))
    assert agent("log", "--format=%s") == "first"


def test_the_private_git_dir_shows_the_task_the_target_and_the_users_tags(world: World) -> None:
    """HEAD on the task's branch, a clean status, `target` for a conflict, and versions by tag."""
    git(world.repo, "tag", "-a", "-m", "one", "v1")
    ground = world.prepare()
    other = commit(world.repo, {"a.txt": "two\n"})
    agent = world.agent(ground, world.open(ground, against=other))
    assert agent("status", "--porcelain", "--branch") == "## overnight/t1"
    assert agent("rev-parse", "main", "target") == f"{ground.base}\n{other}"
    assert agent("describe") == "v1"
    assert (
        git(Path(ground.worktree), "config", "--file", str(world.state / "runs/t1/1/1/git/config"), "author.name")
        == "claude"
    )


def test_a_target_named_like_our_branch_folder_does_not_break_the_git_dir(world: World) -> None:
    """`overnight` can't stand beside `overnight/t1`: the convenience is left out."""
    git(world.repo, "branch", "-m", "main", "overnight")
    commit(world.repo, {"overnight.toml": 'target = "overnight"\n'}, "target")
    world.task = replace(world.task, repo=replace(world.task.repo, target="overnight"))
    ground = world.prepare()
    assert world.agent(ground, world.open(ground))("branch", "--format=%(refname)") == "refs/heads/overnight/t1"


def test_opening_a_run_again_gives_the_same_git_dir_untouched(world: World) -> None:
    """What was made whole is never written again: an agent may have been in it."""
    ground = world.prepare()
    first = world.open(ground)
    (first / "marker").write_text("x")
    assert world.open(ground) == first
    assert (first / "marker").exists()


def test_a_later_run_starts_from_the_work_before_it(world: World) -> None:
    """HEAD and index are at the given start; the files are as they were left."""
    ground, work = world.change({"new.txt": "new\n"})
    write(Path(ground.worktree), {"half.txt": "half\n"})
    agent = world.agent(ground, world.open(ground, 2, start=work))
    assert agent("status", "--porcelain") == "?? half.txt"
    assert agent("rev-parse", "HEAD") == work


def test_no_filter_of_anybody_runs_and_pointers_survive(world: World) -> None:
    """A required filter in the repository's own settings neither runs nor stops the way there and back."""
    canary = world.root / "ran"
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"
    commit(world.repo, {"big.bin": pointer, ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    for name in ("clean", "smudge", "process"):
        git(world.repo, "config", f"filter.lfs.{name}", f"touch {canary}; exit 1")
    git(world.repo, "config", "filter.lfs.required", "true")
    ground, work = world.change({"code.py": "x = 1\n"})
    assert (Path(ground.worktree) / "big.bin").read_text() == pointer
    world.land(ground, world.stage(ground, work))
    assert git(world.repo, "show", "main:big.bin") == pointer.strip()
    assert (world.repo / "code.py").exists()
    assert not canary.exists()


def test_submodules_stay_as_they_are(world: World) -> None:
    """A gitlink in the base is no finding; it is neither fetched nor lost."""
    git(world.root, "clone", "-q", str(world.repo), "lib")
    git(world.repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(world.root / "lib"), "lib")
    git(world.repo, "commit", "-qm", "submodule")
    ground, work = world.change({"new.txt": "new\n"})
    assert list((Path(ground.worktree) / "lib").iterdir()) == []
    assert world.collect(ground).refused == ()
    assert git(world.repo, "ls-tree", work, "lib").startswith("160000 commit")


def test_a_worktree_whose_making_was_killed_breaks_nothing_for_long(world: World) -> None:
    """One note of ours that git never finished makes most git commands fail; the next task removes it, and no other."""
    ground = world.prepare()
    shutil.rmtree(ground.worktree)
    git(world.repo, "worktree", "add", "-q", "--detach", str(world.repo.parent / "theirs"))
    (note,) = (world.repo / ".git/worktrees").glob("t1*/commondir")
    theirs = world.repo / ".git/worktrees/theirs/commondir"
    words = theirs.read_text()
    note.write_text("")
    os.utime(note, (0, 0))
    with pytest.raises(AssertionError, match="commondir"):
        git(world.repo, "worktree", "list")
    assert Path(world.prepare().worktree).is_dir()
    assert "theirs" in git(world.repo, "worktree", "list")
    assert theirs.read_text() == words


def test_what_is_in_the_making_is_waited_for(world: World) -> None:
    """A worktree that somebody makes at that very moment: the command is called again, and a person's note stays."""
    git(world.repo, "worktree", "add", "-q", "--detach", str(world.repo.parent / "theirs"))
    note = world.repo / ".git/worktrees/theirs/commondir"
    words, calls = note.read_text(), list[str]()
    note.write_text("")

    def finish(when: str, command: str) -> None:
        if when == "after" and "worktree" in command:
            calls.append(command)
            note.write_text(words)

    ground = run(world.workshop(observer=finish).prepare(world.task))
    assert len(calls) == 2
    assert calls[0] == calls[1]
    assert Path(ground.worktree).is_dir()
    assert note.read_text() == words
