"""Runbooks: read strictly, with errors that name lines; whatever differs in a later version has a name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overnight.errors import RunbookInvalid
from overnight.missions.runbook import MOST_TEXT, ErrorBudget, Runbook, Step, Zones, parse
from overnight.missions.runbook_versions import Deviation, Kind, compare, pace, protocol, standing

GOOD = """# Move the shop to the new taxes

Rates come from `docs/rates.md`.

## Error budget
- per step: 2
- overall: 5

## Autonomy zones
- free: `src/`, `tests/**`
- ask: `migrations/**`
- forbidden: `infra/**`

## First the library
1. [x] Read the rates
2. [ ] Add the table
   - as in `docs/rates.md`
   - `make test` passes

   ```text
9. [ ] not a step, only shown
   ```
## Then the shop
3. [ ] Switch the cart over
"""


def book(text: str = GOOD) -> Runbook:
    return parse(text, "run.md")


def ids(*numbers: int, text: str = GOOD) -> frozenset[str]:
    """Ids of these steps."""
    return frozenset(step.id for step in book(text).steps if step.number in numbers)


def kinds(text: str | None, known: frozenset[str] = frozenset()) -> list[Kind]:
    return [each.kind for each in compare(book(), text, known).deviations]


def test_a_good_file_is_understood() -> None:
    """Title, budget, zones, steps with what is below them, and what a step names."""
    found = book()
    assert found.title == "Move the shop to the new taxes"
    assert found.budget == ErrorBudget(per_step=2, overall=5)
    assert found.zones == Zones(free=("src/**", "tests/**"), ask=("migrations/**",), forbidden=("infra/**",))
    assert [(step.words, step.ticked, step.line) for step in found.steps] == [
        ("1. Read the rates", True, 15),
        ("2. Add the table", False, 16),
        ("3. Switch the cart over", False, 24),
    ]
    assert found.steps[1].body[:2] == ("   - as in `docs/rates.md`", "   - `make test` passes")
    assert found.steps[1].commands == ("docs/rates.md", "make test")
    assert [step.number for step in found.open(found.ticked)] == [2, 3]


def test_the_least_runbook_is_one_step() -> None:
    """No heading is needed, and no bound set where none is said."""
    assert book("1. [ ] Do it").steps == (Step(number=1, title="Do it", line=1),)
    assert book("1. [ ] Do it").budget == ErrorBudget()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it has no step"),
        ("# Title\nWords.\n", "it has no step"),
        ("2. [ ] b", "line 1: step 2 stands where step 1 is due"),
        ("1. [ ] a\n3. [ ] c", "line 2: step 3 stands where step 2 is due"),
        ("1. [ ] a\n2. b", "line 2: a numbered line without a box"),
        ("1. [ ] a\n2) [ ] b", "line 2: a numbered line without a box"),
        ("1. [ ] a\n2.[ ] b", None),
        ("1. [y] a", "line 1: a numbered line without a box"),
        ("1. [ ] ", "line 1: a numbered line without a box"),
        ("- [ ] a", "line 1: a box that is no step's"),
        ("1. [ ] a\n   - [ ] b", "line 2: a box that is no step's"),
        ("1. [ ] a\n   2. [x] b", "line 2: a box that is no step's"),
        ("1. [ ] a\n\n2. [ ] a", "line 3: word for word the step of line 1"),
        ("1. [ ] a\u202eb", "line 1: it has hidden or control characters"),
        ("1. [ ] a\x07", "line 1: it has hidden or control characters"),
        (f"1. [ ] {'a' * 201}", "line 1: longer than 200 characters"),
        ("\n".join(f"{n}. [ ] step {n}" for n in range(1, 202)), "it has 201 steps"),
        ("a" * (MOST_TEXT + 1), "longer than 128 KiB"),
        ("1. [ ] a\n```\ncode", "the code block that begins with ``` has no end"),
        ("## Error budget\n- per step: many\n## S\n1. [ ] a", "line 2: an error budget says"),
        ("## Error budget\n- per hour: 2\n## S\n1. [ ] a", "line 2: an error budget says"),
        ("## Error budget\n- overall: 2\n- overall: 3\n## S\n1. [ ] a", "line 3: an error budget says"),
        ("## Error budget\ntwo\n## S\n1. [ ] a", "line 2: an error budget says"),
        ("## Error budget\n1. [ ] a", "line 2: a step below “error budget”"),
        ("## Autonomy zones\n- free: src\n## S\n1. [ ] a", "line 2: zones say"),
        ("## Autonomy zones\n- free: `src`, tests\n## S\n1. [ ] a", "line 2: zones say"),
        ("## Autonomy zones\n- red: `src`\n## S\n1. [ ] a", "line 2: zones say"),
        ("## Autonomy zones\n- ask: `/etc`\n## S\n1. [ ] a", "line 2: '/etc' is no glob"),
        ("## Autonomy zones\n- ask: `a/../b`\n## S\n1. [ ] a", "line 2: 'a/../b' is no glob"),
        ("## Autonomy zones\n- ask: `a`\n## Autonomy zones\n- ask: `b`\n## S\n1. [ ] a", "line 3: there are two"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, told: str | None) -> None:
    """And with the name of the file; what is no list in Markdown is prose."""
    if told is None:
        assert len(book(text).steps) == 1
        return
    with pytest.raises(RunbookInvalid) as raised:
        book(text)
    assert told in str(raised.value)
    assert str(raised.value).startswith("run.md is no runbook")


def test_every_problem_is_told_within_bounds() -> None:
    """Eight of them, and how many more there are."""
    with pytest.raises(RunbookInvalid, match="and 13 more"):
        book("- [ ] a\n" * 20)


# -- versions -----------------------------------------------------------------------------------------------


def test_ticking_is_all_that_is_allowed() -> None:
    """A further tick is no deviation, whichever way it is written and whatever the line ends are."""
    for ticked in (GOOD.replace("2. [ ]", "2. [x]"), GOOD.replace("2. [ ]", "2. [X]").replace("\n", "\r\n")):
        seen = compare(book(), ticked, ids(1))
        assert (seen.ticked, seen.deviations) == (ids(1, 2), ())


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("1. [x]", "1. [ ]", Kind.UNTICKED),
        ("Add the table", "Add half a table", Kind.EDITED),
        ("- `make test` passes", "- `true` passes", Kind.EDITED),
        ("3. [ ] Switch the cart over\n", "", Kind.REMOVED),
        ("3. [ ] Switch the cart over\n", "3. [ ] Switch the cart over\n4. [x] Rest\n", Kind.ADDED),
        ("3. [ ] Switch the cart over\n", "3. [ ] Switch the cart over\n1. [x] Read the rates\n", Kind.ADDED),
        ("3. [ ] Switch", "4. [ ] Switch", Kind.EDITED),
        ("- overall: 5", "- overall: 50", Kind.REWRITTEN),
        ("- forbidden: `infra/**`\n", "", Kind.REWRITTEN),
        ("Rates come from", "Rates come no more from", Kind.REWRITTEN),
    ],
)
def test_whatever_else_was_done_has_a_name(old: str, new: str, kind: Kind) -> None:
    """One change, one name."""
    assert old in GOOD
    assert kinds(GOOD.replace(old, new), ids(1)) == [kind]


def test_other_orders_and_files_that_are_gone_have_names() -> None:
    """Also one that was made of many megabytes."""
    swapped = GOOD.replace("1. [x] Read the rates\n", "").replace("3. [ ]", "3. [x] Read the rates\n4. [ ]")
    assert kinds(swapped, ids(1)) == [Kind.REORDERED]
    assert kinds(None) == kinds("x" * (3 * MOST_TEXT)) == [Kind.MISSING]
    assert set(kinds("")) == {Kind.REMOVED, Kind.REWRITTEN}


def test_an_edited_step_can_not_be_ticked() -> None:
    """A tick counts for the words that the author wrote only, and a step that is there twice needs both."""
    seen = compare(book(), GOOD.replace("2. [ ] Add the table", "2. [x] Add no table"), ids(1))
    assert seen.ticked == ids(1)
    twice = GOOD + "4. [x] Switch the cart over\n"
    assert compare(book(), twice, ids(1)).ticked == ids(1)


def test_how_it_was_ticked_is_named() -> None:
    """Several in one go, and one before its turn."""
    fresh, found = pace(book(), ids(1), ids(1, 2, 3))
    assert ([step.number for step in fresh], found) == ([2, 3], (Deviation(Kind.SEVERAL, "steps 2, 3"),))
    fresh, found = pace(book(), ids(1), ids(1, 3))
    assert found == (Deviation(Kind.OUT_OF_ORDER, "3. Switch the cart over"),)
    assert pace(book(), ids(1), ids(1, 2))[1] == pace(book(), ids(1), ids(1))[1] == ()


def test_a_standing_says_what_is_open() -> None:
    """Ticked from before, ticked now, and in words what is left."""
    now = standing(book(), GOOD.replace("2. [ ]", "2. [x]"), ids(1))
    assert (now.total, len(now.ticked), now.open, now.deviations) == (3, 2, ("3. Switch the cart over",), ())
    assert now.progressed
    assert not standing(book(), GOOD, ids(1)).progressed
    assert standing(book(), None, ids(1)).open == tuple(step.words for step in book().steps)


def test_the_protocol_names_the_next_step_the_budget_and_the_zones() -> None:
    """What an agent needs to know, whatever is done already."""
    told = protocol("docs/run.md", book(), ids(1))
    for words in ("`docs/run.md`", "3 numbered steps, 1 of them done", "the first open one, then: 2. Add the table"):
        assert words in told
    for words in ("2 at one step, 5 altogether", "`migrations/**`", "Change nothing in `infra/**`"):
        assert words in told
    assert "finish what else is missing" in protocol("r", book(), ids(1, 2, 3))


LIGHT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# -- properties ---------------------------------------------------------------------------------------------

_words = st.text(st.characters(categories=["L", "N"], include_characters=" `*_[]()"), min_size=1, max_size=20).filter(
    lambda text: text.strip() == text and bool(text)
)


@st.composite
def books(draw: st.DrawFn) -> str:
    """Sound runbooks."""
    lines = ["# T", ""]
    for number in range(1, draw(st.integers(1, 8)) + 1):
        lines.append(f"{number}. [{draw(st.sampled_from(' xX'))}] {number} {draw(_words)}")
        lines += [f"   - {each}" for each in draw(st.lists(_words.filter(lambda t: t[0] != "["), max_size=2))]
    return "\n".join(lines)


@LIGHT
@given(books(), st.data())
def test_any_ticks_are_seen_as_what_they_are(text: str, data: st.DataObject) -> None:
    """Whatever boxes are ticked or emptied, exactly these are seen, and nothing else is named."""
    given_ = parse(text, "b")
    now = {step.id: data.draw(st.booleans()) for step in given_.steps}
    lines = text.split("\n")
    for step in given_.steps:
        lines[step.line - 1] = f"{step.number}. [{'x' if now[step.id] else ' '}] {step.title}"
    seen = compare(given_, "\n".join(lines), given_.ticked)
    assert seen.ticked == frozenset(each for each, ticked in now.items() if ticked)
    emptied = [step.words for step in given_.steps if step.ticked and not now[step.id]]
    assert seen.deviations == tuple(Deviation(Kind.UNTICKED, words) for words in emptied)


@LIGHT
@given(books(), st.data())
def test_no_other_change_goes_unnamed(text: str, data: st.DataObject) -> None:
    """A line that is changed, added or removed is named, wherever it stands, unless it was empty."""
    given_ = parse(text, "b")
    lines = text.split("\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["change", "remove", "add"]))
    if how == "change":
        lines[at] += "z"
    elif how == "remove":
        if not lines.pop(at):
            return
    else:
        lines.insert(at, "Another line.")
    assert any(each.of_text for each in compare(given_, "\n".join(lines), ()).deviations)


@LIGHT
@given(st.text(max_size=200) | books(), st.text(max_size=200))
def test_whatever_is_in_the_file_is_judged(text: str, version: str) -> None:
    """Any text is a runbook or a named error, and any version of a runbook is compared."""
    try:
        given_ = parse(text, "b")
    except RunbookInvalid:
        return
    assert compare(given_, version, given_.ticked).ticked <= {step.id for step in given_.steps}
    assert compare(given_, text, given_.ticked).deviations == ()


# -- the page -----------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text()


def test_the_example_of_the_page_is_a_runbook() -> None:
    """As it stands there."""
    found = book(PAGE.partition("```markdown\n")[2].partition("```")[0])
    assert [step.title for step in found.steps][1] == "Have the cart use it"
    assert found.steps[0].commands == ("make test",)
    assert (found.budget, found.zones.ask) == (ErrorBudget(per_step=2, overall=5), ("migrations/**",))


def test_the_page_names_every_deviation() -> None:
    """In the order of the code."""
    assert re.findall(r"(?m)^\| `([a-z-]+)` \|", PAGE) == [kind.value for kind in Kind]
