"""The story of a landing: one at a time per target, made on the newest commit, proved there, swapped in."""

from __future__ import annotations

from itertools import count

from msgspec import Struct

from overnight.durable.flow import Story
from overnight.judge.attempts import broken
from overnight.missions.policy import LandingMode
from overnight.missions.run import Attempt, CheckResult
from overnight.missions.task import Phase, Task
from overnight.ports import Conflict, Ground, House, Landed

#: The pool that lets one task at a time land on a target.
LANDING = "landing"


class Broke(Struct, frozen=True):
    """It merges cleanly with what landed meanwhile, and then fails these checks."""

    checks: tuple[CheckResult, ...]
    names: tuple[str, ...]


async def land(
    t: Story, house: House, task: Task, ground: Ground, baseline: tuple[CheckResult, ...], attempt: Attempt
) -> Landed | Conflict | Broke:
    """Bring a proved commit to its target by the repo's mode."""
    t.at(Phase.LANDING)
    n, commit, policy = attempt.n, attempt.result.commit, ground.policy
    with t.slot(LANDING, f"{task.repo.name}:{policy.target}"):
        if (task.landing or policy.landing) is LandingMode.BRANCH:
            with t.to_the_end():
                return await t.step(f"branch {n}", house.lander.branch, task, commit)
        for k in count(1):
            staged = await t.step(f"stage {n}.{k}", house.lander.stage, task, ground, commit, attempt.outcome.run)
            if isinstance(staged, Conflict):
                return staged
            if not staged.same_tree:
                with t.cancellable():
                    checks = await t.step(
                        f"recheck {n}.{k}",
                        house.checks.run,
                        task,
                        staged.commit,
                        policy.checks,
                        f"recheck-{t.life}-{n}-{k}",
                    )
                if names := broken(baseline, checks):
                    return Broke(checks, names)
            with t.to_the_end():
                landed = await t.step(f"land {n}.{k}", house.lander.land, task, ground, staged)
            if isinstance(landed, Landed):
                return landed
    raise AssertionError("count() does not end")
