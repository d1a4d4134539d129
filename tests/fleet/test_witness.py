"""No call without a decision: a tool that runs unseen ends the run; what never ran is no alarm; nothing leaks on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from scene import KEY, Scene, shell, within

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.command import CommandAgent
from overnight.agents.scripted import Reply, Say, Use, play, playing
from overnight.audit.entries import Unseen
from overnight.audit.places import day_at
from overnight.audit.shown import CallView, calls
from overnight.audit.verify import verify
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec
from overnight.ports import Agent, AgentEvent, Launch, Place
from overnight.warden.witness import Witness

YES = Verdict(decision=Decision.ALLOW, rule="test", reason="")
NO = Verdict(decision=Decision.DENY, rule="test", reason="")
SECRET = "ghp_" + "a1B2c3D4e5F6" * 3
ENVIRON = {"ANTHROPIC_API_KEY": KEY, "PATH": "/usr/bin:/bin"}


def bash(command: str) -> Use:
    return Use("Bash", {"command": command, "description": "Work"})


class OneUnseen(ClaudeAgent):
    """Claude Code whose hooks are asked about Write only, and that may use the shell without being asked."""

    def launch(self, spec: RunSpec, place: Place) -> Launch:
        launch = super().launch(spec, place)
        ((name, content),) = launch.files.items()
        given: dict[str, Any] = msgspec.json.decode(content)
        given["hooks"]["PreToolUse"][0]["matcher"] = "Write"
        del given["hooks"]["PostToolUse"], given["hooks"]["PostToolUseFailure"]
        given["permissions"] = {"allow": ["Bash"]}
        return msgspec.structs.replace(launch, files={name: msgspec.json.encode(given)})


class Printing(CommandAgent):
    """A program that prints what Claude Code prints, and says that it has hooks, but never asks them."""

    def launch(self, spec: RunSpec, place: Place) -> Launch:
        return msgspec.structs.replace(super().launch(spec, place), hooked=True)

    def read(self, line: bytes) -> Sequence[AgentEvent]:
        return ClaudeAgent(ClaudeSettings(), {}).read(line)


def printing(*values: dict[str, Any]) -> Agent:
    text = "\n".join(json.dumps(value) for value in values)
    inner = shell(f"cat <<'END'\n{text}\nEND\nexec 9>bell; sleep 600")
    return Printing(inner._settings)


def result(text: str = "out", *, error: bool = False, meta: dict[str, Any] | None = None) -> dict[str, Any]:
    """A line with the result of the call `toolu_1`."""
    block = {"type": "tool_result", "tool_use_id": "toolu_1", "content": text, "is_error": error}
    told = {"tool_result_meta": [{"id": "toolu_1", **meta}]} if meta else {}
    return {"type": "user", "message": {"content": [block]}, **told}


def on_record(scene: Scene, run: str = "t1.1.1") -> list[CallView]:
    return calls(scene.home, f"{day_at()}/{run}")


@pytest.mark.cli
def test_a_tool_that_the_hooks_do_not_see_ends_the_real_cli(scene: Scene) -> None:
    """The seen call is decided and done; the unseen one runs and is the last: the model is not let go on."""
    steps = (
        Use("Write", {"file_path": str(scene.work / "seen.txt"), "content": "x"}),
        bash("touch unseen.txt"),
        bash("sleep 20; touch later.txt"),
        Say("Done."),
    )

    async def story() -> RunOutcome:
        async with playing(play(*steps)) as (url, _):
            agent = OneUnseen(ClaudeSettings(retries=0, upstream=url), ENVIRON)
            return await scene.keeper("", "bubblewrap", agent=agent, environ=ENVIRON).keep()

    outcome = within(story())
    assert (outcome.end, outcome.failure) == (End.FAILED, FailureClass.SECURITY), outcome
    assert "nobody had decided it" in outcome.why
    assert (scene.work / "seen.txt").exists()
    assert not (scene.work / "later.txt").exists()
    views = on_record(scene)
    assert [(view.tool, view.decision) for view in views if view.tool == "Write"] == [("Write", Decision.ALLOW)]
    assert [view.decision for view in views if view.tool != "Write"] == [None]
    assert verify(scene.home).whole


@pytest.mark.cli
def test_calls_that_never_ran_are_no_alarm_with_the_real_cli(scene: Scene) -> None:
    """An unknown tool, one that is not offered, malformed input, several calls at once, failures, a denial: all is well."""
    steps = (
        Use("Nope", {"x": 1}),
        Use("WebFetch", {"url": "http://127.0.0.1:1/", "prompt": "x"}),
        Use("Bash", {"cmd": "touch a"}),
        Use("Edit", {"file_path": str(scene.work / "none.txt"), "old_string": "a", "new_string": "b"}),
        Reply((bash("touch a.txt"), bash("exit 3"), bash("touch forbidden"), Use("Nope", {}))),
        Say("Done."),
    )

    def decide(call: Call) -> Verdict:
        return NO if "forbidden" in str(call.input) else YES

    async def story() -> RunOutcome:
        async with playing(play(*steps)) as (url, _):
            agent = ClaudeAgent(ClaudeSettings(retries=0, upstream=url), ENVIRON)
            return await scene.keeper("", "bubblewrap", agent=agent, environ=ENVIRON, decide=decide).keep()

    outcome = within(story())
    assert (outcome.end, outcome.failure) == (End.COMPLETED, None), outcome
    views = on_record(scene)
    assert [(view.decision, view.failed) for view in views] == [
        (Decision.ALLOW, False), (Decision.ALLOW, True), (Decision.DENY, None),
    ]  # fmt: skip
    assert verify(scene.home).unended == ()


@pytest.mark.parametrize(
    "line",
    [
        result(),
        result("Exit code 3", error=True),
        result(meta={"permission_decision": {"decision": "accept", "source": "config"}}),
        result("<tool_use_error>x", error=True, meta={"permission_decision": {"decision": "accept"}}),
        result("<tool_use_error>x"),
    ],
)
def test_a_result_that_nobody_decided_ends_a_run(scene: Scene, line: dict[str, Any]) -> None:
    """Whatever it says of itself, short of that it never ran."""
    outcome = within(scene.keeper("", agent=printing(line)).keep())
    assert (outcome.end, outcome.failure) == (End.FAILED, FailureClass.SECURITY)
    assert "toolu_1" in outcome.why
    assert scene.bell.let_go()
    assert [view.rule for view in on_record(scene)] == ["unseen"]


@pytest.mark.parametrize(
    "line",
    [
        result("denied", error=True, meta={"permission_decision": {"decision": "reject"}}),
        result("<tool_use_error>Error: No such tool available: Nope</tool_use_error>", error=True),
    ],
)
def test_a_call_that_never_ran_ends_nothing(scene: Scene, line: dict[str, Any]) -> None:
    """The CLI says so itself: the run goes on until its program ends."""
    text = json.dumps(line)
    outcome = within(scene.keeper("", agent=Printing(shell(f"echo '{text}'")._settings)).keep())
    assert outcome.failure is not FailureClass.SECURITY
    assert on_record(scene) == []


def test_a_result_in_the_last_words_counts(scene: Scene) -> None:
    """Also when the program has ended before anybody looked at what it printed."""
    text = json.dumps(result())
    outcome = within(scene.keeper("", agent=Printing(shell(f"echo '{text}'")._settings)).keep())
    assert outcome.failure is FailureClass.SECURITY


def test_a_denied_call_that_ran_is_an_alarm() -> None:
    """A decision is not enough, it must have been heeded; an id that was allowed once is not in doubt."""
    for verdicts, broken in (([YES], False), ([NO], True), ([NO, YES], False), ([], True)):
        seen = list[str]()
        witness = Witness(_Noting(seen))
        for verdict in verdicts:
            witness.decided(Call(id="c", tool="Bash", input={}, cwd=""), "", verdict)
        witness.heard(AgentEvent(kind="tool-result", call="c"))
        assert (witness.broken is not None, witness.alarm.is_set(), "unseen" in seen) == (broken, broken, broken)


def test_what_the_audit_can_not_take_is_not_let_through() -> None:
    """A full disk: the decision is not given, and the call counts as undecided."""
    witness = Witness(_Full([]))
    with pytest.raises(OSError, match="full"):
        witness.decided(Call(id="c", tool="Bash", input={}, cwd=""), "", YES)
    witness.heard(AgentEvent(kind="tool-result", call="c"))
    assert witness.broken is not None


class _Noting:
    """An audit that notes what it is told."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def called(self, call: Call, shown: str, verdict: Verdict, *, again: bool = False) -> None:
        self.seen.append("called")

    def resulted(self, call: str, tool: str, output: Any, *, failed: bool, ms: float | None) -> None:
        self.seen.append("resulted")

    def unseen(self, call: str, tool: str, why: str) -> None:
        assert Unseen(call=call, tool=tool, why=why)
        self.seen.append("unseen")

    def close(self, outcome: RunOutcome | None = None) -> None:
        self.seen.append("closed")


