"""How a Claude Code session ended, from its exit code and its whole output.

The exit code alone lies (0 after an interrupt or an empty answer, `success` on a refused request), so do the
result's `subtype` and `is_error`: the verdict takes all of it together, row by row of a table, first match first.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Struct

from overnight.agents import loose
from overnight.agents.signals import signalled
from overnight.agents.words import blocked, one_line, quoted
from overnight.missions.limits import Trouble
from overnight.missions.money import ModelUse
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec, Usage
from overnight.missions.tokens import Tokens
from overnight.usage.tokens import of_cli

#: A result's own share of the session's use.
_SHARE = "model_usage_since_last_result"
_DIGITS = Decimal("1e-12")


class Facts(Struct, kw_only=True):
    """What the output says, boiled down."""

    code: int
    stderr: str
    #: An `init` line came: the session really began.
    began: bool = False
    session: str | None = None
    #: Every result line; the last one counts, since a late subagent may add a turn.
    results: list[dict[str, Any]] = []
    #: The category of the last API error.
    error: str = ""
    #: The last window that was rejected.
    window: dict[str, Any] = {}
    #: The model's last words.
    said: str = ""
    #: Ids of the model's messages.
    messages: set[str] = set()

    @property
    def result(self) -> dict[str, Any]:
        """The result that counts; {} when there is none."""
        return self.results[-1] if self.results else {}

    @property
    def answered(self) -> bool:
        """Whether the model answered at all since the last result."""
        key = _SHARE if _SHARE in self.result else "modelUsage"
        return bool(loose.child(self.result, key))

    @property
    def text(self) -> str:
        """What the CLI says about the end, in one line."""
        result = self.result
        said = loose.text(result, "result") or "; ".join(loose.texts(result, "errors")) or self.stderr
        return one_line(said) or f"exit code {self.code}"


class Row(Struct, frozen=True, kw_only=True):
    """One row of the table: any of its marks is enough."""

    failure: FailureClass
    #: {text} is what the CLI says.
    why: str
    statuses: frozenset[int] = frozenset()
    errors: frozenset[str] = frozenset()
    #: terminal_reason
    reasons: frozenset[str] = frozenset()
    #: stop_reason
    stops: frozenset[str] = frozenset()
    startup: frozenset[str] = frozenset()
    #: api_error
    kinds: frozenset[str] = frozenset()
    end: End = End.FAILED
    trouble: Trouble | None = None

    def fits(self, facts: Facts) -> bool:
        """Whether the facts bear one of the marks."""
        result = facts.result
        return (
            loose.whole(result, "api_error_status") in self.statuses
            or facts.error in self.errors
            or loose.text(result, "terminal_reason") in self.reasons
            or loose.text(result, "stop_reason") in self.stops
            or loose.text(result, "startup_failure_reason") in self.startup
            or loose.text(result, "api_error") in self.kinds
        )


#: startup_failure_reason of a login that is missing or not wanted.
_NO_LOGIN = frozenset(
    {
        "org_pin_api_key_conflict",
        "org_pin_mismatch",
        "org_verify_failed",
        "provider_not_allowed",
        "gateway_signin_required",
        "gateway_access_denied",
    }
)
#: terminal_reason of a session that does not fit into its context any more, whatever is summed up.
_FULL = frozenset({"blocking_limit", "rapid_refill_breaker", "prompt_too_long"})
_SERVER = frozenset({408, 409, *range(500, 600)})
_TABLE = (
    Row(
        failure=FailureClass.MONEY,
        why="The money is spent: {text}",
        statuses=frozenset({402}),
        errors=frozenset({"billing_error"}),
        reasons=frozenset({"budget_exhausted"}),
    ),
    Row(
        failure=FailureClass.LIMIT,
        why="The vendor's limit is reached: {text}",
        statuses=frozenset({429}),
        errors=frozenset({"rate_limit"}),
        trouble=Trouble.RATE,
    ),
    Row(
        failure=FailureClass.AUTH,
        why="The login is refused: {text}",
        statuses=frozenset({401, 403}),
        errors=frozenset(
            {
                "authentication_failed",
                "oauth_org_not_allowed",
                "account_on_hold",
                "verification_required",
                "cloud_credential_error",
            }
        ),
        startup=_NO_LOGIN,
    ),
    Row(
        failure=FailureClass.LAUNCH,
        why="The model can't be had: {text}",
        statuses=frozenset({404}),
        errors=frozenset({"model_not_found"}),
    ),
    Row(
        failure=FailureClass.STUCK,
        why="It reached the limit of turns: {text}",
        reasons=frozenset({"max_turns"}),
        end=End.STOPPED_BY_LIMIT,
    ),
    Row(
        failure=FailureClass.MACHINE,
        why="It was interrupted from outside.",
        reasons=frozenset({"aborted_streaming", "aborted_tools"}),
    ),
    Row(
        failure=FailureClass.AGENT,
        why="The model refused the request: {text}",
        stops=frozenset({"refusal"}),
    ),
    Row(
        failure=FailureClass.AGENT,
        why="The session could not go on: {text}",
        statuses=frozenset({413}),
        errors=frozenset({"max_output_tokens"}),
        reasons=_FULL
        | frozenset(
            {
                "image_error",
                "malformed_tool_use_exhausted",
                "stop_hook_prevented",
                "hook_stopped",
                "tool_deferred",
                "tool_deferred_unavailable",
                "background_requested",
                "structured_output_retry_exhausted",
            }
        ),
    ),
    Row(
        failure=FailureClass.VENDOR,
        why="The vendor's service has too much to do: {text}",
        statuses=frozenset({529}),
        errors=frozenset({"overloaded"}),
        trouble=Trouble.OVERLOADED,
    ),
    Row(
        failure=FailureClass.VENDOR,
        why="The vendor's service can't be reached: {text}",
        kinds=frozenset({"connection_failed"}),
        trouble=Trouble.NETWORK,
    ),
    Row(
        failure=FailureClass.VENDOR,
        why="The vendor's service failed: {text}",
        statuses=_SERVER,
        errors=frozenset({"server_error"}),
        trouble=Trouble.OUTAGE,
    ),
)


class Verdict(Struct, frozen=True):
    """How it ended, and why."""

    end: End
    failure: FailureClass | None
    why: str
    trouble: Trouble | None = None


def classify(spec: RunSpec, code: int, stdout: bytes, stderr: bytes) -> RunOutcome:
    """The outcome: end, failure, why, code, said, session, turns, usage, until.

    code: as the system gives it, negative for a signal; 128 + signal is understood as well.
    Turns are the model's messages that say or call something: the CLI's own count adds one for each further tool
    result. Tokens count everything the model read, cached or not. Without a result line they are unknown.
    """
    facts = gather(code, stdout, stderr)
    verdict = verdict_of(facts)
    limited = verdict.failure is FailureClass.LIMIT and bool(facts.window)
    return RunOutcome(
        run=spec.id,
        end=verdict.end,
        failure=verdict.failure,
        why=verdict.why,
        trouble=Trouble.WINDOW if limited else verdict.trouble,
        code=code,
        said=quoted(facts.said),
        session=facts.session,
        turns=len(facts.messages) if facts.began else None,
        usage=usage_of(facts.results, resumed=spec.resume is not None),
        until=loose.number(facts.window, "resetsAt") if limited else None,
    )


def gather(code: int, stdout: bytes, stderr: bytes) -> Facts:
    """One pass over the output. Lines that are not understood, and a torn last one, count for nothing."""
    facts = Facts(code=code, stderr=stderr[-4096:].decode(errors="replace"))
    for line in stdout.splitlines():
        _take(loose.line(line), facts)
    return facts


def _take(value: dict[str, Any], facts: Facts) -> None:
    match loose.text(value, "type"), loose.text(value, "subtype"):
        case "system", "init":
            facts.began = True
            facts.session = loose.text(value, "session_id") or None
        case "assistant", _:
            facts.error = loose.text(value, "error")
            _hear(value, facts)
        case "rate_limit_event", _:
            info = loose.child(value, "rate_limit_info")
            facts.window = info if loose.text(info, "status") == "rejected" else {}
        case "result", _:
            facts.results.append(value)
        case _:
            pass


def _hear(value: dict[str, Any], facts: Facts) -> None:
    """The model's own message; the CLI's words in its place and a subagent's are not."""
    message = loose.child(value, "message")
    if loose.text(message, "model") == "<synthetic>" or loose.text(value, "parent_tool_use_id"):
        return
    facts.messages.add(loose.text(message, "id"))
    blocks = loose.children(message, "content")
    said = [loose.text(block, "text") for block in blocks if loose.text(block, "type") == "text"]
    facts.said = "\n".join(said) or facts.said


