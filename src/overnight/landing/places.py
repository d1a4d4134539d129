"""The state folder of this room: where things lie, how they appear whole and how they go away."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from overnight.errors import StateNotWritable
from overnight.missions.places import evidence_file, run_dir

#: Marks what this process is working on; anything else of that kind was left by one that died.
_PROCESS = uuid.uuid4().hex


class Places:
    """Folders under the state folder."""

    def __init__(self, state: Path) -> None:
        self.state = state.resolve()

    def worktree(self, task: str) -> Path:
        """The agent's working folder."""
        return self.state / "worktrees" / task

    def run(self, run: str) -> Path:
        """One run's folder."""
        return Path(run_dir(str(self.state), run))

    def runs(self, task: str) -> Path:
        """All runs of a task."""
        return self.state / "runs" / task

    def plain(self, object_format: str) -> Path:
        """The git dir without refs and settings through which other people's objects are read and written."""
        return self.state / "plain" / object_format

    def scratch(self, name: str) -> Path:
        """A folder that is made anew and thrown away."""
        return self.state / "scratch" / name

    def passed(self, key: str) -> Path:
        """A check that passed once."""
        return self.state / "checks" / f"{key}.json"

    def log(self, task: str, label: str, name: str) -> Path:
        """All that one check printed."""
        return self.state / "logs" / task / label / f"{name}.log"

    def evidence(self, task: str, name: str) -> Path:
        """A bundle of evidence, by its digest."""
        return Path(evidence_file(str(self.state), task, name))

    def kept(self, task: str) -> Path:
        """Work that no ref can hold."""
        return self.state / "kept" / task

    @contextmanager
    def appearing(self, path: Path) -> Generator[Path]:
        """A folder that is made whole, or not at all. When another was quicker, theirs stays."""
        making = self._aside()
        making.mkdir(parents=True)
        try:
            yield making
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                making.rename(path)
        finally:
            if making.exists():
                remove_tree(making)

    def discard(self, path: Path) -> None:
        """Out of the way at once, then deleted. Only for folders below the state folder, and never through a link.

        What a process that died left half made or half deleted goes too.
        """
        assert path.is_relative_to(self.state)
        assert path != self.state
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            aside = self._aside()
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.rename(aside)
            remove_tree(aside)
        trash = self.state / "trash"
        for left in trash.iterdir() if trash.is_dir() else ():
            if not left.name.startswith(_PROCESS):
                remove_tree(left)

    def keep(self, path: Path, task: str) -> Path:
        """Move a folder to where nothing deletes it; returns its new place."""
        place = self.kept(task)
        place.parent.mkdir(parents=True, exist_ok=True)
        free = next(
            p for i in range(10_000) if not (p := place.with_name(f"{place.name}.{i}" if i else place.name)).exists()
        )
        path.rename(free)
        return free

    def _aside(self) -> Path:
        return self.state / "trash" / f"{_PROCESS}.{uuid.uuid4().hex}"


def write_whole(path: Path, data: bytes) -> None:
    """A file that is there entirely or not at all, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    with making.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)


def remove_tree(path: Path) -> None:
    """Delete a folder that anybody may have filled: read-only files, folders without rights, links to elsewhere.

    Links are unlinked, never followed, and nothing on another file system is touched: a mount inside stops it.
    """
    device = os.lstat(path).st_dev
    path.chmod(0o700)
    for folder, names, _files, here in os.fwalk(path):
        for name in names:
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            if found.st_dev != device:
                problem = "something is mounted there; unmount it"
                raise StateNotWritable(path=Path(folder, name), reason=problem)
            if stat.S_ISDIR(found.st_mode) and found.st_mode & 0o700 != 0o700:
                os.chmod(name, 0o700, dir_fd=here)
    shutil.rmtree(path)
