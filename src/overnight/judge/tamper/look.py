"""All that is looked for, in one call."""

from __future__ import annotations

from collections.abc import Sequence

from overnight.judge.change import Change
from overnight.judge.tamper import runner, settings, source, tests
from overnight.judge.tamper.findings import Tampering


def tampering(changes: Sequence[Change]) -> tuple[Tampering, ...]:
    """Every finding, what blocks first; then by path and line."""
    found = {*tests.look(changes), *settings.look(changes), *source.look(changes), *runner.look(changes)}
    return tuple(sorted(found, key=lambda each: (not each.blocks, each.path, each.line, each.trick, each.why)))
