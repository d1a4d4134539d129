"""Every vendor's way to say what an answer used, read into one form."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.missions.tokens import Tokens
from overnight.usage.tokens import (
    Aside,
    Used,
    of_anthropic,
    of_anthropic_text,
    of_chat,
    of_cli,
    of_codex,
    of_gemini,
    of_responses,
    updated,
)

counts = st.integers(0, 10**7)


def used(found: Used | None) -> Used:
    """What was read, which must be there."""
    assert found is not None
    return found


def test_anthropic() -> None:
    """Cache writes by lifetime, thinking, searches, tier, speed and place are all read."""
    usage = {
        "input_tokens": 1000, "output_tokens": 50, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 200,
        "cache_creation": {"ephemeral_5m_input_tokens": 80, "ephemeral_1h_input_tokens": 120},
        "output_tokens_details": {"thinking_tokens": 20}, "server_tool_use": {"web_search_requests": 2},
        "service_tier": "standard", "speed": "fast", "inference_geo": "us",
    }  # fmt: skip
    tokens = Tokens(
        input=1000, output=50, thinking=20, cache_read=300, cache_write=200, cache_write_1h=120, web_searches=2
    )
    assert of_anthropic(usage) == Used(tokens=tokens, tier="standard", speed="fast", geo="us")
    assert tokens.prompt == 1500
    assert tokens.total == 1550


def test_anthropic_breakdown_missing() -> None:
    """A cache write whose lifetime nobody says, or says as all zeros, is still a cache write."""
    for extra in ({}, {"cache_creation": None}, {"cache_creation": {"ephemeral_5m_input_tokens": 0}}):
        usage = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 200, **extra}
        assert used(of_anthropic(usage)).tokens == Tokens(input=1, output=1, cache_write=200)


@pytest.mark.parametrize("junk", [None, "12", -1, True, 1.5, 10**30, [], {}])
def test_unknown_is_not_zero(junk: Any) -> None:
    """Where what was read or written is no number, nothing is known, in any shape."""
    assert of_anthropic({"input_tokens": junk, "output_tokens": 1}) is None
    assert of_anthropic({"input_tokens": 1, "output_tokens": junk}) is None
    assert of_responses({"input_tokens": junk, "output_tokens": 1}) is None
    assert of_chat({"prompt_tokens": 1, "completion_tokens": junk}) is None
    assert of_codex({"input_tokens": junk, "output_tokens": 1}) is None
    assert of_gemini({"promptTokenCount": junk}) is None
    assert of_cli({"inputTokens": 1, "outputTokens": junk}) is None


@pytest.mark.parametrize("junk", [None, "12", -1, True, [], {}])
def test_odd_fields_do_no_harm(junk: Any) -> None:
    """A null or an odd value beside the counts loses nothing of them."""
    usage = {"input_tokens": 7, "output_tokens": 3, "speed": junk, "service_tier": junk, "iterations": junk,
             "cache_creation": junk, "server_tool_use": junk, "output_tokens_details": junk}  # fmt: skip
    assert used(of_anthropic(usage)).tokens == Tokens(input=7, output=3)


def test_iterations() -> None:
    """Steps that add up are kept apart; an advisor and a compaction are not in the sums and come beside them."""
    step = {"type": "message", "input_tokens": 60_000, "output_tokens": 10, "cache_read_input_tokens": 0}
    advisor = {"type": "advisor_message", "model": "claude-fable-5-2", "input_tokens": 9, "output_tokens": 4}
    compaction = {"type": "compaction", "input_tokens": 100, "output_tokens": 40}
    usage = {"input_tokens": 120_000, "output_tokens": 20, "iterations": [step, advisor, step, compaction]}
    found = used(of_anthropic(usage))
    assert found.tokens == Tokens(input=120_000, output=20)
    assert found.steps == (Tokens(input=60_000, output=10),) * 2
    assert found.asides == (
        Aside(kind="advisor_message", model="claude-fable-5-2", tokens=Tokens(input=9, output=4)),
        Aside(kind="compaction", model="", tokens=Tokens(input=100, output=40)),
    )
    assert used(of_anthropic({**usage, "input_tokens": 120_001})).steps == ()


def test_iterations_share_the_hour() -> None:
    """What the steps do not say of a cache's lifetime is taken from the whole, and no more than that."""
    step = {"type": "message", "input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 100}
    usage = {"input_tokens": 2, "output_tokens": 2, "cache_creation_input_tokens": 200,
             "cache_creation": {"ephemeral_1h_input_tokens": 150}, "iterations": [step, step]}  # fmt: skip
    assert [found.cache_write_1h for found in used(of_anthropic(usage)).steps] == [100, 50]


def test_delta_replaces() -> None:
    """A message's last usage replaces its first: nothing is counted twice, nothing is lost."""
    start = {"input_tokens": 1000, "output_tokens": 1, "cache_read_input_tokens": 300, "service_tier": "standard"}
    assert updated(start, {"output_tokens": 50}) == {**start, "output_tokens": 50}
    zeros = {"input_tokens": 0, "cache_read_input_tokens": None, "output_tokens": 50}
    assert updated(start, zeros) == {**start, "output_tokens": 50}
    more = {"input_tokens": 1200, "output_tokens": 50}
    assert updated(start, more) == {**start, "input_tokens": 1200, "output_tokens": 50}


def test_openai() -> None:
    """What came from a cache is within what was read, and reasoning within what was written."""
    responses = {"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 100},
                 "output_tokens": 50, "output_tokens_details": {"reasoning_tokens": 10}, "total_tokens": 1050}  # fmt: skip
    chat = {"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 100},
            "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 10}}  # fmt: skip
    codex = {"input_tokens": 1000, "cached_input_tokens": 300, "cache_write_input_tokens": 100,
             "output_tokens": 50, "reasoning_output_tokens": 10}  # fmt: skip
    tokens = Tokens(input=600, output=50, thinking=10, cache_read=300, cache_write=100)
    assert of_responses(responses) == of_chat(chat) == of_codex(codex) == Used(tokens=tokens)


def test_gemini() -> None:
    """Thinking is beside the answer, and what tools read beside the prompt."""
    usage = {"promptTokenCount": 1000, "cachedContentTokenCount": 300, "candidatesTokenCount": 40,
             "thoughtsTokenCount": 10, "toolUsePromptTokenCount": 5, "totalTokenCount": 1055}  # fmt: skip
    assert of_gemini(usage) == Used(tokens=Tokens(input=705, output=50, thinking=10, cache_read=300))
    assert used(of_gemini({"promptTokenCount": 5})).tokens == Tokens(input=5)


def test_cli() -> None:
    """Claude Code's own totals for a model."""
    use = {"inputTokens": 2000, "outputTokens": 100, "cacheReadInputTokens": 600, "cacheCreationInputTokens": 400,
           "cacheCreationEphemeral1hInputTokens": 150, "webSearchRequests": 1, "costUSD": 0.01212}  # fmt: skip
    assert of_cli(use) == Tokens(
        input=2000, output=100, cache_read=600, cache_write=400, cache_write_1h=150, web_searches=1
    )


@given(counts, counts, counts, counts)
def test_nothing_negative(read: int, written: int, cached: int, thinking: int) -> None:
    """Whatever a vendor says of parts, no part is larger than its whole."""
    found = used(of_chat({"prompt_tokens": read, "completion_tokens": written,
                          "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": cached},
                          "completion_tokens_details": {"reasoning_tokens": thinking}})).tokens  # fmt: skip
    assert found.prompt == read
    assert found.output == written
    assert 0 <= found.thinking <= found.output
    assert min(found.input, found.cache_read, found.cache_write) >= 0


tokens = st.builds(Tokens, input=counts, output=counts, cache_read=counts, cache_write=counts)


@given(tokens, tokens)
def test_sums(one: Tokens, other: Tokens) -> None:
    """Adding and taking away are exact, and the larger of two accounts holds both."""
    assert one + other - other == one
    assert (one + other).total == one.total + other.total
    assert one.most(other) == other.most(one)
    assert one.most(other).total >= max(one.total, other.total)
    assert bool(one) == (one != Tokens())


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 9),
    st.just(10**30),
    st.just(1.0),
    st.text(max_size=2),
    st.just([]),
    st.just({}),
)
numbers = st.one_of(counts, counts, counts, odd)


