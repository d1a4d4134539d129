"""What a task waits for now, as the journal has it."""

from __future__ import annotations

import json
import re
import sqlite3

from msgspec.structs import replace

from overnight.missions.approval import ANSWER, DECISION, Action, Ask, AskKind, Choice
from overnight.missions.codec import convert, decode
from overnight.missions.hold import PASSING, Hold, HoldReason
from overnight.missions.judging import BLOCKED
from overnight.missions.question import Question
from overnight.ports import Examined

_WAITS = {f"signal {DECISION}": AskKind.APPROVAL, f"signal {ANSWER}": AskKind.QUESTION}
_COLUMNS = "id, lane, life, state, phase, wait_for, hold, updated, json_extract(input, '$.title') AS title"
#: What holds for a denied call as long as nobody changes the settings.
KEEP = "it stays denied: do the task without it"
_DECISION = re.compile(r"signal decision (\d+)\.(\d+)")


def asked(db: sqlite3.Connection, task: str) -> Ask | None:
    """What a person is asked by a task that waits for a decision or an answer; None when it waits for neither."""
    row = db.execute(f"SELECT {_COLUMNS} FROM task WHERE id = ?", (task,)).fetchone()  # noqa: S608 (constant)
    return None if row is None else _of(db, row)


def all_asked(db: sqlite3.Connection) -> list[Ask]:
    """Everything that tasks ask now, the longest wait first."""
    waits = ", ".join(f"'{wait}'" for wait in _WAITS)
    sql = (
        f"SELECT {_COLUMNS} FROM task WHERE state = 'waiting' AND wait_for IN ({waits}) "  # noqa: S608
        "OR state = 'ready' AND hold IS NOT NULL ORDER BY updated, id"
    )
    return [ask for row in db.execute(sql).fetchall() if (ask := _of(db, row)) is not None]


def _of(db: sqlite3.Connection, row: sqlite3.Row) -> Ask | None:
    if row["hold"] is None:
        return None
    hold = decode(row["hold"], Hold)
    kind = _WAITS.get(row["wait_for"] or "") if row["state"] == "waiting" else _looking(hold)
    if kind is None:
        return None
    ask = hold.ask or _before_asks(db, row, hold, kind)
    if ask is None or ask.kind is not kind:
        return None
    return replace(ask, asked=row["updated"], title=ask.title or row["title"] or "", why=ask.why or hold.why)


def _looking(hold: Hold) -> AskKind | None:
    """What is asked while the task looks whether it can go on without an answer."""
    return hold.ask.kind if hold.looks and hold.ask is not None else None


def _before_asks(db: sqlite3.Connection, row: sqlite3.Row, hold: Hold, kind: AskKind) -> Ask | None:
    """The same of a hold from before holds said what they ask."""
    if kind is AskKind.QUESTION:
        sql = "SELECT count(*) AS n FROM step WHERE task = ? AND life = ? AND name LIKE 'signal %'"
        n = db.execute(sql, (row["id"], row["life"])).fetchone()["n"]
        name = f"{row['id']}.{row['life']}.answer-{n}"
        return Ask(id=name, task=row["id"], repo=row["lane"], kind=kind, actions=(Action.ANSWER,))
    if hold.reason not in (HoldReason.NEEDS_APPROVAL, HoldReason.JUDGES_DISAGREE):
        return None
    sql = "SELECT name, output FROM step WHERE task = ? AND life = ? AND (name LIKE 'examine %' OR name LIKE 'signal decision %')"
    steps = {step["name"]: step["output"] for step in db.execute(sql, (row["id"], row["life"]))}
    n = max((int(name.split()[1]) for name in steps if name.startswith("examine ")), default=0)
    if not n:
        return None
    k = 1 + max((int(m[2]) for name in steps if (m := _DECISION.fullmatch(name)) and int(m[1]) == n), default=0)
    land = Action.LAND_ANYWAY if hold.why.startswith(BLOCKED) else Action.LAND
    return Ask(
        id=f"{row['id']}.{row['life']}.{n}.{k}", task=row["id"], repo=row["lane"], kind=kind,
        commit=decode(steps[f"examine {n}"], Examined).commit, actions=(land, Action.REJECT),
    )  # fmt: skip


# -- questions that runs filed ------------------------------------------------------------------------------


def filed(db: sqlite3.Connection, task: str) -> dict[str, Question]:
    """What a task's runs would have asked a person, by id: of the same wish in more than one life the latest."""
    sql = "SELECT data FROM event WHERE task = ? AND what = 'question.asked' ORDER BY seq"
    found = (convert(json.loads(row["data"])["question"], Question) for row in db.execute(sql, (task,)))
    return {question.id: question for question in found}


def answered(db: sqlite3.Connection, task: str) -> set[str]:
    """Ids of a task's filed questions that were answered."""
    sql = "SELECT json_extract(data, '$.question') AS id FROM event WHERE task = ? AND what = 'question.answered'"
    return {row["id"] for row in db.execute(sql, (task,))}


def ask_of(question: Question, repo: str, title: str, since: float) -> Ask:
    """A filed question as what a person is asked. Nothing that is answered allows anything: settings do."""
    return Ask(
        id=question.id, task=question.task, repo=repo, kind=AskKind.QUESTION, actions=(Action.ANSWER,), title=title,
        why=question.text, choices=(Choice(label=KEEP, answer=KEEP),), asked=since,
    )  # fmt: skip


def open_questions(db: sqlite3.Connection, task: str | None = None) -> list[tuple[Ask, Question]]:
    """Filed questions that nobody has answered, of one task or of all, the oldest first."""
    sql = (
        "SELECT e.task, min(e.at) AS at, t.lane, json_extract(t.input, '$.title') AS title FROM event e JOIN task t "
        "ON t.id = e.task WHERE e.what = 'question.asked' AND (? IS NULL OR e.task = ?) GROUP BY e.task ORDER BY at"
    )
    found = list[tuple[Ask, Question]]()
    for row in db.execute(sql, (task, task)).fetchall():
        done = answered(db, row["task"])
        asks = (each for each in filed(db, row["task"]).values() if each.id not in done)
        found += [(ask_of(each, row["lane"], row["title"] or "", row["at"]), each) for each in asks]
    return found


def open_ask(db: sqlite3.Connection, about: str) -> Ask | None:
    """What is asked under this id now. about: the id of an ask, of a filed question, or of a task that waits."""
    task = task_of(about)
    if (waits := asked(db, task)) is not None and about in (task, waits.id):
        return waits
    return next((ask for ask, _ in open_questions(db, task) if ask.id == about), None)


def task_of(about: str) -> str:
    """The task in the id of an ask: it comes first and holds no dot."""
    return about.partition(".")[0]


def needs_person(db: sqlite3.Connection, hold: Hold, wait_for: str) -> bool:
    """Whether nothing goes on without a person. A pause was a person's own wish; a time or another task's end comes
    by itself."""
    if hold.reason in (HoldReason.PAUSED, HoldReason.PR_BACKLOG):  # what has to be decided there says so itself
        return False
    if hold.reason is HoldReason.DEPENDENCY:
        other = db.execute("SELECT state FROM task WHERE id = ?", (wait_for.removeprefix("task "),)).fetchone()
        return other is None or other["state"] == "done"
    return hold.until is None or hold.late is not None or hold.reason not in PASSING
