"""Abstract interpretation of the tree: every path is taken, every value that may be is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from overnight.guard.builtins import subscript, traces
from overnight.guard.dispatch import dispatch
from overnight.guard.effects import Exec, Unverifiable
from overnight.guard.expand import Expander
from overnight.guard.lists import assigned, joined, spawns
from overnight.guard.loaders import exported
from overnight.guard.machine import Machine, Run
from overnight.guard.parser import parse
from overnight.guard.redirect import Redirects
from overnight.guard.scanner import SyntaxProblem
from overnight.guard.state import State, Values
from overnight.guard.syntax import (
    AndOr,
    ArithCommand,
    ArrayLit,
    Assign,
    Case,
    CFor,
    Command,
    Coproc,
    For,
    Func,
    Group,
    If,
    Lit,
    Pipeline,
    Proc,
    Redirected,
    Script,
    Simple,
    Test,
    While,
    Word,
)
from overnight.guard.text import DECODED, HOLE, INPUT, NETWORK, STAR, Text, known, shown

_DECLARES = frozenset({"declare", "typeset", "local", "readonly", "export"})
_FOREVER = frozenset({"true", ":", "/bin/true", "/usr/bin/true"})
_NEVER = frozenset({"false", "/bin/false", "/usr/bin/false"})


class Interpreter:
    """Walks scripts for one machine."""

    def __init__(self, machine: Machine) -> None:
        self.m = machine
        self.expander = Expander(self._substitute, self._plumb, machine.bounds.home)
        self.redirects = Redirects(machine, self.expander)
        self._walkers: dict[type, Callable[[Any, State], Text]] = {
            Simple: self._simple, Pipeline: self._pipeline, AndOr: self._and_or, Group: self._group, If: self._if,
            While: self._while, For: self._for, CFor: self._c_for, Case: self._case, Func: self._func, Test: self._test,
            ArithCommand: self._arith, Coproc: self._coproc, Redirected: self._redirected,
        }  # fmt: skip

    def code(self, text: str, state: State, what: str) -> Text:
        """Parse a text and run it in the state. What can't be parsed is an effect of its own."""
        taint = text.taint if isinstance(text, Text) else 0
        if taint & (NETWORK | INPUT):
            self.m.emit(Exec(program="sh", kind="tainted", taint=taint, words=(what, shown(text)[:120])))
        if taint & DECODED and HOLE in text:
            self.m.emit(Exec(program="sh", kind="obfuscated", taint=taint, words=(what, shown(text)[:120])))
        if text.strip() == HOLE:
            self.m.emit(Unverifiable(why=f"{what}: the code is not known", words=(what,)))
            return Text(HOLE, taint)
        strict = bool(taint & DECODED) or what.endswith("<stdin")
        before = len(self.m.effects)
        self.m.depth += 1
        try:
            self.m.parsing(text)
            out = self.script(parse(text, self.m.depth // 2), state)
        except SyntaxProblem as problem:
            self.m.emit(Unverifiable(why=str(problem), words=(shown(text)[:120],)))
            out = Text(HOLE)
        finally:
            self.m.depth -= 1
        if strict and any(isinstance(e, Exec) and e.kind == "unknown-program" for e in self.m.effects[before:]):
            kind = "obfuscated" if taint & DECODED else "stdin"
            self.m.emit(Exec(program="sh", kind=kind, taint=taint, words=(what, shown(text)[:120])))
        return Text(out, out.taint | taint)

    def script(self, script: Script, state: State) -> Text:
        """Run a list; returns what it prints."""
        outs: list[Text] = []
        for item in script.items:
            if item.background:
                inner = state.copy()
                inner.background = True
                outs.append(self.command(item.command, inner))
                state.set("!", (Text(STAR),))
            else:
                outs.append(self.command(item.command, state))
        return joined(outs)

    def command(self, command: Command, state: State) -> Text:
        """Run one command."""
        self.m.step()
        return self._walkers[type(command) if type(command) in self._walkers else Redirected](command, state)

    # -- expansion's hooks

    def _substitute(self, script: Script, state: State) -> Text:
        inner = state.copy()
        item = script.items[0].command if len(script.items) == 1 else None
        if isinstance(item, Simple) and not item.words and len(item.redirs) == 1 and item.redirs[0].op == "<":
            return self.redirects.content(item.redirs[0], inner)
        return self.script(script, inner)

    def _plumb(self, part: Proc, state: State) -> Text:
        path = f"/dev/fd/{600 + self.m.number()}"
        if part.way == "<":
            out = self.script(part.script, state.copy())
            state.files[path] = out
            return Text(path, out.taint)
        state.sinks[path] = part.script
        inner = state.copy()
        inner.stdin = Text(HOLE)
        return Text(path)

    # -- simple commands

    def _simple(self, node: Simple, state: State) -> Text:
        if not node.words:
            for assign in node.assigns:
                self.assign(assign, state)
                if assign.name == "PATH":
                    state.exported.add("PATH")
                    exported(Run(self.m, state, [Text("PATH")], None), "PATH")
                if assign.name in ("PS4", "PS0", "PROMPT_COMMAND"):
                    for value in state.get(assign.name):
                        code = value if assign.name == "PROMPT_COMMAND" else Text(f': "{value}"', value.taint)
                        if assign.name == "PROMPT_COMMAND" or "$(" in value or "`" in value:
                            self.code(code, state.copy(), assign.name)
                if assign.name in ("HISTFILE", "HISTSIZE", "HISTFILESIZE"):
                    traces(Run(self.m, state, [Text(assign.name)], None), assign.name, state.get(assign.name)[0])
            if node.redirs:
                return self.redirects.around(node.redirs, state, lambda _: Text(""), "")
            return Text("")
        ways = self._argvs(self._declared(node.words, state), state)
        target = state
        if node.assigns:
            target = state.copy()
            for assign in node.assigns:
                self.assign(assign, target)
                target.exported.add(assign.name)
        outs: list[Text] = []
        for argv in ways:
            if not argv:
                continue
            keep = argv[0] in ("exec",) and len(argv) == 1

            def run(inner: State, argv: list[Text] = argv) -> Text:
                return self.m.dispatch(Run(self.m, inner, argv, inner.stdin))

            if node.redirs:
                outs.append(self.redirects.around(node.redirs, target, run, argv[0], keep=keep))
            else:
                outs.append(run(target))
        if target is not state:
            self._keep_after_prefix(node, target, state)
        if len(outs) == 1:
            return outs[0]
        taint = 0
        for out in outs:
            taint |= out.taint
        return Text(HOLE, taint) if outs else Text("")

    def _declared(self, words: tuple[Word, ...], state: State) -> tuple[Word, ...]:
        """The words of `declare -A m=([k]=v)` with the arrays taken out of them: they have their values then."""
        if len(words) < 2 or words[0].literal() not in _DECLARES:
            return words
        rest: list[Word] = []
        for word in words:
            head = word.parts[0] if len(word.parts) == 2 else None
            if isinstance(head, Lit) and isinstance(word.parts[1], ArrayLit) and head.text.endswith("="):
                name = head.text.rstrip("+=")
                self.assign_array(name, word.parts[1], state, append=head.text.endswith("+="))
                rest.append(Word((Lit(name),)))
            else:
                rest.append(word)
        return tuple(rest)

    def _keep_after_prefix(self, node: Simple, inner: State, state: State) -> None:
        """Everything that the command did to the shell stays, save the assignments before it."""
        names = {assign.name for assign in node.assigns}
        for name, values in inner.vars.items():
            if name not in names:
                state.vars[name] = values
        state.arrays, state.funcs, state.aliases = inner.arrays, inner.funcs, inner.aliases
        state.cwd, state.fds, state.positional = inner.cwd, inner.fds, inner.positional

    def _argvs(self, words: tuple[Word, ...], state: State) -> list[list[Text]]:
        ways: list[list[Text]] = [[]]
        for word in words:
            found = self.expander.fields(word, state)
            if len(found) == 1:
                for way in ways:
                    way += found[0]
                continue
            if len(ways) * len(found) > 24:
                hole = [Text(HOLE)]
                ways = [way + hole for way in ways]
                continue
            ways = [way + fields for way in ways for fields in found]
        return ways

    def assign(self, node: Assign, state: State) -> None:
        """A variable, an element or a whole array gets its value."""
        parts = node.value.parts
        if parts and isinstance(parts[0], ArrayLit):
            self.assign_array(node.name, parts[0], state, append=node.append)
            return
        values = self.expander.text(node.value, state)
        if node.index is not None:
            key = self.expander.text(node.index, state)[0]
            array = state.arrays.setdefault(state.names.get(node.name, node.name), {})
            array[key if known(key) else HOLE] = values[0] if len(values) == 1 else Text(HOLE)
            return
        if node.append:
            if node.name in state.arrays:
                first = state.arrays[node.name].get("0", Text(""))
                state.arrays[node.name]["0"] = Text(first + values[0], first.taint | values[0].taint)
                return
            old = state.get(node.name) if node.name in state.vars else (Text(""),)
            values = tuple(Text(a + b, a.taint | b.taint) for a in old for b in values)
        state.set(node.name, values)

    def assign_array(self, name: str, node: ArrayLit, state: State, *, append: bool) -> None:
        """`name=(...)` and `name+=(...)`."""
        array = dict(state.arrays.get(name, {})) if append else {}
        for word in node.items:
            first = word.parts[0]
            if isinstance(first, Lit) and not first.quoted and first.text.startswith("[") and "]=" in first.text:
                key, _, rest = first.text[1:].partition("]=")
                array[key] = self.expander.text(Word((Lit(rest, quoted=True), *word.parts[1:])), state)[0]
                continue
            for field in self.expander.fields(word, state)[0]:
                array[str(len(array))] = field
        state.arrays[name] = array
        state.vars.pop(name, None)

    # -- lists and pipelines

    def _pipeline(self, node: Pipeline, state: State) -> Text:
        given = state.stdin
        out = Text("")
        for place, command in enumerate(node.commands):
            last = place == len(node.commands) - 1
            inner = state.copy()
            inner.background = state.background or not last
            inner.stdin = given if place == 0 else out
            out = self.command(command, inner)
            if last:
                inner.stdin, inner.background, inner.cwd = given, state.background, state.cwd
                state.merge_vars(inner)
        return out

    def _and_or(self, node: AndOr, state: State) -> Text:
        left = self.command(node.left, state)
        inner = state.copy()
        right = self.command(node.right, inner)
        if inner.cwd != state.cwd and node.op == "&&":
            state.cwd = inner.cwd
        state.merge(inner)
        return joined([left, right])

    def _group(self, node: Group, state: State) -> Text:
        return self.script(node.body, state.copy() if node.subshell else state)

    def _if(self, node: If, state: State) -> Text:
        outs: list[Text] = []
        results: list[State] = []
        for condition, body in node.clauses:
            outs.append(self.script(condition, state))
            inner = state.copy()
            outs.append(self.script(body, inner))
            results.append(inner)
        for inner in results:
            state.merge(inner)
        return joined(outs)

    # -- loops

    def _repeat(self, body: Script, state: State) -> Text:
        """A body that runs any number of times: until its variables stand still, twice at most."""
        out = Text("")
        for _ in range(2):
            before = dict(state.vars)
            inner = state.copy()
            out = self.script(body, inner)
            state.merge(inner)
            if state.vars == before:
                break
        return Text(out if out == "" else HOLE, out.taint) if out else out

    def _while(self, node: While, state: State) -> Text:
        if self._endless(node) and spawns(node.body):
            self.m.emit(Exec(program="sh", kind="fork-bomb", words=("while", "&")))
        first = self.script(node.condition, state)
        return joined([first, self._repeat(node.body, state)])

    def _endless(self, node: While) -> bool:
        command = node.condition.items[-1].command
        words: tuple[Word, ...] = ()
        if isinstance(command, Simple | Test):
            words = command.words
        elif isinstance(command, ArithCommand):
            text = command.body.literal() or ""
            return (text.strip() not in ("0", "") and text.strip().isdigit()) != node.until
        texts = [word.literal() for word in words]
        if len(texts) == 3 and texts[0] == "[" and texts[2] == "]":
            texts = texts[1:2]
            return bool(texts[0]) != node.until
        if isinstance(command, Test) and len(texts) == 1:
            return bool(texts[0]) != node.until
        return bool(texts) and texts[0] in (_NEVER if node.until else _FOREVER)

    def _for(self, node: For, state: State) -> Text:
        values: Values = ()
        if node.words is None:
            values = tuple(state.positional or (Text(HOLE),))
        else:
            for word in node.words:
                for fields in self.expander.fields(word, state):
                    values += tuple(fields)
        if not values:
            return Text("")
        state.set(node.name, values)
        return self._repeat(node.body, state)

    def _c_for(self, node: CFor, state: State) -> Text:
        for word in node.head:
            self.expander.text(word, state)
            assigned(word, state)
        if (
            not (node.head[1].literal() or "").strip()
            and not any(not isinstance(p, Lit) for p in node.head[1].parts)
            and spawns(node.body)
        ):
            self.m.emit(Exec(program="sh", kind="fork-bomb", words=("for", "&")))
        return self._repeat(node.body, state)

    def _case(self, node: Case, state: State) -> Text:
        self.expander.text(node.word, state)
        outs: list[Text] = []
        results: list[State] = []
        for patterns, body, _ in node.arms:
            for pattern in patterns:
                self.expander.text(pattern, state)
            inner = state.copy()
            outs.append(self.script(body, inner))
            results.append(inner)
        for inner in results:
            state.merge(inner)
        return joined(outs)

    # -- the rest

    def _func(self, node: Func, state: State) -> Text:
        state.funcs[node.name] = (node.body,)
        if node.name == "command_not_found_handle":
            self.command(node.body, state.copy())
        return Text("")

    def _test(self, node: Test, state: State) -> Text:
        for word in node.words:
            for value in self.expander.text(word, state):
                subscript(Run(self.m, state, [Text("[[")], None), value)
        return Text("")

    def _arith(self, node: ArithCommand, state: State) -> Text:
        self.expander.text(node.body, state)
        assigned(node.body, state)
        return Text("")

    def _coproc(self, node: Coproc, state: State) -> Text:
        number = 600 + self.m.number()
        path = f"/dev/fd/{number}"
        from overnight.guard.syntax import Item

        state.sinks[path] = Script((Item(node.command),))
        inner = state.copy()
        inner.background = True
        inner.stdin = Text("")
        state.files[f"{path}.out"] = self.command(node.command, inner)
        state.fds[str(number)] = path
        state.arrays[node.name] = {"0": Text(str(number)), "1": Text(str(number))}
        return Text("")

    def _redirected(self, node: Redirected, state: State) -> Text:
        return self.redirects.around(node.redirs, state, lambda inner: self.command(node.command, inner), "")


def interpreter(machine: Machine) -> Interpreter:
    """An interpreter tied to its machine."""
    made = Interpreter(machine)
    machine.code = made.code
    machine.dispatch = lambda run: dispatch(run, made)
    machine.script = made.script
    return made
