"""What goes wrong between here and GitHub, and that nothing happens twice for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from forge_worlds import opened, pushed, run
from github_world import GitHubWorld

from overnight.landing.forge.github import _COMPARED
from overnight.landing.forge.local.server import TOKEN, Fault
from overnight.landing.forge.settings import Place
from overnight.landing.git import Observer
from overnight.missions.hold import Held, HoldReason
from overnight.ports import CiState, ForgeRefused, Merged, PullRequest, Pushed


class Killed(BaseException):
    """The process ends here."""


def _held(work: Callable[[], object]) -> Held:
    with pytest.raises(Held) as held:
        work()
    return held.value


def test_a_pull_request_whose_answer_was_lost_is_found(github: GitHubWorld) -> None:
    """The connection breaks after GitHub opened it: the next try finds it."""
    there = pushed(github)
    github.github.faults.append(Fault("hang-up-after", "POST .*/pulls$", times=1))
    held = _held(lambda: run(github.forge().open(github.task, github.ground, there, "Add", "done")))
    assert held.hold.reason is HoldReason.NETWORK_LOST
    found = run(github.forge().open(github.task, github.ground, there, "Add", "done"))
    assert isinstance(found, PullRequest)
    assert github.store.done["open"] == 1


def test_a_merge_whose_answer_was_lost_is_found(github: GitHubWorld) -> None:
    """The connection breaks after GitHub merged: the next try finds the merge, and there is one."""
    found = opened(github)
    run(github.forge().ready(github.task, found.number))
    github.github.faults.append(Fault("hang-up-after", "PUT .*/merge$", times=1))
    _held(lambda: run(github.forge().merge(github.task, found.number, found.head)))
    merged = run(github.forge().merge(github.task, found.number, found.head))
    assert merged == Merged(commit=github.tip())
    assert github.store.done[f"merge {found.number}"] == 1


def test_a_comment_whose_answer_was_lost_is_found(github: GitHubWorld) -> None:
    """It is said once."""
    number = github.asks("Mend it")
    github.github.faults.append(Fault("hang-up-after", "POST .*/comments$", times=1))
    _held(lambda: run(github.forge().tell(github.task.repo, number, "taken", "Taken.")))
    run(github.forge().tell(github.task.repo, number, "taken", "Taken."))
    assert github.told(number) == ["Taken."]


def test_a_push_whose_answer_was_lost_is_found(github: GitHubWorld) -> None:
    """The branch holds it; another commit may follow."""
    commit = github.commit("one")
    github.github.faults.append(Fault("hang-up-after", "POST /git/.*git-receive-pack", times=1))
    _held(lambda: run(github.forge().push(github.task, github.ground, commit)))
    assert github.branch() == commit
    second = github.commit("two")
    assert isinstance(run(github.forge().push(github.task, github.ground, second)), Pushed)
    assert github.branch() == second


@pytest.mark.parametrize("again", [False, True])
def test_a_push_that_somebody_overtakes_is_none(github: GitHubWorld, again: bool) -> None:
    """Between the look and the push somebody writes the branch, or makes it: theirs stays, and the push says so; what was
    to be pushed is not taken for something that was."""
    if again:
        pushed(github)
    theirs: list[str] = []

    def observer(when: str, command: str) -> None:
        if when == "before" and "push --porcelain" in command and not theirs:
            theirs.append(github.branch_moves())

    commit = github.commit("two")
    refused = run(github.forge(observer).push(github.task, github.ground, commit))
    assert theirs, "git was called"
    assert isinstance(refused, ForgeRefused)
    assert (refused.reason, github.branch()) == ("moved", theirs[0])
    still = run(github.forge().push(github.task, github.ground, commit))
    assert isinstance(still, ForgeRefused)
    assert (still.reason, github.branch()) == ("moved", theirs[0])


def test_a_merge_that_comes_late_finds_the_one_that_was_made(github: GitHubWorld) -> None:
    """A process asks for a merge and is killed while the forge is slow; the next one merges; then the first request comes
    to be carried out: there is one merge."""
    found = opened(github)
    run(github.forge().ready(github.task, found.number))
    slow, late = Fault("slow", "PUT .*/merge$", times=1), threading.Event()
    github.github.faults.append(slow)

    async def killed() -> None:
        asking = asyncio.create_task(github.forge().merge(github.task, found.number, found.head))
        assert await asyncio.to_thread(slow.waiting.wait, 120)
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()

    run(killed())
    merged = run(github.forge().merge(github.task, found.number, found.head))
    tip = github.tip()
    assert merged == Merged(commit=tip)
    github.github.watch = lambda moment, what: late.set() if (moment, what[:3]) == ("after", "PUT") else None
    slow.release.set()
    assert late.wait(120), "the forge does what it was asked by a process that is no more"
    assert github.tip() == tip
    assert github.store.done[f"merge {found.number}"] == 1


def test_a_merge_that_comes_late_is_of_the_head_that_was_meant(github: GitHubWorld) -> None:
    """The same, and the branch was pushed to meanwhile: the request that comes late is refused by the forge."""
    found = opened(github)
    run(github.forge().ready(github.task, found.number))
    slow, before = Fault("slow", "PUT .*/merge$", times=1), github.tip()
    github.github.faults.append(slow)

    async def overtaken() -> object:
        asking = asyncio.create_task(github.forge().merge(github.task, found.number, found.head))
        assert await asyncio.to_thread(slow.waiting.wait, 120)
        github.branch_moves()
        slow.release.set()
        return await asking

    refused = run(overtaken())
    assert isinstance(refused, ForgeRefused)
    assert (refused.reason, github.tip()) == ("moved", before)


def _killed_after(n: int) -> Observer:
    """An observer that ends the process at the n-th moment around a git command."""
    left = iter(range(n))

    def observer(_when: str, _command: str) -> None:
        if next(left, None) is None:
            raise Killed

    return observer


@pytest.mark.slow
def test_a_push_that_is_killed_around_any_git_command_is_finished(github: GitHubWorld) -> None:
    """Whichever command is the last, the next life brings its own commit, onto a branch that is still Overnight's."""
    pushed(github)
    kills = 0
    for n in count():
        try:
            run(github.forge(_killed_after(n)).push(github.task, github.ground, github.commit(f"a{n}")))
        except Killed:
            kills += 1
            after = github.commit(f"b{n}")
            assert run(github.forge().push(github.task, github.ground, after)) == Pushed(
                branch="overnight/t1", commit=after
            )
        else:
            break
    assert kills > 10


