"""`Bubblewrap`: a box out of Linux namespaces, mounts and a system call filter, made by bwrap."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from overnight.boxes import layout, seccomp
from overnight.boxes.cgroup import Group, Wanted, confine
from overnight.boxes.checked import check
from overnight.boxes.child import Child, Pidfd, readable
from overnight.boxes.engine import Engine, advice, find_engine
from overnight.boxes.handover import Handover
from overnight.boxes.listeners import MOST, close_all, listen_inside
from overnight.boxes.probe import see
from overnight.boxes.settings import BoxSettings
from overnight.boxes.staging import Staging
from overnight.boxes.watch import Watch
from overnight.errors import BoxUnavailable
from overnight.missions.policy import BoxLevel
from overnight.ports import BoxSpec, Exceeded, Guarantees, Mechanism

#: Ports inside are private to the box, so any will do: these lie below the ephemeral ones.
_FIRST_PORT = 18100
#: Seconds that bwrap may take to fail by itself, once nothing can become of the box.
_PATIENCE = 5.0


class Bubblewrap:
    """A box per process tree. See `layout` for what is in it and `seccomp` for what can't be called.

    `start` must run on the main thread (or another that lives as long as the box): the kernel ties bwrap's
    death signal to the thread that started it.

    Inside, `PWD` is set to the working folder besides the variables of the spec.
    """

    level = BoxLevel.OS

    def __init__(self, settings: BoxSettings | None = None, engines: tuple[str, ...] | None = None) -> None:
        """engines: paths of bwrap to try in this order; None looks for the system's, then for the wheel's."""
        self._settings = settings or BoxSettings()
        self._engines = engines

    def ports(self, count: int) -> tuple[int, ...]:
        """At most 64."""
        if count > MOST:
            raise BoxUnavailable(reason=f"{count} ports are more than {MOST}", install="Ask for fewer.")
        return tuple(range(_FIRST_PORT, _FIRST_PORT + count))

    async def probe(self) -> Guarantees:
        """Start a box and try to break out of it. Raises BoxUnavailable when one attempt succeeds."""
        engine = await find_engine(self._engines)
        process = await see(self, BubblewrapProcess)
        group, nobody = process.group, process.uid != 0
        # The kernel does not count the processes of the user that is root here.
        by_user = Mechanism.RLIMIT if nobody else Mechanism.WATCHED
        return Guarantees(
            level=self.level, name=f"{engine.version} ({engine.path})",
            files=True, network=True, processes=True, syscalls=True, unprivileged=nobody,
            memory=group.holds("memory", Mechanism.WATCHED), pids=group.holds("pids", by_user), cpu=await self._holds_cpu(),
            disk=Mechanism.WATCHED,
        )  # fmt: skip

    async def _holds_cpu(self) -> Mechanism:
        """How processor time is bounded, or would be if the owner asked for it."""
        cores = self._settings.cpu or float(os.cpu_count() or 1)
        box = Bubblewrap(replace(self._settings, cpu=cores), self._engines)
        try:
            process = await box.start(BoxSpec(argv=("/bin/true",), env={}, cwd="/usr"))
        except BoxUnavailable:
            return Mechanism.NONE
        await process.wait()
        return process.group.holds("cpu")

    async def start(self, spec: BoxSpec) -> BubblewrapProcess:
        """Returns when the box stands, its ports listen and argv is about to run.

        A program that can't be executed shows as exit code 127. Raises BoxUnavailable.
        """
        check(spec)
        engine = await find_engine(self._engines)
        program = seccomp.program(unix_sockets=self._settings.unix_sockets)
        written = _size(spec.stderr)
        start = _Start(engine, spec, self._settings)
        try:
            await start.stand()
            await start.limit(self._settings)
            start.listeners = await listen_inside(start.first_pid, spec.ports)
            await start.release(program)
        except _Broken as broken:
            start.abandon()
            said = _said(spec.stderr, written) or f"name a file for stderr to see why ({broken})"
            raise BoxUnavailable(reason=f"bwrap did not get it up: {said}", install=advice(said)) from None
        except BaseException:
            start.abandon()
            raise
        return start.process(Watch(start.first_pid, start.group, spec.writable, self._settings))


class BubblewrapProcess:
    """A started bubblewrap box. Its listeners belong to the caller, who serves and closes them."""

    def __init__(
        self, outer: Child, first: Pidfd, first_pid: int, uid: int, status: socket.socket,
        listeners: Sequence[socket.socket], group: Group, watch: Watch,
    ) -> None:  # fmt: skip
        """uid: whose processes these are, outside."""
        self.pid = outer.pid
        self.listeners = listeners
        self.group, self.uid = group, uid
        self._outer, self._first, self._first_pid, self._status = outer, first, first_pid, status
        self._watch, self._exceeded = watch, None
        self._watching = asyncio.ensure_future(self._hold())
        self._end = asyncio.ensure_future(self._follow())

    async def wait(self) -> int:
        """As the port says; 127 when the program could not be executed.

        bwrap reports a death by signal n as exit code 128 + n, as shells do. So a program that itself exits with
        such a code, on behalf of a child of its own, reads as killed by that signal too.
        """
        return await asyncio.shield(self._end)

    async def kill(self) -> None:
        """The kernel kills the whole pid namespace with its first process."""
        if not self._end.done():
            self._first.send(signal.SIGKILL)
            self._outer.kill()
        await asyncio.wait([self._end])

    async def signal(self, number: int) -> None:
        """Once argv has ended, nothing happens."""
        while not self._end.done():
            target = _first_child(self._first_pid)
            if target is not None:
                target.send(number)
                target.close()
                return
            await asyncio.sleep(0.001)  # argv is forked within this time after the start

    def exceeded(self) -> Exceeded | None:
        """As the port says."""
        return self._exceeded

    async def _hold(self) -> None:
        """End it when it goes over a bound, and also when that can't be seen any more."""
        try:
            self._exceeded = await self._watch.exceeds()
        finally:
            self._first.send(signal.SIGKILL)

    async def _follow(self) -> int:
        try:
            await self._outer.ended()
            self._first.send(signal.SIGKILL)  # its own death signal does that; twice is no harm
            await self._first.ended()
        finally:
            self._watching.cancel()
            (trouble,) = await asyncio.gather(self._watching, return_exceptions=True)
            self._first.send(signal.SIGKILL)
            code = self._outer.end()
            self._first.ended_within(_PATIENCE)
            self._first.close()
            await self.group.look_back()
            self._exceeded = self._exceeded or self._watch.counted()
            self.group.close()
            reported = _reported(self._status)
            self._status.close()
        if isinstance(trouble, Exception):
            raise trouble
        if reported is None and code == 1:
            return 127
        return _translated(code if reported is None else reported)


