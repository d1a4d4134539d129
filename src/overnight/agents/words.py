"""What every adapter does with an agent's words: made harmless, cut to size, searched for a plea for help."""

from __future__ import annotations

import re
import unicodedata

#: Longest text of an event, in characters.
LINE = 300
#: Longest quotation of an agent's last words, in characters.
SAID = 4000

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|.)?")
_UNUSUAL = re.compile(r"[^ -~\n\t]")
_BLOCKED = re.compile(r"^[\s>*_`#-]*BLOCKED[*_`]*:[*_`]*[ \t]*(.*)", re.MULTILINE | re.DOTALL)


def _shown(match: re.Match[str]) -> str:
    """A character as it may be shown: hidden, reordering and control characters are dropped, odd spaces are spaces."""
    char = match[0]
    if char.isprintable():
        return char
    return " " if char.isspace() else "" if unicodedata.category(char) in ("Cc", "Cf") else "\ufffd"


def plain(text: str) -> str:
    """The text without terminal escapes and invisible characters; line ends and tabs stay."""
    return _UNUSUAL.sub(_shown, _ESCAPE.sub("", text.replace("\r\n", "\n")))


def one_line(text: str, limit: int = LINE) -> str:
    """The text on one line, at most `limit` characters, with `…` where it was cut."""
    # Only as much as can matter: a tool's output may be megabytes.
    line = " ".join(plain(text[: limit * 8].replace("\r", "\n")).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def quoted(text: str, limit: int = SAID) -> str:
    """The text with its line ends, at most `limit` characters, with `…` where it was cut."""
    clean = plain(text).strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def blocked(text: str) -> str | None:
    """The reason, when the agent ends with `BLOCKED: reason` as the house rule asks; None when it does not.

    The line must stand in the last paragraph; what follows it there belongs to the reason. A reason left
    empty is said to be.
    """
    paragraphs = [part for part in re.split(r"\n\s*\n", plain(text)) if part.strip()]
    match = _BLOCKED.search(paragraphs[-1]) if paragraphs else None
    if match is None:
        return None
    return one_line(match[1]).strip(" *_`") or "it gave no reason"
