"""The watch over a run, as an asyncio task of its warden."""

from __future__ import annotations

import asyncio

from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import RunSpec
from overnight.ports import AgentEvent
from overnight.warden.events import Changed, Event
from overnight.warden.survey import Sight
from overnight.warden.watch import MANY, Watch

SPEC = RunSpec(
    id="t.1.1", task="t", worktree="/w", git_dir="/g", objects="/o", start="s", agent="claude", prompt="",
    limits=Limits(), box=BoxPolicy(),
)  # fmt: skip


async def _blind() -> None:
    """Nothing can be seen of the work tree."""


async def _ends(*, said_first: bool) -> None:
    watch = Watch(SPEC, lambda _event: None)
    watch.hooked = True
    run = asyncio.create_task(watch.run(_blind))
    for _ in range(20):  # until it waits for a fact
        await asyncio.sleep(0)
    last_words = AgentEvent(kind="text", text="I am done.")
    if said_first:
        watch.said(last_words)
    run.cancel()
    if not said_first:
        watch.said(last_words)
    for _ in range(20):
        await asyncio.sleep(0)
    assert run.cancelled()


def test_it_ends_when_it_is_told_to_although_a_fact_comes_at_that_moment() -> None:
    """The last words of an agent and the end of its run meet: neither order keeps the warden waiting for ever."""
    asyncio.run(_ends(said_first=True))
    asyncio.run(_ends(said_first=False))


async def _floods(changed: int) -> list[Event]:
    """What is put on record of a step of a run without hooks that changed so many files."""
    seen: list[Event] = []
    sights = [Sight(size=0, files={}), Sight(size=1, files={f"f{n}": (n, 0, 0) for n in range(changed)})]
    watch = Watch(SPEC, seen.append)
    watch._see = lambda: _next(sights)
    await watch._look()
    await watch._look()
    return seen


async def _next(sights: list[Sight]) -> Sight:
    return sights.pop(0)


def test_a_step_that_changes_many_files_is_on_record_below_the_repos_limit() -> None:
    """From twenty on, so that whoever reads it later has its own idea of too many; the agent is not warned yet."""
    assert asyncio.run(_floods(MANY)) == []
    assert asyncio.run(_floods(60)) == [Changed(files=60)]
    assert asyncio.run(_floods(101))[0] == Changed(files=101)
