"""The upper half of the parser: commands. What is not understood raises SyntaxProblem; nothing is skipped."""

from __future__ import annotations

import re

from overnight.guard.braces import TooMany
from overnight.guard.scanner import Scanner, SyntaxProblem
from overnight.guard.syntax import (
    AndOr,
    ArithCommand,
    Assign,
    Case,
    CFor,
    Command,
    Coproc,
    For,
    Func,
    Group,
    If,
    Item,
    Lit,
    Part,
    Pipeline,
    Redir,
    Redirected,
    Script,
    Simple,
    Test,
    While,
    Word,
)

_REDIR = re.compile(r"(\d+|\{[A-Za-z_]\w*\})?(&>>|&>|<<<|<<-|<<|>>|<&|>&|<>|>\||<|>)")
#: A number glued to an operator belongs to the operator.
_NUMBERED = re.compile(r"\d+[<>]")
_ASSIGN = re.compile(r"([A-Za-z_]\w*)(\+?=|\[)")
_KEYWORD = re.compile(r"(?:[a-z]+|!|\{|\}|\[\[)(?=[\s;&|()<>]|\Z)")
_FUNCTION = re.compile(r"([^\s;&|<>()$`\"'\\{}=]+)[ \t]*\([ \t]*\)")
_CLOSERS = frozenset({"then", "else", "elif", "fi", "do", "done", "esac", "}", "in"})
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


class Parser(Scanner):
    """Recursive descent over commands."""

    def __init__(self, text: str, depth: int = 0) -> None:
        super().__init__(text, depth)
        self._waiting: list[tuple[str, bool, bool, list[Word]]] = []
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

    def list_until(self) -> Script:
        """Commands up to something that can't start one."""
        items: list[Item] = []
        self.newlines()
        while self.at < self.end and self.char() not in ")" and self.keyword() not in _CLOSERS and not self.peek(";;"):
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
        if word in _CLOSERS and word != "in":
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

    # -- simple commands

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
                inner = Parser(body, self.depth + 1)
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
