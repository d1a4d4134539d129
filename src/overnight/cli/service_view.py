"""What `overnight service status` shows."""

from __future__ import annotations

import os

from msgspec import Struct

from overnight.cli import home
from overnight.cli.paper import Paper
from overnight.report.views import DaemonView
from overnight.service.install import PartView, lingers, runs, seen
from overnight.service.managers import Ways
from overnight.service.plan import PARTS, Plan
from overnight.service.secrets import place


class ServiceView(Struct, frozen=True, kw_only=True):
    """The service of this machine and user."""

    #: `systemd`, `launchd` or `wsl`.
    manager: str
    parts: tuple[PartView, ...]
    #: The daemon that answers, whoever started it.
    daemon: DaemonView | None
    #: Of the Overnight that was asked.
    version: str
    #: It stays while you are logged out; null where nobody knows.
    lingers: bool | None
    #: Where daemon, watchdog, dashboard and telemetry write.
    logs: tuple[str, ...]
    #: The file with logins and keys, and whether it is there.
    environment: str
    has_environment: bool


def view(ways: Ways, plan: Plan) -> ServiceView:
    """Ask the manager, the files and the daemon."""
    state, secrets = home.state_folder(), place(os.environ)
    return ServiceView(
        manager=ways.manager.value, parts=seen(ways, plan, runs), daemon=home.daemon(), version=plan.version,
        lingers=lingers(ways, home.user(), runs), environment=str(secrets), has_environment=secrets.exists(),
        logs=tuple(str(state / f"{name}.log") for name in (*PARTS, "web", "telemetry")),
    )  # fmt: skip


_STANDING = {
    "missing": "not installed",
    "current": "installed",
    "outdated": "installed, and this Overnight would write it differently: `overnight service install`",
    "edited": "installed, and changed by you",
    "foreign": "a file that is not Overnight's",
}


def draw(found: ServiceView) -> Paper:
    """For a person."""
    paper = Paper()
    for each in found.parts:
        paper.line((each.part, "bold"), f"  {_STANDING[each.standing.value]}")
        rows = [
            ("file", f"{each.file}{f' (version {each.version})' if each.version else ''}"),
            ("starts by itself", _yes(each.enabled)),
            ("runs", f"{_yes(each.running)}{f', process {each.pid}' if each.pid else ''}"),
            (found.manager, each.said or "says nothing"),
        ]
        paper.grid(rows, indent=2).gap()
    who = found.daemon
    rows = [
        ("daemon", f"process {who.pid}, version {who.version}" if who else "none answers"),
        ("this version", found.version),
        *([("logged out", "it goes on" if found.lingers else "it ends")] if found.lingers is not None else []),
        ("logins and keys", f"{found.environment}{'' if found.has_environment else ' (not there)'}"),
        *(("log", path) for path in found.logs),
    ]
    paper.grid(rows)
    if who is not None and who.version != found.version:
        paper.gap().line(f"The daemon is still version {who.version}: `overnight service restart`; runs go on.")
    return paper


def _yes(what: bool | None) -> str:
    return "unknown" if what is None else "yes" if what else "no"
