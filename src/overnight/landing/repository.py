"""A user's repository as this room sees it: found without git, spoken to only with plumbing."""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path

from overnight.landing import holds
from overnight.landing.git import Git, Observer, unobserved
from overnight.landing.places import Places
from overnight.missions.task import Repo

#: The oldest git whose `merge-tree --write-tree` this room relies on.
OLDEST = (2, 38)


class Repository:
    """A repository's git dirs and object stores.

    `git` works on the user's own git dir: refs and worktrees, nothing else. `plain` reads and writes the same
    objects through a git dir of ours, so that nothing in the user's settings (filters, merge drivers, replaced
    objects, hooks) takes part.
    """

    def __init__(self, repo: Repo, git_dir: Path, common: Path, object_format: str, places: Places, git: Git) -> None:
        self.repo = repo
        #: The git dir that the registered path leads to: a linked worktree has one of its own.
        self.git_dir = git_dir
        #: The git dir that holds refs, objects and settings.
        self.common = common
        self.object_format = object_format
        self.git = git
        self._places = places

    @property
    def objects(self) -> Path:
        """Where its objects are."""
        return self.common / "objects"

    @cached_property
    def stores(self) -> tuple[Path, ...]:
        """Its object store and every store that it borrows from."""
        return object_stores(self.objects)

    @cached_property
    def plain(self) -> Git:
        """git on its objects alone."""
        env = {"GIT_OBJECT_DIRECTORY": str(self.objects)}
        if (self.common / "shallow").exists():
            env["GIT_SHALLOW_FILE"] = str(self.common / "shallow")
        plain = self._places.plain(self.object_format)
        if not plain.exists():
            with self._places.appearing(plain) as making:
                write_skeleton(making, self.object_format)
        return Git(plain, env=env, observer=self.git.observer)

    async def commit(self, name: str) -> str | None:
        """The commit that a ref or an id names, or None."""
        return await self.git.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")

    async def target(self) -> str:
        """The target branch's commit. Raises Held(repo-unavailable) when the branch is gone or empty."""
        branch = self.repo.target
        found = await self.commit(f"refs/heads/{branch}")
        if found is None:
            why = f"{self.repo.path} has no branch `{branch}` with a commit on it"
            raise holds.repo_unavailable(why, f"a commit on `{branch}`, or another target for {self.repo.name}")
        return found

    async def tree(self, commit: str) -> str:
        """The id of a commit's tree."""
        return await self.plain.text("rev-parse", "--verify", f"{commit}^{{tree}}")

    async def holds(self, commit: str, within: str) -> bool:
        """Whether `within` is `commit` or descends from it."""
        return (await self.plain.call("merge-base", "--is-ancestor", commit, within, ok=(0, 1))).code == 0

    async def set_ref(self, ref: str, new: str, old: str | None = None, why: str = "overnight") -> None:
        """Point a ref of ours at a commit. With `old`, only if it is still there."""
        await self.git.run("update-ref", "-m", why, ref, new, *((old,) if old is not None else ()))

    async def drop_ref(self, ref: str) -> None:
        """Remove a ref of ours. One that is not there: nothing happens."""
        if await self.git.ask("rev-parse", "--verify", "--quiet", ref) is not None:
            await self.git.run("update-ref", "-d", ref)


async def open_repository(repo: Repo, places: Places, observer: Observer = unobserved) -> Repository:
    """Raises Held(repo-unavailable) when there is no repository at its path any more."""
    git_dir = find_git_dir(Path(repo.path))
    if git_dir is None:
        raise holds.repo_gone(repo, "is not a git repository" if Path(repo.path).is_dir() else "is not there any more")
    common = common_dir(git_dir)
    git = Git(common, observer=observer)
    object_format = await git.ask("rev-parse", "--show-object-format")
    if object_format is None or not (common / "objects").is_dir():
        raise holds.repo_gone(repo, "is not a sound git repository (`git fsck` there says more)")
    await _new_enough(git)
    return Repository(repo, git_dir, common, object_format, places, git)


async def _new_enough(git: Git) -> None:
    said = await git.text("version")
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        wanted = ".".join(str(part) for part in OLDEST)
        raise holds.repo_unavailable(f"{said} is too old", f"git {wanted} or newer")


def find_git_dir(path: Path) -> Path | None:
    """The git dir of a work tree, a linked work tree or a bare repository; None when there is none."""
    dot = path / ".git"
    if dot.is_dir():
        return dot.resolve()
    if dot.is_file():
        said = dot.read_bytes().removeprefix(b"gitdir: ").rstrip(b"\r\n")
        there = (path / os.fsdecode(said)).resolve()
        return there if (there / "HEAD").exists() else None
    bare = (path / "HEAD").exists() and (path / "objects").is_dir() and (path / "refs").is_dir()
    return path.resolve() if bare else None


def common_dir(git_dir: Path) -> Path:
    """The git dir that a linked worktree's git dir belongs to; others belong to themselves."""
    pointer = git_dir / "commondir"
    if not pointer.is_file():
        return git_dir
    return (git_dir / os.fsdecode(pointer.read_bytes().rstrip(b"\r\n"))).resolve()


def object_stores(objects: Path) -> tuple[Path, ...]:
    """An object store and all that it borrows from, nearest first, each once. Stores that are gone are left out."""
    found: dict[Path, None] = {}
    waiting = [objects.resolve()]
    while waiting:
        store = waiting.pop(0)
        if store in found or not store.is_dir():
            continue
        found[store] = None
        listed = store / "info" / "alternates"
        lines = listed.read_bytes().split(b"\n") if listed.is_file() else []
        waiting += [(store / _unquoted(line)).resolve() for line in lines if line and not line.startswith(b"#")]
    return tuple(found)


def _unquoted(line: bytes) -> str:
    if not (line.startswith(b'"') and line.endswith(b'"')):
        return os.fsdecode(line)
    plain = line[1:-1].decode("latin-1").encode("latin-1").decode("unicode_escape").encode("latin-1")
    return os.fsdecode(plain)


def write_skeleton(git_dir: Path, object_format: str, settings: str = "") -> None:
    """An empty git dir that reads no settings but its own."""
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (git_dir / folder).mkdir(parents=True, exist_ok=True)
    (git_dir / "HEAD").write_text("ref: refs/heads/none\n")
    version, extension = (
        (0, "") if object_format == "sha1" else (1, f"[extensions]\n\tobjectFormat = {object_format}\n")
    )
    core = (
        f"[core]\n\trepositoryFormatVersion = {version}\n\tbare = false\n\tfileMode = true\n\tlogAllRefUpdates = true\n"
    )
    (git_dir / "config").write_text(core + extension + settings)
