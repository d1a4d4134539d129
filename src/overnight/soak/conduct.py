"""The soak itself: feeds tasks, does faults, answers as a person, watches, and looks at the end what is left."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from overnight.errors import OvernightError
from overnight.missions.approval import Action, Redeemed
from overnight.missions.codec import builtins
from overnight.missions.hold import HoldReason
from overnight.missions.task import Phase, Repo, Task
from overnight.people.operators import CLI, cli_operator
from overnight.people.verbs import read_redeemed
from overnight.report.status import unended
from overnight.report.story import story
from overnight.report.views import HoldView, TaskRow
from overnight.soak import gather
from overnight.soak.facts import Facts, Hit
from overnight.soak.faults import PATIENCE_S, Faults, Impossible, NothingThere, Under
from overnight.soak.model import ModelServer, read_log
from overnight.soak.plan import REPOS, Chore, Fault, Kind, Order, blows, chores
from overnight.soak.processes import Sampler, belonging, send
from overnight.soak.stage import Stage, discard, keep, make
from overnight.soak.system import NotNow, System
from overnight.soak.verdicts import Verdict, failed, judge

TICK_S = 0.2
#: Seconds between two samples, two looks as a person, and two looks at what must always hold.
SAMPLE_S, PERSON_S, CHECK_S = 2.0, 1.0, 20.0
#: Tasks that have not ended; from so many on no more are submitted.
BACKLOG = 24
#: What ends late ends within this time after the end, at least, or as a part of the duration.
DRAIN_S, DRAIN_PART = 300.0, 0.3
#: A held task is tried again by the person so often while everything is to end.
NUDGE_S = 5.0
_GRACE_S = 5.0


class Progress(Struct, frozen=True, kw_only=True):
    """Where it stands, for whoever looks on."""

    at: float
    stage: str
    submitted: int
    planned: int
    ended: Mapping[str, int]
    going: int
    hits: int
    blows: int
    last: str
    broken: tuple[str, ...]


class Result(Struct, frozen=True, kw_only=True):
    """What came of it."""

    facts: Facts
    verdicts: tuple[Verdict, ...]
    #: Epoch seconds.
    began: float
    ended: float
    #: Seconds from the last fault or task until everything had ended; None when it had not.
    drained: float | None
    interrupted: bool
    folder: str
    samples: int


class Soak:
    """One soak, in a folder of its own."""

    def __init__(self, order: Order, folder: Path, box: str, watch: Callable[[Progress], None]) -> None:
        self._order, self._watch = order, watch
        self._model = ModelServer(_made(folder) / "model.ndjson")
        self._model.start()
        fills, jumps = Fault.DISK_FULL in order.faults, Fault.CLOCK_JUMP in order.faults
        self.stage: Stage = make(folder, self._model.url, box, fills=fills, jumps=jumps)
        self._system = System(self.stage)
        self._faults = Faults(self._system, self._model, order.seed, order.cli)
        self._todo, self._blows = list(chores(order)), list(blows(order))
        self._planned, self._all_blows = len(self._todo), len(self._blows)
        self._sent: list[Chore] = []
        self._under: list[Under] = []
        self._hits: list[Hit] = []
        self._decided: dict[str, tuple[bool, str]] = {}
        self._resumed: Counter[str] = Counter()
        self._nudged: dict[str, float] = {}
        self._sampler, self._samples, self._checks = Sampler(), 0, 0
        self._on_the_way: list[tuple[float, str]] = []
        self._stop = False
        self._kept = self.stage.disk
        self._due: dict[str, float] = {}
        self._last = ""
        self._rows: tuple[TaskRow, ...] = ()
        self._ended: Counter[str] = Counter()
        self._user = pwd.getpwuid(os.getuid()).pw_name
        self._began = time.time()
        self._zero = time.monotonic()

    def stop(self) -> None:
        """End it soon, with a report of what was so far. May be called from a signal handler."""
        self._stop = True

    def keep(self) -> None:
        """Leave what it made where it can be looked at."""
        self._kept = keep(self.stage)

    def discard(self) -> None:
        """Leave nothing."""
        discard(self.stage)

    def look(self) -> str:
        """How to look at what was left, as words for a shell."""
        return f"OVERNIGHT_HOME={self._kept / 'state'} overnight status"

    def run(self) -> Result:
        """The whole of it. Whatever it started is ended when this returns or raises."""
        drained = None
        try:
            self._prepare()
            self._began, self._zero = time.time(), time.monotonic()
            while not self._stop and self._now < self._order.seconds:
                self._turn()
            self._calm()
            drained = None if self._stop else self._drain()
            self._sample()
        finally:
            self._calm()
            self._system.end()
            self._model.end()
        return self._result(drained)

    # -- turns ----------------------------------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return time.monotonic() - self._zero

    def _prepare(self) -> None:
        self._tell("playing the canary")
        for agent in ("command", *(("claude",) if self._order.cli else ())):
            self._system.play_canary(agent)
        until = time.monotonic() + 120
        self._tell("starting the daemon")
        while self._system.beat() is None and not self._stop and time.monotonic() < until:
            self._system.keep_up()
            time.sleep(TICK_S)
        if self._stop:
            return
        for name in REPOS:
            self._system.overnight("repo", "add", str(self.stage.repo(name)), "--name", name)

    def _turn(self, *, draining: bool = False) -> None:
        self._system.keep_up()
        self._end_faults()
        if not draining:
            self._do_faults()
        if not self._stands_still():
            if not draining:
                self._feed()
            self._every("person", PERSON_S, lambda: self._be_a_person(draining))
        self._every("sample", SAMPLE_S, self._sample)
        self._every("check", CHECK_S, self._check)
        self._tell("every task is to end" if draining else "at work")
        time.sleep(TICK_S)

    def _every(self, what: str, seconds: float, do: Callable[[], None]) -> None:
        if self._now >= self._due.get(what, 0.0):
            do()
            self._due[what] = self._now + seconds

    def _stands_still(self) -> bool:
        """Whoever asks a daemon that is stopped waits for an answer; and on a full disk there is nothing to ask for."""
        stopped = (Fault.STOP_DAEMON, Fault.HANG_DAEMON)
        return any(each.blow.fault in stopped and each.recovered is None for each in self._under)

    def _tell(self, stage: str) -> None:
        self._watch(
            Progress(
                at=self._now, stage=stage, submitted=len(self._sent), planned=self._planned, ended=dict(self._ended),
                going=len(self._rows), hits=len(self._hits) + len(self._under), blows=self._all_blows, last=self._last,
                broken=tuple(words for _, words in self._on_the_way[-3:]),
            )
        )  # fmt: skip

    # -- tasks ----------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        while self._todo and self._todo[0].at <= self._now and len(self._rows) < BACKLOG:
            chore = self._todo[0]
            try:
                self._submit(chore)
            except NotNow as error:
                self._last = str(error)
                return
            self._sent.append(self._todo.pop(0))

    def _submit(self, chore: Chore) -> None:
        path = f"db/migrations/{chore.id}.sql" if chore.kind is Kind.ASK else f"work/{chore.id}.txt"
        path = "shared.txt" if chore.kind is Kind.CLASH else path
        text = f"Write this task's word into `{path}` and commit it.\n\nsoak: {chore.kind} {chore.id} {chore.takes} .\n"
        repo = Repo(name=chore.repo, path=str(self.stage.repo(chore.repo)), target=gather.TARGET)
        agent = "claude" if chore.kind is Kind.CLI else None
        task = Task(
            id=chore.id, repo=repo, title=f"Write {path}", text=text, agent=agent, as_is=True, priority=int(chore.first)
        )
        self._system.ask(
            "submit", id=chore.id, flow="task", lane=chore.repo, input=builtins(task), phase=Phase.QUEUED, pool="work",
            priority=task.priority, why=task.title,
        )  # fmt: skip

    def _be_a_person(self, draining: bool) -> None:
        """Decide what waits for a decision, and try again what only a person does."""
        with contextlib.suppress(OvernightError, sqlite3.Error):
            self._rows = unended(self.stage.home)
            rows = gather.read_rows(self.stage.home)
            self._ended = Counter(rows.phases[task] for task in rows.over)
        kinds = {chore.id: chore for chore in self._sent}
        for row in self._rows:
            if row.hold is None or row.id not in kinds:
                continue
            try:
                if row.hold.reason == HoldReason.NEEDS_APPROVAL:
                    self._decide(kinds[row.id])
                elif row.hold.needs_person or draining:
                    self._nudge(row, row.hold)
            except NotNow as error:
                self._last = str(error)

    def _decide(self, chore: Chore) -> None:
        """By the same way as from anywhere else: a ticket for the user of this machine, used at once."""
        try:
            told = story(self.stage.home, chore.id)
        except (OvernightError, sqlite3.Error) as error:
            raise NotNow(str(error)) from error
        commit = next((run.examined.commit for run in reversed(told.runs) if run.examined is not None), None)
        if commit is None:
            return
        action = Action.LAND if chore.approves else Action.REJECT
        token = self._system.ask(
            "issue", ask=chore.id, operator=cli_operator(self._user), action=action, commit=commit, lifetime=60.0
        )
        said = self._system.ask("redeem", token=token, sender=self._user, channel=CLI, why="the soak decides")
        if isinstance(read_redeemed(said), Redeemed):
            self._decided[chore.id] = (chore.approves, commit)

    def _nudge(self, row: TaskRow, hold: HoldView) -> None:
        """Each is counted, since it could hide one that would not have passed by itself."""
        if self._now - self._nudged.get(row.id, -NUDGE_S) < NUDGE_S:
            return
        self._nudged[row.id] = self._now
        self._system.ask("resume", task=row.id)
        self._resumed[str(hold.reason) if hold.needs_person else f"{hold.reason} (in the end, before its time)"] += 1

    # -- faults ---------------------------------------------------------------------------------------------

    def _do_faults(self) -> None:
        if not self._blows or self._blows[0].at > self._now or any(u.lift is not None for u in self._under):
            return
        blow = self._blows[0]
        try:
            self._under.append(self._faults.do(blow, self._now))
        except Impossible as error:
            self._hits.append(Hit(n=blow.n, fault=blow.fault, at=round(self._now, 1), impossible=str(error)))
        except NothingThere:
            if self._now < blow.at + PATIENCE_S:
                return
            why = "nothing that it could hit was there at the time"
            self._hits.append(Hit(n=blow.n, fault=blow.fault, at=round(self._now, 1), impossible=why))
        self._blows.pop(0)
        self._last = f"fault {blow.n}: {blow.fault}"

    def _end_faults(self, *, at_once: bool = False) -> None:
        for under in list(self._under):
            if under.lift is not None and (at_once or (under.ends is not None and time.time() >= under.ends)):
                under.lift()
                under.lift = None
                under.ends = under.since = time.time()
            if under.since is None or under.back is None:
                continue
            with contextlib.suppress(OvernightError, sqlite3.Error, OSError):
                if under.back(under.since):
                    under.recovered = time.time() - under.since
            if under.recovered is not None:
                self._under.remove(under)
                self._hits.append(under.hit())

    def _calm(self) -> None:
        self._end_faults(at_once=True)

    def _drain(self) -> float | None:
        """Seconds until every task had ended and everything was back; None when that did not come."""
        begun = self._now
        until = begun + max(DRAIN_S, self._order.seconds * DRAIN_PART)
        self._due.pop("person", None)
        while not self._stop and self._now < until:
            self._turn(draining=True)
            if not self._rows and not self._under:
                return self._now - begun
        return None

    # -- looks ----------------------------------------------------------------------------------------------

    def _sample(self) -> None:
        beat = self._system.beat()
        for role, pid in (
            ("daemon", beat.pid if beat else None), ("watchdog", self._system.watchdog), ("pages", self._system.pages)
        ):  # fmt: skip
            if pid is not None:
                self._sampler.take(self._now, role, pid)
        self._samples += 1

    def _check(self) -> None:
        """What must hold at every instant."""
        try:
            found = failed(judge(self._facts(deep=False), over=False))
        except (OvernightError, sqlite3.Error, OSError):
            return  # a fault goes on: nothing could be seen
        self._checks += 1
        for words in (words for verdict in found for words in verdict.broken):
            if all(words != seen for _, seen in self._on_the_way):
                self._on_the_way.append((round(self._now, 1), words))

    def _facts(self, *, deep: bool) -> Facts:
        home, sent = self.stage.home, self._sent
        rows = gather.read_rows(home)  # first: what lands after this look is not over in it
        runs, served = gather.read_runs(home), read_log(self._model.log)
        targets = gather.read_targets(self.stage, sent, runs, served, deep=deep)
        known = {chore.id for chore in sent}
        facts = Facts(
            tasks=gather.task_facts(sent, rows, targets, runs, served, self._decided),
            repos=tuple(target.fact for target in targets.values()),
            unknown=tuple(sorted(set(rows.phases) - known)),
            events=rows.events,
            journal=gather.chain_problem(home),
            seen=tuple(self._on_the_way) if deep else (),
            looks=self._checks if deep else 0,
            stray=sum(each.tokens for each in served if each.task not in known),
        )
        if not deep:
            return facts
        return msgspec.structs.replace(
            facts, hits=tuple(sorted((*self._hits, *(u.hit() for u in self._under)), key=lambda hit: hit.n)),
            audit=gather.audit_problem(home), processes=self._left(), folders=gather.leftovers(self.stage, known),
            lives=self._sampler.lives(), resumed=dict(self._resumed), starts=self._system.starts,
            watchdog_starts=self._system.foreign,
        )  # fmt: skip

    def _left(self) -> tuple[str, ...]:
        """Processes that are still there after they had time to go; they are ended then."""
        until = time.monotonic() + _GRACE_S
        while (found := list(belonging(self.stage.folder, self.stage.disk))) and time.monotonic() < until:
            time.sleep(TICK_S)
        for pid, _ in found:
            send(pid, signal.SIGKILL)
        return tuple(line for _, line in found)

    def _result(self, drained: float | None) -> Result:
        facts = self._facts(deep=True)
        return Result(
            facts=facts, verdicts=judge(facts, over=not self._stop), began=self._began, ended=time.time(),
            drained=drained, interrupted=self._stop, folder=str(self.stage.folder),
            samples=self._samples,
        )  # fmt: skip


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
