"""xargs and parallel: a command whose words come from the input."""

from __future__ import annotations

import re

from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.text import HOLE, LOCAL, Text

_XARGS = ("-a", "--arg-file", "-d", "--delimiter", "-E", "-I", "--replace", "-L", "--max-lines", "-n", "--max-args", "-P",
          "--max-procs", "-s", "--max-chars", "--process-slot-var", "-J", "-R", "-S")  # fmt: skip
_PARALLEL = ("-j", "--jobs", "-a", "--arg-file", "-I", "--colsep", "-C", "-d", "--delimiter", "--joblog", "--results",
             "--tmpdir", "-S", "--sshlogin", "-n", "--max-args", "-N", "-L", "--timeout", "--delay", "--retries", "--memfree",
             "--load", "--tagstring", "--workdir", "--wd", "-P", "--max-procs", "-s", "--env", "--block", "--halt")  # fmt: skip


@model("xargs", "gxargs")
def xargs(run: Run) -> Text | None:
    """`xargs [OPTION]... COMMAND [WORD]...`."""
    args = [Text("-I{}") if word == "-i" else word for word in run.args]
    found = options(args, valued=_XARGS, leading=True)
    command = found.operands or [Text("echo")]
    listed = found.value("-a", "--arg-file")
    given = run.stdin if listed is None else Text(HOLE, LOCAL)
    marks = found.all("-I", "--replace", "-J") + ([Text("{}")] if "--replace" in found.flags else [])
    items = _items(given, lines=bool(marks) or found.has("-d", "-0", "--null", "--delimiter"))
    if not marks:
        run.exec([*command, *items], stdin=Text(""))
        if command[-1] in ("-c", "-ec", "-lc") or (
            len(command) > 1 and command[-1].startswith("-") and command[-1].endswith("c")
        ):
            for item in _items(given, lines=True)[:16]:
                run.exec([*command, item], stdin=Text(""))
    else:
        mark = marks[-1] or "{}"
        for item in items[:16]:
            words = [
                Text(word.replace(mark, item), word.taint | item.taint) if mark in word else word for word in command
            ]
            run.exec(words, stdin=Text(""))
    return Text(HOLE, run.taint)


def _items(given: Text | None, *, lines: bool) -> list[Text]:
    if given is None:
        return [Text(HOLE, LOCAL)]
    if HOLE in given:
        return [Text(HOLE, given.taint)]
    pieces = re.split(r"[\n\0]", given) if lines else re.findall(r"[^\s\"']+|\"[^\"]*\"|'[^']*'", given)
    return [Text(piece.strip("\"'") if not lines else piece, given.taint) for piece in pieces if piece][:64]


@model("parallel")
def parallel(run: Run) -> Text | None:
    """GNU parallel: words are joined to shell code, `:::` gives the arguments."""
    args = run.args
    place = next((i for i, word in enumerate(args) if re.fullmatch(r":::\+?|::::\+?", word)), len(args))
    found = options(args[:place], valued=_PARALLEL, leading=True)
    sources = args[place + 1 :] if place < len(args) else None
    if sources is not None and args[place].startswith("::::"):
        sources = [Text(HOLE, LOCAL)]
    items = (
        [word for word in sources if not word.startswith(":::")]
        if sources is not None
        else _items(run.stdin, lines=True)
    )
    command = found.operands
    if not command:
        for item in items[:16]:
            run.shell(item, "parallel")
        return Text(HOLE)
    for item in (items or [Text("")])[:16]:
        text = " ".join(_quoted(word) if not any(char in word for char in " {;|&$") else word for word in command)
        code, count = re.subn(r"\{[0-9.#%/]*\}", lambda _: item, text)  # noqa: B023 - used at once
        run.shell(Text(code if count else f"{code} {item}", item.taint), "parallel", stdin=Text(""))
    return Text(HOLE, run.taint)


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[^\s'\"\\;&|<>()$`*?\[\]{}!#~]+", word) else "'" + word.replace("'", "'\\''") + "'"
