"""Listening sockets on a box's loopback, held outside of it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from overnight.boxes.child import Child, readable
from overnight.errors import BoxUnavailable

_HELPER = str(Path(__file__).with_name("netns_listeners.py"))
MOST = 64  #: Ports that one box may ask for; the kernel hands over 253 descriptors at most.


async def listen_inside(pid: int, ports: Sequence[int]) -> list[socket.socket]:
    """Sockets listening on 127.0.0.1 in the network namespace of process `pid`, in the order of `ports`.

    They don't block. Raises BoxUnavailable.
    """
    if not ports:
        return []
    listeners: list[socket.socket] = []
    ours, theirs = socket.socketpair()
    errors = os.memfd_create("netns-listeners")
    helper = None
    try:
        argv = (sys.executable, "-I", "-S", _HELPER, str(pid), str(theirs.fileno()), *map(str, ports))
        stdio = (subprocess.DEVNULL, subprocess.DEVNULL, errors)
        helper = Child(argv, env={}, pass_fds=(theirs.fileno(),), stdio=stdio)
        theirs.close()
        await readable(ours.fileno())
        listeners += [socket.socket(fileno=fd) for fd in socket.recv_fds(ours, 1, len(ports))[1]]
        for listener in listeners:
            listener.setblocking(False)
        _check_helper(await helper.ended(), len(listeners), ports, errors)
    except BaseException:
        close_all(listeners)
        raise
    finally:
        if helper is not None:
            helper.end()
        os.close(errors)
        theirs.close()
        ours.close()
    return listeners


def _check_helper(code: int, bound: int, ports: Sequence[int], errors: int) -> None:
    if code or bound != len(ports):
        said = os.pread(errors, 4096, 0).decode(errors="replace").strip().rpartition("\n")[2]
        raise BoxUnavailable(
            reason=f"no listener could be bound on ports {', '.join(map(str, ports))} inside: {said}",
            install="Choose other ports, or see whether this machine lets a process enter its own namespaces.",
        )


def listen_here(ports: Sequence[int]) -> list[socket.socket]:
    """The same on this machine's own loopback."""
    listeners: list[socket.socket] = []
    try:
        for port in ports:
            listener = socket.socket()
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
            listener.setblocking(False)
    except OSError as error:
        close_all(listeners)
        raise BoxUnavailable(
            reason=f"no listener could be bound on 127.0.0.1: {error}", install="Ask for ports anew and start again."
        ) from error
    return listeners


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of this machine's loopback that are free now; all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return tuple(probe.getsockname()[1] for probe in probes)


def close_all(listeners: Sequence[socket.socket]) -> None:
    """Close each; closed ones stay closed."""
    for listener in listeners:
        listener.close()
