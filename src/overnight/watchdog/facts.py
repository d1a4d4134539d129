"""What the watchdog is told, sees and does, as plain values. Times called `mono` are seconds on the monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


@dataclass(frozen=True)
class Rules:
    """The settings, in seconds, bytes and words. See `config.watchdog`."""

    look: float = 5.0
    stale: float = 60.0
    warden_stale: float = 120.0
    idle: float = 7200.0
    disk: int = 1 << 30
    memory: int = 256 << 20
    kill: bool = True
    restart: bool = True
    restarts: int = 5
    command: tuple[str, ...] = ()
    webhook: str = ""
    ping: str = ""
    ping_every: float = 60.0
    remind: float = 14400.0
    #: Seconds and US dollars by which a run may pass its limits before its warden has failed, beside a share of them.
    wall_slack: float = 300.0
    spend_slack: float = 0.5


class Severity(StrEnum):
    """How soon a person should look."""

    NOTE = "note"
    WARNING = "warning"
    ALARM = "alarm"


class Beat(NamedTuple):
    """The daemon's own account of itself, as it last wrote it."""

    pid: int
    #: When it started, as `identity` has it: clock ticks after the boot.
    started: float
    boot: str
    #: Counts up while its loop turns.
    n: int
    #: Counts up with each look of the engine at its tasks.
    turns: int
    #: Tasks that could go on and are not driven.
    ready: int
    #: Tasks that wait for a place, and those that are driven.
    queued: int
    live: int
    paused: bool
    #: Why it can't work, in words; empty when it can.
    trouble: str
    #: It ended in order.
    ended: bool
    #: The service manager that starts it again when it dies; empty where there is none.
    keeper: str = ""


class DaemonSeen(NamedTuple):
    """The daemon, from outside."""

    beat: Beat
    #: Exactly that process runs.
    alive: bool
    #: It is stopped by a signal.
    stopped: bool
    #: Its socket answers; None where it was not asked.
    answers: bool | None


class WardenSeen(NamedTuple):
    """A run's warden, from outside."""

    #: `TASK.LIFE.N`
    run: str
    pid: int
    started: float
    alive: bool
    stopped: bool
    #: The run has an outcome.
    over: bool
    #: It was lost: its warden died.
    lost: bool
    #: The agent was started.
    launched: bool
    #: Changes while it lives; None when it never did.
    beat: float | None
    #: Seconds since it started, machine's sleep included; its wall clock's limit, None when it has none.
    age: float
    wall: float | None
    #: US dollars that were spent, and what it may spend; None where nobody knows.
    spent: float | None
    allowed: float | None
    #: Bytes of what is on record of it and of its agent's output: they grow while it gets on; None when there are none.
    record: float | None = None
    #: Seconds that it may be without a word, a single call's silence included; None when it has no such limit.
    silence: float | None = None


class Sight(NamedTuple):
    """One look."""

    #: When it began and when it ended: the latter is what ages are counted to.
    began: float
    mono: float
    #: Seconds since the boot, with the machine's sleep, at its end.
    boot: float
    #: Epoch seconds.
    wall: float
    #: Bytes that are free where the state folder is, and of memory; None when nobody knows.
    disk: int | None
    memory: int | None
    #: What is wrong with the journal's file; empty when nothing is.
    journal: str
    daemon: DaemonSeen | None
    wardens: tuple[WardenSeen, ...] = ()
    #: 0 to 1, by chance.
    chance: float = 0.5
    #: The look itself did not end: the disk does not answer.
    stuck: bool = False


class Tell(NamedTuple):
    """Tell the person."""

    key: str
    severity: Severity
    words: str


class KillDaemon(NamedTuple):
    """Kill exactly this process, and nothing that it started: runs go on."""

    pid: int
    started: float
    why: str


class KillWarden(NamedTuple):
    """Kill this process and whatever it started."""

    run: str
    pid: int
    started: float
    why: str


class StartDaemon(NamedTuple):
    """Start a daemon as the one was that the watchdog killed."""


class Ping(NamedTuple):
    """Say to whoever waits for it elsewhere that all is well."""


Act = Tell | KillDaemon | KillWarden | StartDaemon | Ping


@dataclass(frozen=True)
class Seen:
    """A value, and since when it is what it is."""

    value: float
    since: float


@dataclass(frozen=True)
class State:
    """What the watchdog remembers."""

    #: The last look: monotonic, since the boot, epoch.
    at: float | None = None
    boot: float = 0.0
    wall: float = 0.0
    #: Of whom the beat was last seen to change, and when.
    beats: dict[str, Seen] = field(default_factory=dict[str, "Seen"])
    #: What was told and is not over: key -> monotonic time of the last telling.
    told: dict[str, float] = field(default_factory=dict[str, float])
    #: The daemon that the watchdog killed and that is to be started again: (pid, started).
    killed: tuple[int, float] | None = None
    #: When it is to be started, monotonic; None once that is given up.
    start_at: float | None = None
    #: Epoch seconds of the starts within the last hour, and how many came in a row without a healthy time between.
    starts: tuple[float, ...] = ()
    row: int = 0
    pinged: float | None = None
    #: Seconds of sleep since each run was first seen.
    slept: dict[str, float] = field(default_factory=dict[str, float])
