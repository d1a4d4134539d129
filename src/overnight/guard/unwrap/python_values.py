"""Constants of Python code, worked out through names, joins and decoders."""

from __future__ import annotations

import ast
import base64
import binascii
import codecs
import posixpath

from overnight.guard.machine import Run
from overnight.guard.text import HOLE, SECRET, STAR

Value = str | bytes | list["Value"] | None


class Values:
    """What expressions are, from the names that were assigned so far."""

    def __init__(self, run: Run, source: str) -> None:
        self.run = run
        self.source = source
        self.names: dict[str, Value] = {}
        self.modules: dict[str, str] = {}
        #: Names of open files -> path.
        self.handles: dict[str, str | None] = {}
        self.secret = False
        self.read_file = False

    # -- values

    def value(self, node: ast.AST | None) -> Value:
        """A constant, worked out, or None."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str | bytes) else None
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.List | ast.Tuple):
            return [self.value(item) for item in node.elts]
        if isinstance(node, ast.JoinedStr):
            return "".join(
                text_of(self.value(part.value) if isinstance(part, ast.FormattedValue) else self.value(part))
                for part in node.values
            )
        if isinstance(node, ast.BinOp):
            left, right = self.value(node.left), self.value(node.right)
            if isinstance(node.op, ast.Div):
                return posixpath.join(text_of(left), text_of(right)) if left is not None else None
            if isinstance(node.op, ast.Add):
                if isinstance(left, bytes) and isinstance(right, bytes):
                    return left + right
                if isinstance(left, list) and isinstance(right, list):
                    return left + right
                return None if left is None and right is None else text_of(left) + text_of(right)
            if isinstance(node.op, ast.Mod) and isinstance(left, str):
                return left.replace("%s", text_of(right) if not isinstance(right, list) else HOLE)
            return None
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Call):
            return self._called(node)
        if isinstance(node, ast.Attribute) and node.attr == "parent":
            return posixpath.dirname(text_of(self.value(node.value)))
        return None

    def _subscript(self, node: ast.Subscript) -> Value:
        inner = self.value(node.value)
        if isinstance(node.slice, ast.Slice):
            step = node.slice.step
            if (
                isinstance(inner, str)
                and isinstance(step, ast.UnaryOp)
                and node.slice.lower is None
                and node.slice.upper is None
            ):
                return inner[::-1]
            return None
        if self.name(node.value) == "os.environ":
            return self._environment(self.value(node.slice))
        return None

    def _environment(self, name: Value) -> Value:
        values = self.run.state.get(text_of(name))
        if values[0].taint & SECRET:
            self.secret = True
        return str(values[0])

    def _called(self, node: ast.Call) -> Value:
        name = self.name(node.func)
        tail = name.rpartition(".")[2]
        args = [self.value(arg) for arg in node.args]
        first = args[0] if args else None
        if tail in ("b64decode", "urlsafe_b64decode", "standard_b64decode", "decodebytes") and first is not None:
            try:
                return base64.b64decode(text_of(first) + "==")
            except (binascii.Error, ValueError):
                return None
        if tail in ("fromhex", "unhexlify") and first is not None:
            try:
                return bytes.fromhex(text_of(first))
            except ValueError:
                return None
        if (
            tail == "chr"
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, int)
        ):
            return chr(node.args[0].value) if 0 < node.args[0].value < 0xD800 else None
        if tail in ("Path", "PurePath", "PosixPath", "str", "abspath", "realpath", "fsencode", "fspath", "quote"):
            return posixpath.join(*[text_of(arg) for arg in args]) if args else None
        if tail == "expanduser":
            return self._expanded(first if first is not None else self._receiver(node))
        if tail == "home" or name == "Path.home":
            return self.run.m.bounds.home
        if name == "os.listdir":
            return STAR
        if name in ("glob.glob", "glob.iglob", "iglob") and first is not None:
            return text_of(first).replace("*", STAR)
        if tail in ("join", "joinpath") and name.startswith(("os.path", "posixpath", "path")):
            return posixpath.join(*[text_of(arg) for arg in args]) if args else None
        if name in ("os.getenv", "os.environ.get") and args:
            return self._environment(first)
        if tail == "getcwd":
            return self.run.state.cwd
        inner = self._receiver(node)
        if tail == "decode" and isinstance(inner, bytes):
            return inner.decode("utf-8", "replace")
        if (
            tail == "decode"
            and name == "codecs.decode"
            and len(args) > 1
            and text_of(args[1]).replace("_", "") in ("rot13",)
        ):
            return codecs.decode(text_of(first), "rot13")
        if inner is None:
            return None
        if tail == "encode":
            return text_of(inner).encode()
        if tail == "join":
            return text_of(inner).join(text_of(item) for item in first) if isinstance(first, list) else None
        if tail == "split":
            return list(text_of(inner).split(text_of(first) if first is not None else None))
        if tail == "replace" and len(args) > 1:
            return text_of(inner).replace(text_of(first), text_of(args[1]))
        if tail in ("joinpath", "with_name", "with_suffix"):
            base = posixpath.dirname(text_of(inner)) if tail == "with_name" else text_of(inner)
            return posixpath.join(base, *[text_of(arg) for arg in args])
        if tail in ("resolve", "absolute", "strip", "lower", "format"):
            return inner
        if tail in ("glob", "rglob", "iterdir") and name.partition(".")[0] != "glob":
            return posixpath.join(text_of(inner), text_of(first).replace("*", STAR) if first is not None else STAR)
        return None

    def _receiver(self, node: ast.Call) -> Value:
        return self.value(node.func.value) if isinstance(node.func, ast.Attribute) else None

    def _expanded(self, value: Value) -> Value:
        text = text_of(value)
        return self.run.m.bounds.home + text[1:] if text.startswith("~") else text

    def name(self, node: ast.AST) -> str:
        """Dotted name of what is called, aliases and getattr resolved; empty when it is computed."""
        if isinstance(node, ast.Name):
            return self.modules.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            inner = self.name(node.value)
            return f"{inner}.{node.attr}" if inner else f".{node.attr}"
        if isinstance(node, ast.Call):
            called = self.name(node.func)
            if called in ("getattr", "builtins.getattr") and len(node.args) > 1:
                return f"{self.name(node.args[0])}.{text_of(self.value(node.args[1]))}"
            if called in ("__import__", "importlib.import_module") and node.args:
                return text_of(self.value(node.args[0]))
        return ""


def text_of(value: Value) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return " ".join(text_of(item) for item in value)
    return value if value is not None else HOLE
