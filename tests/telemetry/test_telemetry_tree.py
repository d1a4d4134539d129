"""A night as spans and metrics, over the real exporter and a real wire."""

from __future__ import annotations

from typing import Any

import pytest
from telemetry_lab import MODEL, Collector, Night, Out, told

from overnight.durable.desk import Desk
from overnight.flows.rehearsal import Act
from overnight.missions.hold import HoldReason
from overnight.telemetry import kept

ERROR = 2


def sent(night: Night, collector: Collector, *, content: bool = False) -> Out:
    """Play the night with telemetry on from before it, and send it all."""
    out = Out(night.home, collector.url, content=content)
    out.all()
    night.play()
    out.all()
    out.close()
    return out


def by_name(collector: Collector, name: str) -> list[Any]:
    return [span for span in collector.spans if span.name == name]


def test_a_night_is_a_tree(night: Night, collector: Collector) -> None:
    """Task, run, tool calls, model calls, checks, judge and landing, each below what it is a part of, all in one trace."""
    sent(night, collector)
    (root,) = by_name(collector, "task")
    (run,) = by_name(collector, "invoke_agent claude")
    (judge,) = by_name(collector, "judge")
    (landing,) = by_name(collector, "landing")
    assert not root.parent_span_id
    assert {span.trace_id for span in collector.spans} == {root.trace_id}
    for span in (run, judge, landing, *by_name(collector, "check")):
        assert span.parent_span_id == root.span_id
    tools, (chat,) = by_name(collector, "execute_tool Bash"), by_name(collector, f"chat {MODEL}")
    assert len(tools) == 3
    assert {span.parent_span_id for span in (*tools, chat)} == {run.span_id}
    (opinion,) = by_name(collector, "chat m")
    assert opinion.parent_span_id == judge.span_id
    assert len({span.span_id for span in collector.spans}) == len(collector.spans)
    for span in collector.spans:
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span.name
    assert (run.start_time_unix_nano, run.end_time_unix_nano) == (1_800_000_100 * 10**9, 1_800_000_400 * 10**9)
    resource = told(collector.resources[0])
    assert (resource["service.name"], resource["service.instance.id"]) == ("overnight", "here")


def test_attributes_follow_the_conventions(night: Night, collector: Collector) -> None:
    """Names of the GenAI conventions, with what the records say; a cache's tokens are part of the input."""
    sent(night, collector)
    run = told(by_name(collector, "invoke_agent claude")[0])
    expected = {
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "claude", "gen_ai.agent.version": "2.1.3",
        "gen_ai.provider.name": "anthropic", "gen_ai.request.model": MODEL, "gen_ai.usage.input_tokens": 142,
        "gen_ai.usage.output_tokens": 7, "gen_ai.usage.cache_read.input_tokens": 40, "gen_ai.conversation.id": "5f0c9a",
        "vcs.repository.name": "shop", "overnight.task.tail": "7k3f",
        "overnight.run.end": "completed", "overnight.guard.denied": 1, "overnight.cost_usd": 0.25,
    }  # fmt: skip
    assert {key: run.get(key) for key in expected} == expected
    tools = [told(span) for span in by_name(collector, "execute_tool Bash")]
    assert {each["gen_ai.operation.name"] for each in tools} == {"execute_tool"}
    verdicts = {each["gen_ai.tool.call.id"]: each["overnight.guard.decision"] for each in tools}
    assert verdicts == {"toolu_0": "allow", "toolu_1": "deny", "toolu_2": "allow"}
    errors = {
        told(span)["gen_ai.tool.call.id"]: told(span).get("error.type")
        for span in by_name(collector, "execute_tool Bash")
    }
    assert errors == {"toolu_0": None, "toolu_1": "denied", "toolu_2": "failed"}
    chat = told(by_name(collector, f"chat {MODEL}")[0])
    assert (chat["gen_ai.response.id"], chat["gen_ai.response.model"]) == ("msg_1", f"{MODEL}-20260101")
    opinion = told(by_name(collector, "chat m")[0])
    assert (opinion["gen_ai.evaluation.score.label"], opinion["gen_ai.provider.name"]) == ("PASS", "openai")
    root = by_name(collector, "task")[0]
    assert told(root)["overnight.task.phase"] == "landed"
    phases = [told(mark)["overnight.task.phase"] for mark in root.events if mark.name == "task.phase"]
    assert phases[:3] == ["preparing", "running", "checking"]


