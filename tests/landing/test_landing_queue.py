"""Landing: merged without a checkout, swapped once, and the user's folder follows or nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from landing_world import World, commit, git, run, write
from msgspec.structs import replace

from overnight.missions.hold import Held, HoldReason
from overnight.ports import Conflict, Landed, Moved, Staged


def tree_of(world: World, name: str) -> str:
    """A commit's tree."""
    return git(world.repo, "rev-parse", f"{name}^{{tree}}")


def test_a_merge_names_its_task_and_has_both_parents(world: World) -> None:
    """Title, trailers, parents; its tree is the result's own while the target did not move."""
    world.task = replace(world.task, title="Fix  the\nbug \x1b[31m")
    ground, work = world.change({"new.txt": "new\n"})
    staged = world.stage(ground, work)
    assert staged.same_tree
    assert staged.onto == world.first
    assert git(world.repo, "log", "-1", "--format=%P", staged.commit) == f"{world.first} {work}"
    said = git(world.repo, "log", "-1", "--format=%B", staged.commit)
    assert said == "Fix the bug\n\nOvernight-Task: t1\nOvernight-Run: t1.1.1"
    assert git(world.repo, "rev-parse", "main") == world.first


def test_staging_again_is_the_same_merge_kept_from_collection(world: World) -> None:
    """One merge however often it is asked for, held by a ref, until the target moves."""
    ground, work = world.change({"new.txt": "new\n"})
    staged = world.stage(ground, work)
    git(world.repo, "gc", "-q", "--prune=now")
    assert world.stage(ground, work) == staged
    now = commit(world.repo, {"other.txt": "x\n"})
    again = world.stage(ground, work)
    assert (again.onto, again.same_tree) == (now, False)


