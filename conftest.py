"""What all tests share: code in the documentation is run, configuration in it is read, and CI is repeatable."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
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

# A daemon that a test starts serves no pages, unless that is what the test is about: they have one port.
os.environ["OVERNIGHT_WEB"] = "off"

# The same examples every time where a red test stops a landing; new ones on every other run, where they are looked into.
# Properties are about values, never about speed.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
