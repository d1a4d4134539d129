"""Every git call: nothing of the surroundings gets in, and it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from landing_world import World, run

from overnight.errors import GitFailed
from overnight.landing.git import Git
from overnight.missions.places import run_dir


def test_the_environment_of_overnight_does_not_reach_git(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIT_* variables, the person's own settings and secrets stay outside."""
    home = world.root / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[alias]\n\tcanary = !true\n[user]\n\tname = Somebody\n")
    for name, value in {"GIT_DIR": "/elsewhere", "GIT_CONFIG_COUNT": "0", "SECRET": "x", "HOME": str(home)}.items():
        monkeypatch.setenv(name, value)
    git = Git(world.repo / ".git")
    assert "SECRET" not in git.environment()
    assert run(git.ask("config", "user.name")) is None
    assert run(git.text("rev-parse", "HEAD")) == world.first


def test_a_refusal_carries_the_command_and_gits_words(world: World) -> None:
    """GitFailed says what was tried."""
    with pytest.raises(GitFailed, match=r"git rev-parse --verify nothing failed \(128\): .*single revision"):
        run(Git(world.repo / ".git").run("rev-parse", "--verify", "nothing"))


def test_a_call_that_takes_too_long_is_ended(world: World) -> None:
    """The time limit is an error, and nothing of the call is left."""
    git = Git(world.repo / ".git", limit=0.2, config={"alias.hang": "!sleep 600"})
    with pytest.raises(GitFailed, match="took over"):
        run(git.run("hang"))


def test_a_cancelled_call_leaves_no_process(world: World) -> None:
    """git is asked to end and waited for."""
    ended: list[str] = []

    async def cancel() -> None:
        call = asyncio.ensure_future(Git(world.repo / ".git").run("cat-file", "--batch", stdin=b"\n" * 10))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        ended.append("yes")

    run(cancel())
    assert ended == ["yes"]


def test_every_call_is_seen_before_and_after(world: World) -> None:
    """The observer's words are the command as a person would type it."""
    seen: list[tuple[str, str]] = []
    run(Git(world.repo / ".git", observer=lambda when, what: seen.append((when, what))).run("rev-parse", "HEAD^{tree}"))
    assert seen == [("before", "git rev-parse 'HEAD^{tree}'"), ("after", "git rev-parse 'HEAD^{tree}'")]


def test_the_network_is_never_used(world: World) -> None:
    """No protocol is allowed, not even a local one."""
    with pytest.raises(GitFailed, match="not allowed"):
        run(Git(world.repo / ".git").run("ls-remote", f"file://{world.repo}"))


def test_runs_lie_by_task_life_and_number() -> None:
    """Task ids may hold dots; anything that is no run id is refused."""
    assert run_dir("/s", "fix.the.2.1") == "/s/runs/fix.the/2/1"
    for bad in ("t", "t.1", "t.x.1", "../t.1.1", "..1.1", "...1.1"):
        with pytest.raises(ValueError, match="run id"):
            assert Path(run_dir("/s", bad)) == "never"
