"""What the Landlock box keeps in, and what it is known to let through."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest
from boxing import PATIENCE, PYTHON, Held, named, python, run, spec, within
from msgspec.structs import replace

from overnight.boxes.landlock import Landlock
from overnight.boxes.none import Unconfined
from overnight.boxes.settings import BoxSettings
from overnight.errors import BoxUnavailable
from overnight.missions.policy import BoxLevel
from overnight.missions.units import Size
from overnight.ports import Box, Mechanism

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="about root")


@pytest.fixture
def box() -> Box:
    """A Landlock box, where one can be had."""
    box = named("landlock")
    if box is None:
        pytest.skip("root, or a kernel without what is needed")
    return box


@needs_root
def test_root_is_refused(folder: Path) -> None:
    """Permissions of root's files could be changed from inside: nothing starts."""
    with pytest.raises(BoxUnavailable, match="does not hold root"):
        within(Landlock().start(spec(folder, "/bin/true")))


def test_it_says_what_it_does_not_hold(box: Box) -> None:
    """Neither the network nor other processes are claimed."""
    seen = within(box.probe())
    assert (seen.level, seen.files, seen.syscalls) == (BoxLevel.OS, True, True)
    assert (seen.network, seen.processes) == (False, False)
    assert (seen.memory, seen.pids, seen.cpu) == (Mechanism.WATCHED, Mechanism.WATCHED, Mechanism.NONE)


@pytest.mark.parametrize("settings", [BoxSettings(unix_sockets=True), BoxSettings(cpu=1.0)])
def test_settings_that_it_can_not_hold_are_refused(box: Box, settings: BoxSettings, folder: Path) -> None:
    """Nothing starts with a bound that would not be one."""
    with pytest.raises(BoxUnavailable):
        within(Landlock(settings).start(spec(folder, "/bin/true")))


def test_files_outside_are_shut(box: Box, folder: Path, logs: Path, tmp_path: Path) -> None:
    """What is not shown can't be read, written, made, removed or moved; without the box it can."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("kept")
    lines = (
        f"cat {other}/file", f"ls {other}", f"echo x >> {other}/file", f"echo x > {other}/new", f"rm {other}/file",
        f"mv {other}/file {folder}/file", f"ln {other}/file {folder}/file", "echo x > /tmp/overnight-landlock-test",
    )  # fmt: skip
    script = 'for try in "$@"; do if sh -c "$try" >/dev/null 2>&1; then echo "THROUGH: $try"; fi; done'
    assert run(box, spec(folder, "/bin/sh", "-c", script, "sh", *lines), logs).out == ""
    assert (other / "file").read_text() == "kept"
    (logs / "out").unlink()
    assert run(Unconfined(), spec(folder, "/bin/sh", "-c", script, "sh", lines[0]), logs).out


SOCKETS = """
import socket, sys
def attempt(*args):
    try: socket.socket(*args).close(); return 0
    except OSError as error: return error.errno
kinds = [(socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_INET6, socket.SOCK_DGRAM), (socket.AF_UNIX, socket.SOCK_STREAM),
    (socket.AF_INET, socket.SOCK_STREAM, 262), (socket.AF_NETLINK, socket.SOCK_RAW, 0), (socket.AF_INET, socket.SOCK_STREAM)]
print([attempt(*kind) for kind in kinds])
"""


def test_only_tcp_sockets_can_be_made(box: Box, folder: Path, logs: Path) -> None:
    """No datagrams, no unix sockets, no multipath TCP: nobody would be asked about their connections."""
    blocked = [errno.EPROTONOSUPPORT] * 2 + [errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, 0]
    assert python(box, folder, SOCKETS, logs).out == f"{blocked}\n"


CONNECTS = """
import socket, sys
for port in map(int, sys.argv[1:]):
    print(socket.socket().connect_ex(("127.0.0.1", port)))
try: socket.socket().sendto(b"x", 0x20000000, ("127.0.0.1", int(sys.argv[1])))
except OSError as error: print(error.errno)
"""


def test_only_the_boxs_ports_are_reached(box: Box, folder: Path, logs: Path) -> None:
    """Another port of this machine is refused, also when data goes with the first packet."""
    (own,) = box.ports(1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = python(box, folder, CONNECTS, logs, str(port), str(own), ports=(own,))
    assert done.out == f"{errno.EACCES}\n0\n{errno.EOPNOTSUPP}\n"


def test_others_can_not_be_signalled_or_starved(box: Box, folder: Path, logs: Path) -> None:
    """The program that started the box gets no signal from inside, keeps its limits and its memory to itself."""
    code = """
import os, resource, sys
pid = int(sys.argv[1])
def attempt(act):
    try: act(); return "through"
    except OSError as error: return error.errno
print([attempt(lambda: os.kill(pid, 0)), attempt(lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (10, 10))),
    attempt(lambda: os.setpriority(os.PRIO_PROCESS, pid, 19)), attempt(lambda: open(f"/proc/{pid}/environ").read()),
    attempt(lambda: open(f"/proc/{pid}/mem", "rb"))])
"""
    done = python(box, folder, code, logs, str(os.getpid()))
    assert done.out == f"{[errno.EPERM] * 3 + [errno.EACCES] * 2}\n", done.err


def test_temporary_files_go_with_the_box(box: Box, folder: Path, logs: Path) -> None:
    """TMPDIR is the box's own, and gone after."""
    done = run(box, spec(folder, "/bin/sh", "-c", 'echo x > "$TMPDIR/a"; echo "$TMPDIR"'), logs)
    assert done.code == 0, done.err
    assert not Path(done.out.strip()).exists()


def test_what_is_too_much_ends_it(box: Box, folder: Path, held: Held) -> None:
    """Memory is watched; a process that has its own session is ended too."""
    code = """
import os
if os.fork() == 0:
    os.setsid(); held = []
    while True: held.append(b"x" * (8 << 20))
import signal; signal.pause()
"""

    async def story() -> str:
        small = Landlock(BoxSettings(memory=Size(128 << 20)))
        process = await small.start(replace(spec(folder, PYTHON, "-I", "-S", "-c", code), stdout=held.path))
        await process.wait()
        over = process.exceeded()
        assert over is not None
        return over.bound

    assert within(story()) == "memory"
    assert held.released(PATIENCE)


@pytest.mark.parametrize(
    "line",
    ["chmod 600 {file}", "touch -d 2001-01-01 {file}", "stat {file}", "cat /proc/{pid}/cmdline"],
)
def test_known_gaps(box: Box, folder: Path, logs: Path, tmp_path: Path, line: str) -> None:
    """What docs/boxes.md says passes: permissions and times of outside files, names, others' command lines."""
    file = tmp_path / "outside"
    file.touch()
    assert run(box, spec(folder, "/bin/sh", "-c", line.format(file=file, pid=os.getpid())), logs).code == 0
