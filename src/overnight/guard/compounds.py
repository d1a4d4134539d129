"""Compound commands: groups, conditions, loops, functions, tests."""

from __future__ import annotations

import re

from overnight.guard.redirections import Redirections
from overnight.guard.scanner import SyntaxProblem
from overnight.guard.syntax import (
    ArithCommand,
    Case,
    CFor,
    Command,
    Coproc,
    For,
    Func,
    Group,
    If,
    Lit,
    Part,
    Redir,
    Redirected,
    Script,
    Test,
    While,
    Word,
)

_KEYWORD = re.compile(r"(?:[a-z]+|!|\{|\}|\[\[)(?=[\s;&|()<>]|\Z)")
_FUNCTION = re.compile(r"([^\s;&|<>()$`\"'\\{}=]+)[ \t]*\([ \t]*\)")
CLOSERS = frozenset({"then", "else", "elif", "fi", "do", "done", "esac", "}", "in"})


class Compounds(Redirections):
    """Everything that begins with a reserved word or a parenthesis."""

    def list_until(self) -> Script:
        """A list of commands. Overridden by the parser."""
        raise NotImplementedError

    def command(self) -> Command:
        """One command. Overridden by the parser."""
        raise NotImplementedError

    def keyword(self) -> str:
        """The reserved word that comes next, if it looks like one."""
        found = _KEYWORD.match(self.text, self.at)
        return found.group() if found else ""

    def newlines(self) -> None:
        """Pass over blanks, comments and newlines; here-documents are read on the way."""
        while True:
            self.blanks()
            if self.char() != "\n":
                return
            self.at += 1
            self.bodies()

    def _redirs(self) -> tuple[Redir, ...]:
        redirs: list[Redir] = []
        self.blanks()
        while found := self.redirection():
            redirs.append(found)
            self.blanks()
        return tuple(redirs)

    def _compound(self) -> Command | None:
        if self.peek("(("):
            start = self.at
            self.at += 2
            try:
                return ArithCommand(self.arithmetic("))"))
            except SyntaxProblem:
                self.at = start
        if self.peek("("):
            self.at += 1
            return Group(self._body(self.nested(")")), subshell=True)
        word = self.keyword()
        build = {
            "{": self._group, "if": self._if, "while": self._while, "until": self._until, "for": self._for,
            "select": self._for, "case": self._case, "[[": self._test, "coproc": self._coproc, "function": self._func,
        }.get(word)  # fmt: skip
        if build is not None:
            self.at += len(word)
            self.blanks()
            return build()
        if word in CLOSERS and word != "in":
            raise SyntaxProblem(f"unexpected {word!r}")
        return self._named_function()

    def _body(self, script: Script) -> Script:
        if not script.items:
            raise SyntaxProblem("an empty body")
        return script

    def expect(self, word: str) -> None:
        """Pass over a reserved word that must come now."""
        self.newlines()
        if self.keyword() != word:
            raise SyntaxProblem(f"{word!r} is missing")
        self.at += len(word)

    def _group(self) -> Command:
        body = self._body(self.list_until())
        self.expect("}")
        return Group(body)

    def _if(self) -> Command:
        clauses: list[tuple[Script, Script]] = []
        while True:
            condition = self._body(self.list_until())
            self.expect("then")
            clauses.append((condition, self._body(self.list_until())))
            word = self.keyword()
            self.at += len(word)
            if word == "elif":
                continue
            if word == "else":
                clauses.append((Script(()), self._body(self.list_until())))
                self.expect("fi")
            elif word != "fi":
                raise SyntaxProblem("'fi' is missing")
            return If(tuple(clauses))

    def _while(self, *, until: bool = False) -> Command:
        condition = self._body(self.list_until())
        return While(condition, self._do(), until)

    def _until(self) -> Command:
        return self._while(until=True)

    def _do(self) -> Script:
        self.expect("do")
        body = self._body(self.list_until())
        self.expect("done")
        return body

    def _for(self) -> Command:
        if self.peek("(("):
            self.at += 2
            head = (self.arithmetic(";"), self.arithmetic(";"), self.arithmetic("))"))
            self._end_of_head()
            if self.keyword() == "{":
                self.at += 1
                return CFor(head, self._braced_body())
            return CFor(head, self._do())
        found = re.compile(r"[A-Za-z_]\w*").match(self.text, self.at)
        if not found:
            raise SyntaxProblem("a loop without a name")
        self.at = found.end()
        self.newlines()
        words: list[Word] | None = None
        if self.keyword() == "in":
            self.at += 2
            words = []
            self.blanks()
            while more := self.words():
                words += more
                self.blanks()
        self._end_of_head()
        body = self._do_or_braces()
        return For(found.group(), None if words is None else tuple(words), body)

    def _end_of_head(self) -> None:
        self.blanks()
        if self.char() == ";":
            self.at += 1
        self.newlines()

    def _do_or_braces(self) -> Script:
        if self.keyword() == "{":
            self.at += 1
            return self._braced_body()
        return self._do()

    def _braced_body(self) -> Script:
        body = self._body(self.list_until())
        self.expect("}")
        return body

    def _case(self) -> Command:
        word = self.word()
        if word is None:
            raise SyntaxProblem("'case' without a word")
        self.expect("in")
        arms: list[tuple[tuple[Word, ...], Script, str]] = []
        while True:
            self.newlines()
            if self.keyword() == "esac":
                self.at += 4
                return Case(word, tuple(arms))
            arms.append(self._arm())

    def _arm(self) -> tuple[tuple[Word, ...], Script, str]:
        if self.char() == "(":
            self.at += 1
        patterns: list[Word] = []
        while True:
            self.blanks()
            pattern = self.word()
            if pattern is None:
                raise SyntaxProblem("a case without a pattern")
            patterns.append(pattern)
            self.blanks()
            if self.char() == "|":
                self.at += 1
                continue
            if self.char() != ")":
                raise SyntaxProblem("a case pattern is not closed")
            self.at += 1
            break
        body = self.list_until()
        end = next((mark for mark in (";;&", ";;", ";&") if self.peek(mark)), "")
        self.at += len(end)
        if not end and self.keyword() != "esac":
            raise SyntaxProblem("a case arm is not closed")
        return tuple(patterns), body, end

    def _test(self) -> Command:
        words: list[Word] = []
        level = 0
        while True:
            self.newlines()
            if self.peek("]]") and level == 0:
                self.at += 2
                if not words:
                    raise SyntaxProblem("an empty test")
                return Test(tuple(words))
            if self.at >= self.end:
                raise SyntaxProblem("']]' is missing")
            regex = bool(words) and words[-1].literal() == "=~"
            found = self._pattern() if regex else (self.word() if self.char() not in "()<>&|!;" else None)
            if found is not None:
                words.append(found)
                continue
            sign = self.text[self.at : self.at + 2] if self.peek("&&") or self.peek("||") else self.char()
            if sign in ("&", "|", ";"):
                raise SyntaxProblem("a test that is not understood")
            level += {"(": 1, ")": -1}.get(sign, 0)
            self.at += len(sign)
            words.append(Word((Lit(sign),)))

    def _pattern(self) -> Word | None:
        """The right side of `=~`: parentheses and bars belong to it, blanks inside parentheses too."""
        parts: list[Part] = []
        level = 0
        while self.at < self.end:
            char = self.char()
            if char in " \t\n" and level == 0:
                break
            if char in "\"'\\`$":
                self._quoting(char, parts)
                continue
            if char == ")" and level == 0:
                break
            level += {"(": 1, ")": -1}.get(char, 0)
            parts.append(Lit(char))
            self.at += 1
        return Word(tuple(parts)) if parts else None

    def _coproc(self) -> Command:
        found = re.compile(r"([A-Za-z_]\w*)(?=[ \t]+[{(])").match(self.text, self.at)
        if found:
            self.at = found.end()
            self.blanks()
        return Coproc(found.group(1) if found else "COPROC", self.command())

    def _named_function(self) -> Command | None:
        found = _FUNCTION.match(self.text, self.at)
        if not found:
            return None
        self.at = found.end()
        return self._function_body(found.group(1))

    def _func(self) -> Command:
        found = re.compile(r"([^\s;&|<>()$`\"'\\{}]+)([ \t]*\([ \t]*\))?").match(self.text, self.at)
        if not found:
            raise SyntaxProblem("a function without a name")
        self.at = found.end()
        return self._function_body(found.group(1))

    def _function_body(self, name: str) -> Command:
        self.newlines()
        self.deeper()
        body = self._compound()
        self.depth -= 1
        if body is None or isinstance(body, Func | Coproc):
            raise SyntaxProblem("a function without a body")
        redirs = self._redirs()
        return Func(name, Redirected(body, redirs) if redirs else body)
