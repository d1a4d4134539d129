"""What the API's answers look like: every field that GitHub promises, filled from a few facts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
WHEN = "2026-01-01T00:00:00Z"

_USER = (
    "events",
    "followers",
    "following",
    "gists",
    "organizations",
    "received_events",
    "repos",
    "starred",
    "subscriptions",
)
_REPO = (
    "archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare", "contents",
    "contributors", "deployments", "downloads", "events", "forks", "git_commits", "git_refs", "git_tags", "hooks",
    "issue_comment", "issue_events", "issues", "keys", "labels", "languages", "merges", "milestones", "notifications",
    "pulls", "releases", "stargazers", "statuses", "subscribers", "subscription", "tags", "teams", "trees",
)  # fmt: skip


def number(of: str) -> int:
    """A stable id of anything that has a name."""
    return int.from_bytes(hashlib.sha256(of.encode()).digest()[:4], "big")


def node(of: str) -> str:
    """Its id in GraphQL."""
    return f"N_{number(of)}"


def user(api: str, login: str) -> Json:
    """An account."""
    at = f"{api}/users/{login}"
    return {
        "login": login, "id": number(login), "node_id": node(login), "avatar_url": f"{at}/avatar", "gravatar_id": "",
        "url": at, "html_url": at, "type": "User", "site_admin": False, **{f"{name}_url": f"{at}/{name}" for name in _USER},
    }  # fmt: skip


def repository(api: str, owner: str, name: str, branch: str) -> Json:
    """A repository, as it is inside of other answers."""
    at = f"{api}/repos/{owner}/{name}"
    return {
        "id": number(at), "node_id": node(at), "name": name, "full_name": f"{owner}/{name}", "private": True,
        "owner": user(api, owner), "html_url": at, "description": None, "fork": False, "url": at,
        **{f"{kind}_url": f"{at}/{kind}" for kind in _REPO},
        "clone_url": f"{at}.git", "git_url": f"{at}.git", "ssh_url": f"{at}.git", "svn_url": at, "mirror_url": None,
        "default_branch": branch, "homepage": None, "language": None, "license": None, "archived": False,
        "disabled": False, "has_downloads": True, "has_issues": True, "has_projects": True, "has_wiki": True,
        "has_pages": False, "forks": 0, "forks_count": 0, "open_issues": 0, "open_issues_count": 0, "size": 1,
        "stargazers_count": 0, "watchers": 0, "watchers_count": 0, "pushed_at": WHEN, "created_at": WHEN,
        "updated_at": WHEN,
    }  # fmt: skip


def commit(api: str, place: str, sha: str, parents: list[str]) -> Json:
    """A commit."""
    at = f"{api}/repos/{place}/commits/{sha}"
    who = {"name": "Overnight", "email": "overnight@localhost", "date": WHEN}
    return {
        "url": at, "sha": sha, "node_id": node(sha), "html_url": at, "comments_url": f"{at}/comments",
        "commit": {
            "url": at, "author": who, "committer": who, "message": "", "comment_count": 0,
            "tree": {"sha": sha, "url": at},
        },
        "author": {}, "committer": {}, "parents": [{"sha": parent, "url": at} for parent in parents],
    }  # fmt: skip


def pull(api: str, place: str, repo: Json, facts: Mapping[str, Any], whole: Mapping[str, Any] | None) -> Json:
    """A pull request. facts: number, title, body, state, draft, head, base, merge_commit_sha, merged_at, closed_at and
    user. whole: more of them, when it is not one of a list."""
    n = facts["number"]
    at, page = f"{api}/repos/{place}/pulls/{n}", f"{api}/repos/{place}/issues/{n}"
    names = {
        "html": at, "self": at, "issue": page, "comments": f"{page}/comments", "commits": f"{at}/commits",
        "statuses": f"{api}/repos/{place}/statuses/{facts['head']['sha']}", "review_comments": f"{at}/comments",
        "review_comment": f"{api}/repos/{place}/pulls/comments{{/number}}",
    }  # fmt: skip
    shown: Json = {
        "url": at, "id": number(at), "node_id": node(at), "html_url": at, "diff_url": f"{at}.diff",
        "patch_url": f"{at}.patch", "issue_url": page, "commits_url": names["commits"],
        "review_comments_url": names["review_comments"], "review_comment_url": names["review_comment"],
        "comments_url": names["comments"], "statuses_url": names["statuses"], "locked": False, "assignee": None,
        "labels": [], "milestone": None, "auto_merge": None, "author_association": "OWNER", "created_at": WHEN,
        "updated_at": WHEN, "_links": {name: {"href": url} for name, url in names.items()}, **facts,
    }  # fmt: skip
    for end in ("head", "base"):
        label = f"{place.partition('/')[0]}:{facts[end]['ref']}"
        shown[end] = {**facts[end], "label": label, "repo": repo, "user": repo["owner"]}
    if whole is not None:
        counts = dict.fromkeys(("additions", "changed_files", "comments", "commits", "deletions", "review_comments"), 0)
        shown |= {**counts, "maintainer_can_modify": False, "merged_by": None, **whole}
    return shown


def check_run(api: str, place: str, sha: str, name: str, status: str, conclusion: str | None, summary: str) -> Json:
    """A check run."""
    at = f"{api}/repos/{place}/check-runs/{number(sha + name)}"
    return {
        "id": number(sha + name), "node_id": node(sha + name), "head_sha": sha, "name": name, "url": at, "html_url": at,
        "details_url": at, "status": status, "conclusion": conclusion, "started_at": WHEN,
        "completed_at": None if conclusion is None else WHEN, "external_id": "", "check_suite": None,
        "output": {
            "title": None, "summary": summary, "text": None, "annotations_count": 0, "annotations_url": f"{at}/annotations",
        },
        "app": None, "pull_requests": [],
    }  # fmt: skip


def status(api: str, place: str, sha: str, context: str, state: str, description: str) -> Json:
    """A commit status."""
    return {
        "id": number(sha + context), "node_id": node(sha + context), "state": state, "context": context,
        "description": description, "target_url": None, "avatar_url": None,
        "url": f"{api}/repos/{place}/statuses/{sha}", "created_at": WHEN, "updated_at": WHEN,
    }  # fmt: skip


def comment(api: str, place: str, pull_number: int, facts: Mapping[str, Any]) -> Json:
    """A comment on the whole. facts: id, created_at, user, body, author_association."""
    at = f"{api}/repos/{place}/issues/comments/{facts['id']}"
    return {
        "node_id": node(at), "url": at, "html_url": at, "issue_url": f"{api}/repos/{place}/issues/{pull_number}",
        "updated_at": facts["created_at"], **facts,
    }  # fmt: skip


def line_comment(api: str, place: str, pull_number: int, facts: Mapping[str, Any]) -> Json:
    """A comment on a line. facts: as of a comment; path, line and commit_id besides."""
    at, page = f"{api}/repos/{place}/pulls/comments/{facts['id']}", f"{api}/repos/{place}/pulls/{pull_number}"
    return {
        "node_id": node(at), "url": at, "html_url": at, "pull_request_url": page, "pull_request_review_id": None,
        "diff_hunk": "@@ -1 +1 @@", "original_commit_id": facts["commit_id"], "original_line": facts["line"],
        "updated_at": facts["created_at"],
        "_links": {name: {"href": at} for name in ("self", "html", "pull_request")}, **facts,
    }  # fmt: skip


def review(api: str, place: str, pull_number: int, facts: Mapping[str, Any]) -> Json:
    """A review. facts: id, user, body, state, commit_id, submitted_at, author_association."""
    page = f"{api}/repos/{place}/pulls/{pull_number}"
    at = f"{page}/reviews/{facts['id']}"
    return {
        "node_id": node(at), "html_url": at, "pull_request_url": page,
        "_links": {"html": {"href": at}, "pull_request": {"href": page}}, **facts,
    }  # fmt: skip


def issue(api: str, place: str, facts: Mapping[str, Any], *, is_pull: bool) -> Json:
    """An open issue. facts: number, title, body, labels, id, user and author_association."""
    at = f"{api}/repos/{place}/issues/{facts['number']}"
    return {
        "node_id": node(at), "url": at, "html_url": at, "repository_url": f"{api}/repos/{place}",
        "labels_url": f"{at}/labels", "comments_url": f"{at}/comments", "events_url": f"{at}/events", "state": "open",
        "assignee": None, "milestone": None, "comments": 0, "closed_at": None, "created_at": WHEN, "updated_at": WHEN,
        "locked": False, **({"pull_request": dict.fromkeys(("diff_url", "html_url", "patch_url", "url"), at)} if is_pull else {}),
        **facts,
    }  # fmt: skip
