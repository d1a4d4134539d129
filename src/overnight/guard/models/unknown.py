"""Programs that no model knows: opaque, but the paths they are given count, and so do destructive verbs."""

from __future__ import annotations

import re

from overnight.guard.effects import Exec, Infra, Unverifiable
from overnight.guard.machine import Run
from overnight.guard.models.asking import asks
from overnight.guard.models.services import confirmed, prints_secret
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
    elif destructive(run.args) or confirmed(run.args):
        run.emit(Infra(service=run.name, verb="destroy", detail=" ".join(run.words[1:4]), words=run.words))
    else:
        _outside(run)
    _hands_on(run)
    if re.search(r"stratum\+(?:tcp|ssl)://", " ".join(run.args)):
        run.emit(Exec(program=run.name, kind="miner", words=run.words))
    if not re.match(r"[\w@./+:,~%^{}\[\]#-]+\Z", head):
        run.emit(Unverifiable(why="this is no program's name", words=run.words))
    run.emit(Exec(program=run.name, kind="unknown-program", taint=run.taint, words=run.words))
    touched(run, run.args)
    return Text(HOLE, run.taint | LOCAL)


#: Verbs of programs that send something to where others get it.
_SHIPS = frozenset({"upload", "publish", "deploy", "push"})
_SHIPPER = re.compile(r".*[-_](?:upload(?:er)?|publish(?:er)?|deploy(?:er)?)\Z")


def _outside(run: Run) -> None:
    """What the words say of a service: something goes out, or the value of a secret is printed."""
    if asks(run.args, "-h", "--dry-run", "help", "-n"):
        return
    words = [str(word) for word in run.args if not word.startswith("-")]
    if _SHIPS & set(words[:2]) or (words and _SHIPPER.match(run.name)):
        run.emit(Infra(service=run.name, verb="publish", detail=" ".join(run.words[1:4]), words=run.words))
    elif words[:2] in (["pr", "merge"], ["mr", "merge"]):
        run.emit(Infra(service=run.name, verb="publish", detail="merge", words=run.words))
    elif prints_secret(words):
        run.emit(Infra(service=run.name, verb="secret", detail=" ".join(run.words[1:4]), words=run.words))


#: Options of programs that nobody knows which hold code for somebody else.
_CODE = frozenset(
    {
        "-c",
        "-e",
        "-eval",
        "--eval",
        "--exec",
        "--execute",
        "-exec",
        "--command",
        "--cmd",
        "--run",
        "--script-string",
        "--shell-command",
        "--hook",
        "--on-change",
        "--pre",
        "--post",
    }
)


def _hands_on(run: Run) -> None:
    """A program that may be a wrapper, or an interpreter: what it seems to be given to run is looked at."""
    from overnight.guard.unwrap.scripts import source_effects

    args = run.args
    for place, word in enumerate(args[:40]):
        rest = args[place:]
        if _INNER.match(word) and _dangerous(rest):
            run.exec(rest)
            return
        name, equals, value = word.partition("=")
        code = (
            Text(value, word.taint)
            if equals and name in _CODE
            else rest[1]
            if word in _CODE and len(rest) > 1
            else None
        )
        if code is not None and re.search(r"[\s(]", code) and not code.startswith("-"):
            source_effects(run, code, "other")
            _as_shell(run, code)


#: Programs that are never meant as a word for something else when such words follow them.
_INNER = re.compile(
    r"(?:/usr)?(?:/s?bin/)?(?:rm|shred|dd|mkfs(?:\.\w+)?|sh|bash|zsh|dash|git|chmod|chown|curl|wget|sudo|python3?|node|perl|ruby)\Z"
)


def _dangerous(words: list[Text]) -> bool:
    """True when the words after the program's name are the kind that it takes."""
    after = words[1:4]
    if not after:
        return False
    return (
        after[0].startswith("-")
        or any("/" in word or word.startswith(("~", "of=", "if=")) for word in after)
        or words[0].endswith("git")
    )


def _as_shell(run: Run, code: Text) -> None:
    from overnight.guard.machine import MODELS
    from overnight.guard.parser import parse
    from overnight.guard.scanner import SyntaxProblem

    first = code.split()[0] if code.split() else ""
    if first.rpartition("/")[2] not in MODELS or HOLE in first:
        return
    try:
        parse(code)
    except SyntaxProblem:
        return
    run.shell(code, run.name)


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
    if run.argv[0] in ("FLUSHALL", "FLUSHDB"):
        return True
    if run.argv[0] == "GRANT" and run.args[:1] == ["ALL"]:
        return True
    return (
        bool(_SQL.match(run.argv[0]))
        and bool(run.args)
        and (
            run.args[0].lower() in _SQL_NEXT
            or (run.name.lower() == "truncate" and any(word.endswith(";") for word in run.argv))
        )
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
