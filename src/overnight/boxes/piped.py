"""What a box prints goes through a FIFO and is written by whoever started it.

A program that had the log itself as its output could cut it: with `ftruncate`, by opening `/proc/self/fd/1` anew, or
without any harm meant by `> /dev/stderr`. What is through the FIFO is out of its reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from overnight.errors import BoxUnavailable
from overnight.missions.places import pipe_of
from overnight.ports import Box, BoxedProcess, BoxSpec, Exceeded, Guarantees

#: Bytes that are taken at once; others have their turn in between.
_PIECE = 256 << 10
#: Bytes that may wait in a FIFO, where the kernel grants so many.
_HOLDS = 1 << 20
#: A log that can't be written (full disk) is tried again after this time; the programs that print wait meanwhile.
_AGAIN_S = 0.5
#: Its owner reads and writes; others, such as the box's own user, can only write.
_MODE = 0o622


class Piped:
    """A box, with a FIFO between it and each of its logs. The FIFO lies beside the log, for as long as the box lives."""

    def __init__(self, box: Box) -> None:
        self.box, self.level = box, box.level

    async def probe(self) -> Guarantees:
        """As the box's own."""
        return await self.box.probe()

    def ports(self, count: int) -> tuple[int, ...]:
        """As the box's own."""
        return self.box.ports(count)

    async def start(self, spec: BoxSpec) -> BoxedProcess:
        """As the box's own. A path that is no regular file is left to the box."""
        pumps: dict[str, Pump] = {}
        try:
            for path in (spec.stdout, spec.stderr):
                if path is not None and path not in pumps and _is_log(path):
                    pumps[path] = _pump(path)
            through = {path: pump.fifo for path, pump in pumps.items()}
            process = await self.box.start(
                replace(spec, stdout=_by(through, spec.stdout), stderr=_by(through, spec.stderr))
            )
        except BaseException:
            for pump in pumps.values():
                pump.close()
            raise
        # Not before: what bwrap says of a start that fails is read from the FIFO by who asked it to start.
        for pump in pumps.values():
            pump.begin()
        return PipedProcess(process, tuple(pumps.values())) if pumps else process


class PipedProcess:
    """A boxed process. Its logs are whole when `wait` returns."""

    def __init__(self, process: BoxedProcess, pumps: Sequence[Pump]) -> None:
        self.pid, self.listeners = process.pid, process.listeners
        self._process, self._pumps = process, pumps
        self._end = asyncio.ensure_future(self._follow())

    async def wait(self) -> int:
        """As the port says."""
        return await asyncio.shield(self._end)

    async def kill(self) -> None:
        """As the port says."""
        await self._process.kill()
        await asyncio.wait([self._end])

    async def signal(self, number: int) -> None:
        """As the port says."""
        await self._process.signal(number)

    def exceeded(self) -> Exceeded | None:
        """As the port says."""
        return self._process.exceeded()

    async def _follow(self) -> int:
        try:
            return await self._process.wait()
        finally:  # nobody is left to print
            for pump in self._pumps:
                pump.close()


class Pump:
    """Takes what comes out of a FIFO to the end of a log."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self.fifo = pipe_of(path)
        self._left = b""
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None
        self._fds: list[int] = []
        try:
            self._log = self._open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            Path(self.fifo).unlink(missing_ok=True)
            os.mkfifo(self.fifo, 0o600)
            Path(self.fifo).chmod(_MODE)
            self._from = self._open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)
            self._open(self.fifo, os.O_WRONLY)  # kept open: programs come and go, and that is no end
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._from, fcntl.F_SETPIPE_SZ, _HOLDS)
        except BaseException:
            self._let_go()
            raise

    def begin(self) -> None:
        """From now on."""
        self._loop.add_reader(self._from, self._take)

    def close(self) -> None:
        """Everybody who could print is dead: take what is left and remove the FIFO. What no disk takes is lost."""
        if not self._fds:
            return
        self._loop.remove_reader(self._from)
        if self._again is not None:
            self._again.cancel()
        with contextlib.suppress(OSError):  # BlockingIOError: nothing is left
            self._write()
            while True:
                self._left = os.read(self._from, _PIECE)
                self._write()
        self._let_go()

    def _take(self) -> None:
        try:
            self._left += os.read(self._from, _PIECE)
        except BlockingIOError:
            return
        self._put()

    def _put(self) -> None:
        try:
            self._write()
        except OSError:
            self._loop.remove_reader(self._from)
            self._again = self._loop.call_later(_AGAIN_S, self._put)
            return
        if self._again is not None:
            self._again = None
            self.begin()

    def _write(self) -> None:
        while self._left:
            self._left = self._left[os.write(self._log, self._left) :]

    def _open(self, path: str, flags: int) -> int:
        self._fds.append(os.open(path, flags | os.O_CLOEXEC, 0o600))
        return self._fds[-1]

    def _let_go(self) -> None:
        while self._fds:
            os.close(self._fds.pop())
        Path(self.fifo).unlink(missing_ok=True)


def _pump(path: str) -> Pump:
    try:
        return Pump(path)
    except OSError as error:
        raise BoxUnavailable(reason=f"{path} can't be written: {error.strerror}", install="Mend the path.") from error


def _is_log(path: str) -> bool:
    try:
        return stat.S_ISREG(Path(path).stat().st_mode)
    except OSError:  # it is to be made; what keeps it from that is told then
        return True


def _by(through: dict[str, str], path: str | None) -> str | None:
    return None if path is None else through.get(path, path)
