"""One run from its start to its end, with real boxes: nothing outlives it, and what is said of it is true."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence

import pytest
from scene import STUBBORN, Scene, within

from overnight.agents.command import CommandAgent, CommandSettings
from overnight.boxes.bubblewrap import Bubblewrap
from overnight.boxes.settings import BoxSettings
from overnight.missions.policy import Limits
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec
from overnight.missions.units import Duration, Size
from overnight.ports import AgentEvent, Launch, Place, Route
from overnight.warden.events import AgentSaid, Ended, EventLog, Launched, Limit, Started, Stopping, read_events
from overnight.warden.http import Exchange, Request, serve
from overnight.warden.keeper import Keeper

BOXES = pytest.mark.parametrize("box", ["none", "bubblewrap"])


class Turning(CommandAgent):
    """Every line of it is a turn."""

    def read(self, line: bytes) -> Sequence[AgentEvent]:
        return (AgentEvent(kind="text", text=line.decode(), turn=True),)


class Failing(CommandAgent):
    """Its output breaks whoever reads it."""

    def read(self, line: bytes) -> Sequence[AgentEvent]:
        raise ValueError("what is this?")


class Routed(CommandAgent):
    """Has a model behind the gateway."""

    def launch(self, spec: RunSpec, place: Place) -> Launch:
        given = super().launch(spec, place)
        route = Route(kind="gateway", upstream="http://127.0.0.1:1", key_header="x-api-key", key_variable="KEY")
        return Launch(argv=given.argv, env=given.env, route=route, stdin=b"")


class Asking(CommandAgent):
    """Gives its program the port of its model and the token."""

    def __init__(self, settings: CommandSettings, upstream: int) -> None:
        super().__init__(settings)
        self._upstream = upstream

    def launch(self, spec: RunSpec, place: Place) -> Launch:
        given = super().launch(spec, place)
        route = Route(
            kind="gateway", upstream=f"http://127.0.0.1:{self._upstream}", key_header="x-api-key", key_variable="KEY",
            allowed=(("GET", "/v1/models"),),
        )  # fmt: skip
        argv = (*given.argv, "agent", str(place.ports.model), place.token)
        return Launch(argv=argv, env=given.env, route=route, hooked=False)


def events(scene: Scene) -> list[object]:
    return list(read_events(scene.root / "run" / "events.ndjson"))


def closed(keeper: Keeper) -> bool:
    """Nothing listens any more, and the log is closed."""
    return all(sock.fileno() == -1 for sock in keeper._listeners) and keeper.log._fd == -1


@BOXES
def test_a_run_that_ends_by_itself(scene: Scene, box: str) -> None:
    """Every word of it is on record, also one without a line's end; the end is the last event."""
    keeper = scene.keeper("echo working; printf 'last words'", box)
    outcome = within(keeper.keep())
    assert (outcome.end, outcome.failure, outcome.code, outcome.calls) == (End.COMPLETED, None, 0, None)
    told = events(scene)
    assert [event.text for event in told if isinstance(event, AgentSaid)] == ["working", "last words"]
    assert isinstance(told[0], Started)
    assert isinstance(told[1], Launched)
    assert isinstance(told[-1], Ended)
    assert outcome.started <= outcome.ended
    assert closed(keeper)


@pytest.mark.parametrize(
    ("limit", "limits", "script", "why"),
    [
        ("wall", Limits(wall=Duration(0.3)), "while :; do echo busy; sleep 0.1; done", "longer than"),
        ("silence", Limits(silence=Duration(0.3)), "sleep 600", "nothing was heard"),
        ("turns", Limits(turns=3), "for n in 1 2 3 4; do echo $n; done; sleep 600", "more than 3 turns"),
        ("output", Limits(), "truncate -s 200M /proc/self/fd/1; sleep 600", "printed more than 128 MiB"),
    ],
)
def test_each_limit_ends_a_run_for_its_own_reason(
    scene: Scene, limit: str, limits: Limits, script: str, why: str
) -> None:
    """Wall clock, silence, turns and output: the outcome and the record name the one that was reached."""
    agent = Turning(CommandSettings(argv=("sh", "-c", f"exec 9>bell; {script}")))
    outcome = within(scene.keeper("", agent=agent, limits=limits).keep())
    assert (outcome.end, outcome.failure) == (End.STOPPED_BY_LIMIT, FailureClass.STUCK)
    assert why in outcome.why
    assert [event.limit for event in events(scene) if isinstance(event, Limit)] == [limit]
    assert len([event for event in events(scene) if isinstance(event, Stopping)]) == 1
    assert scene.bell.let_go()


