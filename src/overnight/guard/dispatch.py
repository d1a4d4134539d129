"""Which model a command goes to: function, alias, builtin, program, or none that is known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from overnight.guard import builtins, models, unwrap
from overnight.guard.effects import Exec, Unverifiable
from overnight.guard.knowledge import recognised
from overnight.guard.loaders import environment
from overnight.guard.machine import MODELS, Model, Run
from overnight.guard.models.unknown import unknown
from overnight.guard.scanner import SyntaxProblem
from overnight.guard.text import CLASS, HOLE, QUESTION, RESERVED, STAR, Text

if TYPE_CHECKING:
    from overnight.guard.interpret import Interpreter

#: Importing these registers their models.
ROOMS = (builtins, models, unwrap)
_VERSIONED = re.compile(r"(python|pypy|ruby|perl|node|lua|php|pip|gcc|clang|g\+\+|java|bash|git)[-.\d]*\d\Z")
#: Words of SQL that are programs in lower case too.
_SQL = frozenset({"FLUSHALL", "FLUSHDB", "GRANT", "TRUNCATE", "DROP", "DELETE", "SELECT", "INSERT", "UPDATE"})
_BINARIES = re.compile(r"(?:/usr(?:/local)?)?/s?bin")
#: Programs that a pattern may stand for.
_MOST = 12
_DOTTED = re.compile(r"(mkfs|fsck|mke2fs)\..*\Z")


def dispatch(run: Run, interpreter: Interpreter) -> Text:
    """Run one command's model; returns what the command prints."""
    m = run.m
    m.step()
    m.depth += 1
    try:
        if m.depth > m.budget.depth:
            raise SyntaxProblem("wrappers nest deeper than can be checked")
        return _dispatch(run, interpreter)
    finally:
        m.depth -= 1


def _dispatch(run: Run, interpreter: Interpreter) -> Text:
    head = run.argv[0]
    state = run.state
    if any(char in head for char in RESERVED):
        if (programs := _programs(head)) and not any(HOLE in word for word in run.argv[:1]):
            outs = [dispatch(Run(run.m, state.copy(), [name, *run.args], run.stdin), interpreter) for name in programs]
            return Text(HOLE, run.taint) if len(outs) > 1 else outs[0]
        _unknown_head(run)
        return Text(HOLE, run.taint)
    if head in state.funcs:
        return _call(run, interpreter)
    if head in state.aliases:
        words = [
            word if re.fullmatch(r"[\w@%+=:,./-]+", word) else "'" + word.replace("'", "'\\''") + "'"
            for word in run.args
        ]
        alias = state.aliases[head]
        inner = state.copy()
        del inner.aliases[head]
        return run.m.code(Text(alias + " " + " ".join(words), alias.taint), inner, "alias")
    name = run.name
    if run.state.exported:
        environment(run)
    recognised(run)
    if "/" in head and (origin := run.m.programs.get(run.path(head))) is not None:
        name = origin.rpartition("/")[2]
        if find(name) is not None and find(name) is not find(run.name):
            return run.exec([Text(origin), *run.args])
    found = find(name)
    out = found(run) if found is not None else unknown(run)
    return out if out is not None else Text(HOLE, run.taint)


def _programs(head: Text) -> list[Text]:
    """The programs that a pattern below a folder of programs may stand for, `/bin/l?`; none when they are too many."""
    folder, _, last = head.rpartition("/")
    if not _BINARIES.fullmatch(folder) or HOLE in head or CLASS in head:
        return []
    pattern = re.compile(re.escape(last).replace(STAR, ".*").replace(QUESTION, "."))
    found = [Text(f"{folder}/{name}", head.taint) for name in MODELS if pattern.fullmatch(name)]
    return found if len(found) <= _MOST else []


def find(name: str) -> Model | None:
    """The model of a program's name, its version and `.exe` left out."""
    name = name.lower() if name[:1].isupper() and name not in _SQL else name
    if name.endswith(".exe"):
        name = name[:-4]
    found = MODELS.get(name)
    if found is None and (match := _VERSIONED.match(name) or _DOTTED.match(name)):
        found = MODELS.get(match.group(1))
    return found


def _unknown_head(run: Run) -> None:
    head = run.argv[0]
    if head == HOLE or head.startswith(HOLE):
        run.emit(Unverifiable(why="the program's name is not known", words=run.words))
    elif STAR in head.rpartition("/")[2] or head.rpartition("/")[2] != head or HOLE in head:
        run.emit(Unverifiable(why="the program's name is computed", words=run.words))
    else:
        run.emit(Unverifiable(why="the program's name is a pattern", words=run.words))


def _call(run: Run, interpreter: Interpreter) -> Text:
    state, name = run.state, str(run.argv[0])
    bodies = tuple(body for body in state.funcs[name] if not any(body is running for running in state.calling))
    if len(bodies) < len(state.funcs[name]):
        # A function that calls itself; one that merely gives its name to another body is looked into.
        if state.background:
            run.emit(Exec(program=name, kind="fork-bomb", words=run.words))
        if not bodies:
            return Text(HOLE)
    before, calling = state.positional, state.calling
    state.positional, state.calling = run.args, (*calling, *bodies)
    given, state.stdin = state.stdin, run.stdin
    outer, state.locals = state.locals, set[str]()
    variables = dict(state.vars)
    outs = [interpreter.command(body, state) for body in bodies]
    for local in state.locals:
        if local in variables:
            state.vars[local] = variables[local]
        else:
            state.vars.pop(local, None)
    state.positional, state.calling, state.stdin, state.locals = before, calling, given, outer
    return outs[0] if len(outs) == 1 else Text(HOLE)
