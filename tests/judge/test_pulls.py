"""What happens next with a pull request: each row of the table, and what may never happen whatever a forge shows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from overnight.judge.pulls import (
    Ask,
    Course,
    Done,
    Fine,
    Known,
    Merge,
    Over,
    Ready,
    Repair,
    Revert,
    Settle,
    Settled,
    Update,
    View,
    Wait,
    aftermath,
    decide,
)
from overnight.missions.forge import Ci, CiCheck, CiState, Comment, PullRequest, Pulls
from overnight.missions.hold import HoldReason
from overnight.missions.policy import LandingMode

POLICY = Pulls()
NOW = 1_000_000.0
PULL = PullRequest(
    number=1, url="https://forge.example/1", head="h", base="main", base_commit="b", draft=False, current=True, state="open", mergeable=True
)  # fmt: skip
KNOWN = Known(
    task="a", number=1, url="https://forge.example/1", head="h", covered=("h",), base="main", mode=LandingMode.PR,
    since=NOW - 600, green=Settled(checks=("ci",), since=NOW - 100),
)  # fmt: skip


def ci(state: CiState = CiState.GREEN, commit: str = "h", *names: str) -> Ci:
    """One check, or several, of one state."""
    return Ci(commit=commit, state=state, checks=tuple(CiCheck(name=name, state=state) for name in names or ("ci",)))


def view(pull: PullRequest | None = PULL, on: Ci | None = None, **more: object) -> View:
    """One look now."""
    return View(at=NOW, pull=pull, ci=on or ci(), **more)  # type: ignore[arg-type]


def comment(**more: object) -> Comment:
    """A review that asks for changes, by somebody who may."""
    given = {"id": "review:1", "author": "pat", "trusted": True, "body": "rename it", "blocks": True, **more}
    return Comment(**given)  # type: ignore[arg-type]


def reason(course: Course) -> HoldReason:
    """Why it waits."""
    assert isinstance(course, Wait)
    return course.hold.reason


def test_all_green_is_merged() -> None:
    """Exactly the head that was judged, onto exactly the commit that is in it."""
    assert decide(KNOWN, view(), POLICY) == Merge(head="h", base="b")


@pytest.mark.parametrize(
    ("known", "seen", "policy", "kind"),
    [
        (KNOWN, view(None), POLICY, Over),
        (KNOWN, view(replace(PULL, state="closed")), POLICY, Over),
        (KNOWN, view(replace(PULL, state="merged", merged="m")), POLICY, Done),
        (KNOWN, view(on=ci(CiState.RED)), POLICY, Repair),
        (KNOWN, view(comments=(comment(),)), POLICY, Repair),
        (replace(KNOWN, green=None), view(), POLICY, Settle),
        (KNOWN, view(on=ci(CiState.GREEN, "h", "ci", "more")), POLICY, Settle),
        (KNOWN, view(replace(PULL, draft=True)), POLICY, Ready),
        (replace(KNOWN, asks="risk 40"), view(), POLICY, Ask),
        (replace(KNOWN, asks="risk 40", approved=True), view(), POLICY, Merge),
        (KNOWN, view(replace(PULL, current=False)), POLICY, Update),
        (replace(KNOWN, asks="risk 40"), view(replace(PULL, current=False)), POLICY, Ask),
        (KNOWN, view(replace(PULL, mergeable=None)), POLICY, Wait),
        (replace(KNOWN, green=Settled(checks=(), since=NOW - 90)), view(on=Ci(commit="h", state=CiState.NONE)), Pulls(ci=False), Merge),
    ],
)  # fmt: skip
def test_the_table(known: Known, seen: View, policy: Pulls, kind: type) -> None:
    """One row for each thing that a forge may show."""
    assert isinstance(decide(known, seen, policy), kind)


@pytest.mark.parametrize(
    ("known", "seen", "policy", "why"),
    [
        (KNOWN, view(on=ci(CiState.NONE)), POLICY, HoldReason.AWAITS_CI),
        (KNOWN, view(on=Ci(commit="h", state=CiState.NONE)), POLICY, HoldReason.AWAITS_CI),
        (KNOWN, view(on=ci(CiState.PENDING)), POLICY, HoldReason.AWAITS_CI),
        (KNOWN, view(on=ci(CiState.GREEN, "another")), POLICY, HoldReason.AWAITS_CI),
        (KNOWN, view(), Pulls(checks=("build",)), HoldReason.AWAITS_CI),
        (replace(KNOWN, green=Settled(checks=("ci",), since=NOW - 5)), view(), POLICY, HoldReason.AWAITS_CI),
        (replace(KNOWN, since=NOW - 8000), view(on=ci(CiState.PENDING)), POLICY, HoldReason.FORGE_REFUSED),
        (KNOWN, view(replace(PULL, head="theirs")), POLICY, HoldReason.FORGE_REFUSED),
        (replace(KNOWN, earlier=("old",)), view(replace(PULL, head="old")), POLICY, HoldReason.AWAITS_CI),
        (KNOWN, view(replace(PULL, base="next")), POLICY, HoldReason.FORGE_REFUSED),
        (replace(KNOWN, repairs=3), view(on=ci(CiState.RED)), POLICY, HoldReason.FORGE_REFUSED),
        (replace(KNOWN, repairs=3), view(comments=(comment(),)), POLICY, HoldReason.FORGE_REFUSED),
        (KNOWN, view(on=ci(CiState.RED), target=ci(CiState.RED, "b")), POLICY, HoldReason.FORGE_REFUSED),
        (KNOWN, view(replace(PULL, mergeable=False)), POLICY, HoldReason.FORGE_REFUSED),
        (replace(KNOWN, covered=()), view(), POLICY, HoldReason.FORGE_REFUSED),
        (replace(KNOWN, mode=LandingMode.DRAFT_PR), view(replace(PULL, draft=True)), POLICY, HoldReason.AWAITS_MERGE),
        (replace(KNOWN, readied=True), view(replace(PULL, draft=True)), POLICY, HoldReason.AWAITS_CI),
    ],
)  # fmt: skip
def test_what_is_waited_for(known: Known, seen: View, policy: Pulls, why: HoldReason) -> None:
    """Each wait has its reason, and a time at which it is looked at again."""
    course = decide(known, seen, policy)
    assert reason(course) is why
    assert isinstance(course, Wait)
    assert course.hold.until is not None
    assert NOW < course.hold.until <= NOW + 1000
    assert course.hold.looks


def test_a_named_reviewer_is_heard_and_others_are_not() -> None:
    """A list of reviewers goes before the forge's own word, either way."""
    named = Pulls(reviewers=("Ann",))
    assert isinstance(decide(KNOWN, view(comments=(comment(),)), named), Merge)
    found = decide(KNOWN, view(comments=(comment(author="ann", trusted=False),)), named)
    assert isinstance(found, Repair)
    assert found.heard == ("review:1",)


