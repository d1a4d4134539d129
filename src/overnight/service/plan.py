"""What a service manager is to know of Overnight: which programs it starts, in which environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from overnight.errors import BadInput

#: Tells a process which service manager keeps it.
KEEPER = "OVERNIGHT_KEEPER"
#: Seconds after which a daemon that says nothing is killed by systemd, at least. The watchdog comes first, and tells.
SILENT_S = 180.0
#: Seconds between an end and the next start by the manager; `restarts` adds what the row of starts asks for.
AGAIN_S = 10
#: Seconds that a daemon may take to end in order.
ENDS_S = 90
#: Starts within an hour beyond those that `watchdog.restarts` allows, after which systemd gives up by itself: so only
#: where Overnight can't even begin.
MORE_STARTS = 15
_PASSED_ON = ("OVERNIGHT_HOME", "OVERNIGHT_CONFIG", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "LANG")


class Manager(StrEnum):
    """Whom the processes are handed to."""

    SYSTEMD = "systemd"
    LAUNCHD = "launchd"
    WSL = "wsl"


class Plan(Struct, frozen=True, kw_only=True):
    """One machine's installation."""

    #: Absolute path of the Python that has Overnight.
    interpreter: str
    version: str
    #: What the processes get besides what the manager gives: PATH, and what says where state and settings are.
    environment: dict[str, str]
    #: Seconds after which the watchdog takes the daemon for hung.
    stale: float = 60.0
    #: Starts within an hour after which the daemon stays down.
    restarts: int = 5
    #: The distribution's name in WSL.
    distro: str = ""

    def argv(self, part: str) -> list[str]:
        """part: `daemon` or `watchdog`."""
        return [self.interpreter, "-P", "-m", "overnight", "service", "run", part]

    @property
    def silent(self) -> int:
        """Seconds after which systemd's own watchdog kills the daemon: long after ours would have."""
        return round(max(SILENT_S, 3 * self.stale))


#: What is kept running, and what it is.
PARTS: dict[str, str] = {
    "daemon": "Overnight, which carries coding tasks unattended",
    "watchdog": "Overnight's watchdog, which tells when something is dead or hangs",
}


def plan_of(
    environ: Mapping[str, str], version: str, *, stale: float, restarts: int = 5, interpreter: str | None = None
) -> Plan:
    """The plan for this interpreter and this environment. Raises BadInput where a path can't be written down."""
    folders = [each for each in environ.get("PATH", "").split(os.pathsep) if each.startswith("/")]
    chosen = {"PATH": os.pathsep.join(dict.fromkeys(folders)) or os.defpath}
    for name in _PASSED_ON:
        if value := environ.get(name):
            chosen[name] = str(Path(value).absolute()) if name.startswith("OVERNIGHT_") else value
    plan = Plan(
        interpreter=interpreter or sys.executable, version=version, environment=chosen, stale=stale, restarts=restarts,
        distro=environ.get("WSL_DISTRO_NAME", ""),
    )  # fmt: skip
    for name, value in (("the interpreter", plan.interpreter), ("WSL_DISTRO_NAME", plan.distro), *chosen.items()):
        if any(ord(each) < 32 or ord(each) == 127 for each in value):
            raise BadInput(
                problem=f"{name} has a control character in it ({value!r}): no service can be written with that."
            )
    return plan


def manager_here(environ: Mapping[str, str], platform: str = sys.platform, root: Path = Path("/")) -> Manager:
    """The one that this machine has."""
    if platform == "darwin":
        return Manager.LAUNCHD
    try:
        kernel = (root / "proc/sys/kernel/osrelease").read_text().lower()
    except OSError:
        kernel = ""
    return Manager.WSL if environ.get("WSL_DISTRO_NAME") or "microsoft" in kernel else Manager.SYSTEMD
