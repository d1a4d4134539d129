"""Options of a command, read as getopt reads them: clusters, values, abbreviations of long names, `--`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from overnight.guard.text import Text


class Options:
    """What was found: flags (with their dashes), values per option, operands in order."""

    __slots__ = ("flags", "operands", "values")

    def __init__(self) -> None:
        self.flags: set[str] = set()
        self.values: dict[str, list[Text]] = {}
        self.operands: list[Text] = []

    def has(self, *names: str) -> bool:
        """True when one of the options was given."""
        return any(name in self.flags or name in self.values for name in names)

    def value(self, *names: str) -> Text | None:
        """The last value given to one of the names."""
        for name in names:
            if self.values.get(name):
                return self.values[name][-1]
        return None

    def all(self, *names: str) -> list[Text]:
        """Every value given to the names."""
        return [value for name in names for value in self.values.get(name, [])]


def options(
    args: Sequence[Text],
    valued: Collection[str] = (),
    longs: Collection[str] = (),
    *,
    leading: bool = False,
    single_dash: bool = False,
) -> Options:
    """Read options.

    valued: names (with dashes) whose value is the next word when it is not attached. longs: long names that may be
    abbreviated, besides those in `valued`. leading: the first operand ends the options (wrappers). single_dash:
    `-name` is one option (find, java, terraform).
    """
    found = Options()
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            found.operands += rest
            break
        if word.startswith("--") or (single_dash and word.startswith("-") and len(word) > 1):
            _long(word, rest, found, valued, longs)
        elif word.startswith("-") and len(word) > 1:
            _short(word, rest, found, valued)
        else:
            found.operands.append(word)
            if leading:
                found.operands += rest
                break
    return found


def _long(word: Text, rest: list[Text], found: Options, valued: Collection[str], longs: Collection[str]) -> None:
    name, equals, value = word.partition("=")
    name = unabbreviated(name, [*(v for v in valued if v.startswith("--")), *longs])
    if equals:
        found.values.setdefault(name, []).append(Text(value, word.taint))
    elif name in valued and rest:
        found.values.setdefault(name, []).append(rest.pop(0))
    else:
        found.flags.add(name)


def _short(word: Text, rest: list[Text], found: Options, valued: Collection[str]) -> None:
    for place in range(1, len(word)):
        name = "-" + word[place]
        if name in valued:
            tail = word[place + 1 :]
            if tail:
                found.values.setdefault(name, []).append(Text(tail, word.taint))
            elif rest:
                found.values.setdefault(name, []).append(rest.pop(0))
            else:
                found.flags.add(name)
            return
        found.flags.add(name)


def unabbreviated(name: str, longs: Collection[str]) -> str:
    """The full name that `name` is an unambiguous beginning of, or the name itself."""
    if name in longs or len(name) < 3:
        return name
    fits = [long for long in longs if long.startswith(name)]
    return fits[0] if len(fits) == 1 else name


def ambiguous(name: str, longs: Collection[str]) -> list[str]:
    """Every long name that `name` may stand for."""
    return [name] if name in longs else [long for long in longs if long.startswith(name)]
