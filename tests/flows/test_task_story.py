"""The story of a task on a scripted world: every ending, and every kill in between."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.journal import Journal, verify_journal
from overnight.durable.pools import Pool
from overnight.flows.landing import LANDING
from overnight.flows.rehearsal import POLICY, Act, World
from overnight.flows.task import WORK, carry_out
from overnight.missions.brief import RULES, write_prompt
from overnight.missions.clarify import Clarify, assess, heard
from overnight.missions.codec import builtins
from overnight.missions.context import ContextLimits
from overnight.missions.question import Question
from overnight.missions.run import Attempt, End, FailureClass, Result, RunOutcome
from overnight.missions.task import Phase, Repo, Task
from overnight.ports import House
from overnight.report.story import story

REPO = Repo(name="r", path="/r", target="main")


VAGUE = Task(id="vague", repo=REPO, title="Make it better", text="Make it better")


class Killed(BaseException):
    """kill -9, as far as one process can do it to itself."""


class Night:
    """A journal, a world, and engines that come and go."""

    def __init__(self, home: Path, world: World) -> None:
        self.home, self.world, self.clock = home, world, ManualClock()
        self.points = 0
        self.kill_at: frozenset[int] = frozenset()
        self.between: Callable[[Desk, int], None] = lambda _desk, _point: None
        world.during = lambda what: self._point("during", what)
        self._desk: Desk | None = None
        self._dead = False

    def submit(self, *tasks: Task) -> None:
        with self._journal() as journal:
            for task in tasks:
                self._submit(Desk(journal), task)

    def _submit(self, desk: Desk, task: Task) -> None:
        arguments = {
            "id": task.id,
            "flow": "task",
            "lane": "r",
            "input": builtins(task),
            "phase": Phase.QUEUED,
            "pool": WORK,
        }
        desk.call("submit", {**arguments, "actor": "test"})

    def _point(self, _moment: str, _label: str) -> None:
        """One instant of the night; some of them are the last of a process."""
        if self._dead:
            raise Killed
        self.points += 1
        if self.points in self.kill_at:
            self._dead = True
            raise Killed

    @contextlib.contextmanager
    def _journal(self) -> Generator[Journal]:
        journal = Journal(self.home, clock=self.clock)
        try:
            yield journal
        finally:
            journal.close()

    def drive(self) -> None:
        """Engines one after another until nothing moves any more."""
        for _ in range(60):
            self._dead = False
            with contextlib.suppress(Killed):
                asyncio.run(self._until_quiet())
                return
        raise AssertionError("the night does not end")

    async def _until_quiet(self) -> None:
        journal = Journal(self.home, clock=self.clock, observer=self._point)
        engine = Engine(
            journal,
            {"task": lambda t: carry_out(t, self.house(journal))},
            {WORK: Pool(total=2), LANDING: Pool(per_key=1)},
            parked=lambda task: self.parked(journal, task),
        )
        desk = Desk(journal, engine.poke)
        driving = asyncio.create_task(engine.run())
        try:
            quiet = 0
            while quiet < 30 and not driving.done():
                await asyncio.sleep(0)
                self._meddle(desk)
                quiet = 0 if engine.live else quiet + 1
            if driving.done():
                driving.result()
        finally:
            self._dead = True  # nothing that unwinds from here on may touch the world or the journal
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
            journal.close()

    def house(self, _journal: Journal) -> House:
        """The ports of one engine's life."""
        return self.world.house()

    def parked(self, _journal: Journal, _task: str) -> None:
        """Told of each task that parks."""

    def _meddle(self, desk: Desk) -> None:
        self.between(desk, self.points)

    def phases(self) -> Mapping[str, str]:
        with self._journal() as journal:
            return {row["id"]: row["phase"] for row in journal.db.execute("SELECT id, phase FROM task")}

    def hold(self, task: str) -> str | None:
        with self._journal() as journal:
            row = journal.db.execute("SELECT hold FROM task WHERE id = ?", (task,)).fetchone()
            return row["hold"]

    def slots(self) -> int:
        with self._journal() as journal:
            return journal.db.execute("SELECT count(*) FROM slot WHERE released IS NULL").fetchone()[0]

    def call(self, verb: str, **arguments: object) -> None:
        with self._journal() as journal:
            Desk(journal).call(verb, {**arguments, "actor": "test"})


