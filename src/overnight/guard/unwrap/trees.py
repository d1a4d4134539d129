"""JavaScript, TypeScript, Ruby and PHP by their syntax: calls with their constants worked out, in the order of the text.

Each language has a reader that turns its tree into calls; what a call does is one table for all of them
(`overnight.guard.unwrap.calls`). Names are followed through imports, `require`, assignments and destructuring.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from overnight.guard.machine import Run
from overnight.guard.text import DECODED, HOLE, STAR
from overnight.guard.unwrap.calls import Call, Value, act, flat

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_GRAMMARS = {
    "node": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_tsx"),
    "ruby": ("tree_sitter_ruby", "language"),
    "php": ("tree_sitter_php", "language_php"),
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "e": "\x1b", "\n": ""}


@cache
def _parser(language: str) -> Parser:
    from tree_sitter import Language, Parser

    module, function = _GRAMMARS[language]
    grammar: object = getattr(import_module(module), function)()
    return Parser(Language(grammar))


def tree_effects(run: Run, source: str, language: str) -> None:
    """Emit what the calls in a source do. A text that is not quite the language is read as far as it can be."""
    if language not in _GRAMMARS:
        return
    text = source.replace(HOLE, "_unknown_")
    if language == "php" and not text.lstrip().startswith("<?"):
        text = "<?php " + text
    root = _parser(language).parse(text.encode("utf-8", "replace")).root_node
    reader = {"ruby": Ruby, "php": Php}.get(language, JavaScript)(run)
    try:
        reader.visit(root)
    except RecursionError:
        run.unverifiable(f"the {language} code nests too deep")
    reader.finish()


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
        from overnight.guard.effects import Net

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


class JavaScript(Reader):
    """node, deno, bun, tsx."""

    calls = frozenset({"call_expression", "new_expression"})

    def before(self, node: Node) -> None:
        if node.type == "variable_declarator":
            self._bind(node.child_by_field_name("name"), node.child_by_field_name("value"))
        elif node.type == "assignment_expression":
            self._bind(node.child_by_field_name("left"), node.child_by_field_name("right"))
        elif node.type == "import_statement":
            self._import(node)
        elif node.type == "for_in_statement":
            left = node.child_by_field_name("left")
            if left is not None and left.type == "identifier":
                self.values[text_of(left)] = STAR
        elif node.type == "arrow_function" and node.parent is not None and node.parent.type == "arguments":
            self._parameter(node)

    def _parameter(self, node: Node) -> None:
        """`import("fs").then(f => ...)` and `require(...).forEach(f => ...)`: what the one parameter stands for."""
        parameter = node.child_by_field_name("parameter") or next(iter(node.named_children), None)
        if parameter is not None and parameter.type == "formal_parameters":
            parameter = next(iter(parameter.named_children), None)
        call = node.parent.parent if node.parent is not None else None
        function = call.child_by_field_name("function") if call is not None else None
        if parameter is None or parameter.type != "identifier" or function is None:
            return
        prop = text_of(function.child_by_field_name("property"))
        if prop == "then":
            self.names[text_of(parameter)] = self.name(function.child_by_field_name("object"))
        elif prop in ("forEach", "map", "filter", "some", "every"):
            self.values[text_of(parameter)] = STAR

    def _bind(self, target: Node | None, given: Node | None) -> None:
        if target is None or given is None:
            return
        if target.type == "object_pattern":
            module = self.name(given)
            for piece in target.named_children:
                key = piece.child_by_field_name("key") or piece
                local = piece.child_by_field_name("value") or piece
                self.names[text_of(local)] = f"{module}.{text_of(key)}"
            return
        name = text_of(target)
        self.values[name] = self.value(given)
        dotted = self.name(given)
        if self.values[name] is None and dotted:
            self.names[name] = dotted

    def _import(self, node: Node) -> None:
        module = flat(self.value(node.child_by_field_name("source"))).removeprefix("node:").replace("/", ".")
        for clause in node.named_children:
            for piece in clause.named_children if clause.type == "import_clause" else ():
                if piece.type == "identifier":
                    self.names[text_of(piece)] = module
                elif piece.type == "namespace_import":
                    self.names[text_of(piece.named_children[0])] = module
                else:
                    for one in piece.named_children:
                        name = text_of(one.child_by_field_name("name"))
                        self.names[text_of(one.child_by_field_name("alias")) or name] = f"{module}.{name}"

    def name(self, node: Node | None) -> str:
        """Dotted name of what is called, `require` and imports resolved."""
        if node is None:
            return ""
        kind = node.type
        if kind in ("identifier", "import", "this"):
            return self.names.get(text_of(node), text_of(node))
        if kind == "member_expression":
            return f"{self.name(node.child_by_field_name('object'))}.{text_of(node.child_by_field_name('property'))}"
        if kind == "subscript_expression":
            index = self.value(node.child_by_field_name("index"))
            inner = node.child_by_field_name("index")
            self.computed = self.computed or (inner is not None and inner.type != "string")
            return f"{self.name(node.child_by_field_name('object'))}.{index}" if isinstance(index, str) else ""
        if kind in ("parenthesized_expression", "await_expression", "non_null_expression") and node.named_children:
            return self.name(node.named_children[0])
        if kind == "new_expression":
            return self.name(node.child_by_field_name("constructor"))
        if kind == "call_expression":
            called = self.name(node.child_by_field_name("function"))
            if called.rpartition(".")[2] in ("require", "import"):
                given = self._arguments(node)
                module = flat(given[0]) if given and given[0] is not None else HOLE
                return module.removeprefix("node:").replace("/", ".")
            return called
        return ""

    def _arguments(self, node: Node) -> list[Value]:
        given = node.child_by_field_name("arguments")
        if given is None:
            return []
        if given.type == "template_string":
            return [self.value(given)]
        return [self.value(child) for child in given.named_children]

    def call(self, node: Node) -> Call | None:
        self.computed = False
        function = node.child_by_field_name("function") or node.child_by_field_name("constructor")
        name = self.name(function)
        for start in ("globalThis.", "global.", "window.", "process.mainModule."):
            name = name.removeprefix(start)
        receiver = (
            self.value(function.child_by_field_name("object"))
            if function is not None and function.type == "member_expression"
            else None
        )
        return Call(name, self._arguments(node), receiver, "node", computed=self.computed)

    def value(self, node: Node | None) -> Value:
        if node is None:
            return None
        kind = node.type
        simple: dict[str, Callable[[Node], Value]] = {
            "string": self._string, "template_string": self._string, "array": self._array, "binary_expression": self._binary,
            "call_expression": self._called, "member_expression": self._member, "subscript_expression": self._member,
            "object": self._object,
        }  # fmt: skip
        if kind in simple:
            return simple[kind](node)
        if kind in ("number", "regex"):
            return text_of(node)
        if kind == "identifier":
            return self.values.get(text_of(node), self.run.state.cwd if text_of(node) == "__dirname" else None)
        if kind in (
            "parenthesized_expression",
            "await_expression",
            "as_expression",
            "spread_element",
            "unary_expression",
        ):
            inner = self.value(node.named_children[0]) if node.named_children else None
            return text_of(node) if kind == "unary_expression" and isinstance(inner, str) else inner
        return None

    def _string(self, node: Node) -> Value:
        parts: list[Value] = []
        for child in node.named_children:
            if child.type == "escape_sequence":
                parts.append(unescaped(text_of(child)))
            elif child.type == "template_substitution":
                parts.append(self.value(child.named_children[0]) if child.named_children else None)
            else:
                parts.append(text_of(child))
        return self.joined(parts)

    def _array(self, node: Node) -> Value:
        return [self.value(child) for child in node.named_children]

    def _object(self, node: Node) -> Value:
        """Options: only what their names say matters, as `key=value` texts."""
        found: list[Value] = []
        for pair in node.named_children:
            key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
            if key is None:
                continue
            inner = self.value(value)
            if text_of(key) in ("args", "cmd") and isinstance(inner, list):
                return inner
            found.append(f"{text_of(key)}={flat(inner) if inner is not None else text_of(value)}")
        return "{" + ",".join(flat(pair) for pair in found) + "}"

    def _binary(self, node: Node) -> Value:
        if text_of(node.child_by_field_name("operator")) != "+":
            return None
        left, right = self.value(node.child_by_field_name("left")), self.value(node.child_by_field_name("right"))
        return None if left is None and right is None else self.joined([left, right])

    def _member(self, node: Node) -> Value:
        name = self.name(node)
        if name.startswith(("process.env.", "Bun.env.")):
            return self.variable(name.rpartition(".")[2])
        return str(self.run.state.get("PPID")[0]) if name in ("process.ppid", "Deno.ppid") else None

    def _called(self, node: Node) -> Value:
        function = node.child_by_field_name("function")
        name = self.name(function)
        tail = name.rpartition(".")[2]
        given = self._arguments(node)
        first = given[0] if given else None
        inner = self.value(function.child_by_field_name("object")) if function is not None else None
        if name == "os.homedir":
            return self.run.m.bounds.home
        if name in ("os.tmpdir",):
            return "/tmp"  # noqa: S108 - the value that node gives
        if name == "process.cwd":
            return self.run.state.cwd
        if name == "Deno.env.get" and first is not None:
            return self.variable(flat(first))
        if name in ("path.join", "path.resolve", "path.posix.join"):
            return posixpath.join(*[HOLE if part is None else flat(part) for part in given]) if given else None
        if name == "String.fromCharCode":
            codes = given[0] if len(given) == 1 and isinstance(given[0], list) else given
            return "".join(chr(int(flat(c))) if c is not None and flat(c).isdigit() and 0 < int(flat(c)) < 0xD800 else HOLE for c in codes)  # fmt: skip
        if name in ("atob", "Buffer.from") and first is not None:
            kind = flat(given[1]) if len(given) > 1 and given[1] is not None else ("base64" if name == "atob" else "")
            if kind == "hex":
                return bytes.fromhex(flat(first)).decode("utf-8", "replace") if _hex(flat(first)) else None
            return decoded(flat(first)) if kind.startswith("base64") else first
        if name == "decodeURIComponent" and first is not None:
            from urllib.parse import unquote

            return unquote(flat(first))
        if tail in ("readdirSync", "readdir", "globSync", "glob", "sync"):
            return STAR
        return _method(tail, inner, first)


def _hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(char in "0123456789abcdefABCDEF" for char in text)


def _method(tail: str, inner: Value, first: Value) -> Value:
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


class Ruby(Reader):
    """ruby."""

    calls = frozenset({"call", "subshell"})

    def before(self, node: Node) -> None:
        if node.type == "assignment":
            left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
            self.values[text_of(left)] = self.value(right)
            if (
                self.values[text_of(left)] is None
                and right is not None
                and right.type in ("constant", "scope_resolution")
            ):
                self.names[text_of(left)] = text_of(right)
        elif node.type in ("block", "do_block") and node.parent is not None and node.parent.type == "call":
            over = self.value(node.parent.child_by_field_name("receiver"))
            parameters = node.child_by_field_name("parameters")
            for name in parameters.named_children[:1] if parameters is not None else ():
                self.values[text_of(name)] = (
                    over[0] if isinstance(over, list) and len(over) == 1 else over if isinstance(over, str) else STAR
                )

    def name(self, node: Node) -> str:
        """`Receiver.method`."""
        receiver = node.child_by_field_name("receiver")
        method = text_of(node.child_by_field_name("method"))
        if receiver is None:
            return method
        if receiver.type in ("constant", "scope_resolution", "identifier"):
            return f"{self.names.get(text_of(receiver), text_of(receiver))}.{method}"
        if receiver.type == "call" and text_of(receiver.child_by_field_name("method")) == "const_get":
            given = self._arguments(receiver)
            return f"{flat(given[0])}.{method}" if given and given[0] is not None else f".{method}"
        return f".{method}"

    def _arguments(self, node: Node) -> list[Value]:
        given = node.child_by_field_name("arguments")
        return (
            [self.value(child) for child in given.named_children if child.type != "pair"] if given is not None else []
        )

    def call(self, node: Node) -> Call | None:
        if node.type == "subshell":
            return Call("system", [self._text(node)], None, "ruby")
        name, given = self.name(node), self._arguments(node)
        receiver = self.value(node.child_by_field_name("receiver"))
        if name.rpartition(".")[2] in ("send", "public_send", "__send__", "method") and given and given[0] is not None:
            name, given = f"{name.rpartition('.')[0]}.{flat(given[0]).lstrip(':')}".lstrip("."), given[1:]
        return Call(name.removeprefix("Kernel."), given, receiver, "ruby")

    def value(self, node: Node | None) -> Value:
        if node is None:
            return None
        kind = node.type
        if kind in (
            "string",
            "bare_string",
            "chained_string",
            "heredoc_body",
            "simple_symbol",
            "delimited_symbol",
            "subshell",
        ):
            return text_of(node).lstrip(":") if kind == "simple_symbol" else self._text(node)
        if kind in ("integer", "unary", "float"):
            return text_of(node)
        if kind in ("array", "string_array", "symbol_array"):
            return [self.value(child) for child in node.named_children]
        if kind in ("identifier", "constant"):
            return self.values.get(text_of(node))
        if kind == "binary" and text_of(node.child_by_field_name("operator")) in ("+", "<<"):
            left, right = self.value(node.child_by_field_name("left")), self.value(node.child_by_field_name("right"))
            return None if left is None and right is None else self.joined([left, right])
        if kind in ("parenthesized_statements", "splat_argument", "argument_list") and node.named_children:
            return self.value(node.named_children[0])
        if kind == "element_reference" and text_of(node.child_by_field_name("object")) == "ENV":
            key = self.value(node.named_children[-1])
            return self.variable(flat(key)) if key is not None else None
        return self._called(node) if kind == "call" else None

    def _text(self, node: Node) -> str:
        parts: list[Value] = []
        for child in node.named_children:
            if child.type == "interpolation":
                parts.append(self.value(child.named_children[0]) if child.named_children else None)
            elif child.type == "escape_sequence":
                parts.append(unescaped(text_of(child)))
            elif child.type in ("string", "bare_string"):
                parts.append(self._text(child))
            else:
                parts.append(text_of(child))
        return self.joined(parts)

    def _called(self, node: Node) -> Value:
        name, given = self.name(node), self._arguments(node)
        first = given[0] if given else None
        if name in ("Dir.home", "ENV.fetch"):
            return (
                self.run.m.bounds.home
                if name == "Dir.home"
                else self.variable(flat(first))
                if first is not None
                else None
            )
        if name in ("Dir.pwd", "Dir.getwd"):
            return self.run.state.cwd
        if name == "File.expand_path" and first is not None:
            text = flat(first)
            return self.run.m.bounds.home + text[1:] if text.startswith("~") else text
        if name == "File.join":
            return posixpath.join(*[HOLE if part is None else flat(part) for part in given]) if given else None
        if name in ("Dir.glob", "Dir.[]", "Dir.children", "Dir.entries", "Dir.each_child") and first is not None:
            text = flat(first)
            return text.replace("*", STAR) if name in ("Dir.glob", "Dir.[]") else f"{text}/{STAR}"
        if name in ("Base64.decode64", "Base64.strict_decode64") and first is not None:
            return decoded(flat(first))
        if name.endswith((".chr",)) and isinstance(receiver := self.value(node.child_by_field_name("receiver")), str):
            return chr(int(receiver)) if receiver.isdigit() and 0 < int(receiver) < 0xD800 else None
        return _method(name.rpartition(".")[2], self.value(node.child_by_field_name("receiver")), first)


class Php(Reader):
    """php."""

    calls = frozenset({
        "function_call_expression", "member_call_expression", "scoped_call_expression", "shell_command_expression", "object_creation_expression",
        "include_expression", "include_once_expression", "require_expression", "require_once_expression",
    })  # fmt: skip

    def before(self, node: Node) -> None:
        if node.type == "assignment_expression":
            left = node.child_by_field_name("left")
            self.values[text_of(left)] = self.value(node.child_by_field_name("right"))
        elif node.type == "foreach_statement" and len(node.named_children) > 1:
            self.values[text_of(node.named_children[1])] = self.value(node.named_children[0])

    def _arguments(self, node: Node) -> list[Value]:
        given = node.child_by_field_name("arguments") or next(
            (c for c in node.named_children if c.type == "arguments"), None
        )
        return (
            [self.value(a.named_children[-1] if a.named_children else a) for a in given.named_children]
            if given is not None
            else []
        )

    def name(self, node: Node) -> str:
        """The function's name, through variables that hold it."""
        function = node.child_by_field_name("function") or node.child_by_field_name("name")
        if function is None:
            return text_of(next(iter(node.named_children), None))
        if function.type in ("name", "qualified_name"):
            scope = text_of(node.child_by_field_name("scope"))
            return f"{scope}.{text_of(function)}" if scope else text_of(function).lstrip("\\")
        value = self.value(function)
        return flat(value) if value is not None else ""

    def call(self, node: Node) -> Call | None:
        if node.type == "shell_command_expression":
            return Call("system", [self._text(node)], None, "php")
        if node.type.startswith(("include", "require")):
            return Call("include", [self.value(child) for child in node.named_children[:1]], None, "php")
        name, given = self.name(node), self._arguments(node)
        if not name:
            self.run.opaque("computed", DECODED)
            return None
        if name in (
            "call_user_func",
            "call_user_func_array",
            "array_map",
            "array_walk",
            "usort",
            "array_filter",
            "register_shutdown_function",
        ):
            spare = given if name not in ("array_walk", "usort", "array_filter") else given[::-1]
            function = flat(spare[0]) if spare and spare[0] is not None else ""
            inner = spare[1:]
            name, given = function, inner
        return Call(name.lower() if "." not in name else name, given, None, "php")

    def value(self, node: Node | None) -> Value:
        if node is None:
            return None
        kind = node.type
        if kind in ("encapsed_string", "string", "heredoc", "nowdoc", "heredoc_body", "shell_command_expression"):
            return self._text(node)
        if kind in ("integer", "float", "unary_op_expression"):
            return text_of(node)
        if kind == "variable_name":
            return self.values.get(text_of(node))
        if kind == "array_creation_expression":
            return [self.value(child.named_children[-1]) for child in node.named_children if child.named_children]
        if kind == "binary_expression" and text_of(node.child_by_field_name("operator")) == ".":
            left, right = self.value(node.child_by_field_name("left")), self.value(node.child_by_field_name("right"))
            return None if left is None and right is None else self.joined([left, right])
        if kind in ("parenthesized_expression", "argument", "error_suppression_expression") and node.named_children:
            return self.value(node.named_children[-1])
        if kind == "subscript_expression" and node.named_children:
            key = self.value(node.named_children[-1])
            held = text_of(node.named_children[0])
            return self.variable(flat(key)) if held in ("$_ENV", "$_SERVER") and key is not None else None
        return self._called(node) if kind == "function_call_expression" else None

    def _text(self, node: Node) -> str:
        parts: list[Value] = []
        for child in node.named_children:
            if child.type == "escape_sequence":
                parts.append(unescaped(text_of(child)))
            elif child.type in ("string_content", "nowdoc_string", "heredoc_start", "string_value"):
                parts.append(text_of(child))
            elif child.type in ("heredoc_body", "nowdoc_body"):
                parts.append(self._text(child))
            else:
                parts.append(self.value(child))
        return self.joined(parts)

    def _called(self, node: Node) -> Value:
        name, given = self.name(node).lower(), self._arguments(node)
        first = given[0] if given else None
        if first is None:
            return self.run.state.cwd if name == "getcwd" else None
        text = flat(first)
        if name == "getenv":
            return self.variable(text)
        if name == "base64_decode":
            return decoded(text)
        if name == "hex2bin":
            return bytes.fromhex(text).decode("utf-8", "replace") if _hex(text) else None
        if name == "strrev":
            return text[::-1]
        if name == "chr" and text.isdigit():
            return chr(int(text)) if 0 < int(text) < 0xD800 else None
        if name in ("glob", "scandir"):
            return text.replace("*", STAR) if name == "glob" else f"{text}/{STAR}"
        if name == "implode" and len(given) > 1 and isinstance(given[1], list):
            return text.join(HOLE if part is None else flat(part) for part in given[1])
        if name == "str_rot13":
            import codecs

            return codecs.decode(text, "rot13")
        return first if name in ("realpath", "trim", "escapeshellarg", "strtolower", "strval") else None
