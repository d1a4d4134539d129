"""The outbox: what is told once, when, together with what, and how often it is tried."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from notify_lab import NOON, World, notice

from overnight.durable.journal import Observer, verify_journal
from overnight.judge.limits import CAP_S, FLOOR_S
from overnight.missions.hold import HoldReason
from overnight.missions.notice import Priority
from overnight.people.outbox import MOST_WAIT_S, Result

ONE = """
[notify]
quiet = "22:00-07:00"
zone = "Europe/Berlin"
[notify.targets.phone]
url = "json://127.0.0.1/a"
"""
TWO = ONE + '[notify.targets.mail]\nurl = "json://127.0.0.1/b"\n'
DOWN = Result(ok=False, why="it is down")


def at(text: str, zone: str = "Europe/Berlin") -> float:
    """Epoch seconds of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    """Makes worlds in one home; whoever makes one closes it."""

    def make(text: str = ONE, now: float = NOON, observer: Observer | None = None) -> World:
        return World(tmp_path / "home", text, now=now, observer=observer)

    return make


def test_a_hold_is_told_once_however_often_it_comes(world: Callable[..., World]) -> None:
    """The same hold by the timer a hundred times is one message; after a person's resume it is news again."""
    w = world()
    w.submit("t1")
    w.look()
    for n in range(100):
        w.hold("t1", HoldReason.STUCK, f"silent for {n}m")
    w.look()
    w.clock.advance(10)
    assert w.send() == [("phone", ["t1 in shop “Mend it” is stuck"])]
    assert w.rows("SELECT count FROM notice") == [{"count": 100}]
    w.desk.call("resume", {"actor": "cli", "task": "t1"})
    w.hold("t1", HoldReason.STUCK, "silent for 5m")
    w.look()
    w.clock.advance(10)
    assert len(w.send()) == 1
    w.close()


def test_a_login_that_expired_is_told_once_for_all_tasks(world: Callable[..., World]) -> None:
    """Twenty tasks on one account are one fact with a count, and a new one only when the account has worked meanwhile."""
    w = world()
    w.look()
    for n in range(20):
        w.submit(f"t{n}")
        w.hold(f"t{n}", HoldReason.AUTH_EXPIRED, "401", about="claude direct")
    w.look()
    w.clock.advance(10)
    assert w.send() == [("phone", ["A login has expired: log in again (claude direct)"])]
    w.hold("t3", HoldReason.AUTH_EXPIRED, "401", about="claude direct")
    w.look()
    w.clock.advance(10)
    assert w.send() == []
    w.journal.tell("breaker.closed", account="claude direct")
    w.hold("t4", HoldReason.AUTH_EXPIRED, "401", about="claude direct")
    w.look()
    w.clock.advance(10)
    assert len(w.send()) == 1
    w.close()


def test_after_the_window_the_same_fact_is_told_again(world: Callable[..., World]) -> None:
    """`notify.repeat` after the first time, what is still going on is told once more."""
    w = world()
    for _ in range(3):
        assert w.outbox.add(notice("disk", Priority.URGENT))
        assert not w.outbox.add(notice("disk", Priority.URGENT))
        assert len(w.send()) == 1
        w.clock.advance(6 * 3600)
    w.close()


def test_a_clock_that_was_set_back_silences_nothing(world: Callable[..., World]) -> None:
    """What was told while the clock was years ahead is news again, and no hour of that time keeps a target full."""
    w = world(ONE.replace("[notify]", "[notify]\nmost = 1"), now=NOON + 4 * 365 * 86400)
    assert w.outbox.add(notice("disk"))
    w.clock.advance(10)
    assert len(w.send()) == 1
    w.close()
    w = world(ONE.replace("[notify]", "[notify]\nmost = 1"))
    assert w.outbox.add(notice("disk"))
    w.clock.advance(10)
    assert len(w.send()) == 1
    w.close()


def test_what_waits_since_a_clock_was_ahead_is_told(world: Callable[..., World]) -> None:
    """An urgent message whose try failed by a clock that was years ahead goes out once the clock is right."""
    w = world(now=NOON + 4 * 365 * 86400)
    assert w.outbox.add(notice("disk", Priority.URGENT))
    for batch in w.outbox.begin():
        w.outbox.settle(batch.id, DOWN)
    w.close()
    w = world()
    assert w.send() == [("phone", ["disk happened"])]
    w.close()


