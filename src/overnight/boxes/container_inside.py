"""Run as the first process of a container: wait for the gate, run argv, end with the starter.

    python3 -I -S container_inside.py CONTROL_FOLDER

The folder holds what it needs and goes away before argv runs. It ends when argv ends, when it is told so, or when its
starter died; whatever else is in the container is killed by the kernel then.

One message each, over a socket to the starter. From here: `here`, with sockets listening on the ports of the order;
`end CODE`, minus the number of a signal. To here: `go`, run argv; `signal NUMBER`, for argv.
"""

import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

#: Seconds for the starter to let argv go.
_PATIENCE = 60
_NOT_FOUND, _NOT_CONFINED = 127, 126
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 4, 22, 2, 38
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _checked(result: int, what: str) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), what)


def _stdio(control: Path) -> None:
    """The files that the starter bound beside the control folder."""
    for fd, flags in enumerate((os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_APPEND)):
        path = f"{control}-io/{fd}"
        opened = os.open(path if os.path.lexists(path) else os.devnull, flags | os.O_NOCTTY)
        os.dup2(opened, fd)
        os.close(opened)


def _become(order: "dict[str, Any]") -> None:
    """In argv's process: give up what is left, then be argv. Ends with 126 or 127 when it can't."""
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _checked(_LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")
        _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
        os.chdir(order["cwd"])
        code = ctypes.create_string_buffer(bytes.fromhex(order["filter"]))
        about = _Program((len(code) - 1) // 8, ctypes.addressof(code))
        _checked(_LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(about), 0, 0), "seccomp")
    except OSError as error:
        os.write(2, f"container: {error.strerror}\n".encode())
        os._exit(_NOT_CONFINED)
    try:
        os.execvpe(order["argv"][0], order["argv"], order["env"])  # noqa: S606
    except OSError as error:
        os.write(2, os.fsencode(f"{order['argv'][0]}: {error.strerror}\n"))
        os._exit(_NOT_FOUND)


def _start(order: "dict[str, Any]") -> int:
    pid = os.fork()
    if pid == 0:
        _become(order)
    return pid


def _reaped(child: int) -> "int | None":
    """Reap whoever died; argv's code once it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            code = os.waitstatus_to_exitcode(status)


def _wake_up(number: int, frame: object) -> None:
    """A handler of Python's own is what makes a signal show on the wake-up descriptor."""


def _follow(order: "dict[str, Any]", starter: socket.socket) -> "int | None":
    """argv's code; None when nobody is there to be told."""
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _wake_up)
    child = 0
    while True:
        ready, _, _ = select.select([starter, wake], [], [], None if child else _PATIENCE)
        if wake in ready:
            os.read(wake, 4096)
            if child and (code := _reaped(child)) is not None:
                return code
        if starter in ready:
            message = starter.recv(64)
            if message == b"go":
                child = _start(order)
            elif message:
                os.kill(child, int(message.split()[1]))
            else:
                return None
        if not ready:
            return None


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def main() -> None:
    """The first process."""
    control = Path(sys.argv[1])
    _checked(_LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")  # nobody inside may look into this process
    order = json.loads((control / "order.json").read_bytes())
    starter = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    starter.connect(str(control / "starter"))
    _stdio(control)
    listeners = [_listen(port) for port in order["ports"]]
    socket.send_fds(starter, [b"here"], [listener.fileno() for listener in listeners])
    for listener in listeners:
        listener.close()
    code = _follow(order, starter)
    if code is not None:
        starter.send(b"end %d" % code)
    os._exit(0)


if __name__ == "__main__":
    main()
