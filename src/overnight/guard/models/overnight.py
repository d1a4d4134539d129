"""Overnight's own command: an agent may look, and control nothing, least of all what is decided about its own work."""

from __future__ import annotations

from overnight.guard.effects import Guarding
from overnight.guard.machine import Run, model
from overnight.guard.text import HOLE, Text

#: What only looks: command -> its words that may follow; None where whatever follows is a name.
_LOOKS: dict[str, frozenset[str] | None] = {
    **dict.fromkeys(
        ("status", "report", "holds", "show", "log", "diff", "risk", "evidence", "usage", "routes", "version")
    ),
    "inbox": frozenset({"", "show"}),
    "levels": frozenset({""}),
    "limits": frozenset({""}),
    "budget": frozenset({""}),
    "audit": frozenset({"show", "verify", "decisions", "key"}),
    "journal": frozenset({"verify"}),
    "config": frozenset({"show"}),
    "repo": frozenset({"list"}),
    "guard": frozenset({"explain", "policy"}),
    "service": frozenset({"status"}),
}
#: Options that name a file or folder to write, and one that starts a program.
_WRITES, _STARTS = ("--markdown", "--export"), "--open"
_HELP = frozenset({"--help", "-h"})
#: Parts of Overnight that are processes of its own, as `python -m` names them.
_PROCESSES = (
    "overnight.__main__", "overnight.cli", "overnight.cli.app", "overnight.daemon", "overnight.people.deliver",
    "overnight.warden_process", "overnight.watchdog.process", "overnight.web_process",
)  # fmt: skip


@model("overnight", _PROCESSES[0])
def overnight(run: Run) -> Text:
    """Looking passes; everything that adds, decides, steers, pays, starts or ends something is a person's."""
    args = run.args
    if not _looks(args):
        run.emit(Guarding(what=f"overnight {' '.join(args[:2])}"[:80], words=run.words))
    elif args[:1] == ["status"] or args[:1] == ["evidence"]:
        for n, word in enumerate(args):
            name, equals, value = word.partition("=")
            if name in _WRITES and (equals or n + 1 < len(args)):
                run.write(value if equals else args[n + 1])
    return Text(HOLE)


def _looks(args: list[Text]) -> bool:
    if not args or all(word in _HELP or word == "--version" for word in args):
        return True
    verb, rest = str(args[0]), args[1:]
    plain = [word for word in rest if not word.startswith("-")]
    if any(word in _HELP for word in rest) and len(plain) + 1 == len(rest) and not verb.startswith("-"):
        return True  # nothing else is an option, so none can take it for its value
    if verb not in _LOOKS or _STARTS in rest:
        return False
    follows = _LOOKS[verb]
    return follows is None or (str(rest[0]) if rest and not rest[0].startswith("-") else "") in follows


@model(*_PROCESSES[1:])
def processes(run: Run) -> Text:
    """A daemon, a warden or a messenger of one's own."""
    run.emit(Guarding(what=str(run.name)[:80], words=run.words))
    return Text(HOLE)
