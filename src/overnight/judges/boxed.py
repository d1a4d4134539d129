"""`BoxedJudge`: an agent's CLI that is asked, without tools, in a box that holds nothing but its question."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from overnight.judge.evidence import INSTRUCTIONS
from overnight.judge.verdict import Outside
from overnight.judges.errand import Heard, Said, Trouble
from overnight.judges.model import ModelJudge
from overnight.judges.settings import JudgeSettings
from overnight.missions import limits
from overnight.ports import Box, BoxedProcess, BoxSpec, Launch, Opened, Place, Ports, Speaker, Spoken, Way

#: Bytes that it may print: the answer stands there more than once, between what the CLI says of itself.
MOST_PRINTED = 8 << 20
#: Seconds between looks at how much it has printed.
_LOOK_S = 0.5
#: Seconds after which it is asked again, where nobody says when.
_AFTER_S = 2.0
_OUTSIDE = {
    limits.Trouble.WINDOW: Outside.LIMIT,
    limits.Trouble.RATE: Outside.LIMIT,
    limits.Trouble.CEILING: Outside.LIMIT,
    limits.Trouble.OVERLOADED: Outside.VENDOR,
    limits.Trouble.OUTAGE: Outside.VENDOR,
    limits.Trouble.NETWORK: Outside.NETWORK,
}


class BoxedJudge(ModelJudge):
    """Port `Judge` of the panel. It sees a HOME of its own, which is empty, and the system's programs."""

    def __init__(
        self, name: str, settings: JudgeSettings, way: Way, speaker: Speaker, box: Box, environ: Mapping[str, str]
    ) -> None:
        """environ: where the variables are that a launch hands through."""
        super().__init__(name, settings, way)
        self._speaker, self._box, self._environ = speaker, box, environ

    async def _heard(self, text: str, opened: Opened, limit: float) -> Said:
        """One asking: a CLI in a box of its own, of which nothing is left when this returns. limit: seconds.

        Raises AgentUnavailable, BoxUnavailable, OSError.
        """
        until = time.monotonic() + limit
        with tempfile.TemporaryDirectory(prefix="overnight-judge-", ignore_cleanup_errors=True) as made:
            folder = Path(made)
            home, (port,) = folder / "home", self._box.ports(1)
            home.mkdir(mode=0o700)
            place = Place(
                home=str(home), given=str(home), worktree=str(home), token=opened.token,
                ports=Ports(hooks=port, model=port, proxy=port),
            )  # fmt: skip
            output = self._settings.output
            launch = await asyncio.to_thread(self._speaker.launch, INSTRUCTIONS, text, output, place)
            (folder / "stdin").write_bytes(launch.stdin)
            process = await self._box.start(self._spec(launch, folder, port))
            shut = list[Callable[[], Awaitable[None]]]()
            try:
                shut += [await opened.serve(inside) for inside in process.listeners]
                code = await self._bounded(process, folder, until)
            finally:
                await asyncio.shield(process.kill())
                for close in shut:
                    await asyncio.shield(close())
            if isinstance(code, Trouble):
                return code
            if (over := process.exceeded()) is not None:
                return Trouble(why=over.why)
            spoken = self._speaker.heard(code, (folder / "out").read_bytes(), (folder / "err").read_bytes())
        opened.claimed(spoken.usage)
        return _said(spoken)

    def _spec(self, launch: Launch, folder: Path, port: int) -> BoxSpec:
        passed = {name: self._environ[name] for name in launch.passed if name in self._environ}
        home = str(folder / "home")
        return BoxSpec(
            argv=launch.argv, env={**launch.env, **passed}, cwd=home, writable=(home,), readable=launch.readable,
            ports=(port,), stdin=str(folder / "stdin"), stdout=str(folder / "out"), stderr=str(folder / "err"),
        )  # fmt: skip

    async def _bounded(self, process: BoxedProcess, folder: Path, until: float) -> int | Trouble:
        """Its exit code, or why it is ended."""
        waiting = asyncio.ensure_future(process.wait())
        logs = (folder / "out", folder / "err")
        try:
            while not waiting.done():
                left = until - time.monotonic()
                if left <= 0:
                    return Trouble(why=f"no answer within {self._settings.limit}")
                if sum(log.stat().st_size for log in logs) > MOST_PRINTED:
                    return Trouble(why=f"it printed more than {MOST_PRINTED} bytes", again=True)
                await asyncio.wait([waiting], timeout=min(left, _LOOK_S))
            return waiting.result()
        finally:
            waiting.cancel()


def _said(spoken: Spoken) -> Said:
    if spoken.text:
        return Heard(text=spoken.text)
    outside = None if spoken.trouble is None else _OUTSIDE[spoken.trouble]
    after = max(0.0, spoken.until - time.time()) if spoken.until is not None else _AFTER_S if outside else 0.0
    return Trouble(why=spoken.why, again=spoken.again, after=after, outside=outside)
