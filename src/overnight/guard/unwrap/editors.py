"""Editors: commands they are told to run, files they write."""

from __future__ import annotations

import re

from overnight.guard.machine import Run, model
from overnight.guard.text import Text

_BANG = re.compile(
    r"(?:^|[|:])\s*(?:silent!?\s+|exe(?:cute)?\s+['\"])?(?:r\s*|w\s*|%|'<,'>|\d+,\d+)*!\s*(.+)", re.DOTALL
)
_SYSTEM = re.compile(
    r"system(?:list)?\(\s*(['\"])(.+?)\1|os\.execute\(\s*(['\"])(.+?)\3|shell-command(?:-to-string)?\s+\"([^\"]+)\""
)


@model(
    "vim",
    "vi",
    "nvim",
    "ex",
    "view",
    "gvim",
    "emacs",
    "ed",
    "nano",
    "micro",
    "joe",
    "pico",
    "kak",
    "hx",
    "code",
    "subl",
)
def editor(run: Run) -> Text | None:
    """`-c COMMAND`, `+COMMAND`, `--cmd`, `--eval`: `!` and system() run shell code. Named files are written."""
    args = run.args
    place = 0
    names: list[Text] = []
    while place < len(args):
        word = args[place]
        place += 1
        if word in (
            "-c",
            "--cmd",
            "--eval",
            "-eval",
            "-S",
            "--command",
            "-s",
            "-u",
            "-l",
            "--load",
            "-f",
            "-e",
        ) and place < len(args):
            if (word in ("-e", "-f") and run.name not in ("emacs", "kak")) or (
                word == "-s" and run.name in ("ed", "ex")
            ):
                continue
            command(run, args[place])
            place += 1
        elif word.startswith("+"):
            command(run, Text(word[1:]))
        elif not word.startswith("-"):
            names.append(word)
    if run.stdin is not None and run.name in ("ed", "ex", "vim", "vi", "nvim"):
        for line in run.stdin.split("\n"):
            command(run, Text(line, run.stdin.taint))
    for name in names:
        if run.name in ("view",) or "-R" in args:
            run.read(name)
        else:
            run.write(name, how="edit")
    return Text("")


def command(run: Run, text: Text) -> None:
    """One editor command."""
    for found in re.finditer(
        r"delete-(?:directory|file)\s+\"([^\"]+)\"|\bdelete\((?:['\"]([^'\"]+)['\"]|(\$HOME))", text
    ):
        name = str(found.group(1) or found.group(2) or "~")
        run.delete(run.m.bounds.home + name[1:] if name.startswith("~") else name, recursive=True, how=run.name)
    found = _BANG.search(text)
    if found:
        run.shell(Text(found.group(1).rstrip("'\""), text.taint), f"{run.name} !")
    for groups in _SYSTEM.findall(text):
        run.shell(Text(groups[1] or groups[3] or groups[4]), f"{run.name} system()")
    for name in re.findall(r"(?:^|[|:])\s*(?:w|sav|saveas|w!|wq!?)!?\s+([^\s|!]+)", text):
        run.write(_at_home(run, name))
    for name in re.findall(r"(?:^|[|:])\s*(?:r|e|edit|read|source|so|luafile)!?\s+([^\s|!]+)", text):
        run.read(_at_home(run, name))


def _at_home(run: Run, name: str) -> Text:
    return Text(run.m.bounds.home + name[1:] if name.startswith("~/") else name)
