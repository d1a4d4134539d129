"""What every forge promises to flows."""

from __future__ import annotations

import pytest
from forge_worlds import ForgeWorld, looked, opened, pushed, run
from msgspec.structs import replace

from overnight.missions.hold import Held
from overnight.ports import CiState, ForgeRefused, Merged, PullRequest, Pushed


def test_a_commit_is_pushed_to_the_task_s_branch(world: ForgeWorld) -> None:
    """The branch of the forge is named for the task and holds the commit."""
    commit = world.commit("one")
    assert run(world.forge().push(world.task, world.ground, commit)) == Pushed(branch="overnight/t1", commit=commit)
    assert world.branch() == commit


def test_pushed_again_it_is_the_same(world: ForgeWorld) -> None:
    """A push that is asked for again finds what it did."""
    first = pushed(world)
    assert run(world.forge().push(world.task, world.ground, first.commit)) == first


def test_another_attempt_takes_the_branch_of_the_one_before(world: ForgeWorld) -> None:
    """A branch that is where Overnight left it is moved, even to a commit that does not descend from it."""
    pushed(world)
    second = pushed(world, "two").commit
    assert world.branch() == second


def test_a_branch_that_somebody_moved_is_left_alone(world: ForgeWorld) -> None:
    """Work of others on the branch is never overwritten."""
    pushed(world)
    theirs = world.branch_moves()
    refused = run(world.forge().push(world.task, world.ground, world.commit("two")))
    assert isinstance(refused, ForgeRefused)
    assert (refused.reason, world.branch()) == ("moved", theirs)


def test_a_branch_that_somebody_deleted_is_made_again(world: ForgeWorld) -> None:
    """A missing branch is written."""
    pushed(world)
    world.branch_goes()
    second = pushed(world, "two").commit
    assert world.branch() == second


def test_what_else_is_on_the_target_here_does_not_travel(world: ForgeWorld) -> None:
    """A task that is based on what the forge lacks is not pushed, and that can be asked before it has done anything."""
    assert run(world.forge().based(world.task, world.ground)) is None
    commit = world.commit("one")
    world.ahead()
    for refused in (
        run(world.forge().based(world.task, world.ground)),
        run(world.forge().push(world.task, world.ground, commit)),
    ):
        assert isinstance(refused, ForgeRefused)
        assert refused.reason == "ahead"
        assert "here has what" in refused.why
    assert world.branch() is None


def test_a_pull_request_is_opened_as_a_draft(world: ForgeWorld) -> None:
    """It shows head, base, the base's tip and that it is open, current and no more than a draft."""
    found = opened(world)
    assert (found.head, found.base, found.base_commit) == (world.branch(), "main", world.tip())
    assert (found.draft, found.state, found.current, found.merged) == (True, "open", True, "")
    assert looked(world, found.number) == found


def test_a_pull_request_is_opened_once(world: ForgeWorld) -> None:
    """Asked again, with other words or after another push, it is the one that is there."""
    first = opened(world)
    assert opened(world, "two").number == first.number
    assert world.pulls() == 1


def test_a_closed_pull_request_is_found_and_not_opened_anew(world: ForgeWorld) -> None:
    """A person's no is not answered with another pull request."""
    first = opened(world)
    world.closes(first.number)
    again = opened(world, "two")
    assert (again.number, again.state, world.pulls()) == (first.number, "closed", 1)


def test_a_pull_request_of_a_branch_that_is_not_there_is_refused(world: ForgeWorld) -> None:
    """What was pushed and deleted can't be opened."""
    there = pushed(world)
    world.branch_goes()
    refused = run(world.forge().open(world.task, world.ground, there, "Add", "done"))
    assert isinstance(refused, ForgeRefused)
    assert refused.reason == "gone"


def test_a_pull_request_that_is_not_there_is_none(world: ForgeWorld) -> None:
    """Looking for what the forge does not have says so, and writing to it does nothing."""
    assert run(world.forge().look(world.task, 99)) is None
    run(world.forge().describe(world.task, 99, "Add", "done"))
    assert run(world.forge().ready(world.task, 99)) is None
    refused = run(world.forge().merge(world.task, 99, "0" * 40))
    assert isinstance(refused, ForgeRefused)
    assert refused.reason == "gone"


def test_a_target_that_moved_makes_it_stale_and_a_new_push_mends_that(world: ForgeWorld) -> None:
    """`current` is about the target's tip of now, whatever was true when it was opened."""
    first = opened(world)
    tip = world.target_moves()
    stale = looked(world, first.number)
    assert (stale.current, stale.base_commit) == (False, tip)
    pushed(world, "two")
    assert looked(world, first.number).current


def test_the_target_s_tip_is_told(world: ForgeWorld) -> None:
    """What the next merge is made on comes from the forge."""
    assert run(world.forge().target(world.task, world.ground)) == world.tip()
    tip = world.target_moves()
    assert run(world.forge().target(world.task, world.ground)) == tip


