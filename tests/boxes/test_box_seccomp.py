"""The system call filter: what it says, and what the kernel makes of it."""

from __future__ import annotations

import errno
import json
import platform
import struct
from pathlib import Path

import pytest
from boxing import PYTHON, run, spec
from hypothesis import given
from hypothesis import strategies as st

from overnight.boxes.bubblewrap import Bubblewrap
from overnight.boxes.none import Unconfined
from overnight.boxes.seccomp import ABSENT, FORBIDDEN, MACHINES, NUMBERS, program
from overnight.errors import BoxUnavailable
from overnight.ports import Box

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x50000, 0x80000000
O_CREAT, O_TMPFILE, TIOCSTI, NEWUSER, NEWNET = 0o100, 0o20000000, 0x5412, 0x10000000, 0x40000000
UNIX, INET, INET6, NETLINK, PACKET, VSOCK = 1, 2, 10, 16, 17, 40

#: (call, arguments, errno that the filter gives, or 0 when it lets the call pass)
CASES = [
    *[(name, (), errno.EPERM) for name in FORBIDDEN],
    *[(name, (), errno.ENOSYS) for name in ABSENT],
    ("clone", (NEWUSER | 17,), errno.EPERM),
    ("clone", (NEWNET | 17,), errno.EPERM),
    ("clone", (0x3D0F00,), 0),
    ("socket", (INET, 1, 0), 0),
    ("socket", (INET6, 2, 0), 0),
    ("socket", (NETLINK, 3, 0), 0),
    ("socket", (NETLINK, 3, 9), errno.EPROTONOSUPPORT),
    ("socket", (UNIX, 1, 0), errno.EAFNOSUPPORT),
    ("socket", (PACKET, 3, 0), errno.EAFNOSUPPORT),
    ("socket", (VSOCK, 1, 0), errno.EAFNOSUPPORT),
    ("socketpair", (UNIX, 1, 0), 0),
    ("socketpair", (INET, 1, 0), errno.EAFNOSUPPORT),
    ("ioctl", (0, TIOCSTI), errno.EPERM),
    ("ioctl", (0, TIOCSTI | 1 << 32), errno.EPERM),
    ("ioctl", (0, 0x541C), errno.EPERM),
    ("ioctl", (0, 0x5401), 0),
    ("personality", (0xFFFFFFFF,), 0),
    ("personality", (0x0400000,), errno.EPERM),
    ("fchmod", (99, 0o4755), errno.EPERM),
    ("fchmod", (99, 0o2755), errno.EPERM),
    ("fchmod", (99, 0o1777), 0),
    ("fchmodat", (99, 0, 0o4755), errno.EPERM),
    ("fchmodat", (99, 0, 0o755), 0),
    ("fchmodat2", (99, 0, 0o4755), errno.EPERM),
    ("mknodat", (99, 0, 0o104755), errno.EPERM),
    ("openat", (99, 0, O_CREAT | 1, 0o4755), errno.EPERM),
    ("openat", (99, 0, O_TMPFILE | 1, 0o4755), errno.EPERM),
    ("openat", (99, 0, O_CREAT | 1, 0o644), 0),
    ("openat", (99, 0, 0, 0o4755), 0),
    ("chmod", (0, 0o6755), errno.EPERM),
    ("chmod", (0, 0o755), 0),
    ("creat", (0, 0o4755), errno.EPERM),
    ("mknod", (0, 0o104755), errno.EPERM),
    ("open", (0, O_CREAT, 0o4755), errno.EPERM),
    ("open", (0, 0, 0o4755), 0),
]


def verdict(code: bytes, number: int, arguments: tuple[int, ...], architecture: int) -> int:
    """What a filter answers, as the kernel's own interpreter of classic BPF would."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("=iIQ6Q", number, architecture, 0, *padded)
    ops = list(struct.iter_unpack("=HBBI", code))
    at, word = 0, 0
    while True:
        kind, yes, no, value = ops[at]
        at += 1
        if kind == 0x06:
            return value
        if kind == 0x20:
            (word,) = struct.unpack_from("=I", data, value)
            continue
        holds = {0x15: word == value, 0x35: word >= value, 0x45: bool(word & value)}[kind]
        at += yes if holds else no


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_filter_says_the_same_on_every_machine(machine: str) -> None:
    """Every case has its verdict under the machine's own numbers."""
    architecture, column = MACHINES[machine]
    code = program(machine=machine)
    for name, arguments, expected in CASES:
        number = NUMBERS[name][column]
        if number is not None:
            answer = verdict(code, number, arguments, architecture)
            assert answer == (ERRNO | expected if expected else ALLOW), (name, arguments)


