"""What follows from a look: value in, value out. No clock, no process, no file.

Ages are counted on the monotonic clock from when the watchdog itself saw something change. So a clock that jumps, a
machine that slept and a watchdog that was kept from looking make nobody look dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from overnight.service.restarts import CAP_S, HOUR_S, WELL_S, backoff
from overnight.watchdog.facts import (
    Act,
    Beat,
    DaemonSeen,
    KillDaemon,
    KillWarden,
    Ping,
    Rules,
    Seen,
    Severity,
    Sight,
    StartDaemon,
    State,
    Tell,
    WardenSeen,
)

#: A look that comes so many times later than it should was kept from coming: nobody is judged by that time.
AWAY = 4.0
#: Seconds by which clocks may differ before it is told.
JUMP_S, SLEPT_S = 30.0, 30.0
#: A daemon that a service manager starts again does so within this: its longest wait, and some.
MANAGER_S = 1.25 * CAP_S + 60.0
#: A daemon whose loop turns and that drives nothing of what is ready.
NO_PROGRESS_S = 300.0
#: A run may pass its wall clock and its allowance by these shares, and by `Rules.wall_slack` and `Rules.spend_slack`.
WALL, SPEND = 1.1, 1.25
DAEMON = "daemon"
#: Messages of one look that go out by themselves, and how many of the rest are named.
TOGETHER, NAMED = 5, 10


def folded(said: Sequence[Tell], most: int = TOGETHER) -> tuple[Tell, ...]:
    """What goes out of one look: so many by themselves, the worst first, and one for the rest."""
    if len(said) <= most:
        return tuple(said)
    order = list(Severity)
    worst = sorted(said, key=lambda each: -order.index(each.severity))
    rest = worst[most:]
    keys = ", ".join(each.key for each in rest[:NAMED]) + (", ..." if len(rest) > NAMED else "")
    words = f"{len(rest)} more things at once ({keys}); the first: {rest[0].words}"
    return (*worst[:most], Tell("storm", rest[0].severity, words))


def asks(rules: Rules, state: State, mono: float) -> bool:
    """Whether the daemon is to be asked at its socket: its beat looks old."""
    seen = state.beats.get(DAEMON)
    return seen is not None and mono - seen.since > rules.stale / 2


def decide(rules: Rules, state: State, sight: Sight) -> tuple[State, tuple[Act, ...]]:
    """What is remembered, and what is to be done."""
    turn = _Turn(rules, state, sight)
    turn.clocks()
    if sight.stuck:
        turn.alarm(
            "disk-stuck", "the disk of the state folder does not answer: nothing can be said about daemon and runs"
        )
    else:
        turn.over("disk-stuck", "the disk of the state folder answers again")
        turn.machine()
        turn.daemon()
        for each in sight.wardens:
            turn.warden(each)
        turn.forget()
        turn.starts()
    turn.ping()
    return turn.state, tuple(turn.acts)


class _Turn:
    """One decision in the making."""

    def __init__(self, rules: Rules, state: State, sight: Sight) -> None:
        self.rules, self.sight, self.now = rules, sight, sight.mono
        self.before = state
        self.state: State = replace(
            state, at=sight.mono, boot=sight.boot, wall=sight.wall, beats=dict(state.beats), told=dict(state.told),
            slept=dict(state.slept),
        )  # fmt: skip
        self.acts: list[Act] = []

    # -- telling --------------------------------------------------------------------------------------------

    def alarm(self, key: str, words: str, severity: Severity = Severity.ALARM) -> None:
        """Tell once, and again after a while as long as it lasts."""
        last = self.state.told.get(key)
        if last is None or self.now - last >= self.rules.remind:
            self.state.told[key] = self.now
            again = "" if last is None else "still: "
            self.acts.append(Tell(key, severity, again + words))

    def over(self, key: str, words: str) -> None:
        """It is over, if it was told."""
        if self.state.told.pop(key, None) is not None:
            self.acts.append(Tell(key, Severity.NOTE, words))

    def once(self, key: str, words: str, severity: Severity) -> None:
        """Tell something that does not last."""
        self.acts.append(Tell(key, severity, words))

    def age(self, who: str, value: float) -> float:
        """Seconds since its beat last changed."""
        seen = self.state.beats.get(who)
        if seen is None or seen.value != value:
            self.state.beats[who] = seen = Seen(value, self.now)
        return self.now - seen.since

    # -- the machine ----------------------------------------------------------------------------------------

    def clocks(self) -> None:
        """Sleep, jumps, and looks that did not come."""
        before, sight = self.before, self.sight
        if before.at is None:
            return
        gap = sight.began - before.at
        slept = (sight.boot - before.boot) - (self.now - before.at)
        jump = (sight.wall - before.wall) - (sight.boot - before.boot)
        if slept > SLEPT_S:
            self.once(
                "slept", f"the machine slept for {_span(slept)}: what was due meanwhile comes late", Severity.NOTE
            )
        if abs(jump) > JUMP_S:
            way = "forward" if jump > 0 else "back"
            self.once("clock", f"the clock was set {way} by {_span(abs(jump))}", Severity.WARNING)
        if gap > AWAY * self.rules.look + 1.0:  # whoever looks dead may only not have been looked at
            for who, seen in self.state.beats.items():
                self.state.beats[who] = Seen(seen.value, seen.since + gap)
            if self.state.start_at is not None:
                self.state = replace(self.state, start_at=self.state.start_at + gap)
        for run in self.state.slept:
            self.state.slept[run] += max(0.0, slept)

    def machine(self) -> None:
        """Disk, memory and the journal's file."""
        for key, free, least, words in (
            ("disk", self.sight.disk, self.rules.disk, "free on the disk of the state folder"),
            ("memory", self.sight.memory, self.rules.memory, "of memory left"),
        ):
            if free is None:
                continue
            if free < least:
                self.alarm(key, f"only {_size(free)} {words}; {_size(least)} is asked for")
            elif free > least + least // 5:
                self.over(key, f"{_size(free)} {words} again")
        if self.sight.journal:
            self.alarm(
                "journal", f"the journal is not whole: {self.sight.journal}. `overnight journal verify` says more"
            )
        else:
            self.over("journal", "the journal fits together as it is now")

    # -- the daemon -----------------------------------------------------------------------------------------

    def daemon(self) -> None:
        """Its beat, its progress, and what it says itself."""
        seen = self.sight.daemon
        if seen is None or (seen.beat.ended and not seen.alive):
            self._forget_daemon()
            for key in ("daemon-dead", "daemon-hangs", "daemon-idle", "daemon-trouble", "daemon-stuck"):
                self.state.told.pop(key, None)
            return
        if not seen.alive:
            self._dead(seen)
            return
        self.over("daemon-dead", "a daemon runs again")
        age = self.age(DAEMON, seen.beat.n + seen.beat.started / 1e9)
        if age > self.rules.stale and not seen.answers:
            self._hangs(seen, age)
        else:
            self.over("daemon-hangs", "the daemon gives signs of life again")
        if age <= self.rules.stale:  # an old beat says nothing of what is done now
            self._works(seen.beat)

    def _dead(self, seen: DaemonSeen) -> None:
        self._forget_daemon()
        self.state.told.pop("daemon-hangs", None)
        if self.state.killed == (seen.beat.pid, seen.beat.started):
            return
        again = "`overnight up` starts a daemon, which takes them up again"
        if seen.beat.keeper:
            again = f"{seen.beat.keeper} starts it again, unless it died too often: `overnight service status` tells"
        self.alarm(
            "daemon-dead",
            f"the daemon (process {seen.beat.pid}) died without a word: nothing begins or lands. Runs under way go on; {again}",
        )

    def _forget_daemon(self) -> None:
        for who in (DAEMON, "turns", "idle", "well"):
            self.state.beats.pop(who, None)

    def _hangs(self, seen: DaemonSeen, age: float) -> None:
        how = "is stopped by a signal" if seen.stopped else "hangs"
        what = f"the daemon (process {seen.beat.pid}) {how}: no sign of life for {_span(age)}, and its socket does not answer"
        if not self.rules.kill:
            self.alarm("daemon-hangs", what)
            return
        keeper = seen.beat.keeper  # who keeps it starts it: two that did would be in each other's way
        then = "started again" if self.rules.restart else "not started again: `overnight up` does"
        then = f"{keeper} starts it again" if keeper else then
        self.alarm("daemon-hangs", f"{what}. It is killed and {then}; runs under way go on")
        self.acts.append(KillDaemon(seen.beat.pid, seen.beat.started, what))
        if self.state.killed == (seen.beat.pid, seen.beat.started):
            return  # the first try did not do it
        wait = MANAGER_S if keeper else backoff(self.state.row, self.sight.chance)
        self.state = replace(
            self.state,
            killed=(seen.beat.pid, seen.beat.started),
            start_at=self.now + wait if keeper or self.rules.restart else None,
        )

    def _works(self, beat: Beat) -> None:
        stuck = self.age("turns", beat.turns) if beat.ready else 0.0
        if not beat.ready:
            self.state.beats.pop("turns", None)
        if stuck > NO_PROGRESS_S:
            words = f"the daemon lives and drives nothing: {beat.ready} tasks could go on for {_span(stuck)}"
            self.alarm("daemon-stuck", words)
        else:
            self.over("daemon-stuck", "the daemon drives its tasks again")
        waits = beat.queued > 0 and beat.live == 0 and not beat.paused
        idle = self.age("idle", 0.0 if waits else 1.0)
        if waits and idle > self.rules.idle:
            self.alarm(
                "daemon-idle",
                f"nothing has been worked on for {_span(idle)}, and {beat.queued} tasks wait",
                Severity.WARNING,
            )
        elif not waits:
            self.over("daemon-idle", "tasks are worked on again")
        if beat.trouble:
            self.alarm("daemon-trouble", f"the daemon can't work: {beat.trouble}")
        else:
            self.over("daemon-trouble", "the daemon can work again")

    def starts(self) -> None:
        """Start again what the watchdog killed, and nothing else."""
        seen, state = self.sight.daemon, self.state
        if seen is not None and seen.alive and state.killed != (seen.beat.pid, seen.beat.started):
            well = self.age("well", seen.beat.started)
            self.state = replace(state, killed=None, start_at=None, row=0 if well > WELL_S else state.row)
            return
        if state.killed is None or state.start_at is None or self.now < state.start_at:
            return
        if seen is not None and seen.alive:
            return  # it is not dead yet
        if seen is not None and seen.beat.keeper:
            self.state = replace(state, killed=None, start_at=None)  # from here on it is a dead one like any other
            return
        starts = tuple(at for at in state.starts if self.sight.wall - HOUR_S < at <= self.sight.wall)
        if len(starts) >= self.rules.restarts:
            self.state = replace(state, start_at=None, starts=starts)
            words = (
                f"the daemon was started {len(starts)} times within an hour and hangs again each time: it stays down"
            )
            self.alarm("daemon-loops", words)
            return
        row = state.row + 1
        self.acts.append(StartDaemon())
        self.once("daemon-started", "the daemon that was killed is started again", Severity.NOTE)
        # One that does not come up is tried again, later each time.
        again = self.now + backoff(row, self.sight.chance) + self.rules.stale
        self.state = replace(state, start_at=again, starts=(*starts, self.sight.wall), row=row)

    # -- runs -----------------------------------------------------------------------------------------------

    def warden(self, seen: WardenSeen) -> None:
        """Its beat, its limits, its end."""
        key, who = f"run {seen.run}", f"run {seen.run}"
        known = who in self.state.beats
        if seen.over or not seen.alive:
            self.state.beats.pop(who, None)
            self.state.beats.pop(f"moves {seen.run}", None)
            self.state.slept.pop(who, None)
            self.state.told.pop(f"quiet {seen.run}", None)
            if known and key not in self.state.told and (seen.lost or not seen.over):
                self.once(
                    key,
                    f"the warden of {seen.run} died; the daemon, where one runs, begins another run",
                    Severity.WARNING,
                )
            self.state.told.pop(key, None)
            return
        self.state.slept.setdefault(who, 0.0)
        age = self.age(who, seen.beat if seen.beat is not None else -1.0)
        why = self._failed(seen, age) if seen.launched and seen.beat is not None else ""
        self._moves(seen)
        if not why:
            self.over(key, f"the warden of {seen.run} gives signs of life again")
            return
        if not self.rules.kill:
            self.alarm(key, f"{why}. Nobody keeps that run within its limits")
            return
        self.alarm(key, f"{why}. It is killed with everything that it started; the daemon begins another run")
        self.acts.append(KillWarden(seen.run, seen.pid, seen.started, why))

    def _moves(self, seen: WardenSeen) -> None:
        """Its pulse is not enough: it must get on, or its warden must end it."""
        key, who = f"quiet {seen.run}", f"moves {seen.run}"
        quiet = self.age(who, seen.record if seen.record is not None else -1.0)
        if not seen.launched or seen.record is None or seen.silence is None:
            return
        if quiet > seen.silence * WALL + self.rules.wall_slack:
            words = f"{seen.run} has a warden that lives and gets nowhere: nothing new for {_span(quiet)}, {_span(seen.silence)} are allowed"
            self.alarm(key, f"{words}. `overnight stop` ends it", Severity.WARNING)
        else:
            self.over(key, f"{seen.run} gets on again")

    def _failed(self, seen: WardenSeen, age: float) -> str:
        """Why a warden does no longer what it is there for; empty while it does."""
        if age > self.rules.warden_stale:
            how = "is stopped by a signal" if seen.stopped else "hangs"
            return f"the warden of {seen.run} {how}: no sign of life for {_span(age)}"
        lasted = seen.age - self.state.slept[f"run {seen.run}"]
        if seen.wall is not None and lasted > seen.wall * WALL + self.rules.wall_slack:
            return f"the warden of {seen.run} lets it run for {_span(lasted)}, {_span(seen.wall)} are allowed"
        most = None if seen.allowed is None else seen.allowed * SPEND + self.rules.spend_slack
        if seen.spent is not None and most is not None and seen.spent > most:
            return f"the warden of {seen.run} let it spend {seen.spent:.2f} USD, {seen.allowed:.2f} USD are allowed"
        return ""

    def forget(self) -> None:
        """Runs that are not there any more."""
        here = {f"run {each.run}" for each in self.sight.wardens}
        for who in [who for who in self.state.beats if who.startswith("run ") and who not in here]:
            del self.state.beats[who]
            self.state.slept.pop(who, None)
            self.state.told.pop(who, None)
        names = {each.run for each in self.sight.wardens}
        for prefix, kept in (("moves ", self.state.beats), ("quiet ", self.state.told)):
            for who in [who for who in kept if who.startswith(prefix) and who.removeprefix(prefix) not in names]:
                del kept[who]

    # -- elsewhere ------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Only as long as nothing is wrong that a person should know: silence is the alarm."""
        if not self.rules.ping or self._wrong():
            return
        if self.state.pinged is None or self.now - self.state.pinged >= self.rules.ping_every:
            self.state = replace(self.state, pinged=self.now)
            self.acts.append(Ping())

    def _wrong(self) -> bool:
        return self.state.killed is not None or any(key not in ("daemon-idle",) for key in self.state.told)


def _span(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{seconds:.1f} s" if whole < 10 else f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _size(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"