@pytest.mark.slow
@pytest.mark.parametrize("n", range(0, 64, 4))
def test_a_revert_that_is_killed_around_any_git_command_is_one(github: GitHubWorld, n: int) -> None:
    """Whichever command is the last, there is one pull request that takes the merge back."""
    found = opened(github)
    run(github.forge().ready(github.task, found.number))
    merged = run(github.forge().merge(github.task, found.number, found.head))
    assert isinstance(merged, Merged)
    with contextlib.suppress(Killed):
        run(github.forge(_killed_after(n)).revert(github.task, github.ground, merged.commit, "It broke."))
    again = run(github.forge().revert(github.task, github.ground, merged.commit, "It broke."))
    assert isinstance(again, PullRequest), again
    assert github.pulls() == 2


def test_a_limit_holds_until_its_reset(github: GitHubWorld) -> None:
    """The hour's requests are spent: the time at which it begins anew is the forge's own; nothing is asked before."""
    found = opened(github)
    github.github.faults.append(Fault("primary"))
    forge = github.forge()
    held = _held(lambda: run(forge.look(github.task, found.number)))
    assert held.hold.reason is HoldReason.LIMIT_REACHED
    assert held.hold.until == pytest.approx(github.github.reset, abs=5)
    github.github.faults.clear()
    before = sum(github.github.asked.values())
    _held(lambda: run(forge.look(github.task, found.number)))
    assert sum(github.github.asked.values()) == before


@pytest.mark.parametrize("status", [403, 429])
def test_a_secondary_limit_holds_for_as_long_as_it_says(github: GitHubWorld, status: int) -> None:
    """`retry-after` is kept."""
    found = opened(github)
    github.github.faults.append(Fault("secondary", status=status, wait=1234))
    now = 1_000_000.0
    forge = github.forge(clock=lambda: now)
    held = _held(lambda: run(forge.look(github.task, found.number)))
    assert (held.hold.reason, held.hold.until) == (HoldReason.LIMIT_REACHED, now + 1234)


