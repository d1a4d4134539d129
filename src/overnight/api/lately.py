"""Values that are dear to make, for all who ask: made once for each change, by one at a time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

#: What takes longer than this to make is made anew while the one before still serves.
DEAR_S = 0.01
#: Of the time that passes, at most one part in so many goes into making one such value.
PART = 10.0
#: Once something changed it serves for so many times as long as it took to make, and not longer than this, unless said
#: otherwise: many who ask share one that is a little old, and one who asks now and then has what is.
SHARED, LATE_S = 30.0, 15.0
#: Even then it is made anew after this time.
MOST_S = 60.0
#: So many are kept.
KEPT = 32


class _One:
    """One value."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value: Any = None
        self.mark: object = None
        self.began = self.made = float("-inf")
        self.took = 0.0
        self.under_way = False


class Lately:
    """By key. From any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._ones = OrderedDict[Hashable, _One]()

    def get(self, key: Hashable, mark: object, make: Callable[[], Any], late: float | None = None) -> Any:
        """The value for this mark; or, where that is dear, one of a little earlier. Raises what `make` raises.

        mark: changes whenever the value may have. make: may be called in another thread. late: seconds after which no
        earlier one serves.
        """
        one, asked = self._of(key), self._clock()
        age = asked - one.made
        if _is_new(one, mark, age):
            return one.value
        if _is_shared(one, age, late):
            value = one.value
            if age > one.took * PART:
                self._begin(one, mark, make)
            return value
        with one.lock:
            if one.began < asked:  # else another made it while this one waited
                self._make(one, mark, make)
            return one.value

    def waits(self, key: Hashable, mark: object, late: float) -> bool:
        """Whether who asks for it now waits until it is made."""
        with self._lock:
            one = self._ones.get(key)
        if one is None:
            return True
        age = self._clock() - one.made
        return not (_is_new(one, mark, age) or _is_shared(one, age, late))

    def _of(self, key: Hashable) -> _One:
        with self._lock:
            one = self._ones.setdefault(key, _One())
            self._ones.move_to_end(key)
            if len(self._ones) > KEPT:
                self._ones.popitem(last=False)
            return one

    def _make(self, one: _One, mark: object, make: Callable[[], Any]) -> None:
        began = self._clock()
        value = make()
        now = self._clock()
        one.value, one.took, one.began, one.made, one.mark = value, now - began, began, now, mark

    def _begin(self, one: _One, mark: object, make: Callable[[], Any]) -> None:
        with self._lock:
            if one.under_way:
                return
            one.under_way = True

        def work() -> None:
            try:
                with one.lock:
                    self._make(one, mark, make)
            except Exception:
                one.made = float("-inf")
            finally:
                one.under_way = False

        threading.Thread(target=work, name="overnight-lately", daemon=True).start()


def _is_new(one: _One, mark: object, age: float) -> bool:
    """Nothing changed since it was made."""
    return one.mark == mark and age < MOST_S


def _is_shared(one: _One, age: float, late: float | None) -> bool:
    """It is dear, and not too old to serve although something changed."""
    late = min(LATE_S, one.took * SHARED) if late is None else late
    return one.took > DEAR_S and age < late
