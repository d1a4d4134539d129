"""Run as a program inside a box that is being tried: attempt things and write down what happened.

python -I -S probe_inside.py INNER OUTER OWN_PORT HOST_PORT KEYCTL_NUMBER
"""

import ctypes
import json
import socket
import sys
from pathlib import Path


def _writes(path: str) -> bool:
    try:
        Path(path).write_text("x")
    except OSError:
        return False
    return True


def _reads(path: str) -> bool:
    try:
        return bool(Path(path).read_text())
    except OSError:
        return False


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _keyctl(number: int) -> int:
    """Ask for the session keyring: harmless, and always answered where it is not filtered."""
    libc = ctypes.CDLL(None, use_errno=True)
    return 0 if libc.syscall(number, 0, -3, 1) != -1 else ctypes.get_errno()


def main() -> None:
    """The report is written last and at once."""
    inner, outer, own, host, keyctl = sys.argv[1:]
    seen = {
        "wrote_inside": _writes(f"{inner}/written"),
        "wrote_outside": _writes(f"{outer}/written"),
        "read_outside": _reads(f"{outer}/secret"),
        "reached_own_listener": _connects(int(own)),
        "reached_host_listener": _connects(int(host)),
        "pids": sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()),
        "keyctl": _keyctl(int(keyctl)),
    }
    Path(inner, "report.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
