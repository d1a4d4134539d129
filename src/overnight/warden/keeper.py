"""The life of one run: start the agent in its box, serve it, watch its limits, end it, say how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from overnight.cassette.entries import Opened, Surroundings
from overnight.cassette.playback import Playback
from overnight.cassette.recorder import Recorder
from overnight.errors import BadInput, Unavailable
from overnight.guard.redact import Redactor, known_secrets, sanitised
from overnight.guard.scrub import scrubbed
from overnight.guard.verdict import Call, Verdict
from overnight.judge.limits import Ceilings
from overnight.missions.codec import encode
from overnight.missions.places import run_dir
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec
from overnight.missions.units import show_duration
from overnight.ports import Agent, Box, BoxedProcess, BoxSpec, Launch, Place, Ports
from overnight.usage.prices import Price, context_window
from overnight.warden.account import Account, nothing, open_account, unpayable
from overnight.warden.carry import NotCarried, carry
from overnight.warden.contact import Contacts
from overnight.warden.context import Checkpoint, Context
from overnight.warden.deck import Deck
from overnight.warden.egress import Egress
from overnight.warden.events import (
    AgentSaid,
    Ended,
    Event,
    EventLog,
    Launched,
    Limit,
    Resuming,
    Started,
    Stopping,
    clean,
)
from overnight.warden.gateway import Gateway, Tap
from overnight.warden.hooks import HOOK_LIMITS, Hooks
from overnight.warden.http import Exchange, Request, Response, Server, serve
from overnight.warden.output import MOST_OUTPUT, Output
from overnight.warden.steps import Steps
from overnight.warden.survey import Survey
from overnight.warden.watch import Watch
from overnight.warden.witness import Audit, Witness

#: How often the agent's output is looked at. Hooks and model traffic are seen at once.
LOOK_EVERY_S = 0.2
#: Between two touches of its lock, by which the warden shows that it goes on.
BEAT_S = 2.0
#: How long one look may take: hooks wait for it. What is left is for the next one.
LOOK_S = 0.05
#: The same for the last look, when nobody waits for hooks any more.
LAST_LOOK_S = 5.0
#: Between asking the agent to end and killing its box.
GRACE_S = 0.5
_NO_RECORD = "what it does can't be put on record"


class Keeper:
    """Owns one run. Made and run on the main thread: the box dies with the thread that starts it."""

    def __init__(
        self,
        folder: Path,
        spec: RunSpec,
        agent: Agent,
        box: Box,
        decide: Callable[[Call], Verdict],
        environ: Mapping[str, str],
        stop: asyncio.Event,
        *,
        audit: Callable[[str, str, Callable[[str], str]], Audit],
        paused: Callable[[], str | None] = lambda: None,
        secrets: tuple[str, ...] = (),
        tools: tuple[str, ...] = (),
        path: str = "/usr/local/bin:/usr/bin:/bin",
        prices: Mapping[str, Price] | None = None,
        tape: Callable[[Opened, Callable[[str], str]], Recorder] | None = None,
        playback: Callable[[Surroundings, Callable[[str], str]], Playback] | None = None,
        ceilings: Ceilings | None = None,
        lifted: Callable[[], bool] = lambda: False,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """stop: set to ask for a clean end; the reason is in the file `stop`. environ: where keys and logins are looked up.
        audit: makes the run's audit, of the agent's version, the box's level, and what takes secrets out of texts.
        paused: why nothing may go on now, asked before every call. secrets: patterns of what is a secret here. tools: read-only
        folders with programs; path: PATH inside. prices: those of the settings. tape: makes what records the
        model traffic, of what takes secrets out too. playback: makes what answers it from a recording, of what is different now and what takes secrets out.
        ceilings: how far the run may use a subscription's windows, unless a person has lifted that.
        checkpoint: puts the work tree into a ref of the user's repository; its name."""
        self.folder, self.spec, self.agent, self.box = folder, spec, agent, box
        self._environ, self._tools, self._path = environ, tools, path
        self._patterns, self._redactor = secrets, Redactor(known_secrets(environ), secrets)
        self.log = EventLog(folder / "events.ndjson", without=self._without)
        self._new_audit, self._witness = audit, Witness()
        self._watch = Watch(spec, self.log.write)
        self._context = Context(
            folder, spec, agent, self._record, self._without, checkpoint=checkpoint, known=context_window
        )
        self._hooks = Hooks(
            agent, self._decided, self._record, self._witness, self._without, self._watch, self._shut, self._context
        )
        self._steps: Steps | None = None
        self._servers: list[Server] = []
        self._listeners: Sequence[socket.socket] = ()
        self._prices: Mapping[str, Price] = prices or {}
        self._account: Account | None = None
        self._decide, self._new_tape, self._new_playback = decide, tape, playback
        self._tape: Recorder | None = None
        self._deck: Deck | None = None
        self._contacts: Contacts | None = None
        #: Why the run does not go on with the session that it was to go on with.
        self._fresh = ""
        self._ceilings, self._lifted = ceilings or Ceilings(), lifted
        self._stop, self._paused = stop, paused
        self._ended_by: tuple[End, FailureClass | None, str] | None = None
        #: What kept something that the agent printed from being put on record.
        self._unheard: OSError | None = None
        #: Why a call was refused since the run was to be ended: an agent that ends first has not ended of itself.
        self._shut_for: tuple[End, FailureClass | None, str] | None = None
        self._started, self._since = time.time(), _passing()
        # Limits are about time that passes here, not about what the clock is set to or a sleeping machine.
        self._began = self._alive_at = time.monotonic()
        self._beat_at = 0.0
        self._hooked = False
        self._out, self._err = Output(folder / "agent.jsonl"), Output(folder / "agent.err")

    async def keep(self) -> RunOutcome:
        """Run to the end, whatever it is. Never raises for what agents, boxes and models do."""
        try:
            return self._finish(await self._ending())
        finally:
            if self._tape is not None:
                self._tape.close()
            self._context.close()
            self._witness.close()
            self.log.close()

    async def _ending(self) -> RunOutcome:
        """How the run ended. Nothing of it is left when this returns, and nothing more goes on record."""
        try:
            self.log.write(Started(run=self.spec.id, agent=self.spec.agent))
            return await self._run()
        except (Unavailable, BadInput) as error:
            return self._outcome(End.FAILED, FailureClass.LAUNCH, str(error))
        except OSError as error:
            return self._outcome(End.FAILED, FailureClass.MACHINE, f"this machine kept it from running: {error}")
        finally:
            for server in self._servers:
                await server.close()
            for listener in self._listeners:  # those that nobody took over
                listener.close()

    # -- starting -------------------------------------------------------------------------------------------

    async def _run(self) -> RunOutcome:
        if self._stop.is_set() or (self.folder / "stop").exists():
            return self._outcome(End.STOPPED, None, self._stop_reason())
        if (why := self._paused()) is not None:
            return self._outcome(End.STOPPED, None, why)
        model, hooks, proxy = self.box.ports(3)
        place = Place(
            home=str(self._make("home")), given=str(self._make("given")), worktree=self.spec.worktree,
            ports=Ports(hooks=hooks, model=model, proxy=proxy), token=f"overnight-{secrets.token_urlsafe(24)}",
        )  # fmt: skip
        self._bring_session(Path(place.home))
        launch = self.agent.launch(self.spec, place)
        self._hooked = self._watch.hooked = launch.hooked
        if (why := unpayable(self.spec, launch.route)) is not None:
            return self._outcome(End.FAILED, FailureClass.MONEY, why)
        self._account = await open_account(self.spec, launch.route, self._prices, self._record)
        self._contacts = Contacts(
            self.folder,
            launch.route.account(self.agent.name),
            self._ceilings,
            self._lifted,
            proxied=launch.route.proxied,
        )
        self._redactor = Redactor(self._known(place, launch), self._patterns)
        if launch.hooked:
            self._witness.audit = self._new_audit(launch.version, self.box.level, self._without)
        self._thread_tape(place, launch)
        self._write_given(place, launch)
        self._context.begin(place, launch)
        survey = Survey(self.box, self.folder, self.spec, self._path)
        await self._take_up_runbook()
        process = await self.box.start(self._box_spec(place, launch, (model, hooks, proxy)))
        self._listeners = process.listeners
        try:
            await self._serve(process, launch, place)
            route, box = launch.route.kind, self.box.level
            self.log.write(Launched(agent=self.agent.name, version=launch.version, route=route, box=box))
            code = await self._attend(process, survey)
        finally:
            await process.kill()
        if self._steps is not None:
            await self._steps.notice()
        self._hear_the_end()
        self._blame(process)
        self._ended_by = self._ended_by or self._shut_for
        return self._judge(code)

    def _thread_tape(self, place: Place, launch: Launch) -> None:
        """Make what records and what plays, where model traffic passes here. Raises OSError."""
        if not launch.route.proxied:
            return
        ports = (place.ports.hooks, place.ports.model, place.ports.proxy)
        around = Surroundings(
            worktree=place.worktree,
            home=place.home,
            given=place.given,
            branch=f"overnight/{self.spec.task}",
            ports=ports,
        )
        if self._new_playback is not None:
            self._deck = Deck(self._new_playback(around, self._without))
        if self._new_tape is not None:
            self._tape = self._new_tape(
                Opened(
                    run=self.spec.id, agent=self.agent.name, version=launch.version, protocol=launch.route.protocol,
                    start=self.spec.start, around=around,
                ),
                self._without,
            )  # fmt: skip

    def _decided(self, call: Call) -> Verdict:
        """The guard's verdict, with a word of it to the recording."""
        verdict = self._decide(call)
        if self._tape is not None:
            self._tape.called(call, verdict)
        return verdict

    async def _take_up_runbook(self) -> None:
        """What a run before ticked and could not commit any more is committed first. Raises RunbookInvalid."""
        if self.spec.runbook is None:
            return
        watch = self._watch
        self._steps = Steps(self.box, self.folder, self.spec, self._path, self._record, watch.tell, watch.end)
        watch.steps = self._hooks.steps = self._steps
        await self._steps.notice()

    def _bring_session(self, home: Path) -> None:
        """The session of an earlier run, which this one is to go on with; without it, it begins one of its own."""
        spec = self.spec
        if spec.resume is None or not spec.resume_of:
            return
        try:
            old = Path(run_dir(str(self.folder.parents[3]), spec.resume_of)) / "home"
            carry(old, home, self.agent.keeps(spec.resume))
        except NotCarried as why:
            self._fresh = str(why)
            self.spec = msgspec.structs.replace(spec, resume=None)
        else:
            self.spec = msgspec.structs.replace(spec, prompt=spec.resume_prompt or spec.prompt)
        self.log.write(Resuming(session=spec.resume, of=spec.resume_of, fresh=self._fresh))

    def _known(self, place: Place, launch: Launch) -> tuple[str, ...]:
        """Values that must not get out: the run's own token, the key outside, the logins inside."""
        names = (*launch.passed, launch.route.key_variable)
        passed = (self._environ[name] for name in names if name in self._environ)
        return (place.token, *passed, *known_secrets(self._environ))

    def _without(self, text: str) -> str:
        """A text without secrets, as far as they are known by now."""
        return self._redactor(text)

    def _make(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def _write_given(self, place: Place, launch: Launch) -> None:
        for name, content in launch.files.items():
            (Path(place.given) / name).write_bytes(content)
        (self.folder / "stdin").write_bytes(launch.stdin)
        facts = {
            "argv": launch.argv,
            "environment": sorted([*launch.env, *launch.passed]),
            "hooked": launch.hooked,
            "version": launch.version,
            "model": self.spec.model,
            "route": launch.route.kind,
            "box": self.box.level,
        }
        (self.folder / "launch.json").write_bytes(encode(facts))

    def _box_spec(self, place: Place, launch: Launch, ports: tuple[int, ...]) -> BoxSpec:
        passed = {name: self._environ[name] for name in launch.passed if name in self._environ}
        return BoxSpec(
            argv=launch.argv,
            env={
                "PATH": self._path,
                "HOME": place.home,
                "LANG": "C.UTF-8",
                **self._proxy(place),
                **launch.env,
                **passed,
            },
            cwd=self.spec.worktree,
            writable=(self.spec.worktree, self.spec.git_dir, place.home),
            readable=(self.spec.objects, *self.spec.alternates, place.given, *launch.readable, *self._tools),
            git=(self.spec.worktree, self.spec.git_dir),
            ports=ports,
            stdin=str(self.folder / "stdin"),
            stdout=str(self.folder / "agent.jsonl"),
            stderr=str(self.folder / "agent.err"),
        )

    def _proxy(self, place: Place) -> dict[str, str]:
        """Where programs inside find the way to the hosts that the policy lets them reach."""
        if not self.spec.box.egress:
            return {}
        url = f"http://127.0.0.1:{place.ports.proxy}"
        here = "127.0.0.1,localhost"
        return {"HTTPS_PROXY": url, "https_proxy": url, "NO_PROXY": here, "no_proxy": here}

    async def _serve(self, process: BoxedProcess, launch: Launch, place: Place) -> None:
        """The three listeners inside the box's network. What the agent does not need answers nothing."""
        route = launch.route
        model, hooks, proxy = process.listeners
        if launch.hooked:
            self._servers.append(await serve(hooks, self._answer, HOOK_LIMITS))
        else:
            hooks.close()
        if route.proxied and self._account is not None:
            key = self._environ.get(route.key_variable, "") if route.key_variable else ""
            meter = self._account.meter
            gateway = Gateway(
                route,
                place.token,
                key,
                self._record,
                heard=self._lives,
                meter=meter,
                taps=self._taps(),
                deck=self._deck,
            )
            self._servers.append(await serve(model, gateway.handle))
        else:
            model.close()
        hosts = (*route.hosts, *self.spec.box.egress)
        if hosts:
            self._servers.append(await serve(proxy, Egress(hosts, self._record, heard=self._lives).handle))
        else:
            proxy.close()

    async def _answer(self, request: Request, exchange: Exchange) -> Response:
        """What the agent printed before it asked is heard first: how full its context is, what it was told of limits."""
        await asyncio.sleep(0)  # the FIFO's turn
        try:
            self._catch_up(LOOK_S)
        except OSError as error:
            self._unheard = error
        return await self._hooks.handle(request, exchange)

    def _taps(self) -> tuple[Tap, ...]:
        tape = self._tape
        taps: list[Tap] = [self._context.tap]
        if self._contacts is not None and self._deck is None:  # what is played back says nothing of now
            taps.append(self._contacts.tap)
        if tape is not None:
            taps.append(lambda request: tape.hear(request.method, request.target, request.headers, request.body))
        return tuple(taps)

    def _record(self, event: Event) -> None:
        """Hooks and model traffic are signs of life, and they are on record before they take effect."""
        self._lives()
        self.log.write(event)

    def _lives(self) -> None:
        """Also in the middle of an answer: a long one shows in the agent's output only once it is whole."""
        self._alive_at = time.monotonic()

    def _beat(self) -> None:
        """For whoever watches from outside; takes no room on a full disk."""
        if (now := time.monotonic()) - self._beat_at >= BEAT_S:
            self._beat_at = now
            with contextlib.suppress(OSError):
                os.utime(self.folder / "warden.lock")

    # -- watching -------------------------------------------------------------------------------------------

    async def _attend(self, process: BoxedProcess, survey: Survey) -> int:
        """Look at the output and at the limits until the agent ends or has to be ended; its exit code."""
        ended = asyncio.ensure_future(process.wait())
        asked = asyncio.ensure_future(self._stop.wait())
        alarmed = (self._witness, self._watch, self._context, *((self._deck,) if self._deck else ()))
        alarms = [asyncio.ensure_future(each.alarm.wait()) for each in alarmed]
        watching = asyncio.create_task(self._watch.run(survey.look))
        try:
            while not ended.done():
                await asyncio.wait(
                    (ended, asked, watching, *alarms), timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                )
                self._beat()
                if not ended.done() and (reason := self._reason_to_end(asked.done(), watching)) is not None:
                    await self._end(process, *reason)
                    break
            return await ended
        finally:
            for waiting in (ended, asked, watching, *alarms):
                waiting.cancel()
            await asyncio.wait((ended, asked, watching, *alarms))

    def _reason_to_end(self, asked: bool, watching: asyncio.Task[None]) -> tuple[End, FailureClass | None, str] | None:
        if asked:
            return End.STOPPED, None, self._stop_reason()
        if (why := self._paused()) is not None:
            return End.STOPPED, None, why
        try:
            if self._unheard is not None:
                raise self._unheard
            self._catch_up(LOOK_S)
            if watching.done():  # it ends by itself only for what keeps it from watching
                watching.result()
            if self._witness.broken is not None:
                return End.FAILED, FailureClass.SECURITY, self._witness.broken
            if self._deck is not None and self._deck.over is not None:
                return self._deck.over
            if self._account is not None and (over := self._account.over()) is not None:
                self.log.write(Limit(limit="allowance", why=over[2]))
                return over
            if self._contacts is not None and (over := self._contacts.over()) is not None:
                self.log.write(Limit(limit="window", why=over[2]))
                return over
            if self._context.stop is not None:
                return End.HANDED_OVER, None, self._context.stop
            if (limit := self._over_limit()) is None:
                return None
            self.log.write(Limit(limit=limit[0], why=limit[1]))
        except OSError as error:  # what can't be put on record does not go on
            return End.FAILED, FailureClass.MACHINE, f"{_NO_RECORD}: {error}"
        return End.STOPPED_BY_LIMIT, FailureClass.STUCK, limit[1]

    def _over_limit(self) -> tuple[str, str] | None:
        limits, now = self.spec.limits, time.monotonic()
        if now - self._began > limits.wall:
            return "wall", f"it ran longer than {show_duration(limits.wall)}"
        if now - self._alive_at > limits.silence and not (self._watch.busy() or self._context.busy):
            return "silence", f"nothing was heard of it for {show_duration(limits.silence)}"
        if self._out.size + self._err.size > MOST_OUTPUT:
            return "output", f"it printed more than {MOST_OUTPUT >> 20} MiB"
        if (found := self._watch.stop) is not None:
            return found.condition.value, found.why
        return None

    def _shut(self) -> str | None:
        """Why no more calls pass, once the run is to be ended."""
        if self._ended_by is not None:
            return self._ended_by[2]
        if self._unheard is not None:
            self._shut_for = (End.FAILED, FailureClass.MACHINE, f"{_NO_RECORD}: {self._unheard}")
        elif (why := self._paused()) is not None:
            self._shut_for = (End.STOPPED, None, why)
        elif self._deck is not None and self._deck.over is not None:
            self._shut_for = self._deck.over
        elif self._context.stop is not None:
            self._shut_for = (End.HANDED_OVER, None, self._context.stop)
        elif self._watch.stop is not None:
            self._shut_for = (End.STOPPED_BY_LIMIT, FailureClass.STUCK, self._watch.stop.why)
        else:
            return None
        return self._shut_for[2]

    async def _end(self, process: BoxedProcess, end: End, failure: FailureClass | None, why: str) -> None:
        """A clean end: asked first, then killed with everything it started."""
        self._ended_by = (end, failure, why)
        with contextlib.suppress(OSError):
            self.log.write(Stopping(why=why))
        await process.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.wait()
        await process.kill()

    def _catch_up(self, seconds: float) -> None:
        """Note what the agent printed since the last look: whole lines, for so long at most. Raises OSError."""
        if self._out.changed() | self._err.changed():
            self._lives()
        until = time.monotonic() + seconds
        for line in self._out.lines():
            self._note(line)
            if time.monotonic() > until:
                return

    def _hear_the_end(self) -> None:
        """What it printed last, when everything inside is dead."""
        try:
            self._catch_up(LAST_LOOK_S)
            self._note(self._out.rest())
        except OSError as error:
            self._ended_by = self._ended_by or (End.FAILED, FailureClass.MACHINE, f"{_NO_RECORD}: {error}")
        if self._witness.broken is not None:  # goes before whatever else was wrong
            self._ended_by = (End.FAILED, FailureClass.SECURITY, self._witness.broken)

    def _note(self, line: bytes) -> None:
        for event in self.agent.read(line):
            self._witness.heard(event)
            self._watch.said(event)
            self._context.said(event)
            if self._account is not None and event.tokens:
                self._account.hear(event.tokens)
            if self._contacts is not None:
                self._contacts.heard(event)
            if event.kind != "noise":
                said = msgspec.structs.asdict(event)
                del said["turn"], said["tokens"], said["refused"], said["windows"], said["struck"], said["model"]
                self.log.write(AgentSaid(event=said.pop("kind"), **said))

    # -- ending ---------------------------------------------------------------------------------------------

    def _blame(self, process: BoxedProcess) -> None:
        """What its box was ended for goes before what the dying agent may have said."""
        if (over := process.exceeded()) is not None and self._ended_by is None:
            failure = FailureClass.MACHINE if over.bound == "room" else FailureClass.STUCK
            self._ended_by = (End.STOPPED_BY_LIMIT, failure, over.why)
            with contextlib.suppress(OSError):
                self.log.write(Limit(limit=over.bound, why=over.why))

    def _judge(self, code: int) -> RunOutcome:
        """How it ended: the agent's own account of it, overruled by ours."""
        outcome = self.agent.classify(self.spec, code, self._out.whole(), self._err.whole())
        if self._ended_by is None and self._deck is not None:
            self._ended_by = self._deck.over
        if self._ended_by is None and self._account is not None:
            self._ended_by = self._account.over(ended=True)
        if self._ended_by is None and outcome.end is End.COMPLETED and (why := self._context.unfinished()) is not None:
            self._ended_by = (End.HANDED_OVER, None, why)
        if self._ended_by is not None:
            end, failure, why = self._ended_by
            blocker = self._watch.blocker(why) if failure is FailureClass.STUCK else ""
            outcome = msgspec.structs.replace(outcome, end=end, failure=failure, why=why, blocker=blocker)
        return outcome

    def _stop_reason(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "stop").read_text(errors="replace")
        return "it was asked to stop"

    def _outcome(self, end: End, failure: FailureClass | None, why: str) -> RunOutcome:
        return RunOutcome(run=self.spec.id, end=end, failure=failure, why=why)

    def _finish(self, outcome: RunOutcome) -> RunOutcome:
        final = msgspec.structs.replace(
            scrubbed(outcome, self._without), run=self.spec.id, why=clean(self._without(sanitised(outcome.why))), denied=tuple(self._hooks.denied), calls=self._hooks.calls if self._hooked else None,
            started=self._started, ended=self._started + _passing() - self._since, bill=nothing(), memory=self._context.notes, context=self._context.use,
            runbook=self._steps.use if self._steps is not None else None,
            resumed=self.spec.resume, fresh=self._fresh,
        )  # fmt: skip
        if self._account is not None:
            final = self._account.closed(final)
        if self._tape is not None:
            final = msgspec.structs.replace(final, tape=self._tape.close())
        if self._contacts is not None:
            final = self._contacts.closed(final)
        with contextlib.suppress(OSError):  # the outcome itself says it too
            self.log.write(Ended(end=final.end, why=final.why, failure=final.failure))
        self._witness.close(final)
        return final


def _passing() -> float:
    """Seconds that pass here, with those in which the machine sleeps where they can be counted, whatever the clock is
    set to."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
