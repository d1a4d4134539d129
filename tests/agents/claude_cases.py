"""How sessions of Claude Code end: the plays that make them end so, and what must be made of it.

`python -m agents.claude_cases` (in `tests/`) runs them all against the real CLI and keeps what it said in
`captured/`, without the machine's paths and the long lists of `init`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.scripted import Cut, Fail, Garble, Reply, Say, Stall, Think, Use, play
from overnight.agents.scripted.script import Step
from overnight.missions.run import End, FailureClass

from .stage import ENVIRON, Seen, Stage, allow, stage

CAPTURED = Path(__file__).parent / "captured"
WORK = Use("Bash", {"command": "echo hi > made", "description": "make a file"})
#: What the vendor's API sends to a subscription whose five-hour window is used up.
WINDOW = {
    "anthropic-ratelimit-unified-status": "rejected",
    "anthropic-ratelimit-unified-reset": "1795231849",
    "anthropic-ratelimit-unified-representative-claim": "five_hour",
    "anthropic-ratelimit-unified-5h-status": "rejected",
    "anthropic-ratelimit-unified-5h-reset": "1795231849",
    "anthropic-ratelimit-unified-5h-utilization": "1",
    "anthropic-ratelimit-unified-7d-status": "allowed",
    "anthropic-ratelimit-unified-7d-reset": "1795628249",
    "anthropic-ratelimit-unified-7d-utilization": "0.4",
    "anthropic-ratelimit-unified-overage-status": "rejected",
    "anthropic-ratelimit-unified-overage-disabled-reason": "org_level_disabled",
}
_BROKEN = (
    'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    '"model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
    'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
)


class Case(Struct, frozen=True, kw_only=True):
    """One way to end."""

    steps: tuple[Step, ...]
    end: End = End.FAILED
    failure: FailureClass | None = None
    #: Words that the reason must contain.
    why: str = ""
    until: float | None = None
    spec: dict[str, Any] = {}
    model: bool = True
    #: Sent when the model has been asked and stalls under the name `kill`.
    signal: int | None = None
    #: Variables beside the launch's own, and no key: a subscription's login against the scripted model.
    login: dict[str, str] | None = None


class Capture(Struct, frozen=True):
    """What the CLI left."""

    code: int
    stdout: list[str]
    stderr: str


_STALL = Stall("kill", Say("too late"))
_LOGIN = {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-dummy"}
CASES: dict[str, Case] = {
    "success": Case(steps=(WORK, Say("All done.")), end=End.COMPLETED),
    "healed": Case(steps=(Cut(), WORK, Say("All done.")), end=End.COMPLETED),
    "slash": Case(steps=(Say("All done."),), end=End.COMPLETED, spec={"prompt": "/compact the log files"}),
    "blocked": Case(steps=(WORK, Say("I looked.\n\nBLOCKED: no password")), end=End.BLOCKED, why="no password"),
    "empty": Case(steps=(Reply(), Reply()), failure=FailureClass.AGENT, why="nothing said"),
    "only-thought": Case(steps=(Reply((Think("hm"),)),) * 2, failure=FailureClass.AGENT, why="nothing said"),
    "turns": Case(
        steps=(WORK,) * 3, end=End.STOPPED_BY_LIMIT, failure=FailureClass.STUCK, why="turns (2)", spec={"turns": 2}
    ),
    "refusal": Case(steps=(Reply((Say("no"),), stop="refusal"),) * 2, failure=FailureClass.AGENT, why="refused"),
    "max-tokens": Case(steps=(Reply((Say("a"),), stop="max_tokens"),) * 4, failure=FailureClass.AGENT, why="output"),
    "too-long": Case(
        steps=(Fail(400, "prompt is too long: 300000 tokens > 200000 maximum"),),
        failure=FailureClass.AGENT,
        why="Prompt is too long",
    ),
    "too-large": Case(steps=(Fail(413),), failure=FailureClass.AGENT, why="too large"),
    "key-refused": Case(steps=(Fail(401, "bad key", times=20),), failure=FailureClass.AUTH, why="bad key"),
    "forbidden": Case(steps=(Fail(403, "not you", times=20),), failure=FailureClass.AUTH, why="not you"),
    "login-refused": Case(steps=(Fail(401, "gone", times=20),), failure=FailureClass.AUTH, why="gone", login=_LOGIN),
    "no-login": Case(steps=(), failure=FailureClass.AUTH, why="Not logged in", login={}),
    "limit": Case(steps=(Fail(429, "slow down"),), failure=FailureClass.LIMIT, why="slow down"),
    "limit-later": Case(steps=(WORK, Fail(429, "slow down")), failure=FailureClass.LIMIT, why="slow down"),
    "window": Case(
        steps=(WORK, Fail(429, "used up", headers=WINDOW)),
        failure=FailureClass.LIMIT,
        why="5-hour limit",
        until=1795231849.0,
        login=_LOGIN,
    ),
    "money": Case(
        steps=(Fail(400, "Your credit balance is too low to access the Anthropic API."),),
        failure=FailureClass.MONEY,
        why="Credit balance",
    ),
    "server-error": Case(steps=(Fail(500, "oops"),), failure=FailureClass.VENDOR, why="500 oops"),
    "overloaded": Case(steps=(Fail(529, "busy"),), failure=FailureClass.VENDOR, why="529 busy"),
    "unreachable": Case(steps=(), failure=FailureClass.VENDOR, why="refused", model=False),
    "cut": Case(steps=(Cut(), Cut()), failure=FailureClass.VENDOR, why="Connection to the API was lost"),
    "garbled": Case(steps=(Garble(),) * 2, failure=FailureClass.VENDOR, why="malformed"),
    "error-event": Case(steps=(Garble(_BROKEN),) * 2, failure=FailureClass.VENDOR, why="malformed"),
    "no-model": Case(steps=(Fail(404, "model: x"),) * 2, failure=FailureClass.LAUNCH, why="selected model"),
    "bad-request": Case(steps=(Fail(400, "odd", times=20),), failure=FailureClass.LAUNCH, why="400 odd"),
    "turned-bad": Case(steps=(WORK, Fail(400, "odd", times=20)), failure=FailureClass.AGENT, why="400 odd"),
    "no-prompt": Case(steps=(), failure=FailureClass.LAUNCH, why="Input must be provided", spec={"prompt": ""}),
    "no-session": Case(
        steps=(),
        failure=FailureClass.LAUNCH,
        why="No conversation found",
        spec={"resume": "42ff9fb5-671a-4f93-b320-d13596eb0545"},
    ),
    "sigterm": Case(steps=(WORK, _STALL), failure=FailureClass.MACHINE, why="SIGTERM", signal=signal.SIGTERM),
    "sigint": Case(steps=(WORK, _STALL), failure=FailureClass.MACHINE, why="interrupted", signal=signal.SIGINT),
    "sighup": Case(steps=(_STALL,), failure=FailureClass.MACHINE, why="SIGHUP", signal=signal.SIGHUP),
    "sigkill": Case(steps=(WORK, _STALL), failure=FailureClass.MACHINE, why="SIGKILL", signal=signal.SIGKILL),
}


class _Subscriber(ClaudeAgent):
    """Claude Code with a login instead of a key, at the scripted model's address and nowhere else."""

    def __init__(self, settings: ClaudeSettings, login: dict[str, str]) -> None:
        super().__init__(settings, ENVIRON)
        self._login = login

    def launch(self, spec: Any, place: Any) -> Any:
        launch = super().launch(spec, place)
        ((name, content),) = launch.files.items()
        given = msgspec.json.decode(content)
        del given["apiKeyHelper"]
        return msgspec.structs.replace(launch, env=launch.env | self._login, files={name: msgspec.json.encode(given)})


