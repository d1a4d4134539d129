"""One task's texts: its head, and what stands on each tab."""

from __future__ import annotations

import time
from collections.abc import Sequence

from overnight.api.shapes import Diff
from overnight.dashboard.timeline import Item
from overnight.dashboard.words import many, money, short, span, stamp
from overnight.judge.verdict import Opinion
from overnight.missions.hold import HoldReason
from overnight.missions.judging import BLOCKED
from overnight.report.views import HoldView, RunView, State, TaskStory
from overnight.watch.board import cost_words, doing, waits
from overnight.watch.ink import SIGNS, join
from overnight.watch.look import Evidence, Told
from overnight.watch.page import Page, Sheaf
from overnight.watch.tail import Entry

#: Columns of a moment, and of the sign after it.
_TIME, _SIGN = 10, 2
_LINES = {"add": "good", "del": "bad", "hunk": "busy", "ctx": ""}
_KEYS: dict[str, str] = {
    HoldReason.NEEDS_APPROVAL: "a approves, x rejects, 3 shows the change",
    HoldReason.JUDGES_DISAGREE: "a approves, x rejects, 4 shows what judges said",
    HoldReason.NEEDS_ANSWER: "w answers",
    HoldReason.PAUSED: "p goes on",
}
#: Files of a change that are named in one line.
_NAMED = 12


# -- head ---------------------------------------------------------------------------------------------------


def head(told: Told, page: Page) -> Sheaf:
    """What it is, where it stands, what it waits for."""
    story, row, now = told.story, told.story.row, time.time()
    task = story.task
    page.line((row.title, "head"))
    word = row.phase if row.state is State.ENDED else "held" if row.hold is not None else doing(row)
    tone = _tone(story)
    cost = "" if not told.cost.usd and not told.cost.unknown else cost_words(told.cost)
    since = f"{'at ' + stamp(row.since) if row.state is State.ENDED else 'for ' + span(now - row.since)}"
    page.line(
        (f"{SIGNS[tone]} {word} ", tone), (join([since, f"{task.repo.name} → {task.repo.target}", row.id, cost]), "dim")
    )
    if row.hold is not None:
        blocked = row.hold.why.startswith(BLOCKED)
        page.line((f"{row.hold.reason}: ", "warn"), (_why(row.hold, now), "bad" if blocked else ""), hang=2)
    if row.ending is not None:
        page.line((row.ending.why, tone), (f" {short(row.ending.commit)}" if row.ending.commit else "", "dim"))
    if story.pull is not None:
        page.line((f"pull request {story.pull.url} ({story.pull.state})", "dim"))
    return page.text


def _why(hold: HoldView, now: float) -> str:
    """What a key of this screen releases is not told as a command."""
    keys = _KEYS.get(hold.reason)
    return waits(hold, now) if keys is None or hold.until is not None else f"{hold.why} → {keys}"


def _tone(story: TaskStory) -> str:
    row = story.row
    if row.state is State.ENDED:
        return {"landed": "good", "failed": "bad", "rejected": "bad"}.get(row.phase, "dim")
    return "warn" if row.hold is not None and row.hold.needs_person else "busy" if row.state is State.ACTIVE else "dim"


# -- story --------------------------------------------------------------------------------------------------


def timeline(told: Told, page: Page) -> Sheaf:
    """From the words to the end."""
    task = told.story.task
    lines = task.text.strip().splitlines()
    if lines != [task.title]:
        page.verbatim("\n".join(lines[:20]), "dim").gap()
    for question in told.want.questions:
        page.line((f"? {question.text}", "warn"))
        for k, choice in enumerate(question.choices):
            page.line((f"    {letter(k)}  {choice}", ""))
    for item in told.items:
        _item(page, item)
    for asked in told.story.row.questions:
        page.gap().line(("! wants to know: ", "warn"), asked.text).line(
            ("    its own words: ", "dim"), f"“{asked.data}”"
        )
    return page.text


def _item(page: Page, item: Item) -> None:
    when = "now" if item.at is None else stamp(item.at)
    hang = _TIME + _SIGN
    sign = (f"{SIGNS[item.tone]} ", item.tone)
    page.line((f"{when:<{_TIME}}", "dim"), sign, (item.title, item.tone or "strong"), hang=hang)
    pad = " " * hang
    for check in item.checks:
        word, tone = ("passed", "good") if check.passed else ("failed", "bad")
        how = "time limit" if check.code is None else f"exit {check.code}"
        words = f"{check.name} ({how}, {span(check.seconds)}) {check.proof}"
        page.line(pad, (f"{SIGNS[tone]} {word} ", tone), (words, "dim"), hang=hang + _SIGN)
    for tone, words in item.detail:
        page.line(pad, (words, tone), hang=hang)


# -- live ---------------------------------------------------------------------------------------------------


