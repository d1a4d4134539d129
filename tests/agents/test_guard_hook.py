"""The guard by itself in the real Claude Code CLI: `overnight guard hook` as a command hook, with a scripted model."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.scripted import Say, ScriptedModel, Use, play
from overnight.missions.run import End, RunSpec
from overnight.ports import Launch, Place

from .stage import ENVIRON, stage

pytestmark = pytest.mark.cli
HOOK = f"{shlex.quote(sys.executable)} -m overnight guard hook"
HARMFUL = Use("Bash", {"command": "git push --force origin main; touch evil"})
WRAPPED = Use("Bash", {"command": 'X=push; bash -c "git $X --mirror"; touch evil'})


class _Hooked(ClaudeAgent):
    """Claude Code with this command hook in its settings, and no other hook."""

    def __init__(self, command: str, **more: str) -> None:
        super().__init__(ClaudeSettings(retries=0), ENVIRON)
        self._hook = {"type": "command", "command": command, **more}

    def launch(self, spec: RunSpec, place: Place) -> Launch:
        launch = super().launch(spec, place)
        ((name, content),) = launch.files.items()
        given: dict[str, Any] = msgspec.json.decode(content)
        given["hooks"] = {"PreToolUse": [{"hooks": [self._hook]}]}
        # As a person has it who lets the shell run without being asked: nothing but the hook stands in the way.
        given["permissions"] = {"allow": ["Bash", "Write"]}
        return msgspec.structs.replace(launch, files={name: msgspec.json.encode(given)})


def repository(folder: Path, policy: str) -> None:
    """A repository whose branch main holds this policy, and whose work tree is without it."""
    git = ("git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run([*git, "init", "-q", "-b", "main", "--template="], check=True)
    (folder / ".git" / "hooks").mkdir()
    (folder / "overnight.toml").write_text(policy)
    subprocess.run([*git, "add", "overnight.toml"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "policy"], check=True)
    (folder / "overnight.toml").unlink()


def session(
    root: Path, agent: ClaudeAgent, *calls: Use, policy: str = ""
) -> tuple[list[str], list[str], ScriptedModel]:
    """Files of the work tree and hooks of the repository after these calls, and the model that made them."""

    async def story() -> tuple[list[str], list[str], ScriptedModel]:
        async with stage(root, play(*calls, Say("Done.")), agent) as here:
            repository(here.worktree, policy)
            seen = await here.run(agent)
            assert seen.outcome.end is End.COMPLETED, seen.stderr
            assert len(here.model.asked) == len(calls) + 1
            inside = sorted(path.name for path in (here.worktree / ".git" / "hooks").iterdir())
            return here.files, inside, here.model

    return asyncio.run(story())


def told(model: ScriptedModel, call: int) -> str:
    """What the model was told of a call."""
    return str(model.asked[call].body["messages"][-1])


def test_harm_is_denied_and_work_goes_on(tmp_path: Path) -> None:
    """Calls that do harm are not run and the model reads why; harmless ones run, without anybody being asked."""
    work = Use("Bash", {"command": "echo hi > made"})
    hook = Use("Write", {"file_path": f"{tmp_path}/work/.git/hooks/pre-commit", "content": "#!/bin/sh\n"})
    write = Use("Write", {"file_path": f"{tmp_path}/work/b", "content": "b"})
    agent = _Hooked(HOOK, onFailure="block")
    files, inside, model = session(tmp_path, agent, HARMFUL, work, WRAPPED, hook, write)
    assert files == [".git", "b", "made"]
    assert inside == []
    assert "[git.force]" in told(model, 1)
    assert "[git.mirror]" in told(model, 3)
    assert "Overnight's guard" in told(model, 4)
    assert not any("Overnight's guard" in told(model, call) for call in (2, 5))


def test_what_one_call_writes_is_judged_when_another_runs_it(tmp_path: Path) -> None:
    """Each call has a hook process of its own, yet a script of the session is no way round the guard."""
    write = Use("Write", {"file_path": f"{tmp_path}/work/x.sh", "content": "git push --mirror; touch evil\n"})
    run = Use("Bash", {"command": "bash x.sh"})
    files, _, model = session(tmp_path, _Hooked(HOOK, onFailure="block"), write, run)
    assert files == [".git", "x.sh"]
    assert "[git.mirror]" in told(model, 2)


def test_the_same_calls_run_without_it(tmp_path: Path) -> None:
    """What the other tests show is the hook's doing: where the hook lets everything through, the harm is done."""
    files, _, _ = session(tmp_path, _Hooked("exit 0"), HARMFUL)
    assert files == [".git", "evil"]


def test_a_hook_that_is_not_there_blocks(tmp_path: Path) -> None:
    """With `onFailure: block` no call runs where the program is missing."""
    files, _, _ = session(tmp_path, _Hooked(f"{tmp_path}/overnight guard hook", onFailure="block"), HARMFUL)
    assert files == [".git"]


def test_a_hook_that_breaks_blocks_by_itself(tmp_path: Path) -> None:
    """A broken installation ends with exit code 2, so that the call is blocked even without `onFailure`."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "msgspec.py").write_text("raise ImportError('half an update')\n")
    files, _, model = session(tmp_path, _Hooked(f"PYTHONPATH={shlex.quote(str(broken))} {HOOK}"), HARMFUL)
    assert files == [".git"]
    assert "half an update" in told(model, 1)


def test_the_repos_policy_counts_as_its_target_branch_has_it(tmp_path: Path) -> None:
    """What a repo forbids is denied in a person's own session, though the agent's copy of the policy says nothing."""
    policy = '[[guard.rules]]\neffect = "write"\nmatch = "docs/**"\nreason = "docs are made by hand"\n'
    calls = (Use("Bash", {"command": "mkdir docs; echo x > docs/a"}), Use("Bash", {"command": "echo x > b"}))
    files, _, model = session(tmp_path, _Hooked(HOOK, onFailure="block"), *calls, policy=policy)
    assert files == [".git", "b"]
    assert "docs are made by hand" in told(model, 1)


def test_a_broken_policy_blocks_every_call(tmp_path: Path) -> None:
    """What the policy is can't be known: nothing runs, and the model reads where the file is wrong."""
    work = Use("Bash", {"command": "echo hi > made"})
    files, _, model = session(tmp_path, _Hooked(HOOK, onFailure="block"), work, policy='[gaurd]\nuploads = "ask"\n')
    assert files == [".git"]
    assert "did you mean `guard`" in told(model, 1)
