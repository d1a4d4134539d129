"""The local fleet: one warden process per run, in its own session, outliving whoever started it.

A run directory says everything: `spec.json` (what to do), `warden.lock` (held by the living warden),
`warden.json` (who it is), `outcome.json` (how it ended; written once). The daemon finds out by looking there.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

from overnight.durable.identity import Identity, is_alive
from overnight.missions.codec import decode, encode
from overnight.missions.places import run_dir
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec

#: A warden that has its lock says who it is within this time.
INTRODUCES_ITSELF_S = 10.0
#: Wardens that end without a word before the run counts as a failed launch.
TRIES = 3


class LocalFleet:
    """Port `Fleet`, on this machine."""

    def __init__(
        self,
        home: Path,
        command: Sequence[str],
        environ: Mapping[str, str],
        observer: Callable[[str, str], None] = lambda _moment, _label: None,
    ) -> None:
        """command: starts a warden when the run directory is appended to it. observer: told before and after that."""
        self._home, self._command, self._environ, self._observer = home, list(command), dict(environ), observer

    async def run(self, spec: RunSpec) -> RunOutcome:
        folder = Path(run_dir(str(self._home), spec.id))
        _lay_out(folder, spec)
        for _ in range(TRIES):
            if (outcome := read_outcome(folder)) is not None:
                return outcome
            with _try_lock(folder) as free:
                dead = free and (folder / "warden.json").exists()
                if dead and read_outcome(folder) is None:
                    write_outcome(folder, _lost(folder, spec))
                if dead:
                    continue
            if free:
                self._observer("before", "start warden")
                warden = self._start(folder)
                self._observer("after", "start warden")
                await _exit_of(warden)
            elif (who := await _introduced(folder)) is not None:
                await _exit_of(who.pid, lambda who=who: is_alive(who))
        return read_outcome(folder) or _never_started(folder, spec)

    async def stop(self, run: str, why: str) -> None:
        folder = Path(run_dir(str(self._home), run))
        if not folder.is_dir() or read_outcome(folder) is not None:
            return
        write_atomically(folder / "stop", why.encode())
        warden = read_identity(folder)
        if warden is not None and is_alive(warden):
            with contextlib.suppress(ProcessLookupError):
                os.kill(warden.pid, signal.SIGTERM)

    def _start(self, folder: Path) -> int:
        log = str(folder / "warden.log")
        argv = [*self._command, str(folder)]
        return os.posix_spawn(
            argv[0],
            argv,
            self._environ,
            setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )


# -- the run directory --------------------------------------------------------------------------------------


def write_atomically(path: Path, data: bytes) -> None:
    """All or nothing, and on disk when it returns."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_outcome(folder: Path) -> RunOutcome | None:
    """The outcome, when there is one."""
    try:
        return decode((folder / "outcome.json").read_bytes(), RunOutcome)
    except FileNotFoundError:
        return None


def write_outcome(folder: Path, outcome: RunOutcome) -> None:
    """Say how the run ended. Only the holder of the lock does."""
    write_atomically(folder / "outcome.json", encode(outcome))


def read_identity(folder: Path) -> Identity | None:
    """Who the warden is or was."""
    try:
        return decode((folder / "warden.json").read_bytes(), Identity)
    except FileNotFoundError:
        return None


def _lay_out(folder: Path, spec: RunSpec) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / "spec.json").exists():
        write_atomically(folder / "prompt.md", spec.prompt.encode())
        write_atomically(folder / "spec.json", encode(spec))


@contextlib.contextmanager
def _try_lock(folder: Path) -> Generator[bool]:
    """True inside while the warden's lock is ours: then no warden lives."""
    fd = os.open(folder / "warden.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(fd)


def _lost(folder: Path, spec: RunSpec) -> RunOutcome:
    started = (folder / "warden.json").stat().st_mtime
    why = "its warden died with it (killed, or the machine went down)"
    return RunOutcome(
        run=spec.id, end=End.LOST, failure=FailureClass.MACHINE, why=why, started=started, ended=time.time()
    )


def _never_started(folder: Path, spec: RunSpec) -> RunOutcome:
    with contextlib.suppress(OSError):
        tail = (folder / "warden.log").read_bytes()[-500:].decode(errors="replace").strip()
        why = f"the warden does not start: {tail.splitlines()[-1] if tail else 'it says nothing'} (see {folder}/warden.log)"
        return RunOutcome(run=spec.id, end=End.FAILED, failure=FailureClass.LAUNCH, why=why, ended=time.time())
    why = f"the warden does not start (see {folder})"
    return RunOutcome(run=spec.id, end=End.FAILED, failure=FailureClass.LAUNCH, why=why, ended=time.time())


# -- waiting ------------------------------------------------------------------------------------------------


async def _introduced(folder: Path) -> Identity | None:
    """The living warden's identity. Between taking its lock and saying who it is lie microseconds."""
    until = time.monotonic() + INTRODUCES_ITSELF_S
    while time.monotonic() < until:
        if (who := read_identity(folder)) is not None and is_alive(who):
            return who
        await asyncio.sleep(0.01)
    return None


async def _exit_of(pid: int, still: Callable[[], bool] = lambda: True) -> None:
    """Return when the process has ended; our own child is reaped. Cancelling leaves it alone.

    still: checked once the pid is pinned by its file descriptor, so that a reused pid is not waited for.
    """
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    try:
        if not still():
            return
        loop.add_reader(fd, lambda: ended.done() or ended.set_result(None))
        await ended
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    _reap(pid)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
