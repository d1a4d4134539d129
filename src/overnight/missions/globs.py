"""Path globs as policies write them: `*` stays inside a folder, `**` does not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

_PARTS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(_PARTS.get(part, re.escape(part)) for part in parts), re.DOTALL)


def matching(paths: Iterable[str], globs: Iterable[str]) -> tuple[str, ...]:
    """The paths that match any of the globs."""
    patterns = [_pattern(glob) for glob in globs]
    return tuple(path for path in paths if any(p.fullmatch(path) for p in patterns))
