"""The canary: a whole small night on this machine, with the person's own settings, in which everything forbidden is tried.

Real: the agent's CLI, the warden, the guard, the box, git. Scripted: the model's answers. It needs no login, and no
packet leaves the machine.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from overnight.agents.claude_binary import find
from overnight.agents.scripted import Play, playing
from overnight.config import read_settings
from overnight.doctor import acts
from overnight.doctor.acts import Scene
from overnight.doctor.direct import direct, is_direct
from overnight.doctor.findings import Level, Sighting, fail, warn
from overnight.doctor.record import Pass, digest, drop_pass, fingerprint, keep_pass
from overnight.doctor.stage import Stage, is_hooked
from overnight.errors import OvernightError
from overnight.missions.hold import Held
from overnight.missions.policy import BoxLevel
from overnight.wiring import box_for

#: Acts that play at the same time: each starts the agent's CLI.
TOGETHER = 2
#: One act takes no longer.
ACT_LIMIT_S = 60.0
#: The whole of it takes no longer.
CANARY_S = 240.0
#: The name of lines that are about the canary as a whole.
WHOLE = "canary"
_MEND = "mend what it says, then try again"
#: What stands for the agent `command`: works for ever.
_FOREVER = ("sh", "-c", "echo alive > began; exec sleep 3600")

Act = Callable[[Scene], Awaitable[list[Sighting]]]
_HOOKED: tuple[tuple[str, Act], ...] = (
    ("agent", acts.guarded),
    ("dead guard", acts.deaf),
    ("killed guard", acts.orphaned),
    ("wall limit", acts.walled),
    ("turn limit", acts.counted),
    ("box", acts.boxed),
)
_UNHOOKED: tuple[tuple[str, Act], ...] = (("wall limit", acts.walled), ("box", acts.boxed))


class Shown(Struct, frozen=True, kw_only=True):
    """What a canary showed."""

    agent: str
    passed: bool
    lines: tuple[Sighting, ...]
    #: Seconds that it took.
    took: float

    def why(self) -> str:
        """What failed, in one sentence."""
        bad = [f"{line.name}: {line.seen}" for line in self.lines if line.level is Level.FAIL]
        return "; ".join(bad) or "everything held"

    @property
    def tried(self) -> bool:
        """Something that was tried did not hold; otherwise it only could not be played to its end, or kept."""
        return any(line.level is Level.FAIL and line.name != WHOLE for line in self.lines)


async def canary(agent: str, home: Path, environ: Mapping[str, str]) -> Shown:
    """Play it, and keep what it showed. home: the state folder. environ: leads to the settings and to the CLI.

    Never raises for what it finds out: that is a failed line.
    """
    began = time.monotonic()
    try:
        async with asyncio.timeout(CANARY_S):
            lines, made = await _play(agent, home, environ)
    except TimeoutError:
        lines, made = [fail(WHOLE, f"it did not end within {CANARY_S:g} s", _MEND)], None
    except Held as held:
        lines, made = [fail(WHOLE, held.hold.why, held.hold.releases_on)], None
    except OvernightError as error:
        lines, made = [fail(_name_of(error), str(error), _MEND)], None
    except Exception as error:  # whatever keeps it from being played: nothing is proved, and that is all to be said
        lines, made = [fail(WHOLE, f"it could not be played: {type(error).__name__}: {error}", _MEND)], None
    passed = made is not None and all(line.level is not Level.FAIL for line in lines)
    shown = Shown(agent=agent, passed=passed, lines=tuple(lines), took=round(time.monotonic() - began, 2))
    return _kept(home, shown, made)


async def ended_by_signal(playing: Coroutine[Any, Any, Shown]) -> Shown:
    """A canary that is asked to end takes its wardens along. Raises CancelledError then."""
    task = asyncio.ensure_future(playing)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _kept(home: Path, shown: Shown, made: Pass | None) -> Shown:
    try:
        if shown.passed and made is not None:
            keep_pass(home, made)
        else:
            drop_pass(home, shown.agent)
    except OSError as error:
        line = fail(WHOLE, f"what it showed can't be kept: {error}", "make the state folder writable")
        return Shown(agent=shown.agent, passed=False, lines=(*shown.lines, line), took=shown.took)
    return shown


def _name_of(error: OvernightError) -> str:
    """The part that an error is about."""
    names = {"SettingsInvalid": "settings", "BoxUnavailable": "box", "AgentUnavailable": "agent", "NotConfirmed": "box"}
    return names.get(type(error).__name__, WHOLE)


async def _play(agent: str, home: Path, environ: Mapping[str, str]) -> tuple[list[Sighting], Pass]:
    """Raises OvernightError and the like for what keeps it from being played."""
    settings = read_settings(environ)
    before = fingerprint(agent, settings, environ)
    version = program = ""
    if is_hooked(agent):
        found = find(settings.agents.claude.path, environ)
        version, program = found.version, found.path
    held = await box_for(settings, BoxLevel.NONE).probe()
    (home / "canary").mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix="night-", dir=home / "canary"))
    stage = Stage(folder, agent, environ)
    try:
        lines = await _perform(stage)
    finally:
        await stage.end()
        await asyncio.to_thread(stage.clear)
    if not is_hooked(agent):
        lines.append(_no_guard(agent))
    if fingerprint(agent, read_settings(environ), environ) != before:
        lines.append(fail(WHOLE, "the CLI, the box or the settings were changed while it was played", "try again"))
    sha = await asyncio.to_thread(digest, program) if program else ""
    made = Pass(
        agent=agent,
        fingerprint=before,
        version=version,
        digest=sha,
        guarantees=held,
        at=time.time(),
        lines=tuple(lines),
    )
    return lines, made


def _no_guard(agent: str) -> Sighting:
    seen = f"the agent {agent!r} has no hooks: nothing decides its calls, so box and limits are all that was shown"
    return warn("hooks", seen, "give it no more than the box may hold")


async def _perform(stage: Stage) -> list[Sighting]:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # stands for everything that is not to be reached
        stage.port = listener.getsockname()[1]
        stage.build("http://127.0.0.1:1", _FOREVER)  # the play needs the settings, and they need the model's address
        async with playing(Play(acts.scenarios(stage))) as (url, model):
            stage.point_to(url)
            played = _HOOKED if is_hooked(stage.agent) else _UNHOOKED
            if is_direct(stage):
                played = (*played, ("way out", direct))
            return await _acts(Scene(stage, model), played)


async def _acts(scene: Scene, played: Sequence[tuple[str, Act]]) -> list[Sighting]:
    room = asyncio.Semaphore(TOGETHER)

    async def act(name: str, play: Act) -> list[Sighting]:
        async with room:
            try:
                async with asyncio.timeout(ACT_LIMIT_S):
                    return await play(scene)
            except TimeoutError:
                return [fail(name, f"it did not end within {ACT_LIMIT_S:g} s", _MEND)]
            except (OvernightError, OSError) as error:
                return [fail(name, f"{type(error).__name__}: {error}", _MEND)]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(act(name, play)) for name, play in played]
    lines = [line for task in tasks for line in task.result()]
    if is_hooked(scene.stage.agent) and acts.tried(scene.stage.events("guard")):
        lines.append(acts.audited(scene.stage))
    return lines
