"""What a run did so far, as far as it bears on what it may do next. A value: every change gives a new one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

#: Texts longer than this are remembered by digest and taint only.
_KEPT = 256 * 1024
#: Files remembered; the oldest go first.
_FILES = 2000


class Written(Struct, frozen=True, kw_only=True):
    """A file that the run wrote."""

    #: sha256 of the text; empty when the text is not known.
    digest: str
    #: None when it is not known or too long.
    text: str | None
    #: Where the content came from (bits of `guard.text`).
    taint: int = 0


class Ledger(Struct, frozen=True, kw_only=True):
    """Files written in this run and effects that were denied."""

    files: Mapping[str, Written] = field(default_factory=dict[str, Written])
    #: Fingerprint of a denied effect -> how often it was tried.
    denials: Mapping[str, int] = field(default_factory=dict[str, int])

    def wrote(self, path: str, text: str | None, taint: int = 0) -> Ledger:
        """With a file written."""
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() if text is not None else ""
        kept = text if text is not None and len(text) <= _KEPT else None
        files = {**self.files, path: Written(digest=digest, text=kept, taint=taint)}
        for oldest in list(files)[: max(0, len(files) - _FILES)]:
            del files[oldest]
        return replace(self, files=files)

    def denied(self, fingerprint: str) -> Ledger:
        """With one more denial of this effect."""
        return replace(self, denials={**self.denials, fingerprint: self.denials.get(fingerprint, 0) + 1})

    def times(self, fingerprint: str) -> int:
        """How often this effect was denied already."""
        return self.denials.get(fingerprint, 0)
