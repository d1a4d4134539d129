"""A repo's policy, as values. Read from the target branch, never from the agent's copy."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from overnight.missions.clarify import Clarify
from overnight.missions.context import ContextLimits
from overnight.missions.forge import Pulls
from overnight.missions.guarding import GuardTable
from overnight.missions.hold import HoldReason, Patience
from overnight.missions.judging import Earned, Quorum, Risky
from overnight.missions.money import Budget
from overnight.missions.runbook import RunbookLimits
from overnight.missions.stall import StallLimits
from overnight.missions.units import Duration


class LandingMode(StrEnum):
    """How an approved change reaches its target."""

    #: The result stays on branch `overnight/TASK` for a person to merge.
    BRANCH = "branch"
    #: Overnight merges it into the local target branch, one task at a time.
    MERGE = "merge"
    #: A draft pull request on the forge, which is watched and repaired until a person merges or closes it.
    DRAFT_PR = "draft-pr"
    #: A pull request on the forge that Overnight merges once all is proved, and watches afterwards.
    PR = "pr"

    @property
    def remote(self) -> bool:
        """It leaves this machine."""
        return self in (LandingMode.DRAFT_PR, LandingMode.PR)


class BoxLevel(StrEnum):
    """How strong a confinement is, weakest first."""

    NONE = "none"
    OS = "os"
    CONTAINER = "container"
    MICROVM = "microvm"


class Tier(StrEnum):
    """How able and dear a model is, cheapest first. Which model that is, the machine's settings say."""

    LOCAL = "local"
    SMALL = "small"
    STANDARD = "standard"
    STRONG = "strong"


class Check(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that must pass on the exact commit."""

    #: Shell command, run at the root of a clean checkout.
    run: str
    #: The command is killed and counts as failed after this time.
    limit: Duration = Duration(600)
    #: Hosts that the command may reach over HTTPS; none by default.
    egress: tuple[str, ...] = ()
    #: It must pass so many times in a row, each in a checkout of its own. More than once shows what passes by chance.
    runs: Annotated[int, Meta(ge=1, le=20)] = 1
    #: `true`: the tests that came with a change are tried without its source, and must fail there. One more run of it.
    mutation: bool = False


class Paths(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Paths, as globs from the root of the repository, that a task must treat with care."""

    #: A change here is never landed by itself.
    forbidden: tuple[str, ...] = ()
    #: A change here is put on record by the guard, and asked about where `guard.sensitive_writes` says so.
    sensitive: tuple[str, ...] = ()
    #: Settings of agents and editors, such as `.vscode/**`, that a task may change after all: they act on whoever
    #: opens the folder.
    settings: tuple[str, ...] = ()


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one task may use up."""

    #: Runs that end without a proved result before the task fails.
    attempts: Annotated[int, Meta(ge=1, le=20)] = 3
    #: One run is stopped after this time.
    wall: Duration = Duration(7200)
    #: One run is stopped after this long without any output of the agent.
    silence: Duration = Duration(480)
    #: One run is stopped after this many turns of the model.
    turns: Annotated[int, Meta(ge=1, le=10_000)] = 200
    #: One tool call may be silent for so long if it names no limit of its own; `silence` is for what comes between.
    call: Duration = Duration(1800)
    #: When an agent is told that it goes in circles, and when its run is ended for it.
    stall: StallLimits = StallLimits()
    #: When a run hands over to a fresh one because its context is nearly full.
    context: ContextLimits = ContextLimits()
    #: How long an agent is kept at a runbook.
    runbook: RunbookLimits = RunbookLimits()
    #: What the runs of this repo may spend, such as { task = "5 USD", day = "40 USD" }. The settings of the machine
    #: bound it.
    budget: Budget = Budget()


class BoxPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The confinement that runs and checks need."""

    #: The weakest box that will do. Nothing falls back below it.
    minimum: BoxLevel = BoxLevel.OS
    #: Hosts that the agent may reach over HTTPS besides its model; none by default.
    egress: tuple[str, ...] = ()


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`overnight.toml`."""

    #: The branch that tasks start from and land on.
    target: str = "main"
    #: How a proved change reaches the target.
    landing: LandingMode = LandingMode.BRANCH
    #: Something may be pushed to the forge. The settings of the machine must say so, too.
    allow_remote_writes: bool = False
    #: The agent that runs tasks here, by name.
    agent: str = "claude"
    #: The model asked for, in the agent's own words; None leaves it to the agent.
    model: str | None = None
    #: The tier of models asked for; None lets each task's words decide. A `model` goes before it.
    tier: Tier | None = None
    paths: Paths = Paths()
    #: Every one must pass on the exact commit. Name = command, or a table with `run`, `limit`, `egress`.
    checks: dict[str, Check] = field(default_factory=dict[str, Check])
    limits: Limits = Limits()
    box: BoxPolicy = BoxPolicy()
    clarify: Clarify = Clarify()
    #: What the repo asks of the guard: it can only be stricter than the machine's settings.
    guard: GuardTable = GuardTable()
    judges: Quorum = Quorum()
    risk: Risky = Risky()
    autonomy: Earned = Earned()
    forge: Pulls = Pulls()
    #: What happens by itself with a hold that nobody released in time, by its reason; without it waits for ever.
    holds: dict[HoldReason, Patience] = field(default_factory=dict[HoldReason, Patience])
