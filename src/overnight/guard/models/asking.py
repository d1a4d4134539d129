"""Is it a question about the program itself?"""

from __future__ import annotations

from overnight.guard.text import Text


def asks(args: list[Text], *more: str) -> bool:
    """True for `--help` before any `--`, for a lone `--version`, and for the words in `more`."""
    before = args[: args.index(Text("--"))] if "--" in args else args
    words = [word for word in before if not word.startswith("-")]
    if {"--help", *more} & set(before):
        return True
    return ("--version" in before or "-V" in before) and (before[0] in ("--version", "-V") or not words)
