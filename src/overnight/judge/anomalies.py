"""Anomalies: what is unusual enough that a person should hear of it, from facts about runs, queue and machine.

Value in, value out. Each anomaly has a key: what has been told once is not told again under the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from msgspec import Struct

from overnight.missions.units import Duration, show_duration


class Severity(StrEnum):
    """How soon a person should look."""

    #: In the morning is soon enough.
    NOTE = "note"
    #: Today.
    WARNING = "warning"
    #: Now.
    ALARM = "alarm"


class Kind(StrEnum):
    """What is unusual."""

    #: Money goes much faster than it usually does.
    BURN = "burn"
    #: More tool calls within a minute than anybody means.
    COMMANDS = "commands"
    #: More files changed in one step than anybody means.
    FILES = "files"
    #: The guard refuses one call after the other.
    DENIALS = "denials"
    #: A run or the daemon gives no sign of life.
    HEARTBEAT = "heartbeat"
    #: Tasks wait for a place much longer than they should have to.
    QUEUE = "queue"
    #: Tasks fail much more often than they land.
    FAILURES = "failures"
    #: The machine slept, and what was due meanwhile is late.
    SLEEP = "sleep"
    #: So much is unusual at once that it is told as one.
    STORM = "storm"


class Anomaly(Struct, frozen=True, kw_only=True):
    """One thing that is unusual."""

    #: What it is about, for ever: `burn TASK.1.2`.
    key: str
    #: burn, commands, files, denials, heartbeat, queue, failures, sleep or storm.
    kind: Kind
    #: note, warning or alarm.
    severity: Severity
    #: One sentence.
    why: str
    #: Null where it is about no task.
    task: str | None = None
    repo: str | None = None
    #: Epoch seconds at which it was seen.
    at: float


class AnomalySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where on something counts as unusual."""

    #: Spending in the last 5 minutes, in times of what it was before.
    burn: float = 3.0
    #: Tool calls of one run within a minute.
    commands: int = 60
    #: Files that one step of a run changed.
    files: int = 100
    #: Calls of one run that the guard refused.
    denials: int = 10
    #: A run without any sign of life.
    silence: Duration = Duration(600)
    #: A task that waits for a place.
    queue: Duration = Duration(6 * 3600)
    #: Percent of the tasks that ended lately which failed, once at least `failures_of` ended.
    failures: int = 50
    failures_of: int = 4
    #: Anomalies within ten minutes that are told one by one; more are told as one.
    storm: int = 5


class RunFacts(Struct, frozen=True, kw_only=True):
    """What is on record of one run. None is unknown."""

    run: str
    task: str
    repo: str
    #: The most tool calls in any minute.
    pace: int = 0
    #: The most files that one step changed.
    files: int = 0
    denied: int = 0
    #: US dollars a minute, in the last five and before that.
    recent: float | None = None
    before: float | None = None
    #: Seconds since its last sign of life; None when it is over.
    silent: float | None = None


class QueueFacts(Struct, frozen=True, kw_only=True):
    """The task of a repo that waits longest for a place, though nothing holds it."""

    repo: str
    task: str
    waits: float
    #: How many wait.
    count: int


class EndFacts(Struct, frozen=True, kw_only=True):
    """What became lately of a repo's tasks."""

    repo: str
    landed: int
    failed: int
    #: Names the span that these are of, such as a night.
    span: str


def find(
    settings: AnomalySettings,
    now: float,
    runs: Iterable[RunFacts] = (),
    queues: Iterable[QueueFacts] = (),
    ends: Iterable[EndFacts] = (),
) -> tuple[Anomaly, ...]:
    """Everything that is unusual now."""
    found = [each for facts in runs for each in _run(settings, now, facts)]
    found += [each for facts in queues for each in _queue(settings, now, facts)]
    found += [each for facts in ends for each in _ends(settings, now, facts)]
    return tuple(found)


