"""Watching what a box uses, while it runs: what the kernel says of its groups, and what can only be looked at.

What is judged here:

- memory and processes: by the groups where there are any, else by looking at the box's process tree;
- bytes and files on disk, as growth since the start. Walking through folders costs, so it is done when the disk has
  lost so much room that this box could have gone over, and else now and then.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from overnight.boxes.cgroup import Group
from overnight.boxes.measure import Stored, TooDeep, memory, outermost, stored, tree, unnamed
from overnight.boxes.settings import BoxSettings
from overnight.missions.units import show_size
from overnight.ports import Exceeded, Mechanism

#: Seconds between looks; a look may take a twentieth of the time at most.
_EVERY_S, _SHARE = 0.1, 20
#: The same for walks through the folders.
_WALK_EVERY_S, _WALK_SHARE = 10.0, 30
#: Inodes that are left alone, like the bytes of `reserve`.
_RESERVED_FILES = 10_000


class Room(Struct, frozen=True):
    """What one file system has left."""

    bytes: int
    #: A large number where the file system makes inodes as it goes.
    files: int


class Watch:
    """One box, from outside. `exceeds` waits until it goes over a bound, and waits for ever when it doesn't."""

    def __init__(self, root: int, group: Group, writable: Sequence[str], settings: BoxSettings) -> None:
        """root: the box's first process, outside. group: what it was put in."""
        self._root, self._group, self._settings = root, group, settings
        self._looks = Mechanism.NONE in (group.holds("memory"), group.holds("pids"))
        self._disk = DiskWatch(writable, settings)

    async def exceeds(self) -> Exceeded:
        """Returns once."""
        while True:
            began = time.monotonic()
            if found := self.counted() or self._looked():
                return found
            took = time.monotonic() - began
            if found := await self._disk.look(self._root):
                return found
            await asyncio.sleep(max(_EVERY_S, took * _SHARE))

    def counted(self) -> Exceeded | None:
        """What the kernel counted; also right when everything is dead."""
        if self._group.ran_out_of_memory():
            return self._memory()
        return self._processes() if self._group.ran_out_of_processes() else None

    def _looked(self) -> Exceeded | None:
        if not self._looks:
            return None
        settings, processes = self._settings, tree(self._root)
        if self._group.holds("pids") is Mechanism.NONE and sum(p.threads for p in processes) > settings.processes:
            return self._processes()
        looked = self._group.holds("memory") is Mechanism.NONE
        if looked and memory(self._root, processes, settings.memory) > settings.memory:
            return self._memory()
        return None

    def _memory(self) -> Exceeded:
        return Exceeded(bound="memory", why=f"it used more than {show_size(self._settings.memory)} of memory")

    def _processes(self) -> Exceeded:
        return Exceeded(bound="processes", why=f"it started more than {self._settings.processes} processes at once")


class DiskWatch:
    """Growth of the folders that a box writes, and the room that their disks have left."""

    def __init__(self, folders: Sequence[str], settings: BoxSettings) -> None:
        self._folders, self._settings = outermost(folders), settings
        self._folders_by_device = {Path(path).stat().st_dev: path for path in self._folders}
        self._first = self._free = self._room()
        self._base: Stored | None = None
        self._grown, self._next, self._stopped = Stored(), 0.0, False

    async def look(self, root: int) -> Exceeded | None:
        """What it went over by now. root: the box's first process."""
        rooms, now = self._room(), time.monotonic()
        if found := self._nearly_full(rooms):
            return found
        if now < self._next and not self._could_be_over(rooms):
            return None
        self._free = rooms
        try:
            found = await self._walked(root)
        except TooDeep:
            return Exceeded(bound="files", why="it made folders so deep in each other that nobody can count them")
        self._next = time.monotonic() + max(_WALK_EVERY_S, (time.monotonic() - now) * _WALK_SHARE)
        return found

    async def _walked(self, root: int) -> Exceeded | None:
        walk = asyncio.ensure_future(asyncio.to_thread(self._walk, root))
        try:
            return await asyncio.shield(walk)
        except asyncio.CancelledError:
            self._stopped = True  # nothing of it goes on when the box is gone
            await asyncio.gather(walk, return_exceptions=True)
            raise

    def _walk(self, root: int) -> Exceeded | None:
        bounds = Stored(self._settings.disk, self._settings.files)
        if self._base is None:  # at the start
            self._base = stored(self._folders, stop=self._is_stopped)
            return None
        most = Stored(self._base.bytes + bounds.bytes, self._base.files + bounds.files)
        now = stored(self._folders, most, self._is_stopped)
        held = unnamed(tree(root), frozenset(self._folders_by_device))
        self._grown = Stored(now.bytes + held - self._base.bytes, now.files - self._base.files)
        if self._grown.bytes > bounds.bytes:
            return Exceeded(bound="disk", why=f"it wrote more than {show_size(bounds.bytes)} to the disk")
        if self._grown.files > bounds.files:
            return Exceeded(bound="files", why=f"it made more than {bounds.files} files")
        return None

    def _is_stopped(self) -> bool:
        return self._stopped

    def _could_be_over(self, rooms: Sequence[Room]) -> bool:
        """Whether the disks lost as much since the last walk as this box still had."""
        lost = sum(max(0, before.bytes - now.bytes) for before, now in zip(self._free, rooms, strict=True))
        lost_files = sum(max(0, before.files - now.files) for before, now in zip(self._free, rooms, strict=True))
        left = Stored(self._settings.disk - self._grown.bytes, self._settings.files - self._grown.files)
        return lost >= left.bytes or lost_files >= left.files

    def _nearly_full(self, rooms: Sequence[Room]) -> Exceeded | None:
        reserve = self._settings.reserve
        for first, now in zip(self._first, rooms, strict=True):
            if now.bytes < reserve <= first.bytes:
                return Exceeded(bound="room", why=f"the disk that it writes to has less than {show_size(reserve)} left")
            if now.files < _RESERVED_FILES <= first.files:
                return Exceeded(bound="room", why=f"the disk that it writes to has room for {now.files} files only")
        return None

    def _room(self) -> tuple[Room, ...]:
        return tuple(_room(os.statvfs(path)) for path in self._folders_by_device.values())


def _room(about: os.statvfs_result) -> Room:
    return Room(about.f_bavail * about.f_frsize, about.f_favail if about.f_files else 1 << 62)
