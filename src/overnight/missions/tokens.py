"""Tokens: what a model read and wrote, by what it is billed for."""

from __future__ import annotations

from msgspec import Struct


class Tokens(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Tokens of one answer, or of many added up. No token is in two fields, but for the two that say so."""

    #: Read anew: neither from a cache nor into one.
    input: int = 0
    #: Written, thinking included.
    output: int = 0
    #: Of `output`, what nobody was shown.
    thinking: int = 0
    cache_read: int = 0
    #: Read and put into a cache, for however long.
    cache_write: int = 0
    #: Of `cache_write`, what stays for an hour; the rest stays for 5 minutes.
    cache_write_1h: int = 0
    #: Searches that the vendor did and bills one by one. No tokens.
    web_searches: int = 0

    @property
    def prompt(self) -> int:
        """All that was read: what decides whether a prompt is a long one."""
        return self.input + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        """All that was read and written."""
        return self.prompt + self.output

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(**{name: getattr(self, name) + getattr(other, name) for name in _FIELDS})

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(**{name: getattr(self, name) - getattr(other, name) for name in _FIELDS})

    def most(self, other: Tokens) -> Tokens:
        """The larger of each: two accounts of the same answer, one of them made before its end."""
        return Tokens(**{name: max(getattr(self, name), getattr(other, name)) for name in _FIELDS})

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in _FIELDS)


_FIELDS = Tokens.__struct_fields__
