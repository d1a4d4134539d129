"""How much may happen without a person: levels, earned from what became of earlier changes, and lost at once."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from overnight.judge.risk import Band, Risk
from overnight.judge.verdict import Failed, Open, Passed, Split, Tally


class Level(StrEnum):
    """From the least to the most."""

    #: Reports; nothing lands, whatever was proved.
    L1 = "L1"
    #: Works; a person lands.
    L2 = "L2"
    #: Lands by itself what is proved and of low risk.
    L3 = "L3"


LEVELS = tuple(Level)


class Fate(StrEnum):
    """What became of a change."""

    LANDED = "landed"
    #: It landed after a person changed it.
    MENDED = "mended"
    #: A person said no.
    REJECTED = "rejected"
    #: It was taken back after it had landed.
    REVERTED = "reverted"
    #: It broke a bound: an injection that took, a change to its own policy, a bent proof.
    SECURITY = "security"


class Earned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a level is earned and lost, for each repo and kind of work."""

    #: The most that may be reached, however good the record is.
    level: Level = Level.L3
    #: `false`: the level above counts from the first change on. `true`: it begins at L2 and has to be earned.
    earn: bool = False
    #: Changes in a row that landed as they were before the next level.
    landed: Annotated[int, Meta(ge=1, le=1000)] = 5


class Standing(Struct, frozen=True, kw_only=True):
    """The level of one repo and kind of work, and why."""

    level: Level
    why: str


def standing(fates: Sequence[Fate], policy: Earned) -> Standing:
    """The level after these changes, oldest first. A person's own word on it goes before this."""
    highest = LEVELS.index(policy.level)
    at = min(LEVELS.index(Level.L2), highest) if policy.earn else highest
    why, row = ("it has to be earned" if policy.earn else "the policy gives it"), 0
    for fate in fates:
        match fate:
            case Fate.LANDED:
                row += 1
                if row >= policy.landed and at < highest:
                    at, row, why = at + 1, 0, f"{policy.landed} changes in a row landed as they were"
            case Fate.MENDED | Fate.REJECTED:
                row = 0
            case Fate.REVERTED:
                at, row, why = min(at, LEVELS.index(Level.L2)), 0, "a change was reverted"
            case Fate.SECURITY:
                at, row, why = 0, 0, "a bound was broken"
    return Standing(level=LEVELS[at], why=why)


# -- what happens with a result -----------------------------------------------------------------------------


class Land(Struct, frozen=True, kw_only=True):
    """It lands by itself."""


class AskPerson(Struct, frozen=True, kw_only=True):
    """A person decides about exactly this commit."""

    why: str


class Disagree(Struct, frozen=True, kw_only=True):
    """The judges contradict each other; a person decides."""

    why: str


class Repair(Struct, frozen=True, kw_only=True):
    """Another run mends what the judges found."""

    why: str


Course = Land | AskPerson | Disagree | Repair


def course(tally: Tally, risk: Risk, stand: Standing) -> Course:
    """What happens with a result whose checks passed. Blocks and judges go before the level."""
    match tally:
        case Failed(issues=issues):
            return Repair(why="; ".join(issues) or "the judges fail it")
        case Split(why=why):
            return Disagree(why=why)
        case Open(why=why):
            return AskPerson(why=why)
        case Passed():
            pass
    if risk.blocks:
        return AskPerson(why="; ".join(risk.blocks))
    if risk.band is not Band.LOW:
        heaviest = ", ".join(each.why for each in risk.factors[:3])
        return AskPerson(why=f"risk {risk.score} of 100 ({risk.band}): {heaviest}")
    if stand.level is not Level.L3:
        return AskPerson(why=f"level {stand.level}: {stand.why}")
    return Land()
