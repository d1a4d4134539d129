"""The brief, computed from the journal's records of one span of time."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from overnight.durable.pauses import read as read_pauses
from overnight.guard.redact import sanitised
from overnight.judge.limits import Ceilings
from overnight.judge.pulls import Revert
from overnight.judge.verdict import Opinion
from overnight.judge.verdict import Word as JudgeWord
from overnight.missions.codec import decode
from overnight.missions.forge import PullRequest
from overnight.missions.hold import HoldReason
from overnight.missions.judging import Decision
from overnight.missions.run import CheckResult, RunOutcome
from overnight.missions.task import Ending, Phase
from overnight.ports import Examined
from overnight.report.brief import (
    MOST,
    Brief,
    Broken,
    Denial,
    Done,
    Injection,
    Need,
    Next,
    NightVerdict,
    Proof,
    Quote,
    Tally,
    Waiting,
    Word,
)
from overnight.report.brief_cost import Settled, cost_of, settled, usd_of
from overnight.report.journal import reading, snapshot
from overnight.report.limits import read_limits
from overnight.report.nights import Night
from overnight.report.rows import BEGUN, HELD, OPEN, QUEUED, rows_where
from overnight.report.signs import anomalies
from overnight.report.story import NUMBERED, Step, proof, steps_of
from overnight.report.views import State, TaskRow

#: Takes secrets out of a text.
Without = Callable[[str], str]
#: Characters of a quotation.
MOST_QUOTED = 300
#: Holds whose reason is told in the agent's own words.
_QUOTED = (HoldReason.NEEDS_ANSWER, HoldReason.STUCK, HoldReason.FAULT)
#: Written out as the journal's index has it.
_LIFE = "('task.submitted', 'task.retried', 'task.ended')"


class Ended(NamedTuple):
    """The end of a task's life, as the journal told it."""

    task: str
    life: int
    at: float
    phase: str
    why: str


class Looked(NamedTuple):
    """What is known of one task."""

    id: str
    repo: str
    title: str
    row: sqlite3.Row
    steps: list[Step]
    #: Ends of its lives, in order.
    ends: list[Ended]


class Asked(NamedTuple):
    """What a brief is about."""

    home: Path
    since: float
    until: float
    now: float
    without: Without
    ceilings: Ceilings
    #: Whether a daemon works on it.
    alive: bool


def brief(
    home: Path,
    span: Night,
    now: float,
    *,
    without: Without,
    ceilings: Ceilings,
    alive: bool = True,
    late: float = 0.0,
) -> Brief:
    """The brief of one span. Raises JournalNewer, Refused.

    span: its name is empty for any other span than a night. without: takes secrets out of a text. alive: whether a
    daemon works on what is left.
    """
    asked = Asked(home, span.since, span.until, now, without, ceilings, alive)
    with reading(home) as db, snapshot(db):
        return _read(db, asked, span.name, late)


