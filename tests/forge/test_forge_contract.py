"""The local GitHub is held to what GitHub publishes: these show that the measure measures."""

from __future__ import annotations

import pytest
from forge_worlds import run
from github_contract import problems
from github_world import GitHubWorld
from msgspec.structs import replace

from overnight.landing.forge.local.server import Exchange

_PULL = {"title": "Add", "head": "overnight/t1", "base": "main", "draft": True}
_GET = Exchange("GET", "/repos/acme/site/branches/main", {}, None, 404, {"message": "Branch not found"})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (replace(_GET, path="/repos/acme/site/twigs/main"), "no such operation"),
        (replace(_GET, query={"colour": "red"}), "no parameter `colour`"),
        (replace(_GET, status=418), "418 is not among"),
        (replace(_GET, status=200, answer={"name": "main"}), "'protected' is a required property"),
        (replace(_GET, answer={"message": 4}), "4 is not of type 'string'"),
        (
            Exchange("POST", "/repos/acme/site/pulls", {}, {**_PULL, "draft": "yes"}, 403, {"message": "no"}),
            "is not of type 'boolean'",
        ),
        (Exchange("POST", "/repos/acme/site/pulls", {}, {"title": "Add"}, 403, {}), "'head' is a required property"),
    ],
)
def test_what_github_does_not_publish_is_noticed(wrong: Exchange, why: str) -> None:
    """Unknown paths, parameters and statuses, and bodies of another form, are problems."""
    assert any(why in problem for problem in problems(wrong)), problems(wrong)


def test_what_github_publishes_is_none() -> None:
    """An exchange as it should be has no problem."""
    assert problems(_GET) == []
    assert problems(Exchange("POST", "/repos/acme/site/pulls", {}, _PULL, 403, {"message": "no"})) == []


def test_every_answer_of_the_adapter_is_checked(github: GitHubWorld) -> None:
    """The local server reports each exchange to whoever checks it."""
    seen: list[Exchange] = []
    github.github.observer = seen.append
    run(github.forge().ci(github.task, github.tip()))
    assert [exchange.path.rpartition("/")[2] for exchange in seen] == ["check-runs", "status", "main"]
