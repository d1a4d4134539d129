"""A run's bill in words."""

from __future__ import annotations

from collections.abc import Iterator

from overnight.cli.words import count
from overnight.judge.budget import show_usd
from overnight.missions.money import Bill, ModelUse
from overnight.missions.run import RunOutcome
from overnight.missions.tokens import Tokens

_SOURCES = {"wire": "counted from the model's answers", "cli": "by its own account", "none": "nobody counted"}


def cost_of(outcome: RunOutcome) -> str:
    """What a run cost, who says so, and who pays; in a few words."""
    bill = outcome.bill
    if bill is None:
        own = outcome.usage.cost_usd
        return "unknown cost" if own is None else f"{own:.2f} USD by its own account"
    if bill.route == "none":
        return "no cost"
    cost = "unknown cost" if bill.cost is None else show_usd(bill.cost)
    if bill.route == "direct" and bill.cost is not None:
        return f"worth {cost} at list prices, {_SOURCES[bill.source]}; paid by the subscription"
    return f"{cost}, {_SOURCES[bill.source]}"


def bill_lines(bill: Bill | None) -> Iterator[str]:
    """Each model, and whatever makes the sum less than sure."""
    if bill is None:
        return
    for use in bill.models:
        yield f"{use.model}: {_calls(use)}{_tokens(use.tokens)}, {_cost(use)}"
    if bill.difference:
        more = "more" if bill.difference > 0 else "less"
        yield f"the agent itself says {show_usd(bill.claimed or bill.difference)}: {abs(bill.difference):f} USD {more}"
    if bill.pending:
        yield f"up to {show_usd(bill.pending)} more: requests whose end nobody saw"
    if bill.unknown:
        yield f"{count(bill.unknown, 'answer')} did not say what they used: the run counts at its whole allowance"
    if bill.partial:
        yield f"{count(bill.partial, 'answer')} broke off: what was seen of them is counted"


def _calls(use: ModelUse) -> str:
    return f"{count(use.calls, 'call')}, " if use.calls else ""


def _tokens(tokens: Tokens) -> str:
    parts = [f"{tokens.input:,} in", f"{tokens.output:,} out"]
    if tokens.thinking:
        parts[-1] += f" ({tokens.thinking:,} thinking)"
    if tokens.cache_read:
        parts.append(f"{tokens.cache_read:,} from the cache")
    if tokens.cache_write:
        hour = f" ({tokens.cache_write_1h:,} for an hour)" if tokens.cache_write_1h else ""
        parts.append(f"{tokens.cache_write:,} into it{hour}")
    if tokens.web_searches:
        parts.append(count(tokens.web_searches, "web search"))
    return ", ".join(parts)


def _cost(use: ModelUse) -> str:
    if use.cost is None:
        return "unpriced: it counts at the whole allowance"
    return f"{use.cost:f} USD"
