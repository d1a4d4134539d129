"""How a flow's coroutine ends: it finishes, parks, is cancelled, or loses its journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from overnight.missions.hold import Hold


class Finish(Struct, frozen=True):
    """What a flow returns: its last phase, why, and a value to keep."""

    phase: str
    why: str
    value: Any


class Cancelled(Exception):
    """Raised once at a step that would have run, when the task was cancelled. Clean up in `except`, by steps.

    Its words say why it was dropped; empty when a person said so.
    """


class Park(BaseException):
    """Ends the coroutine of a task that now waits in the journal."""

    def __init__(
        self,
        wait_for: str,
        *,
        until: float | None = None,
        hold: Hold | None = None,
        need: tuple[str, str] | None = None,
        came: Callable[[], bool] = lambda: False,
    ) -> None:
        """came is asked while the park is committed: whether what is waited for is there by now."""
        self.wait_for, self.until, self.hold, self.need, self.came = wait_for, until, hold, need, came
        super().__init__(wait_for)


class Lost(BaseException):
    """The journal failed under a flow, its error is the cause. Not an Exception: no flow may take it for a failed
    step and go another way."""
