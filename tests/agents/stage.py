"""A stage for agents: a folder of their own, a hook server, a scripted model, and the CLI really started."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from overnight.agents.scripted import Play, ScriptedModel, playing
from overnight.agents.scripted.http import Replier, Request, serving
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import RunOutcome, RunSpec
from overnight.ports import Agent, AgentEvent, Launch, Place, Ports

PATIENCE = 120
DUMMY = "dummy-of-this-run"
#: The environment that adapters see: a key by name, a PATH without any other agent.
ENVIRON = {"ANTHROPIC_API_KEY": "sk-ant-real-one", "PATH": "/usr/bin:/bin"}

#: A run and a place where nothing is started.
SPEC = RunSpec(
    id="t1.1.1",
    task="t1",
    worktree="/w",
    git_dir="/g",
    objects="/o",
    start="0" * 40,
    agent="claude",
    prompt="Do.",
    limits=Limits(),
    box=BoxPolicy(),
)
PLACE = Place(
    home="/h", given="/given", worktree="/w", ports=Ports(hooks=7001, model=7002, proxy=7003), token="dummy token"
)

Guard = Callable[[Call], Verdict]


def allow(_: Call) -> Verdict:
    """Permit everything."""
    return Verdict(decision=Decision.ALLOW, reason="allowed here", rule="test.allow")


def deny(word: str) -> Guard:
    """Permit everything but calls whose input contains the word."""

    def judge(call: Call) -> Verdict:
        if word in str(call.input):
            return Verdict(decision=Decision.DENY, reason=f"{word} is off limits tonight", rule="test.deny")
        return allow(call)

    return judge


class Seen:
    """What a started agent did."""

    def __init__(self, agent: Agent, spec: RunSpec, launch: Launch, process: asyncio.subprocess.Process) -> None:
        self.launch = launch
        self.process = process
        self.stdout = b""
        self.stderr = b""
        self.events: list[AgentEvent] = []
        self._agent = agent
        self._spec = spec

    @property
    def code(self) -> int:
        """The exit code."""
        assert self.process.returncode is not None
        return self.process.returncode

    @property
    def outcome(self) -> RunOutcome:
        """The adapter's classification."""
        return self._agent.classify(self._spec, self.code, self.stdout, self.stderr)

    @property
    def kinds(self) -> list[str]:
        """The kinds of all events."""
        return [event.kind for event in self.events]

    async def begun(self) -> Seen:
        """Hand over the prompt and wait until the session has begun."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(self.launch.stdin)
        self.process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            while b'"subtype":"init"' not in self.stdout and (line := await self.process.stdout.readline()):
                self.stdout += line
                if not line.startswith(b"{"):  # a plain program, which begins with whatever it prints
                    break
        return self

    async def finish(self) -> Seen:
        """Read everything until the end of the process."""
        prompt = None if self.stdout else self.launch.stdin
        async with asyncio.timeout(PATIENCE):
            rest, self.stderr = await self.process.communicate(prompt)
        self.stdout += rest
        self.events = [event for line in self.stdout.splitlines() for event in self._agent.read(line)]
        return self


class Stage:
    """One worktree, one HOME, one hook server, one model."""

    def __init__(self, root: Path, model: ScriptedModel, ports: Ports) -> None:
        self.root = root
        self.model = model
        self.hooks: list[dict[str, Any]] = []
        self.worktree = root / "work"
        self.place = Place(
            home=str(root / "home"), given=str(root / "given"), worktree=str(self.worktree), ports=ports, token=DUMMY
        )
        for folder in (self.place.home, self.place.given, self.place.worktree):
            Path(folder).mkdir()

    @property
    def files(self) -> list[str]:
        """Names of what is in the worktree."""
        return sorted(path.name for path in self.worktree.iterdir())

    def spec(self, prompt: str = "Do the task.", run: str = "t1.1.1", turns: int = 20, **more: Any) -> RunSpec:
        """A run here."""
        return RunSpec(
            id=run,
            task="t1",
            worktree=str(self.worktree),
            git_dir=str(self.root / "git"),
            objects=str(self.root / "objects"),
            start="0" * 40,
            agent="any",
            prompt=prompt,
            limits=Limits(turns=turns),
            box=BoxPolicy(),
            **more,
        )

    @asynccontextmanager
    async def started(self, agent: Agent, spec: RunSpec, environ: Mapping[str, str] = ENVIRON) -> AsyncGenerator[Seen]:
        """The agent's process, in a session of its own; killed at the end if it still runs."""
        launch = agent.launch(spec, self.place)
        for name, content in launch.files.items():
            Path(self.place.given, name).write_bytes(content)
        process = await asyncio.create_subprocess_exec(
            *launch.argv,
            cwd=self.worktree,
            env=launch.env | {name: environ[name] for name in launch.passed},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield Seen(agent, spec, launch, process)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()

    async def run(self, agent: Agent, spec: RunSpec | None = None) -> Seen:
        """Start the agent and wait for its end."""
        async with self.started(agent, spec or self.spec()) as seen:
            return await seen.finish()


@asynccontextmanager
async def stage(
    root: Path, play: Play, agent: Agent, guard: Guard | None = allow, model: bool = True
) -> AsyncGenerator[Stage]:
    """Set the stage. Without a guard the hook server is dead; with model=False the model's port is."""
    async with AsyncExitStack() as stack:
        url, scripted = await stack.enter_async_context(playing(play))
        held: list[Stage] = []

        async def hook(request: Request, replier: Replier) -> None:
            event = msgspec.json.decode(request.body)
            held[0].hooks.append(event)
            call = agent.hook(event)
            answer: Mapping[str, Any] = {} if call is None or guard is None else agent.answer(event, guard(call))
            await replier.whole(200, {"content-type": "application/json"}, msgspec.json.encode(answer))

        port = await stack.enter_async_context(serving(hook)) if guard else _dead()
        serves = int(url.rpartition(":")[2]) if model else _dead()
        held.append(Stage(root, scripted, Ports(hooks=port, model=serves, proxy=_dead())))
        yield held[0]


def _dead() -> int:
    """A loopback port on which nobody listens: 1 is privileged and unused."""
    return 1
