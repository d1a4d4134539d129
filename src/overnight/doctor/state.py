"""Overnight's own state: journal, audit, daemon, who is told, and what the canary showed last."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from overnight import __version__
from overnight.audit.verify import verify as verify_audit
from overnight.config import settings_path
from overnight.doctor.findings import Sighting, fail, ok, warn
from overnight.doctor.look import Look
from overnight.doctor.record import changes, fingerprint, last_pass
from overnight.durable.chain import Break, verify
from overnight.durable.client import Client
from overnight.durable.journal import HEAD, Lock, connect, read_events
from overnight.errors import AlreadyRunning, OvernightError
from overnight.missions.units import show_duration

#: Events at the journal's end whose chain is recomputed; `overnight journal verify` does all of them.
CHECKED = 2000


def settings(look: Look) -> Sighting:
    """Whether the settings can be read at all."""
    path = settings_path(look.environ)
    _ = look.settings
    return ok("settings", f"{path} is valid" if path.exists() else f"{path} is not there: the defaults hold")


def journal(look: Look) -> Sighting:
    """Whether the end of the record fits together."""
    path = look.home / "journal.db"
    if not path.exists():
        return ok("journal", "none yet: the first task makes one")
    do = "keep the file as it is; `overnight journal verify` says more"
    try:
        found = _tail(path)
    except (sqlite3.DatabaseError, OvernightError) as error:
        return fail("journal", f"it can't be read: {error}", do)
    if isinstance(found, Break):
        return fail("journal", f"its chain breaks at event {found.seq}: {found.problem}", do)
    return ok("journal", f"its last {found} events fit together")


def _tail(path: Path) -> Break | int:
    """The number of events that fit at the end, or where they do not."""
    with contextlib.closing(connect(path, read_only=True)) as db:
        db.execute("BEGIN")
        row = db.execute("SELECT max(seq) AS last FROM event").fetchone()
        last: int = row["last"] or 0
        first = max(0, last - CHECKED)
        events = read_events(db, after=first)
        # The first one that is read anchors those after it: what came before is not looked at here.
        anchors = list(islice(events, 1))
        if not anchors:
            return 0
        found = verify(events, anchors[0].digest, anchors[0].seq)
        head = db.execute("SELECT value FROM record WHERE kind = ? AND key = ?", HEAD).fetchone()
        if not isinstance(found, Break) and head is not None and f"[{last}, " not in head["value"]:
            return Break(last + 1, f"it is missing: the record ends with {head['value'][:40]}")
        return found if isinstance(found, Break) else found[0] + 1


def audit(look: Look) -> Sighting:
    """Whether the record of the tool calls is whole."""
    found = verify_audit(look.home)
    if not found.files:
        return ok("audit", "none yet: the first run makes one")
    if not found.whole:
        first = found.flaws[0]
        seen = f"{len(found.flaws)} flaws, the first in {first.file}: {first.problem}"
        return fail("audit", seen, "keep the files as they are; `overnight audit verify` names each")
    return ok("audit", f"{found.lines} lines in {found.files} files are whole")


def last_event_at(home: Path) -> float | None:
    """When the journal's last event happened; None when there is none, or none can be read."""
    path = home / "journal.db"
    if not path.exists():
        return None
    with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(connect(path, read_only=True)) as db:
        row = db.execute("SELECT at FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        return None if row is None else float(row["at"])
    return None


def daemon(look: Look) -> Sighting:
    """Whether one runs, and whether it is this version."""
    home = look.home
    said = Client(home).running()
    if said is None:
        if (holder := _holder(home)) is not None:
            return fail("daemon", holder, "`overnight down`, or end that process by its id")
        return warn("daemon", "none runs, so nothing is worked on", "`overnight up`")
    since = show_duration(max(0.0, time.time() - float(said["since"])))
    seen = f"process {said['pid']} has run for {since}"
    if said["version"] != __version__:
        do = "restart it: `overnight down`, then `overnight up`; runs go on meanwhile"
        return warn("daemon", f"{seen}, as version {said['version']}; this is {__version__}", do)
    return ok("daemon", seen)


def _holder(home: Path) -> str | None:
    """Who holds the journal without answering."""
    if not (home / "journal.lock").exists() or not os.access(home / "journal.lock", os.W_OK):
        return None
    try:
        Lock(home).release()
    except AlreadyRunning as error:
        return str(error)
    return None


def canary(look: Look) -> Sighting:
    """Whether the canary passed with what is here now."""
    agents = _agents(look)
    lines = [_canary(look, agent) for agent in agents]
    return next((line for line in lines if line.do), lines[0])


def _agents(look: Look) -> Iterable[str]:
    return ("command",) if look.settings.agents.command.argv and not last_pass(look.home, "claude") else ("claude",)


def _canary(look: Look, agent: str) -> Sighting:
    do = "`overnight doctor --canary`; the daemon runs it by itself before the next task"
    known = last_pass(look.home, agent)
    if known is None:
        return warn("canary", f"it has not passed here yet with the agent {agent!r}", do)
    ago = show_duration(max(0.0, time.time() - known.at))
    changed = changes(known.fingerprint, fingerprint(agent, look.settings, look.environ))
    if changed:
        return warn("canary", f"it passed {ago} ago; since then changed: {', '.join(changed)}", do)
    return ok("canary", f"it passed {ago} ago with {agent} {known.version}".rstrip())
