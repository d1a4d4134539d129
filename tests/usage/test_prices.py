"""What tokens cost, held against what Claude Code itself says and works out."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.missions.codec import decode, encode
from overnight.missions.tokens import Tokens
from overnight.usage.prices import FREE, Billed, Catalogue, Rates, cost, worst
from overnight.usage.tokens import Aside, Used, of_anthropic

NOW = 1_795_250_000.0
CLAUDE = Catalogue(NOW, "anthropic")
CLAUDE.load()

#: What Claude Code 2.1.329 has built in, for a million tokens: input, output, 5 minute write, 1 hour write, read.
OWN = {
    ("claude-opus-5-5", "standard"): (4, 20, 5, 8, 0.2),
    ("claude-opus-5-5", "fast"): (8, 40, 10, 16, 0.4),
    ("claude-fable-5-2", "standard"): (8, 40, 10, 16, 0.2),
    ("claude-fable-5-2", "fast"): (16, 80, 20, 32, 0.4),
    ("claude-sonnet-5-5", "standard"): (2, 10, 2.5, 4, 0.1),
    ("claude-haiku-4-5-20251001", "standard"): (1, 5, 1.25, 2, 0.1),
    ("claude-haiku-5-5", "standard"): (0.1, 0.5, 0.125, 0.2, 0.01),
}
#: The same for prompts above so many tokens.
LONG = {"claude-haiku-5-5": (100_000, (0.5, 2.5, 0.625, 1, 0.05))}


def own_sum(usage: dict[str, Any], model: str) -> float:
    """The sum as Claude Code does it, read in its bundle, in floating point."""
    rates = OWN[model, usage["speed"]]
    put = usage["cache_creation_input_tokens"]
    hour = min(usage["cache_creation"]["ephemeral_1h_input_tokens"], put)
    above, long = LONG.get(model, (math.inf, rates))
    if usage["input_tokens"] + usage["cache_read_input_tokens"] + put > above:
        rates = long
    whole = (
        usage["input_tokens"] / 1e6 * rates[0] + usage["output_tokens"] / 1e6 * rates[1]
        + usage["cache_read_input_tokens"] / 1e6 * rates[4] + hour / 1e6 * rates[3] + (put - hour) / 1e6 * rates[2]
    )  # fmt: skip
    searches = usage["server_tool_use"]["web_search_requests"] * 0.01
    return whole * (1.1 if usage["inference_geo"] == "us" else 1) + searches


counts = st.integers(0, 150_000)


@given(
    st.sampled_from(list(OWN)),
    st.fixed_dictionaries(
        {
            "input_tokens": counts,
            "output_tokens": counts,
            "cache_read_input_tokens": counts,
            "cache_creation_input_tokens": counts,
            "cache_creation": st.fixed_dictionaries({"ephemeral_1h_input_tokens": counts}),
            "server_tool_use": st.fixed_dictionaries({"web_search_requests": st.integers(0, 5)}),
            "inference_geo": st.sampled_from(["", "us"]),
        }
    ),
)
def test_as_claude_code(model: tuple[str, str], usage: dict[str, Any]) -> None:
    """The same sum as Claude Code's own, for its lifetimes of caches, places, searches, speeds and long prompts."""
    usage = {**usage, "speed": model[1]}
    used = of_anthropic(usage)
    assert used is not None
    found = cost(used, model[0], CLAUDE)
    assert found is not None
    assert math.isclose(float(found), own_sum(usage, model[0]), rel_tol=1e-12, abs_tol=1e-15)


def test_as_measured() -> None:
    """Sums that the real CLI printed, to the last digit."""
    tokens = Tokens(input=2000, output=100, cache_read=600, cache_write=400)
    assert cost(Used(tokens=tokens), "claude-opus-5-5", CLAUDE) == Decimal("0.01212")
    large = Tokens(input=400_000, output=10_000, cache_read=600, cache_write=400)
    assert cost(Used(tokens=large), "claude-opus-5-5", CLAUDE) == Decimal("1.80212")


def test_long_prompt_by_step() -> None:
    """Two requests of one answer are long prompts each by itself, not together."""
    step = Tokens(input=60_000, output=10)
    used = Used(tokens=step + step, steps=(step, step))
    assert cost(used, "claude-haiku-5-5", CLAUDE) == 2 * (60_000 * Decimal("0.1") + 10 * Decimal("0.5")) / 1_000_000
    together = cost(Used(tokens=step + step), "claude-haiku-5-5", CLAUDE)
    assert together == (120_000 * Decimal("0.5") + 20 * Decimal("2.5")) / 1_000_000


