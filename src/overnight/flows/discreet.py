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
from overnight.missions.task import Task
from overnight.ports import (
    Checks,
    Conflict,
    Examined,
    Fleet,
    Ground,
    House,
    Judges,
    Landed,
    Lander,
    Moved,
    Purse,
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


class _Judges:
    def __init__(self, inner: Judges, without: Without) -> None:
        self._inner, self._without = inner, without

    async def judge(
        self, task: Task, examined: Examined, run: str, purse: Purse, budget: Budget
    ) -> tuple[Opinion, ...]:
        with _careful(self._without):
            return scrubbed(await self._inner.judge(task, examined, run, purse, budget), self._without)