def test_a_target_that_the_forge_does_not_have_holds(world: ForgeWorld) -> None:
    """A missing target waits for a person."""
    elsewhere = replace(world.ground, policy=replace(world.ground.policy, target="gone"))
    with pytest.raises(Held) as held:
        run(world.forge().target(world.task, elsewhere))
    assert held.value.hold.reason == "repo-unavailable"


def test_a_commit_on_which_nothing_reported_is_not_green(world: ForgeWorld) -> None:
    """Silence is no proof."""
    found = run(world.forge().ci(world.task, pushed(world).commit))
    assert (found.state, found.checks) == (CiState.NONE, ())


@pytest.mark.parametrize(
    ("states", "together"),
    [
        (("green",), "green"),
        (("green", "pending"), "pending"),
        (("green", "pending", "red"), "red"),
        (("none",), "none"),
        (("none", "green"), "green"),
    ],
)
def test_ci_is_green_only_when_all_is(world: ForgeWorld, states: tuple[str, ...], together: str) -> None:
    """One red check makes a commit red, one that still runs pending; a skipped one proves nothing."""
    commit = pushed(world).commit
    for i, state in enumerate(states):
        world.reports(commit, CiState(state), f"ci {i}")
    found = run(world.forge().ci(world.task, commit))
    assert found.state == together
    assert sorted((check.name, check.state) for check in found.checks) == [
        (f"ci {i}", state) for i, state in enumerate(states)
    ]


def test_ci_is_of_exactly_one_commit(world: ForgeWorld) -> None:
    """What passed on one commit says nothing of the next."""
    world.reports(pushed(world).commit, CiState.GREEN)
    assert run(world.forge().ci(world.task, pushed(world, "two").commit)).state is CiState.NONE


def test_a_required_check_that_is_silent_is_pending(world: ForgeWorld) -> None:
    """Green needs every check that the target's protection asks for."""
    world.requires("deploy preview")
    commit = pushed(world).commit
    world.reports(commit, CiState.GREEN)
    assert run(world.forge().ci(world.task, commit)).state is CiState.PENDING
    world.reports(commit, CiState.GREEN, "deploy preview")
    assert run(world.forge().ci(world.task, commit)).state is CiState.GREEN


def test_comments_come_with_whom_to_trust(world: ForgeWorld) -> None:
    """Words, authors, places, and whether the author may write to the repository; oldest first."""
    number = opened(world).number
    world.says(number, "Looks odd.")
    world.says(number, "Do as I say.", trusted=False)
    world.says(number, "Why this?", path="a.txt", line=1)
    found = run(world.forge().comments(world.task, number))
    assert [(c.author, c.trusted, c.body, c.path, c.line, c.blocks) for c in found] == [
        ("pat", True, "Looks odd.", "", None, False),
        ("stranger", False, "Do as I say.", "", None, False),
        ("pat", True, "Why this?", "a.txt", 1, False),
    ]
    assert len({c.id for c in found}) == 3


def test_a_review_blocks_until_its_author_approves(world: ForgeWorld) -> None:
    """Of one person's reviews the last decides; another person's approval does not lift it."""
    number = opened(world).number
    world.reviews(number, "Not so.", blocks=True)
    world.reviews(number, "Fine by me.", blocks=False, author="kim")
    assert [c.body for c in run(world.forge().comments(world.task, number)) if c.blocks] == ["Not so."]
    world.reviews(number, "Better.", blocks=False)
    assert not [c for c in run(world.forge().comments(world.task, number)) if c.blocks]


def test_a_draft_is_not_merged(world: ForgeWorld) -> None:
    """It is taken out of draft first, which may be asked for twice."""
    found = opened(world)
    refused = run(world.forge().merge(world.task, found.number, found.head))
    assert isinstance(refused, ForgeRefused)
    assert refused.reason == "draft"
    for _ in range(2):
        assert run(world.forge().ready(world.task, found.number)) is None
        assert not looked(world, found.number).draft


def test_issues_with_a_label_come_with_whom_to_trust(world: ForgeWorld) -> None:
    """Only issues that have the label, oldest first, each with whether its author may write to the repository."""
    opened(world)
    first, _, third = (
        world.asks("Mend it", "overnight"),
        world.asks("Other"),
        world.asks("Now", "overnight", trusted=False),
    )
    found = run(world.forge().issues(world.task.repo, "overnight"))
    assert [(i.number, i.title, i.author, i.trusted, i.body) for i in found] == [
        (first, "Mend it", "pat", True, "?"),
        (third, "Now", "stranger", False, "?"),
    ]


def test_something_is_said_once(world: ForgeWorld) -> None:
    """A comment is written once for each key, however often it is asked for; other keys are other comments."""
    number = world.asks("Mend it", "overnight")
    for key in ("taken", "taken", "done", "taken"):
        run(world.forge().tell(world.task.repo, number, key, f"It is {key}."))
    assert world.told(number) == ["It is taken.", "It is done."]


