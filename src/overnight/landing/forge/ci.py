"""What single checks say of a commit, put together. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from overnight.ports import Ci, CiCheck, CiState


def ci_of(commit: str, reported: Iterable[CiCheck], required: Iterable[str] = ()) -> Ci:
    """One state for all: red when one is red, else pending when one is, and green only when one is.

    reported: `none` is the state of a check that has nothing to say, such as one that was skipped: it counts for
    nothing. required: names of checks without which the target takes no merge; those that are silent are pending.
    """
    checks = tuple(reported)
    names = {check.name for check in checks}
    silent = (CiCheck(name=name, state=CiState.PENDING) for name in required if name not in names)
    checks = (*checks, *silent)
    states = {check.state for check in checks}
    order = (CiState.RED, CiState.PENDING, CiState.GREEN)
    return Ci(commit=commit, state=next((s for s in order if s in states), CiState.NONE), checks=checks)
