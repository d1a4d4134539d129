"""sudo, doas, su and their like: other rights around an inner command."""

from __future__ import annotations

import re

from overnight.guard.effects import Infra, Privilege, Write
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.state import SECRET_NAME
from overnight.guard.text import HOLE, Text

_SUDO = ("-u", "--user", "-g", "--group", "-h", "--host", "-p", "--prompt", "-C", "-c", "-D", "--chdir", "-R", "--chroot",
         "-r", "--role", "-t", "--type", "-T", "-U")  # fmt: skip
_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "fish", "su"})


@model("sudo", "doas", "pkexec", "run0", "gsudo", "please", "sudoedit")
def sudo(run: Run) -> Text | None:
    """A command as another user, usually root."""
    run.emit(Privilege(how="sudo", words=run.words))
    found = options(run.args, valued=_SUDO, leading=True)
    if found.has("-e", "--edit") or run.name == "sudoedit":
        for name in found.operands:
            run.write(name)
        return Text("")
    kept = found.value("--preserve-env")
    if kept and any(SECRET_NAME.search(name) for name in kept.split(",")):
        run.emit(Infra(service="sudo", verb="secret", detail=str(kept), words=run.words))
    rest = found.operands
    state = run.state.copy()
    while rest and re.match(r"[A-Za-z_]\w*=", rest[0]):
        name, _, value = rest[0].partition("=")
        state.vars[name] = (Text(value, rest[0].taint),)
        state.exported.add(name)
        rest = rest[1:]
    if not rest:
        if found.has("-i", "-s", "--login", "--shell"):
            _root_shell(run)
        return Text(HOLE)
    if rest[0].rpartition("/")[2] in _SHELLS and len(rest) == 1 and run.stdin is None:
        _root_shell(run)
    return run.m.dispatch(Run(run.m, state, rest, run.stdin))


def _root_shell(run: Run) -> None:
    run.emit(Privilege(how="shell", words=run.words))


@model("su", "runuser", "sg", "newgrp")
def su(run: Run) -> Text | None:
    """`su [-] [USER] -c CODE`."""
    run.emit(Privilege(how="sudo", words=run.words))
    found = options(run.args, valued=("-c", "--command", "--session-command", "-s", "--shell", "-g", "-G", "-w", "-u"))
    codes = found.all("-c", "--command", "--session-command")
    for code in codes:
        run.shell(code, run.name)
    if found.has("-u") and found.operands:
        return run.exec(found.operands)
    if run.name == "sg" and len(found.operands) > 1:
        run.shell(Text(" ".join(found.operands[1:])), "sg")
    elif not codes:
        if run.stdin is not None:
            return run.shell(run.stdin, run.name)
        _root_shell(run)
    return Text(HOLE)


@model("visudo", "vipw", "vigr", "passwd", "chpasswd", "useradd", "adduser", "userdel", "usermod", "groupadd", "groupdel",
       "groupmod", "deluser", "chsh", "dscl", "gpasswd")  # fmt: skip
def users(run: Run) -> Text | None:
    """Accounts change."""
    if run.name == "dscl" and not {"-create", "-delete", "-append", "-change", "-passwd", "-merge"} & set(run.args):
        return Text(HOLE)
    if not {"--help", "--version", "-S"} & set(run.args):
        run.emit(Privilege(how="users", words=run.words))
    return Text("")


@model("setcap", "capset")
def setcap(run: Run) -> Text | None:
    """A program gets rights of root."""
    run.emit(Privilege(how="setuid", words=run.words))
    for name in run.args[1:]:
        run.emit(Write(path=run.path(name), how="mode", words=run.words))
    return Text("")
