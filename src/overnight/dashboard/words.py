"""What pages say, in English and in other languages; times and sums as people read them.

The English text is its own key. A text that a language lacks is shown in English. So is what was recorded, and what agents
and people said: only sentences that are put together elsewhere for whoever looks, such as what came of a button, are known
here by their pattern.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from importlib import resources

from overnight.missions.units import show_duration, show_size

#: Code -> name, as its speakers call it.
LANGUAGES = {"en": "English", "de": "Deutsch"}
Say = Callable[..., str]
_PLACE = re.compile(r"\{\w+\}")
#: Characters of a sentence that patterns are tried on: what one with four places takes grows with more than their square.
MOST_RETOLD = 600
#: Places of sentences that hold a number; and those that hold a sentence or a word of ours. All others hold names.
_NUMBERS, _RETOLD = (
    frozenset({"n", "all", "count", "cut"}),
    frozenset({"why", "next", "state", "verb", "reason", "end", "rest"}),
)


@cache
def texts(language: str) -> dict[str, str]:
    """English -> this language; empty for English."""
    if language not in LANGUAGES or language == "en":
        return {}
    file = resources.files("overnight.dashboard") / "texts" / f"{language}.json"
    return json.loads(file.read_text(encoding="utf-8"))


def speaker(language: str) -> Say:
    """`say("{n} queued", n=3)` in a language."""
    known = texts(language)

    def say(text: str, **values: object) -> str:
        said = known.get(text, text)
        return said.format(**values) if values else said

    return say


@cache
def sentences(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Patterns of English sentences that others put together, the most exact first, with what they are in this language."""
    if language not in LANGUAGES or language == "en":
        return ()
    file = resources.files("overnight.dashboard") / "texts" / f"{language}.told.json"
    known: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    exact = sorted(known, key=lambda text: -len(_PLACE.sub("", text)))
    return tuple((_pattern(text), known[text]) for text in exact)


def _pattern(text: str) -> re.Pattern[str]:
    """`{task} goes on.` as what it looks like with values in it."""
    parts = re.split(r"\{(\w+)\}", text)
    held = {part: r"\d+" if part in _NUMBERS else ".+?" for part in parts[1::2]}
    return re.compile(
        "".join(f"(?P<{part}>{held[part]})" if n % 2 else re.escape(part) for n, part in enumerate(parts)), re.DOTALL
    )


def reteller(language: str) -> Callable[[str], str]:
    """`retell("fix-login-7k3f goes on.")` in a language; what no pattern knows stays as it is."""

    def retell(text: str) -> str:
        for pattern, said in sentences(language) if len(text) <= MOST_RETOLD else ():
            if (found := pattern.fullmatch(text)) is not None:
                places = found.groupdict()
                return said.format(
                    **{name: part(value) if name in _RETOLD else value for name, value in places.items()}
                )
        return text

    def part(text: str) -> str:
        return texts(language).get(text) or retell(text)

    return retell


def choose(cookie: str, accepted: str) -> str:
    """The language of a request: what was chosen, else what the browser prefers, else English."""
    if cookie in LANGUAGES:
        return cookie
    for part in accepted.split(","):
        code = part.split(";")[0].strip().lower().partition("-")[0]
        if code in LANGUAGES:
            return code
    return "en"


def clock(at: float | None, now: float | None = None, say: Say = str) -> str:
    """`03:12` today, `Mon 03:12` within a week, otherwise its date. say: names of days and months in a language."""
    if at is None:
        return "–"
    now = time.time() if now is None else now
    then, today = time.localtime(at), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M", then)
    if abs(now - at) < 6 * 86400:
        return f"{say(weekday(at)[:3])} {time.strftime('%H:%M', then)}"
    return f"{then.tm_mday:02d} {say(MONTHS[then.tm_mon - 1])} {then.tm_year}"


def day(at: float) -> str:
    """`2026-11-21`, by this machine's clock."""
    return time.strftime("%Y-%m-%d", time.localtime(at))


def weekday(at: float) -> str:
    """`Saturday`: the key of its name."""
    return _WEEKDAYS[time.localtime(at).tm_wday]


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def minute(at: float) -> str:
    """`03:12`, of any day."""
    return time.strftime("%H:%M", time.localtime(at))


def stamp(at: float | None) -> str:
    """`03:12:07`, of today or any day."""
    return "–" if at is None else time.strftime("%H:%M:%S", time.localtime(at))


def iso(at: float) -> str:
    """For a machine: `2026-11-21T03:12:07Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def span(seconds: float) -> str:
    """`3m20s`, never less than nothing."""
    return show_duration(max(0.0, seconds))


def money(amount: Decimal | float | None) -> str:
    """`$0.42`; an unknown sum is not none."""
    if amount is None:
        return "?"
    value = Decimal(str(amount))
    if value and abs(value) < Decimal("0.01"):
        return "<$0.01"
    return f"${value:,.2f}"


def many(count: int) -> str:
    """`950`, `12.3k`, `4.5M`."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")):
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + unit
    return str(count)


def short(commit: str | None) -> str:
    """A commit's first characters."""
    return commit[:10] if commit else "–"


FILTERS: dict[str, Callable[..., str]] = {
    "clock": clock, "stamp": stamp, "day": day, "weekday": weekday, "minute": minute, "iso": iso, "span": span, "money": money, "many": many, "short": short,
    "size": show_size,
}  # fmt: skip
