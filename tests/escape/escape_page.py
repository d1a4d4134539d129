"""docs/escapes.md, out of the suite: `python tests/escape/escape_page.py > docs/escapes.md`."""

from __future__ import annotations

from collections.abc import Iterator

from escape_catalogue import ATTACKS
from escape_known import BACKENDS, KNOWN, Known

_HEAD = """# What gets out of a box

Boxes are attacked by {count} attacks in `tests/escape/`: bubblewrap by root and by an ordinary user, containers of
podman and docker by root, Landlock by an ordinary user. An attack counts when it succeeds without a box on the same
machine; whether it succeeds is seen from outside of the box, never by what the attack itself says. This page is made
from the suite, and a test compares the two.

## Known escapes

These succeed. The suite expects them to, and fails when one no longer does.

| attack | in | what it means |
|---|---|---|
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
    known = "".join(f"| `{entry.attack}` | {_where(entry)} | {entry.why} |\n" for entry in KNOWN)
    return _HEAD.format(count=len(ATTACKS)) + known + _ALL + "".join(_rows())


def _where(entry: Known) -> str:
    return "every box" if set(entry.backends) == set(BACKENDS) else ", ".join(entry.backends)


def _rows() -> Iterator[str]:
    for attack in ATTACKS:
        yield f"| `{attack.name}` | {_yes(attack.root)} | {_yes(attack.user)} | {attack.needs} |\n"


def _yes(claimed: bool) -> str:
    return "yes" if claimed else ""


if __name__ == "__main__":
    print(page(), end="")
