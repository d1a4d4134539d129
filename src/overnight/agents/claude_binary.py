"""Finding the Claude Code CLI, and asking for its version."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from overnight.errors import AgentUnavailable

#: The first version whose hooks can fail closed (`onFailure: block`).
OLDEST = (2, 1, 295)
_INSTALL = "Install it with `pip install 'overnight[claude]'`, or name its native binary in the setting `path`."
# ELF, and Mach-O in its thin and fat forms.
_NATIVE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_PATIENCE = 60


class Binary(Struct, frozen=True):
    """A usable CLI."""

    #: Absolute, symlinks resolved: this one file is all that a box must show.
    path: str
    version: str


def unavailable(reason: str, install: str = _INSTALL) -> AgentUnavailable:
    """The error for a CLI that can't be used."""
    return AgentUnavailable(agent="claude", reason=reason, install=install)


def locate(path: str | None, environ: Mapping[str, str]) -> Path:
    """Where the CLI is: the one named, else the PATH's when it is native, else the wheel's. Raises AgentUnavailable."""
    found = _named(path) if path is not None else _on_path(environ) or _in_wheel()
    if found is None:
        raise unavailable("Claude Code is not installed")
    return found


def find(path: str | None, environ: Mapping[str, str]) -> Binary:
    """The CLI that `locate` finds, asked for its version.

    Raises AgentUnavailable when there is none, when it does not run, or when it is too old to fail closed.
    """
    found = locate(path, environ)
    stat = found.stat()
    version = _version(str(found), stat.st_mtime_ns, stat.st_size)
    if _numbers(version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        reason = f"{found} is version {version}, whose hooks let a call pass when they fail; {oldest} is needed"
        raise unavailable(reason)
    return Binary(str(found), version)


def _named(path: str) -> Path:
    found = Path(path).expanduser()
    if not (found.is_absolute() and found.is_file() and os.access(found, os.X_OK)):
        raise unavailable(f"the setting `path` names {path!r}, which is no absolute path of a program")
    return found.resolve()


def _on_path(environ: Mapping[str, str]) -> Path | None:
    """The PATH's `claude`, unless it is a script: that would need an interpreter and its packages in the box."""
    name = shutil.which("claude", path=environ.get("PATH", ""))
    found = Path(name).resolve() if name else None
    return found if found and _native(found) else None


def _native(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in _NATIVE


def _in_wheel() -> Path | None:
    spec = importlib.util.find_spec("claude_agent_sdk")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        found = Path(folder, "_bundled", "claude")
        if found.is_file() and os.access(found, os.X_OK):
            return found.resolve()
    return None


@lru_cache(maxsize=16)
def _version(path: str, _mtime_ns: int, _size: int) -> str:
    """What `--version` says, asked once for each state of the file, with no environment and a throw-away HOME."""
    with tempfile.TemporaryDirectory(prefix="overnight-") as home:
        try:
            said = subprocess.run(
                [path, "--version"],
                env={"HOME": home, "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
                cwd=home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE,
                check=True,
            ).stdout.decode(errors="replace")
        except (OSError, subprocess.SubprocessError) as problem:
            raise unavailable(f"`{path} --version` failed: {problem}") from problem
    match = re.match(r"\d+\.\d+\.\d+", said)
    if match is None:
        raise unavailable(f"`{path} --version` says {said[:80]!r}, which is no version of Claude Code")
    return match[0]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
