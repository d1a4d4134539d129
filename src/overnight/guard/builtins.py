"""The shell's own commands: those that change what the shell knows."""

from __future__ import annotations

import re

from overnight.guard.effects import Exec
from overnight.guard.loaders import exported
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.scanner import SyntaxProblem, ansi_c
from overnight.guard.state import SECRET_NAME, Values
from overnight.guard.text import HOLE, INPUT, NETWORK, SECRET, SHOWN, STAR, Text, taint_of

_FORMAT = re.compile(r"%(?:%|-?[0-9.*]*(b|q|s|d|i|u|x|X|o|c|e|f|g|\([^)]*\)T))")
_NAME = re.compile(r"[A-Za-z_]\w*\Z")


@model("true", "false", ":", "test", "[", "wait", "jobs", "umask", "ulimit", "return", "exit", "break", "continue",
       "type", "times", "bg", "fg", "disown", "suspend", "getopts", "complete", "compgen", "compopt", "logout", "dirs",
       "caller", "which", "whereis", "bind")  # fmt: skip
def quiet(run: Run) -> Text:
    """Commands that change nothing that matters."""
    if run.name in ("which", "type") and run.args and _NAME.match(run.args[-1].replace("-", "_")):
        return Text(f"/usr/bin/{run.args[-1]}" if run.name == "which" or "-P" in run.args or "-p" in run.args else STAR)
    for word in run.args if run.name in ("test", "[") else ():
        subscript(run, word)
    return Text(STAR if run.name in ("type", "which", "jobs", "whereis") else "")


def subscript(run: Run, word: Text) -> None:
    """Names like `a[$(code)]` are expanded by the builtins that take them, quoted or not."""
    if re.match(r"\w+\[.*(?:\$\(|`)", word):
        run.shell(Text(': "' + word.replace('"', "") + '"', word.taint), "a subscript")


@model("hash")
def hash_(run: Run) -> Text:
    """`hash -p PATH NAME` makes a name mean another program."""
    if len(run.args) > 2 and run.args[0] == "-p":
        run.state.aliases[str(run.args[2])] = run.args[1]
    return Text("")


@model("shopt", "enable", "history", "fc", "let")
def shell_state(run: Run) -> Text:
    """Shell options. `enable -f` loads a shared object."""
    if run.name == "enable" and "-f" in run.args:
        run.opaque("opaque", 0)
    for word in run.args if run.name == "let" else ():
        subscript(run, word)
    return Text(HOLE, SECRET) if run.name in ("history", "fc") else Text("")


@model("echo")
def echo(run: Run) -> Text:
    """Known words make a known output."""
    args = run.args
    escapes = False
    newline = "\n"
    while args and re.fullmatch(r"-[neE]+", args[0]):
        escapes = escapes or "e" in args[0]
        newline = "" if "n" in args[0] else newline
        args = args[1:]
    text = " ".join(args)
    if escapes and "\\" in text:
        text = _ansi(re.sub(r"\\0([0-7]{1,3})", r"\\\1", text))
    return Text(text + newline, run.taint & ~taint_of(run.stdin or "") | _args_taint(run))


def _shown(taint: int) -> int:
    return taint | (SHOWN if taint & SECRET else 0)


def _args_taint(run: Run) -> int:
    taint = 0
    for word in run.args:
        taint |= word.taint
    return _shown(taint)


def _ansi(text: str) -> str:
    try:
        return ansi_c(text)
    except SyntaxProblem:
        return HOLE


@model("printf")
def printf(run: Run) -> Text:
    """`printf FORMAT ARG...`, with `-v NAME`."""
    args = run.args
    name = ""
    if len(args) > 1 and args[0] == "-v":
        name, args = str(args[1]), args[2:]
    elif args and args[0].startswith("-v") and len(args[0]) > 2:
        name, args = args[0][2:], args[1:]
    if args and args[0] == "--":
        args = args[1:]
    out = Text(_formatted(args), _args_taint(run))
    if name:
        subscript(run, Text(name))
        base, _, index = name.partition("[")
        if index:
            run.state.arrays.setdefault(base, {})[index.rstrip("]")] = out
        else:
            run.state.set(name, (out,))
        return Text("")
    return out


def _formatted(args: list[Text]) -> str:
    if not args:
        return ""
    template, rest = _ansi(re.sub(r"\\0([0-7]{1,3})", r"\\\1", args[0])), [str(arg) for arg in args[1:]]

    def one(found: re.Match[str]) -> str:
        kind = found.group(1)
        if kind is None:
            return "%"
        value = rest.pop(0) if rest else ""
        if kind == "b":
            return _ansi(value)
        if kind == "q":
            return value if re.fullmatch(r"[\w./:=@%+,-]+", value) else "'" + value.replace("'", "'\\''") + "'"
        if kind == "s":
            return value
        if kind == "c":
            return value[:1]
        return value if value.lstrip("-").isdigit() and kind in "diu" else STAR

    out = ""
    for _ in range(64):
        before = len(rest)
        out += _FORMAT.sub(one, template)
        if not rest or len(rest) == before:
            break
    return out


