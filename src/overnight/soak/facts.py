"""What is known of a soak's world, as plain values: what verdicts are made from, and what the report shows."""

from __future__ import annotations

from msgspec import Struct

from overnight.soak.plan import Fault, Kind


class TaskFact(Struct, frozen=True, kw_only=True):
    """One task, from the soak's own list, the journal, git and the model's log."""

    id: str
    kind: Kind
    repo: str
    #: Its phase in the journal when it has ended; empty while it has not, or where the journal does not know it.
    phase: str = ""
    #: How often the journal says that it ended.
    ends: int = 0
    #: How it must end.
    wanted: str = ""
    #: How often its word stands in the target's files.
    marks: int = 0
    #: How often the target's history says that it landed.
    landings: int = 0
    #: Runs that were begun, and those that were lost.
    runs: int = 0
    lost_runs: int = 0
    #: What the soak's person decided: (approved, commit).
    decided: tuple[bool, str] | None = None
    #: The commit that was approved is in the target's history.
    approved_is_in: bool = False
    #: Tokens of answers that the model server sent whole, and whether others were cut.
    served: int = 0
    cut: int = 0
    #: Tokens that the journal counts.
    spent: int = 0
    #: Runs that were given something and are not settled.
    unsettled: int = 0


class RepoFact(Struct, frozen=True, kw_only=True):
    """One repository."""

    name: str
    #: Commits of the target's own line that belong to no task of the soak.
    strangers: tuple[str, ...] = ()
    #: Commits of the target's own line whose files fail the check.
    red: tuple[str, ...] = ()
    #: Commits that agents made and that no ref reaches.
    lost: tuple[str, ...] = ()
    #: How many commits agents made, as far as they said so.
    commits: int = 0
    #: What `git fsck` finds.
    broken: tuple[str, ...] = ()
    #: Work trees beside the repository's own.
    worktrees: tuple[str, ...] = ()
    #: What `git status` says of the person's own folder.
    dirty: tuple[str, ...] = ()


class Life(Struct, frozen=True, kw_only=True):
    """A process over its life: samples of (seconds since the soak's start, bytes of memory, open files)."""

    role: str
    pid: int
    samples: tuple[tuple[float, int, int], ...]


class Hit(Struct, frozen=True, kw_only=True):
    """A fault that was done, or could not be."""

    n: int
    fault: Fault
    #: Seconds since the soak's start.
    at: float
    #: Exactly what was hit.
    what: str = ""
    #: Why it was not done; empty when it was.
    impossible: str = ""
    #: Seconds that it lasted.
    lasted: float = 0.0
    #: Seconds until everything was back: for what was killed since then, otherwise since its end. None: never seen.
    recovered: float | None = None
    #: What that means here.
    until: str = ""


class Facts(Struct, frozen=True, kw_only=True):
    """Everything at one instant."""

    tasks: tuple[TaskFact, ...]
    repos: tuple[RepoFact, ...]
    hits: tuple[Hit, ...] = ()
    #: Tasks that the journal knows and the soak does not.
    unknown: tuple[str, ...] = ()
    #: What is wrong with the journal's chain and the audit; empty when they are whole.
    journal: str = ""
    audit: str = ""
    events: int = 0
    #: Command lines of processes that are left.
    processes: tuple[str, ...] = ()
    #: Folders that are left, by what they are.
    folders: tuple[str, ...] = ()
    lives: tuple[Life, ...] = ()
    #: Holds that nothing but a person released, by reason.
    resumed: dict[str, int] = {}
    #: Starts of the daemon: by the soak, and by the watchdog.
    starts: int = 0
    watchdog_starts: int = 0
    #: Tokens of whole answers that name no task.
    stray: int = 0
    #: What was broken at some look on the way: (seconds since the start, what).
    seen: tuple[tuple[float, str], ...] = ()
    #: How many such looks there were.
    looks: int = 0
