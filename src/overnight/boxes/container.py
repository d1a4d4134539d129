"""`Container`: a box made by podman or docker, on an image that has git and Python."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from overnight.boxes import container_inside, seccomp
from overnight.boxes.cgroup import Group, Wanted, confine
from overnight.boxes.checked import check
from overnight.boxes.child import Child, Pidfd, readable
from overnight.boxes.container_layout import CONTROL, PROGRAM, made_up, options
from overnight.boxes.listeners import MOST, close_all
from overnight.boxes.probe import see
from overnight.boxes.settings import BoxSettings
from overnight.boxes.watch import Watch
from overnight.errors import BoxUnavailable
from overnight.missions.policy import BoxLevel
from overnight.ports import BoxSpec, Exceeded, Guarantees, Mechanism

_FIRST_PORT = 18100
#: Seconds that an engine may take to start a container, and a container to go.
_PATIENCE = 60.0
#: The same for what it has begun, once nobody waits for it.
_FINISH = 10.0
_CREDENTIALS = struct.Struct("3i")
_FOLDER = re.compile(r"overnight-container-(\d+)-.*")
#: What engines need of the environment to find their own things. None of it is seen inside.
_KEPT = ("HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DBUS_SESSION_BUS_ADDRESS")


class Container:
    """A container per process tree.

    Root outside is root inside, without any capability, as an engine can't map a person's files to somebody else: so
    root must have said `root_inside`. Inside, `PWD` is set to the working folder besides the variables of the spec.
    """

    level = BoxLevel.CONTAINER

    def __init__(self, settings: BoxSettings | None = None) -> None:
        self._settings = settings or BoxSettings()

    def ports(self, count: int) -> tuple[int, ...]:
        """At most 64."""
        if count > MOST:
            raise BoxUnavailable(reason=f"{count} ports are more than {MOST}", install="Ask for fewer.")
        return tuple(range(_FIRST_PORT, _FIRST_PORT + count))

    async def probe(self) -> Guarantees:
        """Start a container and try to break out of it. Raises BoxUnavailable when one attempt succeeds."""
        version = await self._engine("--version")
        process = await see(self, ContainerProcess)
        group, nobody = process.group, process.uid != 0
        by_user = Mechanism.RLIMIT if nobody else Mechanism.WATCHED
        return Guarantees(
            level=self.level, name=f"{version.strip()} ({self._settings.image})",
            files=True, network=True, processes=True, syscalls=True, unprivileged=nobody,
            memory=group.holds("memory", Mechanism.WATCHED), pids=group.holds("pids", by_user), cpu=group.holds("cpu"),
            disk=Mechanism.WATCHED,
        )  # fmt: skip

    async def start(self, spec: BoxSpec) -> ContainerProcess:
        """Returns when the container stands, its ports listen and argv is about to run.

        A program that can't be executed shows as exit code 127, one whose filter could not be set as 126. Raises
        BoxUnavailable.
        """
        check(spec)
        if os.geteuid() == 0 and not self._settings.root_inside:
            raise BoxUnavailable(
                reason="a container of root's runs as root, without capabilities",
                install="Run Overnight as an ordinary user, or confirm it with `root_inside = true` in [box].",
            )
        start = _Start(spec, self._settings)
        try:
            said = await self._engine("run", *start.options(), self._settings.image, "-I", "-S", PROGRAM, CONTROL)
            await start.stand(said)
            await start.limit()
            start.release()
        except BaseException:
            start.abandon()
            with contextlib.suppress(BoxUnavailable):
                await asyncio.shield(self._engine("rm", "--force", start.name))
            raise
        return start.process()

    async def _engine(self, *words: str) -> str:
        """What the engine says. Raises BoxUnavailable with it when it fails."""
        settings = self._settings
        if shutil.which(settings.engine) is None:
            raise BoxUnavailable(
                reason=f"{settings.engine} is not installed", install=f"`apt install {_PACKAGES[settings.engine]}`"
            )
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")} | {k: os.environ[k] for k in _KEPT if k in os.environ}
        out = os.memfd_create("engine-says")
        child = Child(
            (settings.engine, *settings.engine_options, *words), env=env, stdio=(subprocess.DEVNULL, out, out)
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                code = await child.ended()
            said = os.pread(out, 1 << 16, 0).decode(errors="replace")
        except TimeoutError:
            raise BoxUnavailable(reason=f"{settings.engine} does not answer", install="See whether it runs.") from None
        finally:
            child.end(_FINISH)  # an engine that is killed may do its work all the same, when nobody looks any more
            os.close(out)
        if code:
            raise BoxUnavailable(
                reason=f"{settings.engine} says: {said.strip()[-2000:]}", install=_advice(said, settings)
            )
        return said


_PACKAGES = {"podman": "podman runc uidmap", "docker": "docker.io"}


def _advice(said: str, settings: BoxSettings) -> str:
    if "No such image" in said or "image not known" in said or "Unable to find image" in said:
        return f"Make the image {settings.image!r}: `overnight box image`."
    return f"See whether `{settings.engine} run` works here; docs/boxes.md says what it needs."


class _Start:
    """The handshake with the first process. Everything that it needs lies in a folder that goes before argv runs."""

    def __init__(self, spec: BoxSpec, settings: BoxSettings) -> None:
        self.listeners: Sequence[socket.socket] = ()
        self.first_pid = 0
        self.uid = os.geteuid()
        self.group = Group({})
        self.name = f"overnight-{os.getpid()}-{secrets.token_hex(6)}"
        self._spec, self._settings = spec, settings
        self._first: Pidfd | None = None
        _sweep()
        self._control = Path(tempfile.mkdtemp(prefix=f"overnight-container-{os.getpid()}-"))
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._inside: socket.socket | None = None
        try:
            self._fill()
        except BaseException:
            self.abandon()
            raise

    def _fill(self) -> None:
        inside, spec = self._control / "inside", self._spec
        (self._control / "etc").mkdir()
        inside.mkdir()
        for name, text in made_up(spec).items():
            (self._control / "etc" / name).write_text(text)
        shutil.copyfile(container_inside.__file__, inside / "inside.py")
        program = seccomp.program(unix_sockets=self._settings.unix_sockets).hex()
        env = {**spec.env, "PWD": spec.cwd}
        order = {"argv": spec.argv, "env": env, "cwd": spec.cwd, "filter": program, "ports": spec.ports}
        (inside / "order.json").write_text(json.dumps(order))
        if spec.git is not None:
            (self._control / "git").write_bytes(os.fsencode(f"gitdir: {spec.git[1]}\n"))
        self._door.bind(str(inside / "starter"))
        self._door.listen(1)

    def options(self) -> list[str]:
        """The engine's."""
        spec, streams = self._spec, dict[int, str]()
        for fd, path in enumerate((spec.stdin, spec.stdout, spec.stderr)):
            if path is not None:
                streams[fd] = _there(path, writable=fd != 0)
        return options(spec, self._settings, self._control, streams, self.name)

    async def stand(self, said: str) -> None:
        """Wait for the first process, and get hold of it and of its listeners."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await readable(self._door.fileno())
                self._inside, _ = self._door.accept()
                await readable(self._inside.fileno())
        except TimeoutError:
            raise self._unfit(said) from None
        message, fds, _, _ = socket.recv_fds(self._inside, 64, MOST)
        self.listeners = [socket.socket(fileno=fd) for fd in fds]
        for listener in self.listeners:
            listener.setblocking(False)
        if message != b"here" or len(fds) != len(self._spec.ports):
            raise self._unfit(said)
        credentials = self._inside.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.first_pid, self.uid, _ = _CREDENTIALS.unpack(credentials)
        try:
            self._first = Pidfd(self.first_pid)
            status = Path(f"/proc/{self.first_pid}/status").read_text()
        except OSError:
            raise self._unfit(said) from None
        if not re.search(r"^NSpid:.*\t1$", status, re.MULTILINE):
            raise BoxUnavailable(
                reason="its first process is not the first in there",
                install="Take `--init` out of the engine's settings.",
            )

    def _unfit(self, said: str) -> BoxUnavailable:
        return BoxUnavailable(
            reason=f"the container {said.strip()[:12]} did not come up",
            install=f"See whether the image {self._settings.image!r} has python3; `overnight box image` makes one.",
        )

    async def limit(self) -> None:
        """The engine's own bounds hold until here."""
        settings = self._settings
        self.group = await confine(
            self.first_pid, Wanted(memory=settings.memory, pids=settings.processes, cpu=settings.cpu)
        )
        if settings.cpu is not None and self.group.holds("cpu") is Mechanism.NONE:
            raise BoxUnavailable(
                reason="there is no control group here that could bound its processor time",
                install="Take `cpu` out of [box] in your settings, or start Overnight where systemd runs.",
            )

    def release(self) -> None:
        """Nothing that leads to the first process is left, then argv goes."""
        assert self._inside is not None
        self._clear()
        self._inside.send(b"go")

    def _clear(self) -> None:
        self._door.close()
        shutil.rmtree(self._control, ignore_errors=True)

    def abandon(self) -> None:
        """Nothing of the container stays. Blocks for the milliseconds that takes."""
        close_all(self.listeners)
        if self._inside is not None:
            self._inside.close()
        if self._first is not None:
            self._first.send(signal.SIGKILL)
            self._first.ended_within(_PATIENCE)
            self._first.close()
        self.group.close()
        self._clear()

    def process(self) -> ContainerProcess:
        """The started container."""
        assert self._first is not None
        assert self._inside is not None
        watch = Watch(self.first_pid, self.group, self._spec.writable, self._settings)
        return ContainerProcess(self, self._first, self._inside, watch)


