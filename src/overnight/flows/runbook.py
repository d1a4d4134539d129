"""What a task's story does about its runbook: who is told what, and how far it is in a commit."""

from __future__ import annotations

from collections.abc import Sequence

from overnight.durable.flow import Story
from overnight.missions.run import Attempt, Result
from overnight.missions.runbook import Runbook, RunbookOrder, Standing, parse
from overnight.missions.runbook_versions import protocol, standing
from overnight.missions.runbook_zones import scoped
from overnight.missions.task import Task
from overnight.ports import Ground, House


def taken_up(task: Task, ground: Ground) -> Task:
    """The task as its runbook bounds it."""
    return scoped(task, _given(task, ground)) if task.runbook else task


def order(task: Task, ground: Ground, done: Sequence[Attempt]) -> RunbookOrder | None:
    """The runbook for the next run, with what is done of it."""
    if not task.runbook:
        return None
    ticked, failed = _before(task, ground, done), dict[str, int]()
    for attempt in done:
        use = attempt.outcome.runbook
        # A person who lets it go on after its error budget was used up gives it another one.
        failed = failed if use is None else {} if use.spent else use.failed
    return RunbookOrder(path=task.runbook, text=ground.runbook, ticked=ticked, failed=failed)


def words(given: RunbookOrder | None) -> str:
    """For the prompt; empty without a runbook."""
    if given is None:
        return ""
    return f"## The runbook\n{protocol(given.path, parse(given.text, given.path), given.ticked)}"


async def stand(
    t: Story, n: int, house: House, task: Task, ground: Ground, done: Sequence[Attempt], result: Result
) -> Standing | None:
    """How far it is in the run's commit."""
    if not task.runbook:
        return None
    now = await t.step(f"runbook {n}", _stand, house, task, ground, result.commit, _before(task, ground, done))
    left = f"; open: {'; '.join(now.open)}" if now.open else ""
    t.note(f"runbook after {n}", "runbook.standing", f"{len(now.ticked)} of {now.total} boxes are ticked{left}")
    return now


async def _stand(house: House, task: Task, ground: Ground, commit: str, before: tuple[str, ...]) -> Standing:
    text = await house.workshop.read(task, commit, task.runbook or "")
    return standing(_given(task, ground), text, before)


def _before(task: Task, ground: Ground, done: Sequence[Attempt]) -> tuple[str, ...]:
    """Ids of the steps that are ticked where the next run begins."""
    last = done[-1].runbook if done else None
    if last is not None:
        return last.ticked
    given = _given(task, ground)
    return tuple(step.id for step in given.steps if step.ticked)


def _given(task: Task, ground: Ground) -> Runbook:
    """The runbook as it is on the target branch. It was found sound when the task was prepared."""
    return parse(ground.runbook, task.runbook or "")
