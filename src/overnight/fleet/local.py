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
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from pathlib import Path

import msgspec

from overnight.durable.identity import Identity, is_alive
from overnight.fleet.holders import end_writers
from overnight.missions import memory
from overnight.missions.codec import decode, encode
from overnight.missions.limits import Contact
from overnight.missions.places import CONTACT, QUESTIONS, pipe_of, run_dir
from overnight.missions.question import Question
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec
from overnight.missions.runbook import RunbookUse

#: How often a lock is looked at whose holder has not said who it is: a warden that starts, or another who looks.
LOOK_S = 0.01
#: A box whose warden is dead is gone within this time by itself; what is left of it then is killed.
GONE_S = 10.0
#: Wardens that end without a word before the run counts as a failed launch.
TRIES = 3
#: What the agent prints.
LOGS = ("agent.jsonl", "agent.err")
_PIECE = 64 << 10


class LocalFleet:
    """Port `Fleet`, on this machine."""

    def __init__(
        self,
        home: Path,
        command: Sequence[str],
        environ: Mapping[str, str],
        observer: Callable[[str, str], None] = lambda _moment, _label: None,
        gone_s: float = GONE_S,
    ) -> None:
        """command: starts a warden when the run directory is appended to it. observer: told before and after that.
        gone_s: see `GONE_S`."""
        self._gone_s = gone_s
        self._home, self._command, self._environ, self._observer = home, list(command), dict(environ), observer
        #: Wardens that this process started and that were not reaped yet.
        self._children: set[int] = set()

    async def run(self, spec: RunSpec) -> RunOutcome:
        folder = Path(run_dir(str(self._home), spec.id))
        _lay_out(folder, spec)
        self._reap()
        tries, said = 0, ""
        while (outcome := read_outcome(folder)) is None:
            with _try_lock(folder) as ours:
                if ours and read_outcome(folder) is not None:
                    continue
                if ours and (end := _end_without_word(folder, spec, tries, said)) is not None:
                    await _box_gone(folder, self._gone_s)
                    write_outcome(folder, end)
                    return end
            if ours:
                tries += 1
                said = await self._one_warden(folder)
            elif (who := read_identity(folder)) is not None and is_alive(who):
                await _exit_of(who.pid, lambda who=who: is_alive(who))
            else:
                await asyncio.sleep(LOOK_S)
        self._reap()
        return outcome

    async def stop(self, run: str, why: str) -> None:
        try:
            folder = Path(run_dir(str(self._home), run))
        except ValueError:
            return
        if not folder.is_dir() or read_outcome(folder) is not None:
            return
        # Before the look for a warden: one that starts says who it is before it looks for this.
        write_atomically(folder / "stop", why.encode(errors="replace"))
        if (warden := read_identity(folder)) is not None:
            send(warden, signal.SIGTERM)

    async def _one_warden(self, folder: Path) -> str:
        """Start a warden and wait for its end; why it could not be started, if so."""
        self._observer("before", "start warden")
        try:
            warden = self._start(folder)
        except OSError as error:
            return f"{self._command[0]}: {error.strerror}"
        self._children.add(warden)
        self._observer("after", "start warden")
        await _exit_of(warden)
        self._reap()
        return ""

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

    def _reap(self) -> None:
        """Let go of our own wardens that ended, also of those that a cancelled call waited for."""
        for pid in tuple(self._children):
            try:
                ended = os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:
                ended = True
            if ended:
                self._children.discard(pid)


# -- the run directory --------------------------------------------------------------------------------------


