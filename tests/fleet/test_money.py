"""Money, with the real Claude Code CLI in a real box: what is counted, what is refused, and that no key gets inside."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scene import KEY, Scene, within

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.scripted import Cut, Fail, Reply, Say, ScriptedModel, Use, play, playing
from overnight.agents.scripted.script import USAGE, Play, Scenario, Script
from overnight.missions.money import Allowance, Bill
from overnight.missions.run import End, FailureClass, RunOutcome, RunSpec
from overnight.ports import Launch, Place
from overnight.warden.events import Asking, Exchanged, Metered, Spending, TooFast, read_events
from overnight.warden.keeper import Keeper

pytestmark = pytest.mark.cli
ENVIRON = {"ANTHROPIC_API_KEY": KEY, "PATH": "/usr/bin:/bin"}
#: Dollars for a million tokens of claude-opus-5-5, the CLI's own choice: read, written, from a cache, into one for 5
#: minutes, for an hour.
RATES = (Decimal(4), Decimal(20), Decimal("0.2"), Decimal(5), Decimal(8))
WORK = Use("Bash", {"command": "echo hello >> made.txt", "description": "Work"})


def truth(*usages: dict[str, Any]) -> Decimal:
    """What the server's answers cost, worked out from what it said, in another way than the product does."""
    whole = Decimal(0)
    for given in usages:
        usage: dict[str, Any] = {**USAGE, **given}
        hour = usage.get("cache_creation", {}).get("ephemeral_1h_input_tokens", 0)
        counts = (usage["input_tokens"], usage["output_tokens"], usage["cache_read_input_tokens"],
                  usage["cache_creation_input_tokens"] - hour, hour)  # fmt: skip
        whole += sum((count * rate for count, rate in zip(counts, RATES, strict=True)), Decimal(0))
        searches = usage.get("server_tool_use", {}).get("web_search_requests", 0)
        whole += searches * 10_000
    return whole / 1_000_000


class Settled(ClaudeAgent):
    """The agent with what a test wants to add to its command line."""

    def __init__(self, url: str, extra: Sequence[str] = (), environ: dict[str, str] = ENVIRON, **more: Any) -> None:
        super().__init__(ClaudeSettings(upstream=url, retries=1, **more), environ)
        self._extra = tuple(extra)

    def launch(self, spec: RunSpec, place: Place) -> Launch:
        given = super().launch(spec, place)
        return msgspec.structs.replace(given, argv=(*given.argv, *self._extra))


def keeper(scene: Scene, agent: ClaudeAgent, environ: dict[str, str] = ENVIRON, **spec: Any) -> Keeper:
    """Keeps one run of the agent."""
    return scene.keeper("", "bubblewrap", agent=agent, environ=environ, spec=scene.spec(**spec))


def run(scene: Scene, script: Play, **spec: Any) -> tuple[RunOutcome, ScriptedModel]:
    """One run against a script."""

    async def story() -> tuple[RunOutcome, ScriptedModel]:
        async with playing(script) as (url, model):
            return await keeper(scene, Settled(url), **spec).keep(), model

    return within(story())


def bill_of(outcome: RunOutcome) -> Bill:
    """The bill, which must be there."""
    assert outcome.bill is not None
    return outcome.bill


def record(scene: Scene, kind: type) -> list[Any]:
    return [event for event in read_events(scene.root / "run" / "events.ndjson") if isinstance(event, kind)]


