"""What a container looks like, as options of `podman run` and `docker run`, which agree in all of these."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from overnight.boxes.checked import within
from overnight.boxes.settings import BoxSettings, tool_folders
from overnight.errors import BoxUnavailable
from overnight.ports import BoxSpec

#: Where the starter's folder is inside, and beside it the files that standard streams are.
CONTROL = "/run/overnight"
PROGRAM = f"{CONTROL}/inside.py"
#: Folders of /proc and /sys that engines leave readable, or parts of whose masks depend on their version.
_COVERED = ("/sys",)


def options(spec: BoxSpec, settings: BoxSettings, control: Path, streams: dict[int, str], name: str) -> list[str]:
    """Everything between `run` and the image. control: the starter's folder. streams: descriptor -> file.

    Raises BoxUnavailable.
    """
    processes = settings.processes + settings.processes // 8 + 64
    return [
        *("--detach", "--rm", "--name", name, "--pull", "never", "--log-driver", "none", "--read-only"),
        *("--network", "none", "--hostname", "box", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
        *("--user", f"{os.geteuid()}:{os.getegid()}", "--workdir", "/", "--entrypoint", "python3"),
        *("--pids-limit", str(processes), "--memory", str(int(settings.memory))),
        *("--ulimit", "core=0:0", "--ulimit", f"nofile={settings.open_files}:{settings.open_files}"),
        *("--ulimit", f"nproc={processes}:{processes}", "--shm-size", str(int(settings.tmp))),
        *(() if settings.cpu is None else ("--cpus", str(settings.cpu))),
        *_temporary(settings),
        *_binds(spec, settings, control, streams),
    ]


def _temporary(settings: BoxSettings) -> Iterator[str]:
    for path in ("/tmp", "/var/tmp"):  # noqa: S108
        yield from ("--tmpfs", f"{path}:rw,nosuid,nodev,exec,mode=1777,size={int(settings.tmp)}")
    for path in _COVERED:
        yield from ("--tmpfs", f"{path}:ro,nosuid,nodev,noexec,mode=0555,size=64k")


def _binds(spec: BoxSpec, settings: BoxSettings, control: Path, streams: dict[int, str]) -> Iterator[str]:
    """Engines lay outer folders first. A path that is asked for both ways is read-only."""
    rules = dict.fromkeys(spec.writable, True) | dict.fromkeys((*tool_folders(settings), *spec.readable), False)
    for path, writable in rules.items():
        _refuse_detour(path, tuple(outer for outer in rules if outer != path and within(path, (outer,))))
        yield from _bind(path, path, writable=writable)
    if spec.git is not None:
        yield from _bind(str(control / "git"), f"{spec.git[0]}/.git", writable=False)
    for made_up in (control / "etc").iterdir():
        yield from _bind(str(made_up), f"/etc/{made_up.name}", writable=False)
    yield from _bind(str(control / "inside"), CONTROL, writable=False)
    for fd, path in streams.items():
        yield from _bind(path, f"{CONTROL}-io/{fd}", writable=fd != 0)


def _bind(source: str, target: str, *, writable: bool) -> tuple[str, str]:
    """What is mounted below a read-only folder is not shown: it would be writable."""
    for path in (source, target):
        if "," in path or '"' in path or "\n" in path:
            raise BoxUnavailable(
                reason=f"{path!r} has a character in its name that container engines can't take",
                install="Choose another place, without commas, quotes and line breaks.",
            )
    more = "" if writable else ",readonly,bind-nonrecursive=true"
    return "--mount", f"type=bind,source={source},target={target}{more}"


def _refuse_detour(path: str, outers: tuple[str, ...]) -> None:
    """A symbolic link on the way from an outer folder to this one would lay the bind elsewhere inside."""
    for outer in outers:
        if Path(path).resolve() != Path(outer).resolve() / Path(path).relative_to(outer):
            raise BoxUnavailable(
                reason=f"{path} goes through a symbolic link below {outer}",
                install="Name the path that the link leads to.",
            )


def made_up(spec: BoxSpec) -> dict[str, str]:
    """The few files of /etc that programs need to agree with the box."""
    uid, gid, home = os.geteuid(), os.getegid(), spec.env.get("HOME", "/")
    home = home if ":" not in home and "\n" not in home else "/"
    root = f"root:x:0:0:root:{home if uid == 0 else '/'}:/bin/sh\n"
    agent = "" if uid == 0 else f"agent:x:{uid}:{gid}:agent:{home}:/bin/sh\n"
    return {
        "passwd": f"{root}{agent}nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
        "group": "root:x:0:\n" + (f"agent:x:{gid}:\n" if gid else "") + "nogroup:x:65534:\n",
        "hosts": "127.0.0.1 localhost box\n::1 localhost\n",
        "resolv.conf": "",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
