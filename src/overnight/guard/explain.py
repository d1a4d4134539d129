"""Why a command is judged as it is, as plain text: the parse, the effects, the rules, the verdict."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import Struct

from overnight.guard.decide import Assessment, assess
from overnight.guard.effects import AnyEffect
from overnight.guard.ledger import Ledger
from overnight.guard.parser import parse
from overnight.guard.policy import GuardPolicy
from overnight.guard.scanner import SyntaxProblem
from overnight.guard.text import shown
from overnight.guard.verdict import Call
from overnight.guard.world import Bounds, World


class Explanation(Struct, frozen=True, kw_only=True):
    """Everything that a verdict stands on, ready to be shown."""

    #: The tree, a line per node, indented; or why there is none.
    tree: tuple[str, ...]
    assessment: Assessment

    def text(self) -> str:
        """For a terminal."""
        verdict = self.assessment.verdict
        lines = ["parse", *(f"  {line}" for line in self.tree), "effects"]
        lines += [f"  {effect_line(effect)}" for effect in self.assessment.effects] or ["  none"]
        lines.append("findings")
        lines += [
            f"  {finding.decision} {finding.rule}: {finding.reason}" + (" (floor)" if finding.floor else "")
            for finding in self.assessment.findings
        ] or ["  none"]
        lines.append(f"verdict\n  {verdict.decision} {verdict.rule}: {verdict.reason}")
        if verdict.words:
            lines.append(f"  because of: {' '.join(verdict.words)}")
        return "\n".join(lines)


def explain(call: Call, policy: GuardPolicy, bounds: Bounds, world: World, ledger: Ledger) -> Explanation:
    """The verdict on a call with its reasons."""
    command = call.input.get("command")
    tree = _tree(command) if isinstance(command, str) else (f"{call.tool} {sorted(call.input)}",)
    return Explanation(tree=tree, assessment=assess(call, policy, bounds, world, ledger))


def effect_line(effect: AnyEffect) -> str:
    """One effect in one line: its kind and every field that says something."""
    fields = {
        name: value
        for name, value in msgspec.structs.asdict(effect).items()
        if name != "words" and value not in ("", (), 0, None, False)
    }
    said = " ".join(f"{name}={shown(str(value))[:100]!r}" for name, value in fields.items())
    return f"{effect.__struct_config__.tag} {said}"


def _tree(command: str) -> tuple[str, ...]:
    try:
        return tuple(_lines(parse(command), 0))[:200]
    except SyntaxProblem as problem:
        return (f"not parsed: {problem}",)


def _lines(node: Any, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(node, Struct):
        values = [(name, getattr(node, name)) for name in node.__struct_fields__]
        plain = [
            f"{name}={value!r}"
            for name, value in values
            if isinstance(value, str | bool | int) and value not in ("", False)
        ]
        out = [f"{pad}{type(node).__name__} {' '.join(plain)}".rstrip()]
        for _, value in values:
            if isinstance(value, Struct | tuple):
                out += _lines(value, depth + 1)
        return out
    if isinstance(node, tuple):
        return [line for item in cast("tuple[Any, ...]", node) for line in _lines(item, depth)]
    return []