def _read(db: sqlite3.Connection, asked: Asked, name: str, late: float) -> Brief:
    before = asked.since - (asked.until - asked.since)
    tasks = [_looked(db, row) for row in _touched(db, before, asked.until)]
    before_now = (max(asked.until, asked.now),)
    rows = rows_where(db, asked.home, f"{OPEN} AND created < ?", before_now)
    queued = rows_where(db, asked.home, f"{QUEUED} AND created < ?", before_now, most=MOST)
    sql = f"SELECT count(*) FROM task WHERE {QUEUED} AND created < ?"  # noqa: S608 (constant)
    in_queue: int = db.execute(sql, before_now).fetchone()[0]
    paid = settled(db, before, asked.until)
    inside = [each for each in paid if each.at >= asked.since]
    bills = dict[str, list[Settled]]()
    for each in inside:
        bills.setdefault(each.task, []).append(each)
    ended = [
        _done(each, end, asked, bills.get(each.id, [])) for each in tasks if (end := _last_end(each, asked)) is not None
    ]
    needs = tuple(_needs(rows, asked))
    open_rows = [row for row in rows if not _asks(row)]
    tally = _tally(ended, rows, in_queue)
    denials = _denials(tasks, asked)
    return Brief(
        night=name, since=asked.since, until=asked.until, made=asked.now, late=late,
        verdict=_verdict(asked, tally),
        needs=needs,
        landed=_of(ended, Phase.LANDED), failed=_of(ended, Phase.FAILED),
        dropped=_of(ended, Phase.REJECTED, Phase.CANCELLED),
        held=tuple(_waiting(row, asked) for row in open_rows if row.state is State.HELD),
        going=tuple(_waiting(row, asked) for row in open_rows if row.state is not State.HELD),
        cost=cost_of(db, inside, [each for each in paid if each.at < asked.since], tasks, reaches=_reaches(db, before)),
        limits=read_limits(db, asked.home, asked.ceilings, asked.now).accounts,
        denials=denials[:MOST], denied=sum(each.times for each in denials),
        injections=tuple(_injections(tasks, asked)),
        anomalies=anomalies(db, asked.since, asked.until),
        broken=_broken(tasks, asked),
        next=tuple(Next(task=row.id, repo=row.repo, title=_clean(row.title, asked)) for row in queued),
        queued=in_queue,
        gaps=tuple(_gaps(db, asked)),
    )  # fmt: skip


# -- tasks --------------------------------------------------------------------------------------------------


def _touched(db: sqlite3.Connection, since: float, until: float) -> list[sqlite3.Row]:
    """Tasks of which something may have happened in this time."""
    sql = (  # what is queued in its first life has neither steps nor ends
        "SELECT id, lane, life, state, phase, output, created, updated, title FROM task WHERE id IN ("  # noqa: S608
        "SELECT id FROM task WHERE state = 'done' AND updated >= ? "
        f"UNION ALL SELECT id FROM task WHERE {HELD} UNION ALL SELECT id FROM task WHERE {BEGUN} "
        f"UNION ALL SELECT id FROM task WHERE {QUEUED} AND life > 1) AND created < ? ORDER BY created, id"
    )
    return db.execute(sql, (since, until)).fetchall()


def _looked(db: sqlite3.Connection, row: sqlite3.Row) -> Looked:
    return Looked(row["id"], row["lane"], row["title"] or "", row, steps_of(db, row["id"]), list(_ends(db, row)))


def _ends(db: sqlite3.Connection, row: sqlite3.Row) -> Iterator[Ended]:
    sql = f"SELECT at, what, why, data FROM event WHERE task = ? AND what IN {_LIFE} ORDER BY seq"  # noqa: S608 (constant)
    events = db.execute(sql, (row["id"],)).fetchall()
    # What is archived already was of its first lives.
    life = row["life"] - sum(1 for event in events if event["what"] == "task.retried")
    for event in events:
        if event["what"] == "task.retried":
            life += 1
        elif event["what"] == "task.ended":
            yield Ended(row["id"], life, event["at"], str(json.loads(event["data"]).get("phase", "")), event["why"])


def _last_end(each: Looked, asked: Asked) -> Ended | None:
    inside = [end for end in each.ends if asked.since <= end.at < asked.until]
    return inside[-1] if inside else None


def _done(each: Looked, end: Ended, asked: Asked, paid: list[Settled]) -> Done:
    steps = {step.name: step for step in each.steps if step.life == end.life}
    runs = [n for name in steps if (n := _number(name, "run")) is not None]
    latest = max(runs, default=0)
    over = each.row["state"] == "done" and each.row["life"] == end.life
    ending = decode(each.row["output"], Ending) if over and each.row["output"] else None
    outcome = _as(steps.get(f"run {latest}"), RunOutcome)
    said = outcome.why if outcome is not None and outcome.why and outcome.why in end.why else ""
    return Done(
        task=each.id, repo=each.repo, title=_clean(each.title, asked), phase=end.phase, at=end.at,
        why=_clean(end.why.replace(said, "").strip(" ;"), asked) if said else _clean(end.why, asked),
        quote=_quote(said, "agent", asked) if said else None,
        proof=_proof(steps, latest, ending, asked),
        runs=len(runs),
        usd=usd_of(paid, each.id, end.life),
        again=not over,
        rescue=ending.rescue if ending is not None and end.phase != Phase.LANDED else None,
    )  # fmt: skip


