"""Request bodies: each message once, however often it is sent again.

A session sends all that was said so far with every request. Every element of the lists at the top of a body
(`messages`, `input`, `contents`, `system`, `tools`) is a part with a name made of its content; a line holds the parts
that are new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, cast

import msgspec

Change = Callable[[str], str]


class Packer:
    """Makes values for lines out of bodies. without: takes secrets out of a text."""

    def __init__(self, without: Change) -> None:
        self._without = without
        #: Digest of a part as it was sent -> its name.
        self._known: dict[bytes, str] = {}

    def packed(self, body: bytes) -> Any:
        """The body as a value: `keys` (what is no list), `lists` (names of parts) and `parts` (the new ones)."""
        if not body:
            return None
        try:
            value: Any = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {"text": self._without(body.decode(errors="replace"))}
        if not isinstance(value, dict):
            return {"value": changed(value, self._without)}
        keys, lists, parts = dict[str, Any](), dict[str, list[str]](), dict[str, Any]()
        for key, held in cast("dict[str, Any]", value).items():
            if isinstance(held, list):
                lists[key] = [self._part(part, parts) for part in cast("list[Any]", held)]
            else:
                keys[key] = changed(held, self._without)
        return {"keys": keys, "lists": lists, "parts": parts}

    def _part(self, part: Any, new: dict[str, Any]) -> str:
        sent = hashlib.sha256(canonical(part)).digest()
        if (name := self._known.get(sent)) is None:
            kept = changed(part, self._without)
            # By what is kept, so that a name tells nothing about a secret that was taken out.
            name = self._known[sent] = hashlib.sha256(canonical(kept)).hexdigest()[:32]
            new[name] = kept
        return name


class Unpacker:
    """Makes bodies of values again; to be given them in the order of their lines."""

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}

    def body(self, packed: Any) -> Any:
        """The body as a JSON value; None for none. Raises ValueError for what is none of ours."""
        try:
            if packed is None or "text" in packed:
                return packed and packed["text"]
            if "value" in packed:
                return packed["value"]
            self._parts.update(packed["parts"])
            lists = {key: [self._parts[name] for name in names] for key, names in packed["lists"].items()}
            return {**packed["keys"], **lists}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a request can't be put together: {error}") from None


def canonical(value: Any) -> bytes:
    """JSON with sorted keys: equal values have equal bytes."""
    return msgspec.json.encode(value, order="deterministic")


#: Content that is no text, though JSON holds it as one; and what its author has signed.
_OPAQUE = frozenset({"signature", "encrypted_content", "thoughtSignature", "thought_signature"})


def changed(value: Any, change: Change, leave: frozenset[str] = frozenset()) -> Any:
    """A JSON value with every text in it changed, names too. Pictures and signatures stay as they are.

    leave: further names whose texts stay.
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [changed(part, change, leave) for part in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    held = cast("dict[str, Any]", value)
    picture = held.get("type") == "base64" or "mimeType" in held or "mime_type" in held
    return {
        change(key): part
        if isinstance(part, str) and (key in _OPAQUE or key in leave or (picture and key == "data"))
        else changed(part, change, leave)
        for key, part in held.items()
    }
