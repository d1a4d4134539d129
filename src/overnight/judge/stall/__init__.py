"""Does a run still get anywhere, and does it stay within what was asked? Judged on what its warden sees, call by call."""

from overnight.judge.stall.errors import ErrorClass, classify
from overnight.judge.stall.facts import (
    Called,
    Failed,
    Looked,
    Observation,
    Passed,
    Progress,
    Said,
    Scope,
    Ticked,
    Turned,
)
from overnight.judge.stall.findings import BY_EDIT, Condition, Finding
from overnight.judge.stall.look import ORDINARY, State, begin, look
from overnight.judge.stall.similar import alike, tokens

__all__ = [
    "BY_EDIT",
    "ORDINARY",
    "Called",
    "Condition",
    "ErrorClass",
    "Failed",
    "Finding",
    "Looked",
    "Observation",
    "Passed",
    "Progress",
    "Said",
    "Scope",
    "State",
    "Ticked",
    "Turned",
    "alike",
    "begin",
    "classify",
    "look",
    "tokens",
]
