"""`/metrics`: figures for Prometheus, in its text format."""

from __future__ import annotations

import time
from collections.abc import Iterable

from overnight.api.site import Site
from overnight.report.budget import read_budget
from overnight.report.journal import reading, snapshot
from overnight.report.limits import read_limits

_Labels = dict[str, str]


class _Page:
    def __init__(self) -> None:
        self._lines = list[str]()

    def add(self, name: str, kind: str, text: str, values: Iterable[tuple[_Labels, float]]) -> None:
        """One figure with its samples; one without samples is left out."""
        found = list(values)
        if not found:
            return
        self._lines += [f"# HELP overnight_{name} {text}", f"# TYPE overnight_{name} {kind}"]
        for labels, value in found:
            inner = ",".join(f'{key}="{_escaped(each)}"' for key, each in labels.items())
            self._lines.append(f"overnight_{name}{f'{{{inner}}}' if inner else ''} {value:.17g}")

    def text(self) -> str:
        return "\n".join([*self._lines, ""])


def metrics(site: Site, streams: int) -> str:
    """Everything that is counted. streams: how many live streams are open. What is not known has no sample: unknown is never zero."""
    page, now = _Page(), site.now()
    health, at = site.health(), time.time()
    with reading(site.home) as db, snapshot(db):
        spent = read_budget(db, site.machine.budget, at)
        accounts = read_limits(db, site.home, site.machine.ceilings, at).accounts
    page.add("up", "gauge", "1 while the daemon answers.", [({}, float(health.state == "up"))])
    if health.heartbeat_age is not None:
        page.add("heartbeat_age_seconds", "gauge", "Since the daemon last answered.", [({}, health.heartbeat_age)])
    counts = {
        "needs_person": now.needs_person_count,
        "active": now.active_count,
        "waiting": now.waiting_count,
        "queued": now.queued_count,
    }
    page.add("tasks", "gauge", "Tasks that have not ended.", [({"state": key}, n) for key, n in counts.items()])
    ended = [({"phase": phase}, float(n)) for phase, n in sorted(now.ended_counts.items())]
    page.add("tasks_ended_day", "gauge", "Tasks that ended within the last 24 hours.", ended)
    page.add("paused", "gauge", "1 while everything is paused.", [({}, float(any(p.repo is None for p in now.pauses)))])
    page.add("streams", "gauge", "Live streams that are open.", [({}, float(streams))])
    page.add("journal_events_total", "counter", "Events in the journal, ever.", [({}, float(site.pulse.seq))])
    ever = [each for each in spent.spent if each.span == "all" and each.repo is None]
    page.add("spent_usd_total", "counter", "Dollars billed by use, ever.", [({}, float(each.usd)) for each in ever])
    page.add("tokens_total", "counter", "Tokens of runs, ever.", [({}, float(each.tokens)) for each in ever])
    unpriced: list[tuple[_Labels, float]] = [({}, float(each.unpriced)) for each in ever]
    page.add("runs_unpriced_total", "counter", "Runs whose cost is not known.", unpriced)
    percents = [({"span": each.span, "repo": each.repo or ""}, each.percent / 100.0) for each in spent.spent
                if each.percent is not None]  # fmt: skip
    page.add("budget_used_ratio", "gauge", "Part of the tightest limit that is spent.", percents)
    windows = [({"account": account.name, "window": window.name}, window.used)
               for account in accounts for window in account.windows if window.used is not None]  # fmt: skip
    page.add("limit_used_ratio", "gauge", "Part of a vendor's limit that is used.", windows)
    works = [({"account": account.name}, float(account.cause is None)) for account in accounts]
    page.add("account_works", "gauge", "1 while runs start with the account.", works)
    return page.text()


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