def test_advisor_at_its_own_model() -> None:
    """A second model is billed at its own rates; one that nobody knows leaves the whole without a price."""
    advisor = Aside(kind="advisor_message", model="claude-fable-5-2", tokens=Tokens(input=1000, output=100))
    used = Used(tokens=Tokens(input=1000), asides=(advisor,))
    assert cost(used, "claude-opus-5-5", CLAUDE) == Decimal("0.004") + Decimal("0.008") + Decimal("0.004")
    unknown = Used(tokens=Tokens(input=1), asides=(Aside(kind="advisor_message", model="nobody", tokens=Tokens()),))
    assert cost(unknown, "claude-opus-5-5", CLAUDE) is None


@pytest.mark.parametrize(
    "billed",
    [
        Billed("scripted"),
        Billed("claude-opus-5-6"),
        Billed("claude-opus-9"),
        Billed(""),
        Billed("claude-opus-4-6", speed="fast"),
        Billed("claude-opus-5-5", speed="ludicrous"),
        Billed("claude-opus-5-5", tier="no-such-tier"),
    ],
)
def test_unpriced(billed: Billed) -> None:
    """A model, speed or tier that the catalogue does not know has no price: never that of a relative, never zero."""
    assert CLAUDE(billed) is None
    assert cost(Used(tokens=Tokens(input=1), speed=billed.speed, tier=billed.tier), billed.model, CLAUDE) is None


def test_tiers() -> None:
    """A tier is billed at its own rates; what is bought beforehand counts at the list price."""
    standard = CLAUDE(Billed("claude-opus-5-5"))
    assert standard is not None
    assert CLAUDE(Billed("claude-opus-5-5", tier="standard")) == standard
    assert CLAUDE(Billed("claude-opus-5-5", tier="priority")) == standard
    batch = CLAUDE(Billed("claude-opus-5-5", tier="batch"))
    assert batch is not None
    assert batch.base.output == standard.base.output / 2
    openai = Catalogue(NOW, "openai")
    dearer, usual = openai(Billed("gpt-5.2", tier="priority")), openai(Billed("gpt-5.2", tier="default"))
    assert dearer is not None
    assert usual is not None
    assert dearer.base.output > usual.base.output


def test_other_vendors() -> None:
    """OpenAI's and Google's models have prices too; what has no rate of its own is billed as what it is part of."""
    openai = Catalogue(NOW, "openai")(Billed("gpt-5.2"))
    assert openai is not None
    assert (openai.base.input, openai.base.cache_read, openai.base.cache_write_5m) == (
        Decimal("1.75"), Decimal("0.175"), Decimal("1.75"),
    )  # fmt: skip
    google = Catalogue(NOW, "google")(Billed("gemini-2.5-pro"))
    assert google is not None
    assert (google.table(200_000).output, google.table(200_001).output) == (Decimal(10), Decimal(15))


def test_by_address() -> None:
    """Whose API it is says the address, where the catalogue knows it."""
    assert Catalogue(NOW, "", "https://api.anthropic.com")(Billed("claude-opus-5-5")) == CLAUDE(
        Billed("claude-opus-5-5")
    )


def test_own_server_is_free() -> None:
    """A model on one's own machine costs nothing, whatever it is called."""
    assert cost(Used(tokens=Tokens(input=10, output=10, web_searches=1)), "llama", lambda _: FREE) == 0


@given(st.sampled_from([key[0] for key in OWN]), st.integers(0, 10**6), st.integers(0, 10**5), st.data())
def test_worst_is_no_less(model: str, prompt: int, output: int, data: st.DataObject) -> None:
    """No answer within the bounds of a request costs more than the request's worst case."""
    read = data.draw(st.integers(0, prompt))
    put = data.draw(st.integers(0, prompt - read))
    tokens = Tokens(
        input=prompt - read - put, output=data.draw(st.integers(0, output)), cache_read=read, cache_write=put,
        cache_write_1h=data.draw(st.integers(0, put)),
    )  # fmt: skip
    rates = CLAUDE(Billed(model))
    assert rates is not None
    found = cost(Used(tokens=tokens, geo="us"), model, CLAUDE)
    assert found is not None
    assert found <= worst(rates, prompt, output)


def test_rates_are_kept_as_values() -> None:
    """Rates go to disk and come back the same, digits and all."""
    rates = CLAUDE(Billed("claude-haiku-5-5"))
    assert rates is not None
    assert decode(encode(rates), Rates) == rates
    assert (Billed("claude-haiku-5-5"), rates) in CLAUDE.used
