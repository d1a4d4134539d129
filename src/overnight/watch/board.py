"""What is looked at first, as lines: needs you, running, waiting, queued, ended. And one line of any task."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from overnight.dashboard.words import clock, money, span
from overnight.missions.judging import BLOCKED
from overnight.missions.task import Phase
from overnight.report.costs import CostView
from overnight.report.now import NowView
from overnight.report.views import HoldView, State, TaskRow
from overnight.report.wants import Want
from overnight.watch.ink import SIGNS, Cell, Ink, Line, join
from overnight.watch.look import Look

#: Columns of the word that a line begins with, and below which a list keeps to what matters most.
WORD, ROOMY = 17, 96
#: Columns at which a sentence is wrapped.
_WRAP = 60
_ENDS: dict[str, str] = {Phase.LANDED: "good", Phase.FAILED: "bad", Phase.REJECTED: "bad"}
_WANTS = {"pause": "pausing", "stop": "stopping", "cancel": "cancelling"}


def board(look: Look, ink: Ink) -> tuple[list[Line], dict[str, TaskRow]]:
    """(lines, task of each key)"""
    glance = look.glance
    if glance is None:
        words = wrap(ink.line(look.trouble), _WRAP) if look.trouble else ["Looking …"]
        return [Line((Cell(each, "dim"),), indent=2) for each in words], {}
    now = glance.now
    lines = [*_sections(look, now, glance.wants, ink)]
    if not lines:
        lines = [*_empty(now)]
    rows = {row.id: row for row in (*now.needs_person, *now.active, *now.waiting, *now.queued, *now.ended)}
    return lines, rows


def _sections(look: Look, now: NowView, wanted: tuple[Want, ...], ink: Ink) -> Iterator[Line]:
    if now.needs_person_count:
        yield from _head("Needs you", now.needs_person_count, len(wanted))
        for want in wanted:
            yield from _need(want, look.costs.get(want.row.id), now.at, ink)
    if now.active_count:
        yield from _head("Running", now.active_count, len(now.active))
        for row in now.active:
            yield from _active(row, look.costs.get(row.id), ink)
    if now.waiting_count:
        yield from _head("Waiting", now.waiting_count, len(now.waiting))
        for row in now.waiting:
            yield from _waiting(row, now.at, ink)
    if now.queued_count:
        yield from _head("Queued", now.queued_count, len(now.queued))
        for row in now.queued:
            yield _line(row, "queued", "dim", f"priority {row.priority}" if row.priority else "", ink, group="queued")
    if now.ended:
        counts = join([f"{n} {phase}" for phase, n in sorted(now.ended_counts.items())], ", ")
        yield from _head("Ended in a day", sum(now.ended_counts.values()), len(now.ended), counts)
        for row in now.ended:
            yield _ended(row, ink, clock(row.since, now.at))


def _empty(now: NowView) -> Iterator[Line]:
    texts = ("Nothing to do.",) if now.repos else (
        "A quiet night: nothing is registered yet. In a repository:", "", "    overnight init",
        '    overnight add "fix the login"', "    overnight up",
    )  # fmt: skip
    yield Line(())
    for text in texts:
        yield Line((Cell(text, "dim" if text.startswith(" ") else "strong"),), indent=2)


def _head(title: str, count: int, shown: int, more: str = "") -> Iterator[Line]:
    left = f"the first {shown} of {count}; 2 lists all" if shown < count else ""
    yield Line(())
    yield Line((Cell(f"{title}  {count}", "head", share=1), Cell(left or more, "dim", right=True)), indent=1)


def _line(
    row: TaskRow, word: str, tone: str, detail: str, ink: Ink, *, group: str, at: str | None = None, paid: str = ""
) -> Line:
    when = Cell("", "dim", 8, right=True, since=row.since) if at is None else Cell(at, "dim", 8, right=True)
    cells = (
        Cell(f"{SIGNS[tone]} {word}", tone, WORD),
        Cell(ink.line(row.title), "strong", share=3),
        Cell(detail, "dim", share=3, least=ROOMY),
        Cell(ink.line(row.repo), "dim", 12, least=ROOMY),
        Cell(paid, "", 7, right=True, least=60),
        when,
    )
    return Line(cells, row.id, group, indent=2)


def _more(row: TaskRow, tone: str, text: str) -> Line:
    return Line((Cell(text, tone),), row.id, more=True, indent=WORD + 4)


def _need(want: Want, cost: CostView | None, now: float, ink: Ink) -> Iterator[Line]:
    row, hold = want.row, want.row.hold
    assert hold is not None
    facts = ""
    if want.examined is not None:
        risk = want.examined.risk
        files = f"{len(want.changed)} file{'' if len(want.changed) == 1 else 's'}"
        facts = f"risk {risk.score} {risk.band} · {files}"
    yield _line(row, hold.reason, "warn", facts, ink, group="needs", paid=_paid(cost))
    blocked = hold.why.startswith(BLOCKED)
    yield _more(row, "bad" if blocked else "", ink.line(hold.why))
    if hold.until is not None:
        yield _more(row, "dim", f"{hold.then or 'tried again'} {clock(hold.until, now)}")
    for asked in want.questions[:3]:
        yield _more(row, "", f"? {ink.line(asked.text)}")


def _active(row: TaskRow, cost: CostView | None, ink: Ink) -> Iterator[Line]:
    yield _line(row, doing(row), "busy", "", ink, group="active", paid=_paid(cost))
    if row.last is not None:
        yield _more(row, "dim", ink.line(row.last.text))


def _waiting(row: TaskRow, now: float, ink: Ink) -> Iterator[Line]:
    yield _line(row, row.hold.reason if row.hold else "waiting", "dim", "", ink, group="waiting")
    yield _more(row, "dim", ink.line(waits(row.hold, now)) if row.hold else f"{doing(row)}: for its turn")


def _ended(row: TaskRow, ink: Ink, at: str) -> Line:
    why = ink.line(row.ending.why) if row.ending else ""
    return _line(row, row.phase, _ENDS.get(row.phase, "dim"), why, ink, group="ended", at=at)


def ledger_line(row: TaskRow, ink: Ink) -> Line:
    """Any task."""
    if row.state is State.ENDED:
        return _ended(row, ink, clock(row.since))
    tone = "warn" if row.hold is not None and row.hold.needs_person else "busy" if row.state is State.ACTIVE else "dim"
    word = row.hold.reason if row.hold else doing(row) if row.state is State.ACTIVE else str(row.state)
    detail = row.hold.why if row.hold else row.last.text if row.last else ""
    return _line(row, word, tone, ink.line(detail), ink, group="all")


def doing(row: TaskRow) -> str:
    """`running 2`, `checking`, `stopping 2`."""
    word = _WANTS[row.want] if row.want else row.phase
    return f"{word} {row.run}" if row.run is not None and row.phase in ("running", "checking") else word


def waits(hold: HoldView, now: float) -> str:
    """Why a task waits, and what ends that."""
    if hold.until is not None:
        return f"{hold.why}; {hold.then or 'tried again'} at {clock(hold.until, now)} (in {span(hold.until - now)})"
    return f"{hold.why} → {hold.releases_on}"


def _paid(cost: CostView | None) -> str:
    return "" if cost is None or (not cost.usd and not cost.unknown) else cost_words(cost)


def cost_words(cost: CostView) -> str:
    """What is not known is not none."""
    return f"≥{money(cost.usd)}" if cost.unknown else money(cost.usd)
