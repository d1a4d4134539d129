"""Run as a program of its own: bind listeners inside another process's network namespace and hand them back.

    python -I -S netns_listeners.py PID SOCKET_FD PORT...

A process that enters a namespace can't leave it, and setns needs one thread; hence a process. The sockets stay in
that namespace wherever they are used, so nothing of ours runs inside the box.
"""

import ctypes
import fcntl
import os
import socket
import sys

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NS_GET_USERNS = 0xB701
_IP_FREEBIND = 15
_LIBC = ctypes.CDLL(None, use_errno=True)


def _enter(fd: int, kind: int) -> None:
    if _LIBC.setns(fd, kind):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # The box may not have brought its loopback interface up yet; the address is right all the same.
    listener.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def main() -> None:
    """Enter the user namespace that owns the network namespace, then that one; bind; send."""
    pid, channel, ports = int(sys.argv[1]), int(sys.argv[2]), [int(port) for port in sys.argv[3:]]
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    owner = fcntl.ioctl(network, _NS_GET_USERNS)
    _enter(owner, _CLONE_NEWUSER)
    _enter(network, _CLONE_NEWNET)
    listeners = [_listen(port) for port in ports]
    with socket.socket(fileno=channel) as out:
        socket.send_fds(out, [b"x"], [listener.fileno() for listener in listeners])


if __name__ == "__main__":
    main()