def test_a_far_end_that_asks_for_years_is_asked_again_after_a_day(world: Callable[..., World]) -> None:
    """`Retry-After` without measure puts nothing off for ever."""
    w = world()
    w.outbox.add(notice("now", Priority.URGENT))
    (batch,) = w.outbox.begin()
    w.outbox.settle(batch.id, Result(ok=False, why="429", retry_after=float("inf")))
    assert w.outbox.next_due() == NOON + MOST_WAIT_S
    assert w.send() == []
    w.close()


def test_what_is_over_is_not_told(world: Callable[..., World]) -> None:
    """A task that was decided in the evening wakes nobody in the morning with its question."""
    w = world(now=at("2026-11-21T23:00"))
    w.submit("t1")
    w.look()
    w.hold("t1", HoldReason.STUCK)
    w.look()
    assert w.send() == []
    w.end("t1", "cancelled")
    w.look()
    w.clock.advance(12 * 3600)
    assert w.send() == []
    assert [row["state"] for row in w.rows()] == ["moot"]
    w.close()


def test_quiet_hours_hold_back_all_but_what_is_urgent(world: Callable[..., World]) -> None:
    """At night an urgent fact goes at once; the others come together when it ends, by the clock of the zone."""
    w = world(now=at("2026-11-21T23:30"))
    for n, priority in enumerate((Priority.HIGH, Priority.URGENT, Priority.HIGH)):
        w.outbox.add(notice(f"n{n}", priority))
    assert w.send() == [("phone", ["n1 happened"])]
    assert w.outbox.next_due() == at("2026-11-22T07:00")
    w.clock.advance(at("2026-11-22T07:00") - w.clock.now())
    assert w.send() == [("phone", ["n0 happened", "n2 happened"])]
    w.close()


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-03-28T23:00", "2026-03-29T07:00"),  # clocks go forward
        ("2026-10-24T23:00", "2026-10-25T07:00"),  # and back
        ("2026-12-31T22:00", "2027-01-01T07:00"),
    ],
)
def test_quiet_hours_end_by_the_local_clock(world: Callable[..., World], now: str, due: str) -> None:
    """Where clocks are changed at night, seven in the morning is still seven in the morning."""
    w = world(now=at(now))
    w.outbox.add(notice())
    assert w.outbox.next_due() == at(due)
    w.close()


def test_the_digest_gathers(world: Callable[..., World]) -> None:
    """What can wait is one message at the hour of the digest, and not before."""
    w = world()
    for n in range(5):
        w.outbox.add(notice(f"n{n}", Priority.LOW if n % 2 else Priority.NORMAL))
    w.clock.advance(3600)
    assert w.send() == []
    w.clock.advance(at("2026-11-22T08:00") - w.clock.now())
    assert w.send() == [("phone", [f"n{n} happened" for n in (0, 2, 4, 1, 3)])]
    w.close()


def test_a_target_gets_what_it_asks_for(world: Callable[..., World]) -> None:
    """Priorities that a target does not name are not for it; what is urgent is for every one."""
    w = world(ONE + '[notify.targets.quiet]\nurl = "json://127.0.0.1/b"\nat_once = []\ndigest = []\n')
    for priority in Priority:
        w.outbox.add(notice(priority, priority))
    w.clock.advance(10)
    assert ("quiet", ["urgent happened"]) in w.send()
    assert len(w.rows("SELECT 1 FROM delivery WHERE target = 'quiet'")) == 1
    w.close()


def test_a_storm_is_a_few_messages(world: Callable[..., World]) -> None:
    """A thousand facts at once are five messages; what comes beyond `notify.most` in an hour waits until it is over."""
    w = world(ONE.replace("[notify]", "[notify]\nmost = 3"))
    for n in range(1000):
        w.outbox.add(notice(f"n{n}"))
    w.clock.advance(10)
    assert [len(titles) for _, titles in w.send()] == [200, 200, 200]
    w.outbox.add(notice("now", Priority.URGENT))
    assert w.send() == [("phone", ["now happened"])]
    w.clock.advance(3600)
    assert sum(len(titles) for _, titles in w.send()) >= 200
    w.close()