def _proof(steps: dict[str, Step], n: int, ending: Ending | None, asked: Asked) -> Proof:
    tried = [step for name, step in steps.items() if name.startswith(f"recheck {n}.")]
    checks = _as(tried[-1] if tried else steps.get(f"check {n}"), tuple[CheckResult, ...]) or ()
    opinions = _as(steps.get(f"judge {n}"), tuple[Opinion, ...]) or ()
    examined = _as(steps.get(f"examine {n}"), Examined)
    decisions = [_as(step, Decision) for name, step in steps.items() if name.startswith(f"signal decision {n}.")]
    red = next((check for check in checks if not check.passed), None)
    risk = examined.risk if examined is not None else None
    heaviest = risk.factors[0].why if risk is not None and risk.factors else ""
    broke = _as(steps.get(f"aftermath {n}"), Revert)
    return Proof(
        commit=ending.commit if ending is not None else None,
        branch=ending.branch if ending is not None else None,
        checks=tuple(check.name for check in checks),
        passed=tuple(check.name for check in checks if check.passed),
        output=_quote(proof(red.output), "check", asked) if red is not None and red.output else None,
        judges=tuple(each.judge for each in opinions),
        approved=tuple(each.judge for each in opinions if each.said and each.said.verdict is JudgeWord.PASS),
        decided_by=next((each.by for each in reversed(decisions) if each is not None), ""),
        risk=risk.score if risk is not None else None,
        band=str(risk.band) if risk is not None else None,
        risk_why=_quote(heaviest, "repository", asked) if heaviest else None,
        pr=_pull_request(step for name, step in steps.items() if not name.startswith("revert ")),
        broke=_quote(broke.why, "check", asked) if broke is not None else None,
        back=_pull_request(filter(None, (steps.get(f"revert {n}"),))),
    )


def _pull_request(steps: Iterable[Step]) -> str | None:
    """The address of the pull request that the steps speak of."""
    for step in sorted(steps, key=lambda step: -step.finished):
        if '"pull-request"' in step.output:
            with contextlib.suppress(msgspec.MsgspecError):
                return decode(step.output, PullRequest).url
    return None


def _of(ended: Iterable[Done], *phases: Phase) -> tuple[Done, ...]:
    return tuple(sorted((each for each in ended if each.phase in phases), key=lambda each: (each.at, each.task)))


# -- what is left -------------------------------------------------------------------------------------------


def _asks(row: TaskRow) -> bool:
    return row.hold is not None and row.hold.needs_person


def _needs(rows: Iterable[TaskRow], asked: Asked) -> Iterator[Need]:
    """Held tasks that only a person releases, the longest wait first; then what runs would have asked."""
    held = sorted((row for row in rows if _asks(row)), key=lambda row: (row.since, row.id))
    for row in held:
        assert row.hold is not None
        own = row.hold.reason not in _QUOTED
        yield Need(
            task=row.id, repo=row.repo, title=_clean(row.title, asked), reason=row.hold.reason,
            why=_clean(row.hold.why, asked) if own else "", quote=None if own else _quote(row.hold.why, "agent", asked),
            how=_clean(row.hold.releases_on, asked), since=row.since,
        )  # fmt: skip
    for row in rows:
        for question in row.questions:
            yield Need(
                task=row.id, repo=row.repo, title=_clean(row.title, asked), reason="question",
                why=_clean(question.text, asked), quote=_quote(question.data, "agent", asked),
                how=f"`overnight show {row.id}` says what would allow it; it is denied meanwhile", since=row.since,
            )  # fmt: skip