@pytest.mark.parametrize(
    ("script", "limit", "why"),
    [
        ("exec tail /dev/zero", "memory", "it used more than 64 MiB of memory"),
        ("exec cat /dev/zero > fill", "disk", "it wrote more than 8 MiB to the disk"),
        ("n=0; while :; do n=$((n + 1)); : > $n; done", "files", "it made more than 1000 files"),
        ("f() { f | f & }; f; while :; do sleep 1; done", "processes", "it started more than 64 processes at once"),
    ],
)
def test_what_its_box_ended_a_run_for_is_its_outcome(scene: Scene, script: str, limit: str, why: str) -> None:
    """Bombs end the run for their own reason, on record, with everything that they started."""
    settings = BoxSettings(memory=Size(64 << 20), processes=64, disk=Size(8 << 20), files=1000)
    outcome = within(scene.keeper(f"exec 9>bell; {script}", made=Bubblewrap(settings)).keep())
    assert (outcome.end, outcome.failure, outcome.why) == (End.STOPPED_BY_LIMIT, FailureClass.STUCK, why)
    assert [event.limit for event in events(scene) if isinstance(event, Limit)] == [limit]
    assert scene.bell.let_go()


def test_a_run_that_ended_in_time_is_not_blamed_for_its_limits(scene: Scene) -> None:
    """An agent that ended by itself before anybody looked has ended by itself."""
    agent = Turning(CommandSettings(argv=("sh", "-c", "seq 9")))
    outcome = within(scene.keeper("", agent=agent, limits=Limits(turns=3)).keep())
    assert outcome.end is End.COMPLETED


@BOXES
def test_an_agent_that_ignores_being_asked_is_killed(scene: Scene, box: str) -> None:
    """With everything that it started, before the outcome is there; the reason is the one that was given."""
    stop = asyncio.Event()
    keeper = scene.keeper(STUBBORN, box, stop=stop)

    async def story() -> RunOutcome:
        run = asyncio.create_task(keeper.keep())
        await scene.bell.rings()
        (scene.root / "run" / "stop").write_text("enough")
        stop.set()
        return await run

    outcome = within(story())
    assert (outcome.end, outcome.failure, outcome.why) == (End.STOPPED, None, "enough")
    assert scene.bell.let_go()
    assert closed(keeper)


def test_a_signal_without_a_reason_ends_a_run_too(scene: Scene) -> None:
    """Whoever asks and leaves no word is heeded: the run does not go on without its limits."""
    stop = asyncio.Event()

    async def story() -> RunOutcome:
        run = asyncio.create_task(scene.keeper(STUBBORN, stop=stop).keep())
        await scene.bell.rings()
        stop.set()
        return await run

    assert within(story()).end is End.STOPPED
    assert scene.bell.let_go()


@BOXES
def test_daemons_of_an_agent_end_with_it(scene: Scene, box: str) -> None:
    """What an agent left behind in a session of its own is dead when the outcome is there."""
    daemon = "trap '' TERM HUP; exec 9>bell; echo up >&9; exec >/dev/null 2>&1; while :; do sleep 60; done"
    script = f'setsid sh -c "{daemon}" & read word < gate; echo done'

    async def story() -> RunOutcome:
        run = asyncio.create_task(scene.keeper(script, box).keep())
        await scene.bell.rings()
        scene.gate.say("go")
        return await run

    assert within(story()).end is End.COMPLETED
    assert scene.bell.let_go()


@pytest.mark.parametrize("way", ["file", "event"])
def test_a_stop_before_the_start_starts_nothing(scene: Scene, way: str) -> None:
    """The run is stopped, and its agent never began."""
    stop = asyncio.Event()
    keeper = scene.keeper("echo began >> begun", stop=stop)
    if way == "file":
        (scene.root / "run" / "stop").write_text("not this one")
    else:
        stop.set()
    outcome = within(keeper.keep())
    assert outcome.end is End.STOPPED
    assert scene.begun == 0
    assert closed(keeper)


def test_what_keeps_a_run_from_starting_is_a_failed_launch(scene: Scene) -> None:
    """No bwrap, no such program, no object store: each says what is missing, and no attempt is spent."""
    no_box = scene.keeper("", made=Bubblewrap(engines=(str(scene.root / "no-bwrap"),)))
    no_agent = scene.keeper("", agent=CommandAgent(CommandSettings(argv=("no-such-agent",))))
    for keeper, word in ((no_box, "bwrap"), (no_agent, "no-such-agent")):
        outcome = within(keeper.keep())
        assert (outcome.end, outcome.failure) == (End.FAILED, FailureClass.LAUNCH)
        assert word in outcome.why
        assert closed(keeper)
    scene.objects.rmdir()
    outcome = within(scene.keeper("").keep())
    assert outcome.failure is FailureClass.LAUNCH
    assert str(scene.objects) in outcome.why


def test_a_key_that_can_not_be_used_fails_the_launch_and_leaves_nothing(scene: Scene) -> None:
    """Found out when the box stands already: the box is dead then, all listeners are closed, the key is not quoted."""
    agent = Routed(CommandSettings(argv=("sh", "-c", STUBBORN)))
    keeper = scene.keeper("", agent=agent, environ={"KEY": "sk-se cret"})
    outcome = within(keeper.keep())
    assert outcome.failure is FailureClass.LAUNCH
    assert "KEY" in outcome.why
    assert "cret" not in outcome.why
    assert closed(keeper)
    assert not [path for path in scene.work.iterdir() if path.name == "begun"]


