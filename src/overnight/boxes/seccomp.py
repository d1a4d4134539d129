"""The system calls that a box refuses, as a classic BPF program for `bwrap --seccomp`. No libseccomp needed.

What is refused, and why:

- whatever makes or enters namespaces and mounts: a box must not rebuild its walls;
- doors into the kernel that programs of a box have no use for: keyrings, bpf, perf, modules, clocks, ...;
- calls whose arguments lie in memory, where a filter can't look (clone3, openat2, io_uring): ENOSYS, and every
  libc falls back to the older call;
- sockets of any family but IPv4, IPv6 and route netlink; pairs of datagram sockets, either end of which could be
  pointed at any other;
- pushing keystrokes into a terminal (TIOCSTI, TIOCLINUX);
- setuid and setgid bits, which would be live outside the box;
- other architectures' system call tables, where these numbers mean something else.
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from overnight.errors import BoxUnavailable

_LOAD, _AND, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

#: Machine -> (AUDIT_ARCH constant, column in NUMBERS).
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

#: System call -> (number on x86_64, number on aarch64); None where the machine has no such call.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chmod": (90, None),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "creat": (85, None),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "nfsservctl": (180, 42),
    "open": (2, None),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "openat": (257, 56),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "process_vm_writev": (311, 271),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "semget": (64, 190),
    "sendmmsg": (307, 269),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "settimeofday": (164, 170),
    "shmat": (30, 196),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "uselib": (134, None),
    "vhangup": (153, 58),
}

#: Refused whatever the arguments: the call is not permitted.
FORBIDDEN = (
    *("mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount", "mount_setattr"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "unshare", "setns", "open_by_handle_at", "fanotify_init"),
    *("add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd", "pidfd_getfd", "kcmp"),
    *("process_vm_writev", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"),
    *("reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "syslog", "vhangup"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname"),
    *("iopl", "ioperm", "modify_ldt", "lookup_dcookie", "nfsservctl", "uselib"),
)
#: Refused as if the kernel did not know them, so that programs fall back.
ABSENT = ("clone3", "openat2", "io_uring_setup", "io_uring_enter", "io_uring_register")

#: Refused as well where a box shares this machine's namespaces: memory and queues that other programs have, too.
SHARED = ("shmget", "shmat", "semget", "msgget", "mq_open")

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
_SET_ID_BITS = 0o6000
_CREATES = 0o100 | 0o20000000  # O_CREAT, the distinguishing bit of O_TMPFILE
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, Linux32, both with UNAME26, "which one is it?"
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_NETLINK_ROUTE = 0
_TYPE_BITS, _STREAM, _TCP = 0xF, 1, 6
_FAST_OPEN = 0x20000000  # MSG_FASTOPEN: a connection that nobody but a filter is asked about
_DATAGRAMS = 2  #: The bit that SOCK_DGRAM and SOCK_RAW have and SOCK_STREAM and SOCK_SEQPACKET don't.


class _Op(NamedTuple):
    """One BPF instruction. The jumps count instructions to skip."""

    code: int
    value: int
    jump_true: int = 0
    jump_false: int = 0


_Body = tuple[_Op, ...]  #: Runs for one system call and always ends in a verdict.


def _verdict(error: int | None) -> _Op:
    return _Op(_RETURN, _ALLOW if error is None else _ERRNO | error)


def _argument(index: int) -> _Op:
    """The low 32 bits of an argument: all that the kernel reads of the arguments looked at here."""
    return _Op(_LOAD, 16 + 8 * index)


def _if_in(values: Iterable[int], error: int | None) -> _Body:
    return tuple(op for value in values for op in (_Op(_IF_EQUAL, value, 0, 1), _verdict(error)))


def _only(index: int, values: Iterable[int], error: int) -> _Body:
    return (_argument(index), *_if_in(values, None), _verdict(error))


def _never(index: int, values: Iterable[int], error: int) -> _Body:
    return (_argument(index), *_if_in(values, error), _verdict(None))


def _without_bits(index: int, bits: int, error: int) -> _Body:
    return (_argument(index), _Op(_IF_ANY_BIT, bits, 0, 1), _verdict(error), _verdict(None))


def _created_without_bits(flags: int, mode: int, bits: int, error: int) -> _Body:
    """The mode argument counts only when the flags say that a file may be made."""
    looked_at = _without_bits(mode, bits, error)
    return (_argument(flags), _Op(_IF_ANY_BIT, _CREATES, 1, 0), _verdict(None), *looked_at)


def _socket(families: Iterable[int]) -> _Body:
    route = (_Op(_IF_EQUAL, _NETLINK, 0, 4), _argument(2), _Op(_IF_EQUAL, _NETLINK_ROUTE, 0, 1), _verdict(None))
    return (
        _argument(0),
        *_if_in(families, None),
        *route,
        _verdict(errno.EPROTONOSUPPORT),
        _verdict(errno.EAFNOSUPPORT),
    )


def _tcp_socket() -> _Body:
    """TCP over IP and nothing else: the only thing whose connections Landlock decides."""
    family = (_argument(0), _Op(_IF_EQUAL, _INET, 2), _Op(_IF_EQUAL, _INET6, 1), _verdict(errno.EAFNOSUPPORT))
    kind = (_argument(1), _Op(_AND, _TYPE_BITS), _Op(_IF_EQUAL, _STREAM, 1), _verdict(errno.EPROTONOSUPPORT))
    protocol = (_argument(2), _Op(_IF_EQUAL, 0, 2), _Op(_IF_EQUAL, _TCP, 1), _verdict(errno.EPROTONOSUPPORT))
    return (*family, *kind, *protocol, _verdict(None))


def _shared_rules() -> dict[str, _Body]:
    """What takes the place of namespaces, as far as a filter can: other processes are named by number there."""
    return {
        **{name: (_verdict(errno.EPERM),) for name in SHARED},
        "socket": _tcp_socket(),
        "sendto": _without_bits(3, _FAST_OPEN, errno.EOPNOTSUPP),
        "sendmsg": _without_bits(2, _FAST_OPEN, errno.EOPNOTSUPP),
        "sendmmsg": _without_bits(3, _FAST_OPEN, errno.EOPNOTSUPP),
        "prlimit64": _only(0, (0,), errno.EPERM),
        "setpriority": _only(1, (0,), errno.EPERM),
    }


def _rules(unix_sockets: bool) -> dict[str, _Body]:
    """System call -> what decides it. A call that is not named is allowed."""
    families = (_INET, _INET6, _UNIX) if unix_sockets else (_INET, _INET6)
    return {
        **{name: (_verdict(errno.EPERM),) for name in FORBIDDEN},
        **{name: (_verdict(errno.ENOSYS),) for name in ABSENT},
        "clone": _without_bits(0, _NEW_NAMESPACES, errno.EPERM),
        "socket": _socket(families),
        "socketpair": (
            *(_argument(0), _Op(_IF_EQUAL, _UNIX, 1, 0), _verdict(errno.EAFNOSUPPORT)),
            *_without_bits(1, _DATAGRAMS, errno.EPROTONOSUPPORT),
        ),
        "ioctl": _never(1, _TERMINAL_INPUT, errno.EPERM),
        "personality": _only(0, _PERSONALITIES, errno.EPERM),
        "chmod": _without_bits(1, _SET_ID_BITS, errno.EPERM),
        "fchmod": _without_bits(1, _SET_ID_BITS, errno.EPERM),
        "fchmodat": _without_bits(2, _SET_ID_BITS, errno.EPERM),
        "fchmodat2": _without_bits(2, _SET_ID_BITS, errno.EPERM),
        "creat": _without_bits(1, _SET_ID_BITS, errno.EPERM),
        "mknod": _without_bits(1, _SET_ID_BITS, errno.EPERM),
        "mknodat": _without_bits(2, _SET_ID_BITS, errno.EPERM),
        "open": _created_without_bits(1, 2, _SET_ID_BITS, errno.EPERM),
        "openat": _created_without_bits(2, 3, _SET_ID_BITS, errno.EPERM),
    }


def program(*, unix_sockets: bool = False, shared: bool = False, machine: str | None = None) -> bytes:
    """The filter as an array of `struct sock_filter`. Raises BoxUnavailable on a machine it has no numbers for.

    shared: for a box that shares this machine's namespaces.
    """
    machine = machine or platform.machine()
    if machine not in MACHINES:
        raise BoxUnavailable(
            reason=f"the system call filter has no table for {machine}",
            install=f"Machines it knows: {', '.join(MACHINES)}.",
        )
    architecture, column = MACHINES[machine]
    ops = [_Op(_LOAD, 4), _Op(_IF_EQUAL, architecture, 1, 0), _Op(_RETURN, _KILL_PROCESS), _Op(_LOAD, 0)]
    if machine == "x86_64":  # the x32 table, which shares the architecture's constant
        ops += [_Op(_IF_AT_LEAST, 0x40000000, 0, 1), _verdict(errno.ENOSYS)]
    rules = _rules(unix_sockets) | (_shared_rules() if shared else {})
    for name, body in rules.items():
        number = NUMBERS[name][column]
        if number is not None:
            ops += [_Op(_IF_EQUAL, number, 0, len(body)), *body]
    ops.append(_verdict(None))
    return b"".join(struct.pack("=HBBI", op.code, op.jump_true, op.jump_false, op.value) for op in ops)


assert (_UNIX, _INET, _INET6) == (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
