"""What goes in and comes out, where the views of `report/` are not what is asked for. `/openapi.json` is made of these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from overnight.guard.judgement import Finding
from overnight.guard.verdict import Verdict
from overnight.judge.routing import Kind
from overnight.missions.judging import Level
from overnight.missions.policy import LandingMode, Tier
from overnight.report.views import State

#: A task's text may be as long as on the command line.
Text = Annotated[str, Meta(min_length=1, max_length=1 << 20)]
Line = Annotated[str, Meta(max_length=500)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Few = Annotated[tuple[Line, ...], Meta(max_length=50)]
Limit = Annotated[int, Meta(ge=1, le=500)]
Offset = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No query."""


class Fault(Struct, frozen=True):
    """Why something was not done."""

    #: Name of the error, such as UnknownTask.
    kind: str
    #: For a person; it names the next step.
    message: str


class Problem(Struct, frozen=True):
    """Every answer that is none."""

    error: Fault


class Done(Struct, frozen=True, kw_only=True):
    """It was asked for, and is on record."""

    #: For a person: what happens now.
    message: str
    #: The task that it was about; null for none.
    task: str | None = None


# -- queries ------------------------------------------------------------------------------------------------


class StatusQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of `/api/status`."""

    #: Name of the only repo that is wanted.
    repo: Name | None = None
    #: How far back ended tasks go, in seconds.
    since: Annotated[float, Meta(ge=0, le=3.2e9)] = 86400.0
    #: How many tasks of each kind are told for each repo; the counts say how many there are.
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100


class TasksQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of `/api/tasks`."""

    state: State | None = None
    #: Where it is in its story, such as landed.
    phase: Name | None = None
    repo: Name | None = None
    #: What title or id must hold.
    q: Annotated[str, Meta(max_length=200)] = ""
    offset: Offset = 0
    limit: Limit = 50


class EventsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of `/api/events`."""

    #: Number of the last event that is known; a `Last-Event-ID` header goes before it. Null begins with what comes.
    after: Annotated[int, Meta(ge=0, le=(1 << 53))] | None = None
    #: Only this task's.
    task: Name | None = None


class RunQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query about one run of a task."""

    #: Number of the run in the task's present life; null is the last one.
    run: Annotated[int, Meta(ge=1, le=10_000)] | None = None


class LogQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of a run's log."""

    run: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    #: Byte of the log from which on; `next` of the answer before.
    offset: Offset = 0
    limit: Limit = 200
    #: Also model requests, hooks and calls that were let through.
    all: bool = False


class UsageQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of `/api/usage`."""

    by: Literal["daily", "weekly", "monthly", "session", "block", "task", "model"] = "daily"
    #: First and last day, such as 2026-11-01.
    since: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    until: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    #: A folder's name or a repo.
    project: Name | None = None


class NightQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of `/api/report`."""

    #: The day on whose morning the night ended, such as 2026-11-20; null is from the latest night on to now.
    night: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None


class RepoQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query about one repo."""

    #: Name of the only repo that is wanted.
    repo: Name | None = None


class AuditQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of a task's audit."""

    #: Only calls that were refused, or that nobody decided.
    denied: bool = False
    #: How many, the latest ones.
    limit: Limit = 200


# -- bodies -------------------------------------------------------------------------------------------------


