"""What the readers of scripting languages have in common: names, values, calls in the order of the text."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from overnight.guard.effects import Net
from overnight.guard.machine import Run
from overnight.guard.text import HOLE
from overnight.guard.unwrap.calls import Call, Value, act, flat

if TYPE_CHECKING:
    from tree_sitter import Node

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "e": "\x1b", "\n": ""}


def text_of(node: Node | None) -> str:
    """The source of a node."""
    return node.text.decode("utf-8", "replace") if node is not None and node.text is not None else ""


class Reader:
    """What the languages have in common: names with values, names that stand for others, the calls that were found."""

    #: Node types of calls.
    calls: frozenset[str] = frozenset()

    def __init__(self, run: Run) -> None:
        self.run = run
        self.values: dict[str, Value] = {}
        self.names: dict[str, str] = {}
        self.found: list[str] = []
        #: True while a name that was put together from pieces is looked at.
        self.computed = False

    def visit(self, node: Node) -> None:
        """Every node, children first, so that what is assigned is known where it is used."""
        self.before(node)
        for child in node.named_children:
            self.visit(child)
        if node.type in self.calls and (call := self.call(node)) is not None:
            self.found.append(call.name)
            act(self.run, call)

    def before(self, node: Node) -> None:
        """Assignments and imports."""

    def call(self, node: Node) -> Call | None:
        """A call of the language, or None when it is none that matters."""
        raise NotImplementedError

    def value(self, node: Node | None) -> Value:
        """A constant, worked out; None when it is not known."""
        raise NotImplementedError

    def finish(self) -> None:
        """What only all calls together say: a socket and a shell."""
        sockets = [name for name in self.found if name in _SOCKETS or name.startswith("net.")]
        shells = [name for name in self.found if name.rpartition(".")[2] in _STARTS]
        if sockets and shells:
            self.run.emit(Net(host="", how="reverse-shell", words=self.run.words))

    def variable(self, name: str) -> Value:
        """A variable of the environment."""
        return str(self.run.state.get(name)[0])

    def joined(self, parts: list[Value]) -> str:
        """Pieces of a string, unknown ones as holes."""
        return "".join(HOLE if part is None else flat(part) for part in parts)


_SOCKETS = frozenset({"Deno.connect", "Deno.connectTls", "Bun.connect", "TCPSocket.new", "TCPSocket.open", "Socket.tcp", "fsockopen", "pfsockopen", "stream_socket_client", "socket_connect"})  # fmt: skip
_STARTS = frozenset({"spawn", "exec", "execSync", "spawnSync", "execFile", "Command", "popen", "system", "proc_open", "shell_exec", "fork"})  # fmt: skip


def unescaped(sequence: str) -> str:
    """`\\n`, `\\x41`, `\\u0041`, `\\u{41}`."""
    body = sequence[1:]
    try:
        if body[:1] in "xu" and len(body) > 1:
            number = int(body[1:].strip("{}"), 16)
            return chr(number) if 0 < number < 0xD800 else HOLE
        if body.isdigit() and body != "0":
            return chr(int(body, 8))
    except ValueError:
        return HOLE
    return _ESCAPES.get(body, body)


def decoded(text: str) -> str | None:
    """The text of base64, or None."""
    try:
        return base64.b64decode(text + "==").decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None


def is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(char in "0123456789abcdefABCDEF" for char in text)


def method_of(tail: str, inner: Value, first: Value) -> Value:
    """Methods of strings and lists."""
    if inner is None:
        return None
    if tail == "join" and isinstance(inner, list):
        return (flat(first) if first is not None else ",").join(HOLE if i is None else flat(i) for i in inner)
    if tail in ("split", "chars") and isinstance(inner, str):
        mark = flat(first) if first is not None else ""
        return list(inner.split(mark)) if mark else list(inner)
    if tail == "reverse":
        return inner[::-1]
    if tail == "concat" and first is not None:
        return flat(inner) + flat(first)
    if tail in ("toString", "trim", "to_s", "strip", "chomp", "valueOf", "freeze", "dup", "filter", "flat", "sort"):
        return inner
    return None
