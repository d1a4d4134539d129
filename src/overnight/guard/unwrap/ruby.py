"""Ruby."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from overnight.guard.text import HOLE, STAR
from overnight.guard.unwrap.calls import Call, Value, flat
from overnight.guard.unwrap.reader import Reader, decoded, method_of, text_of, unescaped

if TYPE_CHECKING:
    from tree_sitter import Node


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
        return method_of(name.rpartition(".")[2], self.value(node.child_by_field_name("receiver")), first)
