"""Control groups: the kernel's own way to hold a whole box to so much memory, so many processes, so much processor.

Version 2 by systemd, which makes a scope for the box, or below a group that was delegated to us; version 1 below our
own groups. What is said to hold was read back from the kernel after the box was put in.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from overnight.boxes.child import Child
from overnight.ports import Mechanism

_ROOT = Path("/proc/self")
_SYSTEMD = Path("/run/systemd/system")
_SYSTEMD_NAME = "org.freedesktop.systemd1"
_MANAGER = (_SYSTEMD_NAME, "/org/freedesktop/systemd1", f"{_SYSTEMD_NAME}.Manager")
_NAME = re.compile(r"overnight-box-(\d+)-\d+")
_COUNT = itertools.count(1)
_PERIOD_US = 100_000
#: Seconds that systemd may take to make a scope.
_PATIENCE = 5.0
#: Looks, 2 ms apart, whether systemd has removed a scope that is empty.
_LOOKS = 500


class Wanted(Struct, frozen=True, kw_only=True):
    """What a group is to hold its processes to."""

    #: Bytes.
    memory: int
    #: Processes and threads.
    pids: int
    #: Cores; None for no bound.
    cpu: float | None = None


class Mount(Struct, frozen=True):
    """A mounted hierarchy and the own group's folder in it."""

    version: int
    #: Of version 1; version 2 has them per group.
    controllers: tuple[str, ...]
    top: Path
    own: Path


class Scope(Struct, frozen=True):
    """A group that systemd made for a box, and removes with its last process."""

    folder: Path
    name: str

    async def ran_out_of_memory(self) -> bool:
        """Whether the kernel ended a process of it for its memory, as systemd remembers it; not any longer then."""
        unit = "/org/freedesktop/systemd1/unit/" + re.sub(r"[^A-Za-z0-9]", lambda m: f"_{ord(m[0]):02x}", self.name)
        code, said = await _busctl("get-property", _SYSTEMD_NAME, unit, f"{_SYSTEMD_NAME}.Scope", "Result")
        if code or "success" in said:
            return False
        await _busctl("call", *_MANAGER, "ResetFailedUnit", "s", self.name)
        return "oom-kill" in said


