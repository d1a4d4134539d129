"""The user's own folders that have a branch checked out, brought along when the branch moves.

While a folder is being brought along its `index.lock` is ours, so that no git command of the user comes between.
The lock says whose it is, so that a later call takes up what an earlier one left: first the files are written, then
the branch is swapped, then the index. Only files that are as the old or the new commit has them are ever written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from overnight.errors import GitFailed, OvernightError
from overnight.landing import holds
from overnight.landing.gates import Change, changes
from overnight.landing.git import Git
from overnight.landing.repository import Repository
from overnight.landing.text import path_shown
from overnight.missions.hold import Held

#: What stands in a git dir while the user is in the middle of something.
_UNFINISHED = {
    "MERGE_HEAD": "a merge", "CHERRY_PICK_HEAD": "a cherry-pick", "REVERT_HEAD": "a revert", "rebase-merge": "a rebase",
    "rebase-apply": "a rebase", "sequencer": "a cherry-pick or revert", "BISECT_LOG": "a bisection",
}  # fmt: skip
#: Added to the lock's words before the first file is written.
_WRITING = b"writing\n"
#: Paths that a message names.
_NAMED = 3


class Folder:
    """One folder on its way from commit `old` to commit `new`."""

    def __init__(self, repository: Repository, path: Path, git_dir: Path, git: Git, owner: str) -> None:
        """owner: what the lock says, the same for every call about the same landing."""
        self.path = path
        self._repository, self._git_dir, self._git = repository, git_dir, git
        self._mark = f"{owner}\n".encode()
        self._lock = git_dir / "index.lock"
        self._index = git_dir / "index"
        self._made = git_dir / "index.overnight"
        self._ours = git.on(env={"GIT_INDEX_FILE": str(self._made)})

    async def bring(self, old: str, new: str) -> None:
        """Write the new files, under the lock. Raises Held(target-busy), with everything as it was."""
        self._claim()
        try:
            await self._copy_index()
            self._refuse_unfinished()
            if not await self._index_is(old):
                raise self._busy("changes are staged there")
            changed = await changes(self._repository.plain, old, new)
            if self._wrote():
                await self._accept(await self._done(changed, new))
            await self._refuse_dirty(changed)
            await self._write(old, new, changed)
        except (Held, OvernightError, OSError):
            await self.undo(old, new)
            raise

    async def take_index(self) -> None:
        """The last act: the index of the new commit becomes the folder's own."""
        self._made.replace(self._index)
        self._lock.unlink()

    async def undo(self, old: str, new: str) -> None:
        """Back to the old files, if the lock is ours. What the user changed meanwhile stays."""
        if not self._is_ours():
            return
        await self._copy_index()
        if self._wrote() and await self._index_is(old):
            changed = await changes(self._repository.plain, old, new)
            done = await self._done(changed, new)
            back = [change.path for change in done if change.status != "A"]
            await self._ours.run("checkout-index", "--force", "-z", "--stdin", stdin=_joined(back))
            for change in done:
                if change.status == "A":
                    self._unlink(change.path)
        self._made.unlink(missing_ok=True)
        self._lock.unlink()

    async def finish(self, old: str, new: str, now: str) -> list[str]:
        """After the branch was swapped: let the folder follow if it did not. Returns files left as the user has them."""
        resumed = self._is_ours()
        if not resumed and (now != new or self._lock.exists()):
            return []
        await self._copy_index()
        if not await self._index_is(old) or await self._repository.tree(old) == await self._repository.tree(new):
            self._made.unlink(missing_ok=True)
            if resumed:
                self._lock.unlink()
            return []
        self._claim()
        changed = await changes(self._repository.plain, old, new)
        done = await self._done(changed, new)
        edited = await self._edited(changed, done)
        await self._accept([*done, *edited])
        await self._write(old, new, changed)
        await self.take_index()
        return [path_shown(change.path) for change in edited]

    # -- the lock -------------------------------------------------------------------------------------------

    def _claim(self) -> None:
        """Take the lock. One that a call for the same landing left when it was cut off is ours already."""
        if self._is_ours():
            return
        making = self._written(self._mark)
        try:
            self._lock.hardlink_to(making)
        except FileExistsError:
            raise self._busy("another git command is at work there (index.lock)") from None
        finally:
            making.unlink()

    def _about_to_write(self) -> None:
        """From here on a file that is as the new commit has it may be our doing."""
        self._written(self._mark + _WRITING).replace(self._lock)

    def _written(self, data: bytes) -> Path:
        making = self._git_dir / "index.lock.overnight"
        making.write_bytes(data)
        return making

    def _is_ours(self) -> bool:
        return self._said().startswith(self._mark)

    def _wrote(self) -> bool:
        return self._said() == self._mark + _WRITING

    def _said(self) -> bytes:
        try:
            return self._lock.read_bytes()
        except FileNotFoundError:
            return b""

    def _busy(self, why: str) -> Exception:
        return holds.target_busy(f"{self.path} has the branch checked out, and {why}", f"a clean folder {self.path}")

    # -- looking --------------------------------------------------------------------------------------------

    async def _copy_index(self) -> None:
        """A copy of the folder's index to work on; file times are looked at again."""
        self._made.unlink(missing_ok=True)
        if self._index.exists():
            shutil.copy2(self._index, self._made)  # its time too: git compares the files' times with it
        await self._refresh()

    async def _refresh(self) -> None:
        await self._ours.call("update-index", "-q", "--refresh", ok=(0, 1))

    async def _index_is(self, commit: str) -> bool:
        done = await self._ours.call("diff-index", "--cached", "--quiet", "--ignore-submodules=all", commit, ok=(0, 1))
        return done.code == 0

    def _refuse_unfinished(self) -> None:
        for name, what in _UNFINISHED.items():
            if (self._git_dir / name).exists():
                raise self._busy(f"{what} is unfinished there")

    async def _refuse_dirty(self, changed: Sequence[Change]) -> None:
        dirty = await self._dirty()
        if dirty:
            raise self._busy(f"changes are not committed there: {_named(dirty)}")
        waiting = await self._waiting(changed)
        in_the_way = [path for path in waiting if await self._obstructed(path, changed)]
        if in_the_way:
            raise self._busy(f"files that git does not know there would be overwritten: {_named(in_the_way)}")

    async def _dirty(self) -> list[bytes]:
        return _split(await self._ours.run("diff-files", "--name-only", "-z", "--ignore-submodules=all"))

    async def _waiting(self, changed: Sequence[Change]) -> list[bytes]:
        """New paths that the index does not have yet."""
        known = set(_split(await self._ours.run("ls-files", "-z", "--cached")))
        return [change.path for change in changed if change.status == "A" and change.path not in known]

    async def _obstructed(self, path: bytes, changed: Sequence[Change]) -> bool:
        """Whether something unknown to git stands where a new file is to be, or where its folder is."""
        going = {change.path for change in changed if change.status in "DT"}
        parts = path.split(b"/")
        for i in range(1, len(parts) + 1):
            part = b"/".join(parts[:i])
            if self._missing(part):
                return False
            place = self._at(part)
            if place.is_symlink() or not place.is_dir():
                return part not in going
        unknown = await self._ours.run("ls-files", "-z", "--others", "--", os.fsdecode(b":(top,literal)" + path))
        return bool(unknown)

    async def _done(self, changed: Sequence[Change], new: str) -> list[Change]:
        """Changes that the files show already, because an earlier call was cut off."""
        index = self._git_dir / "index.overnight-new"
        git = self._git.on(env={"GIT_INDEX_FILE": str(index)})
        try:
            await git.run("read-tree", new)
            await git.call("update-index", "-q", "--refresh", ok=(0, 1))
            other = set(_split(await git.run("diff-files", "--name-only", "-z", "--ignore-submodules=all")))
        finally:
            index.unlink(missing_ok=True)
        return [c for c in changed if (self._missing(c.path) if c.status == "D" else c.path not in other)]

    async def _edited(self, changed: Sequence[Change], done: Sequence[Change]) -> list[Change]:
        """Changes whose files the user has changed too, or that meet files unknown to git."""
        dirty = set(await self._dirty()) - {change.path for change in done}
        waiting = {path for path in await self._waiting(changed) if await self._obstructed(path, changed)}
        return [c for c in changed if c not in done and (c.path in dirty or c.path in waiting)]

    def _missing(self, path: bytes) -> bool:
        return not os.path.lexists(self._at(path))

    def _at(self, path: bytes) -> Path:
        return self.path / os.fsdecode(path)

    # -- writing --------------------------------------------------------------------------------------------

    async def _accept(self, done: Sequence[Change]) -> None:
        """Let our copy of the index have these paths as the new commit has them, and their files stay as they are."""
        if not done:
            return
        zero = "0" * len(done[0].id)
        gone = [f"0 {zero}\t".encode() + change.path for change in done]
        there = [c.mode + f" {c.id}\t".encode() + c.path for c in done if c.status != "D"]
        await self._ours.run("update-index", "-z", "--index-info", stdin=_joined([*gone, *there]))
        await self._refresh()

    async def _write(self, old: str, new: str, changed: Sequence[Change]) -> None:
        if not changed:
            return
        self._about_to_write()
        try:
            await self._ours.run("read-tree", "-m", "-u", old, new)
        except GitFailed as error:
            raise self._busy(f"git would not update it: {error.fields['stderr']}") from error

    def _unlink(self, path: bytes) -> None:
        place = self._at(path)
        place.unlink()
        with contextlib.suppress(OSError):
            for folder in place.parents:
                if folder == self.path:
                    break
                folder.rmdir()


