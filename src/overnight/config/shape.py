"""Raw TOML values to typed ones, with every problem of a file found in one go.

msgspec's own conversion stops at the first problem; a person who mends a file wants all of them. So this walks
the value along the struct's type, drops what is wrong, notes why, and goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, cast

from msgspec import NODEFAULT, Struct, inspect

from overnight.errors import BadUnit
from overnight.missions.units import Duration, Money, Size

#: Where a value stands in a file: keys of tables, indices of arrays.
Path = tuple[str | int, ...]


class Problem(NamedTuple):
    """One thing that is wrong in a file."""

    path: Path
    #: A clause for a person that names what would be right.
    text: str
    #: True points at the value, False at its key.
    value: bool = True
    #: Another place that the problem is about: not worth telling when something is wrong there already.
    about: Path | None = None


_BARE = re.compile(r"[A-Za-z0-9_-]+")
BAD: Final[Any] = object()
_UNITS: dict[type, Callable[[str], Any]] = {Duration: Duration.parse, Size: Size.parse, Money: Money.parse}
_WORDS = {
    Duration: 'a duration in quotes, such as "90s", "10m" or "1h30m"',
    Size: 'a size in quotes, such as "64MiB" or "2GB"',
    Money: 'a sum of money in quotes, such as "5 USD"',
}


def name_of(path: Path) -> str:
    """`limits.wall`, `box.egress[2]` (counted from one)."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{show_key(part)}" if text else show_key(part)
    return text


def show_key(key: str) -> str:
    """A key as it must be written in TOML; control characters are escaped."""
    return key if _BARE.fullmatch(key) else json.dumps(key)


