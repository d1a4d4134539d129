"""Transcripts that the real Claude Code CLI writes, counted: equal to what its model's server knows, to the last token."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from overnight.agents.claude_binary import find
from overnight.agents.scripted import Play, Reply, Say, Scenario, Script, Use, playing
from overnight.missions.tokens import Tokens
from overnight.report.usage import BY, Wanted, usage
from overnight.usage.index import Index
from overnight.usage.places import UsageSettings, roots

pytestmark = pytest.mark.cli

PATIENCE_S = 120
MODEL = "claude-opus-5-5"
#: What the model says of each of its answers: all of them different, so that no two can be taken for one another.
USED: list[dict[str, Any]] = [
    {
        "input_tokens": 1000 + 7 * n, "output_tokens": 50 + n, "cache_read_input_tokens": 300 + 11 * n,
        "cache_creation_input_tokens": 200 + n,
        "cache_creation": {"ephemeral_5m_input_tokens": 200 + n - hour, "ephemeral_1h_input_tokens": hour},
        "server_tool_use": {"web_search_requests": n % 2, "web_fetch_requests": 0},
    }
    for n, hour in enumerate((0, 200, 0, 3, 50, 0, 7, 0))
]  # fmt: skip


def truth(count: int) -> Tokens:
    """What the first answers used."""
    return sum(
        (
            Tokens(
                input=used["input_tokens"],
                output=used["output_tokens"],
                cache_read=used["cache_read_input_tokens"],
                cache_write=used["cache_creation_input_tokens"],
                cache_write_1h=used["cache_creation"]["ephemeral_1h_input_tokens"],
                web_searches=used["server_tool_use"]["web_search_requests"],
            )
            for used in USED[:count]
        ),
        Tokens(),
    )


def test_run_sub_agent_resume_and_fork(tmp_path: Path) -> None:
    """A session with a sub-agent, resumed, then forked: every answer once, and the sum that the CLI itself comes to."""
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    delegate = Use("Agent", {"description": "look", "prompt": "Be the helper.", "subagent_type": "general-purpose"})
    say = [Reply((Say(f"Answer {n}."),), usage=used) for n, used in enumerate(USED)]
    steps = (Reply((Say("I ask."), delegate), usage=USED[0]), *say[1:])
    play = Play((Scenario(match="", runs=(Script(steps),)),))

    async def claude(url: str, *words: str) -> dict[str, Any]:
        binary = find(None, {"PATH": os.environ["PATH"]})
        process = await asyncio.create_subprocess_exec(
            binary.path, "-p", "--output-format", "json", "--model", MODEL, "--dangerously-skip-permissions", *words,
            cwd=work, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": "/usr/bin:/bin", "HOME": str(home), "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "dummy",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1",
                "CLAUDE_CODE_MAX_RETRIES": "0", "IS_SANDBOX": "1", "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
            },
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate()
        assert process.returncode == 0, (out, err)
        return msgspec.json.decode(out)

    def counted() -> tuple[Tokens, Decimal, dict[str, Tokens]]:
        with Index(tmp_path / "state") as index:
            done = index.refresh(roots({"HOME": str(home)}, UsageSettings()))
            assert done.problems == ()
            views = {by: usage(index.db, Wanted(by=by), 1.0) for by in BY}
        totals = {(view.total.tokens, view.total.cost, view.total.unpriced) for view in views.values()}
        assert len(totals) == 1
        ((tokens, cost, unpriced),) = totals
        assert unpriced == 0
        return tokens, cost, {row.name: row.tokens for row in views["session"].rows}

    async def story() -> None:
        async with playing(play) as (url, model):
            first = await claude(url, "Begin.")
            session = first["session_id"]
            asked = len(model.asked)
            assert asked == 3  # the first answer, the sub-agent's, the one after it
            tokens, cost, sessions = counted()
            assert tokens == truth(asked)
            assert sessions.keys() == {session}
            assert float(cost) == pytest.approx(first["total_cost_usd"], abs=1e-12)
            resumed = await claude(url, "--resume", session, "Go on.")
            assert len(model.asked) == 4
            tokens, cost, _ = counted()
            assert tokens == truth(4)
            assert float(cost) == pytest.approx(resumed["total_cost_usd"], abs=1e-12)
            forked = await claude(url, "--resume", session, "--fork-session", "Another way.")
            made = len(model.asked)
            tokens, cost, sessions = counted()
            assert forked["session_id"] != session
            # The script begins anew for a new session; its answers have ids of their own.
            assert sessions[forked["session_id"]] == truth(made - 4)
            assert tokens == truth(4) + truth(made - 4)
            # What it was forked from stays with its session, though its rows stand in both.
            assert sessions[session] == truth(4)
            assert float(cost) == pytest.approx(forked["total_cost_usd"], abs=1e-12)

    asyncio.run(story())
