"""What attacks achieve, as somebody outside of the box sees it. Each function makes an `Effect`."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import psutil
from escape_attack import Effect
from escape_scene import Scene, fields, git

_PIDFD_GETFD = 438
_LIBC = ctypes.CDLL(None, use_errno=True)


def looted(secret: str) -> Effect:
    """A secret of the scene was carried out."""
    return lambda scene, name: scene.secrets[secret].encode() in _loot(scene, name)


def looted_from(read: Callable[[Scene], str]) -> Effect:
    """What only somebody outside should know was carried out. read: what it is; not empty."""

    def effect(scene: Scene, name: str) -> bool:
        known = read(scene).strip()
        return bool(known) and known.encode() in _loot(scene, name)

    return effect


def _loot(scene: Scene, name: str) -> bytes:
    path = scene.loot / f"{name}.loot"
    return path.read_bytes() if path.exists() else b""


def written(path: str) -> Effect:
    """The attack's token stands in a file, named from the scene's root."""
    return lambda scene, name: _holds(scene.root / path, scene.tokens[name])


def _holds(path: Path, token: str) -> bool:
    return path.is_file() and token.encode() in path.read_bytes()


def exists(path: str) -> Effect:
    """A file or folder was made."""
    return lambda scene, name: os.path.lexists(scene.root / path.format(name=name))


def gone(path: str) -> Effect:
    """A file or folder is away."""
    return lambda scene, _: not os.path.lexists(scene.root / path)


def mode(path: str, bits: int) -> Effect:
    """A file, whoever made it, has one of these mode bits."""
    return lambda scene, name: _mode(scene.root / path.format(name=name)) & bits != 0


def device(path: str) -> Effect:
    """A path is a device."""

    def effect(scene: Scene, name: str) -> bool:
        found = _mode(scene.root / path.format(name=name))
        return stat.S_ISCHR(found) or stat.S_ISBLK(found)

    return effect


def _mode(path: Path) -> int:
    return path.lstat().st_mode if os.path.lexists(path) else 0


def dated(path: str, when: int) -> Effect:
    """A file bears a forged time."""
    return lambda scene, _: int((scene.root / path).stat().st_mtime) == when


def emptied(path: str, content: str) -> Effect:
    """A file has lost what it held."""
    return lambda scene, _: content not in (scene.root / path).read_text(errors="replace")


def heard(service: str) -> Effect:
    """A service of this machine received the attack's token."""
    return lambda scene, name: scene.tokens[name].encode() in scene.heard.get(service, b"")


def alive(scene: Scene, name: str) -> bool:
    """A process of the attack is still there."""
    return scene.holder(name) is not None


def both(one: Effect, other: Effect) -> Effect:
    """Two effects at once."""
    return lambda scene, name: one(scene, name) and other(scene, name)


def victim(check: Callable[[dict[str, str]], bool]) -> Effect:
    """Something about another process changed. check: of its status."""
    return lambda scene, _: check(scene.victim_status())


def victim_file(name: str, check: Callable[[str], bool]) -> Effect:
    """The same, of another file in its /proc."""
    return lambda scene, _: check(Path("/proc", str(scene.victim), name).read_text())


def victim_memory(scene: Scene, name: str) -> bool:
    """The attack's token stands in another process's memory."""
    with Path("/proc", str(scene.victim), "mem").open("rb", buffering=0) as memory:
        memory.seek(scene.victims["address"])
        return scene.tokens[name].encode() in memory.read(64)


def signalled(scene: Scene, _: str) -> bool:
    """Whoever started the box got a signal from inside."""
    return scene.signalled > 0


def holding(link: str, *, writing: bool = False) -> Effect:
    """The attack has something open whose name begins so. writing: and may write it."""

    def effect(scene: Scene, name: str) -> bool:
        pid = scene.holder(name)
        return pid is not None and any(_is_open(entry, link, writing) for entry in Path(f"/proc/{pid}/fd").iterdir())

    return effect


def _is_open(entry: Path, link: str, writing: bool) -> bool:
    try:
        named = str(entry.readlink())
        info = (entry.parent.parent / "fdinfo" / entry.name).read_text()
    except OSError:
        return False
    flags = int(info.split("flags:")[1].split()[0], 8)
    return named.startswith(link) and (not writing or flags & (os.O_WRONLY | os.O_RDWR) != 0)


