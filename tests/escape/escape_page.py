"""docs/escapes.md, out of the suite: `python tests/escape/escape_page.py > docs/escapes.md`."""

from __future__ import annotations

from collections.abc import Iterator

from escape_catalogue import ATTACKS
from escape_known import KNOWN

_HEAD = """# What gets out of a box

Boxes are attacked by {count} attacks in `tests/escape/`, each in every kind of box, as root and as an ordinary user.
An attack counts when it succeeds without a box on the same machine; whether it succeeds is seen from outside of the
box, never by what the attack itself says. This page is made from the suite, and a test compares the two.

## Known escapes

These succeed. The suite expects them to, and fails when one no longer does.

| attack | in | started by | what it means |
|---|---|---|---|
"""
_ALL = """
## All attacks

**root** and **user** say who succeeds without a box. *needs* is what some machines lack, where the attack then proves
nothing.

| attack | root | user | needs |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    known = "".join(
        f"| `{entry.attack}` | {', '.join(entry.backends)} | {', '.join(entry.people)} | {entry.why} |\n"
        for entry in KNOWN
    )
    return _HEAD.format(count=len(ATTACKS)) + known + _ALL + "".join(_rows())


def _rows() -> Iterator[str]:
    for attack in ATTACKS:
        yield f"| `{attack.name}` | {_yes(attack.root)} | {_yes(attack.user)} | {attack.needs} |\n"


def _yes(claimed: bool) -> str:
    return "yes" if claimed else ""


if __name__ == "__main__":
    print(page(), end="")
