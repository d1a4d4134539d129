"""What a forge shows of pull requests and issues, as values, and what a repo asks of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from overnight.missions.units import Duration


class Merging(StrEnum):
    """Who says that a pull request is merged."""

    #: Judges, risk and level do, as for any other landing; a person where they can't tell.
    RULE = "rule"
    #: A person, each time.
    PERSON = "person"


class Pulls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a repo's pull requests are watched and merged, and which issues become tasks."""

    #: Nothing is merged before the forge's checks are green on exactly its head. `false`: the repo has none; what does
    #: report there must be green all the same.
    ci: bool = True
    #: Checks of the forge that must be among the green ones, by name: without them nothing is known of a check that has
    #: not begun yet.
    checks: tuple[str, ...] = ()
    #: Green counts once it was the same for so long, for more checks may be about to begin.
    settle: Duration = Duration(60)
    #: A person is asked when the forge's checks have not come to an end after this time.
    patience: Duration = Duration(7200)
    #: Accounts whose reviews may start another run; empty: those who may write to the repository, as the forge says.
    reviewers: tuple[str, ...] = ()
    #: Runs that red checks and reviews may start for one task; then a person is asked.
    repairs: Annotated[int, Meta(ge=0, le=20)] = 3
    #: Who says that a pull request is merged.
    merge: Merging = Merging.RULE
    #: The target's checks are watched for so long after a merge; `"0s"`: not at all.
    watch: Duration = Duration(3600)
    #: Issues with this label become tasks; none without one.
    label: str | None = None
    #: Accounts whose issues may become tasks; empty: those who may write to the repository, as the forge says.
    authors: tuple[str, ...] = ()


class PullRequest(Struct, frozen=True, kw_only=True, tag="pull-request"):
    """A pull request as the forge shows it now."""

    number: int
    #: For people.
    url: str
    #: The commit at its head.
    head: str
    #: The branch that it would be merged into, and the commit that is at its tip now.
    base: str
    base_commit: str
    draft: bool
    #: The head holds the base's tip: what was proved of the head is true of the merge.
    current: bool = False
    #: open, closed (without a merge) or merged.
    state: str
    #: Whether the forge can merge it without conflict; None while the forge does not know.
    mergeable: bool | None = None
    #: The commit that the merge made; empty before.
    merged: str = ""


class CiState(StrEnum):
    """What the forge's checks say of a commit, all together."""

    #: Nothing has reported yet. That is not green.
    NONE = "none"
    PENDING = "pending"
    GREEN = "green"
    RED = "red"


class CiCheck(Struct, frozen=True, kw_only=True):
    """One check of the forge on one commit."""

    name: str
    #: none, pending, green or red.
    state: CiState
    url: str = ""
    #: What it says of itself: untrusted, to be quoted and never followed.
    summary: str = ""


class Ci(Struct, frozen=True, kw_only=True):
    """Everything that ran on exactly one commit."""

    commit: str
    state: CiState
    checks: tuple[CiCheck, ...] = ()


class Comment(Struct, frozen=True, kw_only=True):
    """What somebody wrote on a pull request or in a review of it."""

    #: Stable over time; `review:1`, `comment:2`, `line:3`.
    id: str
    author: str
    #: The author may write to the repository, by the forge's own word.
    trusted: bool
    #: Untrusted words, whoever wrote them.
    body: str
    #: The place it is about; empty when it is about the whole.
    path: str = ""
    line: int | None = None
    #: A review that asks for changes.
    blocks: bool = False


class Quote(Struct, frozen=True, kw_only=True):
    """Untrusted words from outside, for a run's prompt: fenced there, as data."""

    #: Who says it, and about what.
    source: str
    text: str


class IssueRef(Struct, frozen=True, kw_only=True):
    """The issue that a task came from."""

    number: int
    url: str
    #: Its author may write to the repository, by the forge's own word; else only the policy names them.
    trusted: bool = True


class Issue(Struct, frozen=True, kw_only=True):
    """An open issue."""

    number: int
    #: For people.
    url: str
    author: str
    #: The author may write to the repository, by the forge's own word.
    trusted: bool
    #: Untrusted words, whoever wrote them.
    title: str
    body: str
