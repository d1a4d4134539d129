"""Redirections and here-documents."""

from __future__ import annotations

import re

from overnight.guard.expansions import Expansions
from overnight.guard.scanner import SyntaxProblem
from overnight.guard.syntax import (
    Lit,
    Redir,
    Word,
)

_REDIR = re.compile(r"(\d+|\{[A-Za-z_]\w*\})?(&>>|&>|<<<|<<-|<<|>>|<&|>&|<>|>\||<|>)")
#: A number glued to an operator belongs to the operator.
_NUMBERED = re.compile(r"\d+[<>]")


class Redirections(Expansions):
    """Redirections; the bodies of here-documents come later in the text than their operators."""

    def __init__(self, text: str, depth: int = 0) -> None:
        super().__init__(text, depth)
        self._waiting: list[tuple[str, bool, bool, list[Word]]] = []

    def redirection(self) -> Redir | None:
        """A redirection, or None."""
        found = _REDIR.match(self.text, self.at)
        if not found:
            return None
        number, op = found.groups()
        if op in "<>" and self.text.startswith("(", found.end()):
            return None
        self.step()
        self.at = found.end()
        self.blanks()
        fd = int(number[:9]) if number and number[0] != "{" else None
        var = number[1:-1] if number and number[0] == "{" else ""
        if op in ("<<", "<<-"):
            return self._here_document(op, -1 if var else fd, var)
        target = None if _NUMBERED.match(self.text, self.at) else self.word()
        if target is None:
            raise SyntaxProblem(f"{op!r} without a target")
        return Redir(op, target, -1 if var else fd, var)

    def _here_document(self, op: str, fd: int | None, var: str) -> Redir:
        start = self.at
        word = self.word()
        if word is None:
            raise SyntaxProblem("a here-document without a mark")
        raw = self.text[start : self.at]
        quoted = any(char in raw for char in "'\"\\")
        mark = word.literal()
        if mark is None:
            mark = raw
        place: list[Word] = []
        self._waiting.append((mark, op == "<<-", quoted, place))
        return _Pending(op, Word(), fd, var).bind(place)

    def bodies(self, *, final: bool = False) -> None:
        """Read the bodies of the here-documents that wait; we stand at the start of a line."""
        waiting, self._waiting = self._waiting, []
        for mark, strip, quoted, place in waiting:
            if final:
                place.append(Word((Lit("", quoted=True),)))
                continue
            body = self._here_text(mark, strip=strip, joins=not quoted)
            if quoted:
                place.append(Word((Lit(body, quoted=True),)))
            else:
                inner = type(self)(body, self.depth + 1)
                place.append(inner.here())
                self.steps += inner.steps
                self.step()

    def _here_text(self, mark: str, *, strip: bool, joins: bool) -> str:
        lines: list[str] = []
        joined = False
        while self.at < self.end:
            newline = self.text.find("\n", self.at)
            stop = self.end if newline < 0 else newline
            line = self.text[self.at : stop]
            self.at = min(stop + 1, self.end)
            if strip:
                line = line.lstrip("\t")
            if line == mark and not joined:
                return "".join(lines)
            # A backslash at the end of a line makes the next one part of it, the mark included.
            joined = joins and (len(line) - len(line.rstrip("\\"))) % 2 == 1
            lines.append(line + "\n")
        return "".join(lines)


class _Pending(Redir, frozen=True):
    """A here-document whose body comes later in the text than the redirection itself."""

    place: tuple[list[Word], ...] = ()

    def bind(self, place: list[Word]) -> _Pending:
        return _Pending(self.op, self.target, self.fd, self.var, (place,))


def body_of(redir: Redir) -> Word:
    """The word that a redirection is about, here-documents included."""
    if isinstance(redir, _Pending):
        return redir.place[0][0] if redir.place[0] else Word((Lit("", quoted=True),))
    return redir.target
