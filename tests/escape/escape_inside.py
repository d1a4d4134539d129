"""Run as a program, in a box and without one: carry out the attacks of one round, each in a process of its own.

    python -I -S escape_inside.py ORDER

A script has at hand: `scene` (where things are, see `Scene.given`), `token` (what its effect is known by), `loot`
(carries something out), `hold` (stay as it is until everybody has looked), `sh`, `call` (a system call by name) and
the modules below. How it ends does not matter; it never decides whether it succeeded.
"""

import contextlib
import ctypes
import fcntl
import glob
import json
import mmap
import os
import resource
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

#: Seconds that an attack may take.
_PATIENCE = 15
_COLUMN = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
_CALLS = {
    "add_key": (248, 217), "bpf": (321, 280), "chroot": (161, 51), "clone3": (435, 435), "fanotify_init": (300, 262),
    "fsopen": (430, 430), "io_uring_setup": (425, 425), "mount": (165, 40), "open_by_handle_at": (304, 265),
    "open_tree": (428, 428), "perf_event_open": (298, 241), "personality": (135, 92), "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117),
    "setns": (308, 268), "shmat": (30, 196), "shmget": (29, 194), "syslog": (103, 116), "umount2": (166, 39),
    "unshare": (272, 97), "userfaultfd": (323, 282), "mq_open": (240, 180), "setxattr": (188, 5),
}  # fmt: skip
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long


def call(name: str, *arguments: Any) -> int:
    """A system call. Raises OSError."""
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    done = _LIBC.syscall(ctypes.c_long(_CALLS[name][_COLUMN]), *words)
    if done < 0:
        raise OSError(ctypes.get_errno(), name)
    return done


def sh(command: str) -> str:
    """What a shell command says."""
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=_PATIENCE).stdout


def _attack(name: str, script: str, order: dict[str, Any], told: int) -> None:
    scene = SimpleNamespace(**order["scene"])
    folder = os.open(scene.loot, os.O_DIRECTORY)

    def loot(data: "bytes | str") -> None:
        fd = os.open(f"{name}.loot", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666, dir_fd=folder)
        os.write(fd, data if isinstance(data, bytes) else os.fsencode(data))
        os.close(fd)

    def hold() -> None:
        lock = os.open(f"{name}.held", os.O_RDWR | os.O_CREAT, 0o666, dir_fd=folder)
        fcntl.lockf(lock, fcntl.LOCK_EX)
        os.write(told, b"h")
        while True:
            signal.pause()

    at_hand = {
        "contextlib": contextlib, "ctypes": ctypes, "fcntl": fcntl, "glob": glob, "json": json, "mmap": mmap, "os": os,
        "resource": resource, "select": select, "shutil": shutil, "signal": signal, "socket": socket, "stat": stat,
        "struct": struct, "subprocess": subprocess, "time": time, "libc": _LIBC, "scene": scene, "sh": sh, "call": call,
        "loot": loot, "hold": hold, "token": order["tokens"][name], "name": name, "told": told,
    }  # fmt: skip
    exec(compile(script, name, "exec"), at_hand)


def _run(name: str, script: str, order: dict[str, Any]) -> None:
    """Until it ends, holds, or its time is up."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        try:
            os.setsid()
            _attack(name, script, order, theirs)
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(0)
    os.close(theirs)
    handle = os.pidfd_open(pid)
    ready, _, _ = select.select([ours, handle], [], [], _PATIENCE)
    if not ready:
        print(f"{name}: its time was up", file=sys.stderr, flush=True)
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, os.WNOHANG)
    os.close(handle)
    os.close(ours)


def main() -> None:
    """The attacks, then stand until told to go."""
    order = json.loads(Path(sys.argv[1]).read_bytes())
    loot = order["scene"]["loot"]
    own = os.open(f"{loot}/driver.held", os.O_RDWR | os.O_CREAT, 0o666)
    fcntl.lockf(own, fcntl.LOCK_EX)
    Path(order["scene"]["tree"], "worked").write_text("an honest program can work here")
    for name, script in order["attacks"]:
        _run(name, script, order)
    Path(loot, "standing").write_bytes(b"s")
    os.read(os.open(f"{loot}/go", os.O_RDONLY), 1)
    os._exit(0)


if __name__ == "__main__":
    main()
