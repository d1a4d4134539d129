"""The models of System and Night."""

from __future__ import annotations

import platform
import shutil
import time
from typing import Any

from overnight import __version__
from overnight.api.looks import brief
from overnight.api.site import Site
from overnight.report.journal import JOURNAL, reading
from overnight.report.nights import nights


def model(site: Site) -> dict[str, Any]:
    """Health, versions, disk, records."""
    home = site.home
    disk = shutil.disk_usage(home)
    parts = [(name, _size(home / name)) for name in (JOURNAL, "usage.db")]
    return {
        "health": site.health(), "home": str(home), "disk": disk, "files": [part for part in parts if part[1]],
        "versions": (("Overnight", __version__), ("Python", platform.python_version()), ("SQLite", _sqlite()),
                     ("System", f"{platform.system()} {platform.release()} {platform.machine()}")),
        "journal": site.chain(), "canaries": _canaries(site), "address": site.machine.web.address,
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
