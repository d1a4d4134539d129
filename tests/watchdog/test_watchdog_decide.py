"""What the watchdog decides, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.service.plan import plan_of
from overnight.service.restarts import CAP_S, FLOOR_S, backoff
from overnight.watchdog.decide import MANAGER_S, asks, decide, folded
from overnight.watchdog.facts import (
    Act,
    Beat,
    DaemonSeen,
    KillDaemon,
    KillWarden,
    Ping,
    Rules,
    Severity,
    Sight,
    StartDaemon,
    State,
    Tell,
    WardenSeen,
)

RULES = Rules()
GIB = 1 << 30
BEAT = Beat(
    pid=7, started=100.0, boot="b", n=0, turns=0, ready=0, queued=0, live=0, paused=False, trouble="", ended=False
)
RUN = WardenSeen(
    run="t.1.1", pid=9, started=200.0, alive=True, stopped=False, over=False, lost=False, launched=True, beat=0.0, age=10.0,
    wall=3600.0, spent=0.0, allowed=5.0,
)  # fmt: skip


class Room:
    """A machine in values: daemon and runs are well unless the test says otherwise."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules, self.state = rules, State()
        self.mono, self.boot, self.wall = 1000.0, 2000.0, 1_000_000.0
        self.disk: int | None = 50 * GIB
        self.memory: int | None = 8 * GIB
        self.beat: Beat | None = BEAT
        self.alive, self.beating, self.stopped = True, True, False
        self.answers: bool | None = None
        self.runs: dict[str, WardenSeen] = {}
        self.runs_beat = True
        self.journal, self.stuck = "", False
        self.acts: list[Act] = []

    def look(self, after: float = 5.0, *, slept: float = 0.0, jumped: float = 0.0, took: float = 0.0) -> list[Act]:
        """One look, so many seconds after the last one; what was decided."""
        began = self.mono + after
        self.mono = began + took
        self.boot += after + took + slept
        self.wall += after + took + slept + jumped
        if self.beat is not None and self.beating and self.alive:
            self.beat = self.beat._replace(n=self.beat.n + 1, turns=self.beat.turns + 1)
        for name, run in self.runs.items():
            beat = self.wall if self.runs_beat else run.beat
            self.runs[name] = run._replace(beat=beat, age=run.age + after + took + slept)
        daemon = DaemonSeen(self.beat, self.alive, self.stopped, self.answers) if self.beat is not None else None
        sight = Sight(
            began=began, mono=self.mono, boot=self.boot, wall=self.wall, disk=self.disk, memory=self.memory,
            journal=self.journal, daemon=None if self.stuck else daemon,
            wardens=() if self.stuck else tuple(self.runs.values()), stuck=self.stuck,
        )  # fmt: skip
        self.state, acts = decide(self.rules, self.state, sight)
        self.acts += acts
        return list(acts)

    def looks(self, seconds: float) -> list[Act]:
        """Looks every five seconds for so long; all that was decided."""
        return [act for _ in range(int(seconds // 5)) for act in self.look()]

    def told(self) -> list[str]:
        return [act.key for act in self.acts if isinstance(act, Tell)]


def of(kind: type[Any], acts: list[Act]) -> list[Any]:
    """Acts of one kind."""
    return [act for act in acts if isinstance(act, kind)]


def test_a_well_machine_is_left_alone() -> None:
    """For a day: nothing is told, nothing is killed."""
    room = Room()
    room.runs["t.1.1"] = RUN._replace(wall=None)
    room.looks(86400)
    assert room.acts == []


def test_a_dead_daemon_is_told_at_once_and_never_started() -> None:
    """At the next look, once; it is told again only after hours, and when one runs again."""
    room = Room()
    room.looks(60)
    room.alive = False
    assert [act.severity for act in of(Tell, room.look())] == [Severity.ALARM]
    room.looks(3600)
    assert room.told() == ["daemon-dead"]
    room.looks(4 * 3600)
    assert room.told() == ["daemon-dead"] * 2
    assert of(StartDaemon, room.acts) == of(KillDaemon, room.acts) == []
    room.alive, room.beat = True, BEAT._replace(pid=8, started=500.0)
    assert "runs again" in of(Tell, room.look())[0].words


def test_a_daemon_that_ended_in_order_is_nobodys_death() -> None:
    """`overnight down`, and no daemon ever: silence."""
    room = Room()
    room.looks(60)
    room.alive, room.beat = False, BEAT._replace(ended=True)
    room.looks(3600)
    room.beat = None
    room.looks(3600)
    assert room.acts == []


def test_a_hung_daemon_is_killed_after_its_time_and_not_before() -> None:
    """60 s without a beat and no answer: told and killed, within one look more."""
    room = Room()
    room.look()
    room.beating, room.answers = False, False
    assert room.looks(60) == []
    acts = room.look()
    assert [act.key for act in of(Tell, acts)] == ["daemon-hangs"]
    assert [(act.pid, act.started) for act in of(KillDaemon, acts)] == [(7, 100.0)]


def test_a_daemon_that_answers_is_not_killed() -> None:
    """A beat that can't be written is no death: the socket answers."""
    room = Room()
    room.look()
    room.beating, room.answers = False, True
    room.looks(3600)
    assert room.acts == []
    assert asks(RULES, room.state, room.mono)


def test_only_told_where_killing_is_off() -> None:
    """`kill = false`: the person hears of it, nobody is touched."""
    room = Room(replace(RULES, kill=False))
    room.look()
    room.beating, room.answers, room.runs_beat = False, False, False
    room.runs["t.1.1"] = RUN
    room.looks(600)
    assert set(room.told()) == {"daemon-hangs", "run t.1.1"}
    assert of(KillDaemon, room.acts) == of(KillWarden, room.acts) == []


def killed(room: Room) -> None:
    """Have the daemon hang, be killed, and die of it."""
    assert room.beat is not None
    room.beating, room.answers = False, False
    while not of(KillDaemon, room.look()):
        pass
    room.alive = False


def comes_up(room: Room) -> float:
    """Look until a daemon is started, and let it come up; how long that took, seconds."""
    began = room.mono
    while not of(StartDaemon, room.look(1.0)):
        assert room.mono - began < 2 * CAP_S
    assert room.beat is not None
    room.beat = room.beat._replace(pid=room.beat.pid + 1, started=room.beat.started + 1)
    room.alive, room.beating, room.answers = True, True, None
    return room.mono - began


def test_what_it_killed_is_started_again_later_each_time() -> None:
    """10, 20, 40 ... seconds in a row of hangs; a daemon that was well for ten minutes begins anew."""
    room = Room(replace(RULES, restarts=100))
    room.look()
    waits: list[float] = []
    for _ in range(8):
        killed(room)
        waits.append(comes_up(room))
        room.look()
    for wait, least in zip(waits, (10, 20, 40, 80, 160, 320, 600, 600), strict=True):
        assert least * 0.75 - 1 <= wait <= min(600, least * 1.25) + 2, waits
    room.looks(700)
    killed(room)
    assert comes_up(room) <= 14


def test_a_crash_loop_ends() -> None:
    """So many starts within an hour and no more; that is told, and nothing is pinged."""
    room = Room(replace(RULES, restarts=2, ping="http://localhost/"))
    room.look()
    for _ in range(2):
        killed(room)
        comes_up(room)
        room.look()
    killed(room)
    room.acts.clear()
    room.looks(1800)
    assert "daemon-loops" in room.told()
    assert of(StartDaemon, room.acts) == of(Ping, room.acts) == []


def test_one_that_does_not_come_up_is_tried_again() -> None:
    """A start that led to nothing is made again, later, and counts."""
    room = Room()
    room.look()
    killed(room)
    room.looks(1200)
    assert 2 <= len(of(StartDaemon, room.acts)) <= RULES.restarts


@given(st.integers(0, 1000), st.floats(0, 1))
def test_backoff_stays_within_its_bounds(row: int, chance: float) -> None:
    """Never under 10 s, never over 600 s, a quarter more or less of the doubled base."""
    wait = backoff(row, chance)
    assert FLOOR_S <= wait <= CAP_S
    if row < 6:
        assert wait in (FLOOR_S, CAP_S) or 7.5 * 2**row <= wait <= 12.5 * 2**row


@pytest.mark.parametrize("restart", [True, False])
def test_what_a_service_manager_keeps_is_started_by_it_alone(restart: bool) -> None:
    """It is killed when it hangs, said who starts it, and never started here; the new one counts as that."""
    room = Room(replace(RULES, restart=restart))
    room.beat = BEAT._replace(keeper="systemd")
    killed(room)
    assert "systemd starts it again" in of(Tell, room.acts)[0].words
    room.looks(CAP_S)
    room.alive, room.beating = True, True
    room.beat = room.beat._replace(pid=8, started=900.0)
    room.answers = None
    room.looks(2 * 3600)
    assert of(StartDaemon, room.acts) == []
    assert "daemon-dead" not in room.told()
    assert room.state.killed is None


def test_a_service_manager_that_does_not_start_it_is_told() -> None:
    """Later than its longest wait, and once; the daemon is still nobody's to start."""
    room = Room()
    room.beat = BEAT._replace(keeper="systemd")
    killed(room)
    room.looks(MANAGER_S - 10)
    assert "daemon-dead" not in room.told()
    room.looks(30)
    assert room.told().count("daemon-dead") == 1
    assert "systemd starts it again, unless it died too often" in of(Tell, room.acts)[-1].words
    assert of(StartDaemon, room.acts) == []


def test_the_killers_come_one_after_the_other() -> None:
    """systemd's own watchdog waits longer than ours takes to kill; ours waits longer for the manager than that may wait."""
    room = Room()
    room.looks(60)
    room.beating, room.answers = False, False
    took = 0.0
    while not of(KillDaemon, room.look()):
        took += 5.0
    assert took + 5.0 + 15.0 < plan_of({}, "1", stale=RULES.stale).silent  # a look may itself take 15 s
    assert max(backoff(row, 1.0) for row in range(100)) < MANAGER_S


def test_a_warden_without_a_sign_of_life_is_killed() -> None:
    """After its two minutes; the run of a living one beside it is left alone."""
    room = Room()
    room.runs = {"t.1.1": RUN, "u.1.1": RUN._replace(run="u.1.1", pid=10)}
    room.look()
    room.runs_beat = False
    room.looks(115)
    assert room.acts == []
    room.runs["u.1.1"] = room.runs["u.1.1"]._replace(beat=5.0)
    acts = room.looks(15)
    assert {act.run for act in of(KillWarden, acts)} == {"t.1.1"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"age": 4500.0}, "lets it run for"),
        ({"spent": 7.0}, "let it spend 7.00 USD"),
    ],
)
def test_a_warden_that_lets_its_run_go_too_far_is_killed(change: dict[str, Any], words: str) -> None:
    """Its limits are the warden's to keep; well beyond them it has failed."""
    room = Room()
    room.runs["t.1.1"] = RUN._replace(**change)
    acts = room.look()
    assert words in of(KillWarden, acts)[0].why
    near = Room()
    near.runs["t.1.1"] = RUN._replace(age=3900.0, spent=6.0)
    assert near.look() == []