def verdict_of(facts: Facts) -> Verdict:
    """The first row of the table that fits."""
    result = facts.result
    ended = signalled(facts.code)
    if ended is not None and result.get("is_error") is not True:
        return _failed(*ended)
    if not facts.began:
        auth = loose.text(result, "startup_failure_reason") in _NO_LOGIN
        failure = FailureClass.AUTH if auth else FailureClass.LAUNCH
        return Verdict(End.FAILED, failure, f"Claude Code did not start: {facts.text}")
    if not result:
        return _failed(FailureClass.AGENT, f"It ended without a result: {facts.text}")
    if loose.text(result, "terminal_reason") in _FULL and facts.messages:
        # A fresh session has room; one that was too long from its start would be so again.
        return Verdict(End.HANDED_OVER, None, f"Its context is full: {facts.text}")
    return _by_table(facts) or _by_status(facts) or _finished(facts)


def _failed(failure: FailureClass, why: str) -> Verdict:
    return Verdict(End.FAILED, failure, why)


def _by_table(facts: Facts) -> Verdict | None:
    row = next((row for row in _TABLE if row.fits(facts)), None)
    return Verdict(row.end, row.failure, row.why.format(text=facts.text), row.trouble) if row else None


def _by_status(facts: Facts) -> Verdict | None:
    """Failed requests that only their circumstances tell apart."""
    result = facts.result
    if result.get("is_error") is not True:
        return None
    if loose.whole(result, "api_error_status") is not None:
        # A request that was never good is the launch's fault; one that turned bad is the session's.
        failure = FailureClass.AGENT if facts.answered else FailureClass.LAUNCH
        return _failed(failure, f"The vendor refused the request: {facts.text}")
    if loose.text(result, "terminal_reason") in ("api_error", "model_error", "completed"):
        why = f"The vendor's answers were broken: {facts.text}"
        return Verdict(End.FAILED, FailureClass.VENDOR, why, Trouble.OUTAGE)
    return _failed(FailureClass.AGENT, f"It ended with an error: {facts.text}")


