"""How much may happen without a person: levels, earned from what became of earlier changes, and lost at once."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from overnight.judge.risk import Band, Risk
from overnight.judge.verdict import Failed, Open, Passed, Split, Tally
from overnight.missions.judging import Earned, Level

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


class Blocked(Struct, frozen=True, kw_only=True):
    """No number and no judge outweighs this; a person may, who is told what it is and says so in as many words."""

    why: str


class Disagree(Struct, frozen=True, kw_only=True):
    """The judges contradict each other; a person decides."""

    why: str


class Repair(Struct, frozen=True, kw_only=True):
    """Another run mends what was found."""

    why: str


Course = Land | AskPerson | Blocked | Disagree | Repair


def course(tally: Tally, risk: Risk, stand: Standing, *, mends: bool) -> Course:
    """What happens with a result whose checks passed. Blocks go before judges, and judges before the level.

    mends: another run is left that could mend what blocks it.
    """
    if risk.blocks:
        return Repair(why="; ".join(risk.blocks)) if mends else Blocked(why="; ".join(risk.blocks))
    match tally:
        case Failed(issues=issues):
            return Repair(why="; ".join(issues) or "the judges fail it")
        case Split(why=why):
            return Disagree(why=why)
        case Open(why=why):
            return AskPerson(why=why)
        case Passed():
            pass
    heaviest = ", ".join(each.why for each in risk.factors[:3])
    match risk.band:
        case Band.HIGH:
            return Blocked(why=f"risk {risk.score} of 100: {heaviest}")
        case Band.MEDIUM:
            return AskPerson(why=f"risk {risk.score} of 100: {heaviest}")
        case Band.LOW:
            pass
    if stand.level is not Level.L3:
        return AskPerson(why=f"level {stand.level}: {stand.why}")
    return Land()
