"""What an effect deserves: the finding that a rule makes of it."""

from __future__ import annotations

from msgspec import Struct

from overnight.guard.verdict import Decision


class Finding(Struct, frozen=True, kw_only=True):
    """A rule's word on one effect."""

    decision: Decision
    #: Stable id of the rule.
    rule: str
    reason: str
    words: tuple[str, ...] = ()
    #: True when no policy may lift it.
    floor: bool = False


def denied(rule: str, reason: str, words: tuple[str, ...]) -> Finding:
    """A denial that no policy lifts."""
    return Finding(decision=Decision.DENY, rule=rule, reason=reason, words=words, floor=True)


def by_policy(decision: Decision, rule: str, reason: str, words: tuple[str, ...]) -> Finding | None:
    """What a knob of the policy says; None when it allows."""
    if decision is Decision.ALLOW:
        return None
    return Finding(decision=decision, rule=rule, reason=reason, words=words)
