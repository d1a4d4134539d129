"""find and fd: where they look, what they run, what they delete."""

from __future__ import annotations

from itertools import pairwise

from overnight.guard.effects import Delete, Read
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.paths import under
from overnight.guard.text import HOLE, LOCAL, STAR, Text

_ONE = frozenset(
    [
        "-name",
        "-iname",
        "-path",
        "-ipath",
        "-wholename",
        "-iwholename",
        "-regex",
        "-iregex",
        "-type",
        "-xtype",
        "-size",
        "-mtime",
        "-atime",
        "-ctime",
        "-mmin",
        "-amin",
        "-cmin",
        "-newer",
        "-anewer",
        "-cnewer",
        "-user",
        "-group",
        "-uid",
        "-gid",
        "-perm",
        "-maxdepth",
        "-mindepth",
        "-links",
        "-inum",
        "-samefile",
        "-fstype",
        "-printf",
        "-lname",
        "-ilname",
        "-regextype",
        "-used",
        "-context",
        "-newerat",
        "-newerct",
        "-newermt",
        "-newerBt",
        "-newerma",
        "-flags",
        "-Bmin",
        "-Btime",
        "-depth-n",
        "-fls",
        "-fprint",
        "-fprint0",
    ]
)
#: What a filter may leave that can be made again at any time.
_REMADE = ("*.pyc", "*.pyo", "__pycache__", ".DS_Store", "*.o", "*.class", ".pytest_cache", ".mypy_cache", ".ruff_cache", "*~",
           "*.egg-info", "node_modules", "*.swp", "Thumbs.db", "*.orig", "*.rej")  # fmt: skip


@model("find", "gfind")
def find(run: Run) -> Text | None:
    """`find [ROOT]... [EXPRESSION]`."""
    args = run.args
    roots: list[Text] = []
    place = 0
    while place < len(args):
        word = args[place]
        if word in ("-H", "-L", "-P", "-E", "-X", "-d", "-s", "-x") or word.startswith("-O"):
            place += 1
        elif word in ("-D", "-f"):
            if word == "-f" and place + 1 < len(args):
                roots.append(args[place + 1])
            place += 2
        elif word.startswith("-") or word in ("(", "!", ")"):
            break
        else:
            roots.append(word)
            place += 1
    roots = roots or [Text(".")]
    if args[:1] and args[0] in ("--help", "--version"):
        return Text(HOLE)
    for root in roots:
        run.emit(Read(path=run.path(root), listing=True, recursive=True, words=run.words))
        for flag, name in pairwise(args):
            there = run.path(f"{root}/{name}")
            if flag in ("-name", "-iname") and not under(there, run.m.bounds.worktree) and run.m.secret(there):
                run.emit(Read(path=there, words=run.words))
    names = _expression(run, args[place:], roots)
    if names and all(name in _REMADE for name in names):
        found = [f"{run.path(root)}/{STAR}/{name.replace('*', STAR)}" for root in roots for name in names]
        return Text("\n".join(found) + "\n", LOCAL)
    return Text(HOLE, LOCAL)


def _expression(run: Run, words: list[Text], roots: list[Text]) -> list[str]:
    """What the expression would do; returns the names that it looks for."""
    names: list[str] = []
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        if word in ("-exec", "-execdir", "-ok", "-okdir"):
            end = next(
                (i for i in range(place, len(words)) if words[i] == ";" or (words[i] == "+" and words[i - 1] == "{}")),
                len(words),
            )
            _exec(run, words[place:end], roots, names, here=word.endswith("dir"))
            place = end + 1
        elif word == "-delete":
            _deleted(run, roots, names)
        elif word in ("-fprintf", "-fprint", "-fprint0", "-fls"):
            if place < len(words):
                run.write(words[place])
            place += 2 if word == "-fprintf" else 1
        elif word in _ONE:
            if word in ("-name", "-iname") and place < len(words):
                names.append(words[place])
            place += 1
    return names


def _deleted(run: Run, roots: list[Text], names: list[str]) -> None:
    for root in roots:
        path = run.path(root)
        if names and all(name in _REMADE for name in names):
            path += f"/{STAR}/{names[0]}"
        run.emit(Delete(path=path, recursive=True, how="find", words=run.words))


def _exec(run: Run, words: list[Text], roots: list[Text], names: list[str], *, here: bool) -> None:
    """The command, once for each root, with `{}` as something below it."""
    del here
    for root in roots:
        below = names[0].replace("*", STAR) if names else STAR
        top = root
        item = Text((top.rstrip("/") or "") + "/" + below)
        if words[:1] and words[0].rpartition("/")[2] in ("rm", "unlink", "shred", "rmdir"):
            if names and all(name in _REMADE for name in names):
                run.exec([Text(word.replace("{}", item)) for word in words], stdin=Text(""))
            else:
                _deleted(run, [root], names)
            continue
        inner = [Text(word.replace("{}", item), word.taint) if "{}" in word else word for word in words]
        run.exec(inner, stdin=Text(""))


@model("fd", "fdfind")
def fd(run: Run) -> Text | None:
    """`fd [PATTERN] [PATH]... [-x COMMAND | -X COMMAND]`."""
    args = run.args
    place = next((i for i, word in enumerate(args) if word in ("-x", "-X", "--exec", "--exec-batch")), len(args))
    inner = [Text(STAR) if word in ("{}", "{/}", "{//}", "{.}") else word for word in args[place + 1 :]]
    valued = ("-e", "--extension", "-t", "--type", "-E", "--exclude", "-d", "--max-depth", "-S", "--size", "-c", "-j", "-o", "--owner",
              "--changed-within", "--changed-before", "--base-directory", "--search-path", "--min-depth", "--format")  # fmt: skip
    found = options(args[:place], valued=valued)
    roots = found.operands[1:] + found.all("--search-path", "--base-directory") or [Text(".")]
    for root in roots:
        run.emit(Read(path=run.path(root), listing=True, recursive=True, words=run.words))
    if inner:
        if inner[0] in ("rm", "unlink", "shred"):
            _deleted(run, roots, [f"*.{ending}" for ending in found.all("-e", "--extension")])
        else:
            run.exec([*inner, Text(STAR)] if STAR not in inner else inner, stdin=Text(""))
    return Text(HOLE, LOCAL)
