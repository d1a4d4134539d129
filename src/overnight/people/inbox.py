"""The inbox: one list of all that a person is asked, as the journal has it."""

from __future__ import annotations

import sqlite3
from enum import StrEnum

from msgspec import Struct

from overnight.judge.verdict import Opinion
from overnight.missions.approval import Action, Ask, AskKind, Choice
from overnight.missions.codec import decode
from overnight.missions.hold import Hold
from overnight.missions.question import Question
from overnight.people.waits import all_asked, filed, needs_person, open_ask, open_questions
from overnight.ports import Examined


class Sort(StrEnum):
    """What is asked for; in this order they are listed."""

    #: A decision about a commit.
    APPROVAL = "approval"
    #: An answer without which a task does not go on.
    QUESTION = "question"
    #: Something else that a task does not go on without.
    HOLD = "hold"
    #: A word about a call that was denied; the task went on without it.
    DENIED = "denied"


class JudgeWord(Struct, frozen=True, kw_only=True):
    """What one judge said."""

    judge: str
    #: PASS, FAIL or NEEDS_HUMAN; null when it gave no usable answer.
    verdict: str | None
    #: How sure it is, 0 to 1; null when it gave no answer.
    confidence: float | None = None
    #: Why there is no answer.
    why: str = ""


class Proof(Struct, frozen=True, kw_only=True):
    """What is known about the commit that a decision is about."""

    #: 0 to 100.
    risk: int
    #: The heaviest reasons first.
    why: tuple[str, ...]
    judges: tuple[JudgeWord, ...]
    #: What nothing shows: gaps that judges name, bent proof, judges without an answer.
    unproven: tuple[str, ...]


class Item(Struct, frozen=True, kw_only=True):
    """One thing that a person is asked."""

    #: What tickets and answers name.
    id: str
    sort: Sort
    task: str
    repo: str
    title: str
    #: Why a person is asked.
    why: str
    #: Epoch seconds.
    since: float
    #: Empty for what is about no commit.
    commit: str = ""
    actions: tuple[Action, ...] = ()
    choices: tuple[Choice, ...] = ()
    #: Which choice is recommended: an index.
    default: int = 0
    #: Of an approval.
    proof: Proof | None = None
    #: Of a hold: what releases it.
    releases_on: str = ""
    #: Of a denied call: the call in the agent's own words (untrusted), and the lines of settings that would allow it,
    #: with the file that they belong in. Empty lines: no settings can.
    wanted: str = ""
    allow: str = ""
    where: str = ""


def read_inbox(db: sqlite3.Connection) -> tuple[Item, ...]:
    """Everything that waits for a person: what tasks stand still for first, the longest wait before the others."""
    asks = all_asked(db)
    items = [_of_ask(db, ask) for ask in asks]
    items += _holds(db, {ask.task for ask in asks})
    items += [_of_question(ask, question) for ask, question in open_questions(db)]
    order = list(Sort)
    return tuple(sorted(items, key=lambda item: (order.index(item.sort), item.since, item.id)))


def read_item(db: sqlite3.Connection, about: str) -> Item | None:
    """What is asked under one id now; None when nothing is."""
    ask = open_ask(db, about)
    if ask is None:
        return None
    question = filed(db, ask.task).get(ask.id)
    return _of_ask(db, ask) if question is None else _of_question(ask, question)


def _of_ask(db: sqlite3.Connection, ask: Ask) -> Item:
    approval = ask.kind is AskKind.APPROVAL
    return Item(
        id=ask.id, sort=Sort.APPROVAL if approval else Sort.QUESTION, task=ask.task, repo=ask.repo, title=ask.title,
        why=ask.why, since=ask.asked, commit=ask.commit, actions=ask.actions, choices=ask.choices, default=ask.default,
        proof=_proof(db, ask) if approval else None,
    )  # fmt: skip


def _of_question(ask: Ask, question: Question) -> Item:
    return Item(
        id=ask.id, sort=Sort.DENIED, task=ask.task, repo=ask.repo, title=ask.title, why=ask.why, since=ask.asked,
        actions=ask.actions, choices=ask.choices, wanted=question.data, allow=question.allow, where=question.where,
    )  # fmt: skip


def _holds(db: sqlite3.Connection, asking: set[str]) -> list[Item]:
    sql = (
        "SELECT id, lane, hold, wait_for, updated, json_extract(input, '$.title') AS title FROM task "
        "WHERE hold IS NOT NULL AND state = 'waiting' ORDER BY updated, id"
    )
    found = list[Item]()
    for row in db.execute(sql).fetchall():
        hold = decode(row["hold"], Hold)
        if row["id"] not in asking and needs_person(db, hold, row["wait_for"] or ""):
            item = Item(
                id=f"{row['id']}.hold", sort=Sort.HOLD, task=row["id"], repo=row["lane"], title=row["title"] or "",
                why=f"{hold.reason}: {hold.why}", since=row["updated"], releases_on=hold.releases_on,
            )  # fmt: skip
            found.append(item)
    return found


def _proof(db: sqlite3.Connection, ask: Ask) -> Proof | None:
    """What was found out about exactly this commit; None when nothing is on record."""
    sql = (
        "SELECT name, output FROM step WHERE task = ? AND life = (SELECT life FROM task WHERE id = ?) "
        "AND (name LIKE 'examine %' OR name LIKE 'judge %') ORDER BY finished DESC"
    )
    steps = db.execute(sql, (ask.task, ask.task)).fetchall()
    for step in steps:
        if not step["name"].startswith("examine "):
            continue
        examined = decode(step["output"], Examined)
        if examined.commit != ask.commit:
            continue
        name = step["name"].replace("examine", "judge")
        # Asked again, the judges' later words count.
        judged = next((each["output"] for each in steps if f"{each['name']}.".startswith(f"{name}.")), "[]")
        return _weighed(examined, decode(judged, tuple[Opinion, ...]))
    return None


def _weighed(examined: Examined, opinions: tuple[Opinion, ...]) -> Proof:
    silent = [f"judge {each.judge} gave no answer: {each.why}" for each in opinions if each.said is None]
    gaps = [f"{gap} (judge {each.judge})" for each in opinions if each.said for gap in each.said.gaps]
    none = [] if opinions else ["no judge looked at it"]
    return Proof(
        risk=examined.risk.score,
        why=tuple(factor.why for factor in examined.risk.factors),
        judges=tuple(_word(each) for each in opinions),
        unproven=(*examined.risk.blocks, *examined.tampering, *gaps, *silent, *none),
    )


def _word(opinion: Opinion) -> JudgeWord:
    if opinion.said is None:
        return JudgeWord(judge=opinion.judge, verdict=None, why=opinion.why)
    return JudgeWord(judge=opinion.judge, verdict=opinion.said.verdict, confidence=opinion.said.confidence)
