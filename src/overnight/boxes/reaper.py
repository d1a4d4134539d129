"""Run as a program of its own: keep a process tree together where there is no box.

    python -I -S reaper.py CONTROL_FD ORDER_FD

It is the subreaper of everything below it, so that a daemonised process can't slip away. It ends all of it when
argv ends, when told so, or when the control socket closes because its starter died.

Control, one message each. To it: `k` kill all; `s` + number, a signal for argv. From it: `r` argv runs; `x` + exit
code, or minus the number of a signal.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_NOT_FOUND = 127


def _prctl(option: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _descendants() -> list[int]:
    """Everything below this process, as /proc has it now."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
    found: list[int] = []
    level = {os.getpid()}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        found += level
    return found


def _kill_all() -> None:
    """No child left means no descendant left: whoever loses its parent becomes a child of a subreaper."""
    while True:
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _spawn(order: dict[str, Any]) -> "subprocess.Popen[bytes] | None":
    try:
        return subprocess.Popen(order["argv"], env=order["env"], cwd=order["cwd"], start_new_session=True)
    except OSError as error:
        print(f"{order['argv'][0]}: {error.strerror}", file=sys.stderr, flush=True)
        return None


def _wake_up(number: int, frame: object) -> None:
    """A handler of Python's own is what makes a signal show on the wake-up descriptor."""


def _ended(pid: int) -> "int | None":
    """Reap whatever died; argv's code once it is among them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while True:
            dead, status = os.waitpid(-1, os.WNOHANG)
            if dead == 0:
                break
            if dead == pid:
                code = os.waitstatus_to_exitcode(status)
    return code


def _heard(control: socket.socket) -> bytes:
    """A message; none when the starter died, also when it had not read yet what it was told."""
    try:
        return control.recv(64)
    except ConnectionResetError:
        return b""


def _follow(pid: int, control: socket.socket, wake: socket.socket) -> int:
    """Serve the control socket until argv ends, or everything has to."""
    while (code := _ended(pid)) is None:
        ready, _, _ = select.select([control, wake], [], [])
        if wake in ready:
            wake.recv(4096)
        if control in ready:
            message = _heard(control)
            if message[:1] == b"s":
                os.kill(pid, int(message[1:]))
            else:
                return -signal.SIGKILL
    return code


def main() -> None:
    """Read the order, run it, end everything, tell how argv ended."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    with os.fdopen(int(sys.argv[2]), "rb") as file:
        order = json.load(file)
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _wake_up)
    _prctl(_PR_SET_CHILD_SUBREAPER)
    _prctl(_PR_SET_NO_NEW_PRIVS)
    child = _spawn(order)
    with contextlib.suppress(OSError):
        control.send(b"r")
    try:
        code = _NOT_FOUND if child is None else _follow(child.pid, control, wake)
    finally:  # whatever happens here, nobody is left to himself
        _kill_all()
    with contextlib.suppress(OSError):
        control.send(b"x%d" % code)
    os._exit(0)


if __name__ == "__main__":
    main()