def test_the_cost_is_exact(scene: Scene) -> None:
    """Cache writes of both lifetimes, searches and thinking: the server's truth, the meter and the CLI agree."""
    first = {"cache_creation_input_tokens": 900, "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 600}}  # fmt: skip
    second = {"input_tokens": 7, "output_tokens": 1234, "output_tokens_details": {"thinking_tokens": 1000},
              "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 0}}  # fmt: skip
    steps = (Reply((WORK,), first), Reply((WORK,), second), Say("Done."))
    outcome, _ = run(scene, play(*steps))
    bill = bill_of(outcome)
    assert outcome.end is End.COMPLETED, outcome
    assert bill.cost == truth(first, second, {})
    assert bill.claimed == bill.cost
    assert bill.difference == 0
    assert (bill.route, bill.source, bill.paid, bill.partial, bill.unknown) == ("gateway", "wire", True, 0, 0)
    (use,) = bill.models
    assert use.calls == 3
    assert use.tokens.cache_write_1h == 600
    assert use.tokens.thinking == 1000
    calls = record(scene, Metered)
    assert [call.n for call in calls] == [1, 2, 3]
    assert sum((Decimal(call.cost) for call in calls), Decimal(0)) == bill.cost


def test_sub_agents_count(scene: Scene) -> None:
    """What a sub-agent asks counts as the run's own; the CLI's total says the same."""
    agents = {"helper": {"description": "helps", "prompt": "Help.", "tools": ["Bash"]}}
    task = Use("Task", {"description": "help", "prompt": "HELP ME", "subagent_type": "helper"})
    script = Play((Scenario((Script((task, Say("All done."))),), "Do."),))
    asked: list[dict[str, Any]] = []

    async def story() -> RunOutcome:
        async with playing(script) as (url, model):
            # Requests of a sub-agent have the session's id: they take the session's next steps.
            model._play = Play(
                (
                    Scenario(
                        (Script((task, Say("Helped."), Say("All done."))),),
                    ),
                )
            )
            agent = Settled(url, ("--agents", msgspec.json.encode(agents).decode()), tools=("Bash", "Task"))
            outcome = await keeper(scene, agent).keep()
            asked.extend(record.body for record in model.asked)
            return outcome

    outcome = within(story())
    assert outcome.end is End.COMPLETED, outcome
    assert len(asked) == 3
    assert "HELP ME" in str(asked[1]["messages"])
    assert bill_of(outcome).cost == truth({}, {}, {})
    assert bill_of(outcome).difference == 0


def _next_run(scene: Scene) -> None:
    """Another run in the same home: its own record and output."""
    for name in ("events.ndjson", "agent.jsonl", "agent.err"):
        (scene.root / "run" / name).unlink(missing_ok=True)


def test_resumed_and_forked_sessions_count_once(scene: Scene) -> None:
    """The CLI's totals grow from run to run; each run's bill is its own share, and agrees with the CLI's share."""

    async def story() -> list[RunOutcome]:
        async with playing(play(WORK, Say("First."), Say("Second."))) as (url, model):
            first = await keeper(scene, Settled(url)).keep()
            _next_run(scene)
            second = await keeper(scene, Settled(url), resume=first.session, id="t1.1.2").keep()
            _next_run(scene)
            model._play = play(Say("Third."))
            third = await keeper(scene, Settled(url, ("--fork-session",)), resume=first.session, id="t1.1.3").keep()
            return [first, second, third]

    first, second, third = within(story())
    assert [outcome.end for outcome in (first, second, third)] == [End.COMPLETED] * 3, (first, second, third)
    assert bill_of(first).cost == truth({}, {})
    assert bill_of(second).cost == bill_of(third).cost == truth({})
    assert [bill_of(outcome).difference for outcome in (first, second, third)] == [0, 0, 0]
    assert third.session != first.session


def test_errors_cost_nothing_and_cut_answers_what_was_seen(scene: Scene) -> None:
    """An error is free; of an answer that breaks off, what it said it read is counted, and it is marked."""
    outcome, _ = run(scene, play(Fail(500), WORK, Cut(), Say("Done.")))
    bill = bill_of(outcome)
    assert outcome.end is End.COMPLETED, outcome
    assert bill.partial == 1
    assert bill.cost == truth({}, {"output_tokens": 1}, {})
    assert [call.error for call in record(scene, Metered)].count(True) == 1


def test_the_allowance_stops_a_run_in_its_middle(scene: Scene) -> None:
    """The request that might cost more than is left is never sent; the run ends cleanly, its work kept."""
    dear = {"output_tokens": 30_000}
    steps = [Reply((WORK,), dear) for _ in range(9)]
    allowance = Allowance(usd=Decimal("4"), because="the task's budget of 4 USD", until=1_900_000_000.0)
    outcome, model = run(scene, play(*steps), allowance=allowance)
    bill = bill_of(outcome)
    assert (outcome.end, outcome.failure) == (End.STOPPED_BY_LIMIT, FailureClass.MONEY), outcome
    assert "the task's budget of 4 USD" in outcome.why
    assert outcome.until == 1_900_000_000.0
    assert bill.cost == truth(*[dear] * len(model.asked))
    assert bill.cost is not None
    assert bill.cost <= 4
    assert 0 < len(model.asked) < 9
    assert (scene.work / "made.txt").read_text() == "hello\n" * len(model.asked)
    refused = [event for event in record(scene, Exchanged) if event.refused]
    assert 0 < len(refused) <= 3
    assert {event.status for event in refused} == {402}
    assert "the task's budget" in outcome.said or "allowance" in (scene.root / "run" / "agent.jsonl").read_text()
    shares = [event.percent for event in record(scene, Spending)]
    assert shares == sorted(set(shares))
    assert 50 in shares
    assert len(record(scene, Asking)) == len(model.asked)


@pytest.mark.parametrize(("share", "told"), [(4, 1), (1, 0)])
def test_money_that_goes_too_fast_is_an_event(scene: Scene, share: int, told: int) -> None:
    """More than three times what runs of the repo usually spend in five minutes is told once; the usual is not."""
    dear = {"output_tokens": 30_000}
    usual = truth(dear, dear, {}) / 5  # a minute
    allowance = Allowance(usd=Decimal(1000), usual=usual / share)
    outcome, _ = run(scene, play(Reply((WORK,), dear), Reply((WORK,), dear), Say("Done.")), allowance=allowance)
    assert outcome.end is End.COMPLETED, outcome
    fast = record(scene, TooFast)
    assert len(fast) == told
    assert all(Decimal(event.recent) > 3 * Decimal(event.before) for event in fast)


def test_tokens_have_an_allowance_too(scene: Scene) -> None:
    """A bound in tokens stops a run as well."""
    steps = [Reply((WORK,), {"input_tokens": 100_000}) for _ in range(9)]
    outcome, model = run(scene, play(*steps), allowance=Allowance(usd=Decimal(1000), tokens=500_000))
    assert outcome.failure is FailureClass.MONEY, outcome
    assert "tokens" in outcome.why
    assert len(model.asked) in (3, 4)
    assert bill_of(outcome).tokens.total <= 500_000


@pytest.mark.parametrize("allowance", [None, Allowance(), Allowance(tokens=10**9)])
def test_a_paid_route_needs_money(scene: Scene, allowance: Allowance | None) -> None:
    """Without money set aside nothing is started on a route that is billed by use."""
    outcome, model = run(scene, play(Say("Done.")), allowance=allowance)
    assert (outcome.end, outcome.failure) == (End.FAILED, FailureClass.MONEY)
    assert "billed by use" in outcome.why
    assert model.requests == []
    assert not (scene.root / "run" / "launch.json").exists()


def test_a_model_without_a_price_is_bounded_by_the_dearest(scene: Scene) -> None:
    """Its cost is not known, never zero; the run is stopped as if it were the dearest model of its vendor."""
    steps = [Reply((WORK,), {"output_tokens": 30_000}) for _ in range(9)]
    outcome, model = run(scene, play(*steps), model="claude-nobody-knows-1", allowance=Allowance(usd=Decimal(20)))
    bill = bill_of(outcome)
    assert outcome.failure is FailureClass.MONEY, outcome
    assert (bill.cost, bill.unpriced) == (None, ("claude-nobody-knows-1",))
    assert 0 < len(model.asked) < 9


def test_a_server_of_ones_own_costs_nothing(scene: Scene) -> None:
    """The route `local` needs neither key nor money; tokens are counted."""

    async def story() -> tuple[RunOutcome, ScriptedModel]:
        async with playing(play(WORK, Say("Done."))) as (url, model):
            agent = Settled("http://127.0.0.1:1", route="local", local=url, environ={"PATH": ENVIRON["PATH"]})
            return await keeper(scene, agent, {}, allowance=None, model="qwen3-coder").keep(), model

    outcome, model = within(story())
    bill = bill_of(outcome)
    assert outcome.end is End.COMPLETED, outcome
    assert (bill.route, bill.paid, bill.cost) == ("local", False, 0)
    assert bill.tokens.total == 2 * sum(USAGE.values())
    assert not any("x-api-key" in request.headers or "authorization" in request.headers for request in model.asked)


def test_no_key_inside(scene: Scene) -> None:
    """Neither the key of this route nor one of another is in the box: its processes, environment, home or worktree."""
    other = "sk-other-98765"
    look = "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n' > seen.txt; env >> seen.txt"
    steps = (Use("Bash", {"command": look, "description": "Look"}), Say("Done."))
    environ = {**ENVIRON, "OPENAI_API_KEY": other, "ANTHROPIC_AUTH_TOKEN": other, "GEMINI_API_KEY": other}

    async def story() -> RunOutcome:
        async with playing(play(*steps)) as (url, _):
            return await keeper(scene, Settled(url, environ=environ), environ).keep()

    assert within(story()).end is End.COMPLETED
    seen = (scene.work / "seen.txt").read_text()
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:" in seen
    assert not [name for name in ("OPENAI_API_KEY", "GEMINI_API_KEY", "ANTHROPIC_AUTH_TOKEN") if name in seen]
    files = [path for folder in (scene.root / "run", scene.work, scene.git) for path in folder.rglob("*")]
    held = [path for path in files if path.is_file() and _holds(path, (KEY, other))]
    assert held == []


def _holds(path: Path, secrets: Sequence[str]) -> bool:
    data = path.read_bytes()
    return any(secret.encode() in data for secret in secrets)


def test_paid_logins_stay_out_of_a_subscription(scene: Scene) -> None:
    """On the subscription's route the API key is not in the box, and nothing goes over to it by itself."""
    environ = {**ENVIRON, "CLAUDE_CODE_OAUTH_TOKEN": "oauth-0123456789", "ANTHROPIC_AUTH_TOKEN": "sk-x"}
    agent = ClaudeAgent(ClaudeSettings(), environ)
    assert agent.route().kind == "direct"
    assert not agent.route().paid
    made = keeper(scene, agent, environ)
    place = Place(home="/h", given="/g", worktree=str(scene.work), token="dummy", ports=_ports())
    launch = agent.launch(made.spec, place)
    box = made._box_spec(place, launch, (1, 2, 3))
    assert box.env["CLAUDE_CODE_OAUTH_TOKEN"] == "oauth-0123456789"
    assert not {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"} & set(box.env)
    assert KEY not in str(box)
    made.log.close()


def _ports() -> Any:
    from overnight.ports import Ports

    return Ports(hooks=1, model=2, proxy=3)
