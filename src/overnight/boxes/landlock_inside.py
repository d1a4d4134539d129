"""Run as a program of its own: give up what Landlock and a filter can take, for ever, then exec.

    python -I -S landlock_inside.py ORDER PROGRAM [ARGUMENT...]

The order, JSON: `writable`, `readable`, `devices`: paths; `ports`: TCP ports that may be connected to; `filter`: a BPF
program in hexadecimal; `env`: names of the variables that PROGRAM gets; `open_files`: how many.
"""

import ctypes
import json
import os
import resource
import stat
import struct
import sys

#: The first version that also keeps signals and abstract sockets in (Linux 6.12).
NEEDED_ABI = 6
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ALL = (1 << 16) - 1
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_BIND_AND_CONNECT, _CONNECT = 3, 2
_ABSTRACT_SOCKETS_AND_SIGNALS = 3
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38
_NOT_FOUND = 127
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def abi() -> int:
    """The version of Landlock here; 0 when there is none."""
    return max(0, _LIBC.syscall(_CREATE_RULESET, None, 0, _VERSION))


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _allow(rules: int, path: str, access: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        access &= _OF_FILES
    rule = struct.pack("=Qi", access, fd)
    _checked(_LIBC.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0), path)
    os.close(fd)


def _restrict(writable: "list[str]", readable: "list[str]", devices: "list[str]", ports: "list[int]") -> None:
    handled = struct.pack("QQQ", _ALL, _BIND_AND_CONNECT, _ABSTRACT_SOCKETS_AND_SIGNALS)
    rules = _checked(_LIBC.syscall(_CREATE_RULESET, handled, len(handled), 0), "Landlock")
    for path in readable:
        _allow(rules, path, _READ)
    for path in writable:
        _allow(rules, path, _ALL & ~(_MAKE_CHAR | _MAKE_BLOCK | _MAKE_SOCK))
    for path in devices:
        _allow(rules, path, _READ_FILE | _WRITE_FILE | _IOCTL_DEV)
    for port in ports:
        rule = struct.pack("QQ", _CONNECT, port)
        _checked(_LIBC.syscall(_ADD_RULE, rules, _NET_PORT, rule, 0), f"port {port}")
    _checked(_LIBC.syscall(_RESTRICT_SELF, rules, 0), "Landlock")
    os.close(rules)


def _filter(program: bytes) -> None:
    code = ctypes.create_string_buffer(program, len(program))
    about = _Program(len(program) // 8, ctypes.addressof(code))
    _checked(_LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(about), 0, 0), "seccomp")


def main() -> None:
    """Exit code 127 when PROGRAM can't be executed; 126 when it could not be confined, and then nothing ran."""
    order, argv = json.loads(sys.argv[1]), sys.argv[2:]
    env = {name: os.environ[name] for name in order["env"]}
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        most = order["open_files"] if hard == resource.RLIM_INFINITY else min(order["open_files"], hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
        _restrict(order["writable"], order["readable"], order["devices"], order["ports"])
        _filter(bytes.fromhex(order["filter"]))
    except OSError as error:
        sys.stderr.write(f"landlock: {error.strerror or error}\n")
        sys.exit(126)
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        sys.exit(_NOT_FOUND)


if __name__ == "__main__":
    main()
