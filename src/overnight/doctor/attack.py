"""Run as a program, first without a box and then inside one: attempt what no agent may do, and write down what worked.

python -I -S attack.py REPORT OUTSIDE PORT PID
"""

import json
import os
import socket
import sys
from pathlib import Path


def _writes(path: str) -> bool:
    try:
        Path(path).write_text("I was here.\n")
    except OSError:
        return False
    return True


def _reads(path: str) -> bool:
    try:
        return bool(Path(path).read_text())
    except OSError:
        return False


def _deletes(path: str) -> bool:
    try:
        Path(path).unlink()
    except OSError:
        return False
    return True


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _sees(pid: int) -> bool:
    """A signal that does nothing but ask whether it could be sent."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def main() -> None:
    """The report is written last and at once."""
    report, outside, port, pid = sys.argv[1:]
    seen = {
        "write": _writes(f"{outside}/written"),
        "read": _reads(f"{outside}/secret"),
        "delete": _deletes(f"{outside}/precious"),
        "network": _connects(int(port)),
        "processes": _sees(int(pid)),
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
    }
    Path(report).write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