@given(
    st.fixed_dictionaries(
        {"input_tokens": numbers, "output_tokens": numbers},
        optional={
            "cache_read_input_tokens": numbers,
            "cache_creation_input_tokens": numbers,
            "cache_creation": st.one_of(odd, st.fixed_dictionaries({"ephemeral_1h_input_tokens": numbers})),
            "output_tokens_details": st.one_of(odd, st.fixed_dictionaries({"thinking_tokens": numbers})),
            "server_tool_use": st.one_of(odd, st.fixed_dictionaries({"web_search_requests": numbers})),
            "service_tier": st.one_of(odd, st.just("batch")),
            "speed": st.one_of(odd, st.just("fast")),
            "inference_geo": st.one_of(odd, st.just("us")),
            "iterations": st.one_of(
                odd,
                st.lists(
                    st.fixed_dictionaries(
                        {
                            "type": st.sampled_from(["message", "advisor_message"]),
                            "input_tokens": counts,
                            "output_tokens": counts,
                        }
                    ),
                    max_size=2,
                ),
            ),
        },
    )
)
def test_the_quick_way_says_the_same(usage: dict[str, Any]) -> None:
    """What is read straight from JSON is what is read of the values, whatever they are."""
    assert of_anthropic_text(msgspec.json.encode(usage)) == of_anthropic(usage)
