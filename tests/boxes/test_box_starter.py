"""A box dies with the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from boxing import DAEMON, PATIENCE, Held, named

from overnight.boxes.child import Pidfd

#: Starts a box whose argv daemonises, then waits for ever.
RUNS = """
import asyncio, sys
from boxing import named, spec, PYTHON
from pathlib import Path
async def main():
    name, folder, held, code = sys.argv[1:]
    process = await named(name).start(spec(Path(folder), PYTHON, "-I", "-S", "-c", code, stdout=held))
    await process.wait()
asyncio.run(main())
"""
#: Gets a box to stand, tells its first process, and never lets it go on.
STANDS = """
import asyncio, sys
from boxing import named, spec
from pathlib import Path
from overnight.boxes.bubblewrap import _Start
from overnight.boxes.engine import find_engine
from overnight.boxes.settings import BoxSettings
async def main():
    name, folder = sys.argv[1:]
    box = named(name)
    start = _Start(await find_engine(box._engines), spec(Path(folder), "/bin/touch", "ran"), BoxSettings())
    await start.stand()
    # More than a socket holds: it is sent when bwrap has begun to read, all its preparations done.
    start._gate.sendall(bytes(1 << 20))
    print(start.first_pid, flush=True)
    sys.stdin.read()
asyncio.run(main())
"""


def _starter(code: str, *args: str) -> subprocess.Popen[bytes]:
    engines = {name: value for name, value in os.environ.items() if name.startswith("OVERNIGHT_TEST_")}
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **engines}
    argv = [sys.executable, "-c", code, *args]
    return subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


_ENGINES = [pytest.param(name, marks=pytest.mark.engine) for name in ("podman", "docker")]


@pytest.mark.parametrize("name", ["system", "wheel", "landlock", "none", *_ENGINES])
def test_box_dies_with_its_starter(name: str, folder: Path, held: Held) -> None:
    """SIGKILL to the starter ends everything inside, daemons included."""
    if named(name) is None:
        pytest.skip(f"this machine, or its user, has no box by {name}")
    code = DAEMON + "\nos.write(1, b'main\\n')\nwhile True: signal.pause()"
    with _starter(RUNS, name, str(folder), held.path, code) as starter:
        said = ""
        while "up" not in said or "main" not in said:
            said += held.heard(PATIENCE)
        starter.kill()
        starter.wait()
        assert held.released(PATIENCE)


@pytest.mark.parametrize("name", ["system", "wheel"])
def test_half_started_box_never_runs(name: str, folder: Path) -> None:
    """When the starter is killed before the box is let go, argv never runs and the box goes away."""
    with _starter(STANDS, name, str(folder)) as starter:
        assert starter.stdout is not None
        first = Pidfd(int(starter.stdout.readline()))
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        assert first.ended_within(PATIENCE)
        first.close()
    assert not (folder / "ran").exists()
