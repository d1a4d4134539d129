"""Code in the documentation is run, and configuration in it is read, as part of the tests."""

from __future__ import annotations

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from overnight.config import parse_settings, read_policy


def read_toml(example: Example) -> None:
    """A TOML block names its file in its first line, and is a file that Overnight accepts."""
    text: str = example.parsed
    first = text.partition("\n")[0]
    if first == "# overnight.toml":
        read_policy(text.encode(), "overnight.toml")
    elif first == "# config.toml":
        parse_settings(text.encode(), "config.toml")
    else:
        raise AssertionError(f'a TOML block begins with "# overnight.toml" or "# config.toml", not {first!r}')


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser("toml", read_toml)],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
).pytest()