@given(st.integers(0, 600), st.tuples(*[st.integers(0, 2**64 - 1)] * 4), st.sampled_from(sorted(MACHINES)))
def test_unnamed_calls_are_allowed(number: int, arguments: tuple[int, ...], machine: str) -> None:
    """A call outside of the table passes whatever its arguments; every program ends in a verdict."""
    architecture, column = MACHINES[machine]
    answer = verdict(program(machine=machine), number, arguments, architecture)
    named = {numbers[column] for numbers in NUMBERS.values()}
    assert answer == ALLOW or number in named


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_other_architectures_are_killed(machine: str) -> None:
    """The tables of another architecture, and x32, can't be used to go round the filter."""
    code = program(machine=machine)
    assert verdict(code, 1, (), 0x40000003) == KILL
    if machine == "x86_64":
        assert verdict(code, 0x40000000 | 165, (), MACHINES[machine][0]) == ERRNO | errno.ENOSYS


def test_unix_sockets_on_request() -> None:
    """With the setting, unix sockets pass and nothing else changes."""
    architecture, column = MACHINES["x86_64"]
    code, number = program(unix_sockets=True, machine="x86_64"), NUMBERS["socket"][column]
    assert number is not None
    assert verdict(code, number, (UNIX, 1, 0), architecture) == ALLOW
    assert verdict(code, number, (PACKET, 1, 0), architecture) == ERRNO | errno.EAFNOSUPPORT


def test_unknown_machines_are_refused() -> None:
    """Without numbers there is no filter, and so no box."""
    with pytest.raises(BoxUnavailable, match="riscv64"):
        program(machine="riscv64")


#: Makes the calls of a JSON list and prints their errno. Clone without arguments would fork: it is left out.
CALLS = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
found = []
for number, arguments in json.load(sys.stdin):
    ctypes.set_errno(0)
    result = libc.syscall(*map(ctypes.c_long, (number, *arguments)))
    found.append(ctypes.get_errno() if result == -1 else 0)
print(json.dumps(found))
"""
#: What an unfiltered kernel answers otherwise to anyone, so that the filter is seen and nothing else.
TELLING = {"keyctl", "kcmp", "process_vm_writev", "clone3", "openat2", "io_uring_setup", "add_key", "request_key"}


def _answers(box: Box, cases: list[tuple[str, tuple[int, ...], int]], folder: Path, logs: Path) -> list[int]:
    column = MACHINES[platform.machine()][1]
    calls = [(NUMBERS[name][column], [*arguments, 0, 0, 0, 0, 0, 0][:6]) for name, arguments, _ in cases]
    (logs / "in").write_text(json.dumps(calls))
    done = run(box, spec(folder, PYTHON, "-I", "-S", "-c", CALLS, stdin=str(logs / "in")), logs)
    assert done.code == 0, done.err
    (logs / "out").unlink()
    return json.loads(done.out)


def _real(cases: list[tuple[str, tuple[int, ...], int]]) -> list[tuple[str, tuple[int, ...], int]]:
    column = MACHINES[platform.machine()][1]
    return [case for case in cases if NUMBERS[case[0]][column] is not None and (case[0], case[2]) != ("clone", 0)]


def test_kernel_applies_the_filter(tight: Box, folder: Path, logs: Path) -> None:
    """In a real box each refused call yields its errno, and allowed ones don't."""
    cases = _real(CASES)
    for (name, arguments, expected), answer in zip(cases, _answers(tight, cases, folder, logs), strict=True):
        if expected:
            assert answer == expected, (name, arguments)
        else:
            assert answer not in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT), name


def test_it_is_the_filter_that_refuses(folder: Path, logs: Path) -> None:
    """Without the box the telling calls are answered otherwise."""
    cases = _real([case for case in CASES if case[0] in TELLING])
    answers = _answers(Unconfined(), cases, folder, logs)
    different = [case[0] for case, answer in zip(cases, answers, strict=True) if answer != case[2]]
    assert len(different) >= 3, dict(zip((case[0] for case in cases), answers, strict=True))


def test_threads_and_processes_work(folder: Path, logs: Path) -> None:
    """libc falls back from what is hidden: threads, processes, pipes and loopback sockets work."""
    code = """
import socket, subprocess, sys, threading
def serve(listener):
    with listener.accept()[0] as c: c.sendall(b"hello")
listener = socket.create_server(("127.0.0.1", 0))
thread = threading.Thread(target=serve, args=(listener,)); thread.start()
with socket.create_connection(listener.getsockname()) as c: print(c.recv(5).decode())
thread.join()
print(subprocess.run(["/bin/echo", "child"], capture_output=True, text=True, check=True).stdout.strip())
a, b = socket.socketpair(); a.send(b"pair"); print(b.recv(4).decode())
"""
    done = run(Bubblewrap(), spec(folder, PYTHON, "-I", "-c", code), logs)
    assert done.out.split() == ["hello", "child", "pair"], done.err
