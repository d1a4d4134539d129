"""A process's own log: what it writes to its standard output and error, in a file that begins anew before it is too big
or too old.

Lines go straight into the file, by the kernel, so a kill loses none that were written; a new file takes the place of
the descriptors at once, so none falls between two. Old ones are bounded in number and age. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from overnight.config.daemon import LogSettings

#: Seconds between two looks at its size.
EVERY_S = 5.0
#: Hands path and rules over to a process that knows no settings.
VARIABLE = "OVERNIGHT_LOG"
_STAMP = "%Y%m%dT%H%M%SZ"
_BEGUN = re.compile(rb"# begun (\d+) ")
_OLD = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
DAY_S = 86400.0


class LogRules(NamedTuple):
    """How big and how old logs may become."""

    #: Bytes.
    size: int = 10 << 20
    #: Seconds.
    age: float = 7 * DAY_S
    #: Old ones.
    keep: int = 5
    #: Seconds that an old one stays after its last line.
    stay: float = 30 * DAY_S

    @classmethod
    def of(cls, settings: LogSettings) -> Self:
        """From the settings."""
        return cls(int(settings.size), float(settings.age), settings.keep, settings.days * DAY_S)


class Log:
    """The log at a path, as the descriptors of this process have it open."""

    def __init__(self, path: Path, rules: LogRules, fds: tuple[int, ...] = (1, 2)) -> None:
        self.path, self._rules, self._fds = path, rules, fds

    def is_ours(self) -> bool:
        """Whether a descriptor writes into it: whoever started this process opened it."""
        return any(_same(fd, self.path) for fd in self._fds)

    def take(self) -> None:
        """Write into it from now on. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._aim(self._fds)

    def look(self, now: float) -> None:
        """Begin anew where it is time, and let the oldest go. now: epoch seconds. A disk that is full or gone leaves all
        as it is."""
        with contextlib.suppress(OSError):
            mine = tuple(fd for fd in self._fds if _same(fd, self.path))
            if not mine:  # another process that writes here began it anew, or somebody moved it away
                self._aim(self._fds)
            elif self._is_due(mine[0], now):
                self._anew(mine, now)
            self._drop(now)

    def _is_due(self, fd: int, now: float) -> bool:
        if (size := os.fstat(fd).st_size) > self._rules.size:
            return True
        with self.path.open("rb") as file:
            first = file.readline(100)
        if (found := _BEGUN.match(first)) is None:
            return size > 0  # an older version's, or somebody else's
        return size > len(first) and now - float(found[1]) > self._rules.age

    def _anew(self, mine: tuple[int, ...], now: float) -> None:
        lock = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: another process is about to
            if not _same(lock, self.path):
                return
            self.path.rename(self._free(now))
            self._aim(mine)
        finally:
            os.close(lock)

    def _free(self, now: float) -> Path:
        """A name that no old one has, which sorts behind all of them."""
        stamp = time.strftime(_STAMP, time.gmtime(now))
        found = self.path.with_name(f"{self.path.name}.{stamp}")
        n = 1
        while found.exists():
            n += 1
            found = self.path.with_name(f"{self.path.name}.{stamp}-{n}")
        return found

    def _aim(self, fds: tuple[int, ...]) -> None:
        """Let descriptors write into the file at the path, which is made where it is not there."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.path, flags, 0o600)
        try:
            os.fchmod(fd, 0o600)
            if os.fstat(fd).st_size == 0:
                words = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
                os.write(fd, f"# begun {int(time.time())} ({words}) by process {os.getpid()}\n".encode())
            for each in fds:
                os.dup2(fd, each)
        finally:
            if fd not in fds:
                os.close(fd)

    def old(self) -> list[Path]:
        """Those that were begun anew, the oldest first."""
        return sorted(self._old(), key=lambda path: (path.stat().st_mtime_ns, path.name))

    def _old(self) -> Iterator[Path]:
        prefix = f"{self.path.name}."
        for path in self.path.parent.iterdir():
            if path.name.startswith(prefix) and _OLD.fullmatch(path.name.removeprefix(prefix)):
                yield path

    def _drop(self, now: float) -> None:
        for n, path in enumerate(reversed(self.old())):
            # The last one stays however old it is: it may hold the newest lines that there are.
            if n >= self._rules.keep or (n and now - path.stat().st_mtime > self._rules.stay):
                path.unlink(missing_ok=True)


def _same(fd: int, path: Path) -> bool:
    with contextlib.suppress(OSError):
        here, there = os.fstat(fd), path.lstat()
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    return False


class Keeping:
    """Looks after a log now and then, in a thread that holds nobody up."""

    def __init__(self, log: Log, every: float = EVERY_S) -> None:
        self._log, self._every, self._over = log, every, threading.Event()
        self._thread = threading.Thread(target=self._keep, name="log", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while True:
            self._log.look(time.time())
            if self._over.wait(self._every):
                return

    def stop(self) -> None:
        """End it; a disk that hangs holds nobody up."""
        self._over.set()
        self._thread.join(self._every)


@contextlib.contextmanager
def kept(path: Path, rules: LogRules) -> Generator[None]:
    """Inside, the log at a path is looked after, if it is this process's; a terminal's or a manager's is left alone."""
    log, keeping = Log(path, rules), None
    if log.is_ours():
        with contextlib.suppress(OSError):  # whoever started us opened it: that it begins here may not be said yet
            log.take()
        keeping = Keeping(log)
    try:
        yield
    finally:
        if keeping is not None:
            keeping.stop()


def to_environment(path: Path, rules: LogRules) -> str:
    """For `VARIABLE`."""
    return json.dumps([str(path), *rules])


def from_environment(text: str) -> tuple[Path, LogRules] | None:
    """What `to_environment` made; None where nothing was handed over. Raises ValueError, TypeError."""
    if not text:
        return None
    path, *rules = json.loads(text)
    return Path(path), LogRules(*rules)
