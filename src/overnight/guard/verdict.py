"""What the guard is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from overnight.missions.guarding import Decision as Decision


class Call(Struct, frozen=True, kw_only=True):
    """A tool call that waits for a verdict."""

    #: The agent's own id of the call.
    id: str
    tool: str
    input: Mapping[str, Any]
    #: Absolute working folder of the agent.
    cwd: str


class Verdict(Struct, frozen=True, kw_only=True):
    """A decision with the reason that the agent and the person read."""

    decision: Decision
    reason: str
    #: Stable id of the rule that decided, such as `path.outside`.
    rule: str
    #: The words of the call that caused it.
    words: tuple[str, ...] = ()


class Weighed(Verdict, frozen=True, kw_only=True):
    """A verdict with what it stands on, for the record."""

    #: What the call would do, in words.
    effects: tuple[str, ...] = ()
    #: Names the refused effect, the same each time it is tried; empty when nothing was refused.
    fingerprint: str = ""