def write_atomically(path: Path, data: bytes) -> None:
    """All or nothing, and on disk when it returns."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
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


def _end_without_word(folder: Path, spec: RunSpec, tries: int, said: str) -> RunOutcome | None:
    """The outcome of a run that no warden lives for and that has none; None when one is still to be started.

    Only for the holder of the lock: whoever comes later finds what is written under it.
    """
    if (folder / "warden.json").exists():
        return _lost(folder, spec)
    return _never_started(folder, spec, said) if tries >= TRIES else None


def _lost(folder: Path, spec: RunSpec) -> RunOutcome:
    started = (folder / "warden.json").stat().st_mtime
    why = "its warden died with it (killed, or the machine went down)"
    contact = _seen(folder)
    return RunOutcome(
        run=spec.id, end=End.LOST, failure=FailureClass.MACHINE, why=why, memory=_notes(folder) or spec.memory,
        started=started, ended=time.time(), questions=_asked(folder), runbook=_course(folder),
        session=contact.session, contact=contact,
    )  # fmt: skip


def _seen(folder: Path) -> Contact:
    """What it saw of its model's service, as its warden last kept it."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return decode((folder / CONTACT).read_bytes(), Contact)
    return Contact()


def _asked(folder: Path) -> tuple[Question, ...]:
    """What a person would have been asked, as its warden filed it."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return decode((folder / QUESTIONS).read_bytes(), tuple[Question, ...])
    return ()


def _notes(folder: Path) -> str:
    """The agent's notes, as its warden last found them sound."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (folder / memory.FILE).read_text()
    return ""


def _course(folder: Path) -> RunbookUse | None:
    """How it got along with its runbook, as its warden last wrote it."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return decode((folder / "runbook.json").read_bytes(), RunbookUse)
    return None


def _never_started(folder: Path, spec: RunSpec, said: str) -> RunOutcome:
    with contextlib.suppress(OSError):
        tail = (folder / "warden.log").read_bytes()[-500:].decode(errors="replace").strip()
        said = said or tail.rpartition("\n")[2]
    why = f"the warden does not start: {said or 'it says nothing'} (see {folder}/warden.log)"
    return RunOutcome(run=spec.id, end=End.FAILED, failure=FailureClass.LAUNCH, why=why, ended=time.time())


# -- processes ----------------------------------------------------------------------------------------------


async def _box_gone(folder: Path, within: float) -> None:
    """A box dies with its warden, though not in the same instant: what comes next needs its folders for itself. What
    does not die by itself is helped.

    Whatever holds a box together has the FIFOs for its output open for writing from before its start to its end. What
    the warden did not take out of them any more goes to the logs.
    """
    for name in LOGS:
        log = folder / name
        try:
            fd = os.open(pipe_of(str(log)), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:  # there was no box yet, or it ended in order
            continue
        try:
            async for piece in _until_nobody_writes(fd, within):
                with contextlib.suppress(OSError), log.open("ab") as file:  # a full disk takes no more
                    file.write(piece)
        finally:
            os.close(fd)
        Path(pipe_of(str(log))).unlink(missing_ok=True)


async def _until_nobody_writes(fd: int, within: float) -> AsyncGenerator[bytes]:
    """What comes out of a FIFO, until nobody has it open for writing: whoever still does after a time is killed."""
    kill_at = time.monotonic() + within
    while True:
        if time.monotonic() >= kill_at:
            await asyncio.to_thread(end_writers, fd)
            kill_at += max(within, 1.0)
        try:
            piece = os.read(fd, _PIECE)
        except BlockingIOError:
            await asyncio.sleep(LOOK_S)  # the kernel does not announce the last one's end by itself
            continue
        if not piece:
            return
        yield piece


async def _exit_of(pid: int, still: Callable[[], bool] = lambda: True) -> None:
    """Return when the process has ended. Cancelling leaves it alone.

    still: checked once the pid is pinned by its file descriptor, so that a reused pid is not waited for.
    """
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    try:
        if still():
            loop.add_reader(fd, lambda: ended.done() or ended.set_result(None))
            await ended
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def send(who: Identity, number: int) -> None:
    """Send a signal to exactly this process, if it still runs."""
    try:
        fd = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(who):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)
    finally:
        os.close(fd)