@pytest.mark.parametrize(
    ("silence", "grows", "quiet", "told"),
    [
        (480.0, True, 3600, []),
        (480.0, False, 820, []),
        (480.0, False, 840, ["quiet t.1.1"]),
        (480.0, False, 3600, ["quiet t.1.1"]),
        (1800.0, False, 2270, []),
        (None, False, 7200, []),
    ],
)
def test_a_pulse_without_progress_is_told(silence: float | None, grows: bool, quiet: int, told: list[str]) -> None:
    """A warden that beats, whose run says nothing for longer than it may and whose warden does not end it: told, not killed."""
    room = Room()
    room.runs["t.1.1"] = RUN._replace(wall=None, record=10.0, silence=silence)
    room.look()
    for _ in range(quiet // 5):
        if grows:
            room.runs["t.1.1"] = room.runs["t.1.1"]._replace(record=(room.runs["t.1.1"].record or 0) + 1)
        room.look()
    assert room.told() == told
    assert of(KillWarden, room.acts) == []
    room.runs["t.1.1"] = room.runs["t.1.1"]._replace(record=99.0)
    room.look()
    assert room.told() == [*told, *told]
    room.runs.clear()
    room.look()
    assert not room.state.told
    assert not [who for who in room.state.beats if "t.1.1" in who]


def test_a_warden_that_dies_is_told_once() -> None:
    """Without an outcome, or as one that was lost; one that ended in order is not."""
    for last in ({"alive": False}, {"alive": False, "over": True, "lost": True}):
        room = Room()
        room.runs["t.1.1"] = RUN
        room.looks(20)
        room.runs["t.1.1"] = RUN._replace(**last)
        room.looks(60)
        assert room.told() == ["run t.1.1"]
    room = Room()
    room.runs["t.1.1"] = RUN
    room.looks(20)
    room.runs["t.1.1"] = RUN._replace(alive=False, over=True)
    room.looks(60)
    assert room.acts == []


def test_disk_and_memory_are_told_and_taken_back() -> None:
    """Below the bound once; above it again only when there is clearly more. Unknown is nothing."""
    room = Room()
    room.disk, room.memory = GIB // 2, 100 << 20
    room.looks(60)
    assert room.told() == ["disk", "memory"]
    room.disk = GIB + GIB // 10
    room.looks(60)
    assert room.told() == ["disk", "memory"]
    room.disk, room.memory = None, None
    room.looks(60)
    assert room.told() == ["disk", "memory"]
    room.disk, room.memory = 2 * GIB, GIB
    room.look()
    assert room.told() == ["disk", "memory", "disk", "memory"]


def test_a_broken_journal_is_told() -> None:
    """What its beginning shows."""
    room = Room()
    room.journal = "its beginning was written over"
    room.look()
    assert room.told() == ["journal"]


def test_sleep_and_jumps_of_the_clock_are_told_and_judge_nobody() -> None:
    """A machine that slept for a night, a clock that was set: told as what it is, and nobody is killed."""
    room = Room()
    room.runs["t.1.1"] = RUN._replace(wall=7200.0)
    room.look()
    assert "slept for 8 h" in of(Tell, room.look(slept=8 * 3600.0))[0].words
    assert "forward by 60 min" in of(Tell, room.look(jumped=3600.0))[0].words
    assert "back by 60 min" in of(Tell, room.look(jumped=-3600.0))[0].words
    room.looks(600)
    assert set(room.told()) == {"slept", "clock"}
    assert of(KillDaemon, room.acts) == of(KillWarden, room.acts) == []


def test_a_watchdog_that_could_not_look_judges_nobody_by_that_time() -> None:
    """It was stopped for an hour itself, and finds beats as old as its own absence."""
    room = Room()
    room.runs["t.1.1"] = RUN._replace(wall=None)
    room.look()
    room.beating, room.runs_beat, room.answers = False, False, False
    assert room.look(3600.0) == []
    room.beating, room.runs_beat = True, True
    assert room.looks(600) == []


def test_slow_looks_do_not_hide_a_hang() -> None:
    """Each look waits for a socket that does not answer: that is no absence of the watchdog's."""
    room = Room(replace(RULES, look=0.1))
    room.look(0.1)
    room.beating, room.answers = False, False
    for _ in range(20):
        room.look(0.1, took=5.0)
    assert of(KillDaemon, room.acts)


def test_a_disk_that_does_not_answer_is_told() -> None:
    """A look that does not end says nothing of anybody but the disk."""
    room = Room()
    room.runs["t.1.1"] = RUN
    room.looks(60)
    room.stuck = True
    room.looks(300)
    assert room.told() == ["disk-stuck"]


def test_a_daemon_that_lives_and_does_nothing_is_told() -> None:
    """Its loop turns, its engine does not: five minutes of tasks that could go on."""
    room = Room()
    room.look()
    for _ in range(80):
        assert room.beat is not None
        room.beat = room.beat._replace(ready=3, turns=room.beat.turns - 1)  # `look` counts up: so it stays
        room.look()
    assert room.told() == ["daemon-stuck"]


def test_idleness_is_told_unless_it_was_asked_for() -> None:
    """Two hours in which tasks wait and nothing is worked on; a pause is somebody's wish."""
    for paused, told in ((False, ["daemon-idle"]), (True, [])):
        room = Room()
        room.beat = BEAT._replace(queued=4, paused=paused)
        room.looks(3 * 3600)
        assert room.told() == told


def test_what_the_daemon_says_itself_is_told() -> None:
    """It lives, and its journal can't be written."""
    room = Room()
    room.beat = BEAT._replace(trouble="the journal can't be written: disk full")
    room.look()
    room.beat = BEAT._replace(n=99)
    room.look()
    assert room.told() == ["daemon-trouble", "daemon-trouble"]


def test_the_ping_says_that_all_is_well() -> None:
    """Every minute; not while something is wrong, also not because of a task that waits."""
    room = Room(replace(RULES, ping="http://localhost/"))
    assert len(of(Ping, room.looks(600))) == 10
    room.alive = False
    assert of(Ping, room.looks(600)) == []


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 40), st.sampled_from([0.0, 0.0, 60.0, 30000.0]), st.sampled_from([0.0, 0.0, 7200.0, -7200.0])
        ),
        max_size=120,
    )
)
def test_no_healthy_run_is_ever_harmed(looks: list[tuple[float, float, float]]) -> None:
    """However looks are late, the machine sleeps and the clock jumps: who beats lives."""
    room = Room()
    room.runs["t.1.1"] = RUN._replace(wall=86400.0)
    for after, slept, jumped in looks:
        room.look(after, slept=slept, jumped=jumped)
    assert of(KillDaemon, room.acts) == of(KillWarden, room.acts) == of(StartDaemon, room.acts) == []


def test_a_storm_is_a_few_messages_with_the_worst_first() -> None:
    """Fifty wardens die at once and the disk is full: the disk is told by itself, most of the others in one message."""
    room = Room()
    room.runs = {f"t{n}.1.1": RUN._replace(run=f"t{n}.1.1", pid=100 + n, wall=None) for n in range(50)}
    room.looks(20)
    room.runs = {name: run._replace(alive=False) for name, run in room.runs.items()}
    room.disk = 0
    said = of(Tell, room.look())
    assert len(said) == 51
    out = folded(said)
    assert (len(out), out[0].key, out[-1].key) == (6, "disk", "storm")
    assert out[-1].severity is Severity.WARNING
    assert out[-1].words.startswith("46 more things at once (run t")
    assert folded(said[:5]) == tuple(said[:5])
    assert folded([]) == ()
