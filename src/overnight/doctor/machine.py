"""The machine: room, limits, clock, loopback, and whether it stays awake."""

from __future__ import annotations

import configparser
import ctypes
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from overnight.doctor.findings import Sighting, fail, ok, warn
from overnight.doctor.look import Look, running_as_root, there
from overnight.durable.journal import refuse_network
from overnight.errors import NetworkFileSystem
from overnight.landing.worktree import WorkshopSettings

#: Below this many free bytes a night may end early; below `WorkshopSettings.min_free` none begins.
SCARCE = 5 << 30
#: The same for files that can still be made.
SCARCE_FILES, LEAST_FILES = 200_000, 20_000
#: Before this, a clock is wrong.
_BUILT = 1_760_000_000
#: What `adjtimex` answers when nothing keeps the clock right.
_UNSYNCHRONISED = 5
#: Bytes that `struct timex` has on every Linux, with some to spare.
_TIMEX = 512


# -- room ---------------------------------------------------------------------------------------------------


def disk(look: Look) -> Sighting:
    """Free space where state and worktrees lie."""
    place = there(look.home)
    return judge_disk(shutil.disk_usage(place).free, str(look.home))


def judge_disk(free: int, place: str) -> Sighting:
    """free: bytes."""
    seen = f"{free / (1 << 30):.1f} GiB free at {place}"
    do = "free some space there, or set OVERNIGHT_HOME to another disk"
    if free < WorkshopSettings().min_free:
        return fail("disk", f"{seen}; no task starts below {WorkshopSettings().min_free >> 30} GiB", do)
    return warn("disk", seen, do) if free < SCARCE else ok("disk", seen)


def inodes(look: Look) -> Sighting:
    """How many files can still be made."""
    seen = os.statvfs(there(look.home))
    return judge_inodes(seen.f_files, seen.f_favail)


def judge_inodes(most: int, free: int) -> Sighting:
    """most: 0 where the file system does not count them."""
    if most == 0:
        return ok("inodes", "this file system does not count them")
    seen, do = f"{free} files can still be made", "remove files there, or set OVERNIGHT_HOME to another disk"
    if free < LEAST_FILES:
        return fail("inodes", seen, do)
    return warn("inodes", seen, do) if free < SCARCE_FILES else ok("inodes", seen)


def filesystem(look: Look) -> Sighting:
    """Whether the journal's locks hold where it lies, and whether the folder can be written."""
    try:
        refuse_network(look.home)
    except NetworkFileSystem as error:
        kind = f"{look.home} lies on {error.fields['kind']}, where SQLite's locks do not hold"
        return fail("filesystem", kind, "set OVERNIGHT_HOME to a local folder")
    place = there(look.home)
    if not os.access(place, os.W_OK):
        return fail("filesystem", f"{place} can't be written", "mend its permissions, or set OVERNIGHT_HOME")
    return ok("filesystem", f"{look.home} is local and writable")


# -- limits -------------------------------------------------------------------------------------------------


def limits(look: Look) -> Sighting:
    """Whether the limits that a box asks for can be set here."""
    wanted = look.settings.box.open_files
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < wanted:
        return warn("limits", f"at most {hard} open files, {wanted} are wanted", "raise `ulimit -Hn`")
    if running_as_root():
        seen = "the kernel does not count root's processes, so `box.processes` does not bind"
        return warn("limits", seen, "run Overnight as a user of its own")
    return ok("limits", f"{wanted} open files and {look.settings.box.processes} processes per box can be had")


def seccomp(look: Look) -> Sighting:
    """Whether this kernel filters system calls."""
    actions = look.text("/proc/sys/kernel/seccomp/actions_avail").split()
    if "errno" not in actions:
        return fail("seccomp", "the kernel filters no system calls", "use a kernel with CONFIG_SECCOMP_FILTER")
    return ok("seccomp", "the kernel filters system calls")


