"""`Landlock`: a weaker box for machines that let nobody make namespaces. What it can't hold, it says.

Landlock keeps a process tree to folders, to TCP ports and from signalling others; a filter takes every other kind of
socket. It has no namespaces: see docs/boxes.md for what passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from msgspec.structs import replace

from overnight.boxes import landlock_inside, seccomp
from overnight.boxes.cgroup import Group
from overnight.boxes.checked import check
from overnight.boxes.layout import SYSTEM
from overnight.boxes.none import Unconfined, UnconfinedProcess
from overnight.boxes.probe import see
from overnight.boxes.settings import BoxSettings, tool_folders
from overnight.boxes.watch import Watch
from overnight.errors import BoxUnavailable
from overnight.missions.policy import BoxLevel
from overnight.ports import BoxSpec, Exceeded, Guarantees, Mechanism

_INSIDE = str(Path(landlock_inside.__file__))
#: Readable besides what every box shows. /proc is this machine's, all of it that its user may read.
_ALSO = (
    *("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc"),
    *("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf"),
)
_DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom"))
_STRONGER = "Take `name` out of [box] in your settings to have bubblewrap."


class Landlock:
    """A process tree that gave up its rights. Never chosen but by name, and never for root.

    `git` becomes GIT_DIR and GIT_WORK_TREE, `PWD` is the working folder, and TMPDIR is a folder of the box's own that
    goes with it, besides the variables of the spec.
    """

    level = BoxLevel.OS

    def __init__(self, settings: BoxSettings | None = None) -> None:
        self._settings = settings or BoxSettings()

    def ports(self, count: int) -> tuple[int, ...]:
        """Free ones of this machine's own loopback; someone else may take them before the start."""
        return Unconfined().ports(count)

    async def probe(self) -> Guarantees:
        """Start a box and try to break out of it. Raises BoxUnavailable when an attempt succeeds that should not."""
        await see(self, LandlockProcess, alone=False)
        return Guarantees(
            level=self.level, name=f"landlock (ABI {landlock_inside.abi()})", files=True, syscalls=True,
            unprivileged=True, memory=Mechanism.WATCHED, pids=Mechanism.WATCHED, disk=Mechanism.WATCHED,
        )  # fmt: skip

    async def start(self, spec: BoxSpec) -> LandlockProcess:
        """A program that can't be executed shows as exit code 127, a box that could not be made as 126.

        Raises BoxUnavailable.
        """
        check(spec)
        self._check_here()
        tmp = tempfile.mkdtemp(prefix="overnight-box-")
        try:
            watch_from = (*spec.writable, tmp)
            process = await Unconfined().start(self._confined(spec, tmp))
            return LandlockProcess(process, Watch(process.pid, Group({}), watch_from, self._settings), tmp)
        except BaseException:
            shutil.rmtree(tmp, ignore_errors=True)
            raise

    def _check_here(self) -> None:
        if os.geteuid() == 0:
            raise _unfit("it does not hold root: permissions of files anywhere could be changed")
        if landlock_inside.abi() < landlock_inside.NEEDED_ABI:
            raise _unfit(f"this kernel has Landlock {landlock_inside.abi()}; {landlock_inside.NEEDED_ABI} is needed")
        if self._settings.unix_sockets:
            raise _unfit("with `unix_sockets` its programs could talk to every service of this user")
        if self._settings.cpu is not None:
            raise _unfit("it can't bound processor time (`cpu`)")

    def _confined(self, spec: BoxSpec, tmp: str) -> BoxSpec:
        """The spec of the program that confines itself and then is the spec's."""
        env = {"TMPDIR": tmp, "GIT_CONFIG_NOSYSTEM": "1", **spec.env}
        readable = (*SYSTEM, *_ALSO, *tool_folders(self._settings))
        order = {
            "writable": [path for path in (*spec.writable, tmp) if path not in spec.readable],
            "readable": [*(path for path in readable if Path(path).exists()), *spec.readable],
            "devices": _DEVICES,
            "ports": spec.ports,
            "filter": seccomp.program(shared=True).hex(),
            "env": [*env, "PWD", *(("GIT_WORK_TREE", "GIT_DIR") if spec.git else ())],
            "open_files": self._settings.open_files,
        }
        return replace(spec, argv=(sys.executable, "-I", "-S", _INSIDE, json.dumps(order), *spec.argv), env=env)


class LandlockProcess:
    """A confined process tree, its reaper, and its folder for temporary files."""

    def __init__(self, process: UnconfinedProcess, watch: Watch, tmp: str) -> None:
        self.pid, self.listeners = process.pid, process.listeners
        self._process, self._watch, self._tmp = process, watch, tmp
        self._exceeded: Exceeded | None = None
        self._watching = asyncio.ensure_future(self._hold())
        self._end = asyncio.ensure_future(self._follow())

    async def wait(self) -> int:
        """As the port says."""
        return await asyncio.shield(self._end)

    async def kill(self) -> None:
        """The reaper kills until nobody is left."""
        await self._process.kill()
        await asyncio.wait([self._end])

    async def signal(self, number: int) -> None:
        """Once argv has ended, nothing happens."""
        await self._process.signal(number)

    def exceeded(self) -> Exceeded | None:
        """As the port says."""
        return self._exceeded

    async def _hold(self) -> None:
        try:
            self._exceeded = await self._watch.exceeds()
        finally:
            await self._process.kill()

    async def _follow(self) -> int:
        try:
            code = await self._process.wait()
        finally:
            self._watching.cancel()
            (trouble,) = await asyncio.gather(self._watching, return_exceptions=True)
            with contextlib.suppress(OSError):
                await asyncio.to_thread(shutil.rmtree, self._tmp, True)
        if isinstance(trouble, Exception):
            raise trouble
        return code


def _unfit(reason: str) -> BoxUnavailable:
    return BoxUnavailable(reason=f"Landlock can't be used: {reason}", install=_STRONGER)
