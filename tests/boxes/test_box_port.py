"""What every box promises, whatever it confines."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from boxing import DAEMON, PYTHON, Held, python, ran, run, spec, within

from overnight.boxes.landlock import Landlock
from overnight.boxes.none import Unconfined
from overnight.errors import BoxUnavailable
from overnight.ports import Box

ENV = "import json, os, sys; json.dump(dict(os.environ), sys.stdout)"


@pytest.mark.parametrize("code", [0, 1, 3, 126, 255])
def test_exit_code(box: Box, folder: Path, logs: Path, code: int) -> None:
    """wait returns argv's exit code."""
    assert run(box, spec(folder, "/bin/sh", "-c", f"exit {code}"), logs).code == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_death_by_signal(box: Box, folder: Path, logs: Path, number: signal.Signals) -> None:
    """A death by signal shows as its negative number."""
    assert run(box, spec(folder, "/bin/sh", "-c", f"kill -{int(number)} $$"), logs).code == -number


def test_missing_program(box: Box, folder: Path, logs: Path) -> None:
    """A program that is not there shows as 127 with its name on stderr."""
    done = run(box, spec(folder, "no-such-program"), logs)
    assert done.code == 127
    assert "no-such-program" in done.err


def test_program_is_found_on_the_path_inside(box: Box, folder: Path, logs: Path) -> None:
    """argv[0] without a slash is looked up on the PATH of the spec."""
    tool = folder / "my-tool"
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    assert run(box, spec(folder, "my-tool", env={"PATH": f"{folder}:/usr/bin:/bin"}), logs).out == "found\n"


def test_standard_streams(box: Box, folder: Path, logs: Path) -> None:
    """stdin is read from its file, output is appended to what its files hold."""
    (logs / "in").write_text("asked")
    (logs / "out").write_text("before\n")
    (logs / "err").write_text("before\n")
    done = run(box, spec(folder, "/bin/sh", "-c", "cat; echo told >&2", stdin=str(logs / "in")), logs)
    assert (done.out, done.err) == ("before\nasked", "before\ntold\n")


def test_streams_default_to_nothing(box: Box, folder: Path) -> None:
    """Without files, stdin is empty and output goes nowhere."""

    async def story() -> int:
        process = await box.start(spec(folder, "/bin/sh", "-c", "cat > got; echo x; echo y >&2"))
        return await process.wait()

    assert within(story()) == 0
    assert (folder / "got").read_text() == ""


def test_environment_is_exact(box: Box, folder: Path, logs: Path) -> None:
    """The environment is the spec's, odd values included, and PWD; nothing of ours."""
    os.environ["OVERNIGHT_TEST_OF_BOXES"] = "of the starter"
    env = {"A": "", "B": "two words\nand a line", "C": "--setenv X y", "Ü": "ä=ö", "D": "\udcff", "PATH": "/usr/bin"}
    done = python(box, folder, ENV, logs, env=env)
    found = json.loads(done.out)
    found.pop("LC_CTYPE", None)  # CPython sets it for itself when no locale is given
    if isinstance(box, Landlock):  # what it says that it adds
        del found["TMPDIR"], found["GIT_CONFIG_NOSYSTEM"]
    assert found == {**env, "PWD": str(folder)}


def test_long_arguments_and_environment(box: Box, folder: Path, logs: Path) -> None:
    """Large environments and arguments with odd characters arrive unchanged."""
    env = {f"V{n}": "x" * 1000 for n in range(500)}
    code = "import json, os, sys; json.dump([sys.argv[1:], len(os.environ)], sys.stdout)"
    args = ["", "a b", "--", "--bind", "/", "ä\n"]
    done = python(box, folder, code, logs, *args, env=env)
    found, count = json.loads(done.out)
    assert found == args
    assert count >= 501


def test_working_folder(box: Box, folder: Path, logs: Path) -> None:
    """argv starts in cwd, under the same path as outside."""
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    assert run(box, spec(folder, "/bin/sh", "-c", "/bin/pwd", cwd=str(below)), logs).out.strip() == str(below)


def test_writes_are_seen_outside(box: Box, folder: Path, logs: Path) -> None:
    """A writable folder is the same folder inside and outside."""
    (folder / "given").write_text("from outside")
    assert run(box, spec(folder, "/bin/sh", "-c", "cp given made"), logs).code == 0
    assert (folder / "made").read_text() == "from outside"
    assert (folder / "made").stat().st_uid == os.geteuid()


