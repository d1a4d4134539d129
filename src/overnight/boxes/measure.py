"""What a box uses, looked at from outside: memory and processes of a process tree, bytes and files of folders."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec import Struct

_PAGE = os.sysconf("SC_PAGE_SIZE")
_BLOCK = 512  #: Bytes of a block in `st_blocks`, whatever the file system's own are.
#: What a file in a tmpfs costs in the kernel's memory besides its content.
_TMPFS_FILE = 1024
_TMPFS = ("tmp", "var/tmp", "dev/shm")


class Process(Struct, frozen=True):
    """One process of a tree."""

    pid: int
    threads: int
    #: Bytes in memory, shared ones too.
    resident: int


class Stored(Struct, frozen=True):
    """What folders hold."""

    #: As the disk counts them: a hole costs nothing, a file with several names costs once.
    bytes: int = 0
    #: Files, folders and everything else that has a name.
    files: int = 0


class TooDeep(Exception):
    """Folders are nested deeper than a path can name. Nobody means to do that."""


def tree(root: int) -> list[Process]:
    """A process and everything below it. Complete for a process that orphans come back to: the first of a pid
    namespace, or a subreaper."""
    found: dict[int, tuple[int, Process]] = {}
    for pid in _numbers("/proc"):
        if entry := _process(pid):
            found[pid] = entry
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in found.items():
        children.setdefault(parent, []).append(pid)
    taken: list[Process] = []
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in found:
            taken.append(found[pid][1])
        waiting += children.get(pid, ())
    return taken


def _numbers(folder: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]  # noqa: PTH208 (hot: no Path per entry)
    except OSError:
        return []


def _process(pid: int) -> tuple[int, Process] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 (hot: many per look)
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[1]), Process(pid, int(fields[17]), int(fields[21]) * _PAGE)


def memory(root: int, processes: Sequence[Process], enough: int) -> int:
    """Bytes of memory that a box holds, with its temporary files when it has its own.

    Exact only from `enough` on: what processes share is counted for each, until that makes a difference.
    """
    files = _tmpfs(root)
    rough = files + sum(process.resident for process in processes)
    if rough <= enough:
        return rough
    return files + sum(_proportional(process) for process in processes)


def _proportional(process: Process) -> int:
    """Shared memory in equal parts; all of it where the kernel does not tell."""
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:
        return process.resident
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:")), process.resident)


def _tmpfs(root: int) -> int:
    """Bytes in the temporary folders that live in memory and are not this machine's own."""
    total, seen = 0, {_device(Path("/", name)) for name in _TMPFS}
    for name in _TMPFS:
        path = Path(f"/proc/{root}/root", name)
        device = _device(path)
        if device is None or device in seen:
            continue
        seen.add(device)
        try:
            about = os.statvfs(path)
        except OSError:
            continue
        total += (about.f_blocks - about.f_bfree) * about.f_frsize + (about.f_files - about.f_ffree) * _TMPFS_FILE
    return total


def _device(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except OSError:
        return None


def stored(folders: Iterable[str], most: Stored | None = None, stop: Callable[[], bool] = lambda: False) -> Stored:
    """What folders hold together. Stops counting once it is more than `most`, or told so. Links are not followed.

    Raises TooDeep.
    """
    size, files = 0, 0
    several: set[tuple[int, int]] = set()
    waiting = list(outermost(folders))
    while waiting and not stop():
        for entry in _entries(waiting.pop(), waiting):
            files += 1
            inode = (entry.st_dev, entry.st_ino)
            if stat.S_ISDIR(entry.st_mode) or entry.st_nlink == 1 or inode not in several:
                size += entry.st_blocks * _BLOCK
            if entry.st_nlink > 1 and not stat.S_ISDIR(entry.st_mode):
                several.add(inode)
        if most is not None and (size > most.bytes or files > most.files):
            break
    return Stored(size, files)


def outermost(folders: Iterable[str]) -> tuple[str, ...]:
    """Without the ones that lie in another."""
    ordered = sorted(set(folders))
    return tuple(path for path in ordered if not any(path.startswith(other.rstrip("/") + "/") for other in ordered))


def _entries(folder: str, waiting: list[str]) -> list[os.stat_result]:
    found: list[os.stat_result] = []
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise TooDeep from None
        return found  # gone, or closed to us: its own entry is counted already
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                try:
                    about = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
                except OSError:
                    continue
                found.append(about)
                if stat.S_ISDIR(about.st_mode):
                    waiting.append(f"{folder}/{entry.name}")
    finally:
        os.close(fd)
    return found


def unnamed(processes: Iterable[Process], devices: frozenset[int]) -> int:
    """Bytes of files on these devices that have no name any more and live on because a process holds them."""
    held: dict[tuple[int, int], int] = {}
    for process in processes:
        for fd in _numbers(f"/proc/{process.pid}/fd"):
            try:
                about = Path(f"/proc/{process.pid}/fd/{fd}").stat()
            except OSError:
                continue
            if stat.S_ISREG(about.st_mode) and about.st_nlink == 0 and about.st_dev in devices:
                held[about.st_dev, about.st_ino] = about.st_blocks * _BLOCK
    return sum(held.values())
