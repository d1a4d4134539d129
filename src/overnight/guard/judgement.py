"""What an effect deserves: the finding that a rule makes of it."""

from __future__ import annotations

from msgspec import Struct

from overnight.guard.policy import GuardPolicy, value_of
from overnight.guard.verdict import Decision


class Finding(Struct, frozen=True, kw_only=True):
    """A rule's word on one effect."""

    #: `allow` notes something that speaks against nothing, such as a change of a sensitive path.
    decision: Decision
    #: Stable id of the rule.
    rule: str
    reason: str
    words: tuple[str, ...] = ()
    #: True when no policy may lift it.
    floor: bool = False
    #: The key of the policy that decided, such as `git.push` or `rules`; empty on the floor.
    knob: str = ""
    #: What of a list or a table it is about: the host, the package, the tool; may be empty.
    subject: str = ""


def denied(rule: str, reason: str, words: tuple[str, ...]) -> Finding:
    """A denial that no policy lifts."""
    return Finding(decision=Decision.DENY, rule=rule, reason=reason, words=words, floor=True)


def by_policy(policy: GuardPolicy, knob: str, rule: str, reason: str, words: tuple[str, ...]) -> Finding | None:
    """What a knob of the policy says; None when it allows."""
    decision: Decision = value_of(policy, knob)
    if decision is Decision.ALLOW:
        return None
    return Finding(decision=decision, rule=rule, reason=reason, words=words, knob=knob)