def test_kill_leaves_nothing(box: Box, folder: Path, held: Held) -> None:
    """kill ends everything, a daemon in a session of its own included, before it returns."""

    async def story() -> int:
        code = DAEMON + "\nos.write(1, b'main\\n')\nwhile True: signal.pause()"
        process = await box.start(spec(folder, PYTHON, "-I", "-S", "-c", code, stdout=held.path))
        said = ""
        while "up" not in said or "main" not in said:
            said += await held.line()
        await process.kill()
        assert held.released()
        await process.kill()
        return await process.wait()

    assert within(story()) == -signal.SIGKILL


def test_kill_at_the_end(box: Box, folder: Path) -> None:
    """A kill that meets the end of argv is harmless, and both callers get the same code."""

    async def story() -> None:
        for _ in range(10):
            process = await box.start(spec(folder, "/bin/true"))
            waiting = asyncio.ensure_future(process.wait())
            await asyncio.gather(process.kill(), process.signal(signal.SIGTERM), process.kill())
            assert await waiting in (0, -signal.SIGTERM, -signal.SIGKILL)
            assert await process.wait() == waiting.result()

    within(story())


def test_cancelled_start_leaves_nothing(box: Box, folder: Path) -> None:
    """A start that is cancelled on its way has given everything back; argv did not get to run, or is dead."""

    async def story() -> tuple[set[str], set[str]]:
        await (await box.start(spec(folder, "/bin/true"))).wait()
        before = _descriptors()
        for turns in range(0, 24, 2):
            starting = asyncio.ensure_future(box.start(spec(folder, "/bin/sleep", "1000", ports=box.ports(2))))
            for _ in range(turns):
                await asyncio.sleep(0.002)  # only to be cancelled at different points
            starting.cancel()
            try:
                process = await starting
            except asyncio.CancelledError:
                continue
            await process.kill()
            for listener in process.listeners:
                listener.close()
        return before, _descriptors()

    before, after = within(story())
    assert before == after


def test_end_leaves_nothing(box: Box, folder: Path, held: Held) -> None:
    """When wait returns, what argv left running is dead too."""

    async def story() -> int:
        code = DAEMON.replace("os.wait()", "os.read(0, 1)")
        gate = Path(held.path).with_name("gate")
        os.mkfifo(gate)
        keep = os.open(gate, os.O_RDWR)
        try:
            order = spec(folder, PYTHON, "-I", "-S", "-c", code, stdin=str(gate), stdout=held.path)
            process = await box.start(order)
            assert await held.line() == "up\n"
            os.write(keep, b"x")
            return await process.wait()
        finally:
            os.close(keep)

    assert within(story()) == 0
    assert held.released()


def test_signal_reaches_the_program(box: Box, folder: Path, held: Held) -> None:
    """signal is delivered to argv's process, which may handle it."""

    async def story() -> int:
        script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"
        process = await box.start(spec(folder, "/bin/sh", "-c", script, stdout=held.path))
        assert await held.line() == "up\n"
        await process.signal(signal.SIGTERM)
        code = await process.wait()
        await process.signal(signal.SIGTERM)
        return code

    assert within(story()) == 7


def test_signal_at_once(box: Box, folder: Path) -> None:
    """A signal right after the start is not lost."""

    async def story() -> int:
        process = await box.start(spec(folder, "/bin/sleep", "1000"))
        await process.signal(signal.SIGTERM)
        return await process.wait()

    assert within(story()) == -signal.SIGTERM


def test_listeners_in_order(box: Box, folder: Path, logs: Path) -> None:
    """Each port is served by the listener at the same place, before argv runs."""
    code = """
import socket, sys
for port in map(int, sys.argv[1:]):
    with socket.create_connection(("127.0.0.1", port)) as c: print(c.makefile().read())
"""

    async def story() -> tuple[int, ...]:
        ports = box.ports(3)
        order = spec(
            folder, PYTHON, "-I", "-S", "-c", code, *map(str, reversed(ports)), ports=ports, stdout=str(logs / "out")
        )
        process = await box.start(order)
        servers = [
            await asyncio.start_server(_teller(number), sock=listener)
            for number, listener in enumerate(process.listeners)
        ]
        status = await process.wait()
        for server in servers:
            server.close()
            await server.wait_closed()
        assert status == 0
        return ports

    ports = within(story())
    assert len(set(ports)) == 3
    assert (logs / "out").read_text().split() == ["2", "1", "0"]


