"""Limits and breakers in the story of tasks, on a clock of the test's own: who starts when, and who does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from test_task_story import Night, task

from overnight.durable.desk import Desk
from overnight.durable.journal import Journal, read_events
from overnight.durable.limits import known
from overnight.fleet.admission import Admission, AdmittedFleet, AdmittedPurse
from overnight.flows.rehearsal import Act, World
from overnight.judge.breaker import State
from overnight.judge.limits import Ceilings
from overnight.missions.hold import HoldReason
from overnight.missions.limits import Contact, Trouble, Window
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec
from overnight.missions.task import Phase
from overnight.ports import Fleet, House

BEGAN = 1_000_000.0
RESET = BEGAN + 3600.0
FULL = Window(name="five-hour", used=1.0, resets=RESET, status="rejected", source="stream", seen=BEGAN)


class Watched:
    """A fleet that notes what starts when, and says what some runs were scripted to end with."""

    def __init__(self, inner: Fleet, night: LimitedNight) -> None:
        self._inner, self._night = inner, night

    async def run(self, spec: RunSpec) -> RunOutcome:
        night, now = self._night, self._night.clock.now()
        night.specs.setdefault(spec.id, spec)
        night.started.setdefault(spec.id, now)
        night.running.add(spec.id)
        try:
            outcome = await self._inner.run(spec)
        finally:
            night.running.discard(spec.id)
        own = night.endings.get(spec.id, outcome)
        return replace(own, run=spec.id, ended=night.clock.now())

    async def stop(self, run: str, why: str) -> None:
        await self._inner.stop(run, why)


class LimitedNight(Night):
    """A night in which accounts have limits. An agent's account is `AGENT direct`."""

    def __init__(
        self, home: Path, world: World, endings: dict[str, RunOutcome], ceilings: Ceilings | None = None
    ) -> None:
        super().__init__(home, world)
        self.endings, self._ceilings = endings, ceilings or Ceilings()
        #: Run -> when it started.
        self.started: dict[str, float] = {}
        self.specs: dict[str, RunSpec] = {}
        self.running: set[str] = set()

    def house(self, journal: Journal) -> House:
        made, desk = super().house(journal), Desk(journal)

        def release(reason: HoldReason, about: str) -> None:
            desk.call("release", {"actor": "daemon", "reason": reason.value, "about": about})

        admission = Admission(
            journal, self._ceilings, lambda agent: f"{agent} direct", self.running.__contains__, release
        )  # fmt: skip
        fleet = AdmittedFleet(Watched(made.fleet, self), admission, lambda run: run in self.started)
        return replace(made, fleet=fleet, purse=AdmittedPurse(made.purse, admission))

    def at(self, when: float) -> None:
        """Go to a time, and see what happens."""
        self.clock.advance(when - self.clock.now())
        self.drive()

    def told(self, what: str) -> list[str]:
        """Reasons of the events of this kind."""
        with self._journal() as journal:
            return [event.why for event in read_events(journal.db) if event.what == what]


def failed(failure: FailureClass, trouble: Trouble | None = None, **more: Any) -> RunOutcome:
    contact = Contact(account="claude direct", **more.pop("contact", {}))
    return RunOutcome(
        run="", end=End.FAILED, failure=failure, trouble=trouble, why="it failed", contact=contact, **more
    )  # fmt: skip


def test_a_limit_that_resets_wakes_exactly_its_tasks(tmp_path: Path) -> None:
    """Not a moment before the reset, each once and at its own time; tasks of another account never wait."""
    used_up = failed(
        FailureClass.LIMIT,
        Trouble.WINDOW,
        until=RESET,
        session="s1",
        turns=3,
        contact={"windows": (FULL,), "answered": BEGAN},
    )
    names = ("a", "b", "c", "d", "other")
    night = LimitedNight(tmp_path, World({name: [Act.GOOD] for name in names}), {"a.1.1": used_up})
    night.submit(task("a", attempts=1))
    night.drive()
    night.submit(*(task(name, attempts=1) for name in names[1:4]), task("other", agent="command"))
    night.drive()
    assert night.phases()["other"] == Phase.LANDED
    assert set(night.started) == {"a.1.1", "other.1.1"}
    assert all("limit-reached" in (night.hold(name) or "") for name in names[:4])
    assert [account.name for account in known(tmp_path)] == ["claude direct"]
    night.at(RESET)
    assert set(night.started) == {"a.1.1", "other.1.1"}
    for second in range(1, 32):
        night.at(RESET + second)
    assert set(night.phases().values()) == {Phase.LANDED}
    woken = {run: at for run, at in night.started.items() if at >= RESET}
    assert set(woken) == {"a.1.2", "b.1.1", "c.1.1", "d.1.1"}
    assert all(RESET < at <= RESET + 31 for at in woken.values())
    assert len(set(woken.values())) > 1
    assert night.specs["a.1.2"].resume == "s1"
    assert night.specs["a.1.2"].resume_of == "a.1.1"
    assert night.specs["b.1.1"].resume is None
    assert night.told("limit.reached") == ["the five-hour window of claude direct is used up"]


