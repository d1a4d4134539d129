"""The model of the Now page: one verdict, what needs you, what goes on, what it costs."""

from __future__ import annotations

import shutil
import threading
import time
from typing import Literal

from msgspec import Struct

from overnight.api.site import Health, Site
from overnight.judge.budget import show_amount
from overnight.report.budget import BudgetView, read_budget
from overnight.report.journal import reading, snapshot
from overnight.report.limits import AccountView, LimitsView, WindowView, read_limits
from overnight.report.now import NowView
from overnight.report.wants import Want, wants

Tone = Literal["good", "warn", "bad", "idle"]
#: Bytes of the state folder's disk below which one is warned.
LITTLE_DISK = 2 << 30


class Gauge(Struct, frozen=True, kw_only=True):
    """A part of a whole."""

    #: Key of its name, and what fills it.
    label: str
    of: str = ""
    #: 0 to 100 and beyond; null is unknown.
    percent: float | None
    #: In words: what is used, of how much.
    detail: str
    #: Epoch seconds at which it begins anew.
    until: float | None = None
    tone: Tone = "good"


class Glance(Struct, frozen=True, kw_only=True):
    """One look."""

    health: Health
    now: NowView
    wants: tuple[Want, ...]
    spent: BudgetView
    gauges: tuple[Gauge, ...]
    disk_free: int
    tone: Tone


class Glances:
    """The latest one; made again when what it stands on was read again."""

    def __init__(self, site: Site) -> None:
        self._site, self._lock = site, threading.Lock()
        self._made: tuple[NowView, Health, Glance] | None = None

    def look(self) -> Glance:
        """From any thread."""
        now, health = self._site.now(), self._site.health()
        with self._lock:
            if self._made is not None and self._made[0] is now and self._made[1].state == health.state:
                return self._made[2]
            made = _glance(self._site, now, health)
            self._made = now, health, made
            return made


def _glance(site: Site, now: NowView, health: Health) -> Glance:
    at = time.time()
    with reading(site.home) as db, snapshot(db):
        wanted = wants(db, now.needs_person)
        spent = read_budget(db, site.machine.budget, at)
        seen = read_limits(db, site.home, site.machine.ceilings, at)
    free = shutil.disk_usage(site.home).free
    tone: Tone = "good"
    if now.needs_person_count or now.pauses or now.shut:
        tone = "warn"
    if health.state != "up" or free < LITTLE_DISK:
        tone = "bad"
    return Glance(
        health=health, now=now, wants=wanted, spent=spent, disk_free=free, tone=tone,
        gauges=(*_spend(spent), *_windows(seen)),
    )  # fmt: skip


def _spend(view: BudgetView) -> list[Gauge]:
    found = list[Gauge]()
    for each in view.spent:
        if each.percent is None or not each.limits:
            continue
        found.append(Gauge(
            label={"day": "Today", "month": "This month", "all": "Ever"}[each.span], of=each.repo or "",
            percent=float(each.percent), detail=f"${each.usd:,.2f} / {show_amount(each.limits[0])}", until=each.until,
            tone=tone_of(each.percent),
        ))  # fmt: skip
    return found


def tone_of(percent: float) -> Tone:
    """How full is too full."""
    return "bad" if percent >= 90 else "warn" if percent >= 75 else "good"


def _windows(seen: LimitsView) -> list[Gauge]:
    return [window_gauge(account, window) for account in seen.accounts for window in account.windows]


def window_gauge(account: AccountView, window: WindowView) -> Gauge:
    """One of a vendor's limits."""
    percent = None if window.used is None else window.used * 100
    tone: Tone = "idle" if percent is None else tone_of(percent)
    return Gauge(
        label=window.name, of=account.name, percent=percent, until=window.resets,
        detail="?" if percent is None else f"{percent:.0f} %", tone="bad" if window.status == "rejected" else tone,
    )  # fmt: skip
