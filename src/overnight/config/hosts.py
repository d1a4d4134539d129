"""Names of hosts, as both files write them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from overnight.config.shape import Path, Problem, show

_HOST = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]|localhost")


def hosts(path: Path, names: tuple[str, ...]) -> Iterator[Problem]:
    """Problems of a list of host names: `example.org` or `*.example.org`, no scheme, port or address."""
    for index, host in enumerate(names):
        if host == "*" or (host.startswith("*.") and host.count(".") < 2):
            text = f"{show(host)} would open the whole network: name the hosts, such as "
        elif not _HOST.fullmatch(host):
            text = f"{show(host)} is not a host name: write it in lower case without scheme, port or path, such as "
        else:
            continue
        yield Problem((*path, index), text + '"registry.example.org"')
