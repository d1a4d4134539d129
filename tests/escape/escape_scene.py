"""The surroundings of a box: a person's home, repository, processes and services, all real and all throw-away."""

from __future__ import annotations

import asyncio
import base64
import ctypes
import fcntl
import json
import os
import pty
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tty
from pathlib import Path
from typing import Any

from overnight.config.policy import read_policy
from overnight.landing.worktree import LocalWorkshop, WorkshopSettings
from overnight.missions.task import Repo, Task
from overnight.ports import Box, Ground

PYTHON = os.path.realpath(sys.executable)
_HERE = Path(__file__).parent
_GIT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C",
    "GIT_AUTHOR_NAME": "Pat", "GIT_AUTHOR_EMAIL": "pat@example.org",
    "GIT_COMMITTER_NAME": "Pat", "GIT_COMMITTER_EMAIL": "pat@example.org",
}  # fmt: skip
_LOCK = struct.Struct("hhxxxxqqixxxx")
_AT_FDCWD = -100
#: The address of a service that the box's proxy lets through.
NEAR = "127.0.0.2"
#: The variable that holds a secret in the environment of whoever starts boxes.
SECRET = "OVERNIGHT_ESCAPE_SECRET"


def git(where: Path, *args: str) -> str:
    """A person's own plain git."""
    done = subprocess.run(["git", *args], cwd=where, env=_GIT, capture_output=True, text=True)
    return done.stdout.strip()


