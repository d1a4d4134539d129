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


#: The kinds of the records that a person's words on levels, and what became of changes otherwise, are kept as.
LEVEL, FATE = "level", "fate"


def level_key(repo: str, kind: str) -> str:
    """The key of a record about one repo and kind of work."""
    return f"{repo} {kind}"


class Override(Struct, frozen=True, kw_only=True):
    """A person's own word on a level. What became of changes before it counts no more; what comes after does."""

    #: None: it begins where the policy lets it begin.
    level: Level | None
    #: Epoch seconds.
    since: float
    by: str


class Told(Struct, frozen=True, kw_only=True):
    """What became of a change that its own task does not say: a revert, a broken bound. The value of a `fate` record,
    whose key is any that is new."""

    repo: str
    #: Kind of work.
    kind: str
    fate: Fate
    #: The commit that landed, where one did.
    commit: str = ""
    why: str = ""


class Standing(Struct, frozen=True, kw_only=True):
    """The level of one repo and kind of work, and why."""

    level: Level
    why: str


def standing(fates: Sequence[Fate], policy: Earned, word: Override | None = None) -> Standing:
    """The level after these changes, oldest first. word: a person's own, from which it begins; the policy bounds it too.

    With a word, only what came after it is to be among the changes.
    """
    highest = LEVELS.index(policy.level)
    at = min(LEVELS.index(Level.L2), highest) if policy.earn else highest
    why, row = ("it has to be earned" if policy.earn else "the policy gives it"), 0
    if word is not None and word.level is not None:
        at = min(LEVELS.index(word.level), highest)
        why = (
            f"{word.by} said so"
            if LEVELS[at] is word.level
            else f"{word.by} said {word.level}, the policy no more than {policy.level}"
        )
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
    heaviest = ", ".join(each.why for each in risk.factors[:3]) or "nothing raises it"
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
