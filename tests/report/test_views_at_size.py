"""What is looked at all day is found by indexes and kept sums: it must say the same as reading everything."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.durable.journal import Journal, migrations
from overnight.durable.ledger import Run, day_of, taken
from overnight.judge.budget import BudgetSettings
from overnight.missions.codec import builtins
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.task import Repo, Task
from overnight.report.budget import budget, settled_by_repo
from overnight.report.now import read_now
from overnight.report.rows import make_row
from overnight.report.status import read_status
from overnight.report.tasks import tasks
from overnight.report.views import State, TaskRow

NOW = 1_800_000_000.0
MIXED = settings(max_examples=60, deadline=None)
#: (lane, what it is, priority, minutes ago, life)
KINDS = ("queued", "turn", "runs", "held", "passes", "depends", "landed", "failed")
DRAWN = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 3000), st.integers(1, 2)
    ),
    max_size=30,
)


def a_journal(home: Path) -> Journal:
    """Empty, and without the disk's patience."""
    journal = Journal(home)
    journal.db.execute("PRAGMA synchronous=OFF")
    return journal


def put(db: sqlite3.Connection, n: int, lane: str, kind: str, priority: int, ago: int, life: int) -> None:
    """One task."""
    task = Task(id=f"t{n}", repo=Repo(name=lane, path="/r", target="main"), title=f"Title {n % 7}", text="t")
    reason, until = {
        "held": (HoldReason.NEEDS_APPROVAL, None), "passes": (HoldReason.LIMIT_REACHED, NOW + 9), "depends": (HoldReason.DEPENDENCY, None),
    }.get(kind, (None, None))  # fmt: skip
    hold = None if reason is None else json.dumps(builtins(Hold(reason=reason, why="w", releases_on="r", until=until)))
    state = "done" if kind in ("landed", "failed") else "ready" if kind == "runs" else "waiting"
    phase = kind if state == "done" else "queued" if kind == "queued" else "running"
    wait = f"task t{n - 1}" if kind == "depends" else None
    values = (f"t{n}", "task", lane, priority, life, state, phase, wait, "work" if kind in ("queued", "turn") else None, hold,
              json.dumps(builtins(task)), NOW - 60 * ago - n, NOW - 60 * ago)  # fmt: skip
    db.execute(
        "INSERT INTO task(id, flow, lane, priority, life, state, phase, wait_for, need_pool, hold, input, created, updated) "
        f"VALUES ({', '.join('?' * len(values))})",
        values,
    )


def every(db: sqlite3.Connection, home: Path) -> list[TaskRow]:
    """All tasks, read one by one, the latest change first."""
    sql = (
        "SELECT id, lane, life, state, phase, wait_for, need_pool, hold, want, priority, output, created, updated, "
        "json_extract(input, '$.title') AS title FROM task ORDER BY updated DESC, id"
    )
    return [make_row(db, home, row) for row in db.execute(sql).fetchall()]


def in_line(rows: list[TaskRow]) -> list[str]:
    """Ids in the order in which tasks begin."""
    return [row.id for row in sorted(rows, key=lambda row: (-row.priority, row.created, row.id))]


def ids(rows: tuple[TaskRow, ...]) -> list[str]:
    return [row.id for row in rows]


def asks(row: TaskRow) -> bool:
    return row.hold is not None and row.hold.needs_person


@MIXED
@given(drawn=DRAWN, most=st.integers(1, 5))
def test_looks_tell_what_reading_every_task_tells(
    tmp_path_factory: Any, drawn: list[tuple[str, str, int, int, int]], most: int
) -> None:
    """Now, status and pages of tasks: the same tasks in the same order, cut where they are cut, with true counts."""
    home = tmp_path_factory.mktemp("state")
    with closing(a_journal(home)) as journal:
        for n, each in enumerate(drawn):
            put(journal.db, n, *each)
        rows, since = every(journal.db, home), NOW - 86400
        ended = [row for row in rows if row.state is State.ENDED and row.since >= since]
        now = read_now(journal.db, home, NOW, since)
        assert sorted(ids(now.needs_person)) == sorted(row.id for row in rows if asks(row))
        assert now.waiting_count == sum(
            row.state is State.WAITING or (row.state is State.HELD and not asks(row)) for row in rows
        )
        assert ids(now.queued) == in_line([row for row in rows if row.state is State.QUEUED])[:12]
        assert ids(now.active) == in_line([row for row in rows if row.state is State.ACTIVE])
        assert sum(now.ended_counts.values()) == len(ended)
        for cut in (None, most):
            for repo in read_status(journal.db, home, NOW, since, most=cut).repos:
                own = [row for row in rows if row.repo == repo.name]
                wanted = {
                    "needs_person": in_line([row for row in own if asks(row)]),
                    "active": in_line([row for row in own if row.state is State.ACTIVE]),
                    "waiting": in_line(
                        [row for row in own if row.state in (State.WAITING, State.HELD) and not asks(row)]
                    ),
                    "ended": [row.id for row in ended if row.repo == repo.name],
                }
                for name, known in wanted.items():
                    assert ids(getattr(repo, name)) == known[:cut], name
                    assert getattr(repo, f"{name}_count") == len(known), name
                assert repo.queued == sum(row.state is State.QUEUED for row in own)
        for state in (None, *State):
            for words in ("", "title 3"):
                fits = [row.id for row in rows if state in (None, row.state) and words in row.title.lower()]
                page = tasks(home, state=state, words=words, offset=most, most=most)
                assert (ids(page.tasks), page.total) == (fits[most : 2 * most], len(fits))