def task(id: str, **more: object) -> Task:  # noqa: A002
    return Task(id=id, repo=REPO, title=id, text=f"do {id}", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("script", "phase", "runs"),
    [
        ([Act.GOOD], Phase.LANDED, 1),
        ([Act.BREAKS, Act.GOOD], Phase.LANDED, 2),
        ([Act.NOTHING], Phase.FAILED, 3),
        ([Act.BREAKS], Phase.FAILED, 3),
        ([Act.LOST, Act.LOST, Act.GOOD], Phase.LANDED, 3),
        ([Act.CONFLICTS, Act.GOOD], Phase.LANDED, 2),
    ],
)
def test_every_script_ends_as_it_must(tmp_path: Path, script: Sequence[Act], phase: Phase, runs: int) -> None:
    """Proved work lands, unproved work fails after its attempts, lost runs cost nothing."""
    world = World({"a": script})
    night = Night(tmp_path, world)
    night.submit(task("a"))
    night.drive()
    assert night.phases() == {"a": phase}
    assert sum(world.agents.values()) == runs
    assert world.landed["a"] == (phase is Phase.LANDED)
    assert not world.worktrees


def test_a_limit_parks_the_task_and_wakes_it(tmp_path: Path) -> None:
    """A run that hits a limit holds until its reset, then another run lands; no attempt is spent."""
    world = World({"a": [Act.LIMIT, Act.GOOD]})
    night = Night(tmp_path, world)
    night.submit(task("a", attempts=1))
    night.drive()
    assert '"limit-reached"' in (night.hold("a") or "")
    night.clock.advance(700)
    night.drive()
    assert night.phases() == {"a": Phase.LANDED}


def test_a_run_that_gets_nowhere_hands_its_blocker_on(tmp_path: Path) -> None:
    """The next run reads what stood in the way; after the attempts a person is asked, and each resume is one more run."""
    world = World({"a": [Act.STUCK, Act.STUCK, Act.STUCK, Act.GOOD]})
    night = Night(tmp_path, world)
    night.submit(task("a", attempts=2))
    night.drive()
    assert sum(world.agents.values()) == 2
    assert '"stuck"' in (night.hold("a") or "")
    assert "it goes in circles (after 2 attempts)" in (night.hold("a") or "")
    night.call("resume", task="a")
    night.drive()
    assert (sum(world.agents.values()), '"stuck"' in (night.hold("a") or "")) == (3, True)
    night.call("resume", task="a")
    night.drive()
    assert night.phases() == {"a": Phase.LANDED}


def test_hand_overs_cost_no_attempt_and_pass_the_notes_on(tmp_path: Path) -> None:
    """A full context is no failure: the next run begins with the notes of the last, in its prompt and in its file."""
    world = World({"a": [Act.HANDS_OVER, Act.HANDS_OVER, Act.GOOD]})
    night = Night(tmp_path, world)
    night.submit(task("a", attempts=1))
    night.drive()
    assert night.phases() == {"a": Phase.LANDED}
    assert [spec.memory for spec in world.specs.values()] == [
        "",
        "## Next\n- go on from a.1.1\n",
        "## Next\n- go on from a.1.2\n",
    ]
    last = world.specs["a.1.3"].prompt
    assert "> - go on from a.1.2" in last
    assert "handed over to you" in last
    assert "not good enough" not in last
    told = story(tmp_path, "a")
    assert [moment.why for moment in told.moments if moment.what == "run.handed-over"] == ["its context is full"] * 2


def test_too_many_hand_overs_wait_for_a_person(tmp_path: Path) -> None:
    """In a row, not altogether; each resume is one more run."""
    context = ContextLimits(hand_overs=2)
    policy = replace(POLICY, limits=replace(POLICY.limits, context=context))
    over, lost = Act.HANDS_OVER, Act.LOST
    world = World({"a": [over, over, lost, over, over, over, over, Act.GOOD]}, policy)
    night = Night(tmp_path, world)
    night.submit(task("a", attempts=1))
    night.drive()
    assert (sum(world.agents.values()), '"stuck"' in (night.hold("a") or "")) == (6, True)
    assert "full 3 times in a row" in (night.hold("a") or "")
    night.call("resume", task="a")
    night.drive()
    assert (sum(world.agents.values()), '"stuck"' in (night.hold("a") or "")) == (7, True)
    night.call("resume", task="a")
    night.drive()
    assert night.phases() == {"a": Phase.LANDED}


def test_what_must_not_be_lost_is_in_every_spec(tmp_path: Path) -> None:
    """The core holds the task, its paths and the rules word for word, and nothing of what happened before."""
    world = World({"a": [Act.BREAKS, Act.GOOD]})
    night = Night(tmp_path, world)
    night.submit(task("a", acceptance=("it prints 1",), paths=("src/**",)))
    night.drive()
    for spec in world.specs.values():
        for words in ("do a", "- it prints 1", "- `src/**`", RULES.strip()):
            assert words in spec.core
            assert words in spec.prompt
        assert "What happened before" not in spec.core
        assert spec.repository == "/r"


