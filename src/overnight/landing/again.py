"""A run's place made once more: the same commit, the same branches, folders of its own. The repository is only read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from overnight.errors import BadInput
from overnight.landing.export import Exporter, ExportSettings
from overnight.landing.git import Git
from overnight.landing.places import Places, write_whole
from overnight.landing.private import quoted_path, write_private
from overnight.landing.repository import Repository, open_repository, write_skeleton
from overnight.landing.worktree import branch_name, fill
from overnight.missions.codec import decode, encode
from overnight.missions.run import Result, RunSpec
from overnight.missions.task import Repo, Task
from overnight.ports import Box


class Place(Struct, frozen=True):
    """Where a run happens again."""

    #: The run's own folder; what it is to do is in it.
    folder: Path
    spec: RunSpec
    task: Task
    repository: Repository
    places: Places


async def place(state: Path, spec: RunSpec, target: str) -> Place:
    """Make it below a state folder of its own, from a clean checkout of the run's commit.

    target: the branch that the task was to land on. Raises BadInput when the commit is gone.
    """
    places = Places(state)
    common = Path(spec.objects).parent
    theirs = Git(common)
    if (form := await theirs.ask("rev-parse", "--show-object-format")) is None or not await _has(theirs, spec.start):
        problem = f"{spec.id} began from commit {spec.start[:12]}, which {common} does not hold any more: bring it back"
        raise BadInput(problem=problem)
    store = places.state / "repo.git"
    write_skeleton(store, form)
    stores = (Path(spec.objects), *map(Path, spec.alternates))
    (store / "objects/info/alternates").write_bytes(b"".join(quoted_path(each) + b"\n" for each in stores))
    tags = await theirs.run("for-each-ref", "--format=create %(refname) %(objectname)", "refs/tags")
    branch = f"create refs/heads/{target} {spec.start}\n".encode()
    await Git(store).run("update-ref", "--stdin", stdin=tags + branch)
    task = Task(
        id=spec.task, repo=Repo(name=spec.repo or "again", path=str(store), target=target), title=spec.id, text=spec.id
    )
    repository = await open_repository(task.repo, places)
    work, folder = places.worktree(spec.task), places.run(spec.id)
    work.mkdir(parents=True)
    git_dir = folder / "git"
    git_dir.mkdir(parents=True, mode=0o700)
    await write_private(
        git_dir, repository, start=spec.start, branch=branch_name(task), work_tree=work,
        branches=[(target, spec.start)], author=spec.agent,
    )  # fmt: skip
    await fill(repository, work, git_dir / "index", spec.start)
    (work / ".git").write_text(f"gitdir: {git_dir}\n")
    new = replace(
        spec, worktree=str(work), git_dir=str(git_dir), objects=str(repository.stores[0]),
        alternates=tuple(str(each) for each in repository.stores[1:]), resume=None, repository="",
    )  # fmt: skip
    write_whole(folder / "spec.json", encode(new))
    return Place(folder, new, task, repository, places)


async def files_after(where: Place, box: Box) -> str | None:
    """All files that the run left, as a tree; None when they could not be had. Raises Held(box-unavailable)."""
    exporter = Exporter(where.places, box, ExportSettings())
    export = await exporter.export(
        where.repository, work_tree=Path(where.spec.worktree), agent=Path(where.spec.git_dir),
        branch=branch_name(where.task), start=where.spec.start, known=(where.spec.start,),
        index=Path(where.spec.git_dir) / "index", folder=where.folder / "collect",
    )  # fmt: skip
    return export.tree


async def files_before(where: Place, folder: Path) -> tuple[str, ...]:
    """The trees that the recorded run's work may be: its result's, and that of what was only rescued.

    folder: the recorded run's. Empty when nothing was collected from it, or what was is gone.
    """
    try:
        result = decode((folder / "collected.json").read_bytes(), Result)
    except FileNotFoundError:
        return ()
    names = [result.commit]
    if result.rescue is not None:
        found = await Git(Path(where.repository.stores[1]).parent).ask(
            "rev-parse", "--verify", "--quiet", result.rescue
        )
        names += [found] if found else []
    trees = [await where.repository.tree(name) for name in names if await _has(where.repository.git, name)]
    return tuple(dict.fromkeys(trees))


async def changed_files(where: Place, before: str, after: str) -> tuple[str, ...]:
    """Lines of `git diff --stat`: how the trees differ."""
    told = await where.repository.plain.run("diff-tree", "-r", "--name-status", "-z", before, after)
    words = os.fsdecode(told).split("\0")
    return tuple(f"{status} {path}" for status, path in zip(words[::2], words[1::2], strict=False))


async def same_but(where: Place, before: str, after: str, moved: Callable[[str], str]) -> bool:
    """Whether the trees differ only in texts that are equal once paths are moved. moved: of then to those of now."""
    git = where.repository.plain
    told = os.fsdecode(await git.run("diff-tree", "-r", "-z", "--no-renames", before, after))
    words = told.split("\0")
    for facts, _path in zip(words[::2], words[1::2], strict=False):
        old_mode, new_mode, old, new, status = facts.removeprefix(":").split(" ")
        if status != "M" or old_mode != new_mode:
            return False
        then, now = await git.run("cat-file", "blob", old), await git.run("cat-file", "blob", new)
        if os.fsencode(moved(os.fsdecode(then))) != now:
            return False
    return True


async def _has(git: Git, commit: str) -> bool:
    return await git.ask("cat-file", "-e", f"{commit}^{{commit}}") is not None