class _Full(_Noting):
    def called(self, call: Call, shown: str, verdict: Verdict, *, again: bool = False) -> None:
        raise OSError("the disk is full")


@pytest.mark.cli
def test_secrets_stay_in_the_raw_files_of_the_real_cli(scene: Scene) -> None:
    """In a tool's input and output, a denied call, the last words: only the raw output has them, and no terminal escapes."""
    (scene.work / "p1").write_text(SECRET[:6])
    (scene.work / "p2").write_text(SECRET[6:] + f"\x1b[31m\n{KEY}\n")
    steps = (
        bash(f"echo {SECRET}"),
        bash("cat p1 p2"),
        bash("cat p1 p2; exit 3"),
        Use("Read", {"file_path": str(scene.work / "p2")}),
        Say(f"The key is \x1b[1m{SECRET}, and {KEY}."),
    )

    async def story() -> RunOutcome:
        async with playing(play(*steps)) as (url, _):
            scene.config(f'[agents.claude]\nupstream = "{url}"\nretries = 0\n', "bubblewrap")
            return await scene.fleet().run(scene.spec(agent="claude"))

    outcome = within(story())
    assert outcome.end is End.COMPLETED, outcome
    assert "[redacted], and [redacted]." in outcome.said
    assert outcome.denied
    raw = (scene.folder / "agent.jsonl").read_bytes()
    assert SECRET.encode() in raw
    kept = [scene.folder / "events.ndjson", scene.folder / "outcome.json", *(scene.home / "audit").rglob("*.ndjson")]
    assert len(kept) == 4
    for path in kept:
        data = path.read_bytes()
        assert SECRET.encode() not in data, path
        assert KEY.encode() not in data, path
        assert b"\\u001b" not in data, path
        assert b"\x1b" not in data, path
    assert [view.decision for view in on_record(scene)] == [Decision.DENY, *[Decision.ALLOW] * 3]
    assert "effects" in next((scene.home / "audit" / day_at()).glob("t1*")).read_text()
