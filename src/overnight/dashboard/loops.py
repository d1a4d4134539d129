"""The model of Loops and schedule: what comes by itself, and what begins work by itself today."""

from __future__ import annotations

import time
from itertools import groupby
from typing import Any

from overnight.api.looks import coming
from overnight.api.site import Site
from overnight.dashboard.words import day
from overnight.report.schedule import Coming


def model(site: Site) -> dict[str, Any]:
    """Everything of the page. days: (epoch seconds of its first, what comes), one after the other."""
    found, now = coming(site), time.time()
    days = [list(each) for _, each in groupby(found.coming, key=lambda each: day(each.at))]
    return {"days": [(_first(each), each) for each in days], "tasks": found.tasks, "now": now}


def _first(coming: list[Coming]) -> float:
    return coming[0].at
