"""The owner of the machine bounds what a repo may ask for, never the other way round."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import asdict, replace

from overnight.config.settings import Settings
from overnight.guard.policy import Layers
from overnight.missions.money import Amount, Budget
from overnight.missions.policy import BoxLevel, BoxPolicy, Check, Limits, Policy
from overnight.missions.stall import StallLimits
from overnight.missions.units import Duration, show_duration

_STRENGTH = tuple(BoxLevel)


class Bounded(NamedTuple):
    """A policy within a machine's bounds."""

    policy: Policy
    #: What the repo asked for and does not get, each with where to change it. Empty when it gets all.
    notes: tuple[str, ...]


def bound(policy: Policy, settings: Settings) -> Bounded:
    """What a repo gets of what it asks for. Bounding what is bounded changes nothing."""
    notes: list[str] = []
    checks = {name: _check(name, check, settings, notes) for name, check in policy.checks.items()}
    limits = _limits(policy.limits, settings, notes)
    box = _box(policy.box, settings, notes)
    notes += _guard(policy, settings)
    writes = policy.allow_remote_writes and settings.bounds.allow_remote_writes
    if policy.allow_remote_writes and not writes:
        notes.append(f"allow_remote_writes is false, not true: {_owner('bounds.allow_remote_writes')}")
    bounded = replace(policy, checks=checks, limits=limits, box=box, allow_remote_writes=writes)
    return Bounded(bounded, tuple(notes))


def _guard(policy: Policy, settings: Settings) -> Iterator[str]:
    """What the repo's `[guard]` asks for and does not get. The table stays as it is: the guard takes the stricter."""
    for name, asked, holds in Layers(user=settings.guard.tables(attended=False), repo=policy.guard).refused():
        yield f"guard.{name} is {holds!r}, not {asked!r}: {_owner('guard.' + name)}"


def _limits(limits: Limits, settings: Settings, notes: list[str]) -> Limits:
    wall, attempts = settings.bounds.wall, settings.bounds.attempts
    if wall is not None and limits.wall > wall:
        notes.append(f"limits.wall is {show_duration(wall)}, not {show_duration(limits.wall)}: {_owner('bounds.wall')}")
        limits = replace(limits, wall=Duration(wall))
    if attempts is not None and limits.attempts > attempts:
        notes.append(f"limits.attempts is {attempts}, not {limits.attempts}: {_owner('bounds.attempts')}")
        limits = replace(limits, attempts=attempts)
    limits = replace(limits, budget=_budget(limits.budget, settings, notes))
    return replace(limits, stall=_stall(limits.stall, settings, notes))


def _stall(stall: StallLimits, settings: Settings, notes: list[str]) -> StallLimits:
    for name, most in asdict(settings.bounds.stall).items():
        if most is not None and getattr(stall, name) > most:
            notes.append(f"limits.stall.{name} is {most}, not {getattr(stall, name)}: {_owner(f'bounds.stall.{name}')}")
            stall = replace(stall, **{name: most})
    return stall


def _budget(budget: Budget, settings: Settings, notes: list[str]) -> Budget:
    """For a person who wonders; both limits hold anyway, each in its own window."""
    for span in ("run", "task", "day", "month", "all"):
        asked: Amount | None = getattr(budget, span)
        for own, key in ((settings.budget, f"budget.{span}"), (settings.budget.repo, f"budget.repo.{span}")):
            most: Amount | None = getattr(own, span)
            if asked is None or most is None or asked.usd is None or most.usd is None or asked.usd <= most.usd:
                continue
            notes.append(f"limits.budget.{span} is {most.usd} USD, not {asked.usd} USD: {_owner(key)}")
            asked = replace(asked, usd=most.usd)
        budget = replace(budget, **{span: asked})
    return budget


def _box(box: BoxPolicy, settings: Settings, notes: list[str]) -> BoxPolicy:
    least = settings.bounds.box
    if _STRENGTH.index(box.minimum) < _STRENGTH.index(least):
        notes.append(f"box.minimum is {least.value!r}, not {box.minimum.value!r}: {_owner('bounds.box', 'no less')}")
        box = replace(box, minimum=least)
    return replace(box, egress=_allowed("box.egress", box.egress, settings, notes))


def _check(name: str, check: Check, settings: Settings, notes: list[str]) -> Check:
    return replace(check, egress=_allowed(f"checks.{name}.egress", check.egress, settings, notes))


def _allowed(where: str, asked: Iterable[str], settings: Settings, notes: list[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for host in asked:
        if any(_covers(pattern, host) for pattern in settings.bounds.egress):
            kept.append(host)
        else:
            notes.append(f"{where} is without {host}: {_owner('bounds.egress')}")
    return tuple(kept)


def _covers(pattern: str, host: str) -> bool:
    """`*.example.org` covers every host below example.org, and patterns for them; not example.org itself."""
    if not pattern.startswith("*."):
        return pattern == host
    return host == pattern or host.removeprefix("*.").endswith(pattern[1:])


def _owner(key: str, limit: str = "no more") -> str:
    return f"this machine's settings allow {limit} (`{key}`)"