#: (run, repo, day, what happens to it)
SPENT = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from("ab"), st.integers(0, 40), st.sampled_from(["grant", "settle", "unpriced", "drop"]),
              st.integers(0, 10**13)),
    max_size=40,
)  # fmt: skip


def spend(db: sqlite3.Connection, run: int, repo: str, ago: int, what: str, usd: int) -> None:
    """As the ledger writes it."""
    day, month, _, _ = day_of(NOW - ago * 86400.0)
    name = f"t{run}.1.1"
    if what == "grant":
        db.execute(
            "INSERT INTO spend(run, task, repo, day, month, at, paid, allowance, windows, reserved_usd, reserved_tokens) "
            "VALUES (?, ?, ?, ?, ?, ?, 1, '{}', '[]', ?, ?) ON CONFLICT DO UPDATE SET day = excluded.day, month = excluded.month, "
            "reserved_usd = excluded.reserved_usd, reserved_tokens = excluded.reserved_tokens WHERE settled IS NULL",
            (name, f"t{run}", repo, day, month, NOW, usd, usd % 1000),
        )
    elif what == "drop":
        db.execute("DELETE FROM spend WHERE run = ?", (name,))
    else:
        db.execute(
            "UPDATE spend SET settled = ?, usd = ?, tokens = ?, unpriced = ?, reserved_usd = 0, reserved_tokens = 0 WHERE run = ?",
            (NOW, usd, usd % 77, what == "unpriced", name),
        )


def same_sums(home: Path, db: sqlite3.Connection) -> None:
    """The budget at a glance against the sums over all runs."""
    seen = budget(home, BudgetSettings(), NOW)
    repos = {row[0] for row in db.execute("SELECT DISTINCT repo FROM spend")}
    assert {each.repo for each in seen.spent} == {None, *repos}
    sql = (
        "SELECT repo, count(*) AS runs, sum(usd) AS usd, sum(tokens) AS tokens, sum(unpriced) AS unpriced FROM spend "
        "WHERE settled IS NOT NULL GROUP BY repo"
    )
    assert {tuple(row) for row in settled_by_repo(db)} == {tuple(row) for row in db.execute(sql)}
    for each in seen.spent:
        spent, held = taken(db, each.span, Run(id="", task="", repo="", at=NOW), each.repo)
        assert (each.usd, each.tokens, each.reserved_usd, each.reserved_tokens) == (
            spent.usd, spent.tokens, held.usd, held.tokens,
        )  # fmt: skip
        which = {"day": f"day = '{day_of(NOW)[0]}'", "month": f"month = '{day_of(NOW)[1]}'", "all": "1"}[each.span]
        sql = f"SELECT count(*) FROM spend WHERE unpriced AND {which} AND (?1 IS NULL OR repo = ?1)"
        assert each.unpriced == db.execute(sql, (each.repo,)).fetchone()[0]


@MIXED
@given(drawn=SPENT)
def test_kept_sums_are_the_sums_of_all_runs(
    tmp_path_factory: Any, drawn: list[tuple[int, str, int, str, int]]
) -> None:  # fmt: skip
    """Whatever is granted, settled and taken away, in whatever order, each span of each repo has what its runs took."""
    home = tmp_path_factory.mktemp("state")
    with closing(a_journal(home)) as journal:
        for each in drawn:
            spend(journal.db, *each)
        same_sums(home, journal.db)


def test_an_older_journal_gets_titles_and_sums(tmp_path: Path) -> None:
    """What was written before there were any is told as if they had always been there."""
    with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as db:
        for version, sql in migrations()[:3]:
            db.executescript(f"{sql}; PRAGMA user_version={version};")
        for n, kind in enumerate(KINDS):
            put(db, n, "a", kind, 0, n, 1)
        for each in (
            (0, "a", 0, "grant", 7),
            (1, "b", 3, "grant", 9),
            (0, "a", 0, "settle", 5),
            (2, "b", 40, "grant", 4),
        ):
            spend(db, *each)
    with closing(Journal(tmp_path)) as journal:
        assert [row.title for row in every(journal.db, tmp_path)] == [row.title for row in tasks(tmp_path).tasks]
        same_sums(tmp_path, journal.db)


def test_a_task_whose_words_change_is_found_by_the_new_ones(tmp_path: Path) -> None:
    """The title that is looked for is the one of its input."""
    with closing(a_journal(tmp_path)) as journal:
        put(journal.db, 0, "a", "queued", 0, 0, 1)
        journal.db.execute("UPDATE task SET input = json_set(input, '$.title', 'Other words')")
        assert ids(tasks(tmp_path, words="other").tasks) == ["t0"]
        assert ids(tasks(tmp_path, words="title").tasks) == []