@pytest.mark.parametrize("content", [False, True])
def test_what_was_said_is_sent_only_if_asked_for(night: Night, collector: Collector, content: bool) -> None:
    """No prompt, answer, title, command or path; with `content` they are there."""
    sent(night, collector, content=content)
    everything = b"".join(span.SerializeToString() for span in collector.spans).decode(errors="replace")
    everything += "".join(str(request) for request in collector.metrics)
    for text in ("ACME", "acme", "login", "/srv", "Done with", "hunter2"):
        assert (text in everything) is content, text


def test_failures_have_the_status_of_errors(tmp_path: Any, collector: Collector) -> None:
    """A lost run, checks that fail, a task that failed; and no other span of it."""
    night = Night(tmp_path / "state", (Act.LOST, Act.BREAKS))
    sent(night, collector)
    night.close()
    failed = {span.name: told(span)["error.type"] for span in collector.spans if span.status.code == ERROR}
    expected = {"invoke_agent claude": "machine", "check": "check", "task": "failed"}
    assert {name: failed.get(name) for name in expected} == expected
    assert set(failed) <= {*expected, "execute_tool Bash"}
    runs = by_name(collector, "invoke_agent claude")
    assert runs[0].status.code == ERROR
    assert runs[-1].status.code != ERROR


def test_metrics_add_up(night: Night, collector: Collector) -> None:
    """Tokens, durations, spend, denials and ends; tasks by state are as they are now."""
    sent(night, collector)
    tokens = {told(point)["gen_ai.token.type"]: point for point in collector.points("gen_ai.client.token.usage")}
    assert {kind: (point.count, point.sum) for kind, point in tokens.items()} == {
        "input": (1, 142.0),
        "output": (1, 7.0),
    }
    assert list(tokens["input"].explicit_bounds)[:3] == [1, 4, 16]
    durations = {
        told(point)["gen_ai.operation.name"]: 0 for point in collector.points("gen_ai.client.operation.duration")
    }
    assert set(durations) == {"invoke_agent", "chat", "execute_tool"}
    spend = {told(point)["gen_ai.request.model"]: point.as_double for point in collector.points("overnight.spend")}
    assert spend == {MODEL: 0.25}
    assert [told(point)["gen_ai.request.model"] for point in collector.points("overnight.spend.unknown")] == ["m"]
    (denied,) = collector.points("overnight.guard.denials")
    assert (denied.as_double, told(denied)["overnight.guard.rule"]) == (1.0, "path.outside")
    (ended,) = collector.points("overnight.tasks.ended")
    assert told(ended) == {"overnight.task.phase": "landed", "vcs.repository.name": "shop"}
    assert collector.points("overnight.tasks") == []


def test_a_task_that_waits_is_counted_by_its_reason(tmp_path: Any, collector: Collector) -> None:
    """Held ones with why, which is no word of anybody's."""
    night = Night(tmp_path / "state", (Act.BLOCKED,))
    out = sent(night, collector)
    assert out.said == []
    (held,) = collector.points("overnight.tasks")
    assert (held.as_int, told(held)["overnight.task.state"]) == (1, "held")
    assert told(held)["overnight.hold.reason"] == HoldReason.NEEDS_ANSWER
    night.close()


def test_a_second_life_is_a_trace_of_its_own(tmp_path: Any, collector: Collector) -> None:
    """Linked to the first one, whose spans stay as they were."""
    night = Night(tmp_path / "state", (Act.BREAKS,))
    out = sent(night, collector)
    first = collector.ids()
    Desk(night.journal).call("retry", {"actor": "t", "task": night.task, "phase": "queued", "good": "landed"})
    night.play()
    again = Out(night.home, collector.url)
    again.all()
    again.close()
    roots = by_name(collector, "task")
    assert len(roots) == 2
    assert (roots[1].links[0].trace_id, roots[1].links[0].span_id) == (roots[0].trace_id, roots[0].span_id)
    assert first < collector.ids()
    assert len(collector.spans) == len(collector.ids())
    progress = kept.read(night.home)
    assert progress is not None
    assert progress.sent == len(collector.spans)
    assert out.said == again.said == []
    night.close()
