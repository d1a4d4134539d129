"""What is made of a session's end: the table, on output that the real CLI left."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.agents.claude_outcome import classify
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec, Usage
from overnight.missions.tokens import Tokens

from .claude_cases import CAPTURED, CASES, Capture, Case
from .stage import SPEC


def captured(name: str) -> Capture:
    """What the CLI left in this case."""
    return msgspec.json.decode(CAPTURED.joinpath(f"{name}.json").read_bytes(), type=Capture)


def outcome(capture: Capture, spec: RunSpec = SPEC) -> RunOutcome:
    """Its classification."""
    return classify(spec, capture.code, "\n".join(capture.stdout).encode() + b"\n", capture.stderr.encode())


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES)
def test_each_end_is_told_apart(name: str, case: Case) -> None:
    """End, class, reason and reset time follow from exit code and output."""
    found = outcome(captured(name))
    assert (found.end, found.failure, found.until) == (case.end, case.failure, case.until)
    assert case.why in found.why
    assert "\n" not in found.why


def test_a_success_is_told_in_full() -> None:
    """Last words, session, turns and use are the CLI's own figures."""
    found = outcome(captured("success"))
    assert found.said == "All done."
    assert found.turns == 2
    assert found.session == "c79bf8c9-206c-54b6-8cc3-16c494bf2765"
    (use,) = found.usage.models
    assert (use.model, use.cost) == ("claude-opus-5-5", Decimal("0.01212"))
    assert use.tokens == Tokens(input=2000, output=100, cache_read=600, cache_write=400)
    assert found.usage == Usage(input_tokens=3000, output_tokens=100, cost_usd=0.01212, models=(use,))


def test_without_a_result_use_is_unknown() -> None:
    """A session that was killed says nothing of its use, and nothing is not zero."""
    assert outcome(captured("sigkill")).usage == Usage()


def _result(name: str) -> dict[str, object]:
    return msgspec.json.decode(captured(name).stdout[-1])


def _with(name: str, *results: dict[str, object], code: int = 0) -> RunOutcome:
    """A capture whose result line is replaced."""
    lines = captured(name).stdout[:-1] + [msgspec.json.encode(result).decode() for result in results]
    return outcome(Capture(code, lines, ""))


# Rows that no scripted model can bring about; made from a real result by the fields that facts name.
@pytest.mark.parametrize(
    ("change", "end", "failure"),
    [
        ({"is_error": True, "terminal_reason": "rapid_refill_breaker"}, End.HANDED_OVER, None),
        ({"is_error": True, "terminal_reason": "budget_exhausted"}, End.FAILED, FailureClass.MONEY),
        ({"is_error": True, "api_error_status": 402}, End.FAILED, FailureClass.MONEY),
        ({"is_error": True, "api_error_status": 503}, End.FAILED, FailureClass.VENDOR),
        ({"is_error": True, "terminal_reason": "turn_setup_failed"}, End.FAILED, FailureClass.AGENT),
        ({"is_error": False, "terminal_reason": "tool_deferred"}, End.FAILED, FailureClass.AGENT),
        ({"is_error": False, "terminal_reason": "stop_hook_prevented"}, End.FAILED, FailureClass.AGENT),
        ({"is_error": False, "terminal_reason": "a_reason_of_the_future"}, End.FAILED, FailureClass.AGENT),
        ({"subtype": "error_during_execution"}, End.FAILED, FailureClass.AGENT),
        ({"num_turns": 0}, End.FAILED, FailureClass.AGENT),
        ({"num_turns": None}, End.FAILED, FailureClass.AGENT),
        ({"result": " \n"}, End.FAILED, FailureClass.AGENT),
        ({"result": None}, End.FAILED, FailureClass.AGENT),
        ({"is_error": "false"}, End.FAILED, FailureClass.AGENT),
    ],
)
def test_rows_that_cannot_be_staged(change: dict[str, object], end: End, failure: FailureClass | None) -> None:
    """A success with one field changed is no success any more."""
    found = _with("success", _result("success") | change, code=0)
    assert (found.end, found.failure) == (end, failure)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (1, FailureClass.AGENT),
        (143, FailureClass.MACHINE),
        (137, FailureClass.MACHINE),
        (-9, FailureClass.MACHINE),
        (-11, FailureClass.AGENT),
        (134, FailureClass.AGENT),
    ],
)
def test_a_success_with_an_exit_code_is_none(code: int, failure: FailureClass) -> None:
    """The result line alone does not make a success."""
    found = _with("success", _result("success"), code=code)
    assert (found.end, found.failure) == (End.FAILED, failure)


