"""The watchdog's life: look, decide, act, look again. Nothing in it waits for anything but the clock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from overnight.watchdog import act
from overnight.watchdog.chain import Place
from overnight.watchdog.decide import asks, decide, folded
from overnight.watchdog.facts import KillDaemon, KillWarden, Ping, Rules, Severity, Sight, StartDaemon, State, Tell
from overnight.watchdog.look import Looker, boot_time
from overnight.watchdog.tell import OUTBOX, Shelf, packed, pinger, spool, unpack, ways

#: A look that takes longer than this, seconds, did not end.
LOOK_S = 15.0
#: What must outlive the watchdog itself: whom it killed, and how often it started what.
MEMORY = "watchdog.json"
LOCK = "watchdog.lock"
_STEP_S = 0.25
#: What is yet to be written when it is asked to end may take so long.
SETTLE_S = 2.0


class Watchdog:
    """Watches one state folder."""

    def __init__(self, home: Path, rules: Rules, environ: Mapping[str, str], looker: Looker | None = None) -> None:
        """looker: looks at another machine than this one, for a test."""
        self._home, self._rules = home, rules
        self._state, place = _remembered(home)
        self._looker = looker or Looker(home, place=place)
        self._ways, self._pinger = ways(rules, environ), pinger(rules, environ)
        with contextlib.suppress(OSError):
            unpack((home / OUTBOX).read_text(), self._ways)
        self._memory, self._outbox = Shelf(home / MEMORY), Shelf(home / OUTBOX)
        self._origin: act.Origin | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._looking: threading.Thread | None = None
        self._sight: Sight | None = None

    def run(self, stop: threading.Event) -> None:
        """Until asked to end."""
        due = 0.0
        while not stop.wait(min(_STEP_S, self._rules.look)):
            now = time.monotonic()
            if now >= due:
                due = now + self._rules.look
                self.turn()
            self.step()
        for way in (*self._ways, self._pinger):
            way.stop()
        for shelf in (self._memory, self._outbox):
            shelf.settle(SETTLE_S)

    def step(self) -> None:
        """Look after messages under way and processes that ended."""
        for way in (*self._ways, self._pinger):
            way.step()
        self._outbox.put(packed(self._ways))
        self._started = [each for each in self._started if each.poll() is None]

    def turn(self) -> None:
        """One look, and what follows."""
        before = self._state
        self._state, acts = decide(self._rules, before, self._look())
        said = [each for each in acts if isinstance(each, Tell)]
        for each in said:
            self._note(each)
        for each in folded(said):
            self._say(each)
        for each in acts:
            match each:
                case Tell():
                    pass
                case KillDaemon(pid, started, _):
                    self._origin = act.origin_of(pid) or self._origin
                    act.kill(pid, started)
                case KillWarden(_, pid, started, _):
                    act.kill_tree(pid, started)
                case StartDaemon():
                    self._start()
                case Ping():
                    self._pinger.say(Tell("ping", Severity.NOTE, ""))
        self._memory.put(json.dumps(_lasting(self._state, self._looker.place)))

    def _look(self) -> Sight:
        """What is there to see; that nothing can be seen, when the look does not end."""
        if self._looking is None or not self._looking.is_alive():
            ask = asks(self._rules, self._state, time.monotonic())
            self._sight = None
            self._looking = threading.Thread(target=self._see, args=(ask,), daemon=True)
            self._looking.start()
        self._looking.join(LOOK_S)
        sight = None if self._looking.is_alive() else self._sight
        if sight is not None:
            return sight
        now = time.monotonic()
        return Sight(
            began=now - LOOK_S, mono=now, boot=boot_time(), wall=time.time(), disk=None, memory=None, journal="",
            daemon=None, stuck=True,
        )  # fmt: skip

    def _see(self, ask: bool) -> None:
        self._sight = self._looker.look(ask=ask)
        with contextlib.suppress(OSError):
            os.utime(self._home / LOCK)  # shows that somebody watches

    def _note(self, what: Tell) -> None:
        """Into its own log, and for the daemon's."""
        sys.stderr.write(f"overnight watchdog: {what.severity.value}: {what.words}\n")
        spool(self._home, what, time.time())

    def _say(self, what: Tell) -> None:
        """To the person, by every way."""
        for way in self._ways:
            way.say(what)
        self._outbox.put(packed(self._ways))

    def _start(self) -> None:
        try:
            self._started.append(act.start(self._origin, self._home))
        except OSError as error:
            what = Tell("start", Severity.ALARM, f"the daemon could not be started again: {error}")
            self._note(what)
            self._say(what)


# -- memory -------------------------------------------------------------------------------------------------


def _lasting(state: State, place: Place) -> dict[str, Any]:
    return {
        "killed": state.killed, "starts": state.starts, "row": state.row, "due": state.start_at is not None,
        "journal": place,
    }  # fmt: skip


def _remembered(home: Path) -> tuple[State, Place]:
    """What a watchdog before knew of what it killed, and how far it had checked the journal."""
    state, place = State(), Place()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((home / MEMORY).read_text())
        killed = (int(found["killed"][0]), float(found["killed"][1])) if found["killed"] else None
        start_at = time.monotonic() if found["due"] and killed else None
        starts = tuple(float(at) for at in found["starts"])
        state = replace(state, killed=killed, start_at=start_at, starts=starts, row=int(found["row"]))
        seq, digest, last, last_digest, since = found["journal"]
        place = Place(int(seq), str(digest), int(last), str(last_digest), float(since))
    return state, place


def rules_to_json(rules: Rules) -> str:
    """For the process that is started with them."""
    return json.dumps(asdict(rules))


def rules_from_json(text: str) -> Rules:
    """Raises ValueError, TypeError."""
    found: dict[str, Any] = json.loads(text)
    found["command"] = tuple(found.get("command", ()))
    return Rules(**found)


def lock(home: Path) -> int | None:
    """The lock of the one watchdog of a state folder; None when another one holds it. Raises OSError."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
