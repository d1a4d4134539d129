"""What follows a dollar: parameters, substitutions, arithmetic, `$'...'`."""

from __future__ import annotations

import re

from overnight.guard.scanner import DEPTH, IN_HERE, Scanner, SyntaxProblem, ansi_c
from overnight.guard.syntax import Arith, Lit, Param, Part, Proc, Sub, Word

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPECIAL = "@*#?-$!0123456789"
_OPS = (":-", ":=", ":?", ":+", "-", "=", "?", "+", "##", "#", "%%", "%", "//", "/#", "/%", "/", "^^", "^", ",,", ",", "@", ":")  # fmt: skip


class Expansions(Scanner):
    """Expansions, in words and in double quotes."""

    # -- what follows a dollar

    def dollar(self, parts: list[Part], *, quoted: bool) -> None:
        """An expansion, or a plain dollar."""
        self.at += 1
        self.step()
        self.continue_lines()
        char = self.char()
        if char == "(":
            self._dollar_paren(parts, quoted=quoted)
        elif char == "{":
            self.at += 1
            parts.append(self._braced(quoted=quoted))
        elif char == "[":
            self.at += 1
            parts.append(Arith(self.arithmetic("]"), quoted))
        elif char == "'" and not quoted:
            parts.append(Lit(self._ansi(), quoted=True))
        elif char == '"' and not quoted:
            self.at += 1
            self.double(parts)
        elif char and char in _SPECIAL:
            self.at += 1
            parts.append(Param(char, quoted))
        elif found := _NAME.match(self.text, self.at):
            self.at = found.end()
            parts.append(Param(found.group(), quoted))
        else:
            parts.append(Lit("$", quoted=True))

    def _ansi(self) -> str:
        start = self.at = self.at + 1
        while self.char() != "'":
            if not self.char():
                raise SyntaxProblem("a quote is not closed")
            self.at += 2 if self.char() == "\\" else 1
        text, self.at = self.text[start : self.at], self.at + 1
        return ansi_c(text)

    def _dollar_paren(self, parts: list[Part], *, quoted: bool) -> None:
        start = self.at
        if self.peek("(("):
            self.at += 2
            try:
                parts.append(Arith(self.arithmetic("))"), quoted))
            except SyntaxProblem:
                self.at = start
            else:
                return
        self.at += 1
        parts.append(Sub(self.nested(")"), quoted))

    def arithmetic(self, close: str) -> Word:
        """An arithmetic expression up to `close`, as a word whose expansions count."""
        self.deeper()
        parts: list[Part] = []
        level = 0
        while True:
            char = self.char()
            if not char:
                raise SyntaxProblem("an arithmetic expression is not closed")
            if level == 0 and self.peek(close):
                self.at += len(close)
                self.depth -= 1
                return Word(tuple(parts))
            level += 1 if char in "([" else -1 if char in ")]" else 0
            if level < 0 or level > DEPTH:
                raise SyntaxProblem("an arithmetic expression is not balanced")
            if char in "$`\\":
                self._soft(char, parts, IN_HERE, '"')
            elif char == '"':
                self.at += 1
                self.double(parts)
            else:
                self.at += 1
                parts.append(Lit(char))

    def _braced(self, *, quoted: bool) -> Param:
        self.deeper()
        self.step()
        length = self.peek("#") and not (
            self.peek("#}") or self.text[self.at + 1 : self.at + 2] in ("-", ":", "=", "+", "%")
        )
        self.at += length
        indirect = self.peek("!") and self.text[self.at + 1 : self.at + 2] not in ("}", ":", "-", "=", "+", "#", "%")
        self.at += indirect
        self.continue_lines()
        name = self._braced_name()
        index = None
        if self.peek("["):
            self.at += 1
            index = self._subscript()
        op = next((op for op in _OPS if self.peek(op)), "")
        self.at += len(op)
        arg = self._braced_word(quoted=quoted)
        if not op and arg.parts and not (indirect and arg.literal() == "*"):
            raise SyntaxProblem("an expansion that is not understood")
        self.depth -= 1
        return Param(name, quoted, op, arg if op else None, index, length, indirect)

    def _braced_name(self) -> str:
        found = _NAME.match(self.text, self.at) or re.compile(r"[0-9]+").match(self.text, self.at)
        if found:
            self.at = found.end()
            return found.group()
        if self.char() and self.char() in _SPECIAL:
            self.at += 1
            return self.text[self.at - 1]
        raise SyntaxProblem("an expansion that is not understood")

    def _subscript(self) -> Word:
        parts: list[Part] = []
        while self.char() != "]":
            char = self.char()
            if not char:
                raise SyntaxProblem("a subscript is not closed")
            if char in "\"'\\`$":
                self._quoting(char, parts)
            else:
                self.at += 1
                parts.append(Lit(char, quoted=True))
        self.at += 1
        return Word(tuple(parts))

    def _braced_word(self, *, quoted: bool) -> Word:
        parts: list[Part] = []
        while True:
            char = self.char()
            if not char:
                raise SyntaxProblem("an expansion is not closed")
            if char == "}":
                self.at += 1
                return Word(tuple(parts))
            if char == "'" and quoted:
                self.at += 1
                parts.append(Lit(char, quoted=True))
            elif char in "\"'\\`$":
                self._quoting(char, parts)
            elif char in "<>" and not quoted and self.text.startswith("(", self.at + 1):
                self.at += 2
                parts.append(Proc(self.nested(")"), char))
            else:
                found = re.compile(r"[^\"'\\`$}<>]+").match(self.text, self.at)
                text = found.group() if found else char
                self.at += len(text)
                parts.append(Lit(text, quoted))