def live(entries: Sequence[Entry], run: str | None, page: Page) -> Sheaf:
    """The stream of a run."""
    if run is None:
        return page.line(("No run of it has begun yet.", "dim")).text
    page.line((f"run {run}", "dim"))
    if not entries:
        page.line(("Nothing of it is on record: it has just begun, or its folder was removed.", "dim"))
    hang = _TIME + _SIGN
    for entry in entries:
        when = f"{stamp(entry.at) if entry.at is not None else '':<{_TIME}}"
        if entry.tool:
            verdict = (f"  {entry.verdict or 'not decided yet'}", entry.tone)
            page.line((when, "dim"), (f"{SIGNS[entry.tone]} ", entry.tone), (f"{entry.tool} ", "strong"), entry.text, verdict,
                      (f"  {entry.end}" if entry.end else "", "dim"), hang=hang)  # fmt: skip
            if entry.result:
                page.line(" " * hang, (f"→ {entry.result}", "dim"), hang=hang + _SIGN)
        else:
            sign = f"{SIGNS['bad'] if entry.tone == 'bad' else ' '} "
            page.line((when, "dim"), (sign, entry.tone), (entry.text, entry.tone), hang=hang)
    return page.text


# -- change and evidence --------------------------------------------------------------------------------------


def change(diff: Diff, page: Page) -> Sheaf:
    """A patch, with marks where the proof was bent."""
    if not diff.files:
        return page.line(("It changed nothing.", "dim")).text
    page.line((f"{short(diff.base)} → {short(diff.commit)}, {count(len(diff.files), 'file')}", "dim"))
    for file in diff.files:
        was = f" (was {file.was})" if file.was else ""
        page.gap().line(
            (f"{file.path}{was} ", "head"), (f"{file.how} +{file.added} −{file.removed} {file.sort}", "dim")
        )
        for mark in file.marks:
            page.line((f"✗ {mark}", "bad"))
        for line in file.lines:
            sign = {"add": "+", "del": "-", "ctx": " ", "hunk": ""}[line.kind]
            page.verbatim(f"{sign}{line.text}", _LINES[line.kind])
    if diff.cut:
        page.gap().line(("It goes on: `overnight diff` shows all of it.", "warn"))
    return page.text


def evidence(found: Evidence | None, page: Page) -> Sheaf:
    """Judges first, then what they were given."""
    if found is None:
        return page.line(("No result of it has passed its checks yet.", "dim")).text
    judges(found.opinions, page)
    page.gap()
    for line in found.text.split("\n"):
        fence = line.startswith(("<<< ", ">>> "))
        page.verbatim(line, "dim" if fence else "head" if line.startswith("#") else "")
    return page.text


def judges(opinions: Sequence[Opinion], page: Page) -> None:
    """What each said."""
    if not opinions:
        page.line(("No judge looked at it.", "dim"))
    for each in opinions:
        paid = join([money(each.cost), span(each.took), f"{each.family} {each.model}"])
        if each.said is None:
            page.line((f"! {each.judge} gave no verdict: ", "warn"), each.why, (f" {paid}", "dim"))
            continue
        tone = {"PASS": "good", "FAIL": "bad"}.get(str(each.said.verdict), "warn")
        page.line((f"{SIGNS[tone]} {each.judge}: {each.said.verdict} ", tone), f"{each.said.confidence:.0%} sure", (f" {paid}", "dim"))  # fmt: skip
        for words in each.said.blocking:
            page.line("    ", (f"✗ {words}", "bad"), hang=6)
        for words in (*(f"not shown: {gap}" for gap in each.said.gaps), *each.said.other):
            page.line("    ", (words, "dim"), hang=4)


# -- cost -----------------------------------------------------------------------------------------------------


def cost(told: Told, page: Page) -> Sheaf:
    """What each run came to, and who says so."""
    page.line(("Together ", "head"), (cost_words(told.cost), "strong"))
    for run in told.story.runs:
        _run_cost(run, page)
    return page.text


def _run_cost(run: RunView, page: Page) -> None:
    outcome = run.outcome
    page.gap()
    if outcome is None:
        page.line((f"run {run.life}.{run.n} goes on", "busy"))
        return
    bill = outcome.bill
    sum_ = money(outcome.usage.cost_usd if bill is None else bill.cost)
    took = span(outcome.ended - outcome.started) if outcome.ended and outcome.started else "?"
    page.line((f"run {run.life}.{run.n} {outcome.end} ", "strong"), f"{sum_}, {took}")
    for use in bill.models if bill is not None else ():
        tokens = use.tokens
        words = (
            f"{use.model}: {many(tokens.input)} in, {many(tokens.output)} out, {many(tokens.cache_read)} from the cache"
        )
        page.line("    ", (f"{words}, {money(use.cost)}", "dim"))
    if bill is not None and bill.unknown:
        page.line("    ", (f"! {bill.unknown} answers did not say what they used", "warn"))


def letter(k: int) -> str:
    """What a choice of a question is answered by: `a` for the first."""
    return chr(ord("a") + k)


def named(paths: Sequence[str]) -> str:
    """The first few of many files."""
    rest = len(paths) - _NAMED
    return ", ".join(paths[:_NAMED]) + (f" and {rest} more" if rest > 0 else "") or "none"


def count(n: int, one: str) -> str:
    """`1 file`, `3 files`"""
    return f"{n} {one}{'' if n == 1 else 's'}"
