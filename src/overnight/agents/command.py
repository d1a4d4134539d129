"""The agent `command`: any program that works on the folder it is started in.

The program finds the prompt on its standard input and in the file `$OVERNIGHT_PROMPT`; `$OVERNIGHT_TASK` is
the task's id and `$OVERNIGHT_MODEL` the model asked for, if any. Its working folder is the worktree. It has no
hooks, so only the box guards it, and no model route of its own.

Exit code 0 says that it is finished; 75 (EX_TEMPFAIL) that something it needs is away for now, so no attempt is
spent. A last paragraph `BLOCKED: reason` on standard output asks for a person.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from overnight.agents.signals import signalled
from overnight.agents.surroundings import extended, surroundings
from overnight.agents.words import blocked, one_line, quoted
from overnight.errors import AgentUnavailable
from overnight.guard.verdict import Call, Verdict
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec
from overnight.ports import AgentEvent, Launch, Moment, Place, Route

_PROMPT = "prompt.txt"
_TAIL = 16_384
#: Exit codes that say more than failure: sysexits' EX_TEMPFAIL, and the shell's two for a program it can't start.
_CODES = {
    os.EX_TEMPFAIL: (FailureClass.VENDOR, "It says that something it needs is away for now"),
    126: (FailureClass.LAUNCH, "A program it starts can't be run"),
    127: (FailureClass.LAUNCH, "A program it starts is missing"),
}


class CommandSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The program to run as an agent."""

    #: Program and arguments, such as ["sh", "-c", "my-agent < \"$OVERNIGHT_PROMPT\""]. Empty: there is none.
    argv: tuple[str, ...] = ()
    #: Absolute files and folders, besides the system's own, that the program needs to see.
    readable: tuple[str, ...] = ()
    #: More environment variables for it, such as PATH.
    env: dict[str, str] = {}


class CommandAgent:
    """A program of the person's own behind the port `Agent`."""

    name = "command"

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings

    def launch(self, spec: RunSpec, place: Place) -> Launch:
        """The launch of one run. Raises AgentUnavailable when there is no such program."""
        settings = self._settings
        env = extended(self._env(spec, place), settings.env, "agents.command.env", ("OVERNIGHT_",))
        prompt = spec.prompt.encode()
        return Launch(
            argv=(_program(settings.argv, env["PATH"]), *settings.argv[1:]),
            env=env,
            files={_PROMPT: prompt},
            readable=settings.readable,
            stdin=prompt,
            route=self.route(),
            hooked=False,
        )

    def route(self) -> Route:
        """None: what the program asks the network for is the policy's `egress`."""
        return Route(kind="none")

    def read(self, line: bytes) -> Sequence[AgentEvent]:
        """Each line that is not blank is a text."""
        text = one_line(line.decode(errors="replace"))
        return (AgentEvent(kind="text", text=text),) if text else ()

    def classify(self, spec: RunSpec, code: int, stdout: bytes, stderr: bytes) -> RunOutcome:
        """From the exit code and the last words alone; turns and usage stay unknown."""
        said = quoted(stdout[-_TAIL:].decode(errors="replace"))
        end, failure, why = _ending(code, said, stderr[-_TAIL:].decode(errors="replace"))
        return RunOutcome(run=spec.id, end=end, failure=failure, why=why, code=code, said=said)

    def keeps(self, session: str) -> tuple[str, ...]:  # noqa: ARG002
        """A program has no sessions that anybody knows of."""
        return ()

    def hook(self, event: Mapping[str, Any]) -> Call | None:
        """A program has no hooks; a request that comes in its name is a call that no guard knows."""
        return Call(id="", tool=one_line(str(event.get("tool_name", ""))), input=event, cwd="")

    def answer(self, event: Mapping[str, Any], verdict: Verdict) -> Mapping[str, Any]:
        """The decision and its reason."""
        return {"event": event.get("hook_event_name"), "decision": verdict.decision.value, "reason": verdict.reason}

    def moment(self, event: Mapping[str, Any]) -> Moment | None:  # noqa: ARG002
        """A program waits for nobody."""
        return None

    def reminders(self, parts: Sequence[str], start: str) -> Mapping[str, bytes]:  # noqa: ARG002
        """Its context, if it has one, is its own affair."""
        return {}

    def remark(self, event: Mapping[str, Any], answer: Mapping[str, Any], text: str) -> Mapping[str, Any] | None:  # noqa: ARG002
        """A program without hooks can't be told anything."""
        return None

    def would_end(self, event: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """A program without hooks ends when it ends."""
        return False

    def send_back(self, text: str) -> Mapping[str, Any]:
        """Nobody reads it."""
        return {"text": text}

    def _env(self, spec: RunSpec, place: Place) -> dict[str, str]:
        model = {"OVERNIGHT_MODEL": spec.model} if spec.model is not None else {}
        own = {"OVERNIGHT_PROMPT": f"{place.given}/{_PROMPT}", "OVERNIGHT_TASK": spec.task}
        return {**surroundings(place), **own, **model}


def _program(argv: tuple[str, ...], path: str) -> str:
    """The absolute path of the program. Raises AgentUnavailable when it can't be run."""
    if not argv:
        problem = "no program is named"
    elif found := shutil.which(argv[0], path=path):
        return os.path.abspath(found)  # noqa: PTH100 - a symlink's name may matter to what it starts
    else:
        problem = f"there is no program {argv[0]!r} on the PATH {path}"
    raise AgentUnavailable(
        agent="command", reason=problem, install="Set `argv` in the settings of the agent `command`."
    )


def _ending(code: int, said: str, stderr: str) -> tuple[End, FailureClass | None, str]:
    if code == 0:
        reason = blocked(said)
        if reason is not None:
            return End.BLOCKED, None, reason
        return End.COMPLETED, None, "It says that it is finished."
    if ended := signalled(code):
        return End.FAILED, *ended
    failure, why = _CODES.get(code, (FailureClass.AGENT, f"It ended with exit code {code}"))
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "")
    return End.FAILED, failure, f"{why}: {one_line(last)}" if last else f"{why}."
