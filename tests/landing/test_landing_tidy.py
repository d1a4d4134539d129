"""The end of a task: nothing that is not in a ref is deleted, nothing of the user's is touched."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from landing_world import World, git, run, write

from overnight.boxes.bubblewrap import Bubblewrap
from overnight.landing.places import Places


def test_a_clean_worktree_goes_without_a_rescue(boxed: World) -> None:
    """Collected work is in its ref; worktree, its note and the helping refs are gone."""
    ground, work = boxed.change({"new.txt": "new\n"})
    assert run(boxed.workshop().tidy(boxed.task)) is None
    assert not Path(ground.worktree).exists()
    assert boxed.refs() == {"refs/heads/main": boxed.first, "refs/overnight/t1/1.1": work}
    assert not (boxed.repo / ".git/worktrees").exists()


def test_uncommitted_work_is_rescued_first(boxed: World) -> None:
    """Edits, new files and deletions after the last run are in the rescue ref."""
    ground, _ = boxed.change({"new.txt": "new\n"})
    tree = Path(ground.worktree)
    write(tree, {"late.txt": "late\n", "a.txt": "edited\n", "sub/b.txt": None})
    rescue = run(boxed.workshop().tidy(boxed.task))
    assert rescue == "refs/overnight/t1/rescue"
    assert git(boxed.repo, "ls-tree", "-r", "--name-only", rescue).split() == [
        "a.txt", "late.txt", "new.txt", "overnight.toml",
    ]  # fmt: skip
    assert not tree.exists()


def test_a_run_that_was_never_collected_is_rescued_with_its_history(world: World) -> None:
    """Cancelled in the middle of a run: its commits are parents of the rescue."""
    ground = world.prepare()
    agent = world.agent(ground, world.open(ground))
    write(Path(ground.worktree), {"one.txt": "1\n"})
    agent("add", "-A")
    agent("commit", "-qm", "thought of the agent")
    write(Path(ground.worktree), {"two.txt": "2\n"})
    rescue = run(world.workshop().tidy(world.task))
    assert rescue is not None
    assert "thought of the agent" in git(world.repo, "log", "--format=%s", rescue)
    assert git(world.repo, "show", f"{rescue}:two.txt") == "2"


def test_a_second_life_keeps_the_first_ones_rescue(world: World) -> None:
    """Prepared and tidied twice, with something left each time: both are in the rescue's history."""
    for name in ("first.txt", "second.txt"):
        write(Path(world.prepare().worktree), {name: "x\n"})
        rescue = run(world.workshop().tidy(world.task))
    assert rescue is not None
    names = git(world.repo, "log", "-m", "--name-only", "--format=", rescue).split()
    assert {"first.txt", "second.txt"} <= set(names)


def test_tidy_twice_or_without_a_worktree_does_nothing(world: World) -> None:
    """Also for a task that was never prepared."""
    assert run(world.workshop().tidy(world.task)) is None
    world.prepare()
    assert run(world.workshop().tidy(world.task)) is None
    assert run(world.workshop().tidy(world.task)) is None


def test_nested_repositories_are_kept_aside_not_deleted(world: World) -> None:
    """What no ref can hold is moved, whole, to where nothing deletes it."""
    tree = Path(world.prepare().worktree)
    git(tree, "init", "-q", "clone")
    write(tree, {"clone/x.txt": "x\n"})
    run(world.workshop().tidy(world.task))
    assert not tree.exists()
    assert (world.state / "kept/t1/clone/x.txt").exists()


def test_without_its_repository_the_worktree_is_kept_aside(world: World) -> None:
    """No ref can be made any more; the files stay on this machine."""
    tree = Path(world.prepare().worktree)
    write(tree, {"work.txt": "x\n"})
    shutil.rmtree(world.repo)
    assert run(world.workshop().tidy(world.task)) is None
    assert not tree.exists()
    assert (world.state / "kept/t1/work.txt").exists()


def test_the_users_own_missing_worktrees_are_not_pruned(world: World) -> None:
    """Theirs may lie on a disk that is not plugged in."""
    side = world.root / "side"
    git(world.repo, "worktree", "add", "-q", "-b", "side", str(side))
    side.rename(world.root / "unplugged")
    world.prepare()
    run(world.workshop().tidy(world.task))
    assert str(side) in git(world.repo, "worktree", "list")


def test_read_only_trees_and_links_go_without_following(tmp_path: Path) -> None:
    """Folders without rights are deleted; what a link points to is not."""
    precious = tmp_path / "precious"
    write(precious, {"x": "x"})
    state = tmp_path / "state"
    tree = state / "worktrees/t"
    write(tree, {"shut/deep/file": "x", "plain": "x"})
    (tree / "link").symlink_to(precious)
    (tree / "shut/deep").chmod(0)
    (tree / "shut").chmod(0o500)
    Places(state).discard(tree)
    assert not tree.exists()
    assert (precious / "x").exists()
    assert list((state / "trash").iterdir()) == []


def test_a_link_in_the_place_of_a_tree_is_only_unlinked(tmp_path: Path) -> None:
    """The folder it leads to is not ours."""
    write(tmp_path / "precious", {"x": "x"})
    (tmp_path / "state/worktrees").mkdir(parents=True)
    (tmp_path / "state/worktrees/t").symlink_to(tmp_path / "precious")
    Places(tmp_path / "state").discard(tmp_path / "state/worktrees/t")
    assert (tmp_path / "precious/x").exists()
    assert not (tmp_path / "state/worktrees/t").is_symlink()


def test_nothing_outside_the_state_folder_is_ever_discarded(tmp_path: Path) -> None:
    """Not by a path that leads out, not the state folder itself."""
    places = Places(tmp_path / "state")
    for path in (tmp_path, tmp_path / "state", tmp_path / "repo"):
        with pytest.raises(AssertionError):
            places.discard(path)


@pytest.mark.skipif(subprocess.run(["unshare", "--mount", "true"]).returncode != 0, reason="may not mount")
def test_a_mount_inside_stops_the_deletion(tmp_path: Path) -> None:
    """What lies on another file system is somebody else's."""
    mounted = tmp_path / "tree/mounted"
    mounted.mkdir(parents=True)
    child = (
        "import sys; from pathlib import Path; from overnight.landing.places import remove_tree\n"
        "from overnight.errors import StateNotWritable\n"
        "try: remove_tree(Path(sys.argv[1]))\n"
        "except StateNotWritable: sys.exit(21 if (Path(sys.argv[1]) / 'mounted/precious').exists() else 22)\n"
    )
    script = f'mount -t tmpfs none "{mounted}" && touch "{mounted}/precious" && "$0" -c "$1" "{tmp_path}/tree"'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, sys.executable, child])
    assert done.returncode == 21


def test_a_failed_making_leaves_nothing_behind(tmp_path: Path) -> None:
    """A folder appears whole or not at all."""
    places = Places(tmp_path / "state")

    def half() -> None:
        with places.appearing(tmp_path / "state/made") as making:
            write(making, {"half": "x"})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert not (tmp_path / "state/made").exists()
    assert list((tmp_path / "state/trash").iterdir()) == []


def test_tidying_runs_in_the_box(tmp_path: Path) -> None:
    """A nested repository with a hostile fsmonitor is looked at in the box only: no canary outside."""
    world = World(tmp_path, Bubblewrap())
    canary = tmp_path / "canary"
    tree = Path(world.prepare().worktree)
    git(tree, "init", "-q", "evil")
    git(tree / "evil", "config", "core.fsmonitor", f"touch {canary}; false")
    run(world.workshop().tidy(world.task))
    assert not canary.exists()
