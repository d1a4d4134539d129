"""Run inside an empty network: the CLI with a login of its own, and a proxy that notes whom it asks for.

`python -m agents.direct_story FOLDER` prints a `Told` as JSON.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from overnight.agents.claude import LOGIN_VARIABLE, ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.scripted import ScriptedModel, play
from overnight.agents.scripted.http import Replier, Request, serving
from overnight.missions.run import RunOutcome
from overnight.ports import Ports

from .stage import Stage

ENVIRON = {LOGIN_VARIABLE: "sk-ant-oat01-dummy"}


class Told(Struct, frozen=True):
    """What was seen."""

    #: Method and target of every request to the proxy.
    asked: list[str]
    #: The hosts that the route names.
    hosts: tuple[str, ...]
    outcome: RunOutcome


async def story(root: Path) -> Told:
    """Run the CLI; the proxy lets nobody through."""
    asked: list[str] = []

    async def proxy(request: Request, replier: Replier) -> None:
        asked.append(f"{request.method} {request.path}")
        await replier.whole(503, {}, b"")

    agent = ClaudeAgent(ClaudeSettings(retries=0), ENVIRON)
    async with serving(proxy) as port:
        here = Stage(root, ScriptedModel(play()), Ports(hooks=1, model=1, proxy=port))
        async with here.started(agent, here.spec(), ENVIRON) as seen:
            await seen.finish()
        return Told(asked, seen.launch.route.hosts, seen.outcome)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(story(Path(sys.argv[1])))))
