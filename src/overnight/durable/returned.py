"""What a step's function returns: its recorded outcome is read back as that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints
from weakref import WeakKeyDictionary

_returned: WeakKeyDictionary[Callable[..., Any], Any] = WeakKeyDictionary()


def returns(fn: Callable[..., Any]) -> Any:
    """The type that a step's function is annotated to return: what its recorded outcome is read back as."""
    while isinstance(fn, partial):
        fn = fn.func
    fn = getattr(fn, "__func__", fn)  # bound methods share their function's entry
    if not hasattr(fn, "__code__"):
        fn = type(fn).__call__
    if fn not in _returned:
        hints = get_type_hints(fn)
        if "return" not in hints:
            raise TypeError(f"{fn!r} must say what it returns: its outcome is read back from the journal")
        _returned[fn] = hints["return"]
    return _returned[fn]
