"""A guard with everything at hand."""

from __future__ import annotations

from typing import Any

from overnight.guard.decide import Assessment, assess
from overnight.guard.ledger import Ledger
from overnight.guard.machine import Budget
from overnight.guard.policy import GuardPolicy
from overnight.guard.verdict import Call, Decision
from overnight.guard.world import Bounds, DrawnWorld, World

WORKTREE = "/home/user/project"
BOUNDS = Bounds(worktree=WORKTREE, home="/home/user")


def judge(
    tool: str,
    given: dict[str, Any],
    *,
    policy: GuardPolicy | None = None,
    world: World | None = None,
    ledger: Ledger | None = None,
    cwd: str = WORKTREE,
    budget: Budget | None = None,
) -> Assessment:
    """The assessment of a call of any tool."""
    call = Call(id="call-1", tool=tool, input=given, cwd=cwd)
    return assess(call, policy or GuardPolicy(), BOUNDS, world or DrawnWorld(), ledger or Ledger(), budget)


def bash(command: str, **more: Any) -> Assessment:
    """The assessment of a shell command."""
    return judge("Bash", {"command": command}, **more)


def stopped(command: str, **more: Any) -> bool:
    """True when the command may not run by itself."""
    return bash(command, **more).verdict.decision is not Decision.ALLOW
