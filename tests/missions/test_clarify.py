"""Clear tasks pass untouched; what leaves too much open is asked about, in at most four questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.errors import BadInput
from overnight.missions.clarify import (
    MOST_QUESTIONS,
    QUESTIONS,
    Clarify,
    Weights,
    assess,
    heard,
    show_questions,
    understand,
    write_spec,
)

CASES = [json.loads(line) for line in (Path(__file__).parent / "clarify_cases.jsonl").read_text().splitlines()]
#: Labelled cases that the gate gets wrong, known and counted in the documents.
WRONG = {
    "Add a favicon",
    "Recognise .jpeg besides .jpg",
    "Add monitoring, alerting, tracing, logging and dashboards for everything",
    "Bring the project up to date",
    "fix crashes",
    "Bring order into the folder structure",
    "I don't like the colors",
}
ALL = tuple(QUESTIONS.values())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:40])
def test_labelled_tasks_are_judged_as_people_judge_them(case: dict[str, object]) -> None:
    """A clear task is not asked about and a vague one is, but for the few that are known to be misjudged."""
    text = str(case["text"])
    passes = not assess(text).questions
    assert (passes == case["clear"]) == (text not in WRONG)


def test_the_documents_state_the_measured_rates() -> None:
    """The rates in the documents are those of the labelled set."""
    docs = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    unseen = [case for case in CASES if case["set"] == "unseen"]
    for part in (CASES, unseen):
        clear = [case for case in part if case["clear"]]
        gated = sum(bool(assess(case["text"]).questions) for case in clear)
        vague = [case for case in part if not case["clear"]]
        caught = sum(bool(assess(case["text"]).questions) for case in vague)
        assert f"{gated} of {len(clear)} clear" in docs
        assert f"{caught} of {len(vague)} vague" in docs


@given(st.text(max_size=300), st.lists(st.text(max_size=80), max_size=4))
def test_any_words_give_a_number_and_few_questions(text: str, acceptance: list[str]) -> None:
    """Ambiguity stays within 0 and 100, and there are questions exactly from the threshold on."""
    clarity = assess(text, acceptance)
    assert 0 <= clarity.ambiguity <= 100
    assert len(clarity.questions) <= MOST_QUESTIONS
    assert bool(clarity.questions) == (clarity.ambiguity >= Clarify().threshold)


@given(st.sampled_from([case["text"] for case in CASES]))
def test_saying_what_done_means_never_makes_it_less_clear(text: str) -> None:
    """A firm acceptance criterion never raises the ambiguity."""
    firm = ["`parse('')` returns an empty list"]
    assert assess(text, firm).ambiguity <= assess(text).ambiguity


def test_a_threshold_of_101_never_asks() -> None:
    """The gate can be switched off."""
    assert assess("improve", policy=Clarify(threshold=101)).questions == ()


def test_a_signal_without_weight_is_not_asked_about() -> None:
    """Only what counts is asked."""
    about = {question.about for question in assess("improve", policy=Clarify(weights=Weights(scope=0))).questions}
    assert about == {"acceptance", "vagueness", "surface"}


@pytest.mark.parametrize(
    ("words", "picks"),
    [
        ("defaults", [0, 0, 0, 0]),
        ("", [0, 0, 0, 0]),
        ("b", [1, 0, 0, 0]),
        ("b a C", [1, 0, 2, 0]),
        ("2=c 4=b", [0, 2, 0, 1]),
        ("2) c, 3: a", [0, "c,", 0, 0]),
        ("1=only the parser 3=b", ["only the parser", 0, 1, 0]),
        ("Just the login page, as before", ["Just the login page, as before"] * 4),
    ],
)
def test_answers_are_understood(words: str, picks: list[int | str]) -> None:
    """Letters, numbers, own words or nothing: each question gets its answer, or its recommended one."""
    expected = [q.choices[p] if isinstance(p, int) else p for q, p in zip(ALL, picks, strict=True)]
    assert [each.answer for each in understand(ALL, words)] == expected


@pytest.mark.parametrize(
    ("words", "says"), [("9=a", "no question 9"), ("1=z", "a to c"), ("a a a a a", "no question 5")]
)
def test_an_answer_to_nothing_is_refused(words: str, says: str) -> None:
    """A question or choice that there is not is told, with what there is; where nobody can be told, words stand."""
    with pytest.raises(BadInput, match=says):
        understand(ALL, words)
    assert {each.answer for each in heard(ALL, words)} == {words}


def test_the_specification_holds_what_was_asked_for_word_for_word() -> None:
    """The clarified specification has the text, what done means, and each question with its answer on one line."""
    spec = write_spec("Make it *nice*\n", ["it prints 1"], understand(ALL[:1], "in\nown words"))
    assert spec == (
        "# What was asked for\n\nMake it *nice*\n\n## Done means\n\n- it prints 1\n\n"
        "## What the person answered\n\n- How will you see that it is done? in own words\n"
    )


def test_questions_are_shown_with_letters() -> None:
    """A person sees numbers, letters and which choice is recommended."""
    assert show_questions(ALL[:1]).splitlines()[:2] == [
        "1. How will you see that it is done?",
        "   a) A new test shows it, and every check passes (recommended)",
    ]
