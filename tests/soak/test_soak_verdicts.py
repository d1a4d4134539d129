"""What the soak makes of a world: each promise can be seen broken, and a sound world is not."""

from __future__ import annotations

import msgspec
import pytest

from overnight.soak.facts import Facts, Hit, Life, RepoFact, TaskFact
from overnight.soak.plan import Fault, Kind
from overnight.soak.verdicts import failed, fit, judge, percentile, slopes

COMMIT = "a" * 40


def landed(**changes: object) -> TaskFact:
    """A task that landed as it should."""
    task = TaskFact(
        id="s1-0001-land", kind=Kind.LAND, repo="alpha", phase="landed", ends=1, wanted="landed", marks=1, landings=1,
        runs=1, served=100, spent=100,
    )  # fmt: skip
    return msgspec.structs.replace(task, **changes)


def asked(**changes: object) -> TaskFact:
    """A task that a person approved, and that landed."""
    task = landed(id="s1-0002-ask", kind=Kind.ASK, decided=(True, COMMIT), approved_is_in=True)
    return msgspec.structs.replace(task, **changes)


def life(role: str, memory: float, files: float, seconds: float = 600.0) -> Life:
    """A process whose memory (bytes) and open files grow by so much in a second."""
    times = [n * 2.0 for n in range(int(seconds / 2))]
    return Life(role=role, pid=7, samples=tuple((t, int(50e6 + memory * t), int(20 + files * t)) for t in times))


def world(**changes: object) -> Facts:
    """A sound one."""
    facts = Facts(
        tasks=(landed(), asked(), asked(id="s1-0003-ask", phase="rejected", wanted="rejected", marks=0, landings=0,
                                        decided=(False, COMMIT), approved_is_in=False)),
        repos=(RepoFact(name="alpha", commits=3), RepoFact(name="beta")),
        hits=(
            Hit(n=1, fault=Fault.KILL_DAEMON, at=1.0, recovered=2.0),
            Hit(n=2, fault=Fault.CLOCK_JUMP, at=2.0, impossible="no"),
        ),
        lives=(life("daemon", 100.0, 0.0), life("watchdog", 0.0, 0.0)),
        events=10,
        looks=4,
    )  # fmt: skip
    return msgspec.structs.replace(facts, **changes)


def broken(facts: Facts, *, over: bool = True) -> set[str]:
    """Keys of the verdicts that say no."""
    return {verdict.key for verdict in failed(judge(facts, over=over))}


def test_a_sound_world_is_sound() -> None:
    """Nothing is called broken or unknown where all was kept."""
    assert [verdict.kept for verdict in judge(world(), over=True)] == [True] * 14


def of(task: TaskFact) -> Facts:
    """A world whose first task is this."""
    return world(tasks=(task, *world().tasks[1:]))


def repo(**changes: object) -> Facts:
    """A world whose first repository is different."""
    return world(repos=(msgspec.structs.replace(RepoFact(name="alpha"), **changes),))


