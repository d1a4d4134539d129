"""What the watchdog does to processes: kills exactly the one that was meant, and starts again what it killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from overnight.watchdog.look import boot_id, process_state


@dataclass(frozen=True)
class Origin:
    """How a process was started."""

    argv: tuple[str, ...]
    environ: dict[str, str]
    cwd: str


def origin_of(pid: int) -> Origin | None:
    """How a process was started, as its kernel remembers; None when that can't be read."""
    here = Path(f"/proc/{pid}")
    try:
        argv = [os.fsdecode(word) for word in (here / "cmdline").read_bytes().split(b"\0")[:-1]]
        pairs = [os.fsdecode(each).partition("=") for each in (here / "environ").read_bytes().split(b"\0") if each]
        return Origin(tuple(argv), {key: value for key, _, value in pairs}, str((here / "cwd").readlink()))
    except OSError:
        return None


def kill(pid: int, started: float) -> bool:
    """SIGKILL to exactly this process; whether it was sent."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if process_state(pid, started, boot_id()) is None:
            return False
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def kill_tree(pid: int, started: float) -> bool:
    """The same, with whatever it started and what that started."""
    import psutil

    below: list[psutil.Process] = []
    if process_state(pid, started, boot_id()) is not None:
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(pid).children(recursive=True)
    sent = kill(pid, started)
    if sent:
        for each in below:
            with contextlib.suppress(psutil.Error):
                each.kill()  # psutil looks whether it is still the same process
    return sent


def start(origin: Origin | None, home: Path) -> subprocess.Popen[bytes]:
    """Start a daemon as one was started before, in a session of its own. Raises OSError."""
    up = [sys.executable, "-P", "-m", "overnight", "up", "--plain"]
    argv = list(origin.argv) if origin is not None and "up" in origin.argv else up
    environ = dict(origin.environ) if origin is not None else dict(os.environ)
    environ["OVERNIGHT_HOME"] = str(home)
    log = os.open(home / "daemon.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            argv, env=environ, cwd=origin.cwd if origin is not None and Path(origin.cwd).is_dir() else "/",
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(log)