def test_an_outage_is_tried_by_one(tmp_path: Path) -> None:
    """While a breaker is open nobody starts; then one tries, again later, and with its success all go on. No attempt is
    burnt, and every life of the engine goes on where the one before was."""
    away = failed(FailureClass.VENDOR, Trouble.OUTAGE, contact={"strikes": 3})
    names = ("a", "b", "c", "d")
    night = LimitedNight(tmp_path, World({name: [Act.GOOD] for name in names}), {"a.1.1": away})
    night.submit(task("a", attempts=1))
    night.drive()
    night.submit(*(task(name, attempts=1) for name in names[1:]))
    night.drive()
    assert set(night.started) == {"a.1.1"}
    (account,) = known(tmp_path)
    assert account.breaker.state(BEGAN) is State.OPEN
    night.endings = {f"{name}.1.{n}": away for name in names for n in range(1, 9)}
    for minute in range(1, 40):
        before = set(night.started)
        night.at(BEGAN + 30.0 * minute)
        assert len(set(night.started) - before) <= 1
    tries = len(night.started)
    assert 4 <= tries <= 12
    assert night.told("breaker.closed") == []
    night.endings = {}
    for minute in range(1, 60):
        night.at(BEGAN + 1200.0 + 30.0 * minute)
    assert set(night.phases().values()) == {Phase.LANDED}
    assert night.told("breaker.closed") == ["claude direct works again"]
    assert len(night.told("breaker.opened")) == tries


def test_a_refused_login_is_told_once_and_waits_for_a_person(tmp_path: Path) -> None:
    """No time tries it again; a person who resumes one task lets all of them go on."""
    refused = failed(FailureClass.AUTH)
    night = LimitedNight(tmp_path, World({name: [Act.GOOD] for name in "abc"}), {"a.1.1": refused})
    night.submit(task("a", attempts=1))
    night.drive()
    night.submit(task("b", attempts=1), task("c", attempts=1))
    night.drive()
    night.at(BEGAN + 86_400.0)
    assert set(night.started) == {"a.1.1"}
    assert all("auth-expired" in (night.hold(name) or "") for name in "abc")
    assert len(night.told("breaker.opened")) == 1
    with night._journal() as journal:
        Desk(journal).call("resume", {"actor": "person", "task": "b"})
    night.at(BEGAN + 86_401.0)
    assert set(night.phases().values()) == {Phase.LANDED}
    assert night.told("breaker.half-open") == ["b.1.1 tries claude direct"]


def test_a_ceiling_keeps_a_share_until_a_person_lifts_it(tmp_path: Path) -> None:
    """From `start_below` on nothing starts before the window begins anew, unless a person says so."""
    known_ = replace(FULL, used=0.85, status="allowed")
    seen = RunOutcome(
        run="",
        end=End.COMPLETED,
        why="done",
        contact=Contact(account="claude direct", windows=(known_,), answered=BEGAN),
    )
    world = World({name: [Act.GOOD] for name in "abc"})
    night = LimitedNight(tmp_path, world, {"a.1.1": seen}, Ceilings(start_below=80))
    night.submit(task("a"))
    night.drive()
    night.submit(task("b"))
    night.drive()
    assert set(night.started) == {"a.1.1"}
    assert "85% used, and runs start below 80 % only" in (night.hold("b") or "")
    with night._journal() as journal:
        desk = Desk(journal)
        lifted = {"actor": "person", "kind": "ceiling", "key": "lifted", "value": {"until": BEGAN + 600}}
        desk.call("put", lifted)
        desk.call("release", {"actor": "person", "reason": "limit-reached"})
    night.at(BEGAN + 10)
    assert night.phases()["b"] == Phase.LANDED
    night.submit(task("c"))
    night.at(BEGAN + 700)
    assert "c.1.1" not in night.started
    night.at(RESET + 31)
    assert night.phases()["c"] == Phase.LANDED
