"""The first lines: whether the night is well, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text

from overnight.dashboard.glance import LITTLE_DISK, Gauge, Glance
from overnight.dashboard.words import clock, money, span
from overnight.missions.units import show_size
from overnight.watch.ink import SIGNS, Ink, Styles
from overnight.watch.look import Look

#: Cells of a gauge.
BAR = 8
#: Lines of facts at most.
MOST = 3
Fact = tuple[str, str]


def verdict(look: Look) -> Fact:
    """(tone, the night in a few words)"""
    glance, health = look.glance, look.health
    if look.trouble:
        return "bad", "The journal can't be read"
    if health is not None and health.state == "down":
        return "bad", "The daemon does not run"
    if health is not None and health.state == "hung":
        return "bad", "The daemon does not answer"
    if glance is None or health is None:
        return "dim", "Looking …"
    now = glance.now
    if now.needs_person_count:
        many = now.needs_person_count
        return "warn", "One task needs you" if many == 1 else f"{many} tasks need you"
    if any(pause.repo is None for pause in now.pauses):
        return "warn", "Everything is paused"
    if now.shut:
        return "warn", f"{now.shut[0].name} does not work"
    if now.active_count:
        return "good", "All is well"
    return "good", "All is quiet" if now.queued_count or now.waiting_count else "Nothing to do"


def strip(look: Look, ink: Ink, width: int, styles: Styles) -> Text:
    """All of it, at a width."""
    tone, words = verdict(look)
    head = Text(no_wrap=True)
    head.append(f" {SIGNS[tone]} ", styles(tone))
    head.append(ink.line(words), styles("head") + styles(tone))
    sub = _sub(look.glance)
    if sub and width - head.cell_len > cell_len(sub) + 4:
        head.append(f"   {sub}", styles("dim"))
    lines, line, used = [head], Text(no_wrap=True), 1
    line.append(" ")
    for fact_tone, text in _facts(look, ink):
        size = cell_len(text) + (3 if used > 1 else 0)
        if used + size > width - 1 and used > 1:
            lines.append(line)
            line, used = Text(" ", no_wrap=True), 1
            size = cell_len(text)
        if used > 1:
            line.append(" │ ", styles("dim"))
        line.append(text, styles(fact_tone))
        used += size
    lines.append(line)
    for each in lines:
        each.truncate(max(1, width), overflow="ellipsis")
    return Text("\n").join(lines[: 1 + MOST])


def _sub(glance: Glance | None) -> str:
    if glance is None:
        return ""
    now = glance.now
    counts = now.ended_counts
    return (
        f"{now.active_count} running · {now.queued_count} queued · {counts.get('landed', 0)} landed and "
        f"{counts.get('failed', 0)} failed in a day"
    )


def _facts(look: Look, ink: Ink) -> Iterator[Fact]:
    yield _daemon(look)
    match look.watchdog:
        case True:
            yield "", "watchdog watches"
        case False:
            yield "warn", "! no watchdog"
        case None:
            yield "dim", "watchdog unknown"
    glance = look.glance
    if look.trouble:
        yield "bad", f"{SIGNS['bad']} {ink.line(look.trouble)}"
    if glance is None:
        return
    for pause in glance.now.pauses:
        yield "warn", f"! {ink.line(pause.repo or 'everything')} paused by {ink.line(pause.by)}"
    for account in glance.now.shut:
        yield "bad", f"{SIGNS['bad']} {ink.line(account.name)} does not work: {ink.line(account.why, 60)}"
    little = glance.disk_free < LITTLE_DISK
    yield ("bad" if little else ""), f"{'✗ ' if little else ''}disk {show_size(glance.disk_free)} free"
    yield from _spent(glance)
    for gauge in glance.gauges:
        yield gauge.tone if gauge.tone in ("warn", "bad") else "", _gauge(gauge, ink)


def _daemon(look: Look) -> Fact:
    health = look.health
    if health is None:
        return "dim", "asking the daemon …"
    if health.state == "up" and health.daemon is not None:
        return "good", f"✓ daemon since {clock(health.daemon.since)}"
    if health.state == "hung":
        age = f" for {span(health.heartbeat_age)}" if health.heartbeat_age is not None else ""
        return "bad", f"✗ the daemon hangs{age}"
    return "bad", "✗ no daemon: `overnight up` starts one"


def _spent(glance: Glance) -> Iterator[Fact]:
    """Where no limit makes a gauge of it, the day's sum all the same."""
    for each in glance.spent.spent:
        if each.repo is None and each.span == "day" and not each.limits:
            unknown = f" and {each.unpriced} unknown" if each.unpriced else ""
            yield "", f"today {money(each.usd)}{unknown}"


def _gauge(gauge: Gauge, ink: Ink) -> str:
    name = " ".join(part for part in (ink.line(gauge.of, 24), gauge.label.lower()) if part)
    if gauge.percent is None:
        return f"{name} unknown"
    full = min(BAR, max(0, round(gauge.percent * BAR / 100)))
    mark = "!" if gauge.percent >= 75 else ""
    until = f" until {clock(gauge.until)}" if gauge.until is not None and gauge.until > time.time() else ""
    return f"{name} {'█' * full}{'░' * (BAR - full)} {mark}{gauge.detail}{until}"
