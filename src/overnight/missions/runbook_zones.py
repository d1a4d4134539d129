"""What a runbook's zones make of the repo's policy: they only ever tighten it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from overnight.errors import RunbookInvalid
from overnight.missions.globs import matching
from overnight.missions.guarding import Decision, Rule, said
from overnight.missions.policy import Policy
from overnight.missions.runbook import Runbook
from overnight.missions.task import Task

_EFFECTS = ("write", "delete")


def fitting(runbook: Runbook, path: str, where: str, policy: Policy) -> Runbook:
    """The runbook, if its boxes can be ticked at this path. Raises RunbookInvalid."""
    zones, problem = runbook.zones, ""
    if not runbook.open(runbook.ticked):
        problem = "every box is ticked, so there is nothing to do"
    elif matching((path,), (*zones.ask, *zones.forbidden)):
        problem = "it lies in a zone that it closes itself, so no box could be ticked: leave it out there"
    elif matching((path,), policy.paths.forbidden):
        problem = "it lies in `paths.forbidden` of overnight.toml, so no box could be ticked: put it elsewhere"
    if problem:
        raise RunbookInvalid(where=where, problems=f"\n  {problem}")
    return runbook


def tightened(policy: Policy, runbook: Runbook) -> Policy:
    """`forbidden` is neither written nor landed; `ask` is a person's to decide."""
    zones = runbook.zones
    if not (zones.ask or zones.forbidden):
        return policy
    rules = tuple(
        Rule(effect=effect, match=glob, then=then, reason=f"the runbook's zone `{name}` has {glob}")
        for name, globs, then in (("ask", zones.ask, Decision.ASK), ("forbidden", zones.forbidden, Decision.DENY))
        for glob in globs
        for effect in _EFFECTS
    )
    known: tuple[Any, ...] = said(policy.guard).get("rules", ())
    paths = replace(
        policy.paths,
        forbidden=(*policy.paths.forbidden, *zones.forbidden),
        sensitive=(*policy.paths.sensitive, *zones.ask),
    )
    return replace(policy, paths=paths, guard=replace(policy.guard, rules=(*known, *rules)))


def scoped(task: Task, runbook: Runbook) -> Task:
    """The task kept to the zone `free`, unless a person named its paths. What may be asked for is not outside."""
    zones, own = runbook.zones, (task.runbook or "",)
    if task.paths:
        return replace(task, paths=(*task.paths, *own))
    return replace(task, paths=(*zones.free, *zones.ask, *own)) if zones.free else task
