"""PHP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overnight.guard.text import DECODED, HOLE, STAR
from overnight.guard.unwrap.calls import Call, Value, flat
from overnight.guard.unwrap.reader import Reader, decoded, is_hex, text_of, unescaped

if TYPE_CHECKING:
    from tree_sitter import Node


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
            return bytes.fromhex(text).decode("utf-8", "replace") if is_hex(text) else None
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
