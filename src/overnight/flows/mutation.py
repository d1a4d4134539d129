"""The tests that came with a change, tried without it: where they pass as well, they prove nothing. Opt-in."""

from __future__ import annotations

from msgspec.structs import replace

from overnight.durable.flow import Story
from overnight.missions.run import Attempt, CheckResult, Mutation
from overnight.missions.task import Phase, Task
from overnight.ports import Ground, House


async def mutated(t: Story, house: House, task: Task, ground: Ground, attempt: Attempt, pool: str) -> Attempt:
    """The attempt with what its tests say without its source, if the policy asks for that of a check that passed.

    pool: whose slots are places to work.
    """
    passed = {check.name for check in attempt.checks if check.passed}
    checks = {
        name: replace(check, runs=1)
        for name, check in ground.policy.checks.items()
        if check.mutation and name in passed
    }
    if not checks:
        return attempt
    n, commit, results = attempt.n, attempt.result.commit, tuple[CheckResult, ...]()
    with t.slot(pool, task.repo.name):
        t.at(Phase.CHECKING)
        back = await t.step(f"take back {n}", house.examiner.take_back, task, ground, commit)
        if back.commit:
            with t.cancellable():
                label = f"mutation-{t.life}-{n}"
                results = await t.step(f"mutation {n}", house.checks.run, task, back.commit, checks, label)
    return replace(attempt, mutation=Mutation(back=back, checks=results))