class _Broken(Exception):
    """bwrap ended before the box stood."""


class _Start:
    """The handshake with bwrap.

    The filter's descriptor is the gate: bwrap reads it when everything else is set up, and an end of file without
    a filter is an error to it. So a box whose starter dies on the way never runs anything; with `--block-fd` the
    starter's death would open the gate.
    """

    def __init__(self, engine: Engine, spec: BoxSpec, settings: BoxSettings) -> None:
        self.listeners: Sequence[socket.socket] = ()
        self.first_pid = self.uid = 0
        self.group = Group({})
        self._first: Pidfd | None = None
        self._heard = b""
        self._status, status = socket.socketpair()
        self._gate, gate = socket.socketpair()
        try:
            with Handover() as stdio, Handover() as handover, status, gate:
                staging = Staging() if os.geteuid() == 0 and not settings.root_inside else None
                options = layout.options(spec, settings, handover, staging, disable_userns=engine.disables_userns)
                options += ["--json-status-fd", str(status.fileno()), "--seccomp", str(gate.fileno())]
                words = ("--args", str(handover.words(options)), "--", *spec.argv)
                argv = (engine.path, *words)
                if staging is not None:
                    argv = staging.argv(engine, words, handover, (1, 2), _limits(settings))
                self._outer = Child(
                    argv,
                    env={},  # what bwrap has in its environment can be read inside, as /proc/1/environ
                    pass_fds=(*handover.fds, status.fileno(), gate.fileno()),
                    stdio=(stdio.source(spec.stdin, copied=True), stdio.sink(spec.stdout), stdio.sink(spec.stderr)),
                )
            self._limited = staging is not None
        except BaseException:
            self._status.close()
            self._gate.close()
            raise

    async def stand(self) -> None:
        """Wait until the box's first process exists."""
        while b"\n" not in self._heard:
            await readable(self._status.fileno())
            more = self._status.recv(4096)
            if not more:
                raise _Broken("no first process")
            self._heard += more
        self.first_pid = msgspec.json.decode(self._heard.splitlines()[0], type=dict[str, int])["child-pid"]
        try:
            self._first = Pidfd(self.first_pid)
            self.uid = int(_fields(Path("/proc", str(self.first_pid)))["Uid"].split()[1])
        except (ProcessLookupError, KeyError):
            raise _Broken("the first process ended") from None

    async def limit(self, settings: BoxSettings) -> None:
        """Everything inside inherits the first process's groups and limits."""
        bounds = Wanted(memory=settings.memory, pids=settings.processes, cpu=settings.cpu)
        self.group = await confine(self.first_pid, bounds)
        if settings.cpu is not None and self.group.holds("cpu") is Mechanism.NONE:
            raise BoxUnavailable(
                reason="there is no control group here that could bound its processor time",
                install="Take `cpu` out of [box] in your settings, or start Overnight where systemd runs.",
            )
        for kind, most in () if self._limited else _limits(settings).items():
            _, hard = resource.prlimit(self.first_pid, kind)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(self.first_pid, kind, (most, most))

    async def release(self, program: bytes) -> None:
        """Hand over the filter and wait until it is taken: then the box stands."""
        try:
            self._gate.sendall(program)
            self._gate.shutdown(socket.SHUT_WR)
            await readable(self._gate.fileno())
            self._gate.recv(1)  # the end when the filter was read, an error when it was left lying
        except OSError:
            raise _Broken("the filter was not taken") from None

    def abandon(self) -> None:
        """Nothing of the box stays. Blocks for the milliseconds that takes."""
        close_all(self.listeners)
        self._gate.close()
        if self._first is not None:
            self._first.send(signal.SIGKILL)
            self._first.ended_within(_PATIENCE)
            self._first.close()
        # Not killed at once: its child, not yet tied to it, ends by the closed gate.
        self._outer.end(_PATIENCE)
        self._status.close()
        self.group.close()

    def process(self, watch: Watch) -> BubblewrapProcess:
        """The started box."""
        assert self._first is not None
        self._gate.close()
        return BubblewrapProcess(
            self._outer, self._first, self.first_pid, self.uid, self._status, self.listeners, self.group, watch
        )