class NewTask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /api/tasks` takes; as `overnight add`."""

    #: What is wanted, in words.
    text: Text
    #: Name of a registered repo; null where there is just one.
    repo: Name | None = None
    title: Line | None = None
    accept: Few = ()
    #: Tasks that must have landed first.
    after: Few = ()
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    landing: LandingMode | None = None
    agent: Name | None = None
    model: Name | None = None
    tier: Tier | None = None
    paths: Few = ()
    attempts: Annotated[int, Meta(ge=1, le=20)] | None = None
    #: Ask nothing about it before it starts.
    as_is: bool = False
    #: A name of the caller's own for this request: asked twice with the same one, one task comes of it.
    key: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None


class Added(Struct, frozen=True, kw_only=True):
    """A task that was queued."""

    id: str
    title: str
    repo: str
    #: What its words leave open, and what it will therefore be held for; empty when they are clear.
    unclear: str = ""


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a task is told that asks."""

    text: Annotated[str, Meta(min_length=1, max_length=100_000)]


class Approve(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A yes to exactly one commit."""

    #: The commit that was looked at, in full or its first seven characters at least.
    commit: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{7,64}$")]
    #: Also where it is blocked.
    anyway: bool = False


class Reject(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A no to exactly one commit."""

    commit: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{7,64}$")]
    why: Annotated[str, Meta(max_length=2000)] = ""


class Scope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a pause is about."""

    #: Name of a repo; null is everything.
    repo: Name | None = None


class NewLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit of spending."""

    span: Literal["run", "task", "day", "month", "all"]
    #: Such as `5 USD`.
    usd: Annotated[str, Meta(pattern=r"^\d{1,9}(\.\d{1,6})? ?USD$")] | None = None
    tokens: Annotated[int, Meta(ge=1, le=10**15)] | None = None
    #: For this repo, or this task, only.
    repo: Name | None = None
    task: Name | None = None


class OldLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which limit is taken back."""

    span: Literal["run", "task", "day", "month", "all"]
    repo: Name | None = None
    task: Name | None = None


class Lift(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the ceilings of vendors' limits are lifted."""

    seconds: Annotated[float, Meta(gt=0, le=7 * 86400)] = 5 * 3600.0


class ReplayOf(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which run is run again."""

    #: Number of the run in the task's present life; null is the last one.
    run: Annotated[int, Meta(ge=1, le=10_000)] | None = None


class NewLevel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's word on a level."""

    repo: Name
    kind: Kind
    #: Null: it begins where the repo's policy lets it begin.
    level: Level | None


class Explain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command to be judged; nothing of it is run."""

    command: Annotated[str, Meta(min_length=1, max_length=20_000)]
    #: The repo whose policy holds; null is the first one.
    repo: Name | None = None


# -- answers ------------------------------------------------------------------------------------------------


class LevelRow(Struct, frozen=True, kw_only=True):
    """How much may happen without a person, for one repo and kind of work."""

    repo: str
    #: text, chore, test, fix, feature or delicate.
    kind: str
    #: L1, L2 or L3.
    level: str
    why: str
    #: How many changes ended so, since a person's last word on this level.
    landed: int
    mended: int
    rejected: int
    reverted: int
    #: Broken bounds.
    security: int


class Versions(Struct, frozen=True, kw_only=True):
    """What is at work."""

    overnight: str
    python: str
    sqlite: str
    system: str


class Explained(Struct, frozen=True, kw_only=True):
    """Why a command is judged as it is."""

    command: str
    worktree: str
    #: The tree, a line per node, indented.
    parse: tuple[str, ...]
    #: What it would do, a line each.
    effects: tuple[str, ...]
    findings: tuple[Finding, ...]
    verdict: Verdict
    #: Who decided; empty when it is allowed.
    decided_by: str = ""
    #: Where one would allow it and with which lines; empty where nothing can.
    where: str = ""
    toml: str = ""
    note: str = ""


class LogLine(Struct, frozen=True, kw_only=True):
    """One thing that a run did."""

    #: Epoch seconds; null when the record does not say.
    at: float | None
    #: Kind of the record, such as `verdict`.
    kind: str
    text: str
    #: ok, denied or failed.
    tone: Literal["ok", "denied", "failed"] = "ok"


class Log(Struct, frozen=True, kw_only=True):
    """A piece of a run's log."""

    run: str
    lines: tuple[LogLine, ...]
    #: `offset` of what comes next.
    next: int
    #: Whether the run goes on.
    live: bool


class DiffLine(Struct, frozen=True):
    """One line of a patch."""

    #: add, del, ctx or hunk.
    kind: Literal["add", "del", "ctx", "hunk"]
    text: str
    #: Its number before and after; null where it is not there.
    old: int | None = None
    new: int | None = None
    #: What was found wrong in it; empty for nearly all.
    mark: str = ""


class DiffFile(Struct, frozen=True, kw_only=True):
    """One file of a patch."""

    path: str
    #: Its name before, where it was renamed; else empty.
    was: str = ""
    #: added, removed, renamed, changed or binary.
    how: Literal["added", "removed", "renamed", "changed", "binary"] = "changed"
    added: int = 0
    removed: int = 0
    #: Sensitive, test, check and the like: why it deserves a second look; empty for plain code.
    sort: str = ""
    #: What was found wrong in it.
    marks: tuple[str, ...] = ()
    lines: tuple[DiffLine, ...] = ()


class Diff(Struct, frozen=True, kw_only=True):
    """What a run changed, without secrets."""

    run: str
    base: str
    commit: str
    files: tuple[DiffFile, ...]
    #: Whether something was left out because it is too long.
    cut: bool = False


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened, as `/api/events` sends it."""

    seq: int
    at: float
    task: str | None
    actor: str
    what: str
    why: str
    data: Any


class EventList(Struct, frozen=True, kw_only=True):
    """Some events, oldest first."""

    events: tuple[Event, ...]
