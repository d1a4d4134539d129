"""The parser against bash itself and three parsers by others, over commands that are put together at random."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, cast

import bashlex
import pytest
import tree_sitter_bash
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_sitter import Language, Parser

from overnight.guard.parser import parse
from overnight.guard.scanner import SyntaxProblem
from overnight.guard.syntax import Lit, Simple

from .helpers import stopped

#: The binary of the wheel, whatever the PATH has.
SHFMT = Path(sysconfig.get_path("scripts")) / "shfmt"
#: What the generated commands begin with.
PROGRAMS = ("cmd", "ls", "cat", "echo", ":")
TREE = Parser(Language(tree_sitter_bash.language()))
WORD = st.sampled_from(
    [
        "a",
        "b1",
        "-x",
        "--yes=1",
        "'q r'",
        '"d $x"',
        "$x",
        "${x:-y}",
        "${#x}",
        "${x//a/b}",
        "${a[0]}",
        "$(ls)",
        "`ls`",
        "$((1+2))",
        "{a,b}",
        "*.py",
        "$'\\t'",
        "a\\ b",
        "~/x",
        "<(ls)",
        '"$(echo "x")"',
        "${x[@]}",
        "$1",
        "$@",
        "é",
        "a=b",
        "[",
        "]",
    ]
)
REDIR = st.sampled_from(
    [
        "",
        "",
        "",
        " > f",
        " 2>&1",
        " < f",
        " >> f",
        " &> f",
        " <<< w",
        " 2>/dev/null",
        " {fd}>f",
        " >&2",
        " <<E\nbody $x\nE\n",
    ]
)


def _simple(assigns: list[str], words: list[str], redir: str) -> str:
    return " ".join([*assigns, "cmd", *words]) + redir


def _join(left: str, op: str, right: str) -> str:
    return left if "<<E" in left else f"{left} {op} {right}"


def _shaped(shape: str, first: str, second: str) -> str:
    return shape.format(first, second)


def _broken(text: str, place: int, junk: str) -> str:
    place %= len(text) + 1
    return text[:place] + junk + text[place:]


SIMPLE = st.builds(
    _simple,
    st.lists(st.sampled_from(["A=1", "B=$x", "C+=2", "D='q'", "E=$(ls)"]), max_size=2),
    st.lists(WORD, max_size=4),
    REDIR,
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    shapes = [
        "( {0} )", "{{ {0}\n}}", "if {0}\nthen {1}\nfi", "while {0}\ndo {1}\ndone", "for i in a b; do {0}\ndone", "case $x in a|b) {0}\n;; *) {1}\n;; esac", "f() {{ {0}\n}}",
        "{0}\n{1}", "! {0}", "[[ -n $x && a == b* ]] && {0}", "(( x + 1 )) || {0}", "for ((i=0;i<3;i++)); do {0}\ndone", "x=$({0}\n)", "echo \"$({0}\n)\"", "function g {{ {0}\n}}",
        "until {0}\ndo {1}\ndone", "coproc {{ {0}\n}}", "cat <({0}\n)", "if {0}\nthen {1}\nelif {0}\nthen :\nelse {1}\nfi", "select y in a; do {0}\ndone", "time {0}",
    ]  # fmt: skip
    joined = st.builds(
        _join,
        inner,
        st.sampled_from(["|", "&&", "||", ";", "&", "|&"]),
        inner,
    )
    return st.one_of(st.builds(_shaped, st.sampled_from(shapes), inner, inner), joined)


COMMANDS = st.recursive(SIMPLE, _grow, max_leaves=5)
BROKEN = st.builds(_broken, COMMANDS, st.integers(0, 500),
                   st.sampled_from(["(", ")", "'", '"', "`", "$(", "${", "}", "fi", "done", ";;", "|", "&&", "<", "\\", "$((", "((", "esac", "do ", "\n"]))  # fmt: skip


def understood(text: str) -> bool:
    """True when our parser takes the text."""
    try:
        parse(text)
    except SyntaxProblem:
        return False
    return True


def bash_takes(text: str) -> bool:
    """True when bash itself would."""
    done = subprocess.run(["bash", "-n"], input=text.encode(), capture_output=True, timeout=20, check=False)
    return done.returncode == 0


@settings(max_examples=150, deadline=None)
@given(COMMANDS)
def test_what_bash_takes_is_understood(text: str) -> None:
    """No false reject on well-formed commands."""
    if bash_takes(text):
        assert understood(text), text


@settings(max_examples=150, deadline=None, derandomize=True)
@given(BROKEN)
def test_what_bash_refuses_is_not_taken_for_harmless(text: str) -> None:
    """A text that is broken somewhere is taken by us only where bash takes it too."""
    if understood(text) and "(" not in text:
        assert bash_takes(text), text


@settings(max_examples=150, deadline=None)
@given(COMMANDS)
def test_tree_sitter_has_no_objection(text: str) -> None:
    """Where tree-sitter finds no error, neither do we."""
    if not TREE.parse(text.encode()).root_node.has_error and bash_takes(text):
        assert understood(text)


def shfmt(text: str, *options: str) -> str | None:
    """What shfmt prints for a text, or None where it finds an error."""
    done = subprocess.run(
        [SHFMT, "-ln", "bash", *options], input=text.encode(), capture_output=True, timeout=60, check=False
    )
    return done.stdout.decode() if done.returncode == 0 else None


@settings(max_examples=150, deadline=None)
@given(COMMANDS)
def test_shfmt_sees_the_same_commands(text: str) -> None:
    """Where shfmt and bash find no error neither do we, and every command that shfmt sees, nested ones too, we see."""
    tree = shfmt(text, "--to-json")
    if tree is not None and bash_takes(text):
        assert _our_names(text) == _their_names(json.loads(tree)), text


@settings(max_examples=100, deadline=None)
@given(COMMANDS)
def test_formatting_changes_nothing(text: str) -> None:
    """A text that shfmt has formatted holds the same commands with the same words."""
    formatted = shfmt(text)
    if formatted is not None and bash_takes(text):
        assert _our_words(formatted) == _our_words(text)


def _our_names(text: str) -> list[str]:
    # After `|` bash takes `time` for a program, and what follows for its arguments; shfmt takes it for the keyword.
    named = [words for words in _our_words(text) if words]
    return sorted(next(w for w in words if w in PROGRAMS) if words[0] == "time" else words[0] for words in named)


def _their_names(tree: Any) -> list[str]:
    out: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for item in cast("list[Any]", node):
                walk(item)
        elif isinstance(node, dict):
            fields = cast("dict[str, Any]", node)
            if fields.get("Type") == "CallExpr" and fields.get("Args"):
                parts = fields["Args"][0]["Parts"]
                out.append("".join(part.get("Value", "") for part in parts))
            for value in fields.values():
                walk(value)

    walk(tree)
    return sorted(out)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["ls", "a b", "'x y' z", '"p q"', "a\\ b", "e=1 f", "-x --y=z"]), min_size=1, max_size=5),
    st.sampled_from([" | ", " && ", "; "]),
)
def test_bashlex_sees_the_same_words(pieces: list[str], join: str) -> None:
    """Commands and their words are cut as bashlex cuts them."""
    text = join.join(pieces)
    assert _our_words(text) == _their_words(text)


def _our_words(text: str) -> list[list[str]]:
    out: list[list[str]] = []

    def walk(node: Any) -> None:
        if isinstance(node, Simple):
            out.append([word.literal() or "" for word in node.words])
        if isinstance(node, tuple):
            for item in cast("tuple[Any, ...]", node):
                walk(item)
        elif hasattr(node, "__struct_fields__"):
            for name in node.__struct_fields__:
                walk(getattr(node, name))

    walk(parse(text))
    return out


def _their_words(text: str) -> list[list[str]]:
    out: list[list[str]] = []

    def walk(node: Any) -> None:
        if node.kind == "command":
            out.append([part.word for part in node.parts if part.kind == "word"])
            return
        for part in getattr(node, "parts", []):
            walk(part)

    for tree in cast("list[Any]", bashlex.parse(text)):  # pyright: ignore[reportUnknownMemberType] - bashlex has no types
        walk(tree)
    return out


@pytest.mark.parametrize(
    "text",
    [
        "a\\\nb c",
        "time -p rm -rf /",
        "coproc { rm -rf /; }",
        "cat <<-EOF\n\t$(rm -rf /)\n\tEOF\n",
        "{rm,-rf,/x}",
        "r\\\nm -rf /",
        "x=([0]=rm [1]=-rf [2]=/); ${x[@]}",
        "echo ${x:=`rm -rf /`}",
        "case x in (x) rm -rf /;; esac",
        "for x in /; { rm -rf $x; }",
        "function f() { rm -rf /; }; f",
        "[[ a =~ (b|$(rm -rf /)) ]]",
    ],
)
def test_what_other_parsers_get_wrong(text: str) -> None:
    """Texts that parsers by others take for something else."""
    assert understood(text)
    assert stopped(text) == ("rm" in text or "r\\" in text)


def test_quotes_keep_globs_quiet() -> None:
    """A star in quotes is text, without them it is a glob."""
    words = parse("rm '*' *").items[0].command
    assert isinstance(words, Simple)
    assert [part for word in words.words for part in word.parts] == [Lit("rm"), Lit("*", quoted=True), Lit("*")]
