"""What GitHub's API answers, as far as this adapter reads it, and what that means in the port's words."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, Raw, Struct, UnsetType

from overnight.ports import CiCheck, CiState, Comment, Issue

#: An author whom GitHub calls so may be able to write; whether they can is asked.
INVITED = frozenset(("OWNER", "MEMBER", "COLLABORATOR"))
#: Permissions that let somebody write.
WRITERS = frozenset(("admin", "write", "maintain"))
#: Characters of a check's own words that are kept.
_SUMMARY = 4000

_CONCLUDED = {
    "success": CiState.GREEN, "neutral": CiState.NONE, "skipped": CiState.NONE,
    #: A person must let it start.
    "action_required": CiState.PENDING,
}  # fmt: skip
_STATUS = {"success": CiState.GREEN, "pending": CiState.PENDING}


class User(Struct):
    """An account."""

    login: str


class Ref(Struct):
    """One end of a pull request."""

    ref: str
    sha: str


class Pull(Struct):
    """A pull request, in a list."""

    number: int
    node_id: str
    html_url: str
    state: str
    head: Ref
    base: Ref
    title: str = ""
    body: str | None = None
    draft: bool = False
    merge_commit_sha: str | None = None
    #: When it was merged; None when it was not.
    merged_at: str | None = None
    #: None while GitHub does not know, and in lists.
    mergeable: bool | None = None


class Tip(Struct):
    """A commit, named."""

    sha: str


class RequiredChecks(Struct):
    """What must pass."""

    contexts: tuple[str, ...] = ()


class Protection(Struct):
    """What a branch is protected by, as anybody who may read sees it."""

    required_status_checks: RequiredChecks | None = None


class Branch(Struct):
    """A branch."""

    commit: Tip
    protected: bool = False
    protection: Protection | None = None


class Comparison(Struct):
    """How two commits stand to each other."""

    behind_by: int


class Output(Struct, frozen=True):
    """What a check run says."""

    title: str | None = None
    summary: str | None = None
    text: str | None = None


class CheckRun(Struct):
    """One check of one app on one commit."""

    name: str
    status: str
    conclusion: str | None = None
    html_url: str | None = None
    output: Output = Output()


class CheckRuns(Struct):
    """A page of them."""

    check_runs: tuple[CheckRun, ...]


class Status(Struct):
    """One status of a commit, of the older API."""

    context: str
    state: str
    description: str | None = None
    target_url: str | None = None


class CombinedStatus(Struct):
    """The last of each context."""

    statuses: tuple[Status, ...]


class IssueComment(Struct):
    """A comment on the whole."""

    id: int
    created_at: str
    user: User | None = None
    body: str | None = None
    author_association: str = "NONE"


class ReviewComment(Struct):
    """A comment on a line."""

    id: int
    created_at: str
    path: str
    user: User | None = None
    body: str | None = None
    author_association: str = "NONE"
    line: int | None = None
    original_line: int | None = None


class Review(Struct):
    """A review."""

    id: int
    state: str
    user: User | None = None
    body: str | None = None
    author_association: str = "NONE"
    #: None while its author has not sent it.
    submitted_at: str | None = None


class IssueAnswer(Struct):
    """An issue, or a pull request that is listed among them."""

    number: int
    html_url: str
    title: str
    user: User | None = None
    body: str | None = None
    author_association: str = "NONE"
    pull_request: Raw | UnsetType = UNSET


class Permission(Struct):
    """What somebody may do."""

    permission: str


class MergeAnswer(Struct):
    """What a merge made."""

    sha: str


Written = IssueComment | ReviewComment | Review


def check_of(run: CheckRun) -> CiCheck:
    """A check run in the port's words. What ended in a way that nobody knows is red."""
    state = _CONCLUDED.get(run.conclusion or "", CiState.RED) if run.status == "completed" else CiState.PENDING
    words = "\n\n".join(filter(None, (run.output.title, run.output.summary, run.output.text)))
    return CiCheck(name=run.name, state=state, url=run.html_url or "", summary=words[:_SUMMARY])


def check_of_status(status: Status) -> CiCheck:
    """A status in the port's words."""
    return CiCheck(
        name=status.context, state=_STATUS.get(status.state, CiState.RED),
        url=status.target_url or "", summary=status.description or "",
    )  # fmt: skip


def when(said: Written) -> str:
    """When it was written; times of this form sort as text."""
    return (said.submitted_at or "") if isinstance(said, Review) else said.created_at


def blocking(reviews: Sequence[Review]) -> frozenset[int]:
    """Reviews that ask for changes and that their authors have not taken back since. reviews: oldest first."""
    last: dict[str, Review] = {}
    for review in reviews:
        if review.state != "COMMENTED":
            last[_login(review)] = review
    return frozenset(review.id for review in last.values() if review.state == "CHANGES_REQUESTED")


def comment_of(said: Written, trusted: bool, blocks: bool) -> Comment:
    """In the port's words."""
    body = said.body or ""
    if isinstance(said, ReviewComment):
        line = said.line if said.line is not None else said.original_line
        return Comment(id=f"line:{said.id}", author=_login(said), trusted=trusted, body=body, path=said.path, line=line)
    kind = "review" if isinstance(said, Review) else "comment"
    return Comment(id=f"{kind}:{said.id}", author=_login(said), trusted=trusted, body=body, blocks=blocks)


def issue_of(issue: IssueAnswer, trusted: bool) -> Issue:
    """In the port's words."""
    return Issue(
        number=issue.number, url=issue.html_url, author=_login(issue), trusted=trusted, title=issue.title,
        body=issue.body or "",
    )  # fmt: skip


def _login(said: Written | IssueAnswer) -> str:
    return said.user.login if said.user else "ghost"