CASES = {
    "landed twice, by its files": (of(landed(marks=2)), {"landed-once"}),
    "landed twice, by the history": (of(landed(landings=2)), {"landed-once"}),
    "said to have landed, and not there": (of(landed(marks=0, landings=0)), {"landed-once"}),
    "landed without its files": (of(landed(marks=0)), {"landed-once"}),
    "failed, and there": (of(landed(phase="failed", wanted="failed")), {"nothing-else"}),
    "a commit of nobody": (repo(strangers=(COMMIT,)), {"nothing-else"}),
    "a red target": (repo(red=(COMMIT,)), {"green"}),
    "landed without a word": (of(asked(decided=None)), {"approved"}),
    "landed although rejected": (of(asked(decided=(False, COMMIT))), {"approved"}),
    "landed as another commit": (of(asked(approved_is_in=False)), {"approved"}),
    "a lost commit": (repo(lost=(COMMIT,)), {"commits"}),
    "broken objects": (repo(broken=("missing blob",)), {"commits"}),
    "a broken chain": (world(journal="event 3 was changed"), {"records"}),
    "a broken audit": (world(audit="line 3 is missing"), {"records"}),
    "broken on the way": (world(seen=((3.0, "it landed twice"),)), {"throughout"}),
    "not over": (of(landed(phase="", ends=0, marks=0, landings=0)), {"one-end"}),
    "two ends": (of(landed(ends=2)), {"one-end"}),
    "a task of nobody": (world(unknown=("x",)), {"one-end"}),
    "another end": (of(landed(phase="failed", marks=0, landings=0)), {"as-meant"}),
    "less counted than served": (of(landed(spent=99, cut=1)), {"spend"}),
    "more counted than served": (of(landed(spent=101)), {"spend"}),
    "not settled": (of(landed(unsettled=1)), {"spend"}),
    "served to nobody": (world(stray=5), {"spend"}),
    "not back": (world(hits=(Hit(n=1, fault=Fault.STOP_DAEMON, at=1.0),)), {"recovered"}),
    "a process is left": (world(processes=("overnight up",)), {"nothing-left"}),
    "a folder is left": (world(folders=("work tree: x",)), {"nothing-left"}),
    "a work tree is left": (repo(worktrees=("x",)), {"nothing-left"}),
    "a dirty folder": (repo(dirty=(" M x",)), {"nothing-left"}),
    "memory leaks": (world(lives=(life("daemon", 60_000.0, 0.0),)), {"memory"}),
    "files leak": (world(lives=(life("daemon", 0.0, 0.1),)), {"open-files"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_broken_world_is_seen(name: str) -> None:
    """Each way to break a promise breaks exactly that verdict, and says by what."""
    facts, keys = CASES[name]
    assert broken(facts) == keys
    assert all(verdict.broken for verdict in failed(judge(facts, over=True)))


@pytest.mark.parametrize(
    "task",
    [landed(spent=150, cut=1), landed(spent=150, lost_runs=1)],
    ids=["an answer was cut", "a run was lost"],
)
def test_more_may_be_counted_where_something_was_cut(task: TaskFact) -> None:
    """What nobody saw to its end may count for more, never for less."""
    assert broken(of(task)) == set()


def test_while_it_goes_on_only_what_always_holds_is_judged() -> None:
    """A task that has not ended is no fault before the end; one that landed twice is."""
    going = landed(phase="", ends=0, marks=1, landings=1)
    assert broken(of(going), over=False) == set()
    assert broken(of(landed(phase="", ends=0, marks=2, landings=1)), over=False) == {"landed-once"}


def test_what_cannot_be_known_is_not_called_kept() -> None:
    """Without a fault nothing is known of recovery, with short lives nothing of leaks."""
    facts = world(
        hits=(), looks=0, lives=(life("daemon", 60_000.0, 1.0, seconds=100.0), Life(role="pages", pid=1, samples=()))
    )
    unknown = {verdict.key for verdict in judge(facts, over=True) if verdict.kept is None}
    assert unknown == {"throughout", "recovered", "memory", "open-files"}


def test_a_slope_is_the_best_line() -> None:
    """The first minute does not count; the rest is fitted by least squares."""
    (slope,) = slopes([life("daemon", 1000.0, 0.5)], 1)
    assert slope.hourly == pytest.approx(3.6e6, rel=1e-3)
    assert slope.seconds == pytest.approx(538.0)
    assert fit([(0.0, 1.0), (1.0, 3.0), (2.0, 2.0)]) == pytest.approx(0.5)
    assert fit([(1.0, 5.0)]) == 0.0


@pytest.mark.parametrize(
    ("values", "part", "found"),
    [
        ([5.0], 0.5, 5.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([3.0, 1.0, 2.0], 0.95, 3.0),
        (list(map(float, range(1, 101))), 0.95, 95.0),
    ],
)
def test_percentiles(values: list[float], part: float, found: float) -> None:
    """The nearest rank, as people read it."""
    assert percentile(values, part) == found
