"""Shells: `-c CODE`, a script, or standard input."""

from __future__ import annotations

import re

from overnight.guard.machine import Run, model
from overnight.guard.text import DECODED, HOLE, INPUT, LOCAL, NETWORK, Text, known

_VALUED = frozenset({"-o", "+o", "-O", "+O", "--rcfile", "--init-file"})


@model(
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "ksh93",
    "mksh",
    "ash",
    "fish",
    "tcsh",
    "csh",
    "rbash",
    "yash",
    "rksh",
    "elvish",
    "nu",
    "oksh",
    "posh",
    "osh",
    "ysh",
    "bosh",
    "pdksh",
    "lksh",
    "sash",
    "es",
    "rc",
    "murex",
    "ion",
    "oil",
    "hush",
)
def shell(run: Run) -> Text | None:
    """Find the code that the shell will run and run it."""
    args = run.args
    code_next = stdin = False
    place = 0
    while place < len(args) and args[place][:1] in ("-", "+") and len(args[place]) > 1:
        word = args[place]
        place += 1
        if word == "--":
            break
        if word in ("--version", "--help", "-n") and not code_next and "+n" not in args:
            return Text("")
        if word in ("--rcfile", "--init-file") and place < len(args):
            run.shell(run.read(args[place]), word)
        if word in ("--command",):
            code_next = True
        if word in _VALUED or (not word.startswith("--") and word[-1] in "oO" and len(word) > 1):
            place += 1
        if not word.startswith(("--", "+")):
            code_next = code_next or "c" in word
            stdin = stdin or "s" in word
    rest = args[place:]
    if code_next:
        return _code(run, rest)
    if rest and not stdin:
        return script(run, rest[0], rest[1:])
    return from_stdin(run, rest)


def _code(run: Run, rest: list[Text]) -> Text:
    if not rest:
        return Text("")
    state = run.state.copy()
    state.aliases = {}
    if run.stdin is not None:
        state.stdin = run.stdin
    state.positional = rest[2:]
    if len(rest) > 1:
        state.vars["0"] = (rest[1],)
    return run.m.code(rest[0], state, f"{run.name} -c")


def script(run: Run, name: Text, args: list[Text]) -> Text:
    """A script file runs in a shell."""
    if name in ("-", "/dev/stdin", "/proc/self/fd/0", "/dev/fd/0"):
        return from_stdin(run, args)
    path = run.path(name)
    found = re.fullmatch(r"/dev/fd/(\d+)", path)
    if found and found.group(1) in run.state.fds:
        text = run.state.files.get(run.state.fds[found.group(1)], Text(HOLE))
    elif path.startswith("/dev/fd/") and path in run.state.files:
        text = run.state.files[path]
    else:
        text = run.read(name)
    state = run.state.copy()
    state.positional = args
    return ran(run, path, text, state)


def ran(run: Run, path: str, text: Text, state: object) -> Text:
    """A file's text runs as a shell script, if it may be looked at."""
    from overnight.guard.state import State

    assert isinstance(state, State)
    if text.taint & (NETWORK | INPUT):
        run.opaque("tainted", text.taint)
        return Text(HOLE, text.taint)
    if text == HOLE:
        if path.startswith(("/dev/", "/proc/")) or not known(path):
            run.unverifiable("the script is not known")
        elif text.taint & DECODED:
            run.opaque("obfuscated", text.taint)
        else:
            run.opaque("script", text.taint)
        return Text(HOLE, text.taint)
    if path not in run.m.ledger.files and path not in run.state.files:
        run.opaque("script", text.taint)
        return Text(HOLE)
    return run.m.code(Text(text, text.taint & ~LOCAL), state, path)


def from_stdin(run: Run, args: list[Text]) -> Text:
    """A shell reads its code from standard input."""
    text = run.stdin
    if text is None:
        return Text("")
    state = run.state.copy()
    state.positional, state.stdin = args, None
    if text.taint & (NETWORK | INPUT):
        run.opaque("tainted", text.taint)
        return Text(HOLE, text.taint)
    if HOLE in text:
        run.opaque("obfuscated" if text.taint & DECODED else "stdin", text.taint)
        if text.strip() == HOLE:
            return Text(HOLE, text.taint)
    return run.m.code(text, state, f"{run.name} <stdin")


@model("busybox", "toybox")
def busybox(run: Run) -> Text | None:
    """A program of many names."""
    if not run.args or run.args[0].startswith("-"):
        return Text(HOLE)
    return run.exec(run.args)


@model("pwsh", "powershell")
def powershell(run: Run) -> Text | None:
    """PowerShell's code is judged by the names it uses."""
    from overnight.guard.unwrap.scripts import source_effects

    args = [arg.lower() for arg in run.args]
    for place, word in enumerate(args):
        if word in ("-e", "-ec", "-enc", "-encodedcommand") or (
            word.startswith("-en") and "-encodedcommand".startswith(word)
        ):
            run.opaque("obfuscated", DECODED)
        if word in ("-c", "-command") and place + 1 < len(args):
            code = " ".join(run.args[place + 1 :])
            source_effects(run, Text(code), "powershell")
            run.shell(Text(re.sub(r"\\", "/", code)), "powershell")
            if re.search(r"(?i)\b(?:rm|ri|rmdir|rd|del|erase|remove-item)\b[^|;]*\s-r", code) and re.search(
                r"[A-Za-z]:[\\/]|\$env:|~|\$home", code, re.IGNORECASE
            ):
                run.delete(HOLE, recursive=True, how="powershell")
    return Text(HOLE)


@model("iex", "invoke-expression")
def invoke(run: Run) -> Text | None:
    """PowerShell's eval."""
    run.opaque("stdin", run.taint)
    return Text(HOLE)