def _finished(facts: Facts) -> Verdict:
    """A result that claims success."""
    result = facts.result
    text = loose.text(result, "result")
    claims = facts.code == 0 and loose.text(result, "subtype") == "success" and result.get("is_error") is False
    if not claims:
        return _failed(FailureClass.AGENT, f"It claims success but ended otherwise: {facts.text}")
    if not text.strip() or not loose.whole(result, "num_turns"):
        return _failed(FailureClass.AGENT, "It claims success with nothing said or nothing done.")
    if loose.text(result, "terminal_reason") != "completed":
        return _failed(FailureClass.AGENT, f"It stopped before it was finished: {facts.text}")
    reason = blocked(text)
    if reason is not None:
        return Verdict(End.BLOCKED, None, reason)
    return Verdict(End.COMPLETED, None, "It says that it is finished.")


def usage_of(results: list[dict[str, Any]], resumed: bool) -> Usage:
    """What this process used: each result's share added up. A resumed session's totals hold earlier runs too."""
    if results and all(_SHARE in result for result in results):
        return _added([loose.child(result, _SHARE) for result in results])
    if results and not resumed and "modelUsage" in results[-1]:
        return _added([loose.child(results[-1], "modelUsage")])
    return Usage()


def _added(shares: list[dict[str, Any]]) -> Usage:
    models = [(name, loose.child(share, name)) for share in shares for name in share]
    uses: dict[str, ModelUse] = {}
    for name, model in models:
        tokens, cost = of_cli(model), _cost(model)
        had = uses.get(name) or ModelUse(model=name, calls=0, tokens=Tokens(), cost=Decimal(0))
        whole = None if cost is None or had.cost is None else had.cost + cost
        uses[name] = ModelUse(model=name, calls=0, tokens=had.tokens + (tokens or Tokens()), cost=whole)
    read = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
    sent = [loose.whole(model, key) for _, model in models for key in read]
    got = [loose.whole(model, "outputTokens") for _, model in models]
    known = all(of_cli(model) is not None for _, model in models)
    return Usage(
        input_tokens=_sum(sent),
        output_tokens=_sum(got),
        cost_usd=_total([use.cost for use in uses.values()]),
        models=tuple(uses.values()) if known else (),
    )


def _cost(model: dict[str, Any]) -> Decimal | None:
    """What the CLI says, without the noise of its floating point: its sums differ behind the 15th digit."""
    cost = loose.number(model, "costUSD")
    return None if cost is None else Decimal(str(cost)).quantize(_DIGITS)


def _sum(numbers: list[int | None]) -> int | None:
    """The sum, unknown when a part is."""
    known = [n for n in numbers if n is not None]
    return sum(known) if len(known) == len(numbers) else None


def _total(costs: list[Decimal | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return float(sum(known, Decimal(0))) if len(known) == len(costs) else None
