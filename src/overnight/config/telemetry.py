"""What is wrong with `[telemetry]` beyond the form of its values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from overnight.config.shape import Problem, show
from overnight.people.secret import places, problem
from overnight.telemetry.settings import TelemetrySettings

_LOOPBACK = frozenset({"localhost", "::1"})
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+")
#: Headers that hold a secret.
_SECRET = re.compile(r"auth|key|token|secret|cookie|passw", re.IGNORECASE)


def telemetry_rules(settings: TelemetrySettings) -> Iterator[Problem]:
    """Problems of where telemetry goes."""
    if settings.endpoint is not None and (why := _unfit(settings.endpoint)):
        text = f'`telemetry.endpoint` must be a collector\'s base URL such as "http://127.0.0.1:4318"; {show(settings.endpoint)} {why}'
        yield Problem(("telemetry", "endpoint"), text)
    elif settings.endpoint is not None and settings.headers and _clear(settings.endpoint):
        text = f"`telemetry.headers` would cross the network in the clear to {show(settings.endpoint)}: use https://"
        yield Problem(("telemetry", "headers"), text, value=False)
    for name, text in settings.headers.items():
        where = f"`telemetry.headers.{name}`"
        if not _NAME.fullmatch(name) or "\n" in text or "\r" in text:
            yield Problem(("telemetry", "headers"), f"{where} is no header", value=False)
        elif why := problem(text):
            yield Problem(("telemetry", "headers"), f"{where} {why}", value=False)
        elif _SECRET.search(name) and not places(text):
            text = (
                f"{where} names where the secret is, ${{NAME}} or ${{file:/path}}: the secret itself stays out of files"
            )
            yield Problem(("telemetry", "headers"), text, value=False)


def is_loopback(endpoint: str) -> bool:
    """Whether what is sent there stays on this machine."""
    host = urlsplit(endpoint).hostname or ""
    return host in _LOOPBACK or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def _clear(endpoint: str) -> bool:
    return endpoint.startswith("http://") and not is_loopback(endpoint)


def _unfit(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError:
        return "is none"
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", endpoint):
        return "is none"
    if parts.username or parts.password:
        return "has a login in it: use `telemetry.headers`"
    if parts.query or parts.fragment or parts.path.rstrip("/").endswith(("/v1/traces", "/v1/metrics")):
        return "is more than the base: /v1/traces and /v1/metrics are added to it"
    return ""
