"""What comes out of boxes, before a flow hears of it: no secrets, nothing that a terminal obeys.

What a flow hears goes into the journal, the reports and the prompts of later runs, so this is the one place for all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

import msgspec

from overnight.errors import GitFailed
from overnight.guard.scrub import scrubbed
from overnight.judge.verdict import Opinion
from overnight.missions.hold import Held
from overnight.missions.money import Budget
from overnight.missions.policy import Check
from overnight.missions.run import CheckResult, Result, RunOutcome, RunSpec
from overnight.missions.task import Repo, Task
from overnight.ports import (
    Checks,
    Ci,
    Comment,
    Conflict,
    Examined,
    Fleet,
    Forge,
    ForgeRefused,
    Ground,
    House,
    Issue,
    Judges,
    Landed,
    Lander,
    Merged,
    Moved,
    PullRequest,
    Purse,
    Pushed,
    Staged,
    Workshop,
)

#: Takes secrets out of a text.
Without = Callable[[str], str]


def discreet(house: House, without: Without) -> House:
    """The house, with every text that an agent may have chosen cleaned on its way in."""
    return msgspec.structs.replace(
        house, fleet=_Fleet(house.fleet, without), workshop=_Workshop(house.workshop, without),
        checks=_Checks(house.checks, without), lander=_Lander(house.lander, without),
        judges=_Judges(house.judges, without),
        forge=None if house.forge is None else _Forge(house.forge, without),
    )  # fmt: skip


@contextmanager
def _careful(without: Without) -> Generator[None]:
    """Reasons are cleaned too: git's words quote file names."""
    try:
        yield
    except Held as held:
        raise Held(scrubbed(held.hold, without)) from held
    except GitFailed as failed:
        raise GitFailed(**{name: scrubbed(value, without) for name, value in failed.fields.items()}) from failed


class _Fleet:
    def __init__(self, inner: Fleet, without: Without) -> None:
        self._inner, self._without = inner, without

    async def run(self, spec: RunSpec) -> RunOutcome:
        with _careful(self._without):
            return scrubbed(await self._inner.run(spec), self._without)

    async def stop(self, run: str, why: str) -> None:
        await self._inner.stop(run, why)


class _Workshop:
    def __init__(self, inner: Workshop, without: Without) -> None:
        self._inner, self._without = inner, without

    async def prepare(self, task: Task) -> Ground:
        return await self._inner.prepare(task)  # from the target branch: not an agent's words

    async def open(self, task: Task, ground: Ground, run: str, start: str, against: str | None) -> str:
        with _careful(self._without):
            return await self._inner.open(task, ground, run, start, against)

    async def collect(self, task: Task, ground: Ground, run: str, git_dir: str, start: str, whole: bool) -> Result:
        with _careful(self._without):
            return scrubbed(await self._inner.collect(task, ground, run, git_dir, start, whole), self._without)

    async def read(self, task: Task, commit: str, path: str) -> str | None:
        with _careful(self._without):
            return await self._inner.read(
                task, commit, path
            )  # to be compared word for word; whoever shows it cleans it

    async def tidy(self, task: Task) -> str | None:
        with _careful(self._without):
            return await self._inner.tidy(task)


class _Checks:
    def __init__(self, inner: Checks, without: Without) -> None:
        self._inner, self._without = inner, without

    async def run(self, task: Task, commit: str, checks: Mapping[str, Check], label: str) -> tuple[CheckResult, ...]:
        with _careful(self._without):
            return scrubbed(await self._inner.run(task, commit, checks, label), self._without)


