"""What a bubblewrap box looks like from inside, as bwrap's options."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from overnight.boxes.checked import within
from overnight.boxes.handover import Handover
from overnight.boxes.settings import BoxSettings, tool_folders
from overnight.boxes.staging import Staging
from overnight.errors import BoxUnavailable
from overnight.ports import BoxSpec

#: Shown read-only where the machine has them: programs, libraries, and what these can't do without. Never a whole
#: /etc/ssl or /etc/pki, where private keys lie.
SYSTEM = (
    "/usr",
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ca-certificates", "/etc/ca-certificates.conf"),
    *("/etc/pki/ca-trust", "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf"),
    *("/etc/localtime", "/etc/mime.types", "/etc/services", "/etc/protocols", "/etc/os-release"),
)
#: Symbolic links into /usr on a merged system, folders on others.
_TOP = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
#: What somebody could write in /proc besides the box's processes; most of it only root.
_KNOBS = tuple(
    f"/proc/{name}" for name in ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "mtrr", "pressure")
)
_SPACES = ("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts")


def inside_uid() -> int:
    """Who one is inside: oneself, but never root, whom some agents refuse to work for."""
    return os.geteuid() or 1000


def inside_gid() -> int:
    """The group that goes with it."""
    return os.getegid() or 1000


def options(
    spec: BoxSpec, settings: BoxSettings, handover: Handover, staging: Staging | None, *, disable_userns: bool
) -> list[str]:
    """Every option but the ones of the start's handshake. Order matters to bwrap: later mounts lie over earlier.

    staging: told what to copy, when the spec's paths are to be shown through copies.
    """
    found = [*_SPACES, "--unshare-cgroup-try", "--uid", str(inside_uid()), "--gid", str(inside_gid())]
    found += ["--disable-userns"] if disable_userns else []
    found += ["--hostname", "box", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    found += ["--size", str(int(settings.tmp)), "--perms", "0755", "--tmpfs", "/"]
    found += _system()
    found += _kernel(settings)
    found += _made_up(spec, handover)
    found += _shown(spec, tool_folders(settings), staging)
    if spec.git is not None:
        tree, git_dir = spec.git
        pointer = handover.data(os.fsencode(f"gitdir: {git_dir}\n"))
        found += ["--perms", "0444", "--ro-bind-data", str(pointer), f"{tree}/.git"]
    found += ["--remount-ro", "/", "--clearenv"]
    for name, value in spec.env.items():
        found += ["--setenv", name, value]
    return [*found, "--chdir", spec.cwd]


def _system() -> Iterator[str]:
    for path in SYSTEM:
        if Path(path).exists():
            yield from ("--ro-bind", path, path)
    for path in _TOP:
        if Path(path).is_symlink():
            yield from ("--symlink", str(Path(path).readlink()), path)
        elif Path(path).is_dir():
            yield from ("--ro-bind", path, path)


def _kernel(settings: BoxSettings) -> Iterator[str]:
    """/proc, /dev and the folders for temporary files, each with its bound."""
    bounded = ("--size", str(int(settings.tmp)), "--perms", "1777", "--tmpfs")
    yield from ("--proc", "/proc")
    # Whoever is root outside owns these inside too, and core_pattern, say, is a way to act as root outside.
    for path in _KNOBS:
        yield from ("--ro-bind-try", path, path)
    yield from ("--dev", "/dev", *bounded, "/dev/shm", "--remount-ro", "/dev")  # noqa: S108
    yield from (*bounded, "/tmp", *bounded, "/var/tmp", "--dir", "/run")  # noqa: S108


def _made_up(spec: BoxSpec, handover: Handover) -> Iterator[str]:
    """The few files of /etc that would tell about the machine, or that programs need to agree with the box."""
    uid, gid, home = inside_uid(), inside_gid(), spec.env.get("HOME", "/")
    home = home if ":" not in home and "\n" not in home else "/"
    nobody = "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    texts = {
        "/etc/passwd": f"root:x:0:0:root:/:/usr/sbin/nologin\nagent:x:{uid}:{gid}:agent:{home}:/bin/sh\n{nobody}",
        "/etc/group": f"root:x:0:\nagent:x:{gid}:\nnogroup:x:65534:\n",
        "/etc/hosts": "127.0.0.1 localhost box\n::1 localhost\n",
        "/etc/resolv.conf": "",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
    for path, text in texts.items():
        yield from ("--perms", "0444", "--ro-bind-data", str(handover.data(os.fsencode(text))), path)


def _shown(spec: BoxSpec, tools: tuple[str, ...], staging: Staging | None) -> Iterator[str]:
    """Binds, outer folders first, so that the inner one rules; a path that is asked for both ways is read-only."""
    rules = dict.fromkeys(spec.writable, "--bind") | dict.fromkeys((*tools, *spec.readable), "--ro-bind")
    for path in sorted(rules, key=lambda path: (len(Path(path).parts), path)):
        _refuse_detour(path, tuple(outer for outer in rules if outer != path and within(path, (outer,))))
        source = staging.copy(path, writable=rules[path] == "--bind") if staging else path
        yield from (rules[path], source, path)


def _refuse_detour(path: str, outers: tuple[str, ...]) -> None:
    """A symbolic link on the way from an outer folder to this one would lay the bind elsewhere inside."""
    for outer in outers:
        if Path(path).resolve() != Path(outer).resolve() / Path(path).relative_to(outer):
            raise BoxUnavailable(
                reason=f"{path} goes through a symbolic link below {outer}",
                install="Name the path that the link leads to.",
            )
