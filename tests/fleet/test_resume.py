"""Going on with a session, with the real Claude Code CLI in a real box: the same session, the same context, in a home of
its own; and the ways in which that can't be had."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from scene import KEY, Scene, within

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.scripted import Fail, Say, ScriptedModel, Use, play, playing
from overnight.boxes.bubblewrap import Bubblewrap
from overnight.missions.limits import Trouble
from overnight.missions.resume import resumption
from overnight.missions.run import Attempt, End, FailureClass, Result, RunOutcome
from overnight.warden.carry import MOST_BYTES, NotCarried, carry
from overnight.warden.events import Resuming, read_events
from overnight.warden.keeper import Keeper

ENVIRON = {"ANTHROPIC_API_KEY": KEY, "PATH": "/usr/bin:/bin"}
WORK = Use("Bash", {"command": "echo hello >> made.txt", "description": "Work"})
SESSION = "0f8f7a4c-52a5-4a40-9b0e-0c6f5a6f7d11"


def keeper(scene: Scene, url: str, n: int, **spec: Any) -> Keeper:
    """Keeps run N of the task in its own folder, as a warden does."""
    agent = ClaudeAgent(ClaudeSettings(upstream=url, retries=0), ENVIRON)
    folder = scene.folder.with_name(str(n))
    folder.mkdir(parents=True)
    made = scene.keeper("", agent=agent, environ=ENVIRON, made=Bubblewrap(), spec=scene.spec(id=f"t1.1.{n}", **spec))
    made.log.close()
    return Keeper(
        folder, made.spec, agent, Bubblewrap(), made._decide, ENVIRON, made._stop, audit=made._new_audit
    )  # fmt: skip


def resumed_from(outcome: RunOutcome) -> dict[str, Any]:
    """What a flow asks of the next run."""
    found = resumption([Attempt(n=1, outcome=outcome, result=Result(commit="c", ref="r"))])
    assert found is not None
    return {"resume": found.session, "resume_of": found.run, "resume_prompt": found.prompt}


@pytest.mark.cli
def test_an_interrupted_session_goes_on(scene: Scene) -> None:
    """After a limit in mid-run the next run has the same session id, all that was said, and another home."""

    async def story() -> tuple[RunOutcome, RunOutcome, ScriptedModel]:
        async with playing(play(WORK, Fail(429, "slow down", headers={"retry-after": "1"}), Say("All done."))) as (
            url,
            model,
        ):
            first = await keeper(scene, url, 1).keep()
            second = await keeper(scene, url, 2, **resumed_from(first)).keep()
            return first, second, model

    first, second, model = within(story())
    assert (first.failure, first.trouble) == (FailureClass.LIMIT, Trouble.RATE), first
    assert second.end is End.COMPLETED, second
    assert second.session == first.session == second.resumed
    assert second.fresh == ""
    said = str(model.asked[-1].body["messages"])
    assert "echo hello >> made.txt" in said
    assert "You were interrupted" in said
    assert said.count("'Do.") <= 1
    assert (scene.work / "made.txt").read_text() == "hello\n"
    events = list(read_events(scene.folder.with_name("2") / "events.ndjson"))
    assert [e.fresh for e in events if isinstance(e, Resuming)] == [""]
    assert first.contact.answered is not None
    assert first.contact.retry_at is not None


@pytest.mark.cli
def test_a_session_that_is_gone_is_said_and_the_work_goes_on(scene: Scene) -> None:
    """Without its record the run begins a session of its own, with the whole prompt, and says why."""

    async def story() -> tuple[RunOutcome, ScriptedModel]:
        async with playing(play(Say("All done."))) as (url, model):
            asked = {"resume": SESSION, "resume_of": "t1.1.1", "resume_prompt": "Go on."}
            return await keeper(scene, url, 2, **asked).keep(), model

    outcome, model = within(story())
    assert outcome.end is End.COMPLETED, outcome
    assert outcome.resumed is None
    assert outcome.session != SESSION
    assert "its home is gone" in outcome.fresh
    said = str(model.asked[0].body["messages"])
    assert "Do." in said
    assert "Go on." not in said


# -- what is carried ----------------------------------------------------------------------------------------

PATTERNS = (f".claude/projects/*/{SESSION}.jsonl", f".claude/projects/*/{SESSION}/subagents/*")


def home(tmp_path: Path) -> tuple[Path, Path]:
    """The folder that holds sessions in an old home, and a new home."""
    top = tmp_path / "old" / ".claude" / "projects" / "-work"
    top.mkdir(parents=True)
    (tmp_path / "new").mkdir()
    return top, tmp_path / "new"


def test_only_the_session_is_carried(tmp_path: Path) -> None:
    """Its record and its subagents'; nothing else that an agent left in its home."""
    top, new = home(tmp_path)
    (top / f"{SESSION}.jsonl").write_text("said")
    (top / SESSION / "subagents").mkdir(parents=True)
    (top / SESSION / "subagents" / "agent-a.jsonl").write_text("sub")
    (top / "other.jsonl").write_text("other")
    (tmp_path / "old" / ".bashrc").write_text("evil")
    (tmp_path / "old" / ".claude" / "settings.json").write_text("{}")
    assert carry(tmp_path / "old", new, PATTERNS) == 2
    files = sorted(str(path.relative_to(new)) for path in new.rglob("*") if path.is_file())
    assert files == [
        f".claude/projects/-work/{SESSION}.jsonl",
        f".claude/projects/-work/{SESSION}/subagents/agent-a.jsonl",
    ]
    assert (new / files[0]).stat().st_mode & 0o777 == 0o600


def test_no_link_is_followed(tmp_path: Path) -> None:
    """Neither of the record, nor of a folder above it, nor of the home."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / f"{SESSION}.jsonl").write_text("secret")
    top, new = home(tmp_path)
    (top / f"{SESSION}.jsonl").symlink_to(secret / f"{SESSION}.jsonl")
    with pytest.raises(NotCarried, match="not there"):
        carry(tmp_path / "old", new, PATTERNS)
    (top / f"{SESSION}.jsonl").unlink()
    top.rmdir()
    top.symlink_to(secret)
    with pytest.raises(NotCarried, match="not there"):
        carry(tmp_path / "old", new, PATTERNS)
    (tmp_path / "linked").symlink_to(tmp_path / "old")
    with pytest.raises(NotCarried, match="home is gone"):
        carry(tmp_path / "linked", new, PATTERNS)
    assert list(new.rglob("*.jsonl")) == []


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    """A pipe would be waited for, a giant would fill the disk."""
    top, new = home(tmp_path)
    os.mkfifo(top / f"{SESSION}.jsonl")
    with pytest.raises(NotCarried, match="no ordinary file"):
        carry(tmp_path / "old", new, PATTERNS)
    (top / f"{SESSION}.jsonl").unlink()
    with (top / f"{SESSION}.jsonl").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(NotCarried, match="too large"):
        carry(tmp_path / "old", new, PATTERNS)
    with pytest.raises(NotCarried, match="no sessions"):
        carry(tmp_path / "old", new, ())
