"""What kind of error is it? The words of a failed call, without what differs from one time to the next."""

from __future__ import annotations

import hashlib
import re

from msgspec import Struct

#: Characters of an error that are looked at, half from its beginning, half from its end.
MOST = 8000
_LONGEST = 160
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: What differs between two runs of the same thing.
_VOLATILE = (
    (re.compile(r"\b\d{4}-\d\d-\d\d[t ]\d\d:\d\d(:\d\d)?[.,\d]*(z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d([.,]\d+)?"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b0x[0-9a-f]+\b"), "<address>"),
    (re.compile(r"/(tmp|var/folders)/[^\s'\":,)]+"), "<temporary>"),
    (re.compile(r"\b\d+(\.\d+)?\s?(ns|us|µs|ms|s|sec|secs|seconds|min|minutes)\b"), "<duration>"),
    (re.compile(r"\b(pid|process)[ =:]+\d+"), "<process>"),
)
#: What differs between two errors of one kind: which file, name or number it is about.
_PARTICULAR = (
    (re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|‘[^’]*’|“[^”]*”"), "<name>"),
    (re.compile(r"(?:[a-z]:)?[\w.~-]*/[\w./~@+-]*"), "<path>"),
    (re.compile(r"\b[\w-]+\.(py|js|ts|tsx|jsx|rs|go|java|rb|php|c|h|cpp|json|toml|ya?ml|md|txt|lock)\b"), "<path>"),
    (re.compile(r"\d+"), "<n>"),
)
_CODE = re.compile(r"(error: )?(command )?(failed with )?(exit(ed)?|return(ed)?)[ a-z]*(code|status)[: ]*-?\d+\.?")
#: Lines that name the error, best first.
_TELLS = (
    re.compile(r"^(e\s+)?[\w.]*(error|exception|interrupt|exit)\b.*"),
    re.compile(r".*\b(error|fatal|panic|panicked|denied|refused|not found|no such|cannot|can't|unable|timed out)\b.*"),
    re.compile(r".*\b(fail|failed|failure|failing)\b.*"),
)


class ErrorClass(Struct, frozen=True):
    """An error, coarse and fine."""

    #: Equal for errors of one kind, such as "modulenotfounderror: no module named <name>".
    kind: str
    #: Equal for errors that say the very same, but for times and addresses. Empty for one that says nothing.
    exact: str


def classify(text: str, fingerprint: str, tool: str = "") -> ErrorClass:
    """The class of a failed call's error.

    One that says nothing but an exit code is of a kind of its own for each call: `grep` that finds nothing fails too.
    """
    words = text if len(text) <= MOST else f"{text[: MOST // 2]}\n{text[-MOST // 2 :]}"
    words = _ANSI.sub("", words).casefold()
    for pattern, name in _VOLATILE:
        words = pattern.sub(name, words)
    lines = [line for part in words.splitlines() if (line := " ".join(part.split()))]
    told = [line for line in lines if not _CODE.fullmatch(line)]
    if not told:
        return ErrorClass(f"{' '.join(lines) or 'no words'} of {fingerprint}", "")
    exact = hashlib.sha256("\n".join(lines).encode(errors="replace")).hexdigest()[:16]
    line = _telling(told)
    for pattern, name in _PARTICULAR:
        line = pattern.sub(name, line)
    return ErrorClass(f"{tool}: {line[:_LONGEST]}" if tool else line[:_LONGEST], exact)


def _telling(lines: list[str]) -> str:
    """The line that names the error: the last one of the best sort."""
    for pattern in _TELLS:
        for line in reversed(lines):
            if pattern.fullmatch(line):
                return line
    return lines[-1]
