"""`MemoryForge`: a forge in memory, for tests of whoever talks to one.

It keeps the promises of the port and counts what must not happen twice. Commits are opaque: a pushed commit counts as
built upon the target's tip of that moment. What people, CI and the world do there are methods of their own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from overnight.landing.forge.ci import ci_of
from overnight.missions.hold import Held, Hold, HoldReason
from overnight.missions.task import Repo, Task
from overnight.ports import Ci, CiCheck, CiState, Comment, ForgeRefused, Ground, Issue, Merged, PullRequest, Pushed

_URL = "https://forge.example/repo/pull/{}"


def _nothing(_what: str) -> None:
    """Nothing happens in between."""


def _passes(_commit: str) -> str:
    """A gate that finds nothing."""
    return ""


class MemoryForge:
    """The port `Forge` on a repository with one target branch."""

    def __init__(self, branch: str = "main", tip: str = "base") -> None:
        self.branch = branch
        #: Where every branch of the forge is.
        self.branches = {branch: tip}
        #: Every commit that the target has been at.
        self.held = {tip}
        self.pulls: dict[int, PullRequest] = {}
        #: Title and body of each pull request, as last written.
        self.written: dict[int, tuple[str, str]] = {}
        #: Open issues with their labels, by number, and what was said on them, by number and key.
        self.asked: dict[int, tuple[tuple[str, ...], Issue]] = {}
        self.told: dict[tuple[int, str], str] = {}
        #: How often each thing was really done: `push overnight/t1`, `open t1`, `merge 1`, `revert COMMIT`.
        self.done: Counter[str] = Counter()
        #: Checks that the target's protection requires, by name.
        self.required: tuple[str, ...] = ()
        #: Branches that nobody may push to, and whether the target takes merges.
        self.protected: set[str] = set()
        self.merges = True
        #: What came after a merge is in the way of taking it back.
        self.in_the_way = False
        #: Why our own gate refuses a commit; empty when it does not.
        self.gate: Callable[[str], str] = _passes
        #: Raised by every call while it is set: a limit, an outage, a token that expired.
        self.hold: Hold | None = None
        #: Called between the two halves of everything that changes the forge, after it; may raise, as a kill would.
        self.during: Callable[[str], None] = _nothing
        self._left: dict[str, str] = {}
        self._upon: dict[str, str] = {}
        self._of: dict[str, int] = {}
        self._reported: dict[str, dict[str, CiCheck]] = {}
        self._said: dict[int, list[Comment]] = {}
        self._stuck: set[int] = set()

    # -- the port -----------------------------------------------------------------------------------------------

    async def target(self, task: Task, ground: Ground) -> str:
        """As the port says."""
        self._answer()
        branch = ground.policy.target
        if branch not in self.branches:
            why = f"the forge has no branch `{branch}`"
            raise Held(Hold(reason=HoldReason.REPO_UNAVAILABLE, why=why, releases_on=f"a branch `{branch}` there"))
        return self.branches[branch]

    async def based(self, task: Task, ground: Ground) -> ForgeRefused | None:
        """As the port says."""
        self._answer()
        if ground.base in self.held:
            return None
        return ForgeRefused(reason="ahead", why=f"`{self.branch}` here has what the forge lacks ({ground.base})")

    async def push(self, task: Task, ground: Ground, commit: str) -> Pushed | ForgeRefused:
        """As the port says."""
        self._answer()
        branch = f"overnight/{task.id}"
        if branch in self.protected:
            return ForgeRefused(reason="protected", why=f"`{branch}` is protected")
        if why := self.gate(commit):
            return ForgeRefused(reason="gate", why=why)
        if (ahead := await self.based(task, ground)) is not None:
            return ahead
        now = self.branches.get(branch)
        if now == commit:
            return Pushed(branch=branch, commit=commit)
        if now is not None and now != self._left.get(branch):
            return ForgeRefused(reason="moved", why=f"`{branch}` is at {now}, where Overnight did not leave it")
        self._push(branch, commit)
        self.during(f"pushed {branch}")
        return Pushed(branch=branch, commit=commit)

    async def open(
        self, task: Task, ground: Ground, pushed: Pushed, title: str, body: str
    ) -> PullRequest | ForgeRefused:
        """As the port says."""
        self._answer()
        return self._open(f"open {task.id}", pushed.branch, ground.policy.target, title, body, draft=True)

    async def describe(self, task: Task, pull: int, title: str, body: str) -> None:
        """As the port says."""
        self._answer()
        if pull in self.pulls:
            self.written[pull] = (title, body)
            self.during(f"described {pull}")

    async def look(self, task: Task, pull: int) -> PullRequest | None:
        """As the port says."""
        self._answer()
        return self._seen(pull)

    async def ci(self, task: Task, commit: str) -> Ci:
        """As the port says."""
        self._answer()
        return ci_of(commit, self._reported.get(commit, {}).values(), self.required)

    async def comments(self, task: Task, pull: int) -> tuple[Comment, ...]:
        """As the port says."""
        self._answer()
        return tuple(self._said.get(pull, ()))

    async def ready(self, task: Task, pull: int) -> ForgeRefused | None:
        """As the port says."""
        self._answer()
        found = self.pulls.get(pull)
        if found is not None and found.state == "open" and found.draft:
            self.pulls[pull] = replace(found, draft=False)
            self.done[f"ready {pull}"] += 1
            self.during(f"ready {pull}")
        return None

    async def merge(self, task: Task, pull: int, head: str) -> Merged | ForgeRefused:
        """As the port says."""
        self._answer()
        found = self._seen(pull)
        if found is None:
            return ForgeRefused(reason="gone", why=f"there is no pull request {pull}")
        if found.head != head:
            return ForgeRefused(reason="moved", why=f"its head is {found.head}, not {head}")
        if found.state == "merged":
            return Merged(commit=found.merged)
        if why := self._refuses(found):
            return why
        merged = _made("merge", found.base_commit, head)
        self.moves(found.base, merged)
        self.pulls[pull] = replace(found, state="merged", merged=merged, base_commit=merged)
        self.done[f"merge {pull}"] += 1
        self.during(f"merged {pull}")
        return Merged(commit=merged)

    async def revert(self, task: Task, ground: Ground, merged: str, why: str) -> PullRequest | ForgeRefused:
        """As the port says."""
        self._answer()
        branch = f"overnight/{task.id}-revert-{merged[:12]}"
        if self.in_the_way and f"revert {merged}" not in self._of:
            return ForgeRefused(reason="not-mergeable", why="what came after it changed the same places")
        if branch not in self.branches:
            self._push(branch, _made("revert", self.branches[ground.policy.target], merged))
        return self._open(f"revert {merged}", branch, ground.policy.target, f"Revert: {task.title}", why, draft=False)

    async def issues(self, repo: Repo, label: str) -> tuple[Issue, ...]:
        """As the port says."""
        self._answer()
        return tuple(issue for labels, issue in self.asked.values() if label in labels)

    async def tell(self, repo: Repo, number: int, key: str, text: str) -> None:
        """As the port says."""
        self._answer()
        if (number, key) not in self.told:
            self.told[number, key] = text
            self.done[f"tell {number} {key}"] += 1
            self.during(f"said {number}")

    # -- what people and the world do ---------------------------------------------------------------------------

    def report(
        self, commit: str, state: CiState = CiState.GREEN, name: str = "ci", summary: str = "", url: str = ""
    ) -> None:
        """A check says how a commit does."""
        check = CiCheck(name=name, state=state, summary=summary, url=url)
        self._reported.setdefault(commit, {})[name] = check

    def say(
        self,
        pull: int,
        body: str,
        *,
        author: str = "pat",
        trusted: bool = True,
        path: str = "",
        line: int | None = None,
    ) -> Comment:
        """Somebody writes on a pull request, about the whole or about a line."""
        return self._keep(
            pull, "line" if path else "comment", author=author, trusted=trusted, body=body, path=path, line=line
        )

    def review(
        self, pull: int, body: str, *, author: str = "pat", trusted: bool = True, blocks: bool = False
    ) -> Comment:
        """Somebody reviews: asks for changes, or approves, which lifts what the same person asked for before."""
        said = self._said.get(pull, [])
        said[:] = [replace(c, blocks=False) if c.author == author else c for c in said]
        return self._keep(pull, "review", author=author, trusted=trusted, body=body, blocks=blocks)

    def _keep(self, pull: int, kind: str, **what: Any) -> Comment:
        number = sum(map(len, self._said.values())) + 1
        said = Comment(id=f"{kind}:{number}", **what)
        self._said.setdefault(pull, []).append(said)
        return said

    def moves(self, branch: str, commit: str) -> None:
        """Somebody pushes to a branch: the target, or one of ours by force."""
        self.branches[branch] = commit
        if branch == self.branch:
            self.held.add(commit)

    def deletes(self, branch: str) -> None:
        """Somebody deletes a branch; the forge closes what was to be merged from it."""
        del self.branches[branch]
        for number in [n for n, p in self.pulls.items() if p.state == "open" and self._branch_of(n) == branch]:
            self.closes(number)

    def closes(self, pull: int) -> None:
        """Somebody closes a pull request."""
        self.pulls[pull] = replace(self._shown(pull), state="closed")

    def removes(self, pull: int) -> None:
        """The forge's owner removes it altogether."""
        del self.pulls[pull]

    def rebases(self, pull: int, branch: str) -> None:
        """Somebody has it merged into another branch."""
        self.pulls[pull] = replace(self.pulls[pull], base=branch)

    def conflicts(self, pull: int, *, yes: bool = True) -> None:
        """What it changes is changed on the target as well, or no longer."""
        (self._stuck.add if yes else self._stuck.discard)(pull)

    def merged_by_hand(self, pull: int) -> str:
        """Somebody merges it there."""
        found = self._shown(pull)
        merged = _made("merge by hand", found.base_commit, found.head)
        self.moves(found.base, merged)
        self.pulls[pull] = replace(found, state="merged", draft=False, merged=merged, base_commit=merged)
        return merged

    @property
    def opened(self) -> Mapping[str, int]:
        """The number of the pull request of each key that one was opened for: `open t1`, `revert COMMIT`."""
        return self._of

    # -- inside -------------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        if self.hold is not None:
            raise Held(self.hold)

    def _push(self, branch: str, commit: str) -> None:
        self.branches[branch] = self._left[branch] = commit
        self._upon[commit] = self.branches.get(self.branch, "")
        self.done[f"push {branch}"] += 1

    def _open(
        self, key: str, branch: str, base: str, title: str, body: str, *, draft: bool
    ) -> PullRequest | ForgeRefused:
        if key not in self._of:
            if branch not in self.branches:
                return ForgeRefused(reason="gone", why=f"the forge has no branch `{branch}`")
            number = len(self._of) + 1
            self.pulls[number] = PullRequest(
                number=number, url=_URL.format(number), head=self.branches[branch], base=base,
                base_commit=self.branches[base], draft=draft, state="open",
            )  # fmt: skip
            self._of[key] = number
            self.written[number] = (title, body)
            self.done[key] += 1
            self.during(f"opened {number}")
        found = self._seen(self._of[key])
        return found or ForgeRefused(reason="gone", why=f"pull request {self._of[key]} was removed")

    def _branch_of(self, pull: int) -> str:
        key = next(key for key, number in self._of.items() if number == pull)
        kind, _, what = key.partition(" ")
        if kind == "open":
            return f"overnight/{what}"
        return next(name for name in self._left if name.endswith(f"-revert-{what[:12]}"))

    def _seen(self, pull: int) -> PullRequest | None:
        return self._shown(pull) if pull in self.pulls else None

    def _shown(self, pull: int) -> PullRequest:
        found = self.pulls[pull]
        if found.state != "open":
            return found
        head = self.branches.get(self._branch_of(pull), found.head)
        tip = self.branches.get(found.base, found.base_commit)
        return replace(
            found, head=head, base_commit=tip, current=self._upon.get(head) == tip, mergeable=pull not in self._stuck
        )

    def _refuses(self, found: PullRequest) -> ForgeRefused | None:
        if found.state == "closed":
            return ForgeRefused(reason="closed", why="it was closed without a merge")
        if found.draft:
            return ForgeRefused(reason="draft", why="it is still a draft")
        if not self.merges:
            return ForgeRefused(reason="protected", why=f"`{found.base}` takes no merge of Overnight's")
        if found.number in self._stuck:
            return ForgeRefused(reason="not-mergeable", why=f"it conflicts with `{found.base}`")
        return None


def _made(*of: str) -> str:
    """The id of a commit that the forge makes."""
    return hashlib.sha1("\0".join(of).encode(), usedforsecurity=False).hexdigest()
