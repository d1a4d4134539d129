"""The models of System and Night."""

from __future__ import annotations

import contextlib
import platform
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from overnight import __version__
from overnight.api.jobs import Job
from overnight.api.looks import brief
from overnight.api.site import Site
from overnight.missions.codec import decode
from overnight.ports import Guarantees
from overnight.report.journal import JOURNAL, reading
from overnight.report.nights import nights
from overnight.report.rundir import lines_from
from overnight.report.signs import SPOOL
from overnight.report.soaked import last_soak


def model(site: Site) -> dict[str, Any]:
    """Health, versions, disk, records."""
    home = site.home
    disk = shutil.disk_usage(home)
    parts = [(name, _size(home / name)) for name in (JOURNAL, "usage.db")]
    return {
        "health": site.health(), "home": str(home), "disk": disk, "files": [part for part in parts if part[1]],
        "versions": (("Overnight", __version__), ("Python", platform.python_version()), ("SQLite", _sqlite()),
                     ("System", f"{platform.system()} {platform.release()} {platform.machine()}")),
        "journal": site.chain(), "canaries": _canaries(site), "passes": passes(home),
        "audit": _attributes(site.jobs.get("audit")), "doctor": _ranked(site.jobs.get("doctor")),
        "told": _watchdogs(home), "soak": last_soak(home), "address": site.machine.web.address,
        "now": time.time(),
    }  # fmt: skip


def _sqlite() -> str:
    import sqlite3

    return sqlite3.sqlite_version


def _size(path: Any) -> int:
    try:
        return int(path.stat().st_size)
    except OSError:
        return 0


def _canaries(site: Site) -> list[dict[str, Any]]:
    """The latest canary of each agent."""
    sql = (
        "SELECT at, what, why, json_extract(data, '$.agent') AS agent FROM event "
        "WHERE what IN ('canary.passed', 'canary.failed') ORDER BY seq DESC LIMIT 50"
    )
    found = dict[str, dict[str, Any]]()
    with reading(site.home) as db:
        for row in db.execute(sql):
            found.setdefault(
                row["agent"] or "?", {"at": row["at"], "passed": row["what"] == "canary.passed", "why": row["why"]}
            )
    return [{"agent": agent, **each} for agent, each in found.items()]


def night(site: Site, name: str | None) -> dict[str, Any]:
    """What a night brought, and the nights before it."""
    return {"brief": brief(site, name), "nights": nights(site.home, 60), "chosen": name or ""}


class Pass(Struct, frozen=True, kw_only=True):
    """What a canary showed; the rest of its record is for those who play it."""

    agent: str
    version: str
    guarantees: Guarantees
    at: float


def passes(home: Path) -> tuple[Pass, ...]:
    """The newest canary of each agent that passed."""
    found = list[Pass]()
    for path in sorted((home / "canary").glob("*.json")):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found.append(decode(path.read_bytes(), Pass))
    return tuple(found)


_RANKS = {"fail": 0, "warn": 1}


def _ranked(job: Job | None) -> dict[str, Any] | None:
    """A look over the machine, what is wrong first."""
    found = _attributes(job)
    if found is not None and found["answer"] is not None:
        for line in found["answer"]["lines"]:
            line["rank"] = _RANKS.get(line["level"], 2)
    return found


def _attributes(job: Job | None) -> dict[str, Any] | None:
    return None if job is None else msgspec.structs.asdict(job)


#: Notices of the watchdog that are shown, and how far back.
_MOST_TOLD, _TOLD_S = 3, 86400.0


class Told(Struct, frozen=True):
    """One notice of the watchdog."""

    at: float
    severity: str
    words: str


def _watchdogs(home: Path) -> tuple[Told, ...]:
    """What it told within a day, the latest first."""
    found = list[Told]()
    with contextlib.suppress(OSError):
        for line, _ in lines_from(home / SPOOL, max(0, (home / SPOOL).stat().st_size - (32 << 10))):
            with contextlib.suppress(msgspec.MsgspecError):
                found.append(msgspec.json.decode(line, type=Told))
    since = time.time() - _TOLD_S
    return tuple(each for each in reversed(found) if each.at > since)[:_MOST_TOLD]