def _teller(number: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(number).encode())
        await writer.drain()
        writer.close()

    return tell


@pytest.mark.parametrize("field", ["readable", "writable", "cwd", "stdin"])
def test_missing_paths_are_refused(box: Box, folder: Path, field: str) -> None:
    """What the spec names and the machine lacks is an error that names it, and nothing starts."""
    gone = str(folder / "gone")
    fields = {field: gone if field in ("cwd", "stdin") else (gone,)}
    with pytest.raises(BoxUnavailable, match=f"{gone}.*"):
        within(box.start(spec(folder, "/bin/sh", "-c", "touch ran", **fields)))
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "fields",
    [
        {"argv": ()},
        {"argv": ("/bin/echo", "a\0--bind")},
        {"env": {"A": "b\0--bind\0/\0/"}},
        {"env": {"A=B": "c"}},
        {"env": {"": "c"}},
        {"readable": ("relative",)},
        {"readable": ("/usr/../etc",)},
        {"readable": ("/",)},
        {"writable": ("/proc/sys",)},
        {"writable": ("/tmp",)},
        {"ports": (4000, 4000)},
        {"ports": (0,)},
        {"ports": (70000,)},
        {"git": ("/nowhere", "/nowhere")},
    ],
)
def test_bad_specs_are_refused(box: Box, folder: Path, fields: dict[str, object]) -> None:
    """What can't be meant is an error before anything starts."""
    with pytest.raises(BoxUnavailable):
        within(box.start(spec(folder, *("/bin/sh", "-c", "touch ran"), **fields)))
    assert not (folder / "ran").exists()


def test_a_port_in_use_is_refused(folder: Path) -> None:
    """Without a box, a port that someone else serves is an error, and nothing starts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        order = spec(folder, "/bin/sh", "-c", "touch ran", ports=(taken.getsockname()[1],))
        with pytest.raises(BoxUnavailable):
            within(Unconfined().start(order))
    assert not (folder / "ran").exists()


def _descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_descriptors_are_given_back(box: Box, folder: Path, logs: Path) -> None:
    """Neither a finished, a killed nor a refused box leaves a descriptor open, here or inside."""

    async def story() -> tuple[set[str], set[str], str]:
        await ran(box, spec(folder, "/bin/true"), logs)
        before = _descriptors()
        for _ in range(3):
            await ran(box, spec(folder, "/bin/true", ports=box.ports(2)), logs)
            process = await box.start(spec(folder, "/bin/sleep", "1000"))
            await process.kill()
            with pytest.raises(BoxUnavailable):
                await box.start(spec(folder, "/bin/true", readable=("/gone",)))
        inside = "import os; print(sorted(os.listdir('/proc/self/fd')))"
        done = await ran(box, spec(folder, PYTHON, "-I", "-S", "-c", inside, ports=box.ports(2)), logs)
        return before, _descriptors(), done.out

    before, after, inside = within(story())
    assert after == before
    assert inside == "['0', '1', '2', '3']\n"


def test_cancelled_wait_detaches(box: Box, folder: Path) -> None:
    """Cancelling wait leaves the box running; a later wait gets its code."""

    async def story() -> int:
        process = await box.start(spec(folder, "/bin/sleep", "1000"))
        waiting = asyncio.ensure_future(process.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await process.signal(signal.SIGTERM)
        return await process.wait()

    assert within(story()) == -signal.SIGTERM


def test_the_end_of_the_loop_ends_the_box(box: Box, folder: Path, held: Held) -> None:
    """A box that nobody waited for is dead when the loop is."""

    async def story() -> None:
        await box.start(spec(folder, "/bin/sh", "-c", "echo up; sleep 1000", stdout=held.path))
        assert await held.line() == "up\n"

    within(story())
    assert held.released()


def test_probe_names_what_it_saw(box: Box) -> None:
    """A probe's guarantees match the level: all of them for a box, none without one."""
    seen = within(box.probe())
    confined, alone = seen.level.value != "none", not isinstance(box, Landlock | Unconfined)
    assert (seen.files, seen.network, seen.processes, seen.syscalls) == (confined, alone, alone, confined)
    assert seen.level == box.level
    assert seen.name
