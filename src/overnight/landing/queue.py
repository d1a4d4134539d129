"""`LocalLander`: merges made without a checkout, and a target branch that moves by compare-and-swap only."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from overnight.errors import GitFailed
from overnight.landing import holds
from overnight.landing.folder import Folder, folders_on
from overnight.landing.git import Observer, unobserved
from overnight.landing.places import Places
from overnight.landing.repository import Repository, open_repository
from overnight.landing.text import one_line, path_text
from overnight.landing.worktree import branch_name, commit_tree
from overnight.missions.hold import Held
from overnight.missions.task import Task
from overnight.ports import Conflict, Ground, Landed, Moved, Staged

T = TypeVar("T")


class LocalLander:
    """The port `Lander` on this machine's git.

    state: the state folder. observer: called around every git call.
    """

    def __init__(self, state: Path, observer: Observer = unobserved) -> None:
        self._places = Places(state)
        self._observer = observer

    async def stage(self, task: Task, ground: Ground, commit: str, run: str) -> Staged | Conflict:  # noqa: ARG002
        """As the port says. The merge is kept by `refs/overnight/TASK/staged`; asked again, it is the same merge.

        Raises Held(repo-unavailable).
        """
        repository = await open_repository(task.repo, self._places, self._observer)
        onto = await repository.target()
        if await repository.holds(commit, onto):
            return Staged(
                commit=onto, onto=onto, same_tree=await repository.tree(onto) == await repository.tree(commit)
            )
        merged = await merge_trees(repository, onto, commit)
        if isinstance(merged, Conflict):
            return merged
        message = f"{one_line(task.title)}\n\nOvernight-Task: {task.id}\nOvernight-Run: {run}"
        ref = f"refs/overnight/{task.id}/staged"
        staged = await self._merged(repository, ref, merged, [onto, commit], message)
        return Staged(commit=staged, onto=onto, same_tree=merged == await repository.tree(commit))

    async def update(self, task: Task, commit: str, onto: str, run: str) -> Staged | Conflict:
        """As the port says. The merge is kept by `refs/overnight/TASK/updated`; asked again, it is the same merge.

        Raises Held(repo-unavailable), GitFailed when `onto` is not here.
        """
        repository = await open_repository(task.repo, self._places, self._observer)
        if await repository.holds(onto, commit):
            return Staged(commit=commit, onto=onto, same_tree=True)
        merged = await merge_trees(repository, onto, commit)
        if isinstance(merged, Conflict):
            return merged
        message = (
            f"Merge {task.repo.target} into {branch_name(task)}\n\nOvernight-Task: {task.id}\nOvernight-Run: {run}"
        )
        made = await self._merged(repository, f"refs/overnight/{task.id}/updated", merged, [commit, onto], message)
        return Staged(commit=made, onto=onto, same_tree=merged == await repository.tree(commit))

    async def behind(self, task: Task, commit: str) -> Staged | Moved:
        """As the port says. Raises Held(repo-unavailable), GitFailed when the commit is not here."""
        repository = await open_repository(task.repo, self._places, self._observer)
        now = await repository.target()
        if not await repository.holds(now, commit) and not await repository.holds(commit, now):
            return Moved(now=now)
        return Staged(commit=commit, onto=now, same_tree=False)

    async def _merged(self, repository: Repository, ref: str, tree: str, parents: list[str], message: str) -> str:
        """A merge of exactly this: the one that an earlier call made, or a new one, kept by the ref."""
        made = await _made_before(repository, ref, tree, parents, message)
        if made is None:
            made = await commit_tree(repository.plain, tree, parents, message, f"{int(time.time())} +0000")
            await repository.set_ref(ref, made, why="overnight: merged")
        return made

    async def land(self, task: Task, ground: Ground, staged: Staged) -> Landed | Moved:  # noqa: ARG002
        """As the port says; once begun, a cancelled call finishes first."""
        return await _unbroken(self._land(task, staged))

    async def _land(self, task: Task, staged: Staged) -> Landed | Moved:
        repository = await open_repository(task.repo, self._places, self._observer)
        branch, old, new = task.repo.target, staged.onto, staged.commit
        folders = await folders_on(repository, branch, f"overnight {task.id} {new}")
        now = await repository.target()
        if await repository.holds(new, now):
            edited = [path for folder in folders for path in await folder.finish(old, new, now)]
            return Landed(commit=new, branch=branch, note=_note(folders, edited))
        if now != old:
            await _undo(folders, old, new)
            return Moved(now=now)
        await _bring(folders, old, new)
        moved = await _swap(repository, f"refs/heads/{branch}", new, old, f"overnight: landed {task.id}")
        if moved is not None:
            await _undo(folders, old, new)
            return Moved(now=moved)
        for folder in folders:
            await folder.take_index()
        return Landed(commit=new, branch=branch, note=_note(folders, []))

    async def branch(self, task: Task, commit: str) -> Landed:
        """As the port says. A branch of that name that holds other work is kept as `refs/overnight/TASK/branch-…`.

        Raises Held(target-busy) when the branch is checked out somewhere.
        """
        return await _unbroken(self._branch(task, commit))

    async def _branch(self, task: Task, commit: str) -> Landed:
        repository = await open_repository(task.repo, self._places, self._observer)
        name = branch_name(task)
        ref = f"refs/heads/{name}"
        now = await repository.commit(ref)
        if now == commit:
            return Landed(commit=commit, branch=name)
        for folder in await folders_on(repository, name, f"overnight {task.id} {commit}"):
            raise holds.target_busy(f"`{name}` is checked out in {folder.path}", "another branch checked out there")
        note = ""
        if now is not None and not await repository.holds(now, commit):
            kept = f"refs/overnight/{task.id}/branch-{now[:12]}"
            await repository.set_ref(kept, now, why="overnight: replaced")
            note = f"what was on `{name}` before is kept as {kept}"
        if await _swap(repository, ref, commit, now or "", f"overnight: result of {task.id}") is not None:
            raise holds.target_busy(f"`{name}` was moved by somebody else just now", "another try")
        return Landed(commit=commit, branch=name, note=note)


async def merge_trees(repository: Repository, onto: str, commit: str) -> str | Conflict:
    """The merged tree, or where it conflicts. No merge driver of anybody runs."""
    done = await repository.plain.call(
        "merge-tree", "--write-tree", "--name-only", "--messages", "-z", onto, commit, ok=(0, 1, 128)
    )
    if done.code == 128:
        if b"unrelated histories" not in done.err:
            raise GitFailed(command="merge-tree", code=128, stderr=done.err.decode(errors="replace").strip())
        return Conflict(against=onto, paths=(), detail="They have no commit in common.")
    tree, _, rest = done.out.partition(b"\0")
    if done.code == 0:
        return tree.decode()
    paths, _, told = (b"\0" + rest).partition(b"\0\0")
    return Conflict(against=onto, paths=tuple(path_text(p) for p in paths.split(b"\0") if p), detail=_said(told))


def _said(told: bytes) -> str:
    """git's messages: each is a number of paths, that many paths, a kind and the words."""
    fields = told.split(b"\0")
    words: list[str] = []
    at = 0
    while at < len(fields) and fields[at].isdigit():
        at += int(fields[at]) + 2
        words.append(fields[at].decode("utf-8", "backslashreplace").strip())
        at += 1
    return "\n".join(line for line in words if not line.startswith("Auto-merging"))


