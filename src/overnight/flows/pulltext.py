"""What a pull request says: what was asked, what was done, what proves it, and what does not. Git and records speak; the
agent's own words are quotations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from msgspec import Struct

from overnight.judge.budget import show_usd
from overnight.judge.pulls import one_line
from overnight.judge.verdict import Opinion
from overnight.missions.run import Attempt, CheckResult
from overnight.missions.task import Task
from overnight.ports import Examined, Ground

#: Paths that are listed; lines and characters of one quotation.
MOST_PATHS, MOST_LINES, MOST_CHARS = 50, 40, 4000


class Proof(Struct, frozen=True, kw_only=True):
    """What is known of a result when it goes to the forge."""

    attempts: tuple[Attempt, ...]
    baseline: tuple[CheckResult, ...] = ()
    examined: Examined | None = None
    opinions: tuple[Opinion, ...] = ()
    #: What else is not shown, in whole clauses.
    doubts: tuple[str, ...] = ()


def title_of(task: Task) -> str:
    """One line."""
    return one_line(task.title, 120) or task.id


def body_of(task: Task, ground: Ground, proof: Proof, head: str, standing: str = "") -> str:
    """Markdown. head: the commit that it shows. standing: how things are with it now; empty while it goes its way."""
    return "\n\n".join(part for part in _parts(task, ground, proof, head, standing) if part) + "\n"


def _parts(task: Task, ground: Ground, proof: Proof, head: str, standing: str) -> Iterator[str]:
    last = proof.attempts[-1]
    if standing:
        yield f"**{_inline(standing)}**"
    yield f"## What was asked\n\n{quoted(task.text)}"
    if task.acceptance:
        yield "Must be true at the end:\n\n" + quoted("\n".join(task.acceptance))
    if task.issue is not None:
        yield f"Closes #{task.issue.number}"
    yield f"## What was done\n\n{_done(ground, last, head)}"
    yield f"## Proof\n\n{_checks(proof, head)}"
    yield _judges(proof.opinions)
    yield _risk(proof.examined)
    yield f"Cost: {_cost(proof.attempts)}"
    yield "## Not proven\n\n" + "\n".join(f"- {_inline(doubt)}" for doubt in not_proven(proof, head))
    if last.outcome.said:
        words = "<details><summary>The agent's own words. They prove nothing.</summary>"
        yield f"{words}\n\n{quoted(last.outcome.said)}\n\n</details>"
    yield f"<sub>Made by Overnight: task {task.id}, run {last.outcome.run}.</sub>"


def _done(ground: Ground, last: Attempt, head: str) -> str:
    paths = last.result.changed
    more = [f"- and {len(paths) - MOST_PATHS} more"] if len(paths) > MOST_PATHS else []
    lines = [f"- {code(path)}" for path in paths[:MOST_PATHS]]
    files = f"{len(paths)} file" + ("" if len(paths) == 1 else "s")
    return f"{code(head)}, from {code(ground.base)}: {files} changed.\n\n" + "\n".join([*lines, *more])


def _checks(proof: Proof, head: str) -> str:
    last = proof.attempts[-1]
    if not last.checks:
        return "No check was run."
    red = {check.name for check in proof.baseline if not check.passed}
    rows = ["| check | result | commit | command |", "|---|---|---|---|"]
    for check in last.checks:
        result = "passed" if check.passed else "failed, as before the change" if check.name in red else "FAILED"
        rows.append(f"| {_cell(check.name)} | {result} | {code(check.commit[:12])} | {code(_cell(check.command))} |")
    commits = {check.commit for check in last.checks}
    if head not in commits:
        rows.append(f"\n{code(head[:12])} is the target merged into that; the same checks passed on it.")
    return "\n".join(rows)


def _judges(opinions: Sequence[Opinion]) -> str:
    if not opinions:
        return "No judge was asked."
    rows = ["| judge | family | verdict | sure | commit | what it says |", "|---|---|---|---|---|---|"]
    for each in opinions:
        said = each.said
        word, sure = (said.verdict.value, f"{said.confidence:.0%}") if said else ("no verdict", "")
        told = "; ".join((*said.blocking, *(f"not shown: {gap}" for gap in said.gaps))) if said else each.why
        cells = (_cell(each.judge), _cell(each.family), word, sure, code(each.commit[:12]), _cell(told))
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _risk(examined: Examined | None) -> str:
    if examined is None:
        return "Risk: not assessed."
    risk = examined.risk
    reasons = "".join(f"\n- {round(each.points)}: {_inline(each.why)}" for each in risk.factors)
    blocks = "".join(f"\n- blocks: {_inline(why)}" for why in risk.blocks)
    return f"Risk: {risk.score} of 100 ({risk.band}){':' if reasons or blocks else ', nothing adds to it'}{reasons}{blocks}"


def _cost(attempts: Sequence[Attempt]) -> str:
    """Unknown is never zero."""
    bills = [attempt.outcome.bill for attempt in attempts]
    known = [bill.cost for bill in bills if bill is not None and bill.cost is not None]
    runs = f"{len(attempts)} run" + ("" if len(attempts) == 1 else "s")
    total = show_usd(sum(known, Decimal(0)))
    if len(known) == len(attempts):
        return f"{total} at list prices, {runs}"
    return f"unknown for {len(attempts) - len(known)} of {runs}" + (f"; {total} for the others" if known else "")


def not_proven(proof: Proof, head: str) -> tuple[str, ...]:
    """What nothing above shows; never empty."""
    last = proof.attempts[-1]
    found = list(proof.doubts)
    if not last.checks:
        found.append("no check was run on this commit")
    found += [
        f"check {check.name} was red before the change, and still is" for check in last.checks if not check.passed
    ]
    passed = [each for each in proof.opinions if each.said is not None and each.said.verdict == "PASS"]
    if not passed:
        found.append("no judge has passed it: whether it does what was asked is not shown beyond the checks")
    found += [f"judge {each.judge} gave no verdict: {each.why}" for each in proof.opinions if each.said is None]
    if proof.examined is None:
        found.append("nobody looked at whether its proof was bent")
    else:
        found += list(proof.examined.tampering)
    found += [f"not taken over: {refused}" for refused in last.result.refused]
    if last.result.commit != head:
        found.append("judges and risk speak of the work before the target was merged in")
    found.append(
        "what no check and no judge looks at: performance, use by people, other platforms than the checks ran on"
    )
    return tuple(dict.fromkeys(found))


# -- words of others ----------------------------------------------------------------------------------------

#: What a forge acts on, also in quotations: mentions, and words that close issues.
_MENTION = re.compile(r"@(?=[A-Za-z0-9])")
_REFERENCE = re.compile(r"#(?=\d)|(?<=\b)GH-(?=\d)", re.IGNORECASE)
_NOTHING = "\N{ZERO WIDTH SPACE}"


def quoted(text: str) -> str:
    """Anybody's words as a block that a forge shows and does not act upon: no mention, no reference, no comment mark."""
    text = text.strip()[:MOST_CHARS].replace("<!--", "<! --")
    lines = text.splitlines()
    shown = "\n".join(lines[:MOST_LINES]) + (
        f"\n[… {len(lines) - MOST_LINES} more lines]" if len(lines) > MOST_LINES else ""
    )
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{ticks}text\n{shown}\n{ticks}"


def code(text: str) -> str:
    """One line as code."""
    return f"`{one_line(text, 200)}`"


def _inline(text: str) -> str:
    """One line of words in which nothing is markup, a mention or a reference."""
    plain = re.sub(r"([\\*_\[\]<>|~#!])", r"\\\1", one_line(text, 500))
    return _REFERENCE.sub(lambda m: m[0] + _NOTHING, _MENTION.sub("@" + _NOTHING, plain))


def _cell(text: str) -> str:
    return _inline(text).replace("\n", " ")
