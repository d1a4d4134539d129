"""What a judge's own process is told, and what it says: the two ends of a pipe."""

from __future__ import annotations

from msgspec import Struct

from overnight.judge.verdict import Outside
from overnight.judges.settings import Kind

#: The variable that holds what stands for the key: the key itself never gets into that process.
TOKEN = "OVERNIGHT_JUDGE_TOKEN"  # noqa: S105 (the name of a variable)


class Errand(Struct, frozen=True, kw_only=True):
    """Its only argument, as JSON. The evidence is its standard input."""

    kind: Kind
    model: str
    #: The gateway, on loopback.
    address: str
    #: Tokens that the answer may have.
    output: int
    structured: bool
    #: Seconds.
    limit: float


class Heard(Struct, frozen=True, kw_only=True, tag="heard"):
    """What it prints when the model answered and came to its own end."""

    text: str


class Trouble(Struct, frozen=True, kw_only=True, tag="trouble"):
    """What it prints when there is no answer that could be read."""

    why: str
    #: Another try may do better.
    again: bool = False
    #: Seconds to wait before it, as the vendor asks for.
    after: float = 0.0
    #: What outside was in the way, where something was.
    outside: Outside | None = None


Said = Heard | Trouble
