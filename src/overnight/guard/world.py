"""What the guard may know of the outside: bounds as a value, file facts through a protocol. The guard never looks itself."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Bounds(Struct, frozen=True, kw_only=True):
    """Where a call may act. Absolute, normalised paths, symlinks already resolved by the caller."""

    #: The agent's work tree: everything under it may be read and written, save what the policy protects.
    worktree: str
    #: The agent's home folder; `~` and `$HOME` mean this.
    home: str
    #: Temporary folders, writable as a whole.
    tmp: tuple[str, ...] = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - these are the names commands use
    #: Further writable folders (caches, the run's scratch).
    scratch: tuple[str, ...] = ()


class World(Protocol):
    """File-system facts, as of now. Both methods must be quick; neither may raise for a missing file."""

    def realpath(self, path: str) -> str:
        """The absolute path with every symlink of its longest existing prefix resolved."""
        ...

    def read(self, path: str) -> str | None:
        """Text of a regular file (up to some 256 KiB, decoded with replacement), or None when there is none."""
        ...


class NoWorld:
    """Knows nothing of any file system: no symlinks, no contents."""

    def realpath(self, path: str) -> str:
        return path

    def read(self, path: str) -> str | None:  # noqa: ARG002 - the protocol's shape
        return None


class DrawnWorld(Struct, frozen=True, kw_only=True):
    """A world that was written down: for explaining, for labelled cases, for tests."""

    #: Path -> text.
    files: dict[str, str] = {}
    #: Path -> target (absolute).
    links: dict[str, str] = {}

    def realpath(self, path: str) -> str:
        for _ in range(40):
            for link, target in self.links.items():
                if path == link or path.startswith(link + "/"):
                    path = target + path[len(link) :]
                    break
            else:
                return path
        return path

    def read(self, path: str) -> str | None:
        return self.files.get(path)
