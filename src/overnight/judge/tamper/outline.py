"""A test file as a list of tests with what each asserts: read by its language's grammar, never run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

#: A file longer than this is not read by syntax.
LONGEST = 512 * 1024


class Assertion(Struct, frozen=True, kw_only=True):
    """One thing that a test insists on."""

    text: str
    line: int
    #: 0: it can't fail; 1: something is there, or true; 2: something particular; 3: exactly this.
    strength: int


class Test(Struct, frozen=True, kw_only=True):
    """One test."""

    #: With the classes or groups around it.
    name: str
    line: int
    text: str
    assertions: tuple[Assertion, ...]
    #: The words that keep it from running, or from counting; empty when it does.
    skipped: str = ""
    #: The words that keep all others from running.
    alone: str = ""

    @property
    def strength(self) -> int:
        """The sum over its assertions."""
        return sum(each.strength for each in self.assertions)


class Outline(Struct, frozen=True, kw_only=True):
    """The tests of a file."""

    tests: tuple[Test, ...]
    #: Words that keep the whole file from running.
    skipped: str = ""
    #: Its syntax could not be read as a whole.
    broken: bool = False


class _Language(NamedTuple):
    grammar: Callable[[], object]
    tests: Callable[[Node], Iterator[tuple[str, Node, str]]]
    """Of a file: (name, node of the body or the whole, words before it: decorators, annotations, the call)."""
    asserts: frozenset[str]
    """Node types that may be an assertion."""
    assertion: re.Pattern[str]
    skips: re.Pattern[str]
    """In the words before a test."""
    inside: re.Pattern[str]
    """In its body: it skips itself."""
    alone: re.Pattern[str] | None = None
    file: re.Pattern[str] | None = None
    """Anywhere at the top: the whole file is skipped."""


def outline(path: str, text: str) -> Outline | None:
    """The tests of a file; None for a language that is not known here, and for a file that is too long."""
    language = _of(path)
    if language is None or len(text) > LONGEST:
        return None
    root = _parser(language).parse(text.encode()).root_node
    try:
        tests = tuple(_test(language, name, node, words) for name, node, words in language.tests(root))
    except RecursionError:  # nested deeper than anybody writes by hand
        return Outline(tests=(), broken=True)
    skipped = language.file.search(text) if language.file else None
    return Outline(tests=tests, skipped=skipped[0].strip() if skipped else "", broken=root.has_error)


def _test(language: _Language, name: str, node: Node, words: str) -> Test:
    text = _text(node)
    skipped = language.skips.search(words) or language.inside.search(_bare(text))
    alone = language.alone.search(words) if language.alone else None
    return Test(
        name=name,
        line=node.start_point[0] + 1,
        text=text,
        assertions=tuple(_assertions(language, node)),
        skipped=skipped[0].strip() if skipped else "",
        alone=alone[0].strip() if alone else "",
    )


def _assertions(language: _Language, node: Node) -> Iterator[Assertion]:
    """The outermost ones that can be reached and can fail: `expect(f()).toBe(1)` is one, not three."""
    for child in node.named_children:
        if child.type in _LEAVES:
            return  # what comes after it in this block never runs
        if child.type in _TRIES and _swallows(child):
            continue
        if child.type in language.asserts and language.assertion.match(text := _text(child)):
            yield Assertion(text=" ".join(text.split()), line=child.start_point[0] + 1, strength=strength(text))
            if child.type not in _HOLD_MORE:
                continue
        yield from _assertions(language, child)


_LEAVES = frozenset({"return_statement", "return_expression", "raise_statement", "throw_statement"})
_TRIES = frozenset({"try_statement", "try_with_resources_statement"})
_CATCHES = frozenset({"except_clause", "except_group_clause", "catch_clause"})
_CATCHES_FAILURES = re.compile(
    r"(?:except|catch)\s*(?::|\{|\(\s*(?:final\s+)?(?:\w+\s*\)|(?:[\w.]*\|\s*)*(?:Throwable|Error|AssertionError|AssertionFailedError)\b)|"
    r"[^:]*\b(?:AssertionError|BaseException|Exception)\b)"
)
_FAILS_AGAIN = re.compile(r"\b(?:raise|throw|fail|assert\w*|expect|reject|done)\b", re.IGNORECASE)


def _swallows(node: Node) -> bool:
    """A failing assertion inside it is caught, and nothing comes of that."""
    caught = [_text(child) for child in node.named_children if child.type in _CATCHES]
    return any(
        _CATCHES_FAILURES.match(text) and not _FAILS_AGAIN.search(text.partition("\n")[2] or text[text.find("{") + 1 :])
        for text in caught
    )


#: Assertions that hold a block with assertions of its own: `with pytest.raises(X): ...`.
_HOLD_MORE = frozenset({"with_statement"})


# -- how much an assertion says -----------------------------------------------------------------------------

_VACUOUS = re.compile(
    r"assert\s*\(?\s*(?:True|1|not\s+False|\"[^\"]+\"|'[^']+')\s*\)?\s*(?:,.*)?;?$|"
    r"\w*\.?assert(?:True|_true|\.ok|!)?\s*\(\s*(?:true|True|1)\s*[,)]|expect\(\s*(true|1|'[^']*'|\"[^\"]*\")\s*\)\.(?:to\.be\.true|toBe(?:Truthy)?)\(?|"
    r"(?:\w+\.)?assert(?:Equals?|_eq!|_equal|\.equal|\.strictEqual)\(\s*(?P<same>[\w.'\"]+)\s*,\s*(?P=same)\s*[,)]|"
    r"assert\s+(?P<one>[\w.'\"]+)\s*==\s*(?P=one)\s*$|expect\((?P<e>[\w.'\"]+)\)\.toBe\((?P=e)\)",
    re.DOTALL,
)
_EXACT = re.compile(
    r"(?<![=!<>])==(?!=)|===|\bis\s+(?:None|True|False)\b|assert(?:Equals?|_equal|AlmostEqual|DictEqual|ListEqual|ArrayEquals|Same|Is)\b|assert_eq!|"
    r"\.(?:toBe|toEqual|toStrictEqual|toMatchObject|toHaveBeenCalledWith|equals?|eql|deep\.equal|strictEqual|deepStrictEqual|isEqualTo)\(|"
    r"\b(?:Equal|EqualValues|Exactly|ElementsMatch|JSONEq|EqualError|ErrorIs)\(|assert_(?:array_)?equal|assert_called(?:_once)?_with|assert_allclose|reflect\.DeepEqual"
)
_WEAK = re.compile(
    r"assert(?:True|IsNotNone|NotNull|NotNone|_true)\s*\(|\.(?:toBeTruthy|toBeDefined|toBeFalsy|ok|not\.toThrow|toHaveBeenCalled|exist|toBeInstanceOf)\b|"
    r"\b(?:NotNil|NotEmpty|NoError|True|False)\(|is\s+not\s+None\s*$|!=\s*null|assert_called\(\)|assert!\(\s*\w+(?:\.\w+\(\))?\s*\)|isNotNull\(|"
    r"assert\s+(?:not\s+)?(?:isinstance\(|callable\(|hasattr\(|[\w.]+(?:\([^()]*\))?\s*(?:,.*)?$)",
    re.DOTALL,
)


def strength(text: str) -> int:
    """How much an assertion insists on; see `Assertion.strength`."""
    text = " ".join(text.split()).rstrip(";")
    if _VACUOUS.match(text):
        return 0
    if _EXACT.search(text):
        return 3
    return 1 if _WEAK.search(text) else 2


# -- languages ----------------------------------------------------------------------------------------------


def _walk(node: Node) -> Iterator[Node]:
    for child in node.named_children:
        yield child
        yield from _walk(child)


def _text(node: Node | None) -> str:
    return node.text.decode(errors="replace") if node is not None and node.text is not None else ""


def _bare(text: str) -> str:
    """Without what is written in quotes and comments, roughly: words in there skip nothing."""
    return re.sub(r"\"[^\"\n]*\"|'[^'\n]*'|(?:#|//).*", "''", text)


def _field(node: Node, name: str) -> str:
    return _text(node.child_by_field_name(name))


def _python(node: Node, around: str = "", words: str = "") -> Iterator[tuple[str, Node, str]]:
    for child in node.named_children:
        if child.type == "decorated_definition":
            before = "\n".join(_text(part) for part in child.named_children if part.type == "decorator")
            yield from _python(child, around, f"{words}\n{before}")
        elif child.type == "class_definition":
            body = child.child_by_field_name("body")
            if body is not None:
                yield from _python(body, f"{around}{_field(child, 'name')}.", words)
        elif child.type == "function_definition" and _field(child, "name").startswith("test"):
            yield around + _field(child, "name"), child, words
        elif child.type in ("if_statement", "block", "try_statement"):
            yield from _python(child, around, words)


_JS_CALL = re.compile(r"(?:x|f)?(?:it|test|specify|describe|context|suite)\b(?:\.\w+)*")
_QUOTES = "`'\""
_JS_GROUP = re.compile(r"(?:x|f)?(?:describe|context|suite)\b")


def _javascript(node: Node, around: str = "", words: str = "") -> Iterator[tuple[str, Node, str]]:
    for child in node.named_children:
        called = _field(child, "function") if child.type == "call_expression" else ""
        match = _JS_CALL.match(called)
        arguments = child.child_by_field_name("arguments") if match else None
        if match is None or arguments is None or not arguments.named_children:
            yield from _javascript(child, around, words)
            continue
        name = around + _text(arguments.named_children[0]).strip(_QUOTES)
        if _JS_GROUP.match(called):
            yield from _javascript(arguments, f"{name} › ", f"{words} {match[0]}")
        else:
            yield name, child, f"{words} {match[0]}"


def _go(root: Node) -> Iterator[tuple[str, Node, str]]:
    for child in root.named_children:
        if child.type == "function_declaration" and re.match(r"(Test|Fuzz|Example)", _field(child, "name")):
            yield _field(child, "name"), child, ""


def _rust(node: Node, around: str = "") -> Iterator[tuple[str, Node, str]]:
    before: list[str] = []
    for child in node.named_children:
        if child.type == "attribute_item":
            before.append(_text(child))
            continue
        if child.type == "function_item" and re.search(r"\btest\b|rstest|test_case|proptest", " ".join(before)):
            yield around + _field(child, "name"), child, "\n".join(before)
        elif child.type == "mod_item" and (body := child.child_by_field_name("body")) is not None:
            yield from _rust(body, f"{around}{_field(child, 'name')}::")
        if "comment" not in child.type:
            before = []


def _java(node: Node, around: str = "", words: str = "") -> Iterator[tuple[str, Node, str]]:
    for child in node.named_children:
        before = next((_text(part) for part in child.named_children if part.type == "modifiers"), "")
        if child.type in ("class_declaration", "interface_declaration", "record_declaration"):
            body = child.child_by_field_name("body")
            if body is not None:
                yield from _java(body, f"{around}{_field(child, 'name')}.", f"{words}\n{before}")
        elif child.type == "method_declaration" and re.search(
            r"@(Test|ParameterizedTest|RepeatedTest|Property)\b", before
        ):
            yield around + _field(child, "name"), child, f"{words}\n{before}"


def _grammar(module: str, function: str = "language") -> Callable[[], object]:
    def load() -> object:
        from importlib import import_module

        return getattr(import_module(module), function)()

    return load


_JS = _Language(
    grammar=_grammar("tree_sitter_javascript"),
    tests=_javascript,
    asserts=frozenset({"call_expression"}),
    assertion=re.compile(r"(?:await\s+)?(?:expect|assert|should|t\.(?:is|deepEqual|true|false|throws|not|like|assert)|chai\.\w+)\b"),
    skips=re.compile(r"\bx(?:it|test|describe|specify|context)\b|\.(?:skip|todo|fails|failing|skipIf|runIf)\b"),
    inside=re.compile(r"\bthis\.skip\(\)|\bt\.skip\(|\bctx\.skip\(|\bpending\("),
    alone=re.compile(r"\bf(?:it|describe)\b|\.only\b"),
)  # fmt: skip
_LANGUAGES = {
    "py": _Language(
        grammar=_grammar("tree_sitter_python"),
        tests=_python,
        asserts=frozenset({"assert_statement", "call", "with_statement"}),
        assertion=re.compile(
            r"assert\b|(?:\w+\.)*assert\w*\(|(?:\w+\.)*assert_\w+\(|(?:with\s+)?(?:\w+\.)*(?:raises|warns|deprecated_call|assertRaises\w*|assertWarns\w*|fail)\("
        ),
        skips=re.compile(r"@[\w.]*(?:skip\w*|xfail|expectedFailure)\b.*"),
        inside=re.compile(r"(?:pytest\.|self\.|unittest\.)(?:skip\w*|xfail)\(.*|raise\s+(?:unittest\.)?SkipTest.*"),
        file=re.compile(r"^pytestmark\s*=.*(?:skip|xfail).*|^pytest\.skip\(.*allow_module_level.*|^collect_ignore.*|^__test__\s*=\s*False", re.MULTILINE),
    ),
    "js": _JS,
    "ts": _JS._replace(grammar=_grammar("tree_sitter_typescript", "language_typescript")),
    "tsx": _JS._replace(grammar=_grammar("tree_sitter_typescript", "language_tsx")),
    "go": _Language(
        grammar=_grammar("tree_sitter_go"),
        tests=_go,
        asserts=frozenset({"call_expression"}),
        assertion=re.compile(r"\w+\.(?:Error|Errorf|Fatal|Fatalf|Fail|FailNow)\(|(?:require|assert|is|should)\.\w+\("),
        skips=re.compile(r"(?!)"),
        inside=re.compile(r"\b[tbf]\.Skip(?:f|Now)?\(.*"),
        file=re.compile(r"^//go:build\s+(?:ignore|never|!.*test.*)$|^// \+build ignore$", re.MULTILINE),
    ),
    "rs": _Language(
        grammar=_grammar("tree_sitter_rust"),
        tests=_rust,
        asserts=frozenset({"macro_invocation"}),
        assertion=re.compile(r"(?:\w+::)*(?:debug_)?assert\w*!|(?:\w+::)*(?:panic|prop_assert\w*)!"),
        skips=re.compile(r"#\[\s*(?:ignore.*|cfg\((?:any\(\)|FALSE|not\(test\)).*)\]"),
        inside=re.compile(r"(?!)"),
    ),
    "java": _Language(
        grammar=_grammar("tree_sitter_java"),
        tests=_java,
        asserts=frozenset({"method_invocation"}),
        assertion=re.compile(r"(?:\w+\.)*(?:assert\w*|verify\w*|fail|expect\w*|assumeThat)\b"),
        skips=re.compile(r"@(?:Disabled|Ignore)\w*.*|enabled\s*=\s*false"),
        inside=re.compile(r"\bassume(?:True|False)\(\s*(?:false|true)|Assumptions\.abort\(|throw new SkipException"),
    ),
}  # fmt: skip
_EXTENSIONS = {"pyi": "py", "jsx": "js", "mjs": "js", "cjs": "js", "mts": "ts", "cts": "ts"}


def _of(path: str) -> _Language | None:
    extension = path.rpartition(".")[2].lower()
    return _LANGUAGES.get(_EXTENSIONS.get(extension, extension))


@cache
def _parser(language: _Language) -> Parser:
    from tree_sitter import Language, Parser

    return Parser(Language(language.grammar()))
