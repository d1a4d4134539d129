"""The gate before a fleet: no agent starts that the canary has not passed for, with exactly what is here now."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from overnight.config import Settings, read_settings
from overnight.doctor.canary import Shown
from overnight.doctor.record import Fingerprint, changes, fingerprint, last_pass
from overnight.doctor.stage import is_hooked
from overnight.errors import OvernightError
from overnight.fleet.local import read_identity, read_outcome
from overnight.missions.codec import decode
from overnight.missions.hold import Held, Hold, HoldReason
from overnight.missions.places import run_dir
from overnight.missions.run import End, RunOutcome, RunSpec
from overnight.ports import Fleet

#: A canary that failed is played again after this time, or as soon as something changed.
RETRY_S = 600.0
#: The same for one that could not be played to its end, or kept: a full disk, say, passes by itself.
AGAIN_S = 60.0
#: One that does not end is given up.
_PATIENCE_S = 300.0
#: Told what came of a canary: (agent, passed, why).
Told = Callable[[str, bool, str], None]


class Failed(Struct, frozen=True):
    """A canary that failed here."""

    fingerprint: Fingerprint
    #: Epoch seconds.
    at: float
    why: str
    #: Seconds until it is played again.
    again: float = RETRY_S


class Came(Struct, frozen=True):
    """What came of a canary."""

    #: Why it failed; empty when it passed.
    why: str
    #: Something was tried, and did not hold.
    tried: bool = True


class Gate:
    """Port `Fleet` before another one. A run that has begun is none of its business: it is attached to."""

    def __init__(
        self, fleet: Fleet, home: Path, environ: Mapping[str, str] = os.environ, told: Told | None = None
    ) -> None:
        """environ: what the wardens will have; it leads to settings and CLI. told: for the record."""
        self._fleet, self._home, self._environ = fleet, home, environ
        self._told: Told = told or (lambda _agent, _passed, _why: None)
        self._playing = asyncio.Lock()
        self._failed: dict[str, Failed] = {}
        #: Runs that wait here -> what ends the wait, with the reason.
        self._waiting: dict[str, asyncio.Future[str]] = {}

    async def run(self, spec: RunSpec) -> RunOutcome:
        """As the port says. Raises Held(canary-failed)."""
        if not self._begun(spec.id):
            stopped = await self._unless_stopped(spec)
            if stopped is not None:
                now = time.time()
                return RunOutcome(run=spec.id, end=End.STOPPED, why=stopped, started=now, ended=now)
        return await self._fleet.run(spec)

    async def ahead(self, agents: Iterable[str]) -> None:
        """Prove what these agents will need, before a task asks. What fails is told; tasks are held when they get here."""
        for agent in agents:
            with contextlib.suppress(Held):
                if not self._open(agent):
                    await self._prove(agent)

    async def stop(self, run: str, why: str) -> None:
        """A run that waits here has not begun, and does not."""
        waiting = self._waiting.get(run)
        if waiting is not None and not waiting.done():
            waiting.set_result(why)
        await self._fleet.stop(run, why)

    def _begun(self, run: str) -> bool:
        folder = Path(run_dir(str(self._home), run))
        return read_identity(folder) is not None or read_outcome(folder) is not None

    async def _unless_stopped(self, spec: RunSpec) -> str | None:
        """Wait until the agent may start; why not, when a person stops it meanwhile."""
        if self._open(spec.agent):
            return None
        stop = self._waiting[spec.id] = asyncio.get_running_loop().create_future()
        proving = asyncio.create_task(self._prove(spec.agent))
        try:
            await asyncio.wait((stop, proving), return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return stop.result()
            proving.result()
            return None
        finally:
            del self._waiting[spec.id]
            proving.cancel()
            await asyncio.gather(proving, return_exceptions=True)

    def _open(self, agent: str) -> bool:
        """Whether a pass covers what is here now. Settings are read anew each time, as each warden does."""
        settings = self._settings()
        if not needed(agent, settings):
            return True
        known = last_pass(self._home, agent)
        return known is not None and not changes(known.fingerprint, fingerprint(agent, settings, self._environ))

    async def _prove(self, agent: str) -> None:
        """Play the canary, one at a time, whoever needs it. Raises Held."""
        async with self._playing:
            if self._open(agent):  # whoever was before has proved it
                return
            now = fingerprint(agent, self._settings(), self._environ)
            failed = self._failed.get(agent)
            if failed is None or failed.fingerprint != now or time.time() >= failed.at + failed.again:
                failed = await self._play(agent, now)
            if failed is not None:
                raise Held(_hold(failed))

    async def _play(self, agent: str, now: Fingerprint) -> Failed | None:
        came = await play(agent, self._home, self._environ)
        why = came.why
        if not why and not self._open(agent):
            why = "it passed, but the CLI, the box or the settings were changed meanwhile"
        self._told(agent, not why, why)
        if not why:
            self._failed.pop(agent, None)
            return None
        self._failed[agent] = Failed(now, time.time(), why, RETRY_S if came.tried else AGAIN_S)
        return self._failed[agent]

    def _settings(self) -> Settings:
        """Raises Held: what can't be read bounds nothing."""
        try:
            return read_settings(self._environ)
        except OvernightError as error:
            raise Held(_hold(Failed(_NOTHING, time.time(), str(error)))) from error


_NOTHING = Fingerprint(cli="", policy="", box="", overnight="")


def needed(agent: str, settings: Settings) -> bool:
    """Whether an agent needs a canary. One without hooks in no box has nothing that could be proved: that it may do
    anything is what `box.i_know` says."""
    if not settings.canary.required:
        return False
    return is_hooked(agent) or settings.box.name != "none"


async def play(agent: str, home: Path, environ: Mapping[str, str]) -> Came:
    """Play the canary in a process of its own. Cancelling ends it."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "overnight.doctor", agent, str(home)),
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            said, complaint = await child.communicate()
    except TimeoutError:
        return Came(f"it did not end within {_PATIENCE_S:g} s")
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            await child.wait()
    return _came(said, complaint)


def _came(said: bytes, complaint: bytes) -> Came:
    try:
        shown = decode(said, Shown)
    except msgspec.MsgspecError:
        why = f"it could not be played: {complaint.decode(errors='replace').strip()[-500:] or 'it said nothing'}"
        return Came(why, tried=False)
    return Came("") if shown.passed else Came(shown.why(), tried=shown.tried)


def _hold(failed: Failed) -> Hold:
    return Hold(
        reason=HoldReason.CANARY_FAILED,
        why=f"the canary failed: {failed.why}",
        releases_on="`overnight doctor --canary` passes; it is tried again by itself",
        until=failed.at + failed.again,
    )
