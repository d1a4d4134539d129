"""Secrets that settings name and never hold: `${NAME}` is an environment variable, `${file:/path}` a file's content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from overnight.errors import BadInput

_PLACE = re.compile(r"\$\{(file:)?([^{}]+)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Bytes of a file that holds a secret.
_MOST = 64 << 10


def places(text: str) -> tuple[tuple[bool, str], ...]:
    """(whether it is a file, its name) of every secret that a text names."""
    return tuple((match[1] is not None, match[2]) for match in _PLACE.finditer(text))


def variables(*texts: str) -> tuple[str, ...]:
    """The environment variables that texts name."""
    return tuple(name for text in texts for file, name in places(text) if not file)


def only_places(text: str) -> bool:
    """Whether nothing is written out: a secret is named, and by nothing else."""
    return _PLACE.fullmatch(text) is not None


def problem(text: str) -> str:
    """What is wrong with how secrets are named; empty when nothing is."""
    for file, name in places(text):
        if file and not name.startswith("/"):
            return "names a file by ${file:/absolute/path}"
        if not file and not _VARIABLE.fullmatch(name):
            return "names an environment variable by ${NAME}"
    return ""


def filled(text: str, environ: Mapping[str, str], *, url: bool = False) -> tuple[str, tuple[str, ...]]:
    """The text with its secrets in, and the secrets. url: those within a URL are quoted; one that is all of it is not.

    Raises BadInput when one is not there. Its message names where it should be, never what it is.
    """
    found: list[str] = []
    whole = only_places(text)

    def put(match: re.Match[str]) -> str:
        value = _read(match[2]) if match[1] else environ.get(match[2], "")
        if not value:
            raise BadInput(problem=f"{match[2]} is {'empty' if match[1] else 'not set in the environment'}.")
        found.append(value)
        return value if whole or not url else quote(value, safe="")

    return _PLACE.sub(put, text), tuple(found)


def _read(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            return file.read(_MOST).decode(errors="replace").strip()
    except OSError as error:
        raise BadInput(problem=f"{name} can't be read: {error.strerror}.") from error
