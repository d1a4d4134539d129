"""A run that gets nowhere is told so, then ended; one that works is left alone."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from overnight.judge.stall import (
    Called,
    Condition,
    ErrorClass,
    Failed,
    Finding,
    Looked,
    Observation,
    Passed,
    Progress,
    Said,
    Scope,
    Ticked,
    Turned,
    alike,
    begin,
    classify,
    look,
    tokens,
)
from overnight.judge.stall.look import MOST_CALLS, MOST_KINDS, State
from overnight.missions.stall import StallLimits
from overnight.missions.units import Duration

NO_MODULE = classify("ModuleNotFoundError: No module named 'flask'", "a", "Bash")
#: Conditions that may end a run without having been told of.
HARD = {Condition.STEPS, Condition.TURNS, Condition.TOKENS}


def watch(seen: Iterable[Observation], scope: Scope | None = None) -> list[Finding]:
    """Everything that is found, in order."""
    return watched(seen, scope)[1]


def watched(seen: Iterable[Observation], scope: Scope | None = None) -> tuple[State, list[Finding]]:
    state, found = begin(scope or Scope()), list[Finding]()
    for each in seen:
        state, more = look(state, each)
        found += more
    return state, found


def kinds(found: Iterable[Finding]) -> list[tuple[Condition, bool]]:
    return [(each.condition, each.stop) for each in found]


def limited(**limits: object) -> Scope:
    return Scope(limits=replace(StallLimits(), **limits))


# -- each condition -----------------------------------------------------------------------------------------

WARN_AND_STOP: list[tuple[str, Scope, list[Observation], Condition, int, int]] = [
    ("steps", limited(steps=10), [Called(at=n * 60, fingerprint=str(n)) for n in range(12)], Condition.STEPS, 7, 10),
    ("turns", Scope(turns=10), [Turned(at=n) for n in range(12)], Condition.TURNS, 7, 10),
    ("tokens", limited(tokens=1000), [Turned(at=n, tokens=100) for n in range(12)], Condition.TOKENS, 7, 10),
    ("errors", Scope(), [Failed(at=n, fingerprint=str(n), error=NO_MODULE) for n in range(7)], Condition.ERRORS, 2, 5),
    ("repeats", Scope(), [Called(at=n, fingerprint="a") for n in range(12)], Condition.REPEATS, 5, 10),
    ("messages", Scope(), [Said(at=n, text="Let me try again.") for n in range(9)], Condition.MESSAGES, 3, 7),
    ("pace", Scope(), [Called(at=n / 9, fingerprint=str(n)) for n in range(130)], Condition.PACE, 60, 120),
    (
        "no progress",
        Scope(),
        [Looked(at=n, progress=Progress(size=9, files=1), counts=True) for n in range(14)],
        Condition.PROGRESS,
        6,
        12,
    ),
    ("files", Scope(), [Looked(at=n, progress=Progress(), changed=101) for n in range(3)], Condition.FILES, 0, 1),
    (
        "scope",
        Scope(),
        [Looked(at=n, progress=Progress(outside=tuple("abcde"[: n + 1])), changed=1) for n in range(3)],
        Condition.SCOPE,
        0,
        1,
    ),
    (
        "estimate",
        Scope(estimate=100),
        [Ticked(at=n) for n in range(0, 150, 10)],
        Condition.ESTIMATE,
        11,
        13,
    ),
]


@pytest.mark.parametrize(
    ("scope", "seen", "condition", "told_at", "stopped_at"), [case[1:] for case in WARN_AND_STOP], ids=[c[0] for c in WARN_AND_STOP]
)  # fmt: skip
def test_each_condition_is_told_first_and_ends_the_run_if_it_goes_on(
    scope: Scope, seen: list[Observation], condition: Condition, told_at: int, stopped_at: int
) -> None:
    """The agent is told at exactly this fact, the run is ended at exactly that one, and nothing else is found."""
    state, told, stopped = begin(scope), list[int](), list[int]()
    for n, each in enumerate(seen):
        state, found = look(state, each)
        assert {finding.condition for finding in found} <= {condition}
        told += [n for finding in found if not finding.stop]
        stopped += [n for finding in found if finding.stop]
    assert (told, stopped[0]) == ([told_at], stopped_at)


def test_the_wall_clock_is_told_of_in_time() -> None:
    """At four fifths, once; its end is the keeper's."""
    found = watch([Ticked(at=n) for n in range(0, 300, 10)], Scope(wall=100))
    assert kinds(found) == [(Condition.WALL, False)]


