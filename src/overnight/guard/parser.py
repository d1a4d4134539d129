"""The upper half of the parser: commands. What is not understood raises SyntaxProblem; nothing is skipped."""

from __future__ import annotations

import re

from overnight.guard.braces import TooMany
from overnight.guard.compounds import CLOSERS, Compounds
from overnight.guard.scanner import SyntaxProblem
from overnight.guard.syntax import (
    AndOr,
    Assign,
    Command,
    Coproc,
    Func,
    Item,
    Lit,
    Pipeline,
    Redir,
    Redirected,
    Script,
    Simple,
    Word,
)

_ASSIGN = re.compile(r"([A-Za-z_]\w*)(\+?=|\[)")
_DECLARING = frozenset({"declare", "typeset", "local", "export", "readonly", "alias", "eval"})


def parse(text: str, depth: int = 0) -> Script:
    """The tree of a text. Raises SyntaxProblem."""
    parser = Parser(text, depth)
    try:
        script = parser.list_until()
    except (TooMany, RecursionError) as error:
        raise SyntaxProblem(str(error) if isinstance(error, TooMany) else "the command nests too deep") from None
    if parser.at < parser.end:
        raise SyntaxProblem(f"unexpected {parser.char()!r}")
    parser.bodies(final=True)
    return script


class Parser(Compounds):
    """Recursive descent over commands."""

    def __init__(self, text: str, depth: int = 0) -> None:
        super().__init__(text, depth)
        self.script = self._inner

    def _inner(self, text: str) -> Script:
        self.deeper()
        inner = Parser(text, self.depth)
        script = inner.list_until()
        if inner.at < inner.end:
            raise SyntaxProblem(f"unexpected {inner.char()!r}")
        inner.bodies(final=True)
        self.steps += inner.steps
        self.step()
        self.depth -= 1
        return script

    def nested(self, close: str) -> Script:
        self.deeper()
        script = self.list_until()
        if not self.peek(close):
            raise SyntaxProblem(f"{close!r} is missing")
        self.at += len(close)
        self.depth -= 1
        return script

    # -- lists

    def list_until(self) -> Script:
        """Commands up to something that can't start one."""
        items: list[Item] = []
        self.newlines()
        while self.at < self.end and self.char() not in ")" and self.keyword() not in CLOSERS and not self.peek(";;"):
            self.step()
            command = self.and_or()
            self.blanks()
            background = self.peek("&") and not self.peek("&&")
            items.append(Item(command, background))
            if background or (self.peek(";") and not self.peek(";;") and not self.peek(";&")):
                self.at += 1
            elif self.char() != "\n":
                break
            self.newlines()
        return Script(tuple(items))

    def and_or(self) -> Command:
        """Pipelines joined by `&&` and `||`."""
        left = self.pipeline()
        while True:
            self.blanks()
            op = self.text[self.at : self.at + 2]
            if op not in ("&&", "||"):
                return left
            self.at += 2
            self.newlines()
            left = AndOr(left, op, self.pipeline())

    def pipeline(self) -> Command:
        """Commands joined by `|` and `|&`, after `!` and `time`."""
        bare = False
        while (word := self.keyword()) in ("!", "time"):
            self.at += len(word)
            self.blanks()
            bare = True
            while word == "time" and (found := re.compile(r"(-p|--)(?=\s)").match(self.text, self.at)):
                self.at = found.end()
                self.blanks()
        if bare and (self.at >= self.end or self.char() in "\n;)"):
            return Simple((), (), ())
        commands = [self.command()]
        while True:
            self.blanks()
            if not self.peek("|") or self.peek("||"):
                break
            self.at += 2 if self.peek("|&") else 1
            self.newlines()
            commands.append(self.command())
        return commands[0] if len(commands) == 1 else Pipeline(tuple(commands))

    # -- commands

    def command(self) -> Command:
        """One command, simple or compound, with its redirections."""
        self.deeper()
        self.blanks()
        compound = self._compound()
        if compound is None:
            found = self.simple()
        elif isinstance(compound, Func | Coproc):
            found = compound
        else:
            redirs = self._redirs()
            found = Redirected(compound, redirs) if redirs else compound
        self.depth -= 1
        return found

    def simple(self) -> Command:
        """Assignments, words and redirections in any order that bash takes."""
        assigns: list[Assign] = []
        words: list[Word] = []
        redirs: list[Redir] = []
        while True:
            self.blanks()
            if self.at >= self.end or self.text[self.at] in "\n;)":
                break
            redir = self.redirection()
            if redir is not None:
                redirs.append(redir)
                continue
            if not words and (assign := self.assignment()) is not None:
                assigns.append(assign)
                continue
            found = self.words(array=bool(words) and words[0].literal() in _DECLARING)
            if not found:
                break
            words += found
        if not (assigns or words or redirs):
            raise SyntaxProblem(f"unexpected {self.char() or 'end'!r}")
        if self.char() == "(" or (self.char() == ")" and self.depth <= 1):
            raise SyntaxProblem(f"unexpected {self.char()!r}")
        return Simple(tuple(assigns), tuple(words), tuple(redirs))

    def assignment(self) -> Assign | None:
        """An assignment, or None (nothing is consumed then)."""
        found = _ASSIGN.match(self.text, self.at)
        if not found:
            return None
        start, name, index = self.at, found.group(1), None
        self.at = found.end()
        append = found.group(2) == "+="
        if found.group(2) == "[":
            try:
                index = self._subscript()
            except SyntaxProblem:
                index = None
            after = re.compile(r"\+?=").match(self.text, self.at)
            if index is None or not after:
                self.at = start
                return None
            append = after.group() == "+="
            self.at = after.end()
        if self.char() == "(" and index is None:
            array = Word((Lit("="),))
            self.at -= 1
            array = self.word(array=True) or array
            return Assign(name, Word(array.parts[1:]), append)
        return Assign(name, self.word() or Word((Lit("", quoted=True),)), append, index)