def _run(settings: AnomalySettings, now: float, facts: RunFacts) -> Iterator[Anomaly]:
    def anomaly(kind: Kind, severity: Severity, why: str) -> Anomaly:
        return Anomaly(
            key=f"{kind} {facts.run}", kind=kind, severity=severity, why=why, task=facts.task, repo=facts.repo, at=now
        )

    recent, before = facts.recent, facts.before
    if recent is not None and before and recent >= settings.burn * before:
        words = f"{facts.run} spends {recent:.2f} USD a minute, {recent / before:.1f} times what it did before"
        yield anomaly(Kind.BURN, Severity.WARNING, words)
    if facts.pace > settings.commands:
        yield anomaly(Kind.COMMANDS, Severity.WARNING, f"{facts.run} made {facts.pace} tool calls within a minute")
    if facts.files > settings.files:
        yield anomaly(Kind.FILES, Severity.WARNING, f"{facts.run} changed {facts.files} files in one step")
    if facts.denied >= settings.denials:
        yield anomaly(Kind.DENIALS, Severity.WARNING, f"the guard refused {facts.denied} calls of {facts.run}")
    if facts.silent is not None and facts.silent > settings.silence:
        words = f"{facts.run} has given no sign of life for {show_duration(facts.silent)}"
        yield anomaly(Kind.HEARTBEAT, Severity.ALARM, words)


def _queue(settings: AnomalySettings, now: float, facts: QueueFacts) -> Iterator[Anomaly]:
    if facts.waits > settings.queue:
        others = f", as do {facts.count - 1} more" if facts.count > 1 else ""
        why = f"{facts.task} has waited {show_duration(facts.waits)} for a place{others}"
        yield Anomaly(key=f"queue {facts.task}", kind=Kind.QUEUE, severity=Severity.NOTE, why=why, task=facts.task,
                      repo=facts.repo, at=now)  # fmt: skip


def _ends(settings: AnomalySettings, now: float, facts: EndFacts) -> Iterator[Anomaly]:
    ended = facts.landed + facts.failed
    if ended >= settings.failures_of and facts.failed * 100 >= settings.failures * ended:
        why = f"{facts.failed} of {ended} tasks of {facts.repo} failed"
        yield Anomaly(key=f"failures {facts.repo} {facts.span}", kind=Kind.FAILURES, severity=Severity.WARNING,
                      why=why, repo=facts.repo, at=now)  # fmt: skip


# -- telling ------------------------------------------------------------------------------------------------

#: Anomalies that were told within so many seconds make a storm together.
STORM_S = 600.0


def to_tell(found: Iterable[Anomaly], told: Mapping[str, float], now: float, storm: int) -> tuple[Anomaly, ...]:
    """What is to be told now: what was not told before, each key once; what makes a storm as one.

    told: key -> epoch seconds. Of a storm, the keys of `folded` are told with it.
    """
    new = list({each.key: each for each in found if each.key not in told}.values())
    recent = sum(1 for key, at in told.items() if now - STORM_S < at <= now and not key.startswith(f"{Kind.STORM} "))
    room = max(0, storm - recent)
    # The worst are told by themselves, however many there are.
    new.sort(key=lambda each: -list(Severity).index(each.severity))
    alone = [n < room or each.severity is Severity.ALARM for n, each in enumerate(new)]
    single = tuple(each for each, one in zip(new, alone, strict=True) if one)
    rest = [each for each, one in zip(new, alone, strict=True) if not one]
    if not rest:
        return single
    kinds = ", ".join(sorted({each.kind.value for each in rest}))
    key = f"{Kind.STORM} {int(now // STORM_S)}"
    if key in told:
        return single
    worst = max((each.severity for each in rest), key=list(Severity).index)
    why = f"{len(rest)} more things are unusual at once ({kinds}); the first: {rest[0].why}"
    return (*single, Anomaly(key=key, kind=Kind.STORM, severity=worst, why=why, at=now))


def folded(found: Iterable[Anomaly], told: Iterable[Anomaly]) -> tuple[str, ...]:
    """Keys that are to be taken for told, once `told` is: those themselves, and what a storm among them stands for."""
    said = tuple(told)
    keys = [each.key for each in said]
    if any(each.kind is Kind.STORM for each in said):
        keys += [each.key for each in found]
    return tuple(dict.fromkeys(keys))
