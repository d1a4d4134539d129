"""What can be asked about tasks, as values. `--json` prints exactly these: names and meanings stay."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from overnight.judge.anomalies import Anomaly
from overnight.judge.routing import Route
from overnight.judge.verdict import Opinion
from overnight.missions.clarify import Clarity
from overnight.missions.question import Question
from overnight.missions.run import Result, RunOutcome
from overnight.missions.task import Ending, Task
from overnight.ports import Examined
from overnight.report.limits import AccountView


class State(StrEnum):
    """What a task is doing, in one word. Its phase says where in its story it does that."""

    #: Nothing of it has begun.
    QUEUED = "queued"
    #: Begun, and waits for a place to go on: a free slot, or its turn to land.
    WAITING = "waiting"
    #: Being worked on; without a daemon only its run goes on.
    ACTIVE = "active"
    #: A named reason keeps it; see its hold.
    HELD = "held"
    #: Nothing more happens by itself; its phase says how it ended.
    ENDED = "ended"


class HoldView(Struct, frozen=True, kw_only=True):
    """Why a task waits."""

    #: One of the named reasons, such as `needs-answer`.
    reason: str
    #: What exactly is wrong.
    why: str
    #: What releases it, often a command.
    releases_on: str
    #: Epoch seconds at which it is tried again by itself; null waits for something else.
    until: float | None
    #: True when nothing goes on without a person.
    needs_person: bool
    #: What happens at that time; empty: it is tried again.
    then: str = ""
    #: What the policy does at that time because nobody came: retry, escalate, drop or default; null when it does nothing.
    late: str | None = None
    #: It waited longer than the policy says.
    urgent: bool = False


class Action(Struct, frozen=True, kw_only=True):
    """One thing that a run did."""

    #: Epoch seconds; null when the record does not say.
    at: float | None
    text: str


class TaskRow(Struct, frozen=True, kw_only=True):
    """A task in one line."""

    id: str
    #: Name of the repo.
    repo: str
    title: str
    #: queued, waiting, active, held or ended.
    state: State
    #: Where it is in its story: queued, preparing, running, checking, landing, landed, failed, cancelled, ...
    phase: str
    #: What a person asked for and has not taken effect yet: pause, stop or cancel; null when nothing.
    want: str | None
    priority: int
    #: 1, and one more for every retry.
    life: int
    #: The number of the latest run in this life; null before the first.
    run: int | None
    #: Epoch seconds since when it is in this phase, hold or queue.
    since: float
    created: float
    hold: HoldView | None = None
    #: The latest thing its run did; null when nothing is known.
    last: Action | None = None
    #: How it ended; null while it has not.
    ending: Ending | None = None
    #: What its runs would have asked a person and were denied; each wish once.
    questions: tuple[Question, ...] = ()


class PauseView(Struct, frozen=True, kw_only=True):
    """A pause over everything or over one repo."""

    #: Name of the repo; null for everything.
    repo: str | None
    by: str
    #: Epoch seconds.
    since: float


class RepoView(Struct, frozen=True, kw_only=True):
    """A registered repo and what its tasks are doing."""

    name: str
    #: Absolute path; null when it is registered no more and only its tasks are left.
    path: str | None
    target: str | None
    #: Held tasks that nothing but a person releases; how many there are in all, for whom not all are told.
    needs_person: tuple[TaskRow, ...] = ()
    needs_person_count: int = 0
    active: tuple[TaskRow, ...] = ()
    active_count: int = 0
    #: Held tasks that something else releases, and begun ones that wait for a place.
    waiting: tuple[TaskRow, ...] = ()
    waiting_count: int = 0
    #: How many have not begun.
    queued: int = 0
    #: The first of them, in the order in which they will begin.
    next: tuple[TaskRow, ...] = ()
    #: Tasks that ended in the time asked for, latest first.
    ended: tuple[TaskRow, ...] = ()
    ended_count: int = 0


class StatusView(Struct, frozen=True, kw_only=True):
    """Everything at a glance."""

    #: Epoch seconds of the look.
    at: float
    #: Epoch seconds from which on ended tasks are shown.
    ended_since: float
    pauses: tuple[PauseView, ...]
    repos: tuple[RepoView, ...]
    #: Accounts whose runs do not start, since they do not work.
    shut: tuple[AccountView, ...] = ()
    #: What was unusual since `ended_since`, oldest first.
    anomalies: tuple[Anomaly, ...] = ()


class LaunchFacts(Struct, frozen=True, kw_only=True):
    """What was started for a run, as its warden recorded it. Null is unknown."""

    #: The agent's name.
    agent: str | None = None
    #: Version of the agent's CLI, as it says itself.
    version: str | None = None
    #: The model asked for; null leaves it to the agent.
    model: str | None = None
    #: How the agent reaches its model, and who pays: gateway (an API key), direct (the CLI's own login) or none.
    route: str | None = None
    #: none, os, container or microvm.
    box: str | None = None
    argv: tuple[str, ...] = ()


class CheckView(Struct, frozen=True, kw_only=True):
    """One check on one exact commit."""

    name: str
    command: str
    commit: str
    passed: bool
    #: Exit code; null when it ran into its time limit.
    code: int | None
    seconds: float
    #: The telling line of its output.
    proof: str
    #: File with all of its output.
    log: str


class RunView(Struct, frozen=True, kw_only=True):
    """One session of an agent, and what came out of it."""

    #: `TASK.LIFE.N`
    id: str
    life: int
    n: int
    #: Its folder: spec.json, prompt.md, agent.jsonl, events.ndjson, outcome.json.
    folder: str
    #: Why it has the model that it has; None for a run of an older version.
    route: Route | None = None
    #: Epoch seconds.
    begun: float
    launch: LaunchFacts | None = None
    #: Null while it goes on.
    outcome: RunOutcome | None = None
    result: Result | None = None
    checks: tuple[CheckView, ...] = ()
    #: What is known about its result, once its checks passed; null before.
    examined: Examined | None = None
    #: What judges said about it, when they were last asked.
    opinions: tuple[Opinion, ...] = ()
    #: Checks on the merge with what landed meanwhile.
    rechecks: tuple[CheckView, ...] = ()
    #: The latest thing it did, while it goes on.
    last: Action | None = None


class LandingView(Struct, frozen=True, kw_only=True):
    """One try to bring a result to its target."""

    life: int
    #: The run whose result it is.
    n: int
    #: Epoch seconds.
    at: float
    #: landed, conflict or moved (the target moved meanwhile: made again).
    what: str
    commit: str | None = None
    branch: str | None = None
    #: What a person should know; empty when nothing.
    note: str = ""


class PullView(Struct, frozen=True, kw_only=True):
    """A task's pull request, as Overnight saw it last."""

    number: int
    url: str
    #: The commit that was pushed last, and the branch that it is to be merged into.
    head: str
    base: str
    #: open, merged, mended (merged with changes of a person) or reverted. What its checks say now, the task's hold says.
    state: str
    #: The commit of the merge; null before.
    merged: str | None = None


class Moment(Struct, frozen=True, kw_only=True):
    """One line of the story."""

    #: Epoch seconds.
    at: float
    life: int
    #: Who did it: daemon, cli, a person's name.
    who: str
    #: Stable key, such as `task.held` or `step.done`.
    what: str
    #: For a step its name, otherwise the reason in words; may be empty.
    why: str


class TaskStory(Struct, frozen=True, kw_only=True):
    """Everything that is known about one task."""

    row: TaskRow
    #: What was asked for.
    task: Task
    #: How clear its words were, and what was asked before it began; None before that was looked at.
    clarity: Clarity | None = None
    #: The commit it started from; null before it began.
    base: str | None = None
    #: Checks on the base, before any work.
    baseline: tuple[CheckView, ...] = ()
    runs: tuple[RunView, ...] = ()
    landings: tuple[LandingView, ...] = ()
    #: Null when it has none.
    pull: PullView | None = None
    #: Answers that people gave, in order.
    answers: tuple[str, ...] = ()
    moments: tuple[Moment, ...] = ()


class DaemonView(Struct, frozen=True, kw_only=True):
    """The daemon that runs."""

    pid: int
    version: str
    #: Epoch seconds.
    since: float
