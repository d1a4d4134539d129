"""All that is looked for, in one call."""

from __future__ import annotations

from collections.abc import Sequence

from overnight.judge.change import Change
from overnight.judge.tamper import runner, settings, source, tests
from overnight.judge.tamper.findings import Tampering, Trick
from overnight.missions.run import Mutation


def tampering(changes: Sequence[Change]) -> tuple[Tampering, ...]:
    """Every finding, what blocks first; then by path and line."""
    found = {*tests.look(changes), *settings.look(changes), *source.look(changes), *runner.look(changes)}
    return tuple(sorted(found, key=lambda each: (not each.blocks, each.path, each.line, each.trick, each.why)))


def toothless(mutation: Mutation | None) -> tuple[Tampering, ...]:
    """Checks that pass without the change. A doubt and no block: tests that pin down what was right before have their
    worth too."""
    if mutation is None:
        return ()
    source, path = ", ".join(mutation.back.source[:3]), next(iter(mutation.back.tests), "")
    whys = (f"check {name!r} passes also without the change to {source}" for name in mutation.toothless)
    return tuple(Tampering(trick=Trick.TOOTHLESS_TESTS, path=path, line=1, why=why) for why in whys)
