"""A task: one unit of work on one repo, one branch, one landing."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from overnight.missions.forge import IssueRef
from overnight.missions.policy import LandingMode, Tier


class Phase(StrEnum):
    """Where a task is in its story. A hold is beside it, not in it: a held task keeps its phase."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    CHECKING = "checking"
    JUDGING = "judging"
    DECIDING = "deciding"
    LANDING = "landing"
    LANDED = "landed"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """True once nothing more happens by itself."""
        return self in (Phase.LANDED, Phase.FAILED, Phase.REJECTED, Phase.CANCELLED)


class Repo(Struct, frozen=True, kw_only=True):
    """A registered git repository."""

    name: str
    #: Absolute path of the work tree or bare repository.
    path: str
    #: The branch whose `overnight.toml` counts; None takes the branch checked out when it was added.
    target: str


class Fork(Struct, frozen=True, kw_only=True):
    """A task's first run begins as another run did: from its recording, and with the real model from there."""

    #: The recorded run.
    run: str
    #: The first exchange that the real model answers.
    exchange: int
    #: The commit that it began from.
    start: str
    #: What its agent was told.
    prompt: str


class Task(Struct, frozen=True, kw_only=True):
    """What was asked for. What became of it is in the journal."""

    id: str
    repo: Repo
    #: One line.
    title: str
    #: What the person asked for, in words, as given.
    text: str
    #: Statements that must be true at the end; each may be empty.
    acceptance: tuple[str, ...] = ()
    #: The person says that it is clear as it is: it is not asked about before it starts.
    as_is: bool = False
    #: Ids of tasks that must have landed first.
    after: tuple[str, ...] = ()
    #: Higher goes first.
    priority: int = 0
    #: Overrides of the repo's policy, None where it rules.
    landing: LandingMode | None = None
    agent: str | None = None
    model: str | None = None
    tier: Tier | None = None
    #: Globs of the paths that it is about; empty leaves that open.
    paths: tuple[str, ...] = ()
    #: How long one run of it is thought to take, in seconds; None when nobody said.
    estimate: float | None = None
    attempts: int | None = None
    #: What it is a fork of.
    fork: Fork | None = None
    #: Path of the checklist that it is about, from the root of the repository; None when there is none.
    runbook: str | None = None
    #: The issue of the forge that it came from.
    issue: IssueRef | None = None


class Ending(Struct, frozen=True, kw_only=True):
    """How a task ended."""

    phase: Phase
    #: One or two sentences for a person: what proved it, or why not.
    why: str
    #: The commit that holds the result, if there is one.
    commit: str | None = None
    #: The branch it was landed on, or that holds it.
    branch: str | None = None
    #: A ref that keeps work which did not land.
    rescue: str | None = None
