"""Are two messages the same in other words? By the shingles of their normalised tokens."""

from __future__ import annotations

import re

#: Characters of a message that are looked at.
MOST = 4000
#: Tokens in one shingle.
SHINGLE = 2
#: Share of shingles in common from which on two messages are alike.
ENOUGH = 0.75
#: Shorter messages are alike only when they are equal: one word of difference is much there.
SHORT = 8
_TOKEN = re.compile(r"[\w./-]*\w")


def tokens(text: str) -> tuple[str, ...]:
    """The words of a message: lower case, without punctuation. Numbers and paths stay, for they tell steps apart."""
    return tuple(_TOKEN.findall(text[:MOST].casefold()))


def alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two token sequences say the same. Symmetric; every sequence is alike itself."""
    if one == other:
        return True
    if min(len(one), len(other)) < SHORT or _figures(one) != _figures(other):
        return False
    left, right = _shingles(one), _shingles(other)
    return len(left & right) >= ENOUGH * len(left | right)


def _figures(words: tuple[str, ...]) -> frozenset[str]:
    """Tokens that say which one is meant: numbers, paths, names with a dot or underscore in them."""
    return frozenset(word for word in words if any(c.isdigit() or c in "./_" for c in word))


def _shingles(words: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    return frozenset(words[n : n + SHINGLE] for n in range(len(words) - SHINGLE + 1))
