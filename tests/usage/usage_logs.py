"""Transcripts of Claude Code as they may lie on a disk, with everything that makes counting go wrong, and their truth."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from overnight.missions.tokens import Tokens
from overnight.usage.index import Index, Refreshed
from overnight.usage.places import Root

MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-4-5-20251001", "some-model-nobody-prices")
BEGIN = 1_790_000_000_000


class Log:
    """One file, and how many of its lines an index has seen."""

    def __init__(self, path: Path, session: str) -> None:
        self.path, self.session, self.seen = path, session, 0

    @property
    def lines(self) -> list[bytes]:
        """Its lines with their ends; the last one may have none."""
        return self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []

    def append(self, text: bytes) -> None:
        """Write on; a log that was taken away begins anew."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(text)


class Person:
    """Somebody's Claude Code folder. What they used is known to the last token."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random, self.projects = Random(seed), folder / "projects"
        self.logs: list[Log] = []
        #: Answer -> (session, milliseconds, model, tokens)
        self.truth: dict[str, tuple[str, int, str, Tokens]] = {}
        #: Rows of each log's own answers, for forks.
        self._answers: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._made = 0
        self.projects.mkdir(parents=True)

    # -- what happens -----------------------------------------------------------------------------------------

    def begin(self) -> Log:
        """A new session."""
        self._made += 1
        session = f"{self._made:08d}-0000-4000-8000-000000000000"
        path = self.projects / f"-work-{self._made % 3}" / f"{session}.jsonl"
        path.parent.mkdir(exist_ok=True)
        return self._log(path, session)

    def delegate(self, log: Log) -> Log:
        """A sub-agent of a session: in its own folder, or as older versions did beside it."""
        self._made += 1
        folder = log.path.with_suffix("") / "subagents" if self.random.random() < 0.7 else log.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        return self._log(folder / f"agent-{self._made}.jsonl", log.session)

    def fork(self, log: Log) -> Log:
        """A session that begins with a copy of another one's rows, as the newest, older and oldest versions mark it."""
        made, way = self.begin(), self.random.randrange(3)
        for row in self._answers[str(log.path)]:
            copy = row | {"sessionId": made.session}
            copy |= [{"requestSessionId": row["sessionId"]}, {"forkedFrom": {"sessionId": row["sessionId"]}}, {}][way]
            self._write(made, copy)
        return made

    def answer(self, log: Log) -> None:
        """A response of the model, in as many rows as it pleases."""
        pick, self._made = self.random, self._made + 1
        name, at = f"msg_{self._made:06d}", BEGIN + pick.randrange(40 * 86_400_000)
        model = pick.choice(MODELS)
        usage: dict[str, Any] = self._usage()
        early = pick.random() < 0.3
        ids = {} if pick.random() < 0.2 else {"requestId": f"req_{self._made}"}
        count = pick.randrange(1, 4)
        for n in range(count):
            said = usage | {"output_tokens": pick.randrange(1, 9)} if early and n < count - 1 else usage
            if early and n == count - 1 and said["output_tokens"] < 9:
                said = said | {"output_tokens": 9}
                usage = said
            if pick.random() < 0.05:
                ids = {"requestId": f"req_again_{self._made}"}
            row = self._row(log, name, model, said, at + n, ids)
            self._answers[str(log.path)].append(row)
            self._write(log, row)
        self.truth[name] = (log.session, at, model, _tokens(usage))
        parts: list[dict[str, Any]] = usage["iterations"] or []
        for n, part in enumerate(parts):
            if part["type"] != "message":
                self.truth[f"{name} {n}"] = (log.session, at, part["model"], _tokens(part))

    def noise(self, log: Log) -> None:
        """Rows that look as if they used something."""
        pick = self.random
        answers = self._answers[str(log.path)]
        echo = pick.choice(answers) if answers else self._row(log, "msg_x", MODELS[0], {}, BEGIN, {})
        kinds: list[dict[str, Any]] = [
            {"type": "user", "toolUseResult": {"usage": self._usage()}, "message": {"role": "user", "content": "x"}},
            {"type": "progress", "data": {"type": "agent_progress", "message": echo}},
            {"type": "cost-state", "totalCostUSD": 12.5, "modelUsage": {MODELS[0]: {"inputTokens": 10**6}}},
            {"type": "api-request-shape", "blob": "x" * pick.randrange(50_000)},
            {"type": "user", "message": {"content": 'see "usage":{"input_tokens":5} and "usage"'}},
            {"type": "assistant", "message": {"id": "msg_bare", "model": MODELS[0], "usage": None}},
            {"type": "assistant", "isApiErrorMessage": True, "requestId": "req_e",
             "message": {"id": f"err{pick.random()}", "model": "<synthetic>",
                         "usage": {"input_tokens": 0, "output_tokens": 0, "iterations": None}}},
        ]  # fmt: skip
        self._write(log, {"sessionId": log.session, "timestamp": _iso(BEGIN)} | pick.choice(kinds))

    def damage(self, log: Log) -> None:
        """What a crash leaves: zeros, half a row, bytes that are no text, lines that are no JSON."""
        half = b'{"type":"assistant","message":{"usage":{"inp'
        kinds = [b"\0" * 300, half, b'\xff\xfe "usage":{', b'"usage"', b"[]", b"{}"]
        log.append(self.random.choice(kinds) + b"\n")

    def tear(self, log: Log) -> None:
        """The CLI dies in the middle of a row; the next one begins on the same line, perhaps behind zeros."""
        text = _line(self._row(log, "msg_never", MODELS[0], self._usage(), BEGIN, {}))
        log.append(text[: self.random.randrange(1, 60)] + b"\0" * self.random.choice([0, 40]))

    def rewrite(self, log: Log) -> None:
        """Rows before a compact boundary are dropped: a new file takes the place, only of what was seen already."""
        lines, dropped = log.lines, self.random.randrange(log.seen + 1)
        if lines:
            part = log.path.with_suffix(".jsonl.compact.tmp.ab12")
            part.write_bytes(b"".join(lines[dropped:]))
            part.rename(log.path)
            log.seen -= dropped

    def overwrite(self, log: Log) -> None:
        """The same file cut and written anew, in another order."""
        lines = log.lines
        if lines and lines[-1].endswith(b"\n"):
            self.random.shuffle(lines)
            log.path.write_bytes(b"".join(lines))
            log.seen = 0

    def delete(self, log: Log) -> None:
        """Claude Code's own clean-up takes a log away, once all of it was seen."""
        if log.seen == len(log.lines):
            log.path.unlink(missing_ok=True)
            log.seen = 0

    def index(self, index: Index) -> Refreshed:
        """Bring an index up to date."""
        done = index.refresh([self.root])
        for log in self.logs:
            log.seen = sum(line.endswith(b"\n") for line in log.lines)
        return done

    @property
    def root(self) -> Root:
        """Where it all is."""
        return Root(agent="claude", path=str(self.projects))

    def live(self, steps: int) -> None:
        """Work for a while."""
        for _ in range(steps):
            pick = self.random.random()
            log = self.random.choice(self.logs) if self.logs and pick > 0.08 else self.begin()
            if pick > 0.4:
                self.answer(log)
            elif pick > 0.25:
                self.noise(log)
            elif pick > 0.2:
                self.damage(log)
            elif pick > 0.15:
                self.fork(log)
            elif pick > 0.1:
                self.delegate(log)
            else:
                self.tear(log)

    # -- rows -------------------------------------------------------------------------------------------------

    def _log(self, path: Path, session: str) -> Log:
        log = Log(path, session)
        self.logs.append(log)
        return log

    def _row(self, log: Log, name: str, model: str, usage: Any, at: int, ids: dict[str, str]) -> dict[str, Any]:
        content = [{"type": "tool_use", "id": "t", "name": "X", "input": {"id": None, "path": 'a "usage":{ b'}}]
        message = {
            "id": name,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "usage": usage,
        }
        return {
            "parentUuid": None, "isSidechain": log.path.name.startswith("agent-"), "message": message, **ids,
            "type": "assistant", "uuid": f"u{self.random.random()}", "timestamp": _iso(at), "cwd": "/work/a",
            "sessionId": log.session, "version": "2.1.329",
        }  # fmt: skip

    def _usage(self) -> dict[str, Any]:
        pick = self.random
        put = pick.choice([0, 0, 200, 4096])
        hour = pick.choice([0, 0, put // 2, put])
        return {
            "input_tokens": pick.randrange(3000), "output_tokens": pick.randrange(900),
            "cache_read_input_tokens": pick.choice([0, 300, 90_000]), "cache_creation_input_tokens": put,
            "cache_creation": pick.choice([
                None, {"ephemeral_5m_input_tokens": put - hour, "ephemeral_1h_input_tokens": hour},
                {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            ]),
            "output_tokens_details": pick.choice([None, {"thinking_tokens": 0}]),
            "server_tool_use": pick.choice([None, {"web_search_requests": pick.randrange(3), "web_fetch_requests": 0}]),
            "service_tier": pick.choice([None, "standard"]), "speed": pick.choice([None, "standard", "fast"]),
            "inference_geo": pick.choice([None, "", "us"]), "fallback_credit": None,
            "iterations": pick.choice([None, [], [{
                "type": "advisor_message", "model": MODELS[1], "input_tokens": 77, "output_tokens": 5,
                "cache_read_input_tokens": 0, "cache_creation_input_tokens": None,
            }]]),
        }  # fmt: skip

    def _write(self, log: Log, row: dict[str, Any]) -> None:
        log.append(_line(row) + b"\n")


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _tokens(usage: dict[str, Any]) -> Tokens:
    """By hand, so that no code of the product decides what is true."""
    put = usage["cache_creation_input_tokens"] or 0
    placed: dict[str, int] = usage.get("cache_creation") or {}
    tools: dict[str, int] = usage.get("server_tool_use") or {}
    hour = placed.get("ephemeral_1h_input_tokens", 0)
    return Tokens(
        input=usage["input_tokens"], output=usage["output_tokens"], cache_read=usage["cache_read_input_tokens"] or 0,
        cache_write=put, cache_write_1h=min(hour, put),
        web_searches=tools.get("web_search_requests", 0),
    )  # fmt: skip
