"""Limits of vendors: what is known of them now, whether a run may start or go on, and when a task wakes.

A window that has begun anew since it was seen is unknown until somebody sees it again. Times are seconds; all times to
wake are drawn from the name of the run, so that they are repeatable and differ from task to task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from overnight.missions.limits import Window

#: Waits that nobody knows the length of: the first, the longest, and how far each is drawn from its middle.
FLOOR_S, CAP_S, JITTER = 10.0, 600.0, 0.25
#: Tasks that wait for the same instant wake within this time after it.
SPREAD_S = 30.0
#: A window's end that is further off than this is taken for an error of whoever told it.
FURTHEST_S = 9 * 86400.0

Percent = Annotated[int, Meta(ge=1, le=100)]
#: The percentage that bounds a window; None: nothing does.
Bound = Callable[[Window], int | None]


class Ceiling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far runs may use one of a subscription's windows."""

    #: No run starts once so many percent are used; no such limit when absent.
    start_below: Percent | None = None
    #: Runs under way are ended, their work kept, once so many percent are used; no such limit when absent.
    stop_above: Percent | None = None


class Ceilings(Ceiling, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far runs may use a subscription's windows, so that you keep your share. A window's own numbers go before
    those for all windows."""

    #: The window of five hours.
    five_hour: Ceiling = Ceiling()
    #: The windows of seven days, those of single models as well.
    seven_day: Ceiling = Ceiling()

    def of(self, window: Window) -> Ceiling:
        """The bounds of one window. Limits of a key are no window that anybody shares."""
        if not window.subscribed:
            return Ceiling()
        own = self.five_hour if window.name == "five-hour" else self.seven_day
        start = self.start_below if own.start_below is None else own.start_below
        stop = self.stop_above if own.stop_above is None else own.stop_above
        return Ceiling(start_below=start, stop_above=stop)

    @property
    def any_start(self) -> bool:
        """Some window bounds what may start."""
        return any(each.start_below is not None for each in (self, self.five_hour, self.seven_day))


class LimitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How runs share what vendors allow."""

    window: Ceilings = Ceilings()


# -- what is known ------------------------------------------------------------------------------------------


def merged(known: Iterable[Window], said: Iterable[Window]) -> tuple[Window, ...]:
    """What is known once somebody said more: of each window what was said last, in the order of their names.

    Of two things said at once the one that knows more counts.
    """
    found: dict[str, Window] = {}
    for each in (*known, *said):
        had = found.get(each.name)
        if had is None or (each.seen, each.used is not None) >= (had.seen, had.used is not None):
            found[each.name] = each
    return tuple(found[name] for name in sorted(found))


def current(window: Window, now: float) -> Window:
    """The window as far as it is known now: one that has begun anew since it was seen is unknown, not empty."""
    if window.resets is None or window.resets > now:
        return window
    return replace(window, used=None, status="", resets=None)


def rejecting(windows: Iterable[Window], now: float, model: str | None) -> Window | None:
    """The window that lets nothing through now; of several the one that does so longest. None: nothing is known to.

    A window of one model says nothing of runs with another one, or of those whose model nobody named.
    """
    shut = [w for w in windows if w.rejects and _comes(w.resets, now) and _about(w, model)]
    return max(shut, key=lambda w: w.resets or 0.0, default=None)


def _comes(at: float | None, now: float) -> bool:
    """Whether it is a time to come, and one that can be right."""
    return at is not None and now < at <= now + FURTHEST_S


def _about(window: Window, model: str | None) -> bool:
    only = window.name.removeprefix("seven-day").removeprefix("-")
    if window.name == "five-hour" or not only:
        return True
    return window.subscribed and model is not None and only in model


def crowded(windows: Iterable[Window], ceilings: Ceilings, now: float) -> Window | None:
    """The window that is used as far as runs may start; None when there is none."""
    return _beyond(windows, now, lambda window: ceilings.of(window).start_below)


def over(windows: Iterable[Window], ceilings: Ceilings, now: float) -> Window | None:
    """The window that is used as far as runs may go on; None when there is none."""
    return _beyond(windows, now, lambda window: ceilings.of(window).stop_above)


def _beyond(windows: Iterable[Window], now: float, bound: Bound) -> Window | None:
    for window in windows:
        known, percent = current(window, now), bound(window)
        # Rounded like what people see: 0.7999999 is 80 %.
        if percent is not None and known.used is not None and round(known.used * 100, 3) >= percent:
            return known
    return None


def unknown(windows: Sequence[Window], ceilings: Ceilings, now: float) -> bool:
    """A window bounds what may start, and nobody knows how much of it is used."""
    if not ceilings.any_start:
        return False
    named = {window.name: current(window, now) for window in windows}
    return any(
        ceilings.of(each).start_below is not None and each.used is None
        for each in (named.get(name, Window(name=name)) for name in ("five-hour", "seven-day"))
    )


# -- when tasks wake ----------------------------------------------------------------------------------------


def backoff(n: int, seed: str) -> float:
    """Seconds to wait after the n-th failure in a row, from 1: base x 2^n, within floor and cap, +-25 %."""
    middle = min(CAP_S / (1 + JITTER), max(FLOOR_S / (1 - JITTER), FLOOR_S * 2.0 ** min(n, 16)))
    return middle * (1 - JITTER + 2 * JITTER * drawn(seed))


def wake(at: float | None, now: float, n: int, seed: str) -> float:
    """When a task is tried again: soon after `at`, or where that is not known, or is no time to come, after a while."""
    if at is None or not _comes(at, now):
        return now + backoff(n, seed)
    return at + 1.0 + (SPREAD_S - 1.0) * drawn(seed)


def drawn(seed: str) -> float:
    """A number from 0 to 1, always the same for the same words."""
    return int.from_bytes(hashlib.sha256(seed.encode(errors="replace")).digest()[:7], "big") / float(1 << 56)