def test_landing_moves_the_target_and_the_users_clean_folder(world: World) -> None:
    """Files, index and branch are the new commit; HEAD stays on the branch; the log says who moved it."""
    ground, work = world.change({"new.txt": "new\n", "a.txt": "two\n", "sub/b.txt": None})
    landed = world.land(ground, world.stage(ground, work))
    assert landed.note == f"{world.repo} follows"
    assert git(world.repo, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(world.repo, "rev-parse", "HEAD") == landed.commit
    assert git(world.repo, "status", "--porcelain") == ""
    assert (world.repo / "a.txt").read_text() == "two\n"
    assert not (world.repo / "sub").exists()
    assert "overnight: landed t1" in git(world.repo, "reflog", "main")
    assert {path.name for path in (world.repo / ".git").iterdir()}.isdisjoint({"index.lock", "index.overnight"})


def test_landing_again_is_landed_once(world: World) -> None:
    """A target that holds the commit is Landed, also when it has moved on since."""
    ground, work = world.change({"new.txt": "new\n"})
    staged = world.stage(ground, work)
    first = world.land(ground, staged)
    assert world.land(ground, staged).commit == first.commit
    later = commit(world.repo, {"later.txt": "x\n"})
    assert world.land(ground, staged).commit == first.commit
    assert git(world.repo, "rev-parse", "main") == later
    assert git(world.repo, "status", "--porcelain") == ""


def test_a_target_that_moved_is_not_overwritten(world: World) -> None:
    """The swap is refused; made again on the new commit it lands with both changes."""
    ground, work = world.change({"new.txt": "new\n"})
    staged = world.stage(ground, work)
    now = commit(world.repo, {"other.txt": "x\n"})
    assert run(world.lander().land(world.task, ground, staged)) == Moved(now=now)
    assert git(world.repo, "status", "--porcelain") == ""
    landed = world.land(ground, world.stage(ground, work))
    assert git(world.repo, "ls-tree", "--name-only", landed.commit).split() == [
        "a.txt", "new.txt", "other.txt", "overnight.toml", "sub",
    ]  # fmt: skip


def test_a_target_that_moves_in_the_last_moment_is_not_overwritten(world: World) -> None:
    """Somebody swaps the branch after we looked: theirs stays, and the folder is as it was."""
    ground, work = world.change({"a.txt": "two\n", "new/x.txt": "new\n"})
    staged = world.stage(ground, work)
    theirs = git(world.repo, "commit-tree", "-p", world.first, "-m", "theirs", tree_of(world, "main"))

    def quicker(when: str, command: str) -> None:
        if when == "before" and "update-ref" in command:
            git(world.repo, "update-ref", "refs/heads/main", theirs)

    assert run(world.lander(quicker).land(world.task, ground, staged)) == Moved(now=theirs)
    assert git(world.repo, "rev-parse", "main") == theirs
    assert git(world.repo, "status", "--porcelain") == ""
    assert (world.repo / "a.txt").read_text() == "one\n"
    assert not (world.repo / "new").exists()


def test_two_tasks_land_one_after_the_other(world: World) -> None:
    """The second is merged onto the first; the folder follows twice."""
    ground, work = world.change({"new.txt": "new\n"})
    other = World.__new__(World)
    other.__dict__.update(world.__dict__)
    other.task = replace(world.task, id="t2")
    ground2 = run(other.workshop().prepare(other.task))
    write(Path(ground2.worktree), {"second.txt": "2\n"})
    git_dir = run(other.workshop().open(other.task, ground2, "t2.1.1", ground2.base, None))
    work2 = run(other.workshop().collect(other.task, ground2, "t2.1.1", git_dir, ground2.base, True)).commit
    world.land(ground, world.stage(ground, work))
    staged = other.stage(ground2, work2)
    assert not staged.same_tree
    other.land(ground2, staged)
    assert {"new.txt", "second.txt"} <= {path.name for path in world.repo.iterdir()}
    assert git(world.repo, "status", "--porcelain") == ""


def test_a_conflict_names_paths_and_says_it_in_gits_words(world: World) -> None:
    """Also paths with line breaks; the target and the folder are untouched."""
    commit(world.repo, {"odd\nname": "one\n"})
    ground, work = world.change({"a.txt": "ours\n", "odd\nname": "ours\n"})
    now = commit(world.repo, {"a.txt": "theirs\n", "odd\nname": "theirs\n"})
    found = run(world.lander().stage(world.task, ground, work, "t1.1.1"))
    assert isinstance(found, Conflict)
    assert (found.against, found.paths) == (now, ("a.txt", "odd\nname"))
    assert "CONFLICT (content): Merge conflict in a.txt" in found.detail
    assert git(world.repo, "status", "--porcelain") == ""


def test_a_conflict_mended_in_a_run_lands(world: World) -> None:
    """The next run sees the target as a branch, merges it, and its result merges cleanly."""
    ground, work = world.change({"a.txt": "ours\n"})
    now = commit(world.repo, {"a.txt": "theirs\n"})
    agent = world.agent(ground, world.open(ground, 2, start=work, against=now))
    agent("merge", "-q", "-X", "ours", "target", "-m", "mended")
    result = world.collect(ground, 2, start=work)
    assert result.refused == ()
    world.land(ground, world.stage(ground, result.commit))
    assert (world.repo / "a.txt").read_text() == "ours\n"


def test_unrelated_histories_are_a_conflict(world: World) -> None:
    """There is nothing to merge by; no crash."""
    ground = world.prepare()
    alone = git(world.repo, "commit-tree", "-m", "alone", tree_of(world, "main"))
    assert isinstance(run(world.lander().stage(world.task, ground, alone, "t1.1.1")), Conflict)


def test_nothing_of_the_users_settings_takes_part(world: World) -> None:
    """Merge drivers, hooks, fsmonitor and filters of the repository do not run."""
    canary = world.root / "ran"
    commit(world.repo, {".gitattributes": "*.txt merge=evil filter=evil\n", "a.txt": "1\n2\n3\n4\n5\n6\n7\n"})
    for key in ("merge.evil.driver", "filter.evil.clean", "filter.evil.smudge", "core.fsmonitor", "core.pager"):
        git(world.repo, "config", key, f"touch {canary}; false")
    for name in ("post-checkout", "post-merge", "reference-transaction", "post-index-change", "pre-merge-commit"):
        write(world.repo, {f".git/hooks/{name}": f"#!/bin/sh\ntouch {canary}\n"})
        (world.repo / ".git/hooks" / name).chmod(0o755)
    ground, work = world.change({"a.txt": "one\n2\n3\n4\n5\n6\n7\n"})
    blob = git(world.repo, "hash-object", "-w", "--stdin", "--no-filters", data=b"1\n2\n3\n4\n5\n6\nseven\n")
    index = {"GIT_INDEX_FILE": str(world.root / "index")}
    git(world.repo, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "read-tree", "main", env=index)
    cached = ("update-index", "--cacheinfo", f"100644,{blob},a.txt")
    git(world.repo, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *cached, env=index)
    tree = git(world.repo, "-c", "core.fsmonitor=false", "write-tree", env=index)
    theirs = git(world.repo, "commit-tree", "-p", "main", "-m", "theirs", tree)
    canary.unlink(missing_ok=True)
    git(world.repo, "-c", "core.hooksPath=/dev/null", "update-ref", "refs/heads/side", theirs)
    world.task = replace(world.task, repo=replace(world.task.repo, target="side"))
    staged = world.stage(ground, work)
    world.land(ground, staged)
    assert git(world.repo, "show", "side:a.txt") == "one\n2\n3\n4\n5\n6\nseven"
    assert not canary.exists()


# -- the user's folder --------------------------------------------------------------------------------------


def ongoing(world: World, *args: str) -> None:
    """A git command that stops half-way."""
    with pytest.raises(AssertionError):
        git(world.repo, *args)


def start_merge(world: World) -> None:
    """A merge that stops for a conflict, resolved but not committed."""
    git(world.repo, "checkout", "-q", "-b", "side")
    commit(world.repo, {"b.txt": "side\n"})
    git(world.repo, "checkout", "-q", "main")
    git(world.repo, "merge", "-q", "--no-commit", "--no-ff", "side")


def start_rebase(world: World) -> None:
    """A rebase of main that stops for a conflict."""
    git(world.repo, "branch", "old", "HEAD")
    git(world.repo, "checkout", "-q", "--orphan", "other")
    commit(world.repo, {"a.txt": "other\n"})
    git(world.repo, "checkout", "-q", "main")
    ongoing(world, "rebase", "other")


BUSY: dict[str, tuple[Callable[[World], object], str]] = {
    "edited": (lambda w: write(w.repo, {"sub/b.txt": "mine\n"}), "sub/b.txt"),
    "deleted": (lambda w: (w.repo / "sub/b.txt").unlink(), "sub/b.txt"),
    "staged": (lambda w: (write(w.repo, {"c.txt": "x"}), git(w.repo, "add", "c.txt")), "staged"),
    "in the way": (lambda w: write(w.repo, {"new.txt": "mine\n"}), "new.txt"),
    "ignored, in the way": (
        lambda w: write(w.repo, {".git/info/exclude": "new.txt\n", "new.txt": "secret\n"}),
        "new.txt",
    ),
    "folder in the way": (lambda w: write(w.repo, {"new.txt/mine": "mine\n"}), "new.txt"),
    "file where a folder must be": (lambda w: write(w.repo, {"deep": "mine\n"}), "deep"),
    "link where a folder must be": (lambda w: (w.repo / "deep").symlink_to(w.root), "deep"),
    "lock": (lambda w: write(w.repo, {".git/index.lock": ""}), "index.lock"),
    "merge": (start_merge, "merge"),
    "rebase": (start_rebase, "rebase"),
    "no index": (lambda w: (w.repo / ".git/index").unlink(), "staged"),
}


def contents(root: Path) -> dict[str, str]:
    """Every file below a folder but the object store and logs, with its content."""
    return {
        str(path.relative_to(root)): path.read_bytes().decode("latin-1")
        for path in sorted(root.rglob("*"))
        if path.is_file() and not {"objects", "logs", "overnight"} & set(path.relative_to(root).parts)
    }


@pytest.mark.parametrize("case", BUSY)
def test_a_folder_in_use_holds_and_is_left_exactly_as_it_was(world: World, case: str) -> None:
    """Every file, index, lock and branch is the same after; the hold names the folder and comes back by itself."""
    make, says = BUSY[case]
    ground, work = world.change({"new.txt": "new\n", "deep/new.txt": "new\n", "a.txt": "two\n"})
    staged = world.stage(ground, work)
    make(world)
    before = contents(world.repo)
    with pytest.raises(Held) as caught:
        run(world.lander().land(world.task, ground, staged))
    assert contents(world.repo) == before
    hold = caught.value.hold
    assert hold.reason is HoldReason.TARGET_BUSY
    assert str(world.repo) in hold.why
    assert says in hold.why
    assert hold.until is not None


def test_untracked_files_that_are_not_in_the_way_stay(world: World) -> None:
    """They do not hold a landing, and survive it."""
    ground, work = world.change({"new.txt": "new\n", "sub/b.txt": None})
    write(world.repo, {"notes.txt": "mine\n", "sub/mine.txt": "mine\n"})
    world.land(ground, world.stage(ground, work))
    assert git(world.repo, "status", "--porcelain") == "?? notes.txt\n?? sub/"
    assert (world.repo / "sub/mine.txt").read_text() == "mine\n"


def test_a_folder_that_is_on_another_branch_is_not_touched(world: World) -> None:
    """Dirty or not: only a folder that has the target checked out matters."""
    ground, work = world.change({"new.txt": "new\n"})
    git(world.repo, "checkout", "-q", "-b", "mine")
    write(world.repo, {"a.txt": "mid-thought\n"})
    landed = world.land(ground, world.stage(ground, work))
    assert landed.note == ""
    assert git(world.repo, "status", "--porcelain") == "M a.txt"
    assert git(world.repo, "rev-parse", "mine") == world.first


def test_a_linked_worktree_of_the_user_follows_too(world: World) -> None:
    """The target may be checked out elsewhere than in the registered folder."""
    git(world.repo, "checkout", "-q", "-b", "mine")
    side = world.root / "side"
    git(world.repo, "worktree", "add", "-q", str(side), "main")
    ground, work = world.change({"new.txt": "new\n"})
    landed = world.land(ground, world.stage(ground, work))
    assert landed.note == f"{side} follows"
    assert git(side, "status", "--porcelain") == ""
    assert (side / "new.txt").exists()


def test_all_folders_follow_or_none(world: World) -> None:
    """One of two folders on the target is dirty: the other is put back, nothing lands."""
    side = world.root / "side"
    git(world.repo, "worktree", "add", "-q", "--force", str(side), "main")
    ground, work = world.change({"new.txt": "new\n"})
    staged = world.stage(ground, work)
    write(side, {"a.txt": "mine\n"})
    with pytest.raises(Held):
        run(world.lander().land(world.task, ground, staged))
    assert git(world.repo, "status", "--porcelain") == ""
    assert not (world.repo / "new.txt").exists()
    assert git(world.repo, "rev-parse", "main") == world.first


def test_a_separate_git_dir_is_understood(world: World) -> None:
    """The folder is where the person says, not beside the git dir."""
    git(world.repo, "init", "-q", "--separate-git-dir", str(world.root / "elsewhere.git"))
    ground, work = world.change({"new.txt": "new\n"})
    world.land(ground, world.stage(ground, work))
    assert git(world.repo, "status", "--porcelain") == ""
    assert (world.repo / "new.txt").exists()


def test_a_landing_that_was_begun_finishes_though_it_is_cancelled(world: World) -> None:
    """Cancellation in the middle of the writing leaves a landed target and a clean folder."""
    ground, work = world.change({"new.txt": "new\n"})
    staged = world.stage(ground, work)

    async def cancelled() -> None:
        here = asyncio.get_running_loop()

        def cancel(when: str, command: str) -> None:
            if when == "before" and "read-tree -m -u" in command:
                here.call_soon(landing.cancel)

        landing = asyncio.ensure_future(world.lander(cancel).land(world.task, ground, staged))
        with pytest.raises(asyncio.CancelledError):
            await landing

    run(cancelled())
    assert git(world.repo, "rev-parse", "main") == staged.commit
    assert git(world.repo, "status", "--porcelain") == ""


def test_a_commit_that_the_target_holds_needs_no_merge(world: World) -> None:
    """An unchanged result is landed already."""
    ground = world.prepare()
    staged = run(world.lander().stage(world.task, ground, ground.base, "t1.1.1"))
    assert staged == Staged(commit=world.first, onto=world.first, same_tree=True)


# -- branch mode --------------------------------------------------------------------------------------------


def test_a_result_is_left_on_a_branch_of_its_own(world: World) -> None:
    """Created, moved, and said again; the target stays."""
    ground, work = world.change({"new.txt": "new\n"})
    assert run(world.lander().branch(world.task, ground.base)).branch == "overnight/t1"
    landed = run(world.lander().branch(world.task, work))
    assert run(world.lander().branch(world.task, work)) == landed == Landed(commit=work, branch="overnight/t1")
    assert git(world.repo, "rev-parse", "overnight/t1") == work
    assert git(world.repo, "rev-parse", "main") == world.first


def test_what_a_person_put_on_that_branch_is_kept(world: World) -> None:
    """Their commits stay reachable by a ref that the note names."""
    _, work = world.change({"new.txt": "new\n"})
    run(world.lander().branch(world.task, work))
    git(world.repo, "checkout", "-q", "overnight/t1")
    theirs = commit(world.repo, {"theirs.txt": "x\n"})
    git(world.repo, "checkout", "-q", "main")
    other = git(world.repo, "commit-tree", "-p", world.first, "-m", "second try", tree_of(world, work))
    landed = run(world.lander().branch(world.task, other))
    assert world.refs()[f"refs/overnight/t1/branch-{theirs[:12]}"] == theirs
    assert theirs[:12] in landed.note


def test_a_branch_that_is_checked_out_holds(world: World) -> None:
    """The person is looking at it."""
    ground, work = world.change({"new.txt": "new\n"})
    run(world.lander().branch(world.task, ground.base))
    git(world.repo, "checkout", "-q", "overnight/t1")
    with pytest.raises(Held) as caught:
        run(world.lander().branch(world.task, work))
    assert caught.value.hold.reason is HoldReason.TARGET_BUSY