def show(value: object) -> str:
    """A value as a person would write it in TOML, cut when long."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list" if value else "[]"
    text = json.dumps(value) if isinstance(value, str | bool) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Shaper:
    """Makes one value of a struct type from a decoded TOML document."""

    def __init__(self, kind: type[Struct], short: Mapping[type, str]) -> None:
        """short: struct type -> its field that a bare value stands for."""
        self.problems: list[Problem] = []
        self._root = cast("inspect.StructType", inspect.type_info(kind))
        self._short = short

    def make(self, document: dict[str, Any]) -> Any:
        """The value, its wrong parts left at their defaults; look at `problems` before you use it."""
        return self._read(self._root, document, ())

    def _read(self, info: inspect.Type, raw: Any, path: Path) -> Any:
        match info:
            case inspect.Metadata():
                return self._read(info.type, raw, path)
            case inspect.StructType():
                return self._struct(info, raw, path)
            case inspect.DictType():
                return self._dict(info, raw, path)
            case inspect.VarTupleType():
                return self._tuple(info, raw, path)
            case inspect.UnionType():
                # TOML has no null: an optional field is present or absent.
                (inner,) = (t for t in info.types if not isinstance(t, inspect.NoneType))
                return self._read(inner, raw, path)
            case inspect.EnumType():
                return self._one_of({str(m.value): m for m in info.cls}, raw, path)
            case inspect.LiteralType():
                return self._one_of({str(v): v for v in info.values}, raw, path)
            case inspect.CustomType():
                return self._unit(info.cls, raw, path)
            case inspect.StrType():
                return self._text(info, raw, path)
            case inspect.BoolType():
                return raw if isinstance(raw, bool) else self._wrong(path, "true or false", raw)
            case inspect.IntType() | inspect.FloatType():
                return self._number(info, raw, path)
            case _:
                raise TypeError(f"{name_of(path)}: settings files have no form for {type(info).__name__}")

    def _wrong(self, path: Path, expected: str, raw: object) -> Any:
        self.problems.append(Problem(path, f"`{name_of(path)}` must be {expected}, not {show(raw)}"))
        return BAD

    def _struct(self, info: inspect.StructType, raw: Any, path: Path) -> Any:
        short = self._short.get(info.cls)
        if short is not None and isinstance(raw, str):
            raw = {short: raw}
        if not isinstance(raw, dict):
            return self._wrong(path, f"text in quotes or a table with `{short}`" if short else "a table", raw)
        table = cast("dict[str, Any]", raw)
        fields = {f.encode_name: f for f in info.fields}
        for key in table.keys() - fields.keys():
            self._unknown(path, key, tuple(fields))
        values: dict[str, Any] = {}
        for key, field in fields.items():
            required = field.default is NODEFAULT and field.default_factory is NODEFAULT
            if key in table:
                values[field.name] = self._read(field.type, table[key], (*path, key))
            elif required:
                self.problems.append(Problem(path, f"`{name_of(path)}` needs `{key}`", value=False))
                values[field.name] = BAD
            if values.get(field.name) is BAD:
                if required:
                    return BAD
                del values[field.name]
        return info.cls(**values)

    def _unknown(self, path: Path, key: str, known: tuple[str, ...]) -> None:
        from difflib import get_close_matches

        table = f"in [{name_of(path)}]" if path else "at the top of the file"
        home = _home_of(self._root, key)
        close = get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.6)
        if home is not None and home != path:
            hint = (
                f"it belongs in [{name_of(home)}]" if home else "it belongs at the top of the file, above any [table]"
            )
        elif close:
            hint = f"did you mean `{close[0]}`?"
        else:
            hint = f"known there: {', '.join(known)}"
        self.problems.append(Problem((*path, key), f"unknown key `{show_key(key)}` {table}; {hint}", value=False))

    def _dict(self, info: inspect.DictType, raw: Any, path: Path) -> Any:
        if not isinstance(raw, dict):
            return self._wrong(path, "a table", raw)
        table = cast("dict[str, Any]", raw)
        keys = {str(m.value): m for m in info.key_type.cls} if isinstance(info.key_type, inspect.EnumType) else None
        if keys is not None:
            for key in table.keys() - keys.keys():
                self._unknown(path, key, tuple(keys))
            table = {key: item for key, item in table.items() if key in keys}
        read = {key: self._read(info.value_type, item, (*path, key)) for key, item in table.items()}
        return {keys[key] if keys else key: item for key, item in read.items() if item is not BAD}

    def _tuple(self, info: inspect.VarTupleType, raw: Any, path: Path) -> Any:
        if not isinstance(raw, list):
            example = f": write [{show(raw)}]" if isinstance(raw, str) else ""
            return self._wrong(path, "a list", raw) if not example else self._listless(path, example)
        items = cast("list[Any]", raw)
        if info.min_length and len(items) < info.min_length:
            return self._wrong(path, f"a list with at least {info.min_length} item", items)
        read = [self._read(info.item_type, item, (*path, i)) for i, item in enumerate(items)]
        return tuple(item for item in read if item is not BAD)

    def _listless(self, path: Path, example: str) -> Any:
        self.problems.append(Problem(path, f"`{name_of(path)}` must be a list{example}"))
        return BAD

    def _one_of(self, values: Mapping[str, Any], raw: Any, path: Path) -> Any:
        if isinstance(raw, str) and raw in values:
            return values[raw]
        return self._wrong(path, "one of " + ", ".join(show(value) for value in values), raw)

    def _unit(self, cls: type, raw: Any, path: Path) -> Any:
        # A bare number is refused: `limit = 10` may mean seconds or minutes.
        if not isinstance(raw, str):
            return self._wrong(path, _WORDS[cls], raw)
        try:
            value = _UNITS[cls](raw)
        except BadUnit:
            return self._wrong(path, _WORDS[cls], raw)
        return value if value > 0 else self._wrong(path, "more than nothing", raw)

    def _text(self, info: inspect.StrType, raw: Any, path: Path) -> Any:
        if not isinstance(raw, str):
            return self._wrong(path, "text in quotes", raw)
        if "\0" in raw:
            return self._wrong(path, "text without NUL characters", raw)
        if info.min_length and len(raw) < info.min_length:
            return self._wrong(path, "text that is not empty", raw)
        return raw

    def _number(self, info: inspect.IntType | inspect.FloatType, raw: Any, path: Path) -> Any:
        whole = isinstance(info, inspect.IntType)
        fits = isinstance(raw, int if whole else int | float) and not isinstance(raw, bool)
        if fits and (info.ge is None or raw >= info.ge) and (info.le is None or raw <= info.le):
            return raw if whole else float(raw)
        kind = "a whole number" if whole else "a number"
        if info.ge is not None and info.le is not None:
            kind += f" from {info.ge} to {info.le}"
        elif info.ge is not None:
            kind += f" of at least {info.ge}"
        elif info.le is not None:
            kind += f" of at most {info.le}"
        return self._wrong(path, kind, raw)


def _home_of(root: inspect.StructType, key: str) -> Path | None:
    """The one table (down to two levels) that knows this key, or None when there is none or more than one."""
    homes: list[Path] = [()] if any(f.encode_name == key for f in root.fields) else []
    homes += (
        (field.encode_name,)
        for field in root.fields
        if isinstance(field.type, inspect.StructType) and any(f.encode_name == key for f in field.type.fields)
    )
    return homes[0] if len(homes) == 1 else None
