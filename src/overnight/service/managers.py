"""What the service managers are asked, and what their answers mean. Plain values: nothing is run here."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from overnight.config.places import xdg
from overnight.service.launchd import LABELS, agents
from overnight.service.plan import PARTS, Manager, Plan
from overnight.service.systemd import UNITS, units
from overnight.service.wsl import TASKS, tasks

#: A command line.
Argv = list[str]
#: Exit codes of a command that did not answer in time, could not be run, or is not there: nobody knows anything then.
NOT_ASKED = (124, 126, 127)


class Answer(Struct, frozen=True):
    """How a manager sees a part. None: unknown."""

    enabled: bool | None = None
    running: bool | None = None
    pid: int | None = None
    #: Its own words.
    said: str = ""


class Ways(Struct, frozen=True):
    """How one manager is dealt with."""

    manager: Manager
    #: File name -> text.
    render: Callable[[Plan], dict[str, str]]
    #: The name of each part's file.
    names: dict[str, str]
    #: Where they belong.
    folder: Path
    #: Commands that make installed files take effect; part -> file.
    start: Callable[[Mapping[str, Path]], list[Argv]]
    #: Commands before the files go, for parts that are there.
    stop: Callable[[list[str]], list[Argv]]
    #: Commands after they went.
    after: list[Argv]
    #: Begin anew with what is installed.
    restart: list[Argv]
    #: Ask for a part.
    ask: Callable[[str], Argv]
    #: Exit code and output of that.
    heard: Callable[[int, str], Answer]


def ways_of(manager: Manager, environ: Mapping[str, str], uid: int, windows: Callable[[Path], str] = str) -> Ways:
    """windows: a path as Windows knows it."""
    match manager:
        case Manager.SYSTEMD:
            return _systemd(xdg(environ, "XDG_CONFIG_HOME", ".config") / "systemd" / "user")
        case Manager.LAUNCHD:
            return _launchd(Path(environ.get("HOME", "/")) / "Library" / "LaunchAgents", uid)
        case Manager.WSL:
            return _wsl(xdg(environ, "XDG_CONFIG_HOME", ".config") / "overnight" / "windows", windows)


# -- systemd ------------------------------------------------------------------------------------------------

_USER = ["systemctl", "--user"]
_ASKED = "LoadState,ActiveState,SubState,UnitFileState,MainPID,NRestarts,Result"


def _systemd(folder: Path) -> Ways:
    names = [UNITS[part] for part in PARTS]
    return Ways(
        manager=Manager.SYSTEMD, render=units, names=UNITS, folder=folder,
        start=lambda _: [[*_USER, "daemon-reload"], [*_USER, "reset-failed", *names], [*_USER, "enable", "--now", *names]],
        stop=lambda parts: [[*_USER, "disable", "--now", *(UNITS[part] for part in parts)]],
        after=[[*_USER, "daemon-reload"]],
        restart=[[*_USER, "reset-failed", *names], [*_USER, "restart", *names]],
        ask=lambda part: [*_USER, "show", UNITS[part], f"--property={_ASKED}"],
        heard=systemd_heard,
    )  # fmt: skip


def systemd_heard(code: int, said: str) -> Answer:
    """`systemctl show`."""
    if code:
        return Answer(said=last_of(said))
    found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    pid = int(found.get("MainPID", "0") or 0)
    words = f"{found.get('ActiveState', 'unknown')} ({found.get('SubState', 'unknown')})"
    if found.get("Result", "success") not in ("success", ""):
        words += f", last result: {found['Result']}"
    if found.get("NRestarts", "0") not in ("0", ""):
        words += f", started again {found['NRestarts']} times"
    return Answer(found.get("UnitFileState") in ("enabled", "linked"), pid > 0, pid or None, words)


# -- launchd ------------------------------------------------------------------------------------------------


def _launchd(folder: Path, uid: int) -> Ways:
    domain = f"gui/{uid}"

    def stop(parts: list[str]) -> list[Argv]:
        return [["launchctl", "bootout", f"{domain}/{LABELS[part]}"] for part in parts]

    def start(files: Mapping[str, Path]) -> list[Argv]:
        # What is loaded already has to go first, to be read anew.
        again = [["launchctl", "bootstrap", domain, str(file)] for file in files.values()]
        return [*stop(list(files)), *again]

    return Ways(
        manager=Manager.LAUNCHD, render=agents, names={part: f"{label}.plist" for part, label in LABELS.items()}, folder=folder,
        start=start, stop=stop, after=[],
        restart=[["launchctl", "kickstart", "-k", f"{domain}/{label}"] for label in LABELS.values()],
        ask=lambda part: ["launchctl", "print", f"{domain}/{LABELS[part]}"],
        heard=launchd_heard,
    )  # fmt: skip


def launchd_heard(code: int, said: str) -> Answer:
    """`launchctl print`; 113 where it knows no such service."""
    if code:
        return Answer(enabled=False, running=False, said="not loaded") if code == 113 else Answer(said=last_of(said))
    state = re.search(r"(?m)^\s*state = (.+)$", said)
    pid = re.search(r"(?m)^\s*pid = (\d+)$", said)
    return Answer(True, pid is not None, int(pid[1]) if pid else None, state[1].strip() if state else "")


# -- Windows ------------------------------------------------------------------------------------------------

_TASKS = "schtasks.exe"


def _wsl(folder: Path, windows: Callable[[Path], str]) -> Ways:
    def start(files: Mapping[str, Path]) -> list[Argv]:
        made = [[_TASKS, "/Create", "/F", "/TN", TASKS[part], "/XML", windows(file)] for part, file in files.items()]
        return [*made, *([_TASKS, "/Run", "/TN", TASKS[part]] for part in files)]

    def stop(parts: list[str]) -> list[Argv]:
        return [[_TASKS, verb, "/TN", TASKS[part], *more] for part in parts for verb, more in _GOES]

    return Ways(
        manager=Manager.WSL, render=tasks, names={part: f"overnight-{part}.xml" for part in PARTS}, folder=folder,
        start=start, stop=stop, after=[],
        restart=[[_TASKS, verb, "/TN", name] for name in TASKS.values() for verb in ("/End", "/Run")],
        ask=lambda part: [_TASKS, "/Query", "/TN", TASKS[part], "/FO", "CSV", "/NH"],
        heard=windows_heard,
    )  # fmt: skip


_GOES: tuple[tuple[str, list[str]], ...] = (("/End", []), ("/Delete", ["/F"]))


def windows_heard(code: int, said: str) -> Answer:
    """`schtasks /Query` as CSV: name, next run, status; in Windows' own language. The process is one of Linux'."""
    if code in NOT_ASKED:
        return Answer(said=last_of(said))
    if code:
        return Answer(enabled=False, running=False, said=last_of(said))
    rows = [row for row in csv.reader(said.splitlines()) if len(row) >= 3]
    return Answer(enabled=bool(rows), said=rows[0][2] if rows else "")


def last_of(said: str) -> str:
    """The last words of what was said."""
    lines = said.strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"


#: Commands that may fail: what they ask for may be so already, or not be there.
MAY_FAIL = ("reset-failed", "bootout", "/End")


def may_fail(argv: Argv) -> bool:
    """Whether its failure means nothing."""
    return any(word in MAY_FAIL for word in argv)