async def folders_on(repository: Repository, branch: str, owner: str) -> list[Folder]:
    """The user's folders that have a branch checked out. Raises Held(target-busy) when one is rebasing it."""
    ref = f"refs/heads/{branch}"
    listed = await repository.git.run("worktree", "list", "--porcelain", "-z")
    settings = await _no_filters(repository.git)
    found: list[Folder] = []
    for i, record in enumerate(listed.removesuffix(b"\0\0").split(b"\0\0")):
        facts = {key: value for key, _, value in (line.partition(b" ") for line in record.split(b"\0"))}
        path, git_dir = await _where(repository, Path(os.fsdecode(facts[b"worktree"])), main=i == 0)
        if b"bare" in facts or git_dir is None or not path.is_dir():
            continue
        for kind in ("rebase-merge", "rebase-apply"):
            head = git_dir / kind / "head-name"
            if head.is_file() and head.read_text(errors="replace").strip() == ref:
                raise holds.target_busy(f"{path} is in the middle of a rebase of `{branch}`", "the end of that rebase")
        if facts.get(b"branch") == os.fsencode(ref):
            git = Git(git_dir, work_tree=path, config=settings, observer=repository.git.observer)
            found.append(Folder(repository, path, git_dir, git, owner))
    return found


async def _where(repository: Repository, path: Path, *, main: bool) -> tuple[Path, Path | None]:
    """A listed worktree's folder and git dir."""
    if not main:
        link = os.fsencode(path / ".git")
        pointers = (repository.common / "worktrees").glob("*/gitdir")
        return path, next((p.parent for p in pointers if p.read_bytes().rstrip(b"\r\n") == link), None)
    if repository.git_dir == repository.common and (Path(repository.repo.path) / ".git").exists():
        return Path(repository.repo.path).resolve(), repository.common
    elsewhere = await repository.git.ask("config", "--get", "core.worktree")
    return ((repository.common / elsewhere).resolve() if elsewhere else path), repository.common


async def _no_filters(git: Git) -> dict[str, str]:
    """Settings that switch every filter of the repository off: files are written as they are stored."""
    done = await git.call("config", "-z", "--name-only", "--get-regexp", r"^filter\.", ok=(0, 1))
    drivers = {os.fsdecode(name).rpartition(".")[0] for name in _split(done.out)}
    off = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return {f"{driver}.{name}": value for driver in sorted(drivers) for name, value in off.items()}


def _split(out: bytes) -> list[bytes]:
    return [item for item in out.split(b"\0") if item]


def _joined(items: Iterable[bytes]) -> bytes:
    return b"".join(item + b"\0" for item in items)


def _named(paths: Sequence[bytes]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(path_shown(path) for path in paths[:_NAMED]) + more
