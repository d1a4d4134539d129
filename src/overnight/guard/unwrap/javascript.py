"""JavaScript and TypeScript: node, deno, bun, tsx."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from overnight.guard.text import HOLE, STAR
from overnight.guard.unwrap.calls import Call, Value, flat
from overnight.guard.unwrap.reader import Reader, decoded, is_hex, method_of, text_of, unescaped

if TYPE_CHECKING:
    from tree_sitter import Node


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
                return bytes.fromhex(flat(first)).decode("utf-8", "replace") if is_hex(flat(first)) else None
            return decoded(flat(first)) if kind.startswith("base64") else first
        if name == "decodeURIComponent" and first is not None:
            return re.sub(r"%([0-9a-fA-F]{2})", lambda found: chr(int(found.group(1), 16)), flat(first))
        if tail in ("readdirSync", "readdir", "globSync", "glob", "sync"):
            return STAR
        return method_of(tail, inner, first)