CHECKS = st.lists(st.builds(CiCheck, name=st.sampled_from(["ci", "build", "lint"]), state=st.sampled_from(CiState)), max_size=3)  # fmt: skip


def ci_of(checks: list[CiCheck], state: CiState, commit: str) -> Ci:
    """What ran, as a forge lists it."""
    return Ci(commit=commit, state=state, checks=tuple(checks))


def settled(names: set[str], age: float) -> Settled:
    """Green for so many seconds."""
    return Settled(checks=tuple(sorted(names)), since=NOW - age)


def view_of(pull: PullRequest | None, on: Ci, comments: list[Comment], target: Ci | None) -> View:
    """What a look sees."""
    return View(at=NOW, pull=pull, ci=on, comments=tuple(comments), target=target)


CIS = st.builds(
    ci_of,
    CHECKS, st.sampled_from(CiState), st.sampled_from(["h", "old", "b"]),
)  # fmt: skip
PULLS = st.none() | st.builds(
    PullRequest, number=st.just(1), url=st.just("u"), head=st.sampled_from(["h", "old", "theirs"]),
    base=st.sampled_from(["main", "next"]), base_commit=st.sampled_from(["b", "b2"]), draft=st.booleans(),
    current=st.booleans(), state=st.sampled_from(["open", "closed", "merged"]),
    mergeable=st.sampled_from([True, False, None]), merged=st.sampled_from(["", "m"]),
)  # fmt: skip
COMMENTS = st.lists(
    st.builds(
        Comment, id=st.sampled_from(["review:1", "line:2", "comment:3"]), author=st.sampled_from(["pat", "eve"]),
        trusted=st.booleans(), body=st.text(max_size=20), blocks=st.booleans(),
    ), max_size=3,
)  # fmt: skip
KNOWNS = st.builds(
    Known, task=st.just("a"), number=st.just(1), url=st.just("u"), head=st.just("h"),
    earlier=st.sampled_from([(), ("old",)]), covered=st.sampled_from([(), ("h",), ("old",), ("old", "h")]),
    base=st.just("main"), mode=st.sampled_from([LandingMode.PR, LandingMode.DRAFT_PR]),
    since=st.floats(NOW - 10_000, NOW), heard=st.sampled_from([(), ("review:1",)]), repairs=st.integers(0, 4),
    asks=st.sampled_from(["", "risk 40"]), approved=st.booleans(), readied=st.booleans(),
    green=st.none() | st.builds(
        settled,
        st.sets(st.sampled_from(["ci", "build", "lint"])), st.floats(0, 500),
    ),
)  # fmt: skip
VIEWS = st.builds(
    view_of,
    PULLS, CIS, COMMENTS, st.none() | CIS,
)  # fmt: skip
POLICIES = st.builds(
    Pulls, ci=st.booleans(), checks=st.sampled_from([(), ("ci",), ("build",)]),
    reviewers=st.sampled_from([(), ("pat",)]), repairs=st.integers(0, 3),
)  # fmt: skip


