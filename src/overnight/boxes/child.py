"""A child process awaited through its pidfd: no thread, no signal handler, no process id that is used again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence


async def readable(fd: int) -> None:
    """Return when `fd` has something to read, or its end. One waiter per descriptor."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, wake)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


class Pidfd:
    """A handle on exactly one process, child or not."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    async def ended(self) -> None:
        """Return when the process is dead. For the first process of a pid namespace: when all of it is dead."""
        await readable(self._fd)

    def ended_within(self, seconds: float) -> bool:
        """The same, blocking; for ways out that can't await."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def send(self, number: int) -> None:
        """Harmless when the process is dead."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, number)

    def close(self) -> None:
        """Reap it, should it have become ours (a subreaper or process 1 inherits orphans), and let go."""
        if self._fd < 0:
            return
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self._fd, os.WEXITED | os.WNOHANG)
        os.close(self._fd)
        self._fd = -1


class Child:
    """A process that this one started, in a session of its own."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        pass_fds: Sequence[int] = (),
        stdio: tuple[int, int, int] = (subprocess.DEVNULL, subprocess.DEVNULL, subprocess.DEVNULL),
    ) -> None:
        self._popen = subprocess.Popen(
            argv,
            env=env,
            cwd="/",
            pass_fds=pass_fds,
            stdin=stdio[0],
            stdout=stdio[1],
            stderr=stdio[2],
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self._pidfd = Pidfd(self.pid)

    async def ended(self) -> int:
        """Exit code, negative for a signal."""
        await self._pidfd.ended()
        return self._popen.wait()

    def end(self, patience: float = 0.0) -> int:
        """Give it so many seconds to end by itself, then SIGKILL; reap it and let go. Blocks."""
        if self._popen.returncode is None and not self._pidfd.ended_within(patience):
            self._popen.kill()
        code = self._popen.wait()
        self._pidfd.close()
        return code

    def kill(self) -> None:
        """SIGKILL; harmless when it is dead."""
        self._popen.kill()
