"""What a repo asks of a result before it lands: judges, a risk, a level of autonomy."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

Points = Annotated[int, Meta(ge=0, le=100)]


class Quorum(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What judges must say before a change lands by itself."""

    #: Families of models that must pass it, other than the author's own. 0 asks no judge.
    families: Annotated[int, Meta(ge=0, le=5)] = 2
    #: Percent of confidence below which a PASS is none.
    confidence: Annotated[int, Meta(ge=0, le=100)] = 70


class RiskWeights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that each factor can add on its own, in points. 0 leaves a factor out."""

    #: Lines changed; all of it from 1,000 lines on.
    lines: Points = 15
    #: Files changed; all of it from 30 files on.
    files: Points = 10
    #: Changed paths that the policy calls sensitive.
    sensitive: Points = 40
    #: Workflows of the CI.
    workflows: Points = 45
    #: Settings of test runners, linters and builds.
    checks: Points = 25
    #: Settings of agents and editors.
    agents: Points = 45
    #: Dependencies and lock files.
    dependencies: Points = 45
    #: Code about authentication, secrets and cryptography.
    security: Points = 45
    #: Migrations of data.
    migrations: Points = 45
    #: Public functions, classes and types that went or changed.
    interfaces: Points = 15
    #: New code that talks to the network or starts programs.
    network: Points = 15
    #: Lines taken away; all of it from 500 lines more than came on.
    deletions: Points = 15
    #: Code without a test beside it.
    untested: Points = 15
    #: Tests changed without any code.
    tests_only: Points = 5
    #: Paths beyond those that the task names.
    scope: Points = 10
    #: Nothing that the task names is in the changed files.
    missed: Points = 35
    #: Findings that tests or checks were weakened.
    tamper: Points = 60
    #: Checks that pass, and were seen to fail on the same commit.
    flaky: Points = 20
    #: Judges that pass with doubts.
    doubts: Points = 30
    #: Attempts to talk the agent or a judge over, seen in files or outputs.
    injection: Points = 50
    #: Tool calls that the guard refused.
    denials: Points = 15
    #: An author who is not trusted yet.
    author: Points = 30
    #: What became of changes like this before: reverted, or mended by a person.
    record: Points = 20


class Risky(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which risk on a person is asked, and from which on a plain yes is not enough."""

    #: From this risk (0-100) on a person is asked.
    asks_from: Points = 30
    #: From this risk on it is blocked: it lands only when a person says so `--anyway`.
    blocks_from: Points = 75
    weights: RiskWeights = RiskWeights()


class Level(StrEnum):
    """From the least to the most."""

    #: Reports; nothing lands, whatever was proved.
    L1 = "L1"
    #: Works; a person lands.
    L2 = "L2"
    #: Lands by itself what is proved and of low risk.
    L3 = "L3"


class Earned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a level is earned and lost, for each repo and kind of work."""

    #: The most that may be reached, however good the record is.
    level: Level = Level.L3
    #: `false`: the level above counts from the first change on. `true`: it begins at L2 and has to be earned.
    earn: bool = False
    #: Changes in a row that landed as they were before the next level.
    landed: Annotated[int, Meta(ge=1, le=1000)] = 5


#: How the reason of a hold begins that a plain yes does not release.
BLOCKED = "blocked: "


class Decision(Struct, frozen=True, kw_only=True):
    """A person's word about one commit of one task."""

    #: The commit that was looked at; the word is about no other.
    commit: str
    approved: bool
    #: Who said it, for the record.
    by: str
    #: Land it although it is blocked: its blocks were seen.
    anyway: bool = False
    #: Why not, or what to mind; may be empty.
    why: str = ""
    #: The ticket that it was said with, and what was asked. Empty in journals from before there were tickets.
    ticket: str = ""
    ask: str = ""
