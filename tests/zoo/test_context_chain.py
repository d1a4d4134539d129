"""A task that takes three contexts: the real flow, wardens and CLI; each run hands over, and each step is done once."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest
from cage import Cage, bash, within

from overnight.agents.scripted import Play, Reply, Say, Scenario, Script, playing
from overnight.config import read_settings
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.journal import Journal
from overnight.durable.pools import Pool
from overnight.flows.landing import LANDING
from overnight.flows.task import WORK, carry_out
from overnight.missions.codec import builtins
from overnight.missions.run import End
from overnight.missions.task import Phase, Repo, Task
from overnight.report.story import story
from overnight.report.views import TaskStory
from overnight.wiring import house_for, purse_for

pytestmark = [pytest.mark.cli, pytest.mark.slow]

POLICY = """
target = "main"
[checks]
test = "sh check.sh"
[clarify]
threshold = 101
[limits]
attempts = 1
[limits.context]
window = 400_000
"""
STEPS = ("one", "two", "three")


def session(step: str, following: str) -> Script:
    """One step, committed; then the context is full, and the note says which one is next."""
    full = {
        "input_tokens": 330_000,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 9,
    }
    work = f"echo {step} >> steps.txt && echo good-{step} > src/app.py && git add -A && git commit -qm {step}"
    note = f"printf '## Progress\\n- {step} is done\\n## Next\\n{following}' > ~/memory.md"
    return Script((Reply((Say(step), bash(work)), usage=full), bash(note), Say(f"{step} is done.")))


def test_a_chain_of_three_runs_does_every_step_once(cage: Cage) -> None:
    """Two hand-overs and an end, on one attempt: the work of all three is in the result, and none of it twice."""
    (cage.repo / "overnight.toml").write_text(POLICY)
    cage.git("commit", "-qam", "Policy")
    scripts = [
        session(step, f"- {after}\\n" if after else "") for step, after in zip(STEPS, (*STEPS[1:], ""), strict=True)
    ]
    task = Task(
        id="chain",
        repo=Repo(name="zoo", path=str(cage.repo), target="main"),
        title="Three steps",
        text="Do three steps.",
    )

    async def night() -> TaskStory:
        async with playing(Play((Scenario(tuple(scripts)),))) as (url, cage.model):
            environ = cage._environ(url, ":")
            with (cage.root / "config.toml").open("a") as file:
                file.write('[budget]\ntask = "1000 USD"\n')
            settings = read_settings(environ)
            journal = Journal(cage.state)
            house = house_for(settings, cage.state, environ=environ)
            house = msgspec.structs.replace(house, purse=purse_for(journal, settings, environ))
            pools = {WORK: Pool(total=1), LANDING: Pool(per_key=1)}
            engine = Engine(journal, {"task": lambda t: carry_out(t, house)}, pools)
            submitted = {
                "id": task.id, "flow": "task", "lane": "zoo", "input": builtins(task), "phase": Phase.QUEUED, "pool": WORK,
                "actor": "test",
            }  # fmt: skip
            Desk(journal, engine.poke).call("submit", submitted)
            driving = asyncio.create_task(engine.run())
            try:
                while not driving.done():
                    told = story(cage.state, "chain")
                    if len(_collected(told)) == 3 or told.row.hold is not None:
                        break
                    await asyncio.sleep(0.05)  # nobody announces it to us
                return story(cage.state, "chain")
            finally:
                driving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await driving
                journal.close()

    told = within(night())
    assert told.row.hold is None, told.row.hold
    ends = [run.outcome.end for run in told.runs if run.outcome]
    assert ends == [End.HANDED_OVER, End.HANDED_OVER, End.COMPLETED]
    last = _collected(told)[-1]
    assert cage.git("show", f"{last}:steps.txt") == "one\ntwo\nthree\n"
    assert cage.git("log", "--format=%s", f"main..{last}").split() == ["three", "two", "one"]
    first = {record.session: record for record in reversed(cage.model.asked)}
    prompts = [str(record.body["messages"]) for record in reversed(first.values())]
    assert len(prompts) == 3
    for n, prompt in enumerate(prompts):
        begins_with = [step for step in STEPS if f"> ## Next\\n> - {step}" in prompt]
        assert begins_with == ([STEPS[n]] if n else [])


def _collected(told: TaskStory) -> list[str]:
    return [run.result.commit for run in told.runs if run.result]
