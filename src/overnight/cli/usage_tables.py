"""`overnight usage` on paper: as much of the table as the terminal is wide."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

from overnight.cli.paper import Paper, Part, terminal
from overnight.cli.words import count, listed, since
from overnight.missions.units import show_duration
from overnight.report.forecast import ForecastView, WindowSeen
from overnight.report.usage import UNDATED, YOURS, UsageRow, UsageView, local

BARS = "▁▂▃▄▅▆▇█"
#: Widths from which on a table has more columns.
WIDE, MIDDLE = 110, 72
_HEADS = {"daily": "day", "weekly": "week", "monthly": "month", "block": "five hours from"}


def width() -> int:
    """Columns of the terminal; as many as needed where there is none."""
    return shutil.get_terminal_size().columns if terminal() or "COLUMNS" in os.environ else 200


def draw(found: UsageView, zone: ZoneInfo | None, columns: int | None = None) -> Paper:
    """Rows, their sum, what is left of limits. columns: how wide it may be."""
    paper, wide = Paper(), width() if columns is None else columns
    if not found.rows:
        return _nothing(paper, found)
    heads, cells = _columns(found, zone, wide)
    rows: list[list[Part]] = [[(head, "dim") for head in heads]]
    rows += [cells(row) for row in found.rows]
    rows.append([(text if isinstance(text, str) else text[0], "bold") for text in cells(found.total)])
    paper.grid(rows)
    _below(paper, found, wide)
    return paper


def _nothing(paper: Paper, found: UsageView) -> Paper:
    paper.line("Nothing was used there.")
    if found.logs:
        paper.line(f"{count(found.logs, 'log')} of agents hold nothing that fits.")
    elif found.roots:
        paper.line(f"No log of an agent is in {listed(found.roots)}.")
    else:
        paper.line(
            "No agent's logs were found. `overnight usage --from claude=FOLDER` looks in another folder; "
            "so does [usage] in the settings."
        )
    return paper


def _columns(found: UsageView, zone: ZoneInfo | None, wide: int) -> tuple[list[str], Callable[[UsageRow], list[Part]]]:
    """Heads, and what makes the cells of a row."""
    own = any(row.own_tokens or row.own_cost for row in found.rows) and found.by != "task"
    named = found.by == "session"
    short = wide < MIDDLE

    def cells(row: UsageRow) -> list[Part]:
        tokens, number = row.tokens, _short if wide < WIDE else _full
        made: list[Part] = [_name(row, found, short)]
        if wide >= WIDE:
            made += [number(n) for n in (tokens.input, tokens.output, tokens.cache_write, tokens.cache_read)]
        elif not short:
            made += [number(tokens.prompt), number(tokens.output)]
        else:
            made.append(number(tokens.total))
        made.append(_money(row))
        if own:
            made.append((f"{row.own_cost:.2f}", "cyan") if row.own_tokens or row.own_cost else "")
        if named and not short:
            made += [_when(row, zone), _cut(row.repo or row.folder.rpartition("/")[2], 20)]
        elif found.by != "model" and not short:
            made.append(listed(row.models, 3))
        return made

    heads = [_HEADS.get(found.by, found.by)]
    heads += ["input", "output", "into cache", "from cache"] if wide >= WIDE else []
    heads += ["tokens"] if short else ["read", "written"] if wide < WIDE else []
    heads.append("USD")
    heads += ["Overnight's"] if own else []
    if named and not short:
        heads += ["last", "project"]
    elif found.by != "model" and not short:
        heads.append("models")
    return heads, cells


def _name(row: UsageRow, found: UsageView, short: bool) -> Part:
    """What a row is of; Overnight's own in colour and with a mark."""
    if row is found.total:
        return "total"
    if found.by == "block" and row.name != UNDATED:
        return f"{row.name[:16]} {row.agent}"
    if found.by != "session":
        mark = found.by == "task" and row.name != YOURS
        return (f"* {row.name}", "cyan") if mark else row.name
    name = row.task or (row.name[:8] if len(row.name) == 36 or short else row.name)
    return (f"* {name}", "cyan") if row.task else name


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _when(row: UsageRow, zone: ZoneInfo | None) -> str:
    return "" if row.last is None else f"{local(row.last, zone):%Y-%m-%d %H:%M}"