async def perform(case: Case, root: Path) -> tuple[Seen, Stage]:
    """Run one case with the real CLI."""
    # No retry of its own: how often the CLI tries again is its business, how it ends is ours.
    settings = ClaudeSettings(retries=0)
    agent = ClaudeAgent(settings, ENVIRON) if case.login is None else _Subscriber(settings, case.login)
    async with stage(root, play(*case.steps), agent, allow, case.model) as here:
        async with here.started(agent, here.spec(**case.spec)) as seen:
            async with asyncio.TaskGroup() as group:
                group.create_task(seen.finish())
                if case.signal is not None:
                    await here.model.reached("kill")
                    seen.process.send_signal(case.signal)
            return seen, here


def _portable(line: bytes, root: str) -> str:
    """A line of output without the machine's paths and the lists of everything the CLI can do."""
    value = msgspec.json.decode(line.replace(root.encode(), b"/run"))
    if value.get("subtype") == "init":
        keep = ("type", "subtype", "cwd", "session_id", "tools", "model", "permissionMode", "claude_code_version")
        value = {key: value[key] for key in keep}
    return msgspec.json.encode(value).decode()


async def _capture(names: list[str]) -> None:
    for name in names or CASES:
        with tempfile.TemporaryDirectory() as root:
            seen, _ = await perform(CASES[name], Path(root))
            lines = [_portable(line, root) for line in seen.stdout.splitlines()]
            kept = Capture(seen.code, lines, seen.stderr.decode().replace(root, "/run"))
            CAPTURED.joinpath(f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")


if __name__ == "__main__":
    CAPTURED.mkdir(exist_ok=True)
    asyncio.run(_capture(sys.argv[1:]))
