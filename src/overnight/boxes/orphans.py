"""First processes of boxes that will never begin.

bwrap makes a box's first process, which waits until bwrap releases it. When bwrap is killed in that instant, with the
daemon or warden that it dies with, nobody ever does: the process runs nothing, and stays. It is known by just that, and
as one of ours by its environment: boxes of ours are begun without any.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_ENGINE = "bwrap"
#: What the release comes through, as the kernel calls it.
_RELEASE = "anon_inode:[eventfd]"


def end_orphans() -> int:
    """SIGKILL to each of them; how many. What other programs began is left alone, and so is what this user may not look into."""
    ended = 0
    with contextlib.suppress(OSError):  # no /proc, no namespaces
        for place in Path("/proc").iterdir():
            if not place.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                process = os.pidfd_open(int(place.name))
                try:
                    if _waits_for_ever(place):
                        signal.pidfd_send_signal(process, signal.SIGKILL)
                        ended += 1
                finally:
                    os.close(process)
    return ended


def _waits_for_ever(process: Path) -> bool:
    """It is a box's first process, waits for its release, and its bwrap is gone. Raises OSError."""
    if (process / "comm").read_text().strip() != _ENGINE or (process / "environ").read_bytes():
        return False
    lines = (process / "status").read_text().splitlines()
    fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
    if fields["NSpid"].split()[1:] != ["1"] or _name(fields["PPid"].strip()) == _ENGINE:
        return False
    number, first = (process / "syscall").read_text().split()[:2]  # `running`, or a number and its arguments in hex
    return number != "running" and str((process / "fd" / str(int(first, 16))).readlink()) == _RELEASE


def _name(pid: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