def test_tries_wait_longer_and_longer_and_end(world: Callable[..., World]) -> None:
    """Each wait lies within the backoff's bounds; after the last try it is given up, and the other targets are told."""
    w = world(TWO.replace("[notify]", "[notify]\ntries = 5"))
    w.journal.put("notify", "cursor", "0")
    w.outbox.add(notice(but="mail"))
    waits: list[float] = []
    for n in range(5):
        w.clock.advance((w.outbox.next_due() or 0) - w.clock.now())
        assert [target for target, _ in w.send(DOWN)] == ["phone"], n
        waits.append((w.outbox.next_due() or w.clock.now()) - w.clock.now())
    assert all(FLOOR_S <= wait <= CAP_S for wait in waits[:-1])
    assert waits[3] > waits[0]
    assert [(row["state"], row["tries"], row["why"]) for row in w.rows()] == [("dead", 5, "it is down")]
    w.look()
    w.clock.advance(10)
    assert w.send() == [("mail", ["Nothing reaches you by way of 'phone'"])]
    assert w.rows("SELECT why, data FROM event WHERE what = 'notify.dead'")[0]["why"] == "it is down"
    w.close()


def test_a_far_end_that_asks_for_time_gets_it(world: Callable[..., World]) -> None:
    """`retry_after` is never undercut."""
    w = world()
    w.outbox.add(notice("n", Priority.URGENT))
    w.send(Result(ok=False, why="429", retry_after=1234.0))
    assert w.outbox.next_due() == w.clock.now() + 1234.0
    w.close()


def test_one_target_that_is_down_keeps_no_other_waiting(world: Callable[..., World]) -> None:
    """Targets fail each for itself."""
    w = world(TWO)
    w.outbox.add(notice("n", Priority.URGENT))
    first, second = w.outbox.begin()
    w.outbox.settle(first.id, DOWN)
    w.outbox.settle(second.id, Result(ok=True))
    assert {row["target"]: row["state"] for row in w.rows()} == {first.target: "waiting", second.target: "sent"}
    w.close()


def test_the_first_look_tells_what_waits_and_nothing_old(world: Callable[..., World]) -> None:
    """Whoever names a target is told of what is held now, and not of a year of landings."""
    w = world()
    for n in range(3):
        w.submit(f"t{n}")
        w.end(f"t{n}")
    w.submit("now")
    w.hold("now", HoldReason.CONFLICT)
    w.look()
    assert [row["key"].split()[:2] for row in w.rows("SELECT key FROM notice")] == [["held", "now"]]
    w.end("now")
    w.look()
    assert len(w.rows("SELECT key FROM notice")) == 2
    w.close()


def test_a_target_that_is_no_more_keeps_nothing_waiting(world: Callable[..., World]) -> None:
    """What waits for a target that was taken out of the settings is let go of."""
    w = world(TWO)
    w.outbox.add(notice("n", Priority.URGENT))
    w.close()
    w = world(ONE)
    assert [target for target, _ in w.send()] == ["phone"]
    assert w.outbox.next_due() is None
    w.close()


def test_the_sweep_keeps_what_waits(world: Callable[..., World]) -> None:
    """What was told long ago is forgotten; what still waits is not."""
    w = world()
    w.outbox.add(notice("old", Priority.URGENT))
    w.send()
    w.outbox.add(notice("down", Priority.URGENT))
    w.send(DOWN)
    w.clock.advance(90 * 86400)
    w.outbox.sweep(30 * 86400)
    assert [row["key"] for row in w.rows("SELECT key FROM notice")] == ["down"]
    w.close()


class _Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("moment", range(8))
def test_killed_at_any_commit_every_fact_goes_out(world: Callable[..., World], moment: int) -> None:
    """Cut off before or after any commit, the next process makes each notice once and sends each; only a message whose
    outcome was not on record goes twice."""
    left = [moment]

    def watch(_when: str, _label: str) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise _Killed

    def play(w: World) -> None:
        w.look()
        w.clock.advance(10)
        w.send()

    w = world(now=NOON)
    w.look()
    w.submit("t1")
    w.submit("t2")
    w.hold("t1", HoldReason.STUCK)
    w.hold("t2", HoldReason.CONFLICT)
    w.close()
    w = world(now=NOON, observer=watch)
    with pytest.raises(_Killed):
        play(w)
    w.close()
    w = world(now=NOON + 60)
    for batch, _ in w.outbox.unfinished():
        w.outbox.settle(batch, Result(ok=False, why="nobody knows"))
    play(w)
    w.clock.advance(3600)
    play(w)
    assert [(row["state"]) for row in w.rows()] == ["sent", "sent"]
    assert len(w.rows("SELECT key FROM notice")) == 2
    assert verify_journal(w.journal.home / "journal.db") > 0
    w.close()
