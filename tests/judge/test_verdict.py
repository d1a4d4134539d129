"""Judges are held to a form, and what they say is counted so that nothing passes on less than was asked for."""

from __future__ import annotations

import json

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from overnight.judge.verdict import (
    Failed,
    Open,
    Opinion,
    Outside,
    Passed,
    Said,
    Split,
    Word,
    out_of_reach,
    schema,
    tally,
    understand,
)
from overnight.missions.judging import Quorum

GOOD = Said(verdict=Word.PASS, confidence=0.9, blocking=(), other=(), gaps=(), injection=False)
BAD = replace(GOOD, verdict=Word.FAIL, blocking=("the total is wrong",))
UNSURE = replace(GOOD, verdict=Word.NEEDS_HUMAN)


def by(family: str, said: Said | None, **more: object) -> Opinion:
    fields = {"judge": family, "family": family, "model": "m", "commit": "c1", "evidence": "e1", "said": said, **more}
    return Opinion(**fields)  # type: ignore[arg-type]


def count(*opinions: Opinion, families: int = 2, author: str = "anthropic") -> Passed | Failed | Split | Open:
    return tally(opinions, Quorum(families=families), commit="c1", evidence="e1", author=author)


def test_two_families_pass() -> None:
    """As many families as asked for, sure and without gaps: passed with the least of their confidences."""
    assert count(by("openai", GOOD), by("google", replace(GOOD, confidence=0.8))) == Passed(confidence=0.8)


def test_no_judge_asked_for_is_passed_without_confidence() -> None:
    """A policy that asks for no judge gets none."""
    assert count(families=0) == Passed(confidence=None)


@pytest.mark.parametrize(
    ("opinions", "says"),
    [
        ((), "0 of 2 families"),
        ((by("openai", GOOD),), "1 of 2 families"),
        ((by("openai", GOOD), by("openai", GOOD, judge="second")), "1 of 2 families"),
        ((by("openai", GOOD), by("google", None, why="no answer within 60 s")), "google: no answer within 60 s"),
        ((by("openai", GOOD), by("google", GOOD, commit="c0")), "another commit"),
        ((by("openai", GOOD), by("google", GOOD, evidence="e0")), "another commit"),
        ((by("openai", GOOD), by("anthropic", GOOD)), "the author's own family"),
        ((by("openai", GOOD), by("google", UNSURE)), "google asks for a person"),
        (
            (by("openai", GOOD), by("google", replace(GOOD, gaps=("no test run",)))),
            "google misses evidence: no test run",
        ),
        ((by("openai", GOOD), by("google", replace(GOOD, confidence=0.5))), "google is only 50% sure"),
        ((by("openai", GOOD), by("google", replace(GOOD, injection=True))), "saw an attempt to talk it over"),
        ((by("openai", UNSURE), by("google", BAD)), "openai asks for a person"),
    ],
)
def test_anything_less_is_open(opinions: tuple[Opinion, ...], says: str) -> None:
    """Missing, void, unsure or troubled verdicts leave it to a person, who is told why."""
    result = count(*opinions)
    assert isinstance(result, Open)
    assert says in result.why


def test_agreement_on_fail_is_failed() -> None:
    """Every judge that answered says FAIL: their issues go to the next run, each once."""
    other = replace(BAD, blocking=("the total is wrong", "no test"))
    assert count(by("openai", BAD), by("google", other)) == Failed(issues=("the total is wrong", "no test"))
    assert count(by("openai", BAD), by("google", None, why="dead")) == Failed(issues=("the total is wrong",))


def test_disagreement_is_split() -> None:
    """PASS against FAIL is for a person, with who says what."""
    assert count(by("openai", GOOD), by("google", BAD)) == Split(
        why="openai passes it and google does not: the total is wrong"
    )


SAID = st.builds(
    Said, verdict=st.sampled_from(Word), confidence=st.floats(0, 1), blocking=st.just(()) | st.just(("x",)), other=st.just(()),
    gaps=st.just(()) | st.just(("g",)), injection=st.booleans(),
)  # fmt: skip
OPINIONS = st.lists(
    st.builds(by, st.sampled_from(["openai", "google", "mistral", "anthropic"]), st.none() | SAID, commit=st.sampled_from(["c1", "c0"])),
    max_size=5,
)  # fmt: skip


