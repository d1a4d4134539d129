"""The story after a merge on the forge: the repository here follows, the target is watched, and what broke it is taken back."""

from __future__ import annotations

from msgspec import Struct

from overnight.durable.flow import Cancelled, Story
from overnight.judge import pulls
from overnight.judge.pulls import Fine, Revert
from overnight.missions.hold import Held
from overnight.missions.task import Task
from overnight.ports import Ci, Forge, Ground, Landed, Lander, PullRequest, Staged


class InTime(Struct, frozen=True, tag="in-time"):
    """A merge, and when it was seen."""

    commit: str
    #: Epoch seconds.
    at: float


class Afterwards:
    """What comes after a merge of one task. n: the attempt that was merged; url: of its pull request."""

    def __init__(self, t: Story, forge: Forge, lander: Lander, task: Task, ground: Ground) -> None:
        self.t, self.forge, self.lander, self.task, self.ground = t, forge, lander, task, ground
        self.policy, self.target = ground.policy.forge, ground.policy.target

    async def ours(self, n: int, url: str, merged: InTime, base: str) -> Landed:
        """Overnight merged it onto `base`. Whatever comes now, it has landed."""
        t = self.t
        t.note("merged", "pull.merged", f"{url} as {merged.commit[:12]}", url=url, commit=merged.commit)
        try:
            here = await self._follow(n, merged.commit)
            told = await self._watch(n, merged, base)
        except Cancelled:
            here, told = "", "; its watch was cancelled by a person"
        return Landed(commit=merged.commit, branch=self.target, note=f"{url}{here}{told}")

    async def somebodys(self, n: int, url: str, commit: str, head: str) -> Landed:
        """A person merged it. head: what they made of it before; empty when nothing."""
        note = f"{url}, merged by a person"
        if head:
            note += f" with changes of their own ({head[:12]})"
            self.t.note("mended", "landing.mended", note, url=url)
        return Landed(commit=commit, branch=self.target, note=note + await self._follow(n, commit))

    # -- the target on the forge ----------------------------------------------------------------------------

    async def _watch(self, n: int, merged: InTime, base: str) -> str:
        t = self.t
        if not self.policy.watch:
            return ""
        before = await t.step(f"before {n}", self.forge.ci, self.task, base)
        seen = await t.step(f"aftermath {n}", self._aftermath, before, merged)
        if isinstance(seen, Fine):
            return f"; {seen.why}"
        with t.to_the_end():
            pull = await t.step(f"revert {n}", self.forge.revert, self.task, self.ground, merged.commit, seen.why)
        opened = isinstance(pull, PullRequest)
        way = f"{pull.url} takes it back" if opened else f"it could not be taken back: {pull.why}"
        url = pull.url if opened else ""
        t.note("reverted", "landing.reverted", f"{seen.why}; {way}", commit=merged.commit, url=url)
        return f"; it broke the target ({seen.why}); {way}"

    async def _aftermath(self, before: Ci, merged: InTime) -> Fine | Revert:
        after = await self.forge.ci(self.task, merged.commit)
        seen = pulls.aftermath(before, after, merged.commit, merged.at, self.t.now(), self.policy)
        if isinstance(seen, pulls.Wait):
            raise Held(seen.hold)
        return seen

    # -- the target here ------------------------------------------------------------------------------------

    async def _follow(self, n: int, commit: str) -> str:
        """The repository here comes to know the merge; its target follows where nothing is in the way."""
        t = self.t
        await t.step(f"fetch merge {n}", self.forge.target, self.task, self.ground)
        staged = await t.step(f"behind {n}", self.lander.behind, self.task, commit)
        if not isinstance(staged, Staged):
            return f"; `{self.target}` here has commits of its own and was left as it is"
        with t.to_the_end():
            said = await t.step(f"follow {n}", self._bring, staged)
        return f"; {said}" if said else ""

    async def _bring(self, staged: Staged) -> str:
        try:
            landed = await self.lander.land(self.task, self.ground, staged)
        except Held as held:
            return f"`{self.target}` here was left as it is: {held.hold.why}"
        return landed.note if isinstance(landed, Landed) else f"`{self.target}` here moved meanwhile"
