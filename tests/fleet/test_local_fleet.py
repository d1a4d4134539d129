"""Runs in wardens of their own: one agent per run, whoever is killed, and always an end that is true."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from scene import PATIENT, STUBBORN, WARDEN, Scene, appears, within

from overnight import wiring
from overnight.durable.identity import Identity, identify, is_alive
from overnight.fleet.local import TRIES, read_identity, read_outcome, write_atomically
from overnight.missions.codec import encode
from overnight.missions.places import pipe_of
from overnight.missions.question import Question
from overnight.missions.run import End, FailureClass, RunOutcome

BOXES = pytest.mark.parametrize("box", ["none", "bubblewrap"])
BROKEN = (sys.executable, "-c", "raise SystemExit('it is broken')")


class Starts:
    """Counts wardens."""

    def __init__(self) -> None:
        self.moments: list[str] = []

    def __call__(self, moment: str, label: str) -> None:
        assert label == "start warden"
        self.moments.append(moment)


def warden_of(scene: Scene) -> Identity:
    who = read_identity(scene.folder)
    assert who is not None
    return who


def nothing_of(scene: Scene) -> bool:
    """No process of this scene is left."""
    mine = str(scene.root)
    found = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return not [line for line in found if mine in line]


@BOXES
def test_a_run_is_carried_out_once(scene: Scene, box: str) -> None:
    """Its outcome stays: asked again, nothing is started."""
    scene.config("", box, "echo began >> begun; echo done")
    starts = Starts()
    fleet = scene.fleet(observer=starts)
    first = within(fleet.run(scene.spec()))
    assert (first.end, first.said) == (End.COMPLETED, "done")
    assert within(fleet.run(scene.spec())) == first
    assert within(scene.fleet(BROKEN).run(scene.spec())) == first
    assert starts.moments == ["before", "after"]
    assert scene.begun == 1
    assert (scene.folder / "warden.log").read_bytes() == b""
    assert nothing_of(scene)


@BOXES
def test_a_run_outlives_who_started_it(scene: Scene, box: str) -> None:
    """The starter is killed with SIGKILL; another process takes the run up and gets its outcome."""
    scene.config("", box, PATIENT)
    starter = [sys.executable, str(Path(__file__).with_name("starter.py")), str(scene.home), *WARDEN]
    process = subprocess.Popen(starter, stdin=subprocess.PIPE, env=scene.environ())

    async def story() -> RunOutcome:
        await scene.bell.rings()
        process.kill()
        process.wait()
        assert is_alive(warden_of(scene))
        attached = asyncio.create_task(scene.fleet().run(scene.spec()))
        scene.gate.say("again")
        return await attached

    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(encode(scene.spec()))
    outcome = within(story())
    assert (outcome.end, outcome.said) == (End.COMPLETED, "heard again")
    assert scene.begun == 1
    assert nothing_of(scene)


@BOXES
def test_a_killed_warden_is_a_lost_run_once(scene: Scene, box: str) -> None:
    """Its box is gone before the outcome is there; the run is not started again, whoever asks."""
    scene.config("", box, f"echo began >> begun; {STUBBORN}")

    async def story() -> RunOutcome:
        run = asyncio.create_task(scene.fleet().run(scene.spec()))
        await scene.bell.rings()
        os.kill(warden_of(scene).pid, signal.SIGKILL)
        return await run

    lost = within(story())
    assert scene.bell.let_go()
    assert (lost.end, lost.failure) == (End.LOST, FailureClass.MACHINE)
    assert 0 < lost.started <= lost.ended
    assert within(scene.fleet().run(scene.spec())) == lost
    assert scene.begun == 1
    assert nothing_of(scene)


def test_killed_together_with_its_starter(scene: Scene) -> None:
    """As when the machine goes down: who comes later finds a lost run, and starts nothing."""
    scene.config("", "none", f"echo began >> begun; {STUBBORN}")

    async def story() -> None:
        run = asyncio.create_task(scene.fleet().run(scene.spec()))
        await scene.bell.rings()
        run.cancel()
        await asyncio.wait([run])
        os.kill(warden_of(scene).pid, signal.SIGKILL)
        outcome = await scene.fleet(BROKEN).run(scene.spec())
        assert outcome.end is End.LOST

    within(story())
    assert scene.bell.let_go()
    assert scene.begun == 1


def test_a_stop_ends_a_run_with_its_reason(scene: Scene) -> None:
    """Also when the agent doesn't want to; the reason is the outcome's. Afterwards a stop changes nothing."""
    scene.config("", "bubblewrap", STUBBORN)
    fleet = scene.fleet()

    async def story() -> RunOutcome:
        run = asyncio.create_task(fleet.run(scene.spec()))
        await scene.bell.rings()
        await scene.fleet().stop("t1.1.1", "the night is over")
        return await run

    outcome = within(story())
    assert (outcome.end, outcome.why) == (End.STOPPED, "the night is over")
    assert scene.bell.let_go()
    within(fleet.stop("t1.1.1", "again"))
    assert read_outcome(scene.folder) == outcome
    assert (scene.folder / "stop").read_text() == "the night is over"


def test_a_stop_is_heeded_from_the_first_moment_on(scene: Scene) -> None:
    """Asked as soon as the warden says who it is, and heavy imports still go on: the run is stopped, not lost."""
    scene.config("", "none", "echo began >> begun; sleep 600")

    async def story() -> RunOutcome:
        run = asyncio.create_task(scene.fleet().run(scene.spec()))
        await appears(scene.folder / "warden.json")
        await scene.fleet().stop("t1.1.1", "at once")
        return await run

    outcome = within(story())
    assert (outcome.end, outcome.why) == (End.STOPPED, "at once")


def test_a_stop_before_the_warden_starts_nothing(scene: Scene) -> None:
    """A run directory that has a wish and no warden yet: the agent never begins."""
    scene.config("", "none", "echo began >> begun")
    scene.folder.mkdir(parents=True)
    within(scene.fleet().stop("t1.1.1", "not this one"))
    outcome = within(scene.fleet().run(scene.spec()))
    assert (outcome.end, outcome.why) == (End.STOPPED, "not this one")
    assert scene.begun == 0


def test_stopping_what_nobody_knows_does_nothing(scene: Scene) -> None:
    """Unknown runs, and names that are no run's."""
    for run in ("t1.1.1", "other.3.2", "", "x", "../../etc.1.1"):
        within(scene.fleet().stop(run, "why"))
    assert not scene.home.exists()


