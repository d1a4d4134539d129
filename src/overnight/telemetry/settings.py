"""Where spans and metrics go, and what is in them."""

from __future__ import annotations

import importlib.util
from typing import Annotated

from msgspec import Meta, Struct

from overnight.missions.units import Duration

#: What is to be installed, and its modules that are needed.
EXTRA = "overnight[otel]"
#: In the state folder: what the process that sends says.
LOG = "telemetry.log"
_MODULES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


class TelemetrySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Telemetry is off until an endpoint is named."""

    #: The base URL of a collector that takes OTLP over HTTP, such as `"http://127.0.0.1:4318"`. Nothing is sent without.
    endpoint: str | None = None
    #: Headers of every request. A secret is named by its place: `authorization = "Bearer ${OTLP_TOKEN}"`.
    headers: dict[str, str] = {}
    #: Send what was said as well: prompts, answers, commands, paths, titles. Otherwise only names, numbers and times.
    content: bool = False
    #: Send spans; send metrics. Not every collector takes both.
    traces: bool = True
    metrics: bool = True
    #: Between two looks at the journal.
    every: Duration = Duration(10)
    #: One request may take so long.
    timeout: Duration = Duration(10)
    #: Spans in one request.
    batch: Annotated[int, Meta(ge=1, le=10_000)] = 512


def missing() -> bool:
    """Whether what the extra installs is not there."""
    try:
        return any(importlib.util.find_spec(name) is None for name in _MODULES)
    except ModuleNotFoundError:
        return True
