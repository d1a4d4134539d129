"""From words to fields: every value that a word may have, with what is unknown left as holes."""

from __future__ import annotations

import re
from collections.abc import Callable

from overnight.guard.parser import parse
from overnight.guard.patterns import case_changed, replaced, sliced, trimmed
from overnight.guard.state import State, Values, union
from overnight.guard.syntax import Arith, ArrayLit, Lit, Param, Part, Proc, Script, Sub, Word
from overnight.guard.text import CLASS, HOLE, QUESTION, STAR, Text, known

#: Ways that one word may turn out.
MOST = 12
_SPLIT = re.compile(r"[ \t\n]+")
_GLOB = re.compile(r"[*?\[]")
_CLASS = re.compile(r"\[[!^]?\]?[^\]/]*\]")
_SUM = re.compile(r"[\d\s+*-]{1,40}\Z")

#: Runs a substitution's script in a copy of the state; returns its standard output.
Runner = Callable[[Script, State], Text]
#: Makes a name for a process substitution.
Plumber = Callable[[Proc, State], Text]


class Expander:
    """Expansion against a state; running substitutions is the interpreter's."""

    def __init__(self, run: Runner, plumb: Plumber, home: str) -> None:
        self._run = run
        self._plumb = plumb
        self._home = home

    def fields(self, word: Word, state: State) -> list[list[Text]]:
        """Every list of fields that the word may become."""
        parts = word.parts
        if len(parts) == 1 and isinstance(parts[0], Lit):
            part = parts[0]
            return [[Text(part.text if part.quoted else self._live(part.text, first=True))]]
        ways: list[list[list[Text]]] = [[]]
        for place, part in enumerate(parts):
            grown: list[list[list[Text]]] = []
            for choice in self._part(part, state, first=place == 0):
                grown += [[*way, choice] for way in ways]
            ways = grown if len(grown) <= MOST else [_blurred(grown)]
        quoted = any(getattr(part, "quoted", False) for part in parts)
        return _distinct([_glued(way, keep=quoted) for way in ways])

    def text(self, word: Word, state: State) -> Values:
        """Every value of the word where no splitting happens (assignment, redirection, here-document)."""
        found: Values = ()
        for fields in self.fields(word, state):
            taint = 0
            for field in fields:
                taint |= field.taint
            found = union(found, (Text(" ".join(fields), taint),))
        return found or (Text(""),)

    # -- parts: each choice is a list of fields; the first glues to what is before, the last to what comes after

    def _part(self, part: Part, state: State, *, first: bool) -> list[list[Text]]:
        if isinstance(part, Lit):
            return [[Text(part.text if part.quoted else self._live(part.text, first=first))]]
        if isinstance(part, Param):
            return self._param(part, state)
        if isinstance(part, Sub):
            out = self._run(part.script, state)
            stripped = Text(out.rstrip("\n"), out.taint)
            return [[stripped] if part.quoted else _split(stripped)]
        if isinstance(part, Proc):
            return [[self._plumb(part, state)]]
        if isinstance(part, Arith):
            text = self.text(part.body, state)[0]
            return [[Text(_sum(text) if _SUM.match(text) else STAR)]]
        assert isinstance(part, ArrayLit)
        return [[item for word in part.items for item in self.fields(word, state)[0]]]

    def _live(self, text: str, *, first: bool) -> str:
        if first and text.startswith("~"):
            user, slash, rest = text[1:].partition("/")
            if user in ("", "+"):
                text = (self._home if not user else ".") + slash + rest
            elif user == "root":
                text = "/root" + slash + rest
            elif user.isalnum():
                text = "/home/" + user + slash + rest
        if not _GLOB.search(text):
            return text
        text = _CLASS.sub(_class, text)
        return text.replace("*", STAR).replace("?", QUESTION)

    # -- parameters

    def _param(self, part: Param, state: State) -> list[list[Text]]:
        if part.name in ("@", "*") or (part.index is not None and part.index.literal() in ("@", "*")):
            many = self._many(part, state)
            if many is not None:
                star = part.name == "*" or (part.index is not None and part.index.literal() == "*")
                if part.length:
                    return [[Text(str(len(many)))]]
                if part.quoted and star:
                    return [[_joined(many)]]
                return [many if part.quoted else [piece for value in many for piece in _split(value)]]
        values = self._values(part, state)
        if part.quoted:
            return [[value] for value in values]
        marks = state.get("IFS")[0]
        if marks != " \t\n" and marks and HOLE not in marks:
            values = tuple(Text(value.translate({ord(mark): " " for mark in marks}), value.taint) for value in values)
        return [_split(value) for value in values]

    def _many(self, part: Param, state: State) -> list[Text] | None:
        if part.name in ("@", "*"):
            found = state.positional
            if found is None:
                return [] if not part.op else None
        elif part.indirect:
            return [Text(key) for key in state.arrays.get(part.name, {})]
        else:
            array = state.arrays.get(state.names.get(part.name, part.name))
            if array is None:
                return None
            # Bash gives the elements by their numbers, not in the order they were set.
            numbered = all(key.isdigit() for key in array)
            found = [array[key] for key in sorted(array, key=int)] if numbered else list(array.values())
        if not part.op:
            return found
        if part.op == ":" and part.arg is not None:
            numbers = self.text(part.arg, state)[0]
            return _sliced(found, numbers, one=part.name in ("@", "*"))
        values = [self._operated(part, (value,), state)[0] for value in found]
        return values or None

    def _values(self, part: Param, state: State) -> Values:
        values = self._plain(part, state)
        if part.indirect:
            values = tuple(value for name in values for value in (self._named(name, state)))
        if part.length:
            return tuple(Text(str(len(value)) if known(value) else STAR) for value in values)
        return self._operated(part, values, state) if part.op else values

    def _named(self, name: Text, state: State) -> Values:
        if not known(name):
            return (Text(HOLE, name.taint),)
        base, _, index = name.partition("[")
        if index:
            return (state.arrays.get(base, {}).get(index.rstrip("]"), Text(HOLE)),)
        if name.isdigit():
            return self._plain(Param(str(name)), state)
        return state.get(name)

    def _plain(self, part: Param, state: State) -> Values:
        name = part.name
        if part.index is not None:
            array = state.arrays.get(state.names.get(name, name), {})
            key = self.text(part.index, state)[0]
            if _SUM.match(key):
                key = Text(_sum(key))
            if key.startswith("-") and key[1:].isdigit() and array:
                return tuple(list(array.values())[-int(key) :][:1]) if int(key[1:]) <= len(array) else (Text(""),)
            if known(key):
                return (array.get(key, Text(HOLE if name not in state.arrays else "")),)
            return tuple(array.values()) or (Text(HOLE),)
        if name.isdigit():
            if name == "0":
                return state.vars.get("0", (Text("bash"),))
            if state.positional is None:
                return (Text(""),)
            at = int(name) - 1
            if any(HOLE in value for value in state.positional[: at + 1]):
                return (Text(HOLE),)
            return (state.positional[at],) if at < len(state.positional) else (Text(""),)
        if name in "?#$!-":
            return (Text(str(len(state.positional or ())) if name == "#" else STAR),)
        return state.get(name)

    def _operated(self, part: Param, values: Values, state: State) -> Values:
        op, arg = part.op, part.arg or Word()
        if op in (":-", "-", ":=", "=", ":+", "+", ":?", "?"):
            return self._defaulted(part, values, state)
        patterns = self.text(arg, state)
        pattern = patterns[0] if len(patterns) == 1 else Text(HOLE)
        if op == "@" and pattern == "P":
            return tuple(self._prompted(value, state) for value in values)
        return tuple(_changed(op, value, pattern) for value in values)

    def _prompted(self, value: Text, state: State) -> Text:
        """`${x@P}` expands a value as a prompt: the substitutions in it run."""
        if "$(" not in value and "`" not in value:
            return value
        quoted = value.replace('"', '\\"')
        self._run(parse(f': "{quoted}"'), state)
        return Text(HOLE, value.taint)

    def _defaulted(self, part: Param, values: Values, state: State) -> Values:
        unset = all(value == HOLE for value in values) and part.name not in state.vars
        missing = all(value == "" for value in values)
        if part.op in ("?", ":?"):
            return values
        other = self.text(part.arg or Word(), state)
        if part.op in (":+", "+"):
            return (Text(""),) if missing else union(other, (Text(""),)) if unset else other
        if not unset and not missing and not any(value == "" or value[:1] == HOLE for value in values):
            return values
        if part.op in (":=", "="):
            state.set(part.name, other if missing or unset else union(values, other))
        if missing and (part.op[0] == ":" or part.name not in state.vars or part.name):
            return other
        return union(other, () if unset and part.name.isdigit() else tuple(v for v in values if v != ""))