class Group:
    """The groups that one box is in. Empty when this machine has none for us."""

    def __init__(
        self, folders: Mapping[str, tuple[Path, Mechanism]], made: Sequence[Path] = (), scope: Scope | None = None
    ) -> None:
        """folders: for each of `memory`, `pids` and `cpu` that is held, where. made: to be removed in the end."""
        self._folders, self._made, self._scope = dict(folders), tuple(made), scope
        self._remembered = False

    def holds(self, what: str, otherwise: Mechanism = Mechanism.NONE) -> Mechanism:
        """How `memory`, `pids` or `cpu` is held."""
        return self._folders[what][1] if what in self._folders else otherwise

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel ended one of its processes, since there was no more memory for them."""
        return self._remembered or self._counted("memory", {2: "memory.events", 1: "memory.oom_control"}, "oom_kill")

    def ran_out_of_processes(self) -> bool:
        """Whether the kernel refused it another process."""
        return self._counted("pids", {2: "pids.events", 1: "pids.events"}, "max")

    def _counted(self, what: str, files: Mapping[int, str], key: str) -> bool:
        if what not in self._folders:
            return False
        folder, mechanism = self._folders[what]
        try:
            text = (folder / files[2 if mechanism is Mechanism.CGROUP2 else 1]).read_text()
        except OSError:  # a scope goes with its last process
            return False
        return any(line.split()[:1] == [key] and line.split()[1:] != ["0"] for line in text.splitlines())

    async def look_back(self) -> None:
        """Ask systemd why a scope ended, once it is gone; to be called when everything in it is dead."""
        if self._scope is None:
            return
        for _ in range(_LOOKS):
            if not self._scope.folder.exists():
                self._remembered |= await self._scope.ran_out_of_memory()
                return
            self._remembered = self.ran_out_of_memory()
            await asyncio.sleep(0.002)

    def close(self) -> None:
        """Remove what was made. Everything in it must be dead; the kernel may need an instant more to notice."""
        for folder in self._made:
            _remove(folder)


def _remove(folder: Path) -> None:
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.001)
        else:
            return


async def confine(pid: int, wanted: Wanted, proc: Path = _ROOT) -> Group:
    """Put a process, and thereby all that it will ever start, into groups that hold as much as they can here."""
    mounts = hierarchies(proc)
    folders: dict[str, tuple[Path, Mechanism]] = {}
    made: list[Path] = []
    scope = None
    try:
        for mount in mounts:
            if mount.version == 2:
                scope = await _scope(pid, mount, wanted) if _SYSTEMD.is_dir() else None
                folders |= _second(pid, mount, wanted, made, scope)
        for mount in mounts:
            for what in mount.controllers:
                if what not in folders and (values := _first_values(wanted).get(what)):
                    folder = _place(pid, mount.own, values, made)
                    folders |= {what: (folder, Mechanism.CGROUP1)} if folder else {}
    except BaseException:
        Group({}, made).close()
        raise
    return Group(folders, made, scope)


def hierarchies(proc: Path = _ROOT) -> list[Mount]:
    """Every mounted hierarchy in which our own group can be seen."""
    own: dict[str, str] = {}
    for line in _read(proc / "cgroup").splitlines():
        _, names, path = line.split(":", 2)
        own |= dict.fromkeys(names.split(","), path)
    found: list[Mount] = []
    for line in _read(proc / "mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        root, point = (_plain(text) for text in left.split(" ")[3:5])
        kind, _, options = right.split(" ", 2)
        names = [""] if kind == "cgroup2" else [n for n in options.split(",") if n in own] if kind == "cgroup" else []
        path = next((own[name] for name in names if name in own), None)
        if path is None or ".." in path or not (path + "/").startswith(root.rstrip("/") + "/"):
            continue
        inner = path.removeprefix(root.rstrip("/")).strip("/")
        found.append(
            Mount(2 if kind == "cgroup2" else 1, tuple(n for n in names if n), Path(point), Path(point, inner))
        )
    return found


def _plain(text: str) -> str:
    """mountinfo writes blanks and the like in octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _first_values(wanted: Wanted) -> dict[str, dict[str, str]]:
    """Version 1: controller -> file -> value. Swap is bounded with the memory, where the kernel accounts for it."""
    cpu = {"cpu.cfs_quota_us": str(int(wanted.cpu * _PERIOD_US))} if wanted.cpu else {}
    memory = {"memory.limit_in_bytes": str(wanted.memory), "memory.memsw.limit_in_bytes?": str(wanted.memory)}
    return {"memory": memory, "pids": {"pids.max": str(wanted.pids)}, "cpu": cpu}


def _second_values(wanted: Wanted) -> dict[str, dict[str, str]]:
    """Version 2. `oom.group`: where memory ends, the whole box ends."""
    cpu = {"cpu.max": f"{int(wanted.cpu * _PERIOD_US)} {_PERIOD_US}"} if wanted.cpu else {}
    memory = {"memory.max": str(wanted.memory), "memory.swap.max?": "0", "memory.oom.group?": "1"}
    return {"memory": memory, "pids": {"pids.max": str(wanted.pids)}, "cpu": cpu}


def _place(pid: int, parent: Path, values: Mapping[str, str], made: list[Path]) -> Path | None:
    """A new group below `parent` with these values and the process in it; None where that can't be."""
    _sweep(parent)
    folder = parent / f"overnight-box-{os.getpid()}-{next(_COUNT)}"
    try:
        folder.mkdir()
    except OSError:
        return None
    try:
        for name, value in values.items():
            if not name.endswith("?"):
                (folder / name).write_text(value)
            elif (file := folder / name[:-1]).exists():
                with contextlib.suppress(OSError):
                    file.write_text(value)
        (folder / "cgroup.procs").write_text(str(pid))
        held = all(_agrees(folder / name, value) for name, value in values.items() if not name.endswith("?"))
    except OSError:
        held = False
    if not held:
        # The process goes back first, or the group could not be removed.
        with contextlib.suppress(OSError):
            (parent / "cgroup.procs").write_text(str(pid))
        _remove(folder)
        return None
    made.append(folder)
    return folder


