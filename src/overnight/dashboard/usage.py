"""The model of Usage: days and models as a chart, the table behind it, windows and what they may come to."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

from overnight.api.looks import usage
from overnight.api.shapes import UsageQuery
from overnight.api.site import Site
from overnight.dashboard.glance import window_gauge
from overnight.durable.ledger import PARTS
from overnight.report.budget import budget, settled_by_repo
from overnight.report.journal import reading
from overnight.report.limits import limits
from overnight.report.usage import UNDATED

#: Days of the chart.
DAYS = 30


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