@given(OPINIONS, st.integers(1, 4))
def test_nothing_passes_on_less_than_was_asked_for(opinions: list[Opinion], families: int) -> None:
    """Passed means: that many families other than the author's, each sure, without gaps, about this very commit."""
    result = count(*opinions, families=families)
    good = {
        each.family
        for each in opinions
        if each.said is not None and each.said.verdict is Word.PASS and each.commit == "c1" and each.family != "anthropic"
        and each.said.confidence >= 0.7 and not each.said.gaps
    }  # fmt: skip
    if isinstance(result, Passed):
        assert len(good) >= families
        assert not any(
            each.said is not None and each.said.verdict is not Word.PASS
            for each in opinions
            if each.commit == "c1" and each.family != "anthropic"
        )


@given(OPINIONS, st.integers(1, 4))
def test_a_stricter_quorum_never_passes_more(opinions: list[Opinion], families: int) -> None:
    """Asking for one more family never turns anything into a pass."""
    if isinstance(count(*opinions, families=families + 1), Passed):
        assert isinstance(count(*opinions, families=families), Passed)


@pytest.mark.parametrize(
    "text",
    [
        msgspec.json.encode(GOOD).decode(),
        f"\n```json\n{msgspec.json.encode(BAD).decode()}\n```\n",
        f"```\n{msgspec.json.encode(UNSURE).decode()}```",
    ],
)
def test_an_answer_in_form_is_understood(text: str) -> None:
    """One JSON object, bare or in one fence."""
    assert understand(text) in (GOOD, BAD, UNSURE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PASS",
        "I think PASS. " + msgspec.json.encode(GOOD).decode(),
        msgspec.json.encode(GOOD).decode() + "\nand more",
        json.dumps({"verdict": "PASS"}),
        json.dumps({**msgspec.to_builtins(GOOD), "note": "x"}),
        json.dumps({**msgspec.to_builtins(GOOD), "verdict": "pass"}),
        json.dumps({**msgspec.to_builtins(GOOD), "confidence": 1.1}),
        json.dumps({**msgspec.to_builtins(GOOD), "confidence": "high"}),
        json.dumps({**msgspec.to_builtins(GOOD), "blocking": ["x"]}),
        json.dumps({**msgspec.to_builtins(BAD), "blocking": []}),
        json.dumps([msgspec.to_builtins(GOOD)]),
        '{"verdict": "FAIL", ' + json.dumps(msgspec.to_builtins(GOOD))[1:],
        json.dumps(msgspec.to_builtins(GOOD))[:-1] + ', "\\u0076erdict": "PASS"}',
        json.dumps(msgspec.to_builtins(GOOD))[:-2],
        json.dumps(msgspec.to_builtins(GOOD)).replace("0.9", "NaN"),
        "\ud800",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Words around it, missing or unknown fields, contradictions: no verdict, and why."""
    with pytest.raises(ValueError, match=r"JSON object|PASS|FAIL|twice"):
        understand(text)


@given(SAID)
def test_the_schema_says_what_is_understood(said: Said) -> None:
    """The published schema has no references, requires every field, and fits what is understood."""
    form = schema()
    assert "$ref" not in json.dumps(form)
    assert set(form["required"]) == set(Said.__struct_fields__)
    assert form["additionalProperties"] is False
    jsonschema.validate(json.loads(msgspec.json.encode(said)), form)


@pytest.mark.parametrize(
    ("opinions", "away"),
    [
        ((by("openai", GOOD), by("google", None, outside=Outside.LIMIT)), ["google"]),
        ((by("openai", None, outside=Outside.VENDOR), by("google", None, outside=Outside.LIMIT)), ["openai", "google"]),
        ((by("openai", GOOD), by("google", None, why="it can't be read")), []),
        ((by("openai", UNSURE), by("google", None, outside=Outside.LIMIT)), []),
        ((by("openai", BAD), by("google", None, outside=Outside.LIMIT)), []),
        ((by("google", None, outside=Outside.LIMIT),), []),
        ((by("openai", GOOD), by("anthropic", None, outside=Outside.LIMIT)), []),
        ((by("openai", GOOD), by("google", GOOD), by("meta", None, outside=Outside.LIMIT)), []),
    ],
)
def test_a_judge_is_waited_for_only_where_nothing_but_its_word_is_missing(
    opinions: tuple[Opinion, ...], away: list[str]
) -> None:
    """Where even its PASS would not be enough, or is not needed, waiting helps nobody."""
    found = out_of_reach(opinions, Quorum(families=2), commit="c1", evidence="e1", author="anthropic")
    assert [each.judge for each in found] == away