def test_two_callers_share_one_agent(scene: Scene) -> None:
    """At the same time, as two daemons might: both get the one outcome."""
    scene.config("", "none", PATIENT)

    async def story() -> list[RunOutcome]:
        runs = [asyncio.create_task(scene.fleet().run(scene.spec())) for _ in range(3)]
        await scene.bell.rings()
        scene.gate.say("all")
        return await asyncio.gather(*runs)

    first, *others = within(story())
    assert first.said == "heard all"
    assert others == [first, first]
    assert scene.begun == 1


def test_a_half_made_run_directory_is_finished(scene: Scene) -> None:
    """What a kill left in the middle of laying it out is no obstacle."""
    scene.config("", "none", "echo done")
    scene.folder.mkdir(parents=True)
    (scene.folder / "prompt.md").write_text("Hal")
    (scene.folder / "spec.json.1.part").write_text('{"id":')
    (scene.folder / "warden.lock").touch()
    assert within(scene.fleet().run(scene.spec())).end is End.COMPLETED
    assert (scene.folder / "prompt.md").read_text() == "Do."


@pytest.mark.parametrize(
    ("command", "word"), [(BROKEN, "it is broken"), (("/no/such/python",), "/no/such/python: No such file")]
)
def test_wardens_that_do_not_start_are_a_failed_launch(scene: Scene, command: tuple[str, ...], word: str) -> None:
    """After a few tries the run is over for good: a warden that comes later finds that, and starts nothing."""
    scene.config("", "none", "echo began >> begun")
    starts = Starts()
    fleet = scene.fleet(command, observer=starts)
    outcome = within(fleet.run(scene.spec()))
    assert (outcome.end, outcome.failure) == (End.FAILED, FailureClass.LAUNCH)
    assert word in outcome.why
    assert starts.moments.count("before") == TRIES
    assert read_outcome(scene.folder) == outcome
    late = subprocess.run([*WARDEN, str(scene.folder)], env=scene.environ(), check=False)
    assert late.returncode == 0
    assert within(scene.fleet().run(scene.spec())) == outcome
    assert scene.begun == 0


