"""Redirections: where a command's input comes from and where its output goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from overnight.guard.effects import Exec, Net
from overnight.guard.expand import Expander
from overnight.guard.machine import Machine, Run
from overnight.guard.paths import HARMLESS
from overnight.guard.redirections import body_of
from overnight.guard.state import State
from overnight.guard.syntax import Redir
from overnight.guard.text import ENDLESS, HOLE, LOCAL, NETWORK, SECRET, Text, shown, taint_of

_SOCKET = re.compile(r"/dev/(tcp|udp)/([^/]*)")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "tcsh", "csh", "exec", "busybox"})
Body = Callable[[State], Text]


class Redirects:
    """Applies redirections around a body."""

    def __init__(self, machine: Machine, expander: Expander) -> None:
        self.m = machine
        self.expander = expander

    def content(self, redir: Redir, state: State) -> Text:
        """`$(<file)`"""
        return Run(self.m, state, [Text("cat")], None).read(self.expander.text(redir.target, state)[0])

    def around(self, redirs: Sequence[Redir], state: State, body: Body, name: str, *, keep: bool = False) -> Text:
        """Run the body with its redirections; returns what is left for standard output."""
        run = Run(self.m, state, [Text(name or "redirection")], None)
        before, fds = state.stdin, dict(state.fds)
        goes: list[str] = []
        for redir in redirs:
            self._apply(redir, state, run, goes, name)
        outward = [fd for fd in ("1",) if fd in state.fds and state.fds[fd] != fds.get(fd)]
        out = body(state)
        if not keep:
            state.stdin = before
            state.fds = {**fds, **{k: v for k, v in state.fds.items() if k not in ("0", "1", "2") and k not in fds}}
        empties = any(redir.op in (">", ">|", "&>") for redir in redirs)
        for path in goes:
            self._send(path, out, state, name, op_empties=empties)
        if goes or outward:
            return Text("")
        kept = state.fds.get("1")
        if kept and not keep:
            self._send(kept, out, state, name)
            return Text("")
        return out

    def _apply(self, redir: Redir, state: State, run: Run, goes: list[str], name: str) -> None:
        op = redir.op
        fd = str(redir.fd) if redir.fd is not None else "0" if op.startswith("<") else "1"
        if redir.var:
            fd = str(10 + self.m.number())
            state.set(redir.var, (Text(fd),))
        values = self.expander.text(body_of(redir), state)
        if op in ("<<", "<<-", "<<<"):
            text = values[0] if len(values) == 1 else Text(HOLE, values[0].taint)
            self._input(fd, Text(text + "\n", text.taint) if op == "<<<" else text, state)
            return
        for target in values:
            self._target(op, fd, target, state, run, goes, name)

    def _input(self, fd: str, text: Text, state: State) -> None:
        if fd == "0":
            state.stdin = text
        else:
            state.fds[fd] = f"/dev/fd/{fd}"
            state.files[f"/dev/fd/{fd}"] = text

    def _target(self, op: str, fd: str, target: Text, state: State, run: Run, goes: list[str], name: str) -> None:
        if op in ("<&", ">&") and re.fullmatch(r"\d+-?|-", target):
            source = target.rstrip("-")
            if source in state.fds:
                path = state.fds[source]
                state.fds[fd] = path
                if op == ">&" or fd == "1":
                    goes.append(path)
                else:
                    state.stdin = state.files.get(path, Text(HOLE, LOCAL))
            return
        socket = _SOCKET.match(target)
        if socket:
            self._socket(socket, fd, target, state, goes, name)
            return
        if op == "<" or (op == "<&"):
            self._input(fd, run.read(target), state)
            return
        path = run.path(target)
        if op == "<>":
            run.read(target)
        if fd in ("1", "2") or op in ("&>", "&>>"):
            if fd == "2" and op not in ("&>", "&>>", ">&"):
                run.write(target)
            else:
                goes.append(path)
            state.fds[fd] = path
        else:
            state.fds[fd] = path
            if path not in state.sinks:
                run.write(target)

    def _socket(self, found: re.Match[str], fd: str, path: str, state: State, goes: list[str], name: str) -> None:
        host = found.group(2)
        shell = name.rpartition("/")[2] in _SHELLS and fd in ("0", "1") and name != "exec"
        how = "reverse-shell" if shell else "raw"
        self.m.emit(Net(host=shown(host), how=how, words=(name, shown(path))))
        state.fds[fd] = str(path)
        state.files[str(path)] = Text(HOLE, NETWORK)
        if fd == "0":
            state.stdin = Text(HOLE, NETWORK)
        elif fd == "1":
            goes.append(str(path))

    def _send(self, path: str, out: Text, state: State, name: str, *, op_empties: bool = False) -> None:
        socket = _SOCKET.match(path)
        if socket:
            taint = taint_of(out)
            sends = "secret" if taint & SECRET else "file" if taint & LOCAL else "literal"
            self.m.emit(Net(host=shown(socket.group(2)), how="raw", sends=sends, words=(name, shown(path))))
            return
        if path in state.sinks:
            inner = state.copy()
            inner.stdin, inner.fds = out, {}
            self.m.script(state.sinks[path], inner)
            return
        run = Run(self.m, state, [Text(name or "redirection"), Text(">"), Text(path)], None)
        if out.taint & ENDLESS and name in ("yes", "cat") and run.path(path) not in HARMLESS:
            self.m.emit(Exec(program=name, kind="endless", words=run.words))
        if out == "" and not out.taint and name in ("", ":", "true", "cat", "echo", "printf") and op_empties:
            run.delete(path, how="truncate")
        run.write(path, out)