def _class(found: re.Match[str]) -> str:
    text = found.group()
    return text[1] if len(text) == 3 and text[1] not in "!^" else CLASS


def _sum(text: str) -> str:
    total, sign, term = 0, 1, 1
    pieces = re.findall(r"\d+|[+*-]", text)
    expecting = True
    for piece in pieces:
        if piece.isdigit():
            term = min(term * int(piece[:9]), 10**12) if expecting else term
            expecting = False
        elif piece == "*":
            expecting = True
        else:
            total, sign, term, expecting = total + (0 if expecting else sign * term), 1 if piece == "+" else -1, 1, True
    return str(total + (0 if expecting else sign * term))


def _changed(op: str, value: Text, pattern: Text) -> Text:
    if not known(value.replace(STAR, "")) or HOLE in pattern:
        return Text(HOLE, value.taint)
    if op in ("#", "##", "%", "%%"):
        return Text(trimmed(value, op, pattern), value.taint)
    if op[0] == "/":
        return Text(replaced(value, op, pattern), value.taint)
    if op[0] in "^,":
        return Text(case_changed(value, op), value.taint)
    if op == ":":
        return Text(sliced(value, pattern), value.taint)
    return Text(value if pattern in ("Q", "P", "E", "A") else HOLE, value.taint)


