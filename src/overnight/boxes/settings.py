"""What the owner of the machine says about boxes, and the PATH that follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from overnight.errors import SettingsInvalid
from overnight.missions.units import Size

SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


class BoxSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of every box on this machine. A repo can't widen them."""

    #: Folders with more tools, shown read-only inside under their own path, such as `~/.pyenv`.
    tools: tuple[str, ...] = ()
    #: How much each of /tmp, /var/tmp and /dev/shm may hold. They live in memory.
    tmp: Size = Size(1 << 30)
    #: Open files per process.
    open_files: Annotated[int, Meta(ge=256)] = 8192
    #: Memory of everything in a box together, its `tmp` included. A box that takes more is ended.
    memory: Size = Size(4 << 30)
    #: Processes and threads per box. A box that takes more is ended.
    processes: Annotated[int, Meta(ge=64)] = 4096
    #: Processor time of everything in a box together, in cores, such as `1.5`; no such bound when absent. Needs
    #: control groups: without them no box starts.
    cpu: Annotated[float, Meta(gt=0)] | None = None
    #: Bytes that a box may add to the folders it can write: the worktree, its git dir, its home. A box that adds
    #: more is ended.
    disk: Size = Size(20 << 30)
    #: The same for the number of files and folders.
    files: Annotated[int, Meta(ge=1000)] = 500_000
    #: A box is ended when the disk that it writes to has less room than this left, whoever filled it. Does not
    #: hold where there was less room to begin with.
    reserve: Size = Size(1 << 30)
    #: Where Overnight runs as root, boxes run as a user that owns nothing on this machine. `true` lets them run as
    #: root's own user id instead, which the walls alone keep in: for file systems and containers without idmapped
    #: mounts.
    root_inside: bool = False
    #: Let programs inside make unix sockets. Off, because one that lies in a shown folder may belong to a service
    #: outside, and a read-only mount does not stop anyone from talking to it. Pairs (`socketpair`) always work.
    unix_sockets: bool = False
    #: The box `container`: what makes it.
    engine: Literal["podman", "docker"] = "podman"
    #: The box `container`: words before the engine's verb, such as `["--cgroup-manager", "cgroupfs"]`.
    engine_options: tuple[str, ...] = ()
    #: The box `container`: the image, which needs python3 and git. It is never pulled; `overnight box image` makes it.
    image: str = "overnight-box"


def tool_folders(settings: BoxSettings) -> tuple[str, ...]:
    """The tool folders, absolute. Raises SettingsInvalid for one that is missing or would show a whole home."""
    return tuple(_tool_folder(text) for text in settings.tools)


def _tool_folder(text: str) -> str:
    where, path, home = "box.tools", Path(text).expanduser(), Path.home()
    if not path.is_absolute() or ".." in path.parts:
        raise SettingsInvalid(where=where, problem=f"{text!r} must be an absolute path, or start with `~/`.")
    if not path.is_dir():
        raise SettingsInvalid(where=where, problem=f"{text!r} is not a folder. Create it, or take it off the list.")
    real = path.resolve()
    if home.resolve().is_relative_to(real):
        raise SettingsInvalid(where=where, problem=f"{text!r} would show a whole home. Name the tools' own folder.")
    return str(path)


def inside_path(settings: BoxSettings) -> str:
    """PATH inside a box: the tools' program folders first, then the system's."""
    found: list[str] = []
    for folder in map(Path, tool_folders(settings)):
        if folder.name in ("bin", "shims"):
            found.append(str(folder))
        found.extend(str(sub) for sub in (folder / "shims", folder / "bin") if sub.is_dir())
    return ":".join((*found, *SYSTEM_PATH))
