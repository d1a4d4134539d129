"""What a forge reports by webhook: whether it is the forge's, and what it is about. Pure.

A webhook only says where to look sooner: what is true is asked of the API.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec
from msgspec import Struct

from overnight.landing.forge.settings import Place, named

_BRANCH = "refs/heads/"
_WRITTEN = frozenset(("created", "edited"))
_PULLS = frozenset(
    ("opened", "closed", "reopened", "edited", "synchronize", "ready_for_review", "converted_to_draft")
)  # fmt: skip


class Labelled(Struct, frozen=True, kw_only=True, tag="labelled"):
    """An issue got a label."""

    place: Place
    number: int
    label: str


class CiDone(Struct, frozen=True, kw_only=True, tag="ci-done"):
    """A check, or all of one app's, came to an end on a commit."""

    place: Place
    commit: str


class PullChanged(Struct, frozen=True, kw_only=True, tag="pull-changed"):
    """Something happened to a pull request: its state, its head, a review, a comment."""

    place: Place
    number: int


class BranchMoved(Struct, frozen=True, kw_only=True, tag="branch-moved"):
    """Somebody pushed."""

    place: Place
    branch: str
    #: Empty when the branch was deleted.
    commit: str


Event = Labelled | CiDone | PullChanged | BranchMoved


class _Repository(Struct):
    full_name: str


class _Numbered(Struct):
    number: int
    pull_request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Label(Struct):
    name: str


class _Check(Struct):
    head_sha: str


class _Payload(Struct):
    repository: _Repository | None = None
    action: str = ""
    issue: _Numbered | None = None
    pull_request: _Numbered | None = None
    label: _Label | None = None
    check_run: _Check | None = None
    check_suite: _Check | None = None
    #: Of a status: its commit, and what it says.
    sha: str = ""
    state: str = ""
    ref: str = ""
    after: str = ""
    deleted: bool = False


def signed(secret: str, body: bytes, signature: str | None) -> bool:
    """Whether a body has the forge's signature (`X-Hub-Signature-256`). Without a secret nothing has."""
    if not secret or not signature or not signature.isascii():
        return False
    wanted = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, signature)


def event_of(kind: str, body: bytes) -> Event | None:
    """What a verified webhook is about; None when it is nothing that matters here, or can't be read.

    kind: `X-GitHub-Event`.
    """
    try:
        said = msgspec.json.decode(body, type=_Payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    place = named(said.repository.full_name) if said.repository else None
    return None if place is None else _meant(kind, said, place)


def _meant(kind: str, said: _Payload, place: Place) -> Event | None:
    match kind:
        case "issues" if said.action == "labeled" and said.issue and said.label:
            return Labelled(place=place, number=said.issue.number, label=said.label.name)
        case "check_run" | "check_suite" if said.action == "completed":
            check = said.check_run or said.check_suite
            return CiDone(place=place, commit=check.head_sha) if check else None
        case "status" if said.sha and said.state != "pending":
            return CiDone(place=place, commit=said.sha)
        case "pull_request" if said.action in _PULLS and said.pull_request:
            return PullChanged(place=place, number=said.pull_request.number)
        case "pull_request_review" if said.pull_request:
            return PullChanged(place=place, number=said.pull_request.number)
        case "issue_comment" if said.action in _WRITTEN and said.issue and said.issue.pull_request is not msgspec.UNSET:
            return PullChanged(place=place, number=said.issue.number)
        case "push" if said.ref.startswith(_BRANCH):
            return BranchMoved(
                place=place, branch=said.ref.removeprefix(_BRANCH), commit="" if said.deleted else said.after
            )
        case _:
            return None
