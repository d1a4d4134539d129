"""What a soak does and when: drawn from its seed, so that the same words make the same soak. Values only."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from random import Random

from msgspec import Struct


class Kind(StrEnum):
    """What a task is like."""

    #: It lands at once.
    LAND = "land"
    #: Its first run turns the check red, the next one mends that.
    REPAIR = "repair"
    #: Its first run ends with an error half-way.
    CRASH = "crash"
    #: It says that it is done and changed nothing.
    NOTHING = "nothing"
    #: It is risky, so a person is asked.
    ASK = "ask"
    #: It changes the end of one file that others change, too.
    CLASH = "clash"
    #: It prints some megabytes.
    LOUD = "loud"
    #: The Claude Code CLI does it.
    CLI = "cli"


class Fault(StrEnum):
    """What is done to the system."""

    KILL_DAEMON = "kill-daemon"
    STOP_DAEMON = "stop-daemon"
    HANG_DAEMON = "hang-daemon"
    KILL_WARDEN = "kill-warden"
    KILL_AGENT = "kill-agent"
    POWER_CUT = "power-cut"
    MODEL_DOWN = "model-down"
    MODEL_ERRORS = "model-errors"
    MODEL_LIMIT = "model-limit"
    MODEL_CUT = "model-cut"
    DISK_FULL = "disk-full"
    CLOCK_JUMP = "clock-jump"
    KILL_WATCHDOG = "kill-watchdog"


#: Fault -> what it is, for the report.
WORDS = {
    Fault.KILL_DAEMON: "SIGKILL to the daemon; the soak starts another one, as a service manager would",
    Fault.STOP_DAEMON: "SIGSTOP to the daemon, SIGCONT after a few seconds",
    Fault.HANG_DAEMON: "SIGSTOP to the daemon for good; the watchdog has to notice, kill it and start another one",
    Fault.KILL_WARDEN: "SIGKILL to the warden of a run",
    Fault.KILL_AGENT: "SIGKILL to a process inside a box",
    Fault.POWER_CUT: "SIGKILL to the daemon and to every warden at once",
    Fault.MODEL_DOWN: "nothing listens at the model's address; every open connection is reset",
    Fault.MODEL_ERRORS: "the model answers 529",
    Fault.MODEL_LIMIT: "the model answers 429 with `retry-after`",
    Fault.MODEL_CUT: "the model's answers are reset midway",
    Fault.DISK_FULL: "not one free block on the disk of state folder and repositories",
    Fault.CLOCK_JUMP: "the clock of daemon, wardens and watchdog is set minutes to hours ahead, and back after a few seconds",
    Fault.KILL_WATCHDOG: "SIGKILL to the watchdog; the soak starts another one",
}
OF_MODEL = frozenset({Fault.MODEL_DOWN, Fault.MODEL_ERRORS, Fault.MODEL_LIMIT, Fault.MODEL_CUT})
#: Faults after which a process begins anew. None comes late, so that memory can be watched over a longer life.
RESTARTING = frozenset({Fault.KILL_DAEMON, Fault.HANG_DAEMON, Fault.POWER_CUT, Fault.KILL_WATCHDOG})
#: Seconds that each lasts; 0 for those that are over at once. HANG_DAEMON ends when the watchdog ends it.
LASTS = {
    Fault.STOP_DAEMON: 3.0,
    Fault.MODEL_DOWN: 5.0,
    Fault.MODEL_ERRORS: 5.0,
    Fault.MODEL_LIMIT: 5.0,
    Fault.MODEL_CUT: 5.0,
    Fault.DISK_FULL: 6.0,
    Fault.CLOCK_JUMP: 6.0,
}
#: Parts of the duration: the first fault, the last that starts a process anew, the last one, and the last new task.
FIRST, LAST_RESTART, LAST, FED = 0.04, 0.55, 0.8, 0.85
#: Seconds between two faults: a part of the duration within bounds.
GAP_PART, GAP_LEAST, GAP_MOST = 1 / 40, 4.0, 40.0
#: A task of the CLI comes so many seconds before a fault of the model.
LEAD_S = 2.0
#: How often each kind comes among all tasks.
WEIGHTS = {
    Kind.LAND: 8, Kind.REPAIR: 3, Kind.CRASH: 2, Kind.NOTHING: 1, Kind.ASK: 3, Kind.CLASH: 4, Kind.LOUD: 1, Kind.CLI: 4,
}  # fmt: skip
REPOS = ("alpha", "beta")


class Order(Struct, frozen=True, kw_only=True):
    """What was asked for."""

    seconds: float
    tasks_per_minute: float
    seed: int
    faults: tuple[Fault, ...]
    #: The Claude Code CLI is here.
    cli: bool


class Chore(Struct, frozen=True, kw_only=True):
    """One task of the soak."""

    #: Its id in the journal, and the only place of this word in any repository.
    id: str
    kind: Kind
    repo: str
    #: Seconds after the start at which it is submitted.
    at: float
    #: Seconds that its agent takes.
    takes: float
    #: What the person says who is asked.
    approves: bool = True
    #: It goes before others: a fault waits for it.
    first: bool = False


class Blow(Struct, frozen=True, kw_only=True):
    """One fault to come."""

    n: int
    fault: Fault
    #: Seconds after the start.
    at: float


def chores(order: Order) -> tuple[Chore, ...]:
    """Every task, in the order in which they are submitted: those that were asked for, and one of the CLI for each fault
    of the model, for a model that nobody asks does not fail."""
    found = list(_asked_for(order))
    if order.cli:
        at = [blow.at for blow in blows(order) if blow.fault in OF_MODEL]
        found += [
            Chore(
                id=f"s{order.seed}-{9000 + n:04d}-{Kind.CLI}", kind=Kind.CLI, repo=REPOS[n % len(REPOS)],
                at=max(0.0, when - LEAD_S), takes=2.0, first=True,
            )
            for n, when in enumerate(at)
        ]  # fmt: skip
    return tuple(sorted(found, key=lambda chore: chore.at))


def _asked_for(order: Order) -> Iterator[Chore]:
    draw = Random(f"{order.seed} tasks")
    weights = {kind: weight for kind, weight in WEIGHTS.items() if order.cli or kind is not Kind.CLI}
    count = max(len(weights), round(order.seconds * FED / 60 * order.tasks_per_minute))
    first = list(weights)
    draw.shuffle(first)
    for n in range(count):
        # Each kind once, whatever chance would say.
        kind = first[n] if n < len(first) else draw.choices(list(weights), list(weights.values()))[0]
        yield Chore(
            id=f"s{order.seed}-{n:04d}-{kind}",
            kind=kind,
            repo=REPOS[n % len(REPOS)] if kind is not Kind.CLASH else REPOS[n // 8 % len(REPOS)],
            at=order.seconds * FED * n / count,
            takes=round(draw.uniform(0.2, 3.0), 1),
            approves=draw.random() < 0.7,
        )


def blows(order: Order) -> tuple[Blow, ...]:
    """Every fault, in order of time: each kind once before any comes again."""
    draw, found = Random(f"{order.seed} faults"), list[Blow]()
    gap = min(GAP_MOST, max(GAP_LEAST, order.seconds * GAP_PART))
    at, bag = max(2.0, order.seconds * FIRST), list[Fault]()
    while at < order.seconds * LAST and order.faults:
        late = at > order.seconds * LAST_RESTART
        if not any(_fits(fault, late) for fault in bag):
            bag = [*order.faults]
            draw.shuffle(bag)
        fault = next((fault for fault in bag if _fits(fault, late)), None)
        if fault is None:
            break
        bag.remove(fault)
        found.append(Blow(n=len(found) + 1, fault=fault, at=round(at, 1)))
        at += gap * draw.uniform(0.75, 1.25) + LASTS.get(fault, 0.0)
    return tuple(found)


def _fits(fault: Fault, late: bool) -> bool:
    return not (late and fault in RESTARTING)