@model("cd", "pushd", "chdir")
def cd(run: Run) -> Text:
    """The working folder changes."""
    found = options(run.args)
    state = run.state
    target = found.operands[0] if found.operands else Text(run.m.bounds.home if run.name != "pushd" else HOLE)
    if target == "-":
        target = state.get("OLDPWD")[0]
    if target.startswith("+") and run.name == "pushd":
        target = Text(HOLE)
    state.vars["OLDPWD"] = (Text(state.cwd),)
    state.cwd = HOLE if HOLE in target and not target.startswith("/") else run.path(target)
    if target.startswith(HOLE):
        state.cwd = HOLE
    state.vars["PWD"] = (Text(state.cwd),)
    return Text("")


@model("popd")
def popd(run: Run) -> Text:
    """Back to a folder that was left."""
    run.state.cwd = str(run.state.get("OLDPWD")[0])
    return Text("")


@model("export", "declare", "typeset", "local", "readonly")
def declare(run: Run) -> Text:
    """Variables get values and attributes."""
    state = run.state
    flags = "".join(word[1:] for word in run.args if word.startswith("-"))
    for word in run.args:
        if word.startswith(("-", "+")):
            continue
        subscript(run, word)
        name, equals, value = word.partition("=")
        append = name.endswith("+")
        name = name.rstrip("+")
        if "n" in flags and run.name in ("declare", "typeset", "local") and equals:
            if value != name:
                state.names[name] = value
            continue
        if run.name in ("local", "declare", "typeset") and state.calling and "g" not in flags:
            state.locals.add(name)
        if run.name == "export" or "x" in flags:
            state.exported.add(name)
        if name in ("HISTFILE", "HISTSIZE", "HISTFILESIZE", "HISTCONTROL") and equals:
            traces(run, name, value)
        if equals and HOLE not in name:
            _declared(run, name, Text(value, word.taint), append=append)
            if run.name == "export" or "x" in flags:
                exported(run, name)
        elif equals:
            run.unverifiable("a variable whose name is computed")
        elif ("A" in flags or "a" in flags) and name not in state.arrays:
            state.arrays[name] = {}
    names = [word for word in run.args if not word.startswith("-")]
    if "p" in flags and any(SECRET_NAME.search(name) for name in names):
        return Text(HOLE, SECRET | SHOWN)
    return Text("") if names else Text(HOLE, SECRET)


def _declared(run: Run, name: str, value: Text, *, append: bool) -> None:
    base, bracket, index = name.partition("[")
    if bracket:
        run.state.arrays.setdefault(base, {})[index.rstrip("]")] = value
        return
    old = run.state.vars.get(name, (Text(""),))
    values: Values = (Text(old[0] + value, old[0].taint | value.taint),) if append else (value,)
    if name in run.state.arrays:
        del run.state.arrays[name]
    run.state.set(name, values)


@model("unset")
def unset(run: Run) -> Text:
    """Variables and functions go."""
    for word in run.args:
        if word.startswith("-"):
            continue
        subscript(run, word)
        run.state.arrays.pop(word, None)
        if "-f" not in run.args:
            run.state.vars[str(word)] = (Text(""),)
        run.state.names.pop(word, None)
    return Text("")


@model("set")
def set_(run: Run) -> Text:
    """`set -- words` gives the positional parameters."""
    args = run.args
    if "--" in args:
        run.state.positional = args[args.index(Text("--")) + 1 :]
    elif args and not args[0].startswith(("-", "+")):
        run.state.positional = args
    return Text("") if args else Text(HOLE, SECRET)


@model("shift")
def shift(run: Run) -> Text:
    """The first positional parameters go."""
    if run.state.positional is not None:
        count = run.args[0] if run.args else "1"
        run.state.positional = run.state.positional[int(count) :] if count.isdigit() else [Text(HOLE)]
    return Text("")


@model("read")
def read(run: Run) -> Text:
    """Variables from standard input; in a loop, from any line of it."""
    found = options(run.args, valued=("-a", "-d", "-i", "-n", "-N", "-p", "-t", "-u"))
    text = _input(run, found.value("-u"))
    names = [str(name) for name in found.operands] or ["REPLY"]
    for word in found.operands:
        subscript(run, word)
    lines = [line for line in text.split("\n") if line] or [""]
    if found.has("-d") and found.value("-d") == "":
        lines = [text]
    if (array := found.value("-a")) is not None:
        run.state.arrays[array] = {str(i): Text(word, text.taint) for i, word in enumerate(lines[0].split())}
        return Text("")
    split = run.state.get("IFS")[0]
    values: dict[str, Values] = dict.fromkeys(names, ())
    for line in lines[:8] if len(lines) <= 8 else [HOLE]:
        words = (
            (line.split(None, len(names) - 1) if not split.strip() else re.split("[" + re.escape(split) + "]", line))
            if HOLE not in line
            else []
        )
        for place, name in enumerate(names):
            word = HOLE if HOLE in line else words[place] if place < len(words) else ""
            if len(names) == 1 and HOLE not in line:
                word = line.strip()
            values[name] += (Text(word, text.taint),)
    for name, many in values.items():
        run.state.set(name, many)
    return Text("")