class _Lander:
    def __init__(self, inner: Lander, without: Without) -> None:
        self._inner, self._without = inner, without

    async def stage(self, task: Task, ground: Ground, commit: str, run: str) -> Staged | Conflict:
        with _careful(self._without):
            return scrubbed(await self._inner.stage(task, ground, commit, run), self._without)

    async def land(self, task: Task, ground: Ground, staged: Staged) -> Landed | Moved:
        with _careful(self._without):
            return scrubbed(await self._inner.land(task, ground, staged), self._without)

    async def branch(self, task: Task, commit: str) -> Landed:
        with _careful(self._without):
            return scrubbed(await self._inner.branch(task, commit), self._without)

    async def update(self, task: Task, commit: str, onto: str, run: str) -> Staged | Conflict:
        with _careful(self._without):
            return scrubbed(await self._inner.update(task, commit, onto, run), self._without)

    async def behind(self, task: Task, commit: str) -> Staged | Moved:
        with _careful(self._without):
            return scrubbed(await self._inner.behind(task, commit), self._without)


class _Judges:
    def __init__(self, inner: Judges, without: Without) -> None:
        self._inner, self._without = inner, without

    async def judge(
        self, task: Task, examined: Examined, run: str, purse: Purse, budget: Budget, heard: tuple[Opinion, ...] = ()
    ) -> tuple[Opinion, ...]:
        with _careful(self._without):
            return scrubbed(await self._inner.judge(task, examined, run, purse, budget, heard), self._without)


class _Forge:
    """What leaves is cleaned as well: a pull request is read by everybody."""

    def __init__(self, inner: Forge, without: Without) -> None:
        self._inner, self._without = inner, without

    async def target(self, task: Task, ground: Ground) -> str:
        with _careful(self._without):
            return await self._inner.target(task, ground)

    async def based(self, task: Task, ground: Ground) -> ForgeRefused | None:
        with _careful(self._without):
            return scrubbed(await self._inner.based(task, ground), self._without)

    async def push(self, task: Task, ground: Ground, commit: str) -> Pushed | ForgeRefused:
        with _careful(self._without):
            return scrubbed(await self._inner.push(task, ground, commit), self._without)

    async def open(
        self, task: Task, ground: Ground, pushed: Pushed, title: str, body: str
    ) -> PullRequest | ForgeRefused:
        with _careful(self._without):
            title, body = self._clean(title), self._clean(body)
            return scrubbed(await self._inner.open(task, ground, pushed, title, body), self._without)

    async def describe(self, task: Task, pull: int, title: str, body: str) -> None:
        with _careful(self._without):
            await self._inner.describe(task, pull, self._clean(title), self._clean(body))

    async def look(self, task: Task, pull: int) -> PullRequest | None:
        with _careful(self._without):
            return scrubbed(await self._inner.look(task, pull), self._without)

    async def ci(self, task: Task, commit: str) -> Ci:
        with _careful(self._without):
            return scrubbed(await self._inner.ci(task, commit), self._without)

    async def comments(self, task: Task, pull: int) -> tuple[Comment, ...]:
        with _careful(self._without):
            return scrubbed(await self._inner.comments(task, pull), self._without)

    async def ready(self, task: Task, pull: int) -> ForgeRefused | None:
        with _careful(self._without):
            return scrubbed(await self._inner.ready(task, pull), self._without)

    async def merge(self, task: Task, pull: int, head: str) -> Merged | ForgeRefused:
        with _careful(self._without):
            return scrubbed(await self._inner.merge(task, pull, head), self._without)

    async def revert(self, task: Task, ground: Ground, merged: str, why: str) -> PullRequest | ForgeRefused:
        with _careful(self._without):
            return scrubbed(await self._inner.revert(task, ground, merged, self._clean(why)), self._without)

    async def issues(self, repo: Repo, label: str) -> tuple[Issue, ...]:
        with _careful(self._without):
            return scrubbed(await self._inner.issues(repo, label), self._without)

    async def tell(self, repo: Repo, number: int, key: str, text: str) -> None:
        with _careful(self._without):
            await self._inner.tell(repo, number, key, self._clean(text))

    def _clean(self, text: str) -> str:
        return scrubbed(text, self._without)
