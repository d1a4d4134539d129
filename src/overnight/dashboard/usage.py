"""The page of Usage: days and models as a chart, the table behind it, windows and what they may come to; until the logs are
read, how far that is."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from overnight.api.logs import Reading
from overnight.api.looks import usage
from overnight.api.shapes import UsageQuery
from overnight.api.site import Site
from overnight.dashboard.glance import window_gauge
from overnight.dashboard.shared import Pages
from overnight.durable.ledger import PARTS
from overnight.report.budget import budget, settled_by_repo
from overnight.report.journal import reading
from overnight.report.limits import limits
from overnight.report.usage import UNDATED

#: Days of the chart.
DAYS = 30
#: How far the logs are read is looked at so often, in seconds.
LOOK_S = 0.5


def model(site: Site) -> dict[str, Any]:
    """Everything of the page."""
    daily = usage(site, UsageQuery(by="daily"))
    days = [row for row in daily.rows if row.name != UNDATED][-DAYS:]
    chart = {
        "days": [row.name for row in days],
        "own": [float(row.own_cost) for row in days],
        "yours": [float(row.cost - row.own_cost) for row in days],
    }
    seen = limits(site.home, site.machine.ceilings, time.time())
    return {
        "daily": daily, "days": list(reversed(days)), "chart": json.dumps(chart),
        "models": usage(site, UsageQuery(by="model")).rows[:30], "tasks": usage(site, UsageQuery(by="task")).rows[-30:],
        "repos": _repos(site), "spent": budget(site.home, site.machine.budget, time.time()),
        "gauges": [window_gauge(account, window) for account in seen.accounts for window in account.windows],
        "limits": seen, "now": time.time(),
    }  # fmt: skip


def _repos(site: Site) -> list[dict[str, Any]]:
    """What runs took in each repo, ever; the dearest first."""
    with reading(site.home) as db:
        return [{**dict(row), "usd": Decimal(row["usd"]) / PARTS} for row in settled_by_repo(db)[:30]]


async def page(pages: Pages, request: Request) -> Response:
    """The page; while logs are read first, how far that is."""
    reading = await pages.busy.run(pages.site.logs.begin)
    if reading.state == "ready":
        return await pages.page(request, "usage.html", lambda: model(pages.site))
    return await pages.page(request, "reading.html", lambda: _seen(reading))


async def live(pages: Pages, request: Request) -> Response:
    """How far the logs are read, until they are: then the page is fetched."""
    language = pages.language(request)

    def draw() -> str:
        return pages.drawer.draw("_reading.html", language, **_seen(pages.site.logs.look()))

    return pages.live(request, draw, LOOK_S)


def _seen(reading: Reading) -> dict[str, Any]:
    return {"reading": reading, "now": time.time()}