def loopback(_: Look) -> Sighting:
    """A port of this machine's own, taken, called and answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=2) as caller:
            there_, _address = server.accept()
            with there_:
                there_.sendall(b"x")
                heard = caller.recv(1)
    if heard != b"x":
        return fail("loopback", "127.0.0.1 does not carry what is sent", "look at this machine's firewall")
    return ok("loopback", f"127.0.0.1 can be listened on and reached (port {port} for this test)")


# -- time ---------------------------------------------------------------------------------------------------


def clock(look: Look) -> Sighting:
    """The wall clock: not absurd, not before what the journal has seen, and kept right by somebody."""
    from overnight.doctor.state import last_event_at

    return judge_clock(time.time(), last_event_at(look.home), _synchronised())


def judge_clock(now: float, last: float | None, synchronised: bool | None) -> Sighting:
    """last: when the journal's last event happened. synchronised: None where it can't be known."""
    seen = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f" {time.strftime('%Z', time.localtime(now))}"
    do = "set the clock, and let NTP keep it"
    if now < _BUILT:
        return fail("clock", f"it says {seen}", do)
    if last is not None and last > now + 60:
        return fail("clock", f"it says {seen}, and the journal's last event is {round(last - now)} s later", do)
    if synchronised is False:
        return warn("clock", f"{seen}; nothing keeps it right", "turn on NTP: resets of limits are waited for by it")
    return ok("clock", seen if synchronised else f"{seen}; whether NTP keeps it right is unknown")


def _synchronised() -> bool | None:
    """What the kernel says of it."""
    if not sys.platform.startswith("linux"):
        return None
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX))
    return None if state < 0 else state != _UNSYNCHRONISED


# -- sleep --------------------------------------------------------------------------------------------------

_INHIBIT = "start it with `systemd-inhibit --what=sleep:idle:handle-lid-switch overnight up`"
#: Asks for what the daemon asks for while tasks are worked on, and lets go at once.
_TRY = (
    "systemd-inhibit",
    "--what=sleep:idle:handle-lid-switch",
    "--who=Overnight",
    "--why=a try",
    "--mode=block",
    "true",
)
_TRY_S = 3.0


def sleep(look: Look) -> Sighting:
    """Whether the machine goes to sleep by itself, and whether Overnight can keep it awake."""
    if "microsoft" in look.text("/proc/sys/kernel/osrelease").lower():
        seen = "Windows decides when this machine sleeps, and nothing in WSL keeps it awake"
        return warn(
            "sleep", seen, "set Windows' power plan to never sleep, or `daemon.inhibitor` to a program that does it"
        )
    if sys.platform == "darwin":
        said = subprocess.run(["pmset", "-g"], capture_output=True, text=True, timeout=3, check=False).stdout
        return judge_pmset(said, look.settings.daemon.inhibit_sleep and shutil.which("caffeinate") is not None)
    if not (look.root / "run/systemd/system").exists():
        return ok("sleep", "no systemd here, so no logind that puts the machine to sleep")
    if _masked(look.root):
        return ok("sleep", "sleep is switched off (sleep.target is masked)")
    mine = look.settings.daemon
    if mine.inhibit_sleep and mine.inhibitor:
        return judge_inhibitor(mine.inhibitor[0], shutil.which(mine.inhibitor[0], path=look.environ.get("PATH")))
    lid = any((look.root / "proc/acpi/button/lid").glob("*"))
    return judge_logind(logind(look.root), lid, _refusal(look.environ) if mine.inhibit_sleep else "it is switched off")


def judge_inhibitor(name: str, found: str | None) -> Sighting:
    """A program of the person's own; found: where it is."""
    if found is None:
        return warn("sleep", f"{name} is not on the PATH: nothing keeps the machine awake", "mend `daemon.inhibitor`")
    return ok("sleep", f"{found} keeps the machine awake while tasks are worked on")


def _refusal(environ: Mapping[str, str]) -> str:
    """Why the daemon could not keep the machine awake; empty when it could."""
    program = shutil.which(_TRY[0], path=environ.get("PATH"))
    if program is None:
        return f"{_TRY[0]} is not there"
    try:
        done = subprocess.run([program, *_TRY[1:]], capture_output=True, text=True, timeout=_TRY_S, check=False)
    except subprocess.TimeoutExpired:
        return f"{_TRY[0]} does not answer"
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it is refused"])[-1]


def judge_logind(said: Mapping[str, str], lid: bool, refusal: str) -> Sighting:
    """said: keys of logind.conf. lid: the machine has one. refusal: why Overnight can't keep it awake; empty: it can."""
    if not refusal:
        return ok("sleep", "Overnight keeps the machine awake while tasks are worked on (systemd-inhibit)")
    idle, closed = said.get("idleaction", "ignore"), said.get("handlelidswitch", "suspend")
    why = f"Overnight can't keep it awake: {refusal}"
    if idle not in ("ignore", "lock"):
        return warn("sleep", f"logind does {idle!r} when the machine is idle; {why}", _INHIBIT)
    if lid and closed not in ("ignore", "lock"):
        return warn("sleep", f"logind does {closed!r} when the lid is closed; {why}", f"leave it open, or {_INHIBIT}")
    seen = "logind does not put the machine to sleep; a desktop's own settings are not seen from here"
    return ok("sleep", f"{seen}, and {why}")


def judge_pmset(said: str, held: bool) -> Sighting:
    """What `pmset -g` says. held: the daemon keeps it awake while tasks are worked on."""
    minutes = re.search(r"(?m)^\s*sleep\s+(\d+)", said)
    if minutes is None:
        return warn("sleep", "pmset does not say whether it sleeps", "leave `daemon.inhibit_sleep` on")
    if minutes[1] != "0":
        if held:
            return ok(
                "sleep",
                f"the machine sleeps after {minutes[1]} minutes, but not while tasks are worked on (caffeinate)",
            )
        return warn(
            "sleep", f"the machine sleeps after {minutes[1]} minutes", "start it with `caffeinate -s overnight up`"
        )
    return ok("sleep", "the machine does not sleep by itself")


def logind(root: Path) -> dict[str, str]:
    """logind's configuration, later files over earlier ones."""
    found: dict[str, str] = {}
    for folder in ("usr/lib", "etc", "run"):
        base = root / folder / "systemd"
        for path in (base / "logind.conf", *sorted((base / "logind.conf.d").glob("*.conf"))):
            parser = configparser.ConfigParser(interpolation=None, strict=False)
            parser.read(path, encoding="utf-8")
            if parser.has_section("Login"):
                found |= {key: value.strip().lower() for key, value in parser["Login"].items()}
    return found


def _masked(root: Path) -> bool:
    unit = root / "etc/systemd/system/sleep.target"
    return unit.is_symlink() and str(unit.readlink()) == "/dev/null"


def power(look: Look) -> Sighting:
    """Whether it runs on a battery."""
    supplies = [path for path in sorted((look.root / "sys/class/power_supply").glob("*")) if path.is_dir()]
    for each in supplies:
        name = f"/sys/class/power_supply/{each.name}"
        if look.text(f"{name}/type").strip() == "Battery" and look.text(f"{name}/scope").strip() != "Device":
            status = look.text(f"{name}/status").strip()
            charge = look.text(f"{name}/capacity").strip()
            if status == "Discharging":
                return warn("power", f"on battery, {charge or '?'} %", "plug it in for the night")
            return ok("power", f"battery {status.lower() or 'unknown'}, {charge or '?'} %")
    return ok("power", "no battery was seen")
