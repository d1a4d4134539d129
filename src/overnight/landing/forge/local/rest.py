"""The API's endpoints: a request in, what GitHub would answer out. Nothing here knows of sockets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from overnight.landing.forge.local import shapes
from overnight.landing.forge.local.store import Refused, Store

Query = Mapping[str, str]
_ASSOCIATED = ("id", "body")


class Rest:
    """One repository, as the API shows it. api: base URL."""

    def __init__(self, store: Store, api: str) -> None:
        self._store, self._api = store, api
        at = re.escape(f"/repos/{store.place}")
        routes: list[tuple[str, str, Callable[..., tuple[int, Any]]]] = [
            ("GET", r"/pulls", self._list),
            ("POST", r"/pulls", self._open),
            ("GET", r"/pulls/(\d+)", self._show),
            ("PATCH", r"/pulls/(\d+)", self._edit),
            ("PUT", r"/pulls/(\d+)/merge", self._merge),
            ("GET", r"/pulls/(\d+)/comments", self._line_comments),
            ("GET", r"/pulls/(\d+)/reviews", self._reviews),
            ("GET", r"/issues/(\d+)/comments", self._comments),
            ("POST", r"/issues/(\d+)/comments", self._comment),
            ("GET", r"/issues", self._issues),
            ("GET", r"/branches/([^/]+)", self._branch),
            ("GET", r"/compare/([0-9a-f]+)\.\.\.([0-9a-f]+)", self._compare),
            ("GET", r"/commits/([0-9a-f]+)/check-runs", self._check_runs),
            ("GET", r"/commits/([0-9a-f]+)/status", self._status),
            ("GET", r"/collaborators/([^/]+)/permission", self._permission),
        ]
        self._routes = [(method, re.compile(at + path), do) for method, path, do in routes]

    def answer(self, method: str, path: str, query: Query, body: Any) -> tuple[int, Any]:
        """Status and body. Raises Refused."""
        for known, pattern, do in self._routes:
            if known == method and (found := pattern.fullmatch(path)):
                return do(*map(unquote, found.groups()), query=query, body=body)
        raise Refused(404, "Not Found")

    def graphql(self, body: Any) -> Any:
        """The one mutation that there is."""
        wanted = body.get("variables", {}).get("pull")
        if "markPullRequestReadyForReview" not in body.get("query", ""):
            return {"data": None, "errors": [{"message": "this server knows only markPullRequestReadyForReview"}]}
        for n, pull in self._store.pulls.items():
            if self._shown(n, whole=False)["node_id"] == wanted:
                pull["draft"] = False
                self._store.done[f"ready {n}"] += 1
                return {"data": {"markPullRequestReadyForReview": {"pullRequest": {"isDraft": False}}}}
        problem = {"type": "NOT_FOUND", "message": f"Could not resolve to a node with the global id of '{wanted}'."}
        return {"data": {"markPullRequestReadyForReview": None}, "errors": [problem]}

    # -- pull requests ------------------------------------------------------------------------------------------

    def _one(self, number: str) -> int:
        if int(number) not in self._store.pulls:
            raise Refused(404, "Not Found")
        return int(number)

    def _shown(self, n: int, *, whole: bool = True) -> shapes.Json:
        store, pull = self._store, self._store.pulls[n]
        merged = pull["merged"]
        facts = {
            "number": n, "title": pull["title"], "body": pull["body"], "state": pull["state"], "draft": pull["draft"],
            "head": {"ref": pull["head"], "sha": store.head(n)}, "base": {"ref": pull["base"], "sha": pull["base_sha"]},
            "merge_commit_sha": merged or None, "merged_at": shapes.WHEN if merged else None,
            "closed_at": None if pull["state"] == "open" else shapes.WHEN, "user": shapes.user(self._api, store.owner),
        }  # fmt: skip
        more = None
        if whole:
            can = store.mergeable(n) if pull["state"] == "open" else None
            state = {True: "clean", False: "dirty", None: "unknown"}[can]
            more = {"mergeable": can, "mergeable_state": state, "merged": bool(merged)}
        return shapes.pull(self._api, store.place, self._repo(), facts, more)

    def _repo(self) -> shapes.Json:
        return shapes.repository(self._api, self._store.owner, self._store.name, self._store.branch)

    def _list(self, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        state, head = query.get("state", "open"), query.get("head", "").removeprefix(f"{self._store.owner}:")
        chosen = [
            n
            for n, pull in self._store.pulls.items()
            if (state == "all" or pull["state"] == state) and (not head or pull["head"] == head)
        ]
        if query.get("direction", "desc") == "desc":
            chosen.reverse()
        return 200, [self._shown(n, whole=False) for n in chosen]

    def _open(self, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        n = self._store.opens(
            body["title"], body["head"], body["base"], body.get("body") or "", bool(body.get("draft"))
        )
        return 201, self._shown(n)

    def _show(self, number: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        return 200, self._shown(self._one(number))

    def _edit(self, number: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        n = self._one(number)
        self._store.pulls[n] |= {name: body[name] for name in ("title", "body", "base") if name in body}
        if body.get("state") == "closed":
            self._store.closes(n)
        return 200, self._shown(n)

    def _merge(self, number: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        merged = self._store.merges(self._one(number), body.get("sha"), body.get("merge_method", "merge"))
        return 200, {"sha": merged, "merged": True, "message": "Pull Request successfully merged"}

    # -- what is said -------------------------------------------------------------------------------------------

    def _by(self, said: Mapping[str, Any]) -> shapes.Json:
        return {
            **{name: said[name] for name in _ASSOCIATED},
            "user": shapes.user(self._api, said["login"]),
            "author_association": said["association"],
        }

    def _issues(self, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        wanted = set(filter(None, query.get("labels", "").split(",")))
        shown = [
            shapes.issue(
                self._api,
                self._store.place,
                {**self._by(said), "number": n, "title": said["title"], "labels": said["labels"]},
                is_pull=n in self._store.pulls,
            )
            for n, said in sorted(self._store.issues.items())
            if wanted <= set(said["labels"])
        ]
        return 200, shown

    def _comment(self, number: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        n = int(number)
        if n not in self._store.pulls and n not in self._store.issues:
            raise Refused(404, "Not Found")
        self._store.says(n, self._store.owner, body["body"], "OWNER")
        self._store.done[f"comment {n}"] += 1
        said = self._store.comments[n][-1]
        return 201, shapes.comment(self._api, self._store.place, n, {**self._by(said), "created_at": said["when"]})

    def _comments(self, number: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        n = int(number)
        if n not in self._store.pulls and n not in self._store.issues:
            raise Refused(404, "Not Found")
        return 200, [
            shapes.comment(self._api, self._store.place, n, {**self._by(said), "created_at": said["when"]})
            for said in self._store.comments.get(n, [])
        ]

    def _line_comments(self, number: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        n = self._one(number)
        return 200, [
            shapes.line_comment(
                self._api,
                self._store.place,
                n,
                {
                    **self._by(said),
                    "created_at": said["when"],
                    "path": said["path"],
                    "line": said["line"],
                    "commit_id": said["sha"],
                },
            )
            for said in self._store.line_comments.get(n, [])
        ]

    def _reviews(self, number: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        n = self._one(number)
        return 200, [
            shapes.review(
                self._api,
                self._store.place,
                n,
                {
                    **self._by(said),
                    "submitted_at": said["when"],
                    "state": said["state"],
                    "commit_id": said["sha"],
                },
            )
            for said in self._store.reviews.get(n, [])
        ]

    def _permission(self, login: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        may = self._store.permissions.get(login, "none")
        shown = {**shapes.user(self._api, login), "role_name": may}
        return 200, {"permission": may, "role_name": may, "user": shown}

    # -- commits ------------------------------------------------------------------------------------------------

    def _branch(self, name: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        tip = self._store.at(name)
        if not tip:
            raise Refused(404, "Branch not found")
        at = f"{self._api}/repos/{self._store.place}/branches/{name}"
        guarded = name == self._store.branch and bool(self._store.required or self._store.locked)
        required = list(self._store.required) if name == self._store.branch else []
        checks = {"enforcement_level": "everyone", "contexts": required, "checks": []}
        return 200, {
            "name": name,
            "commit": shapes.commit(self._api, self._store.place, tip, self._store.parents(tip)),
            "_links": {"html": at, "self": at},
            "protected": guarded,
            "protection": {"enabled": guarded, "required_status_checks": checks},
            "protection_url": f"{at}/protection",
        }

    def _known(self, *commits: str) -> None:
        for commit in commits:
            if not self._store.holds(commit):
                raise Refused(422, f"No commit found for SHA: {commit}")

    def _compare(self, base: str, head: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        if not (self._store.holds(base) and self._store.holds(head)):
            raise Refused(404, "Not Found")
        ahead, behind, common = self._store.apart(base, head)
        at = f"{self._api}/repos/{self._store.place}/compare/{base}...{head}"
        word = {(False, False): "identical", (True, False): "ahead", (False, True): "behind", (True, True): "diverged"}
        return 200, {
            **dict.fromkeys(("url", "html_url", "permalink_url", "diff_url", "patch_url"), at),
            "base_commit": shapes.commit(self._api, self._store.place, base, []),
            "merge_base_commit": shapes.commit(self._api, self._store.place, common, []),
            "status": word[ahead > 0, behind > 0], "ahead_by": ahead, "behind_by": behind, "total_commits": ahead,
            "commits": [],
        }  # fmt: skip

    def _check_runs(self, commit: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        self._known(commit)
        runs = self._store.check_runs.get(commit, {})
        shown = [shapes.check_run(self._api, self._store.place, commit, name, *run) for name, run in runs.items()]
        return 200, {"total_count": len(shown), "check_runs": shown}

    def _status(self, commit: str, *, query: Query, body: Any) -> tuple[int, Any]:  # noqa: ARG002
        self._known(commit)
        found = self._store.statuses.get(commit, {})
        shown = [shapes.status(self._api, self._store.place, commit, context, *each) for context, each in found.items()]
        states = {state for state, _ in found.values()}
        together = "failure" if states & {"failure", "error"} else "success" if states == {"success"} else "pending"
        at = f"{self._api}/repos/{self._store.place}/commits/{commit}"
        return 200, {
            "state": together, "sha": commit, "total_count": len(shown), "statuses": shown, "repository": self._repo(),
            "commit_url": at, "url": f"{at}/status",
        }  # fmt: skip