def _input(run: Run, descriptor: Text | None) -> Text:
    state = run.state
    if descriptor is not None and descriptor != "0":
        path = state.fds.get(descriptor, "")
        return state.files.get(path + ".out", state.files.get(path, Text(HOLE, NETWORK if "/dev/tcp" in path else 0)))
    return run.stdin if run.stdin is not None else Text(HOLE, INPUT)


@model("mapfile", "readarray")
def mapfile(run: Run) -> Text:
    """Lines of the input become an array."""
    found = options(run.args, valued=("-d", "-n", "-O", "-s", "-u", "-C", "-c"))
    text = _input(run, found.value("-u"))
    name = str(found.operands[0]) if found.operands else "MAPFILE"
    ending = "" if found.has("-t") else "\n"
    lines = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
    run.state.arrays[name] = {str(i): Text(line + ending, text.taint) for i, line in enumerate(lines[:256])}
    if (code := found.value("-C")) is not None:
        run.m.code(code, run.state, "mapfile -C")
    return Text("")


@model("eval")
def eval_(run: Run) -> Text:
    """Words run as code, here."""
    args = run.args[1:] if run.args[:1] == ["--"] else run.args
    code = Text(" ".join(args), _args_taint(run))
    return run.m.code(code, run.state, "eval") if code.strip() else Text("")


@model("source", ".")
def source(run: Run) -> Text:
    """A file runs as code, here."""
    if not run.args:
        return Text("")
    name = run.args[0] if run.args[0] != "--" or len(run.args) < 2 else run.args[1]
    text = run.stdin if name in ("/dev/stdin", "/dev/fd/0", "-") and run.stdin is not None else _sourced(run, name)
    if text == HOLE and not text.taint & NETWORK:
        base = name.rpartition("/")[2]
        if not re.fullmatch(
            r"activate|[\w.-]*(?:env|venv|conda|nvm|setup|profile|cargo|sdkman|completion)[\w.-]*", base
        ):
            run.opaque("opaque", text.taint)
        return Text(HOLE)
    return run.m.code(text, run.state, "source")


def _sourced(run: Run, name: Text) -> Text:
    path = run.path(name)
    if path in run.state.fds.values() and path in run.state.files:
        return run.state.files[path]
    found = re.fullmatch(r"/dev/fd/(\d+)", path)
    if found and found.group(1) in run.state.fds:
        return run.state.files.get(run.state.fds[found.group(1)], Text(HOLE))
    if re.match(r"/dev/(tcp|udp)/", path):
        return Text(HOLE, NETWORK)
    return run.read(name)


@model("exec")
def exec_(run: Run) -> Text | None:
    """The shell becomes another program."""
    found = options(run.args, valued=("-a",), leading=True)
    return run.exec(found.operands) if found.operands else Text("")


@model("command", "builtin")
def command(run: Run) -> Text | None:
    """A program or builtin, functions left out. `-v` only looks."""
    args = run.args
    while args and re.fullmatch(r"-[pvV]+", args[0]):
        if "v" in args[0].lower():
            return Text(f"/usr/bin/{args[-1]}" if len(args) > 1 and _NAME.match(args[-1].replace("-", "_")) else STAR)
        args = args[1:]
    if args and args[0] == "--":
        args = args[1:]
    if not args:
        return Text("")
    funcs, run.state.funcs = run.state.funcs, {}
    try:
        return run.exec(args)
    finally:
        run.state.funcs = {**funcs, **run.state.funcs}


def traces(run: Run, name: str, value: str) -> None:
    """The shell's own record of what was typed is switched off."""
    if value in ("", "0", "/dev/null") or (name == "HISTCONTROL" and "ignoreboth" in value and len(value) > 10):
        run.emit(Exec(program=name, kind="traces", words=(f"{name}={value}"[:80],)))


@model("alias")
def alias(run: Run) -> Text:
    """Names that stand for code."""
    for word in run.args:
        name, equals, value = word.partition("=")
        if equals:
            run.state.aliases[name] = Text(value, word.taint)
    return Text("")


@model("unalias")
def unalias(run: Run) -> Text:
    """Aliases go."""
    for word in run.args:
        run.state.aliases.pop(word, None)
    return Text("")


@model("trap")
def trap(run: Run) -> Text:
    """Code that runs on a signal or at the end."""
    args = [arg for arg in run.args if arg not in ("--", "-l", "-p")]
    if len(args) > 1 and args[0] not in ("", "-"):
        if {"EXIT", "0"} & set(args[1:]):
            run.m.traps.append((args[0], run.state))
        else:
            run.m.code(args[0], run.state.copy(), "trap")
    return Text("")