def _limits(settings: BoxSettings) -> dict[int, int]:
    return {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: settings.open_files,
        # Above the bound, so that going over it is noticed before the kernel refuses.
        resource.RLIMIT_NPROC: settings.processes + settings.processes // 8 + 64,
    }


def _translated(code: int) -> int:
    number = code - 128
    return -number if code > 128 and number in signal.valid_signals() else code


def _reported(status: socket.socket) -> int | None:
    """argv's exit code in bwrap's words; None when argv never ran."""
    heard = b""
    while more := status.recv(4096):
        heard += more
    for line in heard.splitlines():
        code = msgspec.json.decode(line, type=dict[str, int]).get("exit-code")
        if code is not None:
            return code
    return None


def _first_child(parent: int) -> Pidfd | None:
    """The oldest child of a box's first process: argv's process. Orphans that were left to it came later."""
    found: list[tuple[int, int]] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _fields(entry)
            if fields.get("PPid") == str(parent):
                found.append((int(fields["NSpid"].split()[-1]), int(entry.name)))
    if not found:
        return None
    pid = min(found)[1]
    try:
        handle = Pidfd(pid)
    except ProcessLookupError:
        return None
    if _fields(Path("/proc", str(pid))).get("PPid") == str(parent):
        return handle
    handle.close()
    return None


def _fields(process: Path) -> dict[str, str]:
    try:
        lines = (process / "status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _size(path: str | None) -> int:
    return Path(path).stat().st_size if path is not None and Path(path).exists() else 0


def _said(path: str | None, since: int) -> str:
    """What bwrap itself wrote to the box's stderr, a file or a FIFO."""
    if path is None:
        return ""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.lseek(fd, since, os.SEEK_SET)
        return os.read(fd, 4096).decode(errors="replace").strip()
    except BlockingIOError:  # nothing is in the FIFO
        return ""
    finally:
        os.close(fd)