def _waiting(row: TaskRow, asked: Asked) -> Waiting:
    hold = row.hold
    return Waiting(
        task=row.id, repo=row.repo, title=_clean(row.title, asked), reason=hold.reason if hold else "",
        why=_clean(hold.why, asked) if hold else "", until=hold.until if hold else None, phase=row.phase,
    )  # fmt: skip


def _tally(ended: list[Done], rows: Iterable[TaskRow], queued: int) -> Tally:
    """rows: those that began."""

    def ends(phase: Phase) -> int:
        return sum(1 for each in ended if each.phase == phase)

    states = [("needs_you" if _asks(row) else row.state.value) for row in rows]
    return Tally(
        landed=ends(Phase.LANDED), failed=ends(Phase.FAILED), rejected=ends(Phase.REJECTED),
        cancelled=ends(Phase.CANCELLED), needs_you=states.count("needs_you"), held=states.count(State.HELD),
        going=states.count(State.ACTIVE) + states.count(State.WAITING), queued=queued,
    )  # fmt: skip


def _verdict(asked: Asked, tally: Tally) -> NightVerdict:
    left = tally.going + tally.queued
    paused = [each.lane for each in read_pauses(asked.home)]
    ended = [
        f"{count} {word}"
        for count, word in (
            (tally.landed, "landed"), (tally.failed, "failed"), (tally.rejected, "rejected"), (tally.cancelled, "cancelled"),
        )
        if count
    ]  # fmt: skip
    so_far = ", ".join(ended) or "nothing ended"
    you = f"; {_these(tally.needs_you)} you" if tally.needs_you else ""
    rest = f"{left + tally.held} still to come"
    if not (ended or left or tally.held or tally.needs_you):
        return NightVerdict(word=Word.QUIET, sentence="There was nothing to do.", tally=tally)
    if left and not asked.alive:
        why = f"No daemon works on it: {so_far}, {rest}{you}."
        return NightVerdict(word=Word.STOPPED, sentence=why, tally=tally)
    if left and "" in paused:
        return NightVerdict(word=Word.STOPPED, sentence=f"Everything is paused: {so_far}, {rest}{you}.", tally=tally)
    if left or tally.held:
        return NightVerdict(
            word=Word.UNFINISHED, sentence=f"The night is not done: {so_far}, {rest}{you}.", tally=tally
        )
    return NightVerdict(word=Word.DONE, sentence=f"The night is done: {so_far}{you}.", tally=tally)


def _these(count: int) -> str:
    return "1 waits for" if count == 1 else f"{count} wait for"


# -- what went wrong ----------------------------------------------------------------------------------------


def _denials(tasks: Iterable[Looked], asked: Asked) -> tuple[Denial, ...]:
    """What runs that ended in this time were refused; the same of one task once, the most often refused first."""
    found: dict[tuple[str, str, str, str], int] = {}
    repos: dict[str, str] = {}
    for each in tasks:
        repos[each.id] = each.repo
        for step in _finished(each, "run", asked):
            for tool, what, why in decode(step.output, RunOutcome).denied:
                found[each.id, tool, what, why] = found.get((each.id, tool, what, why), 0) + 1
    ranked = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(
        Denial(task=task, repo=repos[task], tool=_clean(tool, asked), what=_quote(what, "agent", asked),
               why=_clean(why, asked), times=times)
        for (task, tool, what, why), times in ranked
    )  # fmt: skip