async def _made_before(repository: Repository, ref: str, tree: str, parents: Sequence[str], message: str) -> str | None:
    """The merge that an earlier call made of exactly this, if it is still there."""
    if await repository.commit(ref) is None:
        return None
    facts = await repository.git.run("log", "-1", "--no-show-signature", "--format=%H%x00%T%x00%P%x00%B", ref)
    commit, its_tree, its_parents, its_message = os.fsdecode(facts).split("\0")
    same = (its_tree, its_parents, its_message.strip()) == (tree, " ".join(parents), message)
    return commit if same else None


async def _bring(folders: Sequence[Folder], old: str, new: str) -> None:
    """All folders, or none."""
    brought: list[Folder] = []
    try:
        for folder in folders:
            await folder.bring(old, new)
            brought.append(folder)
    except Held:
        await _undo(brought, old, new)
        raise


async def _undo(folders: Sequence[Folder], old: str, new: str) -> None:
    for folder in folders:
        await folder.undo(old, new)


async def _swap(repository: Repository, ref: str, new: str, old: str, why: str) -> str | None:
    """Move a branch, if it is still where it was. Returns where it is now when somebody was quicker."""
    try:
        await repository.set_ref(ref, new, old, why=why)
    except GitFailed as error:
        now = await repository.commit(ref)
        if now is not None and now != old:
            return now
        raise holds.target_busy(
            f"git can't move {ref}: {error.fields['stderr']}", "what git names is out of the way"
        ) from error
    return None


def _note(folders: Sequence[Folder], edited: Sequence[str]) -> str:
    if not folders:
        return ""
    note = f"{', '.join(str(folder.path) for folder in folders)} follows"
    return f"{note}; changed there meanwhile and left as they are: {', '.join(edited)}" if edited else note


async def _unbroken(work: Coroutine[Any, Any, T]) -> T:
    """To the end, even when the caller is cancelled on the way."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise
