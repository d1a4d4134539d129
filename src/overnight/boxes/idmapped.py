"""Run as a program of its own, by root: become nobody in particular, with some folders shown as one's own; then exec.

    python -I -S idmapped.py ORDER_FD

Root in a user namespace is still root to this machine wherever the namespace does not reach. So the box's user is one
that exists nowhere else: its id is made from this process's, which no other process has while it lives. What root owns
in the folders of the order is that user's inside, and what it makes there is root's outside (idmapped mounts, Linux
5.12; the file system must take part). Everything else is as ever.

The order, JSON: `shown`, a list of [path, path of its staged copy, must be idmapped]; `stage`, the folder that the
copies lie in; `outputs`, descriptors to be opened anew as that user's; `limits`, [resource, most] pairs; `argv`.
"""

import ctypes
import fcntl
import json
import os
import resource
import stat
import struct
import sys
from typing import Any

#: Above the ranges that distributions give to people, services and containers, below the ids that are negative to some.
FIRST_UID = 0x70000000
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_REC, _MS_SLAVE, _MS_NOSUID, _MS_NODEV = 0x4000, 1 << 19, 2, 4
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_MOUNT_ATTR_IDMAP = 0x00100000
_PR_SET_NO_NEW_PRIVS = 38
_LIBC = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _user_namespace(uid: int) -> int:
    """A descriptor of a user namespace in which root's files are `uid`'s; everybody else stays who he is."""
    ready, tell = os.pipe()
    wait, go = os.pipe()
    child = os.fork()
    if child == 0:
        _checked(_LIBC.unshare(_CLONE_NEWUSER), "unshare")
        os.write(tell, b"x")
        os.close(go)
        os.read(wait, 1)
        os._exit(0)
    os.close(tell)
    os.read(ready, 1)
    for kind in ("uid", "gid"):
        with open(f"/proc/{child}/{kind}_map", "w") as file:  # noqa: PTH123 (few imports, quick start)
            file.write(f"0 {uid} 1\n1 1 {uid - 1}\n")
    found = os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    for fd in (ready, wait, go):
        os.close(fd)
    os.waitpid(child, 0)
    return found


def _clone(fd: int, path: str, namespace: "int | None") -> int:
    """A detached copy of a path's mount, with those below it, idmapped when there is a namespace for it."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE | (0 if path else _AT_EMPTY_PATH)
    tree = _checked(_LIBC.syscall(_OPEN_TREE, fd, os.fsencode(path), flags), f"{path or fd} can't be copied")
    if namespace is not None:
        attributes = struct.pack("QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, namespace)
        args = (_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, attributes, len(attributes))
        try:
            _checked(_LIBC.syscall(*args), f"{path or fd} can't be idmapped")
        except OSError:
            os.close(tree)
            raise
    return tree


def _copies(shown: "list[tuple[str, str, bool]]", namespace: int) -> "list[tuple[int, str, bool]]":
    """Detached copies with where they go, made before anything covers the originals."""
    found: list[tuple[int, str, bool]] = []
    for path, staged, required in shown:
        try:
            tree = _clone(_AT_FDCWD, path, namespace)
        except OSError:
            if required:
                raise
            tree = _clone(_AT_FDCWD, path, None)  # to be read by others only, then
        found.append((tree, staged, stat.S_ISDIR(os.fstat(tree).st_mode)))
    return found


def _attach(copies: "list[tuple[int, str, bool]]", stage: str) -> None:
    options = b"mode=0755,size=1m"
    _checked(_LIBC.mount(b"stage", os.fsencode(stage), b"tmpfs", _MS_NOSUID | _MS_NODEV, options), "mount")
    for tree, staged, is_folder in copies:
        if is_folder:
            os.mkdir(staged)  # noqa: PTH102
        else:
            os.close(os.open(staged, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        args = (_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(staged), _MOVE_MOUNT_F_EMPTY_PATH)
        _checked(_LIBC.syscall(*args), f"{staged} can't be attached")
        os.close(tree)


def _reopen(fd: int, namespace: int) -> None:
    """A file or pipe that output goes to, as the user's own, so that `/dev/stderr` can be opened inside.

    Not a pipe that everybody may write: who does not own it can't read what others print.
    """
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)) or (stat.S_ISFIFO(mode) and mode & stat.S_IWOTH):
        return
    flags = fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_APPEND)
    try:
        tree = _clone(fd, "", namespace)
        new = os.open(f"/proc/self/fd/{tree}", flags | os.O_NONBLOCK)
    except OSError:
        return  # it can be written all the same, just not opened anew
    os.set_blocking(new, True)
    os.dup2(new, fd)
    os.close(new)
    os.close(tree)


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def main() -> None:
    """Ends with exit code 1 and a line on stderr when it can't be done."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        order: dict[str, Any] = json.load(file)
    uid = FIRST_UID + os.getpid()
    try:
        namespace = _user_namespace(uid)
        for fd in order["outputs"]:  # while we are where they were opened
            _reopen(fd, namespace)
        _checked(_LIBC.unshare(_CLONE_NEWNS), "unshare")
        _checked(_LIBC.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None), "mount")
        copies = _copies(order["shown"], namespace)
        _attach(copies, order["stage"])
        for kind, most in order["limits"]:
            hard = resource.getrlimit(kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))
        _become(uid)
        os.execve(order["argv"][0], order["argv"], {})  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"idmapped: {error.strerror or error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