def _agrees(file: Path, value: str) -> bool:
    """Whether the kernel says what was written; memory it rounds down to pages."""
    said = _read(file).strip()
    return said == value or (said.isdigit() and value.isdigit() and 0 <= int(value) - int(said) < 1 << 16)


def _sweep(parent: Path) -> None:
    """Remove groups whose maker died: nothing is left in them, or they can't be removed."""
    with contextlib.suppress(OSError):
        for folder in parent.iterdir():
            match = _NAME.fullmatch(folder.name)
            if match and not Path("/proc", match[1]).exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _second(
    pid: int, mount: Mount, wanted: Wanted, made: list[Path], scope: Scope | None
) -> dict[str, tuple[Path, Mechanism]]:
    values = {what: files for what, files in _second_values(wanted).items() if files}
    folder = scope.folder if scope else None
    if folder is None:
        parent = delegated(mount, tuple(values))
        if parent is None:
            return {}
        enabled = _enabled(parent)
        here = {name: v for what, files in values.items() if what in enabled for name, v in files.items()}
        folder = _place(pid, parent, here, made)
    if folder is None:
        return {}
    required = {what: [(n, v) for n, v in files.items() if not n.endswith("?")] for what, files in values.items()}
    held = [what for what, files in required.items() if all(_agrees(folder / n, v) for n, v in files)]
    return dict.fromkeys(held, (folder, Mechanism.CGROUP2))


def delegated(mount: Mount, controllers: Sequence[str]) -> Path | None:
    """The nearest group, from our own up, where we may make groups that have memory and pids at least."""
    for folder in (mount.own, *mount.own.parents):
        inside = folder == mount.top or mount.top in folder.parents
        writable = os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)
        if inside and writable and {"memory", "pids"} & set(controllers) <= _enabled(folder):
            return folder
    return None


def _enabled(folder: Path) -> set[str]:
    return set(_read(folder / "cgroup.subtree_control").split())


async def _scope(pid: int, mount: Mount, wanted: Wanted) -> Scope | None:
    """Have systemd take the process into a scope of its own; None when it won't."""
    name = f"overnight-box-{os.getpid()}-{next(_COUNT)}.scope"
    if (await _busctl(*scope_call(pid, name, wanted)))[0]:
        return None
    try:
        async with asyncio.timeout(_PATIENCE):
            # systemd answers before it has done it, and tells nobody who does not listen on its bus
            while name not in (path := _read(Path(f"/proc/{pid}/cgroup")).rpartition("0::")[2].strip()):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
    except TimeoutError:
        return None
    return Scope(mount.top / path.strip("/"), name)


async def _busctl(*words: str) -> tuple[int, str]:
    """Exit code and output of busctl on the bus of who we are; 127 when it is not there, 124 when it takes too long."""
    busctl = shutil.which("busctl")
    if busctl is None:
        return 127, ""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    bus = os.environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={runtime}/bus"
    env = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": runtime, "DBUS_SESSION_BUS_ADDRESS": bus}
    out, whose = os.memfd_create("busctl"), "--user" if os.geteuid() else "--system"
    child = Child((busctl, whose, *words), env=env, stdio=(subprocess.DEVNULL, out, subprocess.DEVNULL))
    try:
        async with asyncio.timeout(_PATIENCE):
            code = await child.ended()
        return code, os.pread(out, 4096, 0).decode(errors="replace")
    except TimeoutError:
        return 124, ""
    finally:
        child.end()
        os.close(out)


def scope_call(pid: int, name: str, wanted: Wanted) -> list[str]:
    """busctl's words for a transient scope around a process."""
    properties = [
        *("PIDs", "au", "1", str(pid)),
        *("MemoryMax", "t", str(wanted.memory)),
        *("MemorySwapMax", "t", "0"),
        *("TasksMax", "t", str(wanted.pids)),
        *(("CPUQuotaPerSecUSec", "t", str(int(wanted.cpu * 1_000_000))) if wanted.cpu else ()),
    ]
    count = "5" if wanted.cpu else "4"
    return ["call", *_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", name, "fail", count, *properties, "0"]
