"""`overnight doctor`"""

from __future__ import annotations

import asyncio
import os

import click

from overnight.cli import home
from overnight.cli.paper import Paper, note, say_json
from overnight.doctor.findings import Diagnosis, Level, Sighting, diagnosis

_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
#: Something that a night needs is not there; a bound that it needs does not hold.
NOT_FIT, NOT_HELD = 4, 3


@click.command
@click.option("--canary", is_flag=True, help="Try everything forbidden, with the real agent in the real box.")
@click.option("--agent", default="claude", show_default=True, help="The agent that plays the canary.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def doctor(ctx: click.Context, canary: bool, agent: str, as_json: bool) -> None:
    """Say whether this machine is fit for a night.

    Looks at everything that a night needs, one line each: ok, warn or fail, what was seen, what to do. With `--canary`
    it then plays a small night on a stage of its own: the real agent in the real box tries what is forbidden, and
    only the model's answers are scripted. No login is needed, no packet leaves the machine, and it takes seconds.
    A pass is kept until the agent's CLI, the box, the settings or Overnight change; a task does not start without one.

    Exit codes: 0 fit (warnings included), 4 something that a night needs is missing, 3 the canary failed.
    """
    found = _look()
    lines, code = found.lines, 0 if found.fit else NOT_FIT
    if canary:
        shown = _canary(agent)
        lines, code = (*_but(lines, "canary"), *shown.lines), code if shown.fit else NOT_HELD
    if as_json:
        say_json(diagnosis(lines))
    else:
        _print(lines)
    ctx.exit(code)


def _look() -> Diagnosis:
    from overnight.doctor.look import Look, examine
    from overnight.doctor.probes import PROBES

    return diagnosis(examine(Look(os.environ), PROBES))


def _canary(agent: str) -> Diagnosis:
    from overnight.agents.choose import AGENTS
    from overnight.doctor.canary import canary, ended_by_signal
    from overnight.errors import UnknownAgent

    if agent not in AGENTS:
        raise UnknownAgent(agent=agent, known=", ".join(AGENTS))
    shown = asyncio.run(ended_by_signal(canary(agent, home.state_folder(), os.environ)))
    if shown.passed:
        _release()
    return Diagnosis(fit=shown.passed, lines=shown.lines)


def _release() -> None:
    """Tasks that were held for want of this go on."""
    from overnight.durable.client import Client
    from overnight.errors import OvernightError
    from overnight.missions.hold import HoldReason

    state = home.state_folder()
    if not (state / "journal.db").exists():
        return
    try:
        Client(state, "doctor").call("release", reason=HoldReason.CANARY_FAILED.value)
    except OvernightError as error:
        note(f"Held tasks could not be told: {error}")


def _but(lines: tuple[Sighting, ...], name: str) -> tuple[Sighting, ...]:
    return tuple(line for line in lines if line.name != name)


def _print(lines: tuple[Sighting, ...]) -> None:
    paper = Paper()
    rows = [((line.level.value, _STYLES[line.level]), line.name, _words(line)) for line in lines]
    paper.grid(rows)
    paper.gap()
    count = {level: sum(line.level is level for line in lines) for level in Level}
    paper.line(f"{count[Level.OK]} ok, {count[Level.WARN]} warnings, {count[Level.FAIL]} failed.")
    paper.print()


def _words(line: Sighting) -> str:
    return f"{line.seen.rstrip('.')}. {line.do[:1].upper()}{line.do[1:]}." if line.do else line.seen
