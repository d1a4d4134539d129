"""How far the work in a run's work tree is, seen from outside: by git, in a box, with a git dir of ours.

What the agent could write, its git dir and settings, takes no part: the box holds whatever a planted file makes git do,
and gets nothing but the work tree to read. A look costs a start of a box; whoever asks sees to it that there are few.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

from msgspec import Struct

from overnight.errors import Unavailable
from overnight.missions.run import RunSpec
from overnight.ports import Box, BoxSpec

#: A look that takes longer is given up.
PATIENCE_S = 20.0
#: Bytes of git's answers that are read, and changed files that are told apart. More are only more.
MOST_ANSWER, MOST_FILES = 8 << 20, 50_000
#: Bytes of a new file that count as one line; nobody reads it for this.
LINE = 40
_SCRIPT = """
set -u
[ -e "$GIT_DIR/index" ] || git read-tree "$START" || exit 11
git update-index -q --refresh > /dev/null
git diff --numstat -z --no-renames --no-ext-diff --no-textconv --ignore-submodules=all "$START" -- || exit 12
printf '\\0\\0'
git ls-files -z --others --exclude-standard || exit 13
"""
_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.quotePath": "false",
    "core.untrackedCache": "false",
    "gc.auto": "0",
    "protocol.allow": "never",
    "safe.directory": "*",
}


class Sight(Struct, frozen=True, kw_only=True):
    """What one look saw, against the commit that the run started from."""

    #: Lines added and removed, with an estimate for files that are new.
    size: int
    #: Changed file -> something that differs whenever it was written again.
    files: dict[str, tuple[int, int, int]]

    def since(self, before: Sight) -> int:
        """Files that changed between two looks."""
        paths = self.files.keys() | before.files.keys()
        return sum(1 for path in paths if self.files.get(path) != before.files.get(path))


class Survey:
    """Looks at one run's work tree. Made before the agent starts: what is read of its git dir is ours until then."""

    def __init__(self, box: Box, folder: Path, spec: RunSpec, path: str) -> None:
        """folder: the run's. path: PATH inside. Raises OSError."""
        self._box, self._spec, self._path = box, spec, path
        self._git = folder / "look"
        self._out = folder / "look.out"
        self._lay_out()

    async def look(self) -> Sight | None:
        """What is to be seen now; None when that could not be found out."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return self._read() if await self._ran() else None
        except (OSError, TimeoutError, Unavailable, ValueError):
            return None

    def _lay_out(self) -> None:
        for name in ("objects/info", "refs/heads", "info"):
            (self._git / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        sha256 = len(self._spec.start) == 64
        version, extension = (1, "[extensions]\n\tobjectFormat = sha256\n") if sha256 else (0, "")
        (self._git / "config").write_text(f"[core]\n\trepositoryformatversion = {version}\n\tbare = false\n{extension}")
        (self._git / "HEAD").write_text("ref: refs/heads/none\n")
        stores = (self._spec.objects, *self._spec.alternates)
        (self._git / "objects/info/alternates").write_bytes(b"".join(os.fsencode(s) + b"\n" for s in stores))
        given = Path(self._spec.git_dir)
        for name in ("index", "info/exclude"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(given / name, self._git / name)

    async def _ran(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            self._out.unlink()
        process = await self._box.start(self._box_spec())
        try:
            return await process.wait() == 0
        finally:
            await process.kill()

    def _box_spec(self) -> BoxSpec:
        settings = {"GIT_CONFIG_COUNT": str(len(_SETTINGS))}
        for n, (key, value) in enumerate(_SETTINGS.items()):
            settings |= {f"GIT_CONFIG_KEY_{n}": key, f"GIT_CONFIG_VALUE_{n}": value}
        shell = shutil.which("sh", path=self._path) or "/bin/sh"
        return BoxSpec(
            argv=(shell, "-c", _SCRIPT),
            env={
                "PATH": self._path,
                "HOME": str(self._git),
                "LANG": "C.UTF-8",
                "GIT_DIR": str(self._git),
                "GIT_WORK_TREE": self._spec.worktree,
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_NO_REPLACE_OBJECTS": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "START": self._spec.start,
                **settings,
            },
            cwd=str(self._git),
            writable=(str(self._git),),
            readable=(self._spec.worktree, self._spec.objects, *self._spec.alternates),
            stdout=str(self._out),
        )

    def _read(self) -> Sight:
        with self._out.open("rb") as file:
            answer = file.read(MOST_ANSWER)
        counted, _, others = answer.partition(b"\0\0")
        size, files = 0, dict[str, tuple[int, int, int]]()
        for line in counted.strip(b"\0").split(b"\0"):
            added, _, rest = line.partition(b"\t")
            removed, _, path = rest.partition(b"\t")
            if path:
                lines = _number(added) + _number(removed) if added != b"-" else 1
                size += lines
                self._note(files, path, lines)
        for path in others.split(b"\0"):
            if path:
                size += 1 + self._note(files, path, -1) // LINE
        return Sight(size=size, files=files)

    def _note(self, files: dict[str, tuple[int, int, int]], path: bytes, lines: int) -> int:
        """Keep how a file looks; its size in bytes."""
        name = os.fsdecode(path)
        try:
            found = os.lstat(os.path.join(self._spec.worktree, name))  # noqa: PTH118 (bytes that are no text survive)
        except OSError:  # it is gone, which is a change as well
            size, at = 0, 0
        else:
            size, at = found.st_size, found.st_mtime_ns
        if len(files) < MOST_FILES:
            files[name] = (lines, size, at)
        return size


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0