def test_what_an_agent_does_not_need_answers_nothing(scene: Scene) -> None:
    """A program without hooks, model and hosts finds no open port in its box."""
    probe = "for port in 18100 18101 18102; do (: < /dev/tcp/127.0.0.1/$port) 2>/dev/null && echo open $port; done"
    agent = CommandAgent(CommandSettings(argv=("bash", "-c", f"read word < gate; {probe}; echo looked")))
    keeper = scene.keeper("", "bubblewrap", agent=agent)

    async def story() -> RunOutcome:
        run = asyncio.create_task(keeper.keep())
        while not any(isinstance(event, Launched) for event in events(scene)):  # noqa: ASYNC110
            await asyncio.sleep(0)
        scene.gate.say("look")
        return await run

    assert within(story()).said == "looked"


def test_a_full_record_ends_the_run(scene: Scene) -> None:
    """What can't be put on record does not go on, and the record says so with its last words."""
    keeper = scene.keeper("exec 9>bell; while :; do echo more; sleep 0.01; done")
    keeper.log.close()
    keeper.log = EventLog(scene.root / "run" / "events.ndjson", most=300)
    outcome = within(keeper.keep())
    assert (outcome.end, outcome.failure) == (End.FAILED, FailureClass.MACHINE)
    assert "can't be put on record" in outcome.why
    assert scene.bell.let_go()
    assert isinstance(events(scene)[-1], Ended)


def test_output_that_breaks_its_reader_ends_the_run(scene: Scene) -> None:
    """A run is never left to itself: when the watching fails, the box is dead before the error is out."""
    agent = Failing(CommandSettings(argv=("sh", "-c", f"echo strange; {STUBBORN}")))
    keeper = scene.keeper("", agent=agent)
    with pytest.raises(ValueError, match="what is this"):
        within(keeper.keep())
    assert scene.bell.let_go()
    assert closed(keeper)


@BOXES
def test_cancelling_leaves_nothing(scene: Scene, box: str) -> None:
    """Box, listeners and log are gone when the cancelled call is over."""
    keeper = scene.keeper(STUBBORN, box)

    async def story() -> None:
        run = asyncio.create_task(keeper.keep())
        await scene.bell.rings()
        run.cancel()
        await asyncio.wait([run])
        assert run.cancelled()

    within(story())
    assert scene.bell.let_go()
    assert closed(keeper)


def test_the_launch_is_on_record_without_values(scene: Scene) -> None:
    """`launch.json` names the variables and holds none of their values."""
    within(scene.keeper("exit 3").keep())
    told = json.loads((scene.root / "run" / "launch.json").read_text())
    assert "HOME" in told["environment"]
    assert told["argv"][1:] == ["-c", "exit 3"]
    assert told["box"] == "none"
    assert "127.0.0.1" not in json.dumps(told["environment"])


def test_an_agent_without_hooks_is_not_counted_as_quiet(scene: Scene) -> None:
    """Its exit code and its last words decide, and nobody claims to have counted its calls."""
    outcome = within(scene.keeper("echo; echo 'BLOCKED: no key'").keep())
    assert (outcome.end, outcome.why, outcome.calls) == (End.BLOCKED, "no key", None)


def test_an_answer_that_comes_is_a_sign_of_life(scene: Scene) -> None:
    """A model that says something now and then keeps a run going that prints nothing; when it stops, so does the run."""
    ask = (
        "exec 8<>/dev/tcp/127.0.0.1/$1; printf 'GET /v1/models HTTP/1.1\\r\\nhost: m\\r\\nx-api-key: %s\\r\\n\\r\\n' $2 >&8; "
        "exec 9>bell; echo asked >&9; while :; do sleep 60; done"
    )
    said: list[int] = []

    async def model(_request: Request, exchange: Exchange) -> None:
        await exchange.start(200, [])
        loop = asyncio.get_running_loop()
        for n in range(12):
            due = asyncio.Event()
            loop.call_later(0.15, due.set)
            await due.wait()
            await exchange.send(b"piece")
            said.append(n)
        await asyncio.Event().wait()

    async def story() -> RunOutcome:
        sock = socket.create_server(("127.0.0.1", 0))
        server = await serve(sock, model)
        try:
            agent = Asking(CommandSettings(argv=("bash", "-c", ask)), sock.getsockname()[1])
            limits = Limits(silence=Duration(1.0))
            return await scene.keeper("", agent=agent, limits=limits, environ={"KEY": "sk-1"}).keep()
        finally:
            await server.close()

    outcome = within(story())
    assert outcome.end is End.STOPPED_BY_LIMIT
    assert "nothing was heard" in outcome.why
    assert len(said) == 12
