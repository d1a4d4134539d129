"""The form of a verdict as vendors take it."""

from __future__ import annotations

from typing import Any, cast

from overnight.judge.verdict import schema

#: What every vendor's own form of a schema knows. Bounds are left to whoever reads the answer.
_KNOWN = frozenset({"type", "properties", "required", "additionalProperties", "enum", "items"})


def form() -> dict[str, Any]:
    """The schema of a verdict, in the part of JSON Schema that all vendors hold a model to."""
    return _plain(schema())


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in node.items() if key in _KNOWN}
    if "enum" in kept:
        kept = {"type": "string", **kept}
    if (properties := cast("dict[str, dict[str, Any]] | None", node.get("properties"))) is not None:
        kept["properties"] = {name: _plain(each) for name, each in properties.items()}
    if (items := cast("dict[str, Any] | None", node.get("items"))) is not None:
        kept["items"] = _plain(items)
    return kept
