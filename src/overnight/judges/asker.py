"""A judge's own process: one question to one model.

Started as `python -P -m overnight.judges.asker ERRAND`, with the evidence on standard input. It prints one line of JSON,
see `errand`. The vendors' own clients are imported here and nowhere else.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import msgspec

from overnight.judges.errand import TOKEN, Errand, Said, Trouble
from overnight.judges.settings import Kind

#: What each kind needs to be installed.
PACKAGES = {
    Kind.ANTHROPIC: "anthropic",
    Kind.OPENAI: "openai",
    Kind.GEMINI: "google.genai",
    Kind.COMPATIBLE: "openai",
    Kind.LOCAL: "openai",
}


def missing(kind: Kind) -> str:
    """What to install for a kind; empty when it is there. Imports nothing of it."""
    if kind not in PACKAGES:
        return ""
    top, _, rest = PACKAGES[kind].partition(".")
    there = find_spec(top) is not None and (not rest or find_spec(PACKAGES[kind]) is not None)
    return "" if there else f"the client library `{PACKAGES[kind]}` is not installed: pip install 'overnight[judges]'"


def main() -> int:
    """Exit code 0 when a line was printed; 2 for a wrong call."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -P -m overnight.judges.asker ERRAND < EVIDENCE\n")
        return 2
    errand = msgspec.json.decode(sys.argv[1], type=Errand)
    said = _asked(errand, sys.stdin.buffer.read().decode(), os.environ[TOKEN])
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    return 0


def _asked(errand: Errand, evidence: str, token: str) -> Said:
    if lacks := missing(errand.kind):
        return Trouble(why=lacks)
    from overnight.judges.vendors import ask

    return ask(errand, evidence, token)


if __name__ == "__main__":
    sys.exit(main())
