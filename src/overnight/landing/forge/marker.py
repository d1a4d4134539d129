"""The hidden line by which Overnight knows its own pull requests again. Pure."""

from __future__ import annotations

import hashlib
import re

#: Characters that a forge takes in a pull request's body.
LONGEST = 65_536
_MARKER = re.compile(r"<!-- overnight ([a-z]+) ([A-Za-z0-9._-]+) of ([0-9a-f]{32}) -->")
_CUT = "\n\n(cut here: the forge takes no more)"


def marker(kind: str, key: str, instance: str) -> str:
    """The line for a `task` or a `revert`. instance: the id of this Overnight, 32 hex digits."""
    plain = key if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", key) else hashlib.sha256(key.encode()).hexdigest()
    line = f"<!-- overnight {kind} {plain} of {instance} -->"
    assert _MARKER.fullmatch(line), line
    return line


def marked(line: str, body: str) -> str:
    """A body with its marker, no longer than a forge takes. What looks like a marker in the words is no more one."""
    words = body.replace("<!-- overnight ", "<!- overnight ")
    room = LONGEST - len(line) - 2
    if len(words) > room:
        words = words[: room - len(_CUT)] + _CUT
    return f"{line}\n\n{words}"


def carries(body: str | None, line: str) -> bool:
    """Whether a body begins with exactly this marker; a quotation of it elsewhere is none."""
    return (body or "").lstrip().startswith(line)