def test_the_words_name_what_was_seen_and_what_to_do() -> None:
    """The agent reads the count, the call, advice and consequence."""
    found = watch(Called(at=n, fingerprint="a", what="make test") for n in range(6))
    words = found[0].words
    assert "6 times within 10m00s" in words
    assert "(make test)" in words
    assert "your session is ended" in words


# -- what is no stall ---------------------------------------------------------------------------------------


def test_repeats_with_edits_between_are_work() -> None:
    """`pytest` after every edit, fifty times: nothing is found."""
    seen: list[Observation] = []
    for n in range(50):
        at = n * 10.0
        seen += [
            Called(at=at, fingerprint=f"edit {n}"),
            Passed(at=at, fingerprint=f"edit {n}", edited=True),
            Called(at=at + 1, fingerprint="pytest"),
            Passed(at=at + 2, fingerprint="pytest"),
            Said(at=at + 3, text="Let me run the tests again."),
        ]
    assert watch(seen) == []


def test_a_changed_work_tree_counts_as_an_edit() -> None:
    """However it was changed: what a shell command did is seen by looking."""
    seen: list[Observation] = []
    for n in range(30):
        seen += [
            Called(at=n * 10, fingerprint="make"),
            Looked(at=n * 10 + 1, progress=Progress(size=n + 1, files=1), changed=1, counts=True),
        ]
    assert watch(seen) == []


def test_a_slow_poll_is_no_repetition() -> None:
    """Five within ten minutes, all night long."""
    polls = [Called(at=n * 121, fingerprint="git status") for n in range(200)]
    assert watch(polls, Scope(wall=86400)) == []


def test_an_error_that_changes_with_the_edits_is_work() -> None:
    """The same kind each time, another text after each edit; one that stays the same all the same counts on."""

    def tries(texts: list[str]) -> list[Observation]:
        seen: list[Observation] = []
        for n, text in enumerate(texts):
            seen.append(Failed(at=n * 9, fingerprint="pytest", error=classify(text, "pytest")))
            seen.append(Passed(at=n * 9 + 1, fingerprint=f"edit {n}", edited=True))
        return seen

    assert watch(tries([f"AssertionError: {n} tests fail" for n in range(20, 0, -1)])) == []
    same = watch(tries(["AssertionError: 3 tests fail in 0.4s"] * 6))
    assert kinds(same) == [(Condition.ERRORS, False), (Condition.ERRORS, True)]
    assert watch(tries(["Exit code 1"] * 20)) == []  # it may fail for another reason now


def test_a_call_that_works_now_clears_its_error() -> None:
    """Two failures, a success, two failures: never three in one piece."""
    seen: list[Observation] = []
    for n in range(0, 40, 4):
        seen += [
            Failed(at=n, fingerprint="make", error=NO_MODULE),
            Failed(at=n + 1, fingerprint="make", error=NO_MODULE),
        ]
        seen.append(Passed(at=n + 2, fingerprint="make"))
    assert watch(seen) == []


def test_what_is_not_known_is_not_held_against_a_run() -> None:
    """Looks that could not find out are no looks without progress."""
    assert watch(Looked(at=n, progress=Progress(passing=0), counts=True) for n in range(100)) == []


@pytest.mark.parametrize("figure", ["size", "files", "ticks", "passing"])
def test_any_figure_that_gets_better_is_progress(figure: str) -> None:
    """A larger change, a ticked box or a passing check: each starts the count anew. One that comes and goes does not."""
    grows = [Looked(at=n, progress=replace(Progress(size=1), **{figure: n + 1}), counts=True) for n in range(50)]
    assert watch(grows) == []
    toggles = [Looked(at=n, progress=replace(Progress(size=1), **{figure: 1 + n % 2}), counts=True) for n in range(50)]
    assert kinds(watch(toggles))[:2] == [(Condition.PROGRESS, False), (Condition.PROGRESS, True)]


def test_many_files_over_many_steps_are_no_flood() -> None:
    """A look that comes late speaks of all steps since the one before."""
    assert watch([Looked(at=1, progress=Progress(), changed=140, steps=5)]) == []
    assert len(watch([Looked(at=1, progress=Progress(), changed=141, steps=5)])) == 1


def test_facts_that_come_late_are_of_their_own_time() -> None:
    """A look sees edits whose calls are still in line: what was called and said before them is no repetition."""
    seen: list[Observation] = [Looked(at=100, progress=Progress(size=9), changed=1)]
    for n in range(50):
        seen += [Called(at=n, fingerprint="make"), Said(at=n, text="Again.")]
    assert watch(seen) == []


def test_what_lies_outside_and_does_not_grow_is_told_once() -> None:
    """An agent that needs the file after all goes on; landing is where it is judged."""
    found = watch(Looked(at=n, progress=Progress(outside=("setup.py",)), changed=1) for n in range(30))
    assert kinds(found) == [(Condition.SCOPE, False)]


