"""The daemon's life: lock, journal, engine, socket, signals. Crash-only: an end is a crash that was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from overnight import __version__
from overnight.api.keep import Kept
from overnight.audit.checkpoints import Made
from overnight.audit.upkeep import Upkeep
from overnight.boxes.orphans import end_orphans
from overnight.config import Settings
from overnight.doctor.gate import Gate
from overnight.doctor.wanted import wanted
from overnight.durable.beat import EVERY_S, Beat
from overnight.durable.client import Client
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine, Flow, pauses_changed
from overnight.durable.identity import identify
from overnight.durable.journal import Journal, Observer
from overnight.durable.ledger import Ledger
from overnight.durable.pauses import read as read_pauses
from overnight.durable.pools import Pool
from overnight.durable.retention import sweeps
from overnight.durable.wire import NAME, Server
from overnight.errors import DaemonUnreachable, StateNotWritable
from overnight.flows.issues import Intake, look_at_all
from overnight.flows.landing import LANDING
from overnight.flows.task import WORK, carry_out
from overnight.guard.redact import Redactor, known_secrets
from overnight.landing.forge.wake import SOON_S, Wake
from overnight.missions.hold import HoldReason
from overnight.people.channels.buttons import PhoneButtons
from overnight.people.channels.listen import Listeners
from overnight.people.notify import Notifier
from overnight.people.record import Record
from overnight.people.verbs import verbs
from overnight.ports import House
from overnight.report.alerts import Alerts
from overnight.report.mornings import Mornings
from overnight.report.slept import Sleeps
from overnight.report.status import read_repos
from overnight.service.awake import Awake
from overnight.service.logs import LogRules, kept
from overnight.service.sdnotify import Teller
from overnight.service.takeup import take_up
from overnight.telemetry.settings import EXTRA, LOG
from overnight.telemetry.settings import missing as telemetry_missing
from overnight.wiring import admitted, has_begun, house_for, intake_for, purse_for

#: A journal that can't be written (full disk) is tried again after this time; runs under way go on meanwhile.
JOURNAL_RETRY_S = 5.0
DAY_S = 86400.0
#: How often it is looked whether somebody paused or resumed by hand; what starts looks by itself.
PAUSES_EVERY_S = 1.0
STARTS_WITHIN_S = 15.0
#: What it says where no terminal and no service manager hears it.
DAEMON_LOG = "daemon.log"
#: How often the forge is asked for labelled issues.
ISSUES_EVERY_S = 300.0
#: How often it is looked whether something is worked on, for which the machine is kept awake.
AWAKE_EVERY_S = 2.0


def run(settings: Settings, home: Path, ready: Callable[[], None] | None = None) -> int:
    """Be the daemon until SIGTERM, SIGINT or `overnight down`. Raises AlreadyRunning and the like."""
    teller = Teller.taken_from(os.environ)
    with kept(home / DAEMON_LOG, LogRules.of(settings.logs)):
        asyncio.run(_with_pages(settings, home, ready or (lambda: None), teller))
    return 0


async def _with_pages(settings: Settings, home: Path, ready: Callable[[], None], teller: Teller) -> None:
    """Serve, with children beside it that serve the pages and send telemetry: nobody who looks can stall what is looked
    at."""
    beside = [Kept(*each) for each in _children(settings, home)]

    def up() -> None:
        ready()
        for child in beside:
            child.start()

    try:
        await serve(settings, home, up, teller=teller)
    finally:
        for child in beside:
            await child.stop()


def _children(settings: Settings, home: Path) -> Iterator[tuple[tuple[str, ...], dict[str, str], Path]]:
    """Command, environment and log of each."""
    environ = {**os.environ, "OVERNIGHT_HOME": str(home)}
    if settings.web.on and os.environ.get("OVERNIGHT_WEB") != "off":
        yield (sys.executable, "-P", "-m", "overnight.web_process"), environ, home / "web.log"
    if settings.telemetry.endpoint is None:
        return
    if telemetry_missing():
        _say(f"nothing is sent to {settings.telemetry.endpoint}: pip install '{EXTRA}'")
        return
    argv = (sys.executable, "-P", "-m", "overnight.telemetry_process")
    yield argv, {name: value for name, value in environ.items() if not name.startswith("OTEL_")}, home / LOG


async def serve(
    settings: Settings,
    home: Path,
    ready: Callable[[], None],
    observer: Observer | None = None,
    teller: Teller | None = None,
) -> None:
    """Drive until asked to end. `ready` is called once the socket answers; observer sees every commit and git call;
    teller speaks to the service manager."""
    down = asyncio.Event()
    teller = teller or Teller()

    def answers() -> None:
        teller.ready()
        ready()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, down.set)
    try:
        house = house_for(settings, home, observer)
        journal = Journal(home, observer=observer)  # what keeps it from starting is for the person who starts it
        end_orphans()
        async with _pulse(home, down, teller) as pulse:
            while True:
                await _drive(settings, journal, house, down, answers, pulse)
                if down.is_set():
                    return
                journal = await _open_again(home, observer, down)
                if journal is None:
                    return
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class Pulse:
    """Shows from outside that the loop turns, and what the engine does."""

    def __init__(self, home: Path, teller: Teller) -> None:
        who = identify()
        self._teller = teller
        self.beat = Beat(home, who.pid, who.started, who.boot, teller.keeper)
        self.engine: Engine | None = None
        #: Why nothing can be done; empty while it can.
        self.trouble = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.beat.write(self._facts(), trouble=self.trouble)
            self._teller.alive()
            await asyncio.sleep(EVERY_S)

    def _facts(self) -> dict[str, int]:
        engine = self.engine
        if engine is None:
            return {}
        db, live = engine.journal.db, engine.live
        with contextlib.suppress(sqlite3.Error):  # the engine meets it as well
            rows = db.execute("SELECT id FROM task WHERE state = 'ready' LIMIT ?", (len(live) + 1000,)).fetchall()
            queued = db.execute("SELECT count(*) FROM task WHERE need_pool IS NOT NULL").fetchone()[0]
            return {
                "turns": engine.turns, "ready": sum(1 for row in rows if row["id"] not in live), "queued": queued,
                "live": len(live), "paused": int(bool(read_pauses(engine.journal.home))),
            }  # fmt: skip
        return {"turns": engine.turns, "live": len(live)}


@contextlib.asynccontextmanager
async def _pulse(home: Path, down: asyncio.Event, teller: Teller) -> AsyncGenerator[Pulse]:
    """Beats inside. Only an end that was asked for is told as one."""
    pulse = Pulse(home, teller)
    beating = asyncio.create_task(pulse.run())
    ending = asyncio.create_task(_tell_end(down, teller))
    try:
        yield pulse
    finally:
        beating.cancel()
        ending.cancel()
        await asyncio.gather(beating, ending, return_exceptions=True)
        if down.is_set():
            pulse.beat.write({}, ended=True)
        pulse.beat.close()


async def _tell_end(down: asyncio.Event, teller: Teller) -> None:
    await down.wait()
    teller.stopping()


async def _open_again(home: Path, observer: Observer | None, down: asyncio.Event) -> Journal | None:
    """The journal, as soon as its disk takes it again; None when the daemon is asked to end before."""
    while not down.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(JOURNAL_RETRY_S):
                await down.wait()
        with contextlib.suppress(StateNotWritable):
            return Journal(home, observer=observer)
    return None


async def _drive(
    settings: Settings, journal: Journal, house: House, down: asyncio.Event, ready: Callable[[], None], pulse: Pulse
) -> None:
    """One open journal, until the end or until it breaks; it is closed then."""
    try:
        journal.tell("daemon.up", version=__version__, pid=os.getpid())
        shutil.rmtree(journal.home / "scratch", ignore_errors=True)
        purse = purse_for(journal, settings)
        await take_up(journal, lambda run: purse.repay(run, None))
        house = msgspec.structs.replace(house, purse=purse)
        life = Life(journal, house, settings, {WORK: settings.work.pool(), LANDING: Pool(per_key=1)}, down)
        pulse.engine, pulse.trouble = life.engine, ""
        await life.run(ready, settings.keep.days * DAY_S)
    except (sqlite3.Error, StateNotWritable) as error:
        pulse.trouble = f"the journal can't be written: {error}"
        _say(f"{pulse.trouble}; trying again, runs under way go on")
    finally:
        pulse.engine = None
        journal.close()


def _say(text: str) -> None:
    """Into the daemon's log."""
    print(f"overnight: {text}", file=sys.stderr)


