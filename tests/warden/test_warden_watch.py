"""The watch over a run, as an asyncio task of its warden."""

from __future__ import annotations

import asyncio

from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import RunSpec
from overnight.ports import AgentEvent
from overnight.warden.watch import Watch

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
