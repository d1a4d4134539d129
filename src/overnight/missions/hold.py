"""A hold: the named reason why a task waits, what releases it, and what happens on time-out."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from overnight.missions.approval import Ask


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


class Held(Exception):
    """A step can't be done now. It is not recorded: it runs again when the hold is released."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        super().__init__(f"{hold.reason}: {hold.why}")
