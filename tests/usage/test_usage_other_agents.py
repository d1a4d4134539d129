"""Logs of other agents: as their CLIs wrote them against a scripted model, and as older versions are known to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from overnight.missions.tokens import Tokens
from overnight.report.usage import UsageView, Wanted, usage
from overnight.usage.index import Index
from overnight.usage.places import Root

CAPTURED = Path(__file__).parent / "captured"
#: What the scripted model said of each answer: 1000 read, 300 of them from a cache, 50 written, 10 thinking.
CODEX = Tokens(input=700, output=50, thinking=10, cache_read=300)
SESSION, FORK = "01a1fde7-776e-7722-a17f-687ae292d141", "01a1fde7-ade6-72e3-87f6-b29ec12ac6a1"


def look(state: Path, agent: str, folder: Path, by: str = "session") -> UsageView:
    """Bring an index up to date, and add it up."""
    with Index(state) as index:
        assert index.refresh([Root(agent=agent, path=str(folder))]).problems == ()
        return usage(index.db, Wanted(by=by), 1.0)


def test_codex_as_captured(tmp_path: Path) -> None:
    """A session of three answers, resumed in between, and a fork of it with one of its own (Codex 0.169.0)."""
    logs = tmp_path / "sessions" / "2026"
    logs.mkdir(parents=True)
    for name in ("fork", "session"):
        shutil.copy(CAPTURED / f"codex-0.169-{name}.jsonl", logs / f"rollout-{name}.jsonl")
    found = look(tmp_path, "codex", tmp_path / "sessions")
    assert {row.name: (row.answers, row.tokens) for row in found.rows} == {
        SESSION: (3, CODEX + CODEX + CODEX), FORK: (1, CODEX),
    }  # fmt: skip
    assert found.total.models == ("gpt-5.2",)
    assert {row.folder for row in found.rows} == {"/home/me/w"}


def total(at: str, n: int, again: int = 1) -> list[dict[str, Any]]:
    """Totals after n answers, said `again` times."""
    usage = {
        "input_tokens": 1000 * n,
        "cached_input_tokens": 300 * n,
        "output_tokens": 50 * n,
        "reasoning_output_tokens": 10 * n,
    }
    last = {"input_tokens": 1000, "cached_input_tokens": 300, "output_tokens": 50, "reasoning_output_tokens": 10}
    window = {"used_percent": 10.0 * n, "window_minutes": 300, "resets_at": 1_795_000_000}
    payload = {
        "type": "token_count", "info": {"total_token_usage": usage, "last_token_usage": last},
        "rate_limits": {"primary": window, "secondary": None},
    }  # fmt: skip
    return [{"timestamp": at, "type": "event_msg", "payload": payload}] * again


def meta(at: str, name: str) -> dict[str, Any]:
    """The head of a session."""
    return {"timestamp": at, "type": "session_meta", "payload": {"id": name, "cwd": "/w", "model_provider": "openai"}}


def write(path: Path, *rows: dict[str, Any]) -> None:
    """Add rows to a log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def test_codex_totals(tmp_path: Path) -> None:
    """Where there are only totals, each growth counts once: said twice, read bit by bit, or repeated under new dates by
    a fork and a fork of that. Sessions that merely look alike are apart."""
    logs, turn = tmp_path / "sessions", {"type": "turn_context", "payload": {"model": "gpt-5.2"}}
    early, late, later = "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z"
    write(logs / "rollout-a.jsonl", meta(early, "a"), turn, *total(early, 1), *total(early, 2, again=2))
    assert look(tmp_path, "codex", logs).total.tokens == CODEX + CODEX
    write(logs / "rollout-a.jsonl", *total(early, 3))
    again = [*total(late, 1), *total(late, 2), *total(late, 3)]
    write(logs / "rollout-b.jsonl", meta(late, "b"), meta(late, "a"), turn, *again, *total(late, 4))
    again = [*total(later, 1), *total(later, 2), *total(later, 3), *total(later, 4)]
    write(
        logs / "rollout-c.jsonl", meta(later, "c"), meta(later, "b"), meta(later, "a"), turn, *again, *total(later, 5)
    )
    write(logs / "rollout-d.jsonl", meta(later, "d"), turn, *total(later, 1))
    found = look(tmp_path, "codex", logs)
    assert {row.name: row.answers for row in found.rows} == {"a": 3, "b": 1, "c": 1, "d": 1}
    assert found.total.tokens == sum([CODEX] * 6, Tokens())
    assert not found.total.unpriced
    assert [(window.name, window.account) for window in found.windows] == [("five-hour", "codex")]


def test_gemini_as_captured(tmp_path: Path) -> None:
    """A chat of one answer (Gemini CLI 0.61.0); written again and to its end, the message is still one."""
    log = tmp_path / "tmp" / "w" / "chats" / "session-1.jsonl"
    log.parent.mkdir(parents=True)
    shutil.copy(CAPTURED / "gemini-0.61.jsonl", log)
    first = look(tmp_path, "gemini", tmp_path / "tmp")
    expected = Tokens(input=700, output=50, cache_read=300)
    assert [(row.name, row.answers, row.tokens) for row in first.rows] == [
        ("26d2a167-30a2-454c-b770-fed772b8db20", 1, expected)
    ]
    assert first.total.models == ("gemini-2.5-pro",)
    assert not first.total.unpriced
    (message,) = [json.loads(line) for line in log.read_text().splitlines() if '"tokens"' in line]
    message["tokens"] |= {"output": 60, "thoughts": 5}
    write(log, {"$set": {"messages": [message]}}, message)
    assert look(tmp_path, "gemini", tmp_path / "tmp").total.tokens == Tokens(
        input=700, output=65, thinking=5, cache_read=300
    )