def test_the_last_result_counts() -> None:
    """A subagent that ends late adds a turn; its end is the session's, and the shares add up."""
    good, bad = _result("success"), _result("server-error")
    assert _with("success", good, bad, code=1).failure is FailureClass.VENDOR
    both = _with("success", bad, good)
    assert both.end is End.COMPLETED
    twice = _with("success", good, good).usage
    assert (twice.input_tokens, twice.output_tokens, twice.cost_usd) == (6000, 200, 0.02424)
    assert [use.cost for use in twice.models] == [Decimal("0.02424")]


def test_a_resumed_sessions_totals_are_not_this_runs() -> None:
    """Without its own share, a resumed run's use is unknown; a fresh run's is the total."""
    result = _result("success")
    del result["model_usage_since_last_result"]
    lines = [*captured("success").stdout[:-1], msgspec.json.encode(result).decode()]
    resumed = msgspec.structs.replace(SPEC, resume="42ff9fb5-671a-4f93-b320-d13596eb0545")
    assert outcome(Capture(0, lines, ""), resumed).usage == Usage()
    assert outcome(Capture(0, lines, "")).usage.input_tokens == 3000


@pytest.mark.parametrize("reason", ["bypass_root", "sandbox_required_unavailable", "a_new_one"])
def test_a_refused_start_is_a_launch_failure(reason: str) -> None:
    """A result without an init line tells of a start that was refused."""
    result = _result("no-session") | {"startup_failure_reason": reason, "errors": ["it may not start"]}
    found = outcome(Capture(1, [msgspec.json.encode(result).decode()], ""))
    assert (found.failure, found.why) == (FailureClass.LAUNCH, "Claude Code did not start: it may not start")


def test_a_login_missing_at_the_start_is_an_auth_failure() -> None:
    """The organisation's refusal of a login is no fault of the launch."""
    result = _result("no-session") | {"startup_failure_reason": "gateway_signin_required"}
    assert outcome(Capture(1, [msgspec.json.encode(result).decode()], "")).failure is FailureClass.AUTH


@pytest.mark.parametrize("code", [0, 1])
def test_no_output_at_all_is_a_launch_failure(code: int) -> None:
    """Silence is never success, whatever the exit code."""
    found = outcome(Capture(code, [], "cannot execute binary file\n"))
    assert (found.end, found.failure) == (End.FAILED, FailureClass.LAUNCH)
    assert "cannot execute binary file" in found.why


def test_a_torn_result_is_no_result() -> None:
    """A last line that was cut short counts for nothing."""
    lines = captured("success").stdout
    found = classify(SPEC, 0, "\n".join(lines)[:-40].encode(), b"")
    assert (found.end, found.failure) == (End.FAILED, FailureClass.AGENT)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(sorted(CASES)),
    st.integers(0, 200),
    st.sampled_from(["type", "subtype", "message", "usage", "modelUsage", "is_error", "result", "errors", "num_turns"]),
    _JSON,
    st.integers(-15, 255),
)
def test_strange_output_is_classified_all_the_same(name: str, at: int, field: str, value: object, code: int) -> None:
    """Any field of any line may be anything: there is an outcome, and only exit code 0 can be a success."""
    capture = captured(name)
    lines = list(capture.stdout)
    if lines:
        line = msgspec.json.decode(lines[at % len(lines)])
        lines[at % len(lines)] = msgspec.json.encode(line | {field: value}).decode()
    found = outcome(Capture(code, lines, capture.stderr))
    assert found.end in (End.COMPLETED, End.BLOCKED, End.FAILED, End.STOPPED_BY_LIMIT, End.HANDED_OVER)
    assert code == 0 or found.end not in (End.COMPLETED, End.BLOCKED)
    assert found.why.isprintable()
    assert (found.failure is None) == (found.end in (End.COMPLETED, End.BLOCKED, End.HANDED_OVER))
