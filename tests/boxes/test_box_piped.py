"""What a box prints reaches its log through a FIFO, and stays there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from boxing import PYTHON, named, spec, within

from overnight.boxes.none import Unconfined
from overnight.boxes.piped import Piped
from overnight.errors import BoxUnavailable
from overnight.missions.places import pipe_of
from overnight.ports import Box, BoxSpec

#: Prints, cuts what it prints to in every way there is, and prints again.
CUTS = """
import os
print("before", flush=True)
for way in (lambda: os.ftruncate(1, 0), lambda: open("/proc/self/fd/1", "w").close(), lambda: os.lseek(1, 0, 0)):
    try:
        way()
    except OSError:
        pass
print("after", flush=True)
"""


def printed(box: Box, order: BoxSpec) -> tuple[int, str]:
    """Exit code, and what is in the log of standard output once it has ended."""

    async def story() -> int:
        process = await Piped(box).start(order)
        return await process.wait()

    assert order.stdout is not None
    code = within(story())
    return code, Path(order.stdout).read_text()


def test_a_program_can_not_cut_what_it_printed(box: Box, folder: Path, logs: Path) -> None:
    """Neither by its descriptor nor by opening it anew; and where it has the log itself, it can."""
    log = logs / "out"
    order = spec(folder, PYTHON, "-I", "-S", "-c", CUTS, stdout=str(log), stderr=str(logs / "err"))
    assert printed(box, order) == (0, "before\nafter\n")
    assert not Path(pipe_of(str(log))).exists()

    async def freely() -> int:
        process = await box.start(order)
        return await process.wait()

    log.write_text("")
    within(freely())
    assert "before" not in log.read_text()


def test_shells_open_it_anew(box: Box, folder: Path, logs: Path) -> None:
    """`> /dev/stderr` adds a line and takes none; both streams may go to one log."""
    script = "echo one; echo two > /dev/stderr; echo three >> /dev/stdout; echo four >&2"
    log = str(logs / "both")
    assert printed(box, spec(folder, "/bin/sh", "-c", script, stdout=log, stderr=log)) == (0, "one\ntwo\nthree\nfour\n")


def test_more_than_a_pipe_holds_arrives_whole(box: Box, folder: Path, logs: Path) -> None:
    """Eight MiB, and nothing is missing when `wait` returns; what was in the log before stays."""
    log = logs / "much"
    log.write_text("earlier\n")
    script = "import sys; sys.stdout.write('x' * 1023 + '\\n') and [sys.stdout.write('y' * 1023 + '\\n') for _ in range(8191)]"
    code, text = printed(box, spec(folder, PYTHON, "-I", "-S", "-c", script, stdout=str(log)))
    assert (code, len(text), text[:9]) == (0, 8 + (8 << 20), "earlier\nx")


def read_inside(reader: Box, folder: Path, logs: Path) -> str:
    """What a program is told that would read from its own output."""
    script = (
        "import os\ntry: print(os.open('/proc/self/fd/1', os.O_RDONLY))\nexcept OSError as error: print(error.strerror)"
    )
    code, said = printed(reader, spec(folder, PYTHON, "-I", "-S", "-c", script, stdout=str(logs / "out")))
    assert code == 0
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's boxes have a user of their own")
def test_nobody_reads_what_others_print(tight: Box, folder: Path, logs: Path) -> None:
    """Where bubblewrap has a user of its own, a program inside can't take lines out of the FIFO before they are logged."""
    assert read_inside(tight, folder, logs) == "Permission denied\n"


@pytest.mark.engine
@pytest.mark.parametrize("engine", ["podman", "docker"])
@pytest.mark.xfail(strict=True, reason="an engine puts a pipe of its own between, which its container's user owns")
def test_nobody_reads_what_others_print_in_a_container(engine: str, folder: Path, logs: Path) -> None:
    """The same in a container."""
    if (container := named(engine)) is None:
        pytest.skip(f"this machine, or its user, has no box by {engine}")
    assert read_inside(container, folder, logs) == "Permission denied\n"


def test_what_bubblewrap_says_is_in_the_error(tight: Box, folder: Path, logs: Path) -> None:
    """A start that fails says why, FIFO or not, and leaves none."""
    order = spec(folder, "/bin/true", stderr=str(logs / "err"), writable=(str(folder), "/proc/self/nowhere"))

    async def story() -> None:
        with pytest.raises(BoxUnavailable):
            await Piped(tight).start(order)

    within(story())
    assert list(logs.glob("*.pipe")) == []


STARTER = """
import asyncio, sys
from overnight.boxes.none import Unconfined
from overnight.boxes.piped import Piped
from overnight.ports import BoxSpec

async def main():
    spec = BoxSpec(argv=("/bin/sh", "-c", "echo said; sleep 600"), env={}, cwd="/", stdout=sys.argv[1])
    await Piped(Unconfined()).start(spec)
    while "said" not in open(sys.argv[1]).read():
        await asyncio.sleep(0.01)
    print("logged", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_who_started_it_is_killed(logs: Path) -> None:
    """What was printed before is in the log, and the FIFO has no writer left once the box is dead."""
    log = logs / "out"
    with subprocess.Popen([sys.executable, "-c", STARTER, str(log)], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"logged\n"
        starter.send_signal(signal.SIGKILL)
    fifo = os.open(pipe_of(str(log)), os.O_RDONLY | os.O_NONBLOCK)

    async def empty() -> None:
        while True:
            try:
                assert os.read(fifo, 10) == b""
            except BlockingIOError:
                await asyncio.sleep(0.01)
            else:
                return

    within(empty())
    os.close(fifo)
    assert log.read_text() == "said\n"


def test_a_log_that_can_not_be_made_is_told(folder: Path, tmp_path: Path) -> None:
    """No box is started without its log."""

    async def story() -> None:
        with pytest.raises(BoxUnavailable, match="nowhere"):
            await Piped(Unconfined()).start(spec(folder, "/bin/true", stdout=str(tmp_path / "nowhere" / "log")))

    within(story())
