"""What can be found about a run, and what is said of it: to the agent first, to a person when it ends."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Condition(StrEnum):
    """Why a run does not go on. Each value is the name of its limit on record, and stays stable."""

    STEPS = "steps"
    TURNS = "turns"
    TOKENS = "tokens"
    WALL = "wall"
    ESTIMATE = "estimate"
    ERRORS = "errors"
    REPEATS = "repeats"
    MESSAGES = "messages"
    PROGRESS = "progress"
    PACE = "pace"
    FILES = "files"
    SCOPE = "scope"
    TICKS = "ticks"
    ERROR_BUDGET = "error-budget"


#: Patterns that a change to the work tree ends: whoever finds one makes sure that there was none.
BY_EDIT = frozenset({Condition.ERRORS, Condition.REPEATS, Condition.MESSAGES})

#: What the agent is asked to do about it.
_ADVICE = {
    Condition.STEPS: "Commit what is good now, and finish with the calls that are left.",
    Condition.TURNS: "Commit what is good now, and finish in the turns that are left.",
    Condition.TOKENS: "Commit what is good now, and finish soon. Don't read large outputs again.",
    Condition.WALL: "Commit what is good now, and finish in the time that is left.",
    Condition.ESTIMATE: "Commit what is good now, and finish the smallest whole part of the task.",
    Condition.ERRORS: "Trying once more won't help. Read the error as if for the first time, find its cause, and take another way.",
    Condition.REPEATS: "Its answer will not change by itself. Change something first, or take another way.",
    Condition.MESSAGES: "You repeat yourself. Say what is still unknown, and find that out by another way.",
    Condition.PROGRESS: "Decide on the next small change that counts, make it, and commit it.",
    Condition.PACE: "Slow down: put what belongs together into one call, and read what comes back.",
    Condition.FILES: "If that was not meant, undo it. Generated files don't belong into the work tree.",
    Condition.TICKS: "Bring the step that you are at to its end and tick its box, or say what is in its way.",
    Condition.ERROR_BUDGET: "Find the cause before you try again.",
    Condition.SCOPE: "Undo the changes outside, and stay within the task's paths.",
}


class Finding(Struct, frozen=True, kw_only=True):
    """Something that is not as it should be."""

    condition: Condition
    #: False: the agent is told. True: its run is ended.
    stop: bool
    #: What was seen, as a clause for a person: "the same call was made 6 times within 10m00s".
    why: str
    #: What it was about, such as the command or the error; may be empty.
    about: str = ""

    @property
    def words(self) -> str:
        """What the agent is told."""
        about = f" ({self.about})" if self.about else ""
        end = {
            Condition.STEPS: "Your session ends when they are used up.",
            Condition.TURNS: "Your session ends when they are used up.",
            Condition.TOKENS: "Your session ends when they are used up.",
            Condition.WALL: "Your session ends when it is over.",
        }.get(self.condition, "If it goes on like this, your session is ended.")
        return f"Note from the supervisor: {self.why}{about}. {_ADVICE[self.condition]} {end}"