def _injections(tasks: Iterable[Looked], asked: Asked) -> Iterator[Injection]:
    for each in tasks:
        for step in _finished(each, "examine", asked):
            for factor in decode(step.output, Examined).risk.factors:
                if factor.name == "injection":
                    words = _quote(factor.why, "repository", asked)
                    yield Injection(task=each.id, repo=each.repo, by="overnight", words=words)
        for step in _finished(each, "judge", asked):
            for opinion in decode(step.output, tuple[Opinion, ...]):
                if opinion.said is not None and opinion.said.injection:
                    said = "; ".join((*opinion.said.blocking, *opinion.said.other)) or "it does not say what"
                    words = _quote(said, "judge", asked)
                    yield Injection(task=each.id, repo=each.repo, by=_clean(opinion.judge, asked), words=words)


def _broken(tasks: Iterable[Looked], asked: Asked) -> tuple[Broken, ...]:
    """Checks that were green on the target the last time before this span, and are red in the end."""
    green: dict[tuple[str, str], float] = {}
    red: dict[tuple[str, str], tuple[Step, CheckResult]] = {}
    seen = sorted(
        ((step, each.repo) for each in tasks for step in each.steps if step.name == "baseline" and step.finished < asked.until),
        key=lambda pair: pair[0].finished,
    )  # fmt: skip
    for step, repo in seen:
        for check in _as(step, tuple[CheckResult, ...]) or ():
            place = (repo, check.name)
            if step.finished < asked.since:
                green.pop(place, None)
                if check.passed:
                    green[place] = step.finished
            elif check.passed:
                red.pop(place, None)
            else:
                red.setdefault(place, (step, check))
    return tuple(
        Broken(repo=repo, check=name, since=step.finished, green=green[repo, name], commit=check.commit,
               output=_quote(proof(check.output), "check", asked) if check.output else None)
        for (repo, name), (step, check) in sorted(red.items()) if (repo, name) in green
    )  # fmt: skip


def _gaps(db: sqlite3.Connection, asked: Asked) -> Iterator[str]:
    first = db.execute("SELECT at FROM event ORDER BY seq LIMIT 1").fetchone()
    swept = db.execute("SELECT 1 FROM record WHERE kind = 'journal' AND key = 'anchor'").fetchone()
    if swept is not None and first is not None and first["at"] > asked.since:
        yield "A part of this time has left the journal for its archive: what ended then is not counted here."
    sql = "SELECT why FROM event WHERE what = 'audit.broken' AND at >= ? AND at < ? ORDER BY seq LIMIT 5"
    for row in db.execute(sql, (asked.since, asked.until)):
        yield f"The audit is not as it was written: {_clean(row['why'], asked)}"


def _reaches(db: sqlite3.Connection, at: float) -> bool:
    """Whether the records go back to then."""
    first = db.execute("SELECT at FROM event ORDER BY seq LIMIT 1").fetchone()
    return first is not None and first["at"] <= at


# -- small --------------------------------------------------------------------------------------------------


def _finished(each: Looked, what: str, asked: Asked) -> Iterator[Step]:
    for step in each.steps:
        if asked.since <= step.finished < asked.until and _number(step.name, what) is not None:
            yield step


def _number(name: str, what: str) -> int | None:
    """`run 2` -> 2, for `run`."""
    match = NUMBERED.fullmatch(name)
    return int(match["n"]) if match is not None and match["what"] == what and match["k"] is None else None


def _as(step: Step | None, kind: Any) -> Any:
    """A step's outcome; None where there is none, or one of another version."""
    if step is None:
        return None
    try:
        return decode(step.output, kind)
    except msgspec.MsgspecError:
        return None


def _clean(text: str, asked: Asked) -> str:
    """One line without secrets and control characters."""
    line = " ".join(sanitised(asked.without(sanitised(text))).split())
    return line if len(line) <= MOST_QUOTED * 2 else line[: MOST_QUOTED * 2 - 1] + "…"


def _quote(text: str, by: str, asked: Asked) -> Quote:
    line = " ".join(sanitised(asked.without(sanitised(text))).split())
    return Quote(words=line if len(line) <= MOST_QUOTED else line[: MOST_QUOTED - 1] + "…", by=by)
