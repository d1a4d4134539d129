"""The digest that chains events. Nothing but the standard library: whoever checks from outside loads no more than that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence


def digest_of(fields: Sequence[object], before: str) -> str:
    """SHA-256, hex, over an event's fields (sequence number, time, task, actor, what, why, data) and the digest before it."""
    return hashlib.sha256(json.dumps([*fields, before], ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()
