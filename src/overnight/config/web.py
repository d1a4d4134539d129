"""What is wrong with `[web]` beyond the form of its values."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from overnight.api.settings import WebSettings
from overnight.config.hosts import hosts
from overnight.config.shape import Problem, show


def web_rules(web: WebSettings) -> Iterator[Problem]:
    """Problems of pages and API. A link in a message is a right: it goes over no open line."""
    yield from hosts(("web", "hosts"), web.hosts)
    if web.url is not None and (why := _problem(web.url)):
        yield Problem(("web", "url"), f"`web.url` must be {why}, not {show(web.url)}")


def _problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        return 'an address such as "https://night.example.org"'
    if parts.scheme not in ("http", "https") or not name or parts.username is not None or parts.path.rstrip("/"):
        return 'an address such as "https://night.example.org", without a login or a path'
    if parts.query or parts.fragment:
        return "an address without a query"
    return "" if parts.scheme == "https" or _loopback(name) else "`https://`, unless it is this machine's own"


def _loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
