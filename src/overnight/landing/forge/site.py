"""`Site`: one task's repository on both sides: what is here, what the forge has, and what Overnight left there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from overnight.landing.forge.gate import refused
from overnight.landing.forge.remote import Remote
from overnight.landing.forge.settings import ForgeSettings, Place, named, place_of
from overnight.landing.git import Observer
from overnight.landing.holds import repo_unavailable
from overnight.landing.places import Places
from overnight.landing.queue import merge_trees
from overnight.landing.repository import Repository, open_repository
from overnight.landing.text import one_line
from overnight.landing.worktree import commit_tree
from overnight.missions.task import Task
from overnight.ports import Conflict, ForgeRefused, Pushed


class Site:
    """The user's repository and its place on the forge, for one task."""

    def __init__(
        self, task: Task, repository: Repository, place: Place, remote: Remote, settings: ForgeSettings,
        secrets: Sequence[str],
    ) -> None:  # fmt: skip
        self._task, self._repository, self.place = task, repository, place
        self._remote, self._settings, self._secrets = remote, settings, secrets

    @classmethod
    async def open(
        cls, task: Task, places: Places, settings: ForgeSettings, token: str, secrets: Sequence[str],
        observer: Observer, clock: Callable[[], float],
    ) -> Site:  # fmt: skip
        """Raises Held(repo-unavailable) where nothing says which of the forge's repositories it is."""
        repository = await open_repository(task.repo, places, observer)
        place = await place_in(repository, settings)
        return cls(task, repository, place, Remote(repository, place, settings, token, clock), settings, secrets)

    async def bring_target(self, target: str) -> str:
        """The tip of the forge's target, here as well, and kept. Raises Held."""
        return await self._bring(target, (await self._remote.where(target)).get(target))

    async def _bring(self, target: str, tip: str | None) -> str:
        if tip is None:
            why = f"{self.place} has no branch `{target}`"
            raise repo_unavailable(why, f"a branch `{target}` there, or another target for {self._task.repo.name}")
        kept = await self._repository.commit(self._ref("forge-target"))
        here = await self._repository.commit(f"refs/heads/{target}")
        await self._remote.bring(target, tip, [c for c in (kept, here) if c is not None])
        if kept != tip:
            await self._repository.set_ref(self._ref("forge-target"), tip, why="overnight: the forge's target")
        return tip

    async def based(self, base: str, target: str) -> ForgeRefused | None:
        """Whether the forge's target holds what a task is based on. Raises Held."""
        return await self._ahead(base, await self.bring_target(target), target)

    async def _ahead(self, base: str, tip: str, target: str) -> ForgeRefused | None:
        """Nothing else of the local target may travel with a task."""
        if await self._repository.holds(base, tip):
            return None
        lacking = await self._repository.plain.text("rev-list", "--format=%s", "--no-commit-header", base, "--not", tip)
        first, *more = lacking.splitlines()
        others = f" and {len(more)} more" if more else ""
        why = f"`{target}` here has what {self.place} lacks (“{one_line(first)}”{others}): it would travel with the pull request"
        return ForgeRefused(reason="ahead", why=why)

    async def push(self, branch: str, commit: str, target: str, base: str = "") -> Pushed | ForgeRefused:
        """Through the gate, to a branch that is missing or is where Overnight left it. base: what the task is based on.
        Raises Held."""
        there = await self._remote.where(branch, target)
        now = there.get(branch)
        if now not in (None, commit, *await self._left(branch)):
            why = f"`{branch}` of {self.place} is at {(now or '')[:12]}, where Overnight did not leave it"
            return ForgeRefused(reason="moved", why=why)
        if now == commit:
            await self._note(branch, "pushed", commit)
            return Pushed(branch=branch, commit=commit)
        tip = await self._bring(target, there.get(target))
        if base and (no := await self._ahead(base, tip, target)) is not None:
            return no
        here = now is not None and await self._repository.commit(now) is not None
        known = (tip, now) if here and now else (tip,)
        if why := await refused(
            self._repository.plain, branch, commit, known, target, self._settings.gate, self._secrets
        ):
            return ForgeRefused(reason="gate", why="; ".join(why))
        if now is not None:
            await self._note(branch, "pushed", now)
        await self._note(branch, "pushing", commit)
        if no := await self._remote.push(branch, commit, now or ""):
            return no
        await self._note(branch, "pushed", commit)
        return Pushed(branch=branch, commit=commit)

    async def revert(self, branch: str, merged: str, target: str, why: str) -> Pushed | ForgeRefused:
        """A commit on the target's tip that takes a merge back, on a branch of its own. Raises Held."""
        there = await self._remote.where(branch, target)
        now = there.get(branch)
        if now is not None and now in await self._left(branch):
            return Pushed(branch=branch, commit=now)
        tip = await self._bring(target, there.get(target))
        if await self._repository.commit(merged) is None or not await self._repository.holds(merged, tip):
            return ForgeRefused(reason="gone", why=f"`{target}` of {self.place} does not hold {merged[:12]}")
        tree = await self._without(tip, merged)
        if isinstance(tree, ForgeRefused):
            return tree
        subject = one_line(await self._repository.plain.text("log", "-1", "--format=%s", merged))
        message = f'Revert "{subject}"\n\nThis reverts commit {merged}.\n\n{why}\n\nOvernight-Task: {self._task.id}'
        commit = await commit_tree(self._repository.plain, tree, [tip], message, f"{int(time.time())} +0000")
        return await self.push(branch, commit, target)

    async def _without(self, tip: str, merged: str) -> str | ForgeRefused:
        """The tip's tree without what a merge brought to its first parent."""
        plain = self._repository.plain
        before = await self._repository.commit(f"{merged}^1")
        if before is None:
            return ForgeRefused(reason="gone", why=f"nothing came before {merged[:12]}")
        undone = await commit_tree(plain, await self._repository.tree(before), [merged], "undone", "1000000000 +0000")
        tree = await merge_trees(self._repository, tip, undone)
        if isinstance(tree, Conflict):
            paths = ", ".join(tree.paths)
            return ForgeRefused(reason="not-mergeable", why=f"what came after {merged[:12]} changed it again: {paths}")
        if tree == await self._repository.tree(tip):
            return ForgeRefused(reason="not-mergeable", why=f"nothing of {merged[:12]} is left to take back")
        return tree

    async def _left(self, branch: str) -> set[str | None]:
        """Where Overnight left a branch, or was about to when it was interrupted."""
        return {await self._repository.commit(self._ref(f"{kind}/{branch}")) for kind in ("pushed", "pushing")}

    async def _note(self, branch: str, kind: str, commit: str) -> None:
        await self._repository.set_ref(self._ref(f"{kind}/{branch}"), commit, why=f"overnight: {kind}")

    def _ref(self, name: str) -> str:
        return f"refs/overnight/{self._task.id}/{name}"


async def place_in(repository: Repository, settings: ForgeSettings) -> Place:
    """Which of the forge's repositories it is. Raises Held(repo-unavailable) where nothing says so."""
    repo = repository.repo.name
    if repo in settings.repos:
        place = named(settings.repos[repo])
        assert place is not None
        return place
    url = await repository.git.ask("config", "--get", f"remote.{settings.remote}.url")
    place = place_of(url or "", settings.git)
    if place is None:
        what = f"`{settings.remote}` of {repository.repo.path} is {url or 'not set'}, and not on {settings.git}"
        raise repo_unavailable(what, f'a remote there, or `{repo} = "OWNER/NAME"` in [forge.repos] of config.toml')
    return place
