"""Programs that no model knows: opaque, but the paths they are given count, and so do destructive verbs."""

from __future__ import annotations

import re

from overnight.guard.effects import Exec, Infra, Unverifiable
from overnight.guard.machine import Run
from overnight.guard.text import HOLE, INPUT, LOCAL, NETWORK, Text
from overnight.guard.unwrap.shells import ran

_VERBS = frozenset(
    {"delete", "destroy", "purge", "drop", "wipe", "nuke", "terminate", "deprovision", "decommission", "obliterate"}
)
_DASHED = re.compile(r"(?:delete|remove|destroy|purge|drop|terminate|revoke|wipe)[-_][a-z][\w-]*\Z")
_SQL = re.compile(r"(?i)(?:drop|truncate|delete|alter|grant|revoke|insert|update)\Z")
_SQL_NEXT = frozenset({"table", "database", "schema", "index", "view", "from", "into", "user", "role"})
_OUTPUTS = frozenset(
    {
        "-o",
        "--output",
        "--out",
        "-out",
        "--outfile",
        "--output-file",
        "--out-file",
        "--outdir",
        "--out-dir",
        "--output-dir",
        "--output-directory",
        "--logfile",
        "--log-file",
    }
)
_PATH = re.compile(
    r"(?:[^=\s]*=)?((?:[~.]|\.\.)?/.*|[\w@%+-][\w@%+.-]*/.*|\.[\w.-]+|[\w.-]+\.\w{1,12}|id_\w+)\Z", re.DOTALL
)


def unknown(run: Run) -> Text | None:
    """A program without a model."""
    head = run.argv[0]
    if "/" in head:
        path = run.path(head)
        text = run.m.content(path, run.state)
        if text.taint & (NETWORK | INPUT):
            run.opaque("tainted", text.taint)
            return Text(HOLE)
        written = path in run.m.ledger.files or path in run.state.files
        if written and text != HOLE:
            return _script(run, path, text)
    if _sql(run):
        run.emit(Infra(service="sql", verb="destroy", detail=" ".join(run.words[:4]), words=run.words))
    elif destructive(run.args):
        run.emit(Infra(service=run.name, verb="destroy", detail=" ".join(run.words[1:4]), words=run.words))
    if re.search(r"stratum\+(?:tcp|ssl)://", " ".join(run.args)):
        run.emit(Exec(program=run.name, kind="miner", words=run.words))
    if not re.match(r"[\w@./+:,~%^{}\[\]-]+\Z", head):
        run.emit(Unverifiable(why="this is no program's name", words=run.words))
    run.emit(Exec(program=run.name, kind="unknown-program", taint=run.taint, words=run.words))
    touched(run, run.args)
    return Text(HOLE, run.taint | LOCAL)


def _script(run: Run, path: str, text: Text) -> Text:
    first = text.partition("\n")[0]
    if first.startswith("#!") and not re.search(r"\b(?:ba|da|k|z)?sh\b", first):
        program = first[2:].split()
        if program and program[0].endswith("/env"):
            program = [word for word in program[1:] if not word.startswith("-")]
        return run.exec([Text(program[0]), Text(path), *run.args]) if program else Text(HOLE)
    state = run.state.copy()
    state.positional = run.args
    return ran(run, path, text, state)


def destructive(args: list[Text], most: int = 4) -> bool:
    """True when one of the first words is a verb that destroys, and nobody asks for help."""
    if {"--help", "-h", "--dry-run", "help"} & set(args):
        return False
    words = [word for word in args if not word.startswith("-")][:most]
    return any(word in _VERBS or _DASHED.match(word) for word in words)


def _sql(run: Run) -> bool:
    return (
        bool(_SQL.match(run.argv[0]))
        and bool(run.args)
        and (run.args[0].lower() in _SQL_NEXT or (run.name.lower() == "truncate" and run.argv[-1].endswith(";")))
    )


def touched(run: Run, args: list[Text]) -> None:
    """Arguments that look like paths may be read or written; what an output option names is written."""
    for place, word in enumerate(args):
        name, equals, value = word.partition("=")
        if name in _OUTPUTS and (equals or place + 1 < len(args)):
            target = Text(value) if equals else args[place + 1]
            if re.match(r"[~./\w]", target) and "://" not in target:
                run.write(run.m.bounds.home + target[1:] if target.startswith("~/") else target)
        for piece in (word, *re.split(r"[=,]", word)[1:]) if word.startswith("-") and "=" in word else (word,):
            found = _PATH.match(piece)
            if found and "://" not in piece:
                name = re.sub(r"^-\w(?=[./~])", "", found.group(1))
                if name.startswith("~/"):
                    name = run.m.bounds.home + name[1:]
                run.read(name, certain=False)
