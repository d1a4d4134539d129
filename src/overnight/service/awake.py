"""Keeps the machine from going to sleep while tasks are worked on, by the system's own tool, as long as it runs.

The tool is a child that reads from a pipe which only this process has open: it ends with us, however we end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_INHIBIT = ("systemd-inhibit", "--who=Overnight", "--why=Coding tasks are being worked on", "--mode=block")
#: Seconds after which a tool that ends was not refused: it was ended, and is started again.
HELD_S = 30.0
ENDS_WITHIN_S = 2.0


def tools(platform: str = sys.platform, root: Path = Path("/")) -> tuple[tuple[str, ...], ...]:
    """What to try, the most that can be asked for first. Each reads its standard input to its end. None where there is
    nobody to ask, such as in a container or in WSL."""
    if platform == "darwin":
        return (("caffeinate", "-i", "-s", "cat"),)
    if not (root / "run/systemd/system").is_dir():
        return ()
    # Who is not logged in at the machine may keep it from idling, and often no more than that.
    return tuple(
        (_INHIBIT[0], f"--what={what}", *_INHIBIT[1:], "cat") for what in ("sleep:idle:handle-lid-switch", "idle")
    )


class Awake:
    """Holds the machine awake while it is told to."""

    def __init__(
        self, say: Callable[[str], None], environ: Mapping[str, str], ways: Sequence[Sequence[str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """say: hears once what can't be had. ways: commands to try, in order."""
        self._say, self._environ, self._clock = say, dict(environ), clock
        self._ways = [tuple(way) for way in (tools() if ways is None else ways)]
        self._child: subprocess.Popen[bytes] | None = None
        self._since = 0.0

    @property
    def held(self) -> bool:
        """Whether the tool runs."""
        return self._child is not None and self._child.poll() is None

    def hold(self, wanted: bool) -> None:
        """Called now and then: begin, go on, or end. Never waits for long."""
        if not wanted:
            self.close()
        elif self._child is None:
            self._begin()
        elif self._child.poll() is not None:
            self._ended(self._child)

    def close(self) -> None:
        """Let the machine sleep."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        with contextlib.suppress(OSError):
            child.stdin.close()
        try:
            child.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        assert child.stderr is not None
        child.stderr.close()

    def _begin(self) -> None:
        while self._ways:
            program = shutil.which(self._ways[0][0], path=self._environ.get("PATH"))
            if program is None:
                self._next(f"{self._ways[0][0]} is not there")
                continue
            try:
                self._child = subprocess.Popen(
                    [program, *self._ways[0][1:]], env=self._environ, cwd="/", stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                self._next(str(error))
                continue
            self._since = self._clock()
            return

    def _ended(self, child: subprocess.Popen[bytes]) -> None:
        """It should not have: it was refused, or somebody ended it."""
        assert child.stderr is not None
        os.set_blocking(child.stderr.fileno(), False)  # what it started may live on and have it open
        said = (child.stderr.read(2000) or b"").decode(errors="replace").strip().splitlines()
        self.close()
        if self._clock() - self._since < HELD_S:
            self._next(said[-1] if said else f"it ended with {child.returncode}")
        self._begin()

    def _next(self, why: str) -> None:
        """This one is no use; say so once, with what is left."""
        gone = self._ways.pop(0)
        asked = " ".join(word for word in gone[:2])
        then = f"trying `{' '.join(self._ways[0][:2])}`" if self._ways else "the machine may go to sleep over its work"
        self._say(f"`{asked}` does not keep the machine awake ({why}): {then}")