def has_socket(family: int, kind: int | None = None, protocol: int | None = None) -> Effect:
    """The attack has a socket of this sort, as the kernel tells whoever gets hold of it."""

    def effect(scene: Scene, name: str) -> bool:
        pid = scene.holder(name)
        return pid is not None and any(_fits(found, family, kind, protocol) for found in _sockets(pid))

    return effect


def _fits(found: socket.socket, family: int, kind: int | None, protocol: int | None) -> bool:
    with found:
        right = found.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == family
        right = right and kind in (None, found.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE))
        return right and protocol in (None, found.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL))


def _sockets(pid: int) -> list[socket.socket]:
    """Copies of a process's sockets."""
    found: list[socket.socket] = []
    handle = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if str(entry.readlink()).startswith("socket:"):
                fd = _LIBC.syscall(_PIDFD_GETFD, handle, int(entry.name), 0)
                if fd >= 0:
                    found.append(
                        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=fd)
                    )  # said, lest it guesses
    finally:
        os.close(handle)
    return found


def other_namespace(kind: str) -> Effect:
    """The attack got itself a namespace of its own."""

    def effect(scene: Scene, name: str) -> bool:
        pid, driver = scene.holder(name), scene.holder("driver")
        if pid is None or driver is None:
            return False
        return Path(f"/proc/{pid}/ns/{kind}").readlink() != Path(f"/proc/{driver}/ns/{kind}").readlink()

    return effect


def mounted(path: str) -> Effect:
    """Something is mounted in the attack's view of the machine."""

    def effect(scene: Scene, name: str) -> bool:
        pid = scene.holder(name)
        where = str(scene.root / path)
        return pid is not None and where in Path(f"/proc/{pid}/mountinfo").read_text()

    return effect


def process(file: str, check: Callable[[str], bool]) -> Effect:
    """Something about the attack's own process, by a file of its /proc (or a link's target)."""

    def effect(scene: Scene, name: str) -> bool:
        pid = scene.holder(name)
        if pid is None:
            return False
        path = Path(f"/proc/{pid}/{file}")
        return check(str(path.readlink()) if path.is_symlink() else path.read_text())

    return effect


def opened(most: int) -> Effect:
    """The attack has more than so many files open."""

    def effect(scene: Scene, name: str) -> bool:
        pid = scene.holder(name)
        return pid is not None and len(list(Path(f"/proc/{pid}/fd").iterdir())) > most

    return effect


def resident(most: int) -> Effect:
    """The attack holds more than so many bytes of memory."""

    def effect(scene: Scene, name: str) -> bool:
        pid = scene.holder(name)
        return pid is not None and int(fields(pid).get("VmRSS", "0 kB").split()[0]) << 10 > most

    return effect


def swarming(most: int) -> Effect:
    """The attack has more than so many processes."""

    def effect(scene: Scene, name: str) -> bool:
        pid = scene.holder(name)
        return pid is not None and len(psutil.Process(pid).children(recursive=True)) > most

    return effect


def filled(path: str, most: int) -> Effect:
    """The attack's place, an absolute path inside, holds more than so many bytes."""

    def effect(scene: Scene, name: str) -> bool:
        pid = scene.holder(name)
        if pid is None:
            return False
        found = Path(f"/proc/{pid}/root{path}", scene.tokens[name])
        return found.exists() and found.stat().st_blocks * 512 > most

    return effect


def weighs(path: str, most: int) -> Effect:
    """A file holds more than so many bytes on the disk."""
    return lambda scene, name: _blocks(scene.root / path.format(name=name)) > most


def _blocks(path: Path) -> int:
    return path.stat().st_blocks * 512 if path.exists() else 0


def crowded(path: str, most: int) -> Effect:
    """A folder holds more than so many files."""
    return lambda scene, name: len(list((scene.root / path.format(name=name)).iterdir())) > most


def git_says(*words: str, differs_from: Callable[[Scene], str]) -> Effect:
    """A person's git on their own repository no longer says what it said."""
    return lambda scene, _: git(scene.repo, *words) != differs_from(scene)


def key_on_the_machine(scene: Scene, name: str) -> bool:
    """The attack's token is the name of a key that outsiders see."""
    return scene.tokens[name] in Path("/proc/keys").read_text()


def in_kernel_log(scene: Scene, name: str) -> bool:
    """The attack's token stands in the kernel's log."""
    buffer = ctypes.create_string_buffer(1 << 20)
    size = _LIBC.klogctl(3, buffer, len(buffer))
    return size > 0 and scene.tokens[name].encode() in buffer.raw[:size]


def landed(path: str) -> Effect:
    """A planted file is in the person's branch."""
    return lambda scene, _: path in git(scene.repo, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
