"""The index of logs: equal to the truth whatever happens to the logs and whenever it looks, and never half of a step."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from usage_logs import Person

from overnight.errors import IndexBroken, IndexNewer
from overnight.missions.tokens import Tokens
from overnight.missions.units import Money
from overnight.report.usage import BY, UsageView, Wanted, usage
from overnight.usage.index import Index, Progress
from overnight.usage.prices import Price

NOW = 1_795_250_000.0


def view(index: Index, by: str = "daily") -> UsageView:
    """What a command would show."""
    return usage(index.db, Wanted(by=by), NOW)


def by_session(found: UsageView) -> dict[str, Tokens]:
    """Tokens of each session."""
    return {row.name: row.tokens for row in found.rows}


def true_sums(person: Person, which: int) -> dict[str, Tokens]:
    """The truth, added up by session (0) or model (2)."""
    sums = dict[str, Tokens]()
    for each in person.truth.values():
        name = str(each[which])
        sums[name] = sums.get(name, Tokens()) + each[3]
    return sums


def agree(index: Index) -> None:
    """Every way to add it up comes to the same, to the last token and part of a dollar; nothing is kept twice."""
    totals = {by: view(index, by).total for by in BY}
    for by, total in totals.items():
        found = view(index, by)
        assert sum((row.tokens for row in found.rows), Tokens()) == total.tokens == totals["daily"].tokens, by
        assert sum((row.cost for row in found.rows), Decimal(0)) == total.cost == totals["daily"].cost, by
        assert sum(row.unpriced for row in found.rows) == total.unpriced == totals["daily"].unpriced, by
        assert sum(row.answers for row in found.rows) == total.answers == totals["daily"].answers, by
    sums = "sum(input), sum(output), sum(read), sum(written), sum(hour), sum(searches), coalesce(sum(cost), 0)"
    cells, answers = (index.db.execute(f"SELECT {sums} FROM {table}").fetchone() for table in ("cell", "answer"))
    assert cells == answers


def true(person: Person, index: Index) -> None:
    """The index holds what was used, no more and no less, by session and by model."""
    assert by_session(view(index, "session")) == true_sums(person, 0)
    models = dict[str, Tokens]()
    for row in view(index, "model").rows:
        plain = row.name.removesuffix(" (fast)")
        models[plain] = models.get(plain, Tokens()) + row.tokens
    assert models == true_sums(person, 2)
    agree(index)


@pytest.mark.parametrize("seed", range(4))
def test_hostile_transcripts(seed: int, tmp_path: Path) -> None:
    """Copies, forks, halves, zeros, partial rows, sub-agents and nulls: tokens equal to the truth; a second look reads nothing."""
    person = Person(tmp_path / "claude", seed)
    person.live(300)
    with Index(tmp_path / "state") as index:
        assert person.index(index).problems == ()
        true(person, index)
        assert person.index(index).read == 0


STEPS = ("answer", "noise", "damage", "tear", "fork", "delegate", "rewrite", "overwrite", "delete", "index", "begin")


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), max_size=40))
def test_any_interleaving(seed: int, steps: list[tuple[str, int]]) -> None:
    """Whatever is appended, torn, rewritten, cut, copied and deleted between two looks, the index ends at the truth;
    what a log lost after it was seen stays counted."""
    with TemporaryDirectory() as folder, Index(Path(folder, "state")) as index:
        person = Person(Path(folder, "claude"), seed)
        person.begin()
        for step, which in steps:
            if step == "begin":
                person.begin()
            elif step == "index":
                person.index(index)
            else:
                getattr(person, step)(person.logs[which % len(person.logs)])
        person.index(index)
        true(person, index)


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 25), min_size=1, max_size=6))
def test_bit_by_bit_is_all_at_once(seed: int, spans: list[int]) -> None:
    """An index that followed the logs has the same rows as one that is made of them at the end."""
    with TemporaryDirectory() as folder, Index(Path(folder, "a")) as one, Index(Path(folder, "b")) as other:
        person = Person(Path(folder, "claude"), seed)
        for span in spans:
            person.live(span)
            person.index(one)
        person.index(other)
        for by in BY:
            assert view(one, by) == view(other, by)


# -- interruptions ------------------------------------------------------------------------------------------

_VICTIM = """
import os, signal, sys
from pathlib import Path
from overnight.usage import index
from overnight.usage.places import Root
home, root, at = sys.argv[1:]
index.BATCH = 20_000
left = int(at)
def count(statement):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
made = index.Index(Path(home))
made.db.set_trace_callback(count)
made.refresh([Root(agent="claude", path=root)])
"""


def _refresh(state: Path, person: Person, at: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _VICTIM, str(state), person.root.path, str(at)])


@pytest.mark.slow
@pytest.mark.parametrize("at", [2, 40, 400, 800])
def test_killed_anywhere(at: int, tmp_path: Path) -> None:
    """A process that dies at any statement leaves an index that adds up, and the next one completes it."""
    person = Person(tmp_path / "claude", 7)
    person.live(250)
    with _refresh(tmp_path / "state", person, at) as process:
        assert process.wait(120) == -9
    with Index(tmp_path / "state") as index:
        agree(index)
        person.index(index)
        true(person, index)


@pytest.mark.slow
def test_several_at_once(tmp_path: Path) -> None:
    """Processes that bring one index up to date at the same time end well and count nothing twice."""
    person = Person(tmp_path / "claude", 11)
    person.live(250)
    processes = [_refresh(tmp_path / "state", person, -1) for _ in range(3)]
    for process in processes:
        with process:
            assert process.wait(120) == 0
    with Index(tmp_path / "state") as index:
        true(person, index)
        assert person.index(index).read == 0


# -- around it ----------------------------------------------------------------------------------------------


def test_logs_are_left_as_they_are(tmp_path: Path) -> None:
    """Nothing in the person's folder is written, made or touched."""
    person = Person(tmp_path / "claude", 3)
    person.live(60)

    def now() -> dict[str, tuple[int, int, int]]:
        found = ((path, path.stat()) for path in tmp_path.joinpath("claude").rglob("*"))
        return {str(path): (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in found}

    before = now()
    with Index(tmp_path / "state") as index:
        person.index(index)
    assert now() == before


def test_own_prices_and_unknown_models(tmp_path: Path) -> None:
    """A model without a price counts its tokens and no dollar, until a price is named: then all of it is priced anew."""
    person = Person(tmp_path / "claude", 5)
    person.live(120)
    unknown = "some-model-nobody-prices"
    with Index(tmp_path / "state") as index:
        person.index(index)
        before = view(index).total
        assert unknown in before.unpriced_models
    price = {unknown: Price(input=Money(1), output=Money(2))}
    with Index(tmp_path / "state", price) as index:
        person.index(index)
        after = view(index).total
        assert (after.tokens, after.answers) == (before.tokens, before.answers)
        assert after.cost > before.cost
        assert after.unpriced < before.unpriced
        agree(index)
    with Index(tmp_path / "state") as index:
        person.index(index)
        assert view(index).total == before


def test_an_index_of_another_version_is_refused(tmp_path: Path) -> None:
    """A newer schema is left alone; what is no index is named, and neither is overwritten."""
    with Index(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "usage.db") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(IndexNewer):
        Index(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "usage.db").write_bytes(b"no database" * 400)
    with pytest.raises(IndexBroken, match="made anew"):
        Index(other)
    assert (other / "usage.db").read_bytes() == b"no database" * 400


def test_an_index_is_the_owners_alone(tmp_path: Path) -> None:
    """Nobody else can read what was worked on."""
    with Index(tmp_path / "state"):
        assert (tmp_path / "state" / "usage.db").stat().st_mode & 0o077 == 0


def test_it_tells_how_far_it_is(tmp_path: Path) -> None:
    """From nothing to all, never back, in logs and in bytes; later only what is new counts, and an unchanged one not."""
    person = Person(tmp_path / "claude", 5)
    logs = [person.begin() for _ in range(3)]
    for log in logs:
        person.answer(log)
    size = sum(log.path.stat().st_size for log in logs)
    with Index(tmp_path / "state") as index:
        seen = list[Progress]()
        index.refresh([person.root], seen.append)
        assert (seen[0], seen[-1]) == (
            Progress(files=3, read=0, size=size, bytes=0), Progress(files=3, read=3, size=size, bytes=size)
        )  # fmt: skip
        assert [each.bytes for each in seen] == sorted(each.bytes for each in seen)
        before = logs[1].path.stat().st_size
        person.answer(logs[1])
        new = logs[1].path.stat().st_size - before
        seen.clear()
        index.refresh([person.root], seen.append)
        assert (seen[0].size, seen[-1]) == (new, Progress(files=1, read=1, size=new, bytes=new))
        # Written anew, it is read anew: more than its growth told.
        text = logs[2].path.read_bytes()
        logs[2].path.write_bytes(b'{"other": "beginning"}\n' + text)
        seen.clear()
        index.refresh([person.root], seen.append)
        assert seen[-1].bytes == seen[-1].size == len(text) + 23
