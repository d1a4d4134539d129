"""What a service's environment has besides: logins and keys, which a terminal has and a service manager has not."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from overnight.config import settings_path
from overnight.errors import BadInput, Refused

#: Beside the settings.
NAME = "environment"
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_MOST = 1 << 20


def place(environ: Mapping[str, str]) -> Path:
    """Where it is read from."""
    return settings_path(environ).parent / NAME


def read_environment(path: Path) -> dict[str, str]:
    """`NAME=VALUE` lines; empty ones and those that begin with `#` are passed over. Nothing where there is no file.

    A value is everything behind the `=`, without the quotes around it where it has some. Raises Refused where others may
    read it, BadInput where a line is no such line.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadInput(problem=f"{path} can't be read: {error.strerror}.") from error
    with os.fdopen(fd, "rb") as file:
        known = os.fstat(fd)
        if not stat.S_ISREG(known.st_mode) or known.st_uid != os.geteuid() or known.st_mode & 0o077:
            raise Refused(problem=f"{path} holds logins and others may read or change it: `chmod 600 {path}`.")
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise BadInput(problem=f"{path} is larger than {_MOST >> 20} MiB: it holds more than lines such as NAME=VALUE.")
    text = data.decode("utf-8", "surrogateescape")
    found: dict[str, str] = {}
    for n, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        match = _LINE.fullmatch(words)
        if match is None or "\0" in words:
            raise BadInput(problem=f"{path}:{n} is no line such as NAME=VALUE. What it says is not shown.")
        name, value = match[1], match[2]
        found[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
    return found
