"""Who notices when everything else is dead, and where telemetry goes. Nobody is written to."""

from __future__ import annotations

import contextlib
import sqlite3
import time

from overnight.config.telemetry import is_loopback
from overnight.doctor.findings import Sighting, ok, warn
from overnight.doctor.look import Look
from overnight.durable.journal import connect
from overnight.errors import BadInput
from overnight.missions.units import show_duration
from overnight.people.secret import filled
from overnight.telemetry import kept
from overnight.telemetry.settings import EXTRA, missing

#: The watchdog touches it with every look. The watchdog knows none of our rooms, and they do not know it.
LOCK = "watchdog.lock"
#: A watchdog that did not look for so many of its looks, and seconds, does not watch.
LOOKS, LEAST_S = 4, 30.0
#: Telemetry that fails for so long is worth a word.
FAILS_S = 600.0


# -- the watchdog -------------------------------------------------------------------------------------------


def watchdog(look: Look) -> Sighting:
    """One line: whether it runs, by which ways it tells, and whether somebody elsewhere waits for its sign of life."""
    settings = look.settings.watchdog
    age = None
    with contextlib.suppress(OSError):
        age = max(0.0, time.time() - (look.home / LOCK).stat().st_mtime)
    ways = [name for name, there in (("a command", settings.command), ("a webhook", settings.webhook)) if there]
    return judge_watchdog(age, float(settings.look), ways, ping=settings.ping is not None)


def judge_watchdog(age: float | None, every: float, ways: list[str], *, ping: bool) -> Sighting:
    """age: seconds since it looked last; None when it never did. every: seconds between its looks."""
    runs = age is not None and age <= max(LEAST_S, LOOKS * every)
    seen = "never ran here" if age is None else f"looked {show_duration(round(age))} ago"
    seen = f"{'runs, ' if runs else 'does not run, '}{seen}; tells by {' and '.join(ways) or 'nothing'}"
    seen += ", and calls a service elsewhere" if ping else ", and calls nobody elsewhere"
    if not runs:
        return warn("watchdog", seen, "start `overnight watchdog` beside the daemon: nobody notices a dead daemon else")
    if len(ways) < 2:
        do = "set both `command` and `webhook` in [watchdog] of config.toml, then `overnight watchdog --test`"
        return warn("watchdog", seen, do)
    if not ping:
        return warn("watchdog", seen, "set `watchdog.ping`: without it nobody notices when this machine is off")
    return ok("watchdog", seen)


# -- telemetry ----------------------------------------------------------------------------------------------


def telemetry(look: Look) -> Sighting:
    """One line: where it goes, what it lacks, how far it is behind, and why."""
    settings = look.settings.telemetry
    if settings.endpoint is None:
        return ok("telemetry", "off: nothing is sent")
    seen = f"goes to {settings.endpoint}, {'which is this machine' if is_loopback(settings.endpoint) else 'ELSEWHERE'}"
    seen += ", with what was said" if settings.content else ", without what was said"
    if missing():
        return warn("telemetry", f"{seen}; what sends it is not installed", f"pip install '{EXTRA}'")
    for text in settings.headers.values():
        try:
            filled(text, look.environ)
        except BadInput as error:
            do = "put it there, in the environment that the daemon is started in"
            return warn("telemetry", f"{seen}; {str(error).rstrip('.')}", do)
    progress = kept.read(look.home)
    if progress is None:
        return ok("telemetry", f"{seen}; nothing was sent yet")
    seen += f"; {progress.sent} spans sent, {_behind(look, progress.seq)} events to go"
    if progress.refused or progress.missed:
        seen += f", {progress.refused} spans refused, {progress.missed} events lost"
    if progress.failing is not None and time.time() - progress.failing > FAILS_S:
        return warn("telemetry", f"{seen}; {progress.trouble}", "no task waits for it; what is not sent is kept")
    if settings.metrics and progress.unmeasured:
        do = "set `telemetry.metrics = false` where the collector takes spans alone"
        return warn("telemetry", f"{seen}; metrics are not taken: {progress.unmeasured.rstrip('.')}", do)
    return ok("telemetry", seen)


def _behind(look: Look, seq: int) -> int | str:
    with contextlib.suppress(sqlite3.Error, OSError):
        with contextlib.closing(connect(look.home / "journal.db", read_only=True)) as db:
            return db.execute("SELECT count(*) FROM event WHERE seq > ?", (seq,)).fetchone()[0]
    return "unknown"