def _watched(work: Coroutine[Any, Any, None], meaning: str) -> asyncio.Task[None]:
    """A chore that nobody waits for: one that breaks must not do so in silence. meaning: of its end, for a person."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _say(f"{meaning} until the daemon is started again: {type(error).__name__}: {error}")

    task = asyncio.create_task(work)
    task.add_done_callback(ended)
    return task


class Life:
    """Engine, socket and housekeeping over one open journal."""

    def __init__(
        self, journal: Journal, house: House, settings: Settings, pools: Mapping[str, Pool], down: asyncio.Event
    ) -> None:
        flows: dict[str, Flow] = {"task": lambda t: carry_out(t, gated)}
        ledger, self._issues_now = Ledger(journal), asyncio.Event()
        wake = Wake(journal, self._issues_now.set)

        def parked(task: str) -> None:
            ledger.rest(task, lambda run: has_begun(journal.home, run))
            wake.parked(task)

        self.engine = Engine(journal, flows, pools, parked=parked)
        self._journal, self._down, self._since = journal, down, time.time()
        self._record = Record(journal, _say)
        self._desk = Desk(journal, self.engine.poke, {**verbs(journal, settings.people, self._record), **wake.verbs()})
        house = admitted(house, journal, self._desk, settings)
        self._gate = Gate(house.fleet, journal.home, told=self._canary_told)
        gated = msgspec.structs.replace(house, fleet=self._gate)
        self._server = Server(journal.home, self._call)
        self._audit = Upkeep(journal.home, self._audit_told, _say)
        without = Redactor(known_secrets(os.environ), settings.redact.patterns)
        self._mornings = Mornings(journal, settings.report, settings.limits.window, without, _say)
        self._daily = settings.report.daily
        self._alerts = Alerts(journal, settings.report.unusual, without, _say, Sleeps(_daily(settings)))
        buttons = PhoneButtons(journal, settings.people, settings.web.url or "")
        self._notifier = Notifier(journal, settings.notify, buttons=buttons)
        self._listeners = Listeners(
            journal, settings.notify, settings.people, self.engine.poke, _say, record=self._record
        )
        self._intake = intake_for(house, settings, journal, self._desk)
        inhibitor = [settings.daemon.inhibitor] if settings.daemon.inhibitor else None
        self._awake = Awake(_say, os.environ, inhibitor) if settings.daemon.inhibit_sleep else None

    async def run(self, ready: Callable[[], None], keep_s: float) -> None:
        """Until the down event; raises what breaks the engine."""
        await self._server.start()
        ready()
        chores = [
            asyncio.create_task(self._wait_for_down()),
            asyncio.create_task(self._sweep_daily(keep_s)),
            asyncio.create_task(self._audit.daily()),
            asyncio.create_task(self._watch_pauses()),
            asyncio.create_task(self._prove_ahead()),
            _watched(self._notifier.run(), "nobody is told anything"),
            _watched(self._listeners.run(), "no phone is heard"),
            _watched(self._record.run(), "people's decisions are not copied to the audit"),
        ]
        if self._intake is not None:
            chores.append(_watched(self._take_up_issues(self._intake), "no issue is taken up"))
        if self._daily:
            chores.append(asyncio.create_task(self._mornings.run()))
        chores.append(asyncio.create_task(self._alerts.run()))
        if self._awake is not None:
            chores.append(_watched(self._keep_awake(self._awake), "the machine is not kept awake"))
        try:
            await self.engine.run()
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            if self._down.is_set():
                await self._audit.sign("stop")
            await self._server.stop()

    async def _wait_for_down(self) -> None:
        await self._down.wait()
        self.engine.close()

    async def _prove_ahead(self) -> None:
        """The canary at the start, if something has changed since it passed: nobody has to wait for the first task."""
        with contextlib.suppress(sqlite3.Error):  # the engine meets it as well, and says so
            await self._gate.ahead(await wanted(self._journal))

    async def _take_up_issues(self, intake: Intake) -> None:
        """Issues with a label become tasks, where a repo's policy says so."""
        while True:
            with contextlib.suppress(sqlite3.Error, StateNotWritable):  # the engine meets it as well, and says so
                await look_at_all(intake, read_repos(self._journal.db), _say)
            self._issues_now.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ISSUES_EVERY_S):
                    await self._issues_now.wait()
                await asyncio.sleep(SOON_S)

    async def _keep_awake(self, awake: Awake) -> None:
        """While tasks are worked on; a machine that waits may sleep."""
        try:
            while True:
                awake.hold(bool(self.engine.live))
                await asyncio.sleep(AWAKE_EVERY_S)
        finally:
            awake.close()

    async def _watch_pauses(self) -> None:
        """A file that comes or goes by hand wakes nobody: tasks that wait for its end would wait for ever."""
        while True:
            await asyncio.sleep(PAUSES_EVERY_S)
            with contextlib.suppress(sqlite3.Error):  # the engine meets it as well, and says so
                if pauses_changed(self._journal):
                    self.engine.poke()

    async def _sweep_daily(self, keep_s: float) -> None:
        while True:
            try:
                for gone in sweeps(self._journal, keep_s, self._journal.home / "archive"):
                    for task in gone:
                        for place in ("runs", "replays", "evidence"):
                            shutil.rmtree(self._journal.home / place / task, ignore_errors=True)
                    await asyncio.sleep(0)  # others have their turn
                self._audit.sweep(keep_s, self._journal_has)
                self._notifier.outbox.sweep(keep_s)
            except (OSError, sqlite3.Error) as error:  # housekeeping is no reason to stop working
                _say(f"what ended long ago could not be swept: {error}")
            await asyncio.sleep(DAY_S)

    def _journal_has(self, task: str) -> bool:
        return self._journal.db.execute("SELECT 1 FROM task WHERE id = ?", (task,)).fetchone() is not None

    def _audit_told(self, made: Made) -> None:
        """In the journal's chain too: one more place that has to be changed by who changes the audit."""
        if made.head is not None:
            self._journal.tell("audit.signed", checkpoint=made.head.lines, digest=made.head.digest, files=made.files)
        for flaw in made.flaws:
            self._journal.tell("audit.broken", why=f"{flaw.file}: {flaw.problem}")

    def _canary_told(self, agent: str, passed: bool, why: str) -> None:
        """What was held for want of a canary goes on with one that passes."""
        self._journal.tell(f"canary.{'passed' if passed else 'failed'}", why=why or agent, agent=agent)
        if passed:
            self._desk.call("release", {"actor": "daemon", "reason": HoldReason.CANARY_FAILED.value})

    def _call(self, verb: str, arguments: dict[str, Any]) -> Any:
        if verb == "ping":
            return {"pid": os.getpid(), "version": __version__, "since": self._since}
        if verb == "shutdown":
            self._down.set()
            return os.getpid()
        return self._desk.call(verb, arguments)


def _daily(settings: Settings) -> dict[str, str]:
    """What happens at a time of every day."""
    found = {"the brief": settings.report.at} if settings.report.daily else {}
    return {**found, "the digest of messages": settings.notify.digest} if settings.notify.targets else found


def detach(home: Path) -> int:
    """Start a daemon that outlives this terminal; its pid once it answers. Raises DaemonUnreachable with its last words."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = home / DAEMON_LOG
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "overnight", "up", "--plain"],
        {**os.environ, "OVERNIGHT_HOME": str(home)},
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until:
        if (state := Client(home).running()) is not None:
            return int(state["pid"])
        if os.waitpid(child, os.WNOHANG)[0]:
            said = log.read_text(errors="replace").strip().splitlines()
            raise DaemonUnreachable(path=f"{home / NAME}: it ended at once: {said[-1] if said else 'it said nothing'}")
        time.sleep(0.02)
    raise DaemonUnreachable(path=home / NAME)
