"""Running things in boxes, for tests."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from overnight.boxes import landlock_inside
from overnight.boxes.bubblewrap import Bubblewrap
from overnight.boxes.child import readable
from overnight.boxes.container import Container
from overnight.boxes.engine import candidates
from overnight.boxes.landlock import Landlock
from overnight.boxes.none import Unconfined
from overnight.boxes.settings import BoxSettings
from overnight.ports import Box, BoxSpec

T = TypeVar("T")

PYTHON = os.path.realpath(sys.executable)
#: What the interpreter needs inside, where it does not lie in /usr.
PYTHON_SHOWN = tuple(path for path in (sys.base_prefix, PYTHON) if not path.startswith("/usr"))
PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
#: Seconds after which a test gives up waiting for what must happen.
PATIENCE = 60

#: Prints "up" from a daemon: double fork, new session, parent gone.
DAEMON = """
import os, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.write(1, b"up\\n")
        while True:
            signal.pause()
    os._exit(0)
os.wait()
"""


class Ran(Struct, frozen=True):
    """What became of a box."""

    code: int
    out: str
    err: str


def named(name: str) -> Box | None:
    """The box a test is run on; None when the machine lacks it. `system` and `wheel` are two bwraps."""
    if name == "none":
        return Unconfined()
    if name == "landlock":
        fits = os.geteuid() != 0 and landlock_inside.abi() >= landlock_inside.NEEDED_ABI
        return Landlock() if fits else None
    if name in ("podman", "docker"):
        settings = engine_settings(name)
        return Container(settings) if settings is not None else None
    found = [path for path in candidates() if ("site-packages" in path) == (name == "wheel")]
    return Bubblewrap(engines=tuple(found)) if found else None


def engine_settings(engine: Literal["podman", "docker"], settings: BoxSettings | None = None) -> BoxSettings | None:
    """Settings for an engine that `.ci/engines` has put up for this user; None when it did not."""
    options = os.environ.get(f"OVERNIGHT_TEST_{engine.upper()}", "").split()
    if not options:
        return None
    return replace(settings or BoxSettings(), engine=engine, engine_options=tuple(options), root_inside=True)


def spec(folder: Path, *argv: str, **fields: Any) -> BoxSpec:
    """argv in a box that may write `folder`, works there, and has a PATH."""
    own = BoxSpec(argv=argv, env=PATH, cwd=str(folder), writable=(str(folder),))
    shown = (*PYTHON_SHOWN, *fields.pop("readable", ()))
    return replace(own, readable=shown, **fields)


async def ran(box: Box, order: BoxSpec, logs: Path) -> Ran:
    """Run it to its end; output goes to files in `logs`."""
    out, err = logs / "out", logs / "err"
    process = await box.start(replace(order, stdout=str(out), stderr=str(err)))
    try:
        code = await asyncio.wait_for(process.wait(), PATIENCE)
    finally:
        await process.kill()
        for listener in process.listeners:
            listener.close()
    return Ran(code, out.read_text(), err.read_text())


def run(box: Box, order: BoxSpec, logs: Path) -> Ran:
    """The same, from outside of a loop."""
    return asyncio.run(ran(box, order, logs))


def python(box: Box, folder: Path, code: str, logs: Path, *args: str, **fields: Any) -> Ran:
    """Run Python code in a box."""
    return run(box, spec(folder, PYTHON, "-I", "-S", "-c", code, *args, **fields), logs)


def within(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; a test that hangs fails."""

    async def limited() -> T:
        return await asyncio.wait_for(coroutine, PATIENCE)

    return asyncio.run(limited())


class Held:
    """A FIFO for a box's standard output: at its end exactly when every process that holds it is dead."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "held")
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    async def line(self) -> str:
        """The next thing that a process inside says."""
        await readable(self.fd)
        return os.read(self.fd, 4096).decode()

    def heard(self, seconds: float) -> str:
        """The same, blocking."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        assert poll.poll(seconds * 1000), "nothing was said"
        said = os.read(self.fd, 4096).decode()
        assert said, "nobody is left to say anything"
        return said

    def released(self, seconds: float = 0) -> bool:
        """Whether all are dead, or will be within so many seconds."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while poll.poll(seconds * 1000):
            if not os.read(self.fd, 4096):
                return True
        return False

    def close(self) -> None:
        """Close our end."""
        os.close(self.fd)