def test_a_warden_that_does_not_introduce_itself_is_waited_for(scene: Scene) -> None:
    """Whoever holds the lock may begin any moment: nothing is started beside it, and nothing is said of the run."""
    scene.config("", "none", "echo began >> begun")
    scene.folder.mkdir(parents=True)
    fd = os.open(scene.folder / "warden.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    starts = Starts()

    async def story() -> RunOutcome:
        run = asyncio.create_task(scene.fleet(observer=starts).run(scene.spec()))
        await asyncio.wait([run], timeout=0.3)
        assert not run.done()
        assert not starts.moments
        assert read_outcome(scene.folder) is None
        os.close(fd)
        return await run

    assert within(story()).end is End.COMPLETED
    assert scene.begun == 1


def test_a_second_warden_does_nothing(scene: Scene) -> None:
    """Beside a living one it is turned away with 75; after a dead one it leaves the run as it is."""
    scene.config("", "none", f"echo began >> begun; {STUBBORN}")

    async def story() -> None:
        run = asyncio.create_task(scene.fleet().run(scene.spec()))
        await scene.bell.rings()
        second = await asyncio.create_subprocess_exec(*WARDEN, str(scene.folder), env=scene.environ())
        assert await second.wait() == 75
        run.cancel()
        await asyncio.wait([run])
        os.kill(warden_of(scene).pid, signal.SIGKILL)
        assert scene.bell.let_go(60)
        third = await asyncio.create_subprocess_exec(*WARDEN, str(scene.folder), env=scene.environ())
        assert await third.wait() == 0

    within(story())
    assert scene.begun == 1
    assert read_outcome(scene.folder) is None


@pytest.mark.parametrize("way", ["reused pid", "another boot"])
def test_a_dead_wardens_name_on_another_process(scene: Scene, way: str) -> None:
    """A pid that somebody else has now is not waited for and not signalled: the run is lost, not what it would ask."""
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        who = identify(bystander.pid)
        who = (
            Identity(who.pid, who.started - 1, who.boot) if way == "reused pid" else Identity(who.pid, who.started, "b")
        )
        scene.folder.mkdir(parents=True)
        write_atomically(scene.folder / "warden.json", encode(who))
        asked = Question(
            id="t1.q1", task="t1", run="t1.1.1", text="May it?", choices=("no",), default="no", data="x", rule="r"
        )
        write_atomically(scene.folder / "questions.json", encode((asked,)))
        within(scene.fleet().stop("t1.1.1", "why"))
        outcome = within(scene.fleet(BROKEN).run(scene.spec()))
        assert (outcome.end, outcome.questions) == (End.LOST, (asked,))
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_wardens_that_ended_unwatched_are_reaped(scene: Scene) -> None:
    """A call that was cancelled leaves no zombie behind once the fleet does something again."""
    scene.config("", "none", PATIENT)
    fleet = scene.fleet()

    async def story() -> None:
        run = asyncio.create_task(fleet.run(scene.spec()))
        await scene.bell.rings()
        run.cancel()
        await asyncio.wait([run])
        who = warden_of(scene)
        scene.gate.say("alone")
        await appears(scene.folder / "outcome.json")
        await asyncio.to_thread(os.waitid, os.P_PID, who.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(who)
        assert psutil.pid_exists(who.pid)
        await fleet.run(scene.spec())
        assert not psutil.pid_exists(who.pid)

    within(story())


def test_what_the_warden_can_not_do_is_said(scene: Scene) -> None:
    """An unknown agent, settings that are missing, a folder in the way: each is the run's outcome."""
    outcome = within(scene.fleet().run(scene.spec(agent="nobody")))
    assert (outcome.failure, "nobody" in outcome.why) == (FailureClass.LAUNCH, True)

    (scene.home / "runs" / "t1" / "1" / "2").mkdir(parents=True)
    (scene.home / "runs" / "t1" / "1" / "2" / "home").write_text("in the way")
    outcome = within(scene.fleet().run(scene.spec(id="t1.1.2")))
    assert (outcome.failure, "home" in outcome.why) == (FailureClass.MACHINE, True)

    (scene.home / "runs" / "t1" / "1" / "3" / "events.ndjson").mkdir(parents=True)
    outcome = within(scene.fleet().run(scene.spec(id="t1.1.3")))
    assert (outcome.failure, "events.ndjson" in outcome.why) == (FailureClass.MACHINE, True)

    (scene.root / "config.toml").unlink()
    outcome = within(scene.fleet().run(scene.spec(id="t1.1.4")))
    assert (outcome.failure, "config.toml" in outcome.why) == (FailureClass.LAUNCH, True)


def test_an_order_that_can_not_be_read_is_a_failed_launch(scene: Scene) -> None:
    """Such as one that another version wrote: it says so, and nothing is started."""
    scene.folder.mkdir(parents=True)
    (scene.folder / "spec.json").write_text('{"id": 1}')
    outcome = within(scene.fleet().run(scene.spec()))
    assert outcome.failure is FailureClass.LAUNCH
    assert "ValidationError" in outcome.why


def test_nothing_is_imported_from_where_the_daemon_stands(scene: Scene) -> None:
    """It may be started in a repository that an agent wrote to: modules there are not the warden's."""
    trap = scene.root / "repo" / "overnight"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('imported from the repository')")
    (trap.parent / "msgspec.py").write_text("raise SystemExit('imported from the repository')")
    starter = [sys.executable, "-P", str(Path(__file__).with_name("starter.py")), str(scene.home), *wiring.WARDEN]
    subprocess.run(starter, input=encode(scene.spec()), env=scene.environ(), cwd=trap.parent, check=True, timeout=60)
    outcome = read_outcome(scene.folder)
    assert outcome is not None
    assert outcome.end is End.COMPLETED, outcome.why


@pytest.mark.slow
def test_a_full_disk_does_not_take_the_outcome(tmp_path: Path) -> None:
    """The agent fills the disk that the run lies on; with room again, the warden says how the run ended."""
    story = Path(__file__).with_name("full.py")
    mount = f'mount -t tmpfs -o size=8m none "{tmp_path}" && exec "{sys.executable}" "{story}" "{tmp_path}"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["waited", "completed", "empty"]


def test_what_a_dead_warden_left_in_the_pipe_is_kept(scene: Scene) -> None:
    """The box may print until it is dead too: its last words are in the log, and the run is lost only when it is gone."""
    who = identify(os.getpid())
    scene.folder.mkdir(parents=True)
    write_atomically(scene.folder / "warden.json", encode(Identity(who.pid, who.started - 1, who.boot)))
    log = scene.folder / "agent.jsonl"
    fifo = pipe_of(str(log))
    os.mkfifo(fifo)
    box = os.open(fifo, os.O_RDWR)
    os.write(box, b"last words")

    async def story() -> RunOutcome:
        run = asyncio.create_task(scene.fleet(BROKEN).run(scene.spec()))
        while not log.exists() or not log.read_bytes():  # noqa: ASYNC110 (nobody announces it)
            await asyncio.sleep(0)
        assert not run.done()
        os.close(box)
        return await run

    assert within(story()).end is End.LOST
    assert log.read_bytes() == b"last words"
    assert not Path(fifo).exists()


def test_what_is_left_of_a_box_is_ended(scene: Scene) -> None:
    """A process that outlived its warden, holds its output and says nothing keeps no run waiting for ever."""
    who = identify(os.getpid())
    scene.folder.mkdir(parents=True)
    write_atomically(scene.folder / "warden.json", encode(Identity(who.pid, who.started - 1, who.boot)))
    fifo = pipe_of(str(scene.folder / "agent.jsonl"))
    os.mkfifo(fifo)
    read, box = (os.open(fifo, flags) for flags in (os.O_RDONLY | os.O_NONBLOCK, os.O_WRONLY))
    with subprocess.Popen(["sleep", "600"], stdout=box, start_new_session=True) as left:
        with subprocess.Popen(["sleep", "600"], stdin=read, start_new_session=True) as reader:
            try:
                os.close(box)
                os.close(read)
                assert within(scene.fleet(BROKEN, gone_s=0.0).run(scene.spec())).end is End.LOST
                assert left.wait() == -signal.SIGKILL
                assert reader.poll() is None, "who only reads is no part of the box"
            finally:
                left.kill()
                reader.kill()