# -- messages -----------------------------------------------------------------------------------------------

LONG = "I will now run the whole test suite again to see whether the last change has fixed the failing login test."
ALIKE = [
    ("Let me try again.", "let me   try again"),
    (LONG, LONG.upper()),
    (LONG, LONG.replace("I will now", "Now I will")),
    (LONG, LONG.replace("whether", "if")),
    ("**Done.**", "Done!"),
    (f"{LONG} {LONG}", f"{LONG} {LONG} Indeed."),
]
DIFFERENT = [
    ("Let me try again.", "Let me try something else."),
    ("Step 3 of 10 is done.", "Step 4 of 10 is done."),
    (LONG.replace("login", "3rd"), LONG.replace("login", "4th")),
    (f"{LONG} src/a.py is next.", f"{LONG} src/b.py is next."),
    (LONG, "The login test fails because the session cookie is never set when the user agent is empty."),
    ("The tests pass.", "The tests fail."),
    (LONG, "I will now run the linter."),
    ("Now fixing user_model", "Now fixing user_view"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_messages_that_say_the_same(one: str, other: str) -> None:
    """Case, punctuation and a word more or less make no difference."""
    assert alike(tokens(one), tokens(other))
    assert alike(tokens(other), tokens(one))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_messages_that_say_something_else(one: str, other: str) -> None:
    """Another number, path or name is another thing; so are short messages with one word of difference."""
    assert not alike(tokens(one), tokens(other))
    assert not alike(tokens(other), tokens(one))


def test_messages_that_take_turns_are_found() -> None:
    """A, B, A, B is no more than A, A."""
    texts = ["Let me look at the log.", "Let me run it again."]
    found = watch(Said(at=n, text=texts[n % 2]) for n in range(12))
    assert kinds(found)[:2] == [(Condition.MESSAGES, False), (Condition.MESSAGES, True)]


@given(st.text(), st.text())
def test_likeness_is_symmetric(one: str, other: str) -> None:
    """And everything is like itself."""
    left, right = tokens(one), tokens(other)
    assert alike(left, right) == alike(right, left)
    assert alike(left, left)


# -- errors -------------------------------------------------------------------------------------------------

SAME_KIND = [
    ("ModuleNotFoundError: No module named 'flask'", "ModuleNotFoundError: No module named 'numpy'"),
    ("Exit code 1\n/tmp/a8/x.py:3: SyntaxError: invalid syntax", "Exit code 1\n/tmp/b9/y.py:77: SyntaxError: invalid syntax"),
    ("cat: a.txt: No such file or directory", "cat: src/b.txt: No such file or directory"),
    ("\x1b[31merror\x1b[0m: linking failed after 3.2s", "error: linking failed after 11.9s"),
    ("E   AssertionError: 3 != 4\n1 failed in 0.2s", "E   AssertionError: 5 != 9\n3 failed in 0.4s"),
    ("fatal: bad object 0x12ab", "fatal: bad object 0x99ff"),
]  # fmt: skip
OTHER_KIND = [
    ("ModuleNotFoundError: No module named 'flask'", "ImportError: cannot import name 'x'"),
    ("SyntaxError: invalid syntax", "IndentationError: unexpected indent"),
    ("bash: foo: command not found", "bash: foo: Permission denied"),
]


@pytest.mark.parametrize(("one", "other"), SAME_KIND)
def test_errors_of_one_kind(one: str, other: str) -> None:
    """Names, paths, numbers, times and colours make no difference."""
    assert classify(one, "a").kind == classify(other, "b").kind


@pytest.mark.parametrize(("one", "other"), OTHER_KIND)
def test_errors_of_another_kind(one: str, other: str) -> None:
    """What went wrong does."""
    assert classify(one, "a").kind != classify(other, "a").kind


@pytest.mark.parametrize(
    "text", ["", "Exit code 1", "Error: Exit code 1", "command failed with exit status 3", "exited with code 2."]
)
def test_a_mere_exit_code_says_nothing(text: str) -> None:
    """Searches that find nothing fail without a word: each call is a kind of its own."""
    assert classify(text, "grep a").kind != classify(text, "grep b").kind
    assert classify(text, "grep a") == classify(text, "grep a")


@given(st.text())
def test_any_text_has_a_class(text: str) -> None:
    """Of bounded length, and always the same one."""
    error = classify(text, "f", "Bash")
    assert len(error.kind) <= 200
    assert error == classify(text, "f", "Bash")


# -- properties ---------------------------------------------------------------------------------------------

FINGERPRINTS = st.sampled_from(["a", "b", "c"])
PROGRESS = st.builds(
    Progress,
    size=st.none() | st.integers(0, 3),
    files=st.none() | st.integers(0, 300),
    outside=st.sampled_from([(), ("x",), ("x", "y")]),
)


def facts(at: float) -> st.SearchStrategy[Observation]:
    """One fact at a time."""
    now = st.just(at)
    errors = st.builds(ErrorClass, st.sampled_from(["k", "l"]), st.sampled_from(["1", "2"]))
    return st.one_of(
        st.builds(Called, at=now, fingerprint=FINGERPRINTS),
        st.builds(Failed, at=now, fingerprint=FINGERPRINTS, error=errors),
        st.builds(Passed, at=now, fingerprint=FINGERPRINTS, edited=st.booleans()),
        st.builds(Said, at=now, text=st.sampled_from(["Again.", "Once more."])),
        st.builds(Turned, at=now, tokens=st.integers(0, 10)),
        st.builds(
            Looked, at=now, progress=PROGRESS, changed=st.integers(0, 6), steps=st.integers(0, 3), counts=st.booleans()
        ),
        st.builds(Ticked, at=now),
    )


@st.composite
def runs(draw: st.DrawFn) -> list[Observation]:
    """Facts in the order of their times. Times are whole, so that shifting them is exact."""
    gaps = draw(st.lists(st.integers(0, 90), max_size=30))
    at, seen = 0.0, list[Observation]()
    for gap in gaps:
        at += gap
        seen.append(draw(facts(at)))
    return seen


TIGHT = StallLimits(
    steps=12, tokens=60, errors=2, repeats=2, window=Duration(300), messages=2, looks=2, pace=3, files=2
)  # fmt: skip
SCOPES = st.builds(Scope, limits=st.just(TIGHT), turns=st.just(9), estimate=st.none() | st.just(900.0))


@given(runs(), SCOPES)
def test_a_warning_precedes_every_stop(seen: list[Observation], scope: Scope) -> None:
    """Except for limits that were passed in one leap."""
    state, told = begin(scope), set[Condition]()
    for each in seen:
        state, found = look(state, each)
        assert {finding.condition for finding in found if finding.stop} <= told | HARD
        told |= {finding.condition for finding in found if not finding.stop}


@given(runs(), SCOPES, st.integers(1, 40))
def test_more_of_the_same_never_unfinds(seen: list[Observation], scope: Scope, times: int) -> None:
    """A run that was to be ended for its last fact is to be ended for it when that comes again at once."""
    state, stopped = begin(scope), set[Condition]()
    for each in seen:
        state, found = look(state, each)
        stopped = {finding.condition for finding in found if finding.stop}
    lasting = stopped - {Condition.SCOPE}  # that one is about more than before
    for _ in range(times if seen else 0):
        state, found = look(state, seen[-1])
        now = {finding.condition for finding in found if finding.stop}
        assert lasting <= now
        lasting = now - {Condition.SCOPE}


@given(runs(), st.integers(1, 10**6))
def test_time_is_only_what_the_facts_say(seen: list[Observation], shift: int) -> None:
    """The same run at another time of day is found the same; and judging it twice makes no difference."""
    scope = Scope(limits=TIGHT, turns=9, wall=float("inf"))
    found = watch(seen, scope)
    assert found == watch(seen, scope)
    assert found == watch([replace(each, at=each.at + shift) for each in seen], scope)


@given(st.lists(FINGERPRINTS, max_size=80))
def test_edits_reset_repeats_and_messages(prints: list[str]) -> None:
    """With an edit after every call there are no repeats, whatever the calls are."""
    seen: list[Observation] = []
    for n, fingerprint in enumerate(prints):
        seen += [Called(at=n * 30, fingerprint=fingerprint), Said(at=n * 30, text="Again.")]
        seen.append(Passed(at=n * 30, fingerprint="edit", edited=True))
    assert watch(seen) == []


def test_what_is_remembered_is_bounded() -> None:
    """An agent that never repeats itself costs no more memory after a long night than after an hour."""
    scope = limited(steps=10**6, pace=10**5)
    seen: list[Observation] = []
    for n in range(MOST_CALLS + 500):
        seen.append(Called(at=n / 100, fingerprint=str(n)))
        if n % 20 == 0:
            seen.append(Failed(at=n / 100, fingerprint=str(n), error=ErrorClass(str(n), str(n))))
    state, found = watched(seen, scope)
    assert found == []
    assert len(state.calls) <= MOST_CALLS + 1
    assert len(state.errors) <= MOST_KINDS
