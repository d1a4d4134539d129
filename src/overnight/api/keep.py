"""Keeps a child process alive: started again when it ends, the more patiently the more often."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Seconds between an end and the next start: doubled by every end, until it stayed up for a while.
FIRST_S, MOST_S, STEADY_S = 1.0, 600.0, 60.0
#: A child that was asked to end and does not is killed.
ENDS_WITHIN_S = 5.0


class Kept:
    """One child. Its output goes to a log, which it looks after itself."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._argv, self._environ, self._log = tuple(argv), dict(environ), log
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Keep it from now on; once is enough."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End it, and wait until it has."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None

    async def _keep(self) -> None:
        wait = FIRST_S
        while True:
            begun = time.monotonic()
            with contextlib.suppress(OSError):  # no process or no disk: as if it had ended
                await self._once()
            wait = FIRST_S if time.monotonic() - begun >= STEADY_S else min(MOST_S, wait * 2)
            await asyncio.sleep(wait * random.uniform(0.75, 1.25))

    async def _once(self) -> None:
        """From its start to its end."""
        fd = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # A session of its own: what ends the daemon's terminal does not end it.
            child = await asyncio.create_subprocess_exec(
                *self._argv, stdin=asyncio.subprocess.DEVNULL, stdout=fd, stderr=fd, env=self._environ,
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(fd)
        try:
            await child.wait()
        finally:
            await _ended(child)


async def _ended(child: asyncio.subprocess.Process) -> None:
    """Ask it to end, then make it."""
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