@settings(max_examples=1500)
@given(known=KNOWNS, seen=VIEWS, policy=POLICIES)
def test_what_is_merged_is_green_judged_current_and_ours(known: Known, seen: View, policy: Pulls) -> None:
    """Whatever the forge shows: no merge without green on exactly the judged head, the target in it, and every consent."""
    found = decide(known, seen, policy)
    if not isinstance(found, Merge):
        return
    pull = seen.pull
    assert pull is not None
    assert (pull.state, pull.base, pull.draft, pull.current, pull.mergeable) == ("open", known.base, False, True, True)
    assert found.head == pull.head == known.head == seen.ci.commit
    assert known.head in known.covered
    assert found.base == pull.base_commit
    assert known.mode is LandingMode.PR
    assert not known.asks or known.approved
    assert seen.ci.state is CiState.GREEN or (seen.ci.state is CiState.NONE and not policy.ci)
    assert not any(check.state is CiState.RED for check in seen.ci.checks)
    assert not any(c.blocks and c.trusted and not policy.reviewers and c.id not in known.heard for c in seen.comments)


@settings(max_examples=1000)
@given(known=KNOWNS, seen=VIEWS, policy=POLICIES)
def test_strangers_change_nothing(known: Known, seen: View, policy: Pulls) -> None:
    """Words of those who may not ask for changes change no decision, and are told to no run."""
    named = policy.reviewers
    may = [c for c in seen.comments if (c.author in named if named else c.trusted)]
    found = decide(known, seen, policy)
    assert found == decide(known, replace(seen, comments=tuple(may)), policy)
    if isinstance(found, Repair):
        assert known.repairs < policy.repairs
        assert set(found.heard) <= {c.id for c in may}


@given(known=KNOWNS, seen=VIEWS, policy=POLICIES)
def test_a_wait_ends(known: Known, seen: View, policy: Pulls) -> None:
    """Whatever is waited for, there is a next look, in time, and not at once."""
    found = decide(known, seen, policy)
    if isinstance(found, Wait):
        assert found.hold.until is not None
        assert NOW < found.hold.until <= NOW + 1000


# -- afterwards ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "age", "kind"),
    [
        (ci(commit="b"), ci(CiState.RED, "m"), 100, Revert),
        (ci(commit="b"), ci(CiState.GREEN, "m"), 100, Fine),
        (ci(commit="b"), ci(CiState.GREEN, "m"), 10, Wait),
        (ci(CiState.RED, "b"), ci(CiState.RED, "m"), 100, Fine),
        (ci(CiState.PENDING, "b"), ci(CiState.RED, "m"), 100, Fine),
        (ci(CiState.GREEN, "b", "other"), ci(CiState.RED, "m"), 100, Wait),
        (ci(CiState.GREEN, "b", "other"), ci(CiState.RED, "m"), 5000, Fine),
        (ci(commit="b"), ci(CiState.PENDING, "m"), 100, Wait),
        (ci(commit="b"), Ci(commit="m", state=CiState.NONE), 5000, Fine),
        (ci(commit="b"), ci(CiState.RED, "another"), 100, Wait),
    ],
)
def test_what_a_merge_did_to_the_target(before: Ci, after: Ci, age: float, kind: type) -> None:
    """Taken back only where a check was green on the commit before, and is red on exactly the merge."""
    assert isinstance(aftermath(before, after, "m", NOW - age, NOW, POLICY), kind)


@given(before=CIS, after=CIS, age=st.floats(0, 10_000))
def test_nothing_is_taken_back_that_was_not_broken_by_it(before: Ci, after: Ci, age: float) -> None:
    """A revert names a check that was green before and is red on the merge itself; and no report is never called green."""
    found = aftermath(before, after, "h", NOW - age, NOW, POLICY)
    if isinstance(found, Revert):
        assert (before.state, after.commit) == (CiState.GREEN, "h")
        green = {c.name for c in before.checks if c.state is CiState.GREEN}
        assert green & {c.name for c in after.checks if c.state is CiState.RED}
    if isinstance(found, Fine) and "green" in found.why:
        assert (after.commit, after.state) == ("h", CiState.GREEN)