def _money(row: UsageRow) -> str:
    """The known part; `+ unpriced` where there is more."""
    known = f"{row.cost:.2f}" if row.cost or not row.unpriced else ""
    return " + ".join(part for part in (known, "unpriced" if row.unpriced else "") if part)


def _full(n: int) -> str:
    return f"{n:,}"


def _short(n: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if n >= size:
            return f"{n / size:.3g}{unit}" if n < 1000 * size else f"{n // size}{unit}"
    return str(n)


# -- below the table ----------------------------------------------------------------------------------------


def _below(paper: Paper, found: UsageView, wide: int) -> None:
    paper.gap()
    if found.by in ("daily", "weekly", "monthly", "block") and (line := _sparkline(found.rows, wide)):
        paper.line(line)
    notes = list(_notes(found))
    for text in notes:
        paper.line((text, "dim"))
    _limits(paper, found)


def _notes(found: UsageView) -> list[str]:
    total, notes = found.total, list[str]()
    if total.unpriced:
        models = listed(total.unpriced_models)
        notes.append(
            f"{count(total.unpriced, 'answer')} without a known price ({models}): [prices] in the settings names one."
        )
    if total.unknown:
        notes.append(f"{count(total.unknown, 'answer')} did not say what they used: they are in no figure.")
    if total.own_tokens or total.own_cost:
        share = f" ({100 * total.own_cost / total.cost:.0f} %)" if total.cost else ""
        notes.append(f"Overnight itself: {total.own_cost:.2f} USD{share}, {_full(total.own_tokens)} tokens.")
    notes.append("US dollars at list prices, whoever pays.")
    return notes


def _sparkline(rows: Sequence[UsageRow], wide: int) -> str:
    """The latest rows' cost as bars, of their tokens where nothing has a price."""
    dated = [row for row in rows if row.name != UNDATED][-min(60, max(8, wide - 20)) :]
    if len(dated) < 2 or "utf" not in (sys.stdout.encoding or "").lower():
        return ""
    priced = any(row.cost for row in dated)
    values = [row.cost if priced else Decimal(row.tokens.total) for row in dated]
    most = max(values)
    if not most:
        return ""
    bars = "".join(BARS[min(len(BARS) - 1, int(value * len(BARS) / most))] if value else " " for value in values)
    return f"{bars}  {'USD' if priced else 'tokens'}, at most {f'{most:.2f}' if priced else _short(int(most))}"


def _limits(paper: Paper, found: UsageView) -> None:
    """The five hours under way and every window that somebody told of."""
    for each in found.forecasts:
        paper.gap().line((f"{each.agent}, five hours under way", "bold"))
        for text in _under_way(each):
            paper.line(text, indent=2)
    paper.gap().line(("Limits", "bold"))
    paper.grid([_window(each, found.at) for each in found.windows], indent=2)
    if not found.windows:
        paper.line("unknown: nobody told of any", indent=2)


def _under_way(each: ForecastView) -> list[str]:
    end = "" if each.source == "vendor" else " by our guess; the vendor's own end is not known"
    lines = [f"{show_duration(each.left)} left{end}"]
    spent = "unpriced" if each.cost is None else f"{each.cost:.2f} USD"
    lines.append(f"used: {spent}, {_full(each.tokens)} tokens")
    if each.tokens_minute is None or each.range_tokens is None or each.likely_tokens is None:
        return [*lines, "too little to say how it goes on"]
    rate = "" if each.cost_hour is None else f"{each.cost_hour:.2f} USD an hour, "
    lines.append(f"pace: {rate}{_short(round(each.tokens_minute))} tokens a minute")
    low, high = each.range_tokens
    lines.append(f"at the end: {_short(each.likely_tokens)} tokens ({_short(low)} to {_short(high)})")
    if each.likely_cost is not None and each.range_cost is not None:
        lines[-1] += f", {each.likely_cost:.2f} USD ({each.range_cost[0]:.2f} to {each.range_cost[1]:.2f})"
    return lines


def _window(each: WindowSeen, now: float) -> list[Part]:
    used = "unknown" if each.used is None else f"{each.used:.0%} used"
    if each.status == "rejected":
        used = "used up"
    left = f"begins anew in {show_duration(each.resets - now)}" if each.resets is not None else "reset unknown"
    return [each.account, each.name, used, left, f"{each.source}, {since(each.seen, now)} ago"]
