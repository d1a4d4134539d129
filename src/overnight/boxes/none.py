"""`Unconfined`: no box at all, for development. It only keeps a process tree together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from overnight.boxes.checked import check
from overnight.boxes.child import Child, readable
from overnight.boxes.handover import Handover
from overnight.boxes.listeners import close_all, free_ports, listen_here
from overnight.errors import BoxUnavailable
from overnight.missions.policy import BoxLevel
from overnight.ports import BoxSpec, Guarantees

_REAPER = str(Path(__file__).with_name("reaper.py"))
_PATIENCE = 5.0


class Unconfined:
    """Runs argv as any program runs: it sees and may do all that its user may.

    Nothing of `writable` and `readable` is enforced. `PWD` is set to the working folder, and `git` becomes
    GIT_DIR and GIT_WORK_TREE, besides the variables of the spec.
    """

    level = BoxLevel.NONE

    async def probe(self) -> Guarantees:
        """Holds nothing, and says so."""
        process = await self.start(BoxSpec(argv=("/bin/sh", "-c", ":"), env={}, cwd="/"))
        code = await process.wait()
        if code:
            raise BoxUnavailable(reason=f"/bin/sh ended with exit code {code}", install="Mend this machine's shell.")
        return Guarantees(level=self.level, name="none (no confinement)")

    def ports(self, count: int) -> tuple[int, ...]:
        """Free ones of this machine's own loopback; someone else may take them before the start."""
        return free_ports(count)

    async def start(self, spec: BoxSpec) -> UnconfinedProcess:
        """A program that can't be executed shows as exit code 127. Raises BoxUnavailable."""
        check(spec)
        listeners = listen_here(spec.ports)
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reaper = None
        try:
            with Handover() as stdio, Handover() as handover, theirs:
                order = handover.data(_order(spec))
                reaper = Child(
                    (sys.executable, "-I", "-S", _REAPER, str(theirs.fileno()), str(order)),
                    env={},
                    pass_fds=(theirs.fileno(), order),
                    stdio=(stdio.source(spec.stdin, copied=False), stdio.sink(spec.stdout), stdio.sink(spec.stderr)),
                )
            await readable(control.fileno())
            _check_started(control.recv(64))
        except BaseException:
            close_all(listeners)
            control.close()
            if reaper is not None:
                reaper.end(_PATIENCE)
            raise
        return UnconfinedProcess(reaper, control, listeners)


class UnconfinedProcess:
    """A process tree and its reaper. Its listeners belong to the caller, who serves and closes them."""

    def __init__(self, reaper: Child, control: socket.socket, listeners: Sequence[socket.socket]) -> None:
        self.pid = reaper.pid
        self.listeners = listeners
        self._reaper, self._control = reaper, control
        self._end = asyncio.ensure_future(self._follow())

    async def wait(self) -> int:
        """As the port says; 127 when the program could not be executed."""
        return await asyncio.shield(self._end)

    async def kill(self) -> None:
        """The reaper kills until nobody is left."""
        self._tell(b"k")
        await asyncio.wait([self._end])

    async def signal(self, number: int) -> None:
        """Once argv has ended, nothing happens."""
        self._tell(b"s%d" % number)

    def exceeded(self) -> None:
        """Never: nothing is bounded here."""

    def _tell(self, message: bytes) -> None:
        if not self._end.done():
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._control.send(message)

    async def _follow(self) -> int:
        last = b""
        try:
            await readable(self._control.fileno())
            last = _last(self._control)
            code = await self._reaper.ended()
        finally:
            self._control.close()
            code = self._reaper.end(_PATIENCE)
        return int(last[1:]) if last[:1] == b"x" else code


def _last(control: socket.socket) -> bytes:
    """The reaper's last word. A message that it left unread shows as an error first."""
    for _ in range(2):
        with contextlib.suppress(ConnectionResetError):
            return control.recv(64)
    return b""


def _check_started(message: bytes) -> None:
    if message != b"r":
        raise BoxUnavailable(reason="its reaper ended at once", install="Look at what stderr says.")


def _order(spec: BoxSpec) -> bytes:
    """The standard library's JSON: it carries names that are no Unicode."""
    return json.dumps({"argv": spec.argv, "env": _env(spec), "cwd": spec.cwd}).encode()


def _env(spec: BoxSpec) -> dict[str, str]:
    git = {} if spec.git is None else {"GIT_WORK_TREE": spec.git[0], "GIT_DIR": spec.git[1]}
    return {**spec.env, "PWD": spec.cwd, **git}
