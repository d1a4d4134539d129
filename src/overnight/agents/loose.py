"""Reading JSON whose shape belongs to others: a field that is missing or of another type is absent, never an error."""

from __future__ import annotations

from typing import Any, cast

import msgspec


def line(data: bytes) -> dict[str, Any]:
    """One line as an object; {} when it is none."""
    try:
        value = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def text(value: dict[str, Any], key: str) -> str:
    """A text field; empty when absent."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def number(value: dict[str, Any], key: str) -> float | None:
    """A number; None when absent."""
    found = value.get(key)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def whole(value: dict[str, Any], key: str) -> int | None:
    """A whole number; None when absent."""
    found = number(value, key)
    return int(found) if found is not None and found == int(found) else None


def child(value: dict[str, Any], key: str) -> dict[str, Any]:
    """An object; {} when absent."""
    found = value.get(key)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def children(value: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects in a list; [] when absent."""
    found = value.get(key)
    items = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def texts(value: dict[str, Any], key: str) -> list[str]:
    """The texts in a list; [] when absent."""
    found = value.get(key)
    items = cast("list[Any]", found) if isinstance(found, list) else []
    return [item for item in items if isinstance(item, str)]