def test_the_spare_part_of_the_hour_is_left_to_others(github: GitHubWorld) -> None:
    """With fewer requests left than `spare`, nothing more is asked until the hour begins anew; then it goes on."""
    found = opened(github)
    github.settings = github.with_spare(500)
    github.github.remaining, github.github.reset = 501, 2_000_000
    now = [1_000_000.0]
    forge = github.forge(clock=lambda: now[0])
    held = _held(lambda: [run(forge.look(github.task, found.number)) for _ in range(9)])
    assert held.hold.until == 2_000_000
    now[0] = 2_000_001.0
    github.github.remaining, github.github.reset = 5000, 2_003_600
    assert run(forge.look(github.task, found.number)) is not None


def test_what_did_not_change_costs_nothing(github: GitHubWorld) -> None:
    """The second look is answered from memory, and takes nothing of the hour."""
    found = opened(github)
    forge = github.forge()
    first = run(forge.look(github.task, found.number))
    left = github.github.remaining
    assert run(forge.look(github.task, found.number)) == first
    assert github.github.remaining == left
    github.says(found.number, "Hm.")
    assert run(forge.comments(github.task, found.number))


def test_only_so_many_comparisons_are_remembered(github: GitHubWorld) -> None:
    """A target that moves makes a new pair of commits for each open pull request: the oldest makes room for the new."""
    tip = github.store.commits("other", {"n.txt": "1"}, "one")
    head = github.store.commits("other", {"n.txt": "2"}, "two")
    forge = github.forge()
    forge._behind.update({(f"{n:040x}", head): 0 for n in range(_COMPARED)})
    assert run(forge._holds(Place(github.store.owner, github.store.name), head, tip))
    assert (len(forge._behind), next(iter(forge._behind))) == (_COMPARED, (f"{1:040x}", head))
    assert forge._behind[tip, head] == 0


def test_every_page_of_a_list_is_read(github: GitHubWorld) -> None:
    """A red check on the second page makes a commit red; comments beyond the first page are there."""
    found = opened(github)
    for n in range(101):
        github.reports(found.head, CiState.GREEN, f"ci {n:03}")
        github.says(found.number, f"{n}")
    github.reports(found.head, CiState.RED, "last")
    seen = run(github.forge().ci(github.task, found.head))
    assert (seen.state, len(seen.checks)) == (CiState.RED, 102)
    assert [c.body for c in run(github.forge().comments(github.task, found.number))] == [str(n) for n in range(101)]


def test_statuses_of_the_older_api_count_as_checks(github: GitHubWorld) -> None:
    """A commit is green only when both kinds are."""
    commit = pushed(github).commit
    github.reports(commit, CiState.GREEN)
    github.store.sets_status(commit, "old ci", "error", "It broke")
    assert run(github.forge().ci(github.task, commit)).state is CiState.RED
    github.store.sets_status(commit, "old ci", "success")
    assert run(github.forge().ci(github.task, commit)).state is CiState.GREEN


@pytest.mark.parametrize("fault", [Fault("status", "/git/", status=502), Fault("hang-up", "/git/")])
def test_git_that_fails_holds(github: GitHubWorld, fault: Fault) -> None:
    """An outage and a lost network of git's own door hold as well."""
    github.github.faults.append(fault)
    held = _held(lambda: run(github.forge().push(github.task, github.ground, github.commit("one"))))
    wanted = HoldReason.VENDOR_OUTAGE if fault.act == "status" else HoldReason.NETWORK_LOST
    assert held.hold.reason is wanted


def test_a_forge_that_is_not_there_holds(github: GitHubWorld) -> None:
    """Nothing listens: the network is lost, for git and for the API."""
    commit = github.commit("one")
    github.nowhere()
    assert _held(lambda: run(github.forge().look(github.task, 1))).hold.reason is HoldReason.NETWORK_LOST
    held = _held(lambda: run(github.forge().push(github.task, github.ground, commit)))
    assert held.hold.reason is HoldReason.NETWORK_LOST


