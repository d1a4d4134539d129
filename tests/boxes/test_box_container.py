"""What is particular to containers. What every box promises is tested with the others, attacks in tests/escape."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Literal

import pytest
from boxing import PYTHON, Held, engine_settings, named, python, ran, spec, within
from msgspec.structs import replace

from overnight.boxes.choose import choose
from overnight.boxes.container import Container
from overnight.boxes.container_layout import options
from overnight.boxes.settings import BoxSettings
from overnight.errors import BoxUnavailable
from overnight.missions.policy import BoxLevel
from overnight.ports import BoxSpec, Exceeded

#: Looks for a way from argv to the first process, which no filter of ours keeps.
FIRST = """
import ctypes, os
for name in ("environ", "maps", "mem", "fd"):
    try: os.readlink("/proc/1/fd/0") if name == "fd" else open(f"/proc/1/{name}", "rb").read(1)
    except OSError as error: print(name, type(error).__name__)
    else: print(name, "read")
libc = ctypes.CDLL(None, use_errno=True)
print("traced" if libc.ptrace(16, 1, 0, 0) == 0 else "not traced")
print(sorted(os.listdir("/run/overnight")), os.path.exists("/run/overnight-io/3"))
"""


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.engine) for name in ("podman", "docker")])
def engine(request: pytest.FixtureRequest) -> Literal["podman", "docker"]:
    """Each engine that is up."""
    if engine_settings(request.param) is None:
        pytest.skip(f"no {request.param} is up for tests: see .ci/engines")
    return request.param


def test_first_process_is_out_of_reach(engine: Literal["podman", "docker"], folder: Path, logs: Path) -> None:
    """argv can't look into the process that reports how it ended, nor find what that was given."""
    box = named(engine)
    assert box is not None
    done = python(box, folder, FIRST, logs)
    lines = done.out.splitlines()
    assert [line.split()[1] for line in lines[:4]] == ["PermissionError"] * 4, done.err
    assert lines[4:] == ["not traced", "[] False"]


async def _emptied(box: Container) -> None:
    """Until the engine has no container of this process. It tidies up after the last process, and tells nobody."""
    async with asyncio.timeout(60):
        while await box._engine("ps", "--all", "--quiet", "--filter", f"name=overnight-{os.getpid()}-"):
            await asyncio.to_thread(os.sched_yield)


def test_nothing_is_left(engine: Literal["podman", "docker"], folder: Path, held: Held) -> None:
    """No folder of the start stays while a container runs, and no container when it is dead."""
    settings = engine_settings(engine)
    assert settings is not None
    box = Container(settings)

    async def story() -> None:
        process = await box.start(spec(folder, "/bin/sh", "-c", "echo up; sleep 1000", stdout=held.path))
        assert await held.line() == "up\n"
        assert not list(Path("/tmp").glob(f"overnight-container-{os.getpid()}-*"))
        await process.kill()
        assert held.released()
        await _emptied(box)

    within(story())


def test_a_cancelled_start_leaves_no_container(engine: Literal["podman", "docker"], folder: Path) -> None:
    """Whatever the engine was about when nobody wanted it any more."""
    settings = engine_settings(engine)
    assert settings is not None
    box = Container(settings)

    async def story() -> None:
        for turns in range(0, 50, 10):
            starting = asyncio.ensure_future(box.start(spec(folder, "/bin/touch", "ran")))
            await asyncio.sleep(turns * 0.005)  # only to be cancelled at different points
            if starting.done():  # sooner than expected
                await starting.result().kill()
                (folder / "ran").unlink(missing_ok=True)
                continue
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        await _emptied(box)

    within(story())
    assert not (folder / "ran").exists()


def test_memory_is_bounded(engine: Literal["podman", "docker"], folder: Path) -> None:
    """A container that takes too much is ended, and says why."""
    settings = engine_settings(engine, BoxSettings(memory=BoxSettings().memory.__class__(128 << 20)))
    assert settings is not None

    async def story() -> Exceeded | None:
        code = "held = []\nwhile True: held.append(b'x' * (8 << 20))"
        process = await Container(settings).start(spec(folder, PYTHON, "-I", "-S", "-c", code))
        assert await process.wait() != 0
        return process.exceeded()

    assert within(story()) == Exceeded(bound="memory", why="it used more than 128 MiB of memory")


def test_missing_image_says_what_to_do(engine: Literal["podman", "docker"], folder: Path) -> None:
    """An image is never pulled; the error names the command that makes one."""
    settings = engine_settings(engine)
    assert settings is not None
    with pytest.raises(BoxUnavailable, match="overnight box image"):
        within(Container(replace(settings, image="localhost/no-such-image")).start(spec(folder, "/bin/true")))


def test_output_of_an_engine_stays_out(engine: Literal["podman", "docker"], folder: Path, logs: Path) -> None:
    """What the engine prints is not among argv's output."""
    box = named(engine)
    assert box is not None
    done = within(ran(box, spec(folder, "/bin/true"), logs))
    assert (done.code, done.out, done.err) == (0, "", "")


def test_missing_engine_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the engine there is no box, and no other one instead."""
    monkeypatch.setenv("PATH", str(folder))
    box = choose(BoxLevel.CONTAINER, "container", confirmed=False, settings=BoxSettings(root_inside=True))
    with pytest.raises(BoxUnavailable, match=r"podman is not installed.*apt install"):
        within(box.start(spec(folder, "/bin/true")))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to confirm it")
def test_root_has_to_confirm(folder: Path) -> None:
    """A container of root's is made by those only who said so."""
    with pytest.raises(BoxUnavailable, match="root_inside"):
        within(Container(BoxSettings()).start(spec(folder, "/bin/true")))


def test_names_that_engines_misread_are_refused(folder: Path, tmp_path: Path) -> None:
    """A comma in a path would be a further option."""
    odd = folder / "a,readonly=false"
    odd.mkdir()
    (tmp_path / "etc").mkdir()
    order = BoxSpec(argv=("/bin/true",), env={}, cwd=str(folder), readable=(str(odd),))
    with pytest.raises(BoxUnavailable, match="commas"):
        options(order, BoxSettings(), tmp_path, {}, "name")
