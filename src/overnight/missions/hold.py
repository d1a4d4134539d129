"""A hold: the named reason why a task waits, what releases it, and what happens on time-out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from overnight.missions.approval import Ask
from overnight.missions.units import Duration


class HoldReason(StrEnum):
    """Why a task waits. Each value is a word of the design and stays stable."""

    PAUSED = "paused"
    NEEDS_ANSWER = "needs-answer"
    NEEDS_APPROVAL = "needs-approval"
    LIMIT_REACHED = "limit-reached"
    ALLOWANCE_SPENT = "allowance-spent"
    AUTH_EXPIRED = "auth-expired"
    VENDOR_OUTAGE = "vendor-outage"
    #: Nothing answers at the address of the model's service.
    NETWORK_LOST = "network-lost"
    BOX_UNAVAILABLE = "box-unavailable"
    CANARY_FAILED = "canary-failed"
    DISK_LOW = "disk-low"
    CONFLICT = "conflict"
    JUDGES_DISAGREE = "judges-disagree"
    STUCK = "stuck"
    DEPENDENCY = "dependency"
    QUIET_HOURS = "quiet-hours"
    PR_BACKLOG = "pr-backlog"
    BREAKER_OPEN = "breaker-open"
    #: The target branch is checked out with uncommitted work; a landing would pull the floor from under it.
    TARGET_BUSY = "target-busy"
    #: The repository moved, vanished, or its policy can't be read.
    REPO_UNAVAILABLE = "repo-unavailable"
    #: The forge's checks on a pull request have not come to an end.
    AWAITS_CI = "awaits-ci"
    #: A pull request waits for a person to merge or close it.
    AWAITS_MERGE = "awaits-merge"
    #: Something keeps a change from the forge, and a person has to look.
    FORGE_REFUSED = "forge-refused"
    #: Overnight itself failed in a way it does not know. Nothing is lost; the step runs again on resume.
    FAULT = "fault"


#: Reasons that pass without anybody's doing, when a time is known or another task's end is awaited.
PASSING = frozenset(
    {
        HoldReason.LIMIT_REACHED,
        HoldReason.VENDOR_OUTAGE,
        HoldReason.NETWORK_LOST,
        HoldReason.BOX_UNAVAILABLE,
        HoldReason.BREAKER_OPEN,
        HoldReason.QUIET_HOURS,
        HoldReason.PR_BACKLOG,
        HoldReason.AWAITS_CI,
        HoldReason.FAULT,
    }
)

#: What tasks wait with until their account works again.
UNTIL_IT_WORKS = (
    HoldReason.AUTH_EXPIRED,
    HoldReason.VENDOR_OUTAGE,
    HoldReason.NETWORK_LOST,
    HoldReason.BREAKER_OPEN,
    HoldReason.BOX_UNAVAILABLE,
)


class Late(StrEnum):
    """What happens by itself with a hold that nobody released in time."""

    #: It is tried again, as by `overnight resume`.
    RETRY = "retry"
    #: It waits on, as one that is urgent, and is told once more.
    ESCALATE = "escalate"
    #: The task ends; its work is kept.
    DROP = "drop"
    #: The recommended answers are taken.
    DEFAULT = "default"


class Patience(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a hold waits for a person, and what happens then."""

    after: Duration
    then: Late


class Hold(Struct, frozen=True, kw_only=True):
    """Raised (inside `Held`) or returned by whatever can't go on; the engine parks the task with it."""

    reason: HoldReason
    #: What exactly is wrong, for a person.
    why: str
    #: What releases it, for a person: "the window resets", "`overnight resume TASK`".
    releases_on: str
    #: Epoch seconds at which the task is tried again by itself; None waits for a person.
    until: float | None = None
    #: What happens at that time, for a person; empty: the task is tried again.
    then: str = ""
    #: It is only looked again at that time, many times over: its coming and going is put on record once.
    looks: bool = False
    #: What else it is about, for whoever knows that it has passed: the account whose limit was reached.
    about: str = ""
    #: What a person is asked, where one is.
    ask: Ask | None = None
    #: What is answered where nobody does and the policy says so; empty: nothing is recommended.
    default: str = ""
    #: What happens at `until` although it waits for a person: the policy's time-out. None: it is tried again.
    late: Late | None = None
    #: It waited longer than the policy says.
    urgent: bool = False


#: What may be done about a hold that waits for a person. Nothing here says yes in anybody's place.
TIME_OUTS: Mapping[HoldReason, tuple[Late, ...]] = {
    HoldReason.NEEDS_ANSWER: (Late.DEFAULT, Late.DROP, Late.ESCALATE),
    HoldReason.NEEDS_APPROVAL: (Late.DROP, Late.ESCALATE),
    **dict.fromkeys(
        (
            HoldReason.JUDGES_DISAGREE,
            HoldReason.ALLOWANCE_SPENT,
            HoldReason.AUTH_EXPIRED,
            HoldReason.BOX_UNAVAILABLE,
            HoldReason.CANARY_FAILED,
            HoldReason.CONFLICT,
            HoldReason.STUCK,
            HoldReason.REPO_UNAVAILABLE,
            HoldReason.BREAKER_OPEN,
            HoldReason.FAULT,
        ),
        (Late.RETRY, Late.DROP, Late.ESCALATE),
    ),
}
_THEN = {
    Late.RETRY: "it is tried again",
    Late.ESCALATE: "it is urgent, and told once more",
    Late.DROP: "it is dropped, and its work is kept",
    Late.DEFAULT: "the recommended answers are taken",
}


def bounded(hold: Hold, patience: Mapping[HoldReason, Patience], now: float) -> Hold:
    """The hold with its time-out, if it waits for a person and the policy has one for it. now: epoch seconds.

    A question without a recommended answer waits on where the policy would take that.
    """
    rule = patience.get(hold.reason)
    if rule is None or hold.until is not None or rule.then not in TIME_OUTS.get(hold.reason, ()):
        return hold
    if rule.then is Late.DEFAULT and not hold.default:
        return hold
    until = now + rule.after
    ends = rule.then is not Late.ESCALATE
    ask = replace(hold.ask, expires=until) if hold.ask is not None and ends else hold.ask
    return replace(hold, until=until, then=_THEN[rule.then], late=rule.then, ask=ask)


class Held(Exception):
    """A step can't be done now. It is not recorded: it runs again when the hold is released."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        super().__init__(f"{hold.reason}: {hold.why}")