def test_the_next_brief_quotes_the_blocker() -> None:
    """Word for word, as a quotation: it holds what an agent said and did."""
    outcome = RunOutcome(
        run="a.1.1", end=End.STOPPED_BY_LIMIT, failure=FailureClass.STUCK, why="w", blocker="one\n# not a heading"
    )
    attempt = Attempt(n=1, outcome=outcome, result=Result(commit="c", ref="r"))
    prompt = write_prompt(task("a", paths=("src/**",)), POLICY, attempts=[attempt], why="w")
    assert "> one\n> # not a heading" in prompt
    assert "- `src/**`" in prompt
    assert "> one" not in write_prompt(task("a"), POLICY)


def test_a_question_waits_for_its_answer(tmp_path: Path) -> None:
    """A blocked agent holds its task until a person answers; the answer is in the next prompt."""
    world = World({"a": [Act.BLOCKED, Act.GOOD]})
    night = Night(tmp_path, world)
    night.submit(task("a"))
    night.drive()
    assert "which colour?" in (night.hold("a") or "")
    night.call("signal", task="a", name="answer", payload="green")
    night.drive()
    assert night.phases() == {"a": Phase.LANDED}


def test_what_runs_would_have_asked_is_filed_once(tmp_path: Path) -> None:
    """A question that two runs came with is one event and one question of the task, with the lines that allow it."""
    one, two = (
        Question(
            id=f"a.q{n}", task="a", run="a.1.1", text=f"May it? {n}", choices=("no",), default="no", data="rm x",
            rule="install.remove", where="config.toml", allow='[guard.install]\nremove = "allow"',
        )
        for n in "12"
    )  # fmt: skip
    world = World({"a": [Act.LOST, Act.GOOD]})
    lost = RunOutcome(run="a.1.1", end=End.LOST, failure=FailureClass.MACHINE, why="lost", questions=(one,))
    done = RunOutcome(run="a.1.2", end=End.COMPLETED, why="says it is done", said="Done!", questions=(one, two))
    world.outcomes |= {"a.1.1": lost, "a.1.2": done}
    night = Night(tmp_path, world)
    night.submit(task("a"))
    night.drive()
    assert night.phases() == {"a": Phase.LANDED}
    told = story(tmp_path, "a")
    assert told.row.questions == (one, two)
    assert [moment.why for moment in told.moments if moment.what == "question.asked"] == [one.text, two.text]


def test_a_second_conflict_waits_for_a_person(tmp_path: Path) -> None:
    """One run may mend a conflict; then the task holds, and resuming it gives one more run."""
    world = World({"a": [Act.CONFLICTS, Act.CONFLICTS, Act.GOOD]})
    night = Night(tmp_path, world)
    night.submit(task("a"))
    night.drive()
    assert '"conflict"' in (night.hold("a") or "")
    night.call("resume", task="a")
    night.drive()
    assert night.phases() == {"a": Phase.LANDED}


def test_a_dependency_lands_first(tmp_path: Path) -> None:
    """A task that waits for another starts when that one has landed, and holds when it failed."""
    world = World({"a": [Act.NOTHING, Act.NOTHING, Act.NOTHING, Act.GOOD], "b": [Act.GOOD]})
    night = Night(tmp_path, world)
    night.submit(task("b", after=("a",)), task("a"))
    night.drive()
    assert night.phases() == {"a": Phase.FAILED, "b": Phase.QUEUED}
    world.scripts = {"a": [Act.GOOD], "b": [Act.GOOD]}
    night.call("retry", task="a", phase=Phase.QUEUED, good=Phase.LANDED)
    night.drive()
    assert night.phases() == {"a": Phase.LANDED, "b": Phase.LANDED}
    assert world.target[-1].startswith("merge b")


SCRIPTS = [[Act.GOOD], [Act.BREAKS, Act.GOOD], [Act.CONFLICTS, Act.GOOD], [Act.NOTHING], [Act.HANDS_OVER, Act.GOOD]]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: "-".join(s))
def test_killed_at_every_point_of_its_life(script: Sequence[Act]) -> None:
    """Killed before and after every commit and inside every act on the world, a task ends the same, once."""
    total = _a_night(script, frozenset())
    assert total > 20
    for point in range(1, total + 1):
        _a_night(script, frozenset({point}))


