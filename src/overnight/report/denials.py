"""What the guard kept from happening: by rule, and the latest ones, from the records of finished runs."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path

from msgspec import Struct

from overnight.missions.codec import convert
from overnight.missions.question import Question
from overnight.report.journal import reading, snapshot

SPAN_S = 7 * 86400.0
#: Questions that are told in full, the latest first.
MOST = 40


class Asked(Struct, frozen=True, kw_only=True):
    """A wish of an agent's that was denied since nobody was there to ask."""

    at: float
    question: Question


class Denied(Struct, frozen=True, kw_only=True):
    """A tool call that was denied."""

    #: Epoch seconds of the end of its run.
    at: float
    task: str
    run: str
    tool: str
    what: str
    why: str


class DenialsView(Struct, frozen=True, kw_only=True):
    """What was kept from happening."""

    #: Epoch seconds from which on it is counted.
    since: float
    #: Rule -> how often it made a question.
    rules: tuple[tuple[str, int], ...]
    questions: tuple[Asked, ...]
    denied: tuple[Denied, ...]
    #: How many calls were denied in all.
    total: int


def denials(home: Path, now: float, span: float = SPAN_S) -> DenialsView:
    """Of the last week, unless said otherwise."""
    since = now - span
    with reading(home) as db, snapshot(db):
        asked = list(_asked(db, since))
        denied = list(_denied(db, since))
    rules = Counter(each.question.rule for each in asked)
    asked.sort(key=lambda each: -each.at)
    denied.sort(key=lambda each: -each.at)
    return DenialsView(
        since=since, rules=tuple(rules.most_common()), questions=tuple(asked[:MOST]), denied=tuple(denied[:MOST]),
        total=len(denied),
    )  # fmt: skip


def _asked(db: sqlite3.Connection, since: float) -> list[Asked]:
    sql = "SELECT at, data FROM event WHERE what = 'question.asked' AND at >= ? ORDER BY seq DESC LIMIT 500"
    return [
        Asked(at=row["at"], question=convert(json.loads(row["data"])["question"], Question))
        for row in db.execute(sql, (since,))
    ]


def _denied(db: sqlite3.Connection, since: float) -> list[Denied]:
    sql = (
        "SELECT task, life, finished, json_extract(output, '$.run') AS run, json_extract(output, '$.denied') AS denied "
        "FROM step WHERE name LIKE 'run %' AND finished >= ? ORDER BY finished DESC LIMIT 2000"
    )
    found = list[Denied]()
    for row in db.execute(sql, (since,)):
        for tool, what, why in json.loads(row["denied"] or "[]"):
            found.append(Denied(at=row["finished"], task=row["task"], run=row["run"], tool=tool, what=what, why=why))
    return found
