"""The act for a CLI with a login of its own: its way out leads nowhere but to the hosts that are listed."""

from __future__ import annotations

import asyncio

from overnight.agents.choose import choose
from overnight.doctor.acts import ACT_S, Scene
from overnight.doctor.findings import Sighting, fail, ok
from overnight.doctor.stage import Stage
from overnight.errors import OvernightError
from overnight.missions.units import Duration
from overnight.warden.events import Reached
from overnight.wiring import keep


def is_direct(stage: Stage) -> bool:
    """Whether the person's runs of this agent go out by themselves. Without any login they don't."""
    try:
        return choose(stage.agent, stage.own_settings().agents, stage.own_environ).route().kind == "direct"
    except OvernightError:
        return False


async def direct(scene: Scene) -> list[Sighting]:
    """With a dummy of a login and none of the vendor's hosts listed: it asks for the way out, and nothing passes."""
    stage = scene.stage
    spec, _ = await stage.spec("direct", wall=Duration(ACT_S), silence=Duration(ACT_S))
    outcome = await keep(stage.run_folder("direct"), spec, asyncio.Event(), stage.direct_environ())
    tries = [event for event in stage.events("direct") if isinstance(event, Reached)]
    wanted = ", ".join(sorted({event.target for event in tries}))
    if passed := [event.target for event in tries if event.allowed]:
        return [fail("way out", f"a host that is not listed was reached: {', '.join(passed)}", "do not use this route")]
    if not tries:
        return [fail("way out", f"nobody asked for it: {outcome.end.value}: {outcome.why}", "mend what it says")]
    return [ok("way out", f"with a login of its own it asked for {wanted}, which this canary does not list: refused")]
