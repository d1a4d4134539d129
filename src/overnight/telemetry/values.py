"""Spans and measurements as plain values, and their ids: the same records give the same ids, whenever they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from msgspec import Struct

Value = str | int | float | bool | tuple[str, ...]


class Mark(Struct, frozen=True):
    """A moment within a span."""

    #: Epoch seconds.
    at: float
    name: str
    attributes: Mapping[str, Value] = {}


class Span(Struct, frozen=True, kw_only=True):
    """One thing that took time, and is over."""

    #: 32 and 16 hex digits.
    trace: str
    id: str
    #: The span that it is a part of; None at the root.
    parent: str | None = None
    name: str
    #: It asks something outside, such as a model's service.
    client: bool = False
    #: Epoch seconds.
    start: float
    end: float
    attributes: Mapping[str, Value] = {}
    #: The class of its failure, a short name; empty when it did not fail.
    error: str = ""
    marks: tuple[Mark, ...] = ()
    #: (trace, span) of what came before it elsewhere.
    links: tuple[tuple[str, str], ...] = ()


class Measured(Struct, frozen=True):
    """One measurement. See `measures.INSTRUMENTS`."""

    name: str
    value: float
    attributes: Mapping[str, Value] = {}


def trace_id(task: str, created: float, life: int) -> str:
    """Of one life of a task. created: epoch seconds, as the journal has it: it tells state folders apart."""
    return _digest("task", task, repr(created), str(life))[:32]


def span_id(trace: str, *names: str) -> str:
    """Of what these names name within a trace."""
    return _digest(trace, *names)[:16]


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode(errors="backslashreplace")).hexdigest()
