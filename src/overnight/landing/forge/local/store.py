"""`Store`: one repository of the local GitHub: what people and machines do there, and what the API reads of it."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from overnight.landing.git import SAFE, config_in_environment

_WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Pat"), ("EMAIL", "pat@example.org"))
}


class Refused(Exception):
    """The API says no."""

    def __init__(self, status: int, message: str, errors: Iterable[str] = ()) -> None:
        self.status, self.message, self.errors = status, message, tuple(errors)
        super().__init__(message)


class Store:
    """A bare repository and everything that GitHub keeps beside it. owner/name: its place."""

    def __init__(self, folder: Path, owner: str, name: str, branch: str = "main") -> None:
        self.owner, self.name, self.branch = owner, name, branch
        self.git_dir = folder / owner / f"{name}.git"
        self.git_dir.parent.mkdir(parents=True, exist_ok=True)
        self.pulls: dict[int, dict[str, Any]] = {}
        #: What was done by API: `open`, `merge 1`, `ready 1`.
        self.done: Counter[str] = Counter()
        #: Commit -> name -> (status, conclusion, summary), and context -> (state, description).
        self.check_runs: dict[str, dict[str, tuple[str, str | None, str]]] = {}
        self.statuses: dict[str, dict[str, tuple[str, str]]] = {}
        #: Pull request -> what was written, oldest first.
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.line_comments: dict[int, list[dict[str, Any]]] = {}
        self.reviews: dict[int, list[dict[str, Any]]] = {}
        #: Open issues: title, labels and whoever wrote them. Numbers are shared with pull requests.
        self.issues: dict[int, dict[str, Any]] = {}
        #: Login -> admin, write, read or none.
        self.permissions: dict[str, str] = {owner: "admin"}
        #: Checks that the target's protection asks for, and whether it lets anybody merge.
        self.required: tuple[str, ...] = ()
        self.locked = False
        #: A plan without drafts.
        self.drafts = True
        self._written = 0
        env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        subprocess.run(["git", "init", "-q", "--bare", "-b", branch, str(self.git_dir)], env=env, check=True)

    @property
    def place(self) -> str:
        """`owner/name`"""
        return f"{self.owner}/{self.name}"

    # -- git ----------------------------------------------------------------------------------------------------

    def git(self, *args: str, data: str = "", ok: tuple[int, ...] = (0,)) -> str:
        """Plumbing on the bare repository; stripped output. Raises Refused where git says no."""
        env = {
            "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(self.git_dir), "LC_ALL": "C", **_WHO, **config_in_environment(SAFE),
        }  # fmt: skip
        done = subprocess.run(["git", *args], env=env, input=data, capture_output=True, text=True, check=False)
        if done.returncode not in ok:
            raise Refused(500, f"git {args[0]}: {done.stderr.strip()}")
        return done.stdout.strip() if done.returncode == 0 else ""

    def at(self, branch: str) -> str:
        """Where a branch is; empty when it is not there."""
        return self.git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}", ok=(0, 1))

    def holds(self, commit: str) -> bool:
        """Whether it is here."""
        return bool(self.git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", ok=(0, 1, 128)))

    def parents(self, commit: str) -> list[str]:
        """A commit's parents."""
        return self.git("rev-parse", f"{commit}^@").split()

    def apart(self, base: str, head: str) -> tuple[int, int, str]:
        """How many commits only the head has, only the base has, and the last common one."""
        behind, ahead = self.git("rev-list", "--left-right", "--count", f"{base}...{head}").split()
        return int(ahead), int(behind), self.git("merge-base", base, head)

    def moves(self, branch: str, commit: str) -> None:
        """Somebody pushes to a branch, by force if need be."""
        self.git("update-ref", f"refs/heads/{branch}", commit)

    def deletes(self, branch: str) -> None:
        """Somebody deletes a branch; what was to be merged from it is closed."""
        self.git("update-ref", "-d", f"refs/heads/{branch}")
        for n, pull in self.pulls.items():
            if pull["state"] == "open" and pull["head"] == branch:
                self.closes(n)

    def commits(self, branch: str, files: dict[str, str], message: str = "change") -> str:
        """Somebody commits files on a branch there, which begins at the target; its new tip."""
        return self._commit(self.at(branch) or self.at(self.branch), files, message, f"refs/heads/{branch}")

    def _commit(self, parent: str, files: dict[str, str], message: str, ref: str) -> str:
        stream = [f"commit {ref}\ncommitter Pat <pat@example.org> {1767225600 + len(message)} +0000\n"]
        stream += [f"data {len(message.encode())}\n{message}\n"]
        stream += [f"from {parent}\n"] if parent else []
        stream += [f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n" for path, text in files.items()]
        self.git("fast-import", "--quiet", "--force", "--date-format=raw", data="".join(stream))
        return self.git("rev-parse", ref)

    # -- pull requests ------------------------------------------------------------------------------------------

    def head(self, n: int) -> str:
        """The commit at a pull request's head: of its branch while it is open."""
        pull = self.pulls[n]
        if pull["state"] == "open":
            pull["sha"] = self.at(pull["head"]) or pull["sha"]
        return pull["sha"]

    def mergeable(self, n: int) -> bool:
        """Whether git can merge it."""
        pull = self.pulls[n]
        return bool(self._merged_tree(self.at(pull["base"]), self.head(n)))

    def _merged_tree(self, base: str, head: str) -> str:
        return self.git("merge-tree", "--write-tree", base, head, ok=(0, 1)).split("\n")[0]

    def opens(self, title: str, head: str, base: str, body: str, draft: bool) -> int:
        """What the API does for a new pull request."""
        head = head.removeprefix(f"{self.owner}:")
        for name, field in ((head, "head"), (base, "base")):
            if not self.at(name):
                raise Refused(422, "Validation Failed", [f"PullRequest {field} is invalid"])
        if any((p["head"], p["base"], p["state"]) == (head, base, "open") for p in self.pulls.values()):
            raise Refused(422, "Validation Failed", [f"A pull request already exists for {self.owner}:{head}."])
        if not self.apart(self.at(base), self.at(head))[0]:
            raise Refused(422, "Validation Failed", [f"No commits between {base} and {head}"])
        if draft and not self.drafts:
            raise Refused(422, "Draft pull requests are not supported in this repository.")
        n = self._next()
        self.pulls[n] = {
            "title": title, "body": body, "head": head, "base": base, "sha": self.at(head), "draft": draft,
            "state": "open", "merged": "", "base_sha": self.at(base),
        }  # fmt: skip
        self.done["open"] += 1
        return n

    def merges(self, n: int, sha: str | None, method: str) -> str:
        """What the API does for a merge; the new commit."""
        pull = self.pulls[n]
        head = self.head(n)
        if pull["state"] != "open":
            raise Refused(405, "Pull Request is not mergeable")
        if sha is not None and sha != head:
            raise Refused(409, "Head branch was modified. Review and try the merge again.")
        if pull["draft"]:
            raise Refused(405, "Pull Request is still a draft")
        if self.locked:
            raise Refused(405, "At least 1 approving review is required by reviewers with write access.")
        silent = [name for name in self.required if not self._passed(head, name)]
        if silent:
            raise Refused(405, f'Required status check "{silent[0]}" is expected.')
        self.done[f"merge {n}"] += 1
        return self.merged_by(n, method)

    def _passed(self, head: str, name: str) -> bool:
        run = self.check_runs.get(head, {}).get(name)
        return (run is not None and run[1] == "success") or self.statuses.get(head, {}).get(name, ("",))[0] == "success"

    def merged_by(self, n: int, method: str = "merge") -> str:
        """It is merged by git, whoever asked."""
        pull = self.pulls[n]
        head, base = self.head(n), self.at(pull["base"])
        tree = self._merged_tree(base, head)
        if not tree:
            raise Refused(405, "Pull Request is not mergeable")
        parents = ["-p", base] if method == "squash" else ["-p", base, "-p", head]
        message = f"Merge pull request #{n} from {self.owner}/{pull['head']}"
        merged = self.git("commit-tree", tree, *parents, data=message)
        self.git("update-ref", f"refs/heads/{pull['base']}", merged, base)
        pull |= {"state": "closed", "draft": False, "merged": merged}
        return merged

    def closes(self, n: int) -> None:
        """Somebody closes one."""
        self.head(n)
        self.pulls[n]["state"] = "closed"

    # -- words --------------------------------------------------------------------------------------------------

    def reports(self, commit: str, name: str, conclusion: str | None, summary: str = "") -> None:
        """A check run is done, or (None) under way."""
        state = "in_progress" if conclusion is None else "completed"
        self.check_runs.setdefault(commit, {})[name] = (state, conclusion, summary)

    def sets_status(self, commit: str, context: str, state: str, description: str = "") -> None:
        """A commit status of the older API."""
        self.statuses.setdefault(commit, {})[context] = (state, description)

    def says(
        self, n: int, login: str, body: str, association: str = "MEMBER", path: str = "", line: int | None = None
    ) -> None:
        """Somebody comments, on the whole or on a line."""
        written = self._words(login, body, association)
        if path:
            self.line_comments.setdefault(n, []).append({**written, "path": path, "line": line, "sha": self.head(n)})
        else:
            self.comments.setdefault(n, []).append(written)

    def asks(self, login: str, title: str, body: str, *labels: str, association: str = "MEMBER") -> int:
        """Somebody opens an issue."""
        n = self._next()
        self.issues[n] = {**self._words(login, body, association), "title": title, "labels": list(labels)}
        return n

    def _next(self) -> int:
        return len(self.pulls) + len(self.issues) + 1

    def reviewed(self, n: int, login: str, state: str, body: str, association: str = "MEMBER") -> None:
        """Somebody reviews: APPROVED, CHANGES_REQUESTED or COMMENTED."""
        written = self._words(login, body, association)
        self.reviews.setdefault(n, []).append({**written, "state": state, "sha": self.head(n)})

    def _words(self, login: str, body: str, association: str) -> dict[str, Any]:
        self._written += 1
        when = f"2026-01-01T{self._written // 3600:02}:{self._written // 60 % 60:02}:{self._written % 60:02}Z"
        return {"id": self._written, "login": login, "body": body, "association": association, "when": when}
