"""What is known of programs by their words alone: rows of tables, matched before a model looks closer.

A row is a program and words that must follow it in this order, other words between them or not: `gh auth status
-t|--show-token`. `|` separates alternatives, a `*` in a word stands for anything, `!word` must not be there
at all, `a,b word` is a row for both programs. A model may find more; a row only ever adds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

from msgspec import Struct

from overnight.guard.effects import (
    AnyEffect,
    Device,
    Exec,
    GitLocal,
    GitRemote,
    Guarding,
    Infra,
    Install,
    Net,
    Persist,
    Privilege,
    Unverifiable,
)
from overnight.guard.knowledge.cloud import CLOUD
from overnight.guard.knowledge.hosts import HOSTS
from overnight.guard.knowledge.machine import MACHINE
from overnight.guard.knowledge.secrets import SECRETS
from overnight.guard.knowledge.supply import SUPPLY
from overnight.guard.machine import Run
from overnight.guard.models.asking import asks
from overnight.guard.text import Text

_Make = Callable[[Run, str], AnyEffect]


class Row(Struct, frozen=True):
    """Words that mean something when they follow a program's name."""

    kind: str
    #: Alternatives per place.
    words: tuple[tuple[str, ...], ...]
    absent: tuple[str, ...] = ()


def _infra(verb: str) -> _Make:
    return lambda run, what: Infra(service=run.name, verb=verb, detail=what, words=run.words)


_MAKE: dict[str, _Make] = {
    "secret": _infra("secret"), "destroy": _infra("destroy"), "publish": _infra("publish"), "grant": _infra("grant"),
    "deploy": _infra("deploy"), "message": _infra("message"),
    "tunnel": lambda run, _: Net(host="", how="tunnel", words=run.words),
    "shell": lambda run, _: Net(host="", how="reverse-shell", words=run.words),
    "upload": lambda run, _: Net(host="", how="write", sends="file", words=run.words),
    "power": lambda run, _: Privilege(how="power", words=run.words),
    "kernel": lambda run, _: Privilege(how="kernel", words=run.words),
    "users": lambda run, _: Privilege(how="users", words=run.words),
    "container": lambda run, _: Privilege(how="container", words=run.words),
    "root": lambda run, _: Privilege(how="shell", words=run.words),
    "device": lambda run, what: Device(path=what, how=run.name, words=run.words),
    "service": lambda run, what: Persist(kind="service", path=what, words=run.words),
    "loader": lambda run, what: Persist(kind="loader", path=what, words=run.words),
    "guard": lambda run, what: Guarding(what=what, words=run.words),
    "traces": lambda run, _: Exec(program=run.name, kind="traces", words=run.words),
    "remote-code": lambda run, _: Exec(program=run.name, kind="tainted", words=run.words),
    "opaque": lambda run, _: Exec(program=run.name, kind="opaque", words=run.words),
    "source": lambda run, what: Install(manager=run.name, kind="url", names=(what,), words=run.words),
    "release": lambda run, what: Install(manager=run.name, kind="publish", names=(what,), words=run.words),
    "history": lambda run, what: GitLocal(verb="history", detail=what, words=run.words),
    "discard": lambda run, what: GitLocal(verb="discard", detail=what, words=run.words),
    "hooks": lambda run, what: GitLocal(verb="hooks-skip", detail=f"{run.name} {what}", words=run.words),
    "push": lambda run, _: GitRemote(verb="push", words=run.words),
    "unknown": lambda run, what: Unverifiable(why=what, words=run.words),
}  # fmt: skip


#: Verbs of services that only look, and options that only show what would be done. The models of services judge the
#: rest; a row must not turn `list --filter delete` into a deletion.
_LOOKS = re.compile(
    r"(?:list|ls|describe|show|get|view|status|search|inspect|help|version|info|history|logs|whoami)(?:$|-)"
)
_DRY = re.compile(r"--?dry-?run(?:$|=(?!none|false))|-DryRun$|--check$|--preview$|-whatif$")
_OUTSIDE = frozenset({"destroy", "publish", "grant", "deploy", "release", "source", "container"})


def _rows() -> dict[str, tuple[Row, ...]]:
    found: dict[str, list[Row]] = {}
    for table in (SECRETS, HOSTS, SUPPLY, MACHINE, CLOUD):
        for kind, text in table.items():
            assert kind in _MAKE, kind
            for line in text.splitlines():
                names, *words = line.split() or [""]
                row = Row(
                    kind,
                    tuple(tuple(word.split("|")) for word in words if not word.startswith("!")),
                    tuple(word[1:] for word in words if word.startswith("!")),
                )
                for name in names.split(",") if names else ():
                    found.setdefault(name, []).append(row)
    return {name: tuple(rows) for name, rows in found.items()}


ROWS = _rows()


def fits(row: Row, args: list[Text]) -> bool:
    """True when the row's words are among the arguments, in their order."""
    if any(_is(word, given) for word in row.absent for given in args):
        return False
    rest = iter(args)
    return all(any(_is(word, given) for given in rest for word in place) for place in row.words)


def _is(word: str, given: Text) -> bool:
    return fnmatchcase(given, word) if "*" in word or "[" in word else given == word


def recognised(run: Run) -> None:
    """Emit what the tables know of this command."""
    rows = ROWS.get(run.name.removesuffix(".exe").lower())
    if not rows or asks(run.args):
        return
    words = [word for word in run.args if not word.startswith("-")][:6]
    looks = any(_DRY.match(word) for word in run.args) or any(_LOOKS.match(word) for word in words)
    for row in rows:
        if looks and row.kind in _OUTSIDE:
            continue
        if fits(row, run.args):
            run.emit(_MAKE[row.kind](run, " ".join(run.words[1:4])))