class Scene:
    """One round's surroundings, made in `root`, gone with `close`. To be used on a running loop."""

    def __init__(self, root: Path, names: tuple[str, ...]) -> None:
        self.root, self.home, self.loot = root, root / "home", root / "loot"
        self.other, self.shown, self.repo = root / "other", root / "shown", root / "repo"
        self.tokens = {name: f"token-{secrets.token_hex(8)}" for name in names}
        self.secrets = {
            what: f"secret-{secrets.token_hex(8)}"
            for what in ("ssh", "other", "config", "shm", "argument", "memory", "file", "handed", "victim")
        }
        self.secrets["supervisor"] = os.environ[SECRET]
        self.heard: dict[str, bytes] = {}
        self.signalled = 0
        self._servers: list[Any] = []
        self._sockets: dict[str, int | str] = {}
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._slave, False)
        self.terminal = os.ttyname(self._slave)
        self._make_files()
        self._victim = self._start_victim()

    def _make_files(self) -> None:
        for folder in (self.home / ".ssh", self.home / "bin", self.loot / "home", self.other, self.shown):
            folder.mkdir(parents=True)
        (self.home / ".ssh" / "id").write_text(self.secrets["ssh"])
        (self.home / ".bashrc").write_text("# of the person\n")
        (self.home / "cherished").write_text("of the person\n")
        (self.home / "doomed").write_text("of the person\n")
        (self.other / "secret").write_text(self.secrets["other"])
        (self.other / "doomed").write_text("work of another agent\n")
        (self.shown / "library").write_text("read only\n")
        (self.root / "stdin").write_text("asked\n")
        (self.root / "stdout").write_text("told before\n")
        os.mkfifo(self.loot / "standing")
        os.mkfifo(self.loot / "go")
        (self.loot / "standing").chmod(0o666)
        (self.loot / "go").chmod(0o666)
        self.memory = Path("/dev/shm", f"overnight-escape-{secrets.token_hex(8)}")
        self.memory.write_text(self.secrets["shm"])
        self.memory.chmod(0o600)

    # -- the repository -------------------------------------------------------------------------------------

    async def make_repository(self, box: Box) -> None:
        """A person's repository, and a worktree and private git dir in it as every run has them."""
        git(self.root, "init", "-q", "-b", "main", str(self.repo))
        (self.repo / "overnight.toml").write_text("")
        (self.repo / "a.txt").write_text("one\n")
        git(self.repo, "add", ".")
        git(self.repo, "commit", "-q", "-m", "first")
        git(self.repo, "config", "remote.origin.url", f"https://pat:{self.secrets['config']}@example.org/repo.git")
        self.first = git(self.repo, "rev-parse", "HEAD")
        policy, settings = read_policy, WorkshopSettings(min_free=0)
        self._workshop = LocalWorkshop(self.root / "state", box, policy, settings)
        repo = Repo(name="repo", path=str(self.repo), target="main")
        self._task = Task(id="t1", repo=repo, title="Work", text="Please.")
        self.ground: Ground = await self._workshop.prepare(self._task)
        self.git_dir = await self._workshop.open(self._task, self.ground, "t1.1.1", self.ground.base, None)
        self.tree = Path(self.ground.worktree)

    async def collect(self, *, boxed: bool) -> None:
        """What happens next: Overnight takes the run's work out; a person looks at the worktree and merges it."""
        made = git(self.tree, "rev-parse", "HEAD")
        if boxed:
            base = self.ground.base
            result = await self._workshop.collect(self._task, self.ground, "t1.1.1", self.git_dir, base, True)
            made = "" if result.refused else result.commit
        git(self.tree, "status")
        git(self.repo, "merge", "-q", "--ff-only", made)
        git(self.repo, "status")
        git(self.repo, "log", "-1", "-p")

    # -- processes ------------------------------------------------------------------------------------------

    def _start_victim(self) -> subprocess.Popen[str]:
        said = [self.secrets[what] for what in ("argument", "memory", "file")]
        argv = [PYTHON, "-I", "-S", str(_HERE / "escape_victim.py"), said[0], said[1][::-1], said[2][::-1]]
        victim = subprocess.Popen(
            argv, cwd=self.home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={"SECRET": self.secrets["victim"]},
        )  # fmt: skip
        assert victim.stdout is not None
        self.victim = victim.pid
        self.victims = json.loads(victim.stdout.readline())
        return victim

    def victim_status(self) -> dict[str, str]:
        """Fields of its /proc status; none when it is dead."""
        return {} if self._victim.poll() is not None else fields(self.victim)

    def holder(self, name: str) -> int | None:
        """Process id of whoever holds an attack's lock: the attack itself, still alive."""
        path = self.loot / f"{name}.held"
        if not path.exists():
            return None
        with path.open("rb+") as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, _LOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
        kind, _, _, _, pid = _LOCK.unpack(answer)
        return pid if kind != fcntl.F_UNLCK else None

    def typed(self) -> bytes:
        """What stands in the terminal as if a person had typed it."""
        try:
            return os.read(self._slave, 4096)
        except BlockingIOError:
            return b""

    # -- services -------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Services of this machine, none of them meant for a box."""
        await self._listen("tcp", socket.AF_INET, ("127.0.0.1", 0))
        self.port = int(self._sockets["tcp"])
        await self._listen("near", socket.AF_INET, (NEAR, self.port))
        await self._listen("tcp6", socket.AF_INET6, ("::1", 0))
        await self._listen("path", socket.AF_UNIX, str(self.shown / "service.sock"))
        await self._listen("abstract", socket.AF_UNIX, f"\0overnight-escape-{secrets.token_hex(8)}")
        await self._receive("udp", socket.AF_INET, ("127.0.0.1", 0))
        await self._receive("datagrams", socket.AF_UNIX, str(self.shown / "log.sock"))
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, self._count)

    def _count(self) -> None:
        self.signalled += 1

    async def _listen(self, what: str, family: int, address: Any) -> None:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                self.heard[what] = self.heard.get(what, b"") + await reader.read(4096)
            finally:
                writer.close()

        sock = socket.socket(family)
        sock.bind(address)
        self._servers.append(await asyncio.start_server(take, sock=sock))
        self._note(what, sock, address)

    async def _receive(self, what: str, family: int, address: Any) -> None:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind(address)
        sock.setblocking(False)
        self._servers.append(sock)
        self._note(what, sock, address)
        asyncio.get_running_loop().add_reader(sock, self._take_datagram, what, sock)

    def _take_datagram(self, what: str, sock: socket.socket) -> None:
        self.heard[what] = self.heard.get(what, b"") + sock.recv(4096)

    def _note(self, what: str, sock: socket.socket, address: Any) -> None:
        self._sockets[what] = address if isinstance(address, str) else sock.getsockname()[1]
        if isinstance(address, str) and address.startswith("/"):
            Path(address).chmod(0o666)

    # -- what scripts are told ------------------------------------------------------------------------------

    def given(self, proxy: int) -> dict[str, Any]:
        """Where things are. An attacker is taken to know all of it."""
        return {
            "root": str(self.root), "home": str(self.home), "loot": str(self.loot), "tree": str(self.tree),
            "git_dir": self.git_dir, "repo": str(self.repo), "other": str(self.other), "shown": str(self.shown),
            "memory": str(self.memory), "victim": self.victim, **self.victims, "supervisor": os.getpid(),
            "sockets": self._sockets, "proxy": proxy, "first": self.first, "handle": _handle(self.home / ".ssh" / "id"),
        }  # fmt: skip

    # -- the end --------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Nothing stays."""
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGUSR2)
        for server in self._servers:
            if isinstance(server, socket.socket):
                loop.remove_reader(server)
            server.close()
        self._victim.send_signal(signal.SIGCONT)
        self._victim.kill()
        self._victim.wait()
        for pipe in (self._victim.stdin, self._victim.stdout):
            assert pipe is not None
            pipe.close()
        self.memory.unlink(missing_ok=True)
        for token in self.tokens.values():  # what fills the machine without a box
            for place in ("/tmp", "/dev/shm"):
                Path(place, token).unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
        await asyncio.to_thread(shutil.rmtree, self.root)


def fields(pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    try:
        lines = Path("/proc", str(pid), "status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _handle(path: Path) -> str:
    """A file's handle, base64, as the kernel gives it to those who see the file; easily guessed by others."""
    handle, mount = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136), ctypes.c_int()
    done = ctypes.CDLL(None).name_to_handle_at(_AT_FDCWD, os.fsencode(path), handle, ctypes.byref(mount), 0)
    return base64.b64encode(handle.raw).decode() if done == 0 else ""