def _sliced(values: list[Text], numbers: str, *, one: bool) -> list[Text]:
    found = re.match(r"\s*(\d+)\s*(?::\s*(\d+))?\s*\Z", numbers)
    if not found:
        return [Text(HOLE)]
    start = int(found.group(1)) - (1 if one else 0)
    if start < 0:
        return [Text("bash"), *values]
    return values[start : start + int(found.group(2))] if found.group(2) else values[start:]


def _split(value: Text) -> list[Text]:
    """Unquoted: split at blanks; globs in it are live."""
    taint = value.taint
    if not value:
        return []
    if _GLOB.search(value):
        value = Text(_CLASS.sub(CLASS, value).replace("*", STAR).replace("?", QUESTION), taint)
    if not any(char in value for char in " \t\n"):
        return [value]
    return [Text(piece, taint) for piece in _SPLIT.split(value)]


def _joined(values: list[Text]) -> Text:
    taint = 0
    for value in values:
        taint |= value.taint
    return Text(" ".join(values), taint)


def _glued(way: list[list[Text]], *, keep: bool) -> list[Text]:
    """One alternative: fields of its parts, glued where they touch."""
    out: list[Text] = []
    fresh = True
    for fields in way:
        for place, field in enumerate(fields):
            if place == 0 and not fresh:
                out[-1] = Text(out[-1] + field, out[-1].taint | field.taint)
            else:
                out.append(field)
            fresh = False
    if not keep:
        return [field for field in out if field]
    return out if len(out) <= 1 else [field for field in out if field] or [Text("")]


def _blurred(ways: list[list[list[Text]]]) -> list[list[Text]]:
    taint = 0
    for way in ways:
        for fields in way:
            for field in fields:
                taint |= field.taint
    return [[Text(HOLE, taint)]]


def _distinct(ways: list[list[Text]]) -> list[list[Text]]:
    return [way for place, way in enumerate(ways) if way not in ways[:place]]
