"""The lower half of the parser: characters, quotes, expansions, words."""

from __future__ import annotations

import re
from collections.abc import Callable

from overnight.guard.braces import expand_braces
from overnight.guard.syntax import ArrayLit, Lit, Part, Proc, Script, Sub, Word

#: How deep substitutions, groups and quotes may nest.
DEPTH = 64
#: Words and commands that one text may have.
STEPS = 2500

_PLAIN = re.compile(r"[^\s;&|<>()$`\"'\\{}#!]+")
_IN_DOUBLE = re.compile(r'[^"$`\\]+')
IN_HERE = re.compile(r"[^$`\\]+")
_ESCAPE = re.compile(
    r"\\(?:x\{?([0-9a-fA-F]{1,8})\}?|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([0-7]{1,3})|c(.)|(.))", re.DOTALL
)
_LETTERS = {"a": "\a", "b": "\b", "e": "\033", "E": "\033", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class SyntaxProblem(Exception):
    """The text is not bash that is understood. Internal to the guard: it becomes an Unverifiable effect."""


def ansi_c(text: str) -> str:
    """What `$'text'` means. Raises SyntaxProblem for a NUL or a code point that does not exist."""

    def one(found: re.Match[str]) -> str:
        hexa, u4, u8, octal, control, letter = found.groups()
        code = hexa or u4 or u8
        if code or octal:
            number = int(code, 16) if code else int(octal, 8) & 0xFF
            if hexa:
                number &= 0xFF
            if number == 0 or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF or 0xE000 <= number <= 0xE003:
                raise SyntaxProblem("a character that text can't hold")
            return chr(number)
        if control:
            return chr(ord(control[0].upper()) & 0x1F) or "?"
        return _LETTERS.get(letter, letter if letter in "\\'\"?" else "\\" + letter)

    return _ESCAPE.sub(one, text)


class Scanner:
    """A text and a place in it. `Parser` adds commands; this knows words."""

    def __init__(self, text: str, depth: int = 0) -> None:
        self.text = text
        self.at: int = 0
        self.end = len(text)
        self.depth: int = depth
        self.steps: int = 0
        self.script: Callable[[str], Script]

    # -- budget and small steps

    def step(self) -> None:
        """Spend one step of the budget."""
        self.steps += 1
        if self.steps > STEPS:
            raise SyntaxProblem("the command is longer than can be checked")

    def deeper(self) -> None:
        """Enter a nested construct."""
        self.depth += 1
        if self.depth > DEPTH:
            raise SyntaxProblem("the command nests deeper than can be checked")

    def peek(self, text: str) -> bool:
        """True when `text` comes next."""
        return self.text.startswith(text, self.at)

    def char(self) -> str:
        """The next character, or an empty string at the end."""
        return self.text[self.at] if self.at < self.end else ""

    def until(self, mark: str, what: str) -> str:
        """Text up to `mark`, which is passed over."""
        found = self.text.find(mark, self.at)
        if found < 0:
            raise SyntaxProblem(f"{what} is not closed")
        text, self.at = self.text[self.at : found], found + len(mark)
        return text

    def continue_lines(self) -> None:
        """Pass over backslash-newline pairs."""
        while self.text.startswith("\\\n", self.at):
            self.at += 2

    def blanks(self) -> None:
        """Pass over blanks, continued lines and comments."""
        while self.at < self.end:
            char = self.text[self.at]
            if char in " \t\r":
                self.at += 1
            elif char == "\\" and self.text.startswith("\\\n", self.at):
                self.at += 2
            elif char == "#" and (self.at == 0 or self.text[self.at - 1] in " \t\r\n;&|()"):
                newline = self.text.find("\n", self.at)
                self.at = self.end if newline < 0 else newline
            else:
                return

    # -- words

    def word(self, *, stop: str = "", array: bool = False) -> Word | None:
        """The word that starts here, or None when none does. `stop`: characters that end it besides the usual."""
        self.step()
        parts: list[Part] = []
        while self.at < self.end:
            char = self.text[self.at]
            if stop and char in stop:
                break
            if not self._piece(char, parts, array=array):
                break
        return Word(tuple(parts)) if parts else None

    def words(self, *, array: bool = False) -> tuple[Word, ...]:
        """The word that starts here, with braces expanded: none, one or many."""
        start = self.at
        word = self.word(array=array)
        if word is None:
            return ()
        if self.text.find("{", start, self.at) < 0:
            return (word,)
        found = expand_braces(word.parts)
        self.steps += len(found)
        self.step()
        return tuple(Word(parts) for parts in found)

    def _piece(self, char: str, parts: list[Part], *, array: bool) -> bool:
        """Take one piece of a word. False at the word's end."""
        if char in "\"'\\`$":
            return self._quoting(char, parts)
        if char in "<>" and self.text.startswith("(", self.at + 1):
            self.at += 2
            parts.append(Proc(self.nested(")"), char))
            return True
        if char in " \t\r\n;&|<>)":
            return False
        if char == "(":
            return self._paren(parts, array=array)
        found = _PLAIN.match(self.text, self.at)
        text = found.group() if found else char
        self.at += len(text)
        parts.append(Lit(text))
        return True

    def _paren(self, parts: list[Part], *, array: bool) -> bool:
        last = parts[-1] if parts else None
        if not isinstance(last, Lit) or last.quoted:
            return False
        if array and last.text.endswith("="):
            self.at += 1
            parts.append(ArrayLit(self._items()))
            return True
        if last.text[-1] in "?*+@!" and self.balanced_glob():
            start = self.at
            self.at = self._closing()
            parts.append(Lit("[" + self.text[start + 1 : self.at - 1].replace("/", "") + "]"))
            return True
        return False

    def balanced_glob(self) -> bool:
        """True when the extended glob that starts here closes on its line."""
        line = self.text.find("\n", self.at)
        close = self.text.find(")", self.at)
        return close >= 0 and (line < 0 or close < line)

    def _closing(self) -> int:
        level = 0
        for i in range(self.at, self.end):
            level += {"(": 1, ")": -1}.get(self.text[i], 0)
            if level == 0:
                return i + 1
        raise SyntaxProblem("a pattern is not closed")

    def _items(self) -> tuple[Word, ...]:
        items: list[Word] = []
        while True:
            self.blanks()
            while self.char() == "\n":
                self.at += 1
                self.blanks()
            if self.char() == ")":
                self.at += 1
                return tuple(items)
            found = self.words()
            if not found:
                raise SyntaxProblem("an array is not closed")
            items += found

    def _quoting(self, char: str, parts: list[Part]) -> bool:
        if char == "\\":
            if self.text.startswith("\\\n", self.at):
                self.at += 2
            else:
                parts.append(Lit(self.text[self.at + 1 : self.at + 2] or "\\", quoted=True))
                self.at += 2
        elif char == "'":
            self.at += 1
            parts.append(Lit(self.until("'", "a single quote"), quoted=True))
        elif char == '"':
            self.at += 1
            self.double(parts)
        elif char == "`":
            self.at += 1
            parts.append(Sub(self._backquoted(in_double=False)))
        else:
            self.dollar(parts, quoted=False)
        return True

    def double(self, parts: list[Part]) -> None:
        """The rest of a double-quoted string."""
        self.deeper()
        before = len(parts)
        while True:
            char = self.char()
            if not char:
                raise SyntaxProblem("a double quote is not closed")
            if char == '"':
                self.at += 1
                break
            self._soft(char, parts, _IN_DOUBLE, '"')
        if len(parts) == before:
            parts.append(Lit("", quoted=True))
        self.depth -= 1

    def here(self) -> Word:
        """The whole text as the body of an unquoted here-document."""
        parts: list[Part] = []
        while self.at < self.end:
            self._soft(self.text[self.at], parts, IN_HERE, "")
        return Word(tuple(parts) or (Lit("", quoted=True),))

    def _soft(self, char: str, parts: list[Part], plain: re.Pattern[str], quote: str) -> None:
        """One piece where `$`, backquotes and a few backslashes keep their meaning."""
        if char == "\\":
            after = self.text[self.at + 1 : self.at + 2]
            self.at += 2
            if after == "\n":
                return
            parts.append(Lit(after if after and after in "$`\\" + quote else "\\" + after, quoted=True))
        elif char == "`":
            self.at += 1
            parts.append(Sub(self._backquoted(in_double=True), quoted=True))
        elif char == "$":
            self.dollar(parts, quoted=True)
        else:
            found = plain.match(self.text, self.at)
            text = found.group() if found else char
            self.at += len(text)
            parts.append(Lit(text, quoted=True))

    def _backquoted(self, *, in_double: bool) -> Script:
        out = ""
        while True:
            char = self.char()
            if not char:
                raise SyntaxProblem("a backquote is not closed")
            self.at += 1
            if char == "`":
                return self.script(out)
            if char == "\\":
                after = self.char()
                self.at += 1
                out += after if after in ('$`\\"' if in_double else "$`\\") else "\\" + after
            else:
                out += char

    def nested(self, close: str) -> Script:
        """A script that ends with `close`. Overridden by the parser."""
        raise NotImplementedError

    def dollar(self, parts: list[Part], *, quoted: bool) -> None:
        """An expansion, or a plain dollar. Overridden by `Expansions`."""
        raise NotImplementedError