def _there(path: str, *, writable: bool) -> str:
    """A file that a stream can be. One that exists is not opened: a FIFO's reader would see it end."""
    try:
        if writable and not Path(path).exists():
            Path(path).touch(0o600)
        if not os.access(path, os.W_OK if writable else os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES) if Path(path).exists() else "it is not there")
    except OSError as error:
        raise BoxUnavailable(reason=f"{path} can't be opened: {error.strerror}", install="Mend the path.") from error
    return path


class ContainerProcess:
    """A started container. Its listeners belong to the caller, who serves and closes them."""

    def __init__(self, start: _Start, first: Pidfd, inside: socket.socket, watch: Watch) -> None:
        self.pid, self.listeners, self.group, self.uid = start.first_pid, start.listeners, start.group, start.uid
        self._first, self._inside, self._watch = first, inside, watch
        self._exceeded: Exceeded | None = None
        self._watching = asyncio.ensure_future(self._hold())
        self._end = asyncio.ensure_future(self._follow())

    async def wait(self) -> int:
        """As the port says; 127 when the program could not be executed."""
        return await asyncio.shield(self._end)

    async def kill(self) -> None:
        """The kernel kills the whole pid namespace with its first process."""
        if not self._end.done():
            self._first.send(signal.SIGKILL)
        await asyncio.wait([self._end])

    async def signal(self, number: int) -> None:
        """Once argv has ended, nothing happens."""
        if not self._end.done():
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._inside.send(b"signal %d" % number)

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
            await self._first.ended()
        finally:
            self._watching.cancel()
            (trouble,) = await asyncio.gather(self._watching, return_exceptions=True)
            self._first.send(signal.SIGKILL)
            self._first.ended_within(_PATIENCE)
            self._first.close()
            self._exceeded = self._exceeded or self._watch.counted()
            self.group.close()
            reported = _reported(self._inside)
            self._inside.close()
        if isinstance(trouble, Exception):
            raise trouble
        return -signal.SIGKILL if reported is None else reported


def _reported(inside: socket.socket) -> int | None:
    """argv's exit code; None when the first process was killed."""
    for _ in range(2):  # what it left unread shows as an error first
        with contextlib.suppress(ConnectionResetError):
            match = re.fullmatch(rb"end (-?\d+)", inside.recv(64))
            return int(match[1]) if match else None
    return None


def _sweep() -> None:
    """Remove the folders of starters that died on the way."""
    for folder in Path(tempfile.gettempdir()).iterdir():
        match = _FOLDER.fullmatch(folder.name)
        if match and not Path("/proc", match[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)