def _a_night(script: Sequence[Act], kill_at: frozenset[int]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        world = World({"a": script})
        night = Night(Path(folder), world)
        night.submit(task("a"))
        night.kill_at = kill_at
        night.drive()
        landed = script[-1] is not Act.NOTHING
        assert night.phases() == {"a": Phase.LANDED if landed else Phase.FAILED}, kill_at
        assert world.landed["a"] == landed, kill_at
        assert set(world.agents.values()) == {1}, kill_at
        assert not world.worktrees
        assert night.slots() == 0
        verify_journal(Path(folder) / "journal.db")
        return night.points


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    scripts=st.lists(st.sampled_from([*SCRIPTS, [Act.LOST, Act.GOOD]]), min_size=1, max_size=3),
    kills=st.sets(st.integers(1, 150), max_size=6),
    meddling=st.lists(
        st.tuples(st.integers(1, 120), st.sampled_from(["pause", "stop", "cancel", "resume"]), st.integers(0, 2)),
        max_size=5,
    ),
)
def test_any_interleaving_ends_well(
    scripts: list[list[Act]], kills: set[int], meddling: list[tuple[int, str, int]]
) -> None:
    """Several tasks, kills, pauses and cancels in any order: each lands at most once, nothing is left behind."""
    with tempfile.TemporaryDirectory() as folder:
        ids = [f"t{n}" for n in range(len(scripts))]
        world = World(dict(zip(ids, scripts, strict=True)))
        night = Night(Path(folder), world)
        night.submit(*(task(id) for id in ids))  # noqa: A001
        night.kill_at = frozenset(kills)
        todo = sorted(meddling)
        cancelled: set[str] = set()

        def between(desk: Desk, point: int) -> None:
            while todo and todo[0][0] <= point:
                _, verb, n = todo.pop(0)
                who = ids[n % len(ids)]
                if verb == "cancel":
                    cancelled.add(who)
                meddle(desk, verb, who)

        night.between = between
        night.drive()
        night.kill_at, night.between = frozenset(), lambda _desk, _point: None
        for _ in range(2):
            for id in ids:  # noqa: A001
                if night.phases()[id] not in (Phase.LANDED, Phase.FAILED, Phase.CANCELLED):
                    night.call("resume", task=id)
            night.drive()
        for id, script in zip(ids, scripts, strict=True):  # noqa: A001
            phase, landed = night.phases()[id], script[-1] is not Act.NOTHING
            if phase == Phase.CANCELLED:
                assert id in cancelled
            else:
                assert phase == (Phase.LANDED if landed else Phase.FAILED)
            assert world.landed[id] == (phase == Phase.LANDED)
        assert set(world.agents.values()) <= {1}
        assert not world.worktrees
        assert night.slots() == 0
        verify_journal(Path(folder) / "journal.db")


def meddle(desk: Desk, verb: str, who: str) -> None:
    """What a person may say to a task, at any time."""
    from overnight.errors import BadState

    with contextlib.suppress(BadState):
        if verb == "resume":
            desk.call("resume", {"actor": "test", "task": who})
        else:
            desk.call("want", {"actor": "test", "task": who, "want": verb})


def test_a_vague_task_is_asked_about_before_anything_is_spent(tmp_path: Path) -> None:
    """It holds with its questions, no run is begun and no slot is kept; after the answer it lands."""
    world = World({"vague": [Act.GOOD]}, replace(POLICY, clarify=Clarify()))
    night = Night(tmp_path, world)
    night.submit(VAGUE)
    night.drive()
    assert "How will you see that it is done?" in (night.hold("vague") or "")
    assert (night.slots(), world.agents.total()) == (0, 0)
    night.call("signal", task="vague", name="answer", payload="defaults")
    night.drive()
    assert night.phases() == {"vague": Phase.LANDED}


def test_a_task_taken_as_it_is_is_not_asked_about(tmp_path: Path) -> None:
    """Whoever says that it is clear is believed."""
    night = Night(tmp_path, World({"vague": [Act.GOOD]}, replace(POLICY, clarify=Clarify())))
    night.submit(replace(VAGUE, as_is=True))
    night.drive()
    assert night.phases() == {"vague": Phase.LANDED}


def test_what_was_answered_is_in_the_brief() -> None:
    """The agent is told each question with its answer, word for word."""
    answered = heard(assess("Make it better").questions, "1=it prints 1")
    brief = write_prompt(VAGUE, POLICY, clarified=answered)
    assert "## What the person answered when asked\n- How will you see that it is done? it prints 1\n" in brief