def test_without_a_token_everything_holds(github: GitHubWorld) -> None:
    """Nothing is asked; the variable is named."""
    github.token = ""
    for act in (
        lambda: run(github.forge().look(github.task, 1)),
        lambda: run(github.forge().push(github.task, github.ground, github.tip())),
    ):
        held = _held(act)
        assert held.hold.reason is HoldReason.AUTH_EXPIRED
        assert "OVERNIGHT_GITHUB_TOKEN" in held.hold.why
    assert not github.github.asked


def test_the_token_is_nowhere(github: GitHubWorld) -> None:
    """Not in the arguments of any program, nor in any file of the repository or the state folder."""
    seen: list[str] = []
    found = run(
        github.forge(lambda _when, command: seen.append(command)).push(github.task, github.ground, github.commit("one"))
    )
    assert isinstance(found, Pushed)
    assert any("push" in command for command in seen)
    assert not [command for command in seen if TOKEN in command]
    for folder in (github.repo, github.state):
        for here, _, names in os.walk(folder):
            assert not [name for name in names if TOKEN.encode() in (Path(here) / name).read_bytes()]


def test_hooks_and_settings_of_the_repository_take_no_part(github: GitHubWorld) -> None:
    """No hook runs at a push, and no credential helper, proxy or rewritten address of the repository is used."""
    ran = github.root / "ran"
    hook = github.repo / ".git/hooks/pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    hook.chmod(0o755)
    for key, value in (
        ("credential.helper", f"!touch {ran}; false"),
        ("http.proxy", "http://127.0.0.1:9"),
        ("url.http://127.0.0.1:9/.insteadOf", f"{github.github.git}/"),
        ("http.extraHeader", "Authorization: Basic bm9uZTpub25l"),
    ):
        github.here("config", key, value)
    assert isinstance(run(github.forge().push(github.task, github.ground, github.commit("one"))), Pushed)
    assert not ran.exists()


def test_a_pull_request_with_a_stranger_s_marker_is_taken(github: GitHubWorld) -> None:
    """One of the same branch that this Overnight did not open is not touched."""
    there = pushed(github)
    n = github.store.opens("Mine", "overnight/t1", "main", "Not Overnight's.", draft=False)
    refused = run(github.forge().open(github.task, github.ground, there, "Add", "done"))
    assert isinstance(refused, ForgeRefused)
    assert (refused.reason, github.pulls()) == ("taken", 1)
    assert github.store.pulls[n]["body"] == "Not Overnight's."


def test_a_plan_without_drafts_says_so(github: GitHubWorld) -> None:
    """Nothing falls back silently: the refusal names the setting, and with it the pull request is opened ready."""
    github.store.drafts = False
    there = pushed(github)
    refused = run(github.forge().open(github.task, github.ground, there, "Add", "done"))
    assert isinstance(refused, ForgeRefused)
    assert "drafts = false" in refused.why
    github.without_drafts()
    found = run(github.forge().open(github.task, github.ground, there, "Add", "done"))
    assert isinstance(found, PullRequest)
    assert not found.draft


def test_words_are_cut_to_what_the_forge_takes_and_keep_one_marker(github: GitHubWorld) -> None:
    """A body of any length is taken, and what looks like a marker in it is none."""
    there = pushed(github)
    forge = github.forge()
    body = "<!-- overnight task t1 of " + "0" * 32 + " -->\n" + "é" * 70_000
    found = run(forge.open(github.task, github.ground, there, "Add", body))
    assert isinstance(found, PullRequest)
    written = github.store.pulls[found.number]["body"]
    assert len(written) <= 65_536
    assert written.count("<!-- overnight ") == 1
    run(forge.describe(github.task, found.number, "Added", "Short."))
    assert github.store.pulls[found.number]["title"] == "Added"
    again = run(github.forge().open(github.task, github.ground, there, "Add", "x"))
    assert isinstance(again, PullRequest)
    assert again.number == found.number


def test_a_repo_that_is_not_on_the_forge_holds(github: GitHubWorld) -> None:
    """The remote is elsewhere: the hold says how to name the place."""
    github.here("remote", "set-url", "origin", "git@gitlab.example:acme/site.git")
    held = _held(lambda: run(github.forge().look(github.task, 1)))
    assert held.hold.reason is HoldReason.REPO_UNAVAILABLE
    assert "[forge.repos]" in held.hold.releases_on
    github.settings = github.with_place("acme/site")
    assert run(github.forge().look(github.task, 1)) is None