def _ready(world: ForgeWorld) -> PullRequest:
    found = opened(world)
    assert run(world.forge().ready(world.task, found.number)) is None
    return found


def test_a_merge_happens_once(world: ForgeWorld) -> None:
    """The target holds the change; asked again, it is the same merge."""
    found = _ready(world)
    merged = run(world.forge().merge(world.task, found.number, found.head))
    assert isinstance(merged, Merged)
    assert world.tip() == merged.commit
    assert run(world.forge().merge(world.task, found.number, found.head)) == merged
    assert world.tip() == merged.commit
    after = looked(world, found.number)
    assert (after.state, after.merged) == ("merged", merged.commit)


def test_a_merge_by_hand_is_a_merge(world: ForgeWorld) -> None:
    """What a person merged meanwhile is found, not tried again."""
    found = opened(world)
    theirs = world.merged_by_hand(found.number)
    assert run(world.forge().merge(world.task, found.number, found.head)) == Merged(commit=theirs)


def test_only_the_named_head_is_merged(world: ForgeWorld) -> None:
    """A head that moved after it was proved is not merged."""
    found = _ready(world)
    theirs = world.branch_moves()
    refused = run(world.forge().merge(world.task, found.number, found.head))
    assert isinstance(refused, ForgeRefused)
    assert refused.reason == "moved"
    assert (looked(world, found.number).state, looked(world, found.number).head) == ("open", theirs)


def test_a_closed_pull_request_is_not_merged(world: ForgeWorld) -> None:
    """A person's no holds."""
    found = _ready(world)
    world.closes(found.number)
    refused = run(world.forge().merge(world.task, found.number, found.head))
    assert isinstance(refused, ForgeRefused)
    assert refused.reason == "closed"


def test_a_protected_target_is_not_merged_into(world: ForgeWorld) -> None:
    """The forge's own rules win."""
    found = _ready(world)
    world.refuses_merges()
    refused = run(world.forge().merge(world.task, found.number, found.head))
    assert isinstance(refused, ForgeRefused)
    assert refused.reason == "protected"


def test_a_conflict_is_seen_and_not_merged(world: ForgeWorld) -> None:
    """Both changed the same place: the forge can't merge it, and says so before anybody tries."""
    clashing = world.clashing()
    there = run(world.forge().push(world.task, world.ground, clashing))
    assert isinstance(there, Pushed)
    found = run(world.forge().open(world.task, world.ground, there, "Add", "done"))
    assert isinstance(found, PullRequest)
    assert run(world.forge().ready(world.task, found.number)) is None
    assert looked(world, found.number).mergeable is False
    refused = run(world.forge().merge(world.task, found.number, found.head))
    assert isinstance(refused, ForgeRefused)
    assert refused.reason == "not-mergeable"


def test_another_base_shows(world: ForgeWorld) -> None:
    """Somebody who has it merged elsewhere is noticed."""
    found = opened(world)
    world.changes_base(found.number)
    assert looked(world, found.number).base == "other"


def _merged(world: ForgeWorld) -> Merged:
    found = _ready(world)
    merged = run(world.forge().merge(world.task, found.number, found.head))
    assert isinstance(merged, Merged)
    return merged


def test_a_merge_is_taken_back_by_one_pull_request(world: ForgeWorld) -> None:
    """The revert is a pull request of its own, ready to merge, found again however often it is asked for."""
    merged = _merged(world)
    world.target_moves()
    first = run(world.forge().revert(world.task, world.ground, merged.commit, "It broke the build."))
    assert isinstance(first, PullRequest)
    assert (first.draft, first.state, first.base, first.current) == (False, "open", "main", True)
    again = run(world.forge().revert(world.task, world.ground, merged.commit, "It still does."))
    assert isinstance(again, PullRequest)
    assert (again.number, world.pulls()) == (first.number, 2)
    taken = run(world.forge().merge(world.task, first.number, first.head))
    assert isinstance(taken, Merged)


def test_a_merge_that_others_built_upon_is_not_taken_back(world: ForgeWorld) -> None:
    """Where a revert would conflict a person must look; nothing is pushed or opened."""
    merged = _merged(world)
    world.undone_elsewhere()
    refused = run(world.forge().revert(world.task, world.ground, merged.commit, "It broke the build."))
    assert isinstance(refused, ForgeRefused)
    assert (refused.reason, world.pulls()) == ("not-mergeable", 1)


@pytest.mark.parametrize("reason", ["limit-reached", "vendor-outage", "network-lost", "auth-expired"])
def test_what_can_t_be_done_now_waits(world: ForgeWorld, reason: str) -> None:
    """Limits, outages and expired tokens hold the task; what comes back in time comes back by itself."""
    found = opened(world)
    world.holds(reason)
    with pytest.raises(Held) as held:
        run(world.forge().look(world.task, found.number))
    assert held.value.hold.reason == reason
    assert reason == "auth-expired" or held.value.hold.until is not None
    with pytest.raises(Held):
        run(world.forge().push(world.task, world.ground, found.head))
