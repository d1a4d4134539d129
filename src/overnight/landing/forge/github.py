"""`GitHubForge`: the port `Forge` on GitHub, or a GitHub Enterprise Server."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from msgspec import UNSET

from overnight.landing.forge import holds
from overnight.landing.forge.answers import (
    INVITED,
    WRITERS,
    Branch,
    CheckRuns,
    CombinedStatus,
    Comparison,
    IssueAnswer,
    IssueComment,
    MergeAnswer,
    Permission,
    Pull,
    Review,
    ReviewComment,
    Written,
    blocking,
    check_of,
    check_of_status,
    comment_of,
    issue_of,
    when,
)
from overnight.landing.forge.api import Api, Said
from overnight.landing.forge.ci import ci_of
from overnight.landing.forge.instance import instance_of
from overnight.landing.forge.marker import carries, marked, marker
from overnight.landing.forge.settings import ForgeSettings, Place
from overnight.landing.forge.site import Site, place_in
from overnight.landing.git import Observer, unobserved
from overnight.landing.places import Places
from overnight.landing.repository import open_repository
from overnight.landing.text import one_line
from overnight.missions.task import Repo, Task
from overnight.ports import Ci, CiCheck, Comment, ForgeRefused, Ground, Issue, Merged, PullRequest, Pushed

_READY = (
    "mutation($pull: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $pull}) { pullRequest { isDraft } } }"
)
#: Characters of a title.
_TITLE = 200
#: Pairs of commits of which it is remembered whether one holds the other.
_COMPARED = 128


def unchanged(text: str) -> str:
    """Words as they are."""
    return text


class GitHubForge:
    """The port `Forge`.

    state: the state folder. token: "" where there is none; everything holds then. without: takes secrets out of words
    that are published. observer: told before and after every git call. clock: epoch seconds.
    """

    def __init__(
        self,
        state: Path,
        settings: ForgeSettings,
        token: str,
        *,
        without: Callable[[str], str] = unchanged,
        secrets: Sequence[str] = (),
        observer: Observer = unobserved,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._token, self._clock = settings, token, clock
        self._without, self._observer = without, observer
        #: Shorter ones are words.
        self._secrets = tuple(secret for secret in secrets if len(secret) >= 8)
        self._places, self._state = Places(state), state
        self.api = Api(settings, token, clock)
        #: (tip, head) -> commits of the tip that the head lacks; those asked for last.
        self._behind = OrderedDict[tuple[str, str], int]()

    # -- branches -----------------------------------------------------------------------------------------------

    async def target(self, task: Task, ground: Ground) -> str:
        """As the port says."""
        return await (await self._site(task)).bring_target(ground.policy.target)

    async def based(self, task: Task, ground: Ground) -> ForgeRefused | None:
        """As the port says."""
        return await (await self._site(task)).based(ground.base, ground.policy.target)

    async def push(self, task: Task, ground: Ground, commit: str) -> Pushed | ForgeRefused:
        """As the port says. Raises Held(forge-refused) where the scanner for secrets is missing."""
        site = await self._site(task)
        return await site.push(f"overnight/{task.id}", commit, ground.policy.target, ground.base)

    async def _place(self, repo: Repo) -> Place:
        return await place_in(await open_repository(repo, self._places, self._observer), self._settings)

    async def _site(self, task: Task) -> Site:
        return await Site.open(
            task, self._places, self._settings, self._token, self._secrets, self._observer, self._clock
        )

    # -- pull requests ------------------------------------------------------------------------------------------

    async def open(
        self, task: Task, ground: Ground, pushed: Pushed, title: str, body: str
    ) -> PullRequest | ForgeRefused:
        """As the port says."""
        place = await self._place(task.repo)
        line = marker("task", task.id, instance_of(self._state))
        return await self._open(
            place, pushed.branch, ground.policy.target, line, title, body, draft=self._settings.drafts
        )

    async def _open(
        self, place: Place, branch: str, base: str, line: str, title: str, body: str, *, draft: bool
    ) -> PullRequest | ForgeRefused:
        found = await self._find(place, branch, line)
        if found is not None:
            return found
        new = {
            "title": self._title(title), "head": branch, "base": base, "body": self._body(line, body), "draft": draft,
            "maintainer_can_modify": False,
        }  # fmt: skip
        try:
            made = await self.api.send("POST", f"/repos/{place}/pulls", new, Pull)
        except Said as said:
            return await self._find(place, branch, line) or await self._not_opened(place, branch, said)
        return await self._shown(place, made)

    async def _find(self, place: Place, branch: str, line: str) -> PullRequest | ForgeRefused | None:
        """The pull request of a branch that has our marker, whatever became of it."""
        ours: list[Pull] = []
        others: list[Pull] = []
        params = {"head": f"{place.owner}:{branch}", "state": "all", "sort": "created", "direction": "asc"}
        async for page in self.api.pages(f"/repos/{place}/pulls", tuple[Pull, ...], params):
            for pull in page:
                (ours if carries(pull.body, line) else others).append(pull)
        if ours:
            one = await self._get(place, ours[0].number)
            return await self._shown(place, one or ours[0])
        in_the_way = [pull for pull in others if pull.state == "open"]
        if in_the_way:
            why = f"pull request {in_the_way[0].number} of `{branch}` is not of this Overnight"
            return ForgeRefused(reason="taken", why=why)
        return None

    async def _not_opened(self, place: Place, branch: str, said: Said) -> ForgeRefused:
        if said.status == 422 and await self._branch(place, branch) is None:
            return ForgeRefused(reason="gone", why=f"{place} has no branch `{branch}`")
        why = f"{place} does not open a pull request of `{branch}`: {said.message}"
        if "draft" in said.message.lower():
            why += " (`drafts = false` in [forge] of config.toml opens them ready)"
        return ForgeRefused(reason="forbidden", why=why)

    async def describe(self, task: Task, pull: int, title: str, body: str) -> None:
        """As the port says."""
        place = await self._place(task.repo)
        now = await self._get(place, pull)
        line = marker("task", task.id, instance_of(self._state))
        words = {"title": self._title(title), "body": self._body(line, body)}
        if now is not None and (now.title, now.body or "") != (words["title"], words["body"]):
            try:
                await self.api.send("PATCH", f"/repos/{place}/pulls/{pull}", words, Pull)
            except Said as said:
                if said.status != 404:
                    raise holds.unfit(f"pull request {pull} can't be described: {said}") from None

    async def look(self, task: Task, pull: int) -> PullRequest | None:
        """As the port says."""
        place = await self._place(task.repo)
        found = await self._get(place, pull)
        return None if found is None else await self._shown(place, found)

    async def ready(self, task: Task, pull: int) -> ForgeRefused | None:
        """As the port says."""
        now = await self._get(await self._place(task.repo), pull)
        if now is None or now.state != "open" or not now.draft:
            return None
        try:
            await self.api.graphql(_READY, {"pull": now.node_id})
        except Said as said:
            return ForgeRefused(reason="forbidden", why=f"it can't be taken out of draft: {said.message}")
        return None

    async def merge(self, task: Task, pull: int, head: str) -> Merged | ForgeRefused:
        """As the port says."""
        place = await self._place(task.repo)
        if (before := _settled(await self._get(place, pull), head)) is not None:
            return before
        try:
            how = {"sha": head, "merge_method": self._settings.merge}
            return Merged(
                commit=(await self.api.send("PUT", f"/repos/{place}/pulls/{pull}/merge", how, MergeAnswer)).sha
            )
        except Said as said:
            now = await self._get(place, pull)
            if (after := _settled(now, head)) is not None:
                return after
            return _not_merged(said, now)

    async def revert(self, task: Task, ground: Ground, merged: str, why: str) -> PullRequest | ForgeRefused:
        """As the port says."""
        site = await self._site(task)
        branch, target = f"overnight/{task.id}-revert-{merged[:12]}", ground.policy.target
        line = marker("revert", f"{task.id}.{merged}", instance_of(self._state))
        found = await self._find(site.place, branch, line)
        if found is not None:
            return found
        pushed = await site.revert(branch, merged, target, self._without(why))
        if isinstance(pushed, ForgeRefused):
            return pushed
        return await self._open(site.place, branch, target, line, f"Revert: {task.title}", why, draft=False)

    # -- what others say ----------------------------------------------------------------------------------------

    async def ci(self, task: Task, commit: str) -> Ci:
        """As the port says."""
        place = await self._place(task.repo)
        at = f"/repos/{place}/commits/{commit}"
        checks: list[CiCheck] = []
        try:
            async for page in self.api.pages(f"{at}/check-runs", CheckRuns, {"filter": "latest"}):
                checks += map(check_of, page.check_runs)
            async for page in self.api.pages(f"{at}/status", CombinedStatus):
                checks += map(check_of_status, page.statuses)
        except Said:  # there is no such commit there
            checks = []
        target = await self._branch(place, task.repo.target)
        protection = target.protection if target else None
        needed = protection.required_status_checks if protection else None
        return ci_of(commit, checks, needed.contexts if needed else ())

    async def comments(self, task: Task, pull: int) -> tuple[Comment, ...]:
        """As the port says."""
        place = await self._place(task.repo)
        at = f"/repos/{place}"
        said: list[Written] = []
        reviews: list[Review] = []
        async for page in self.api.pages(f"{at}/issues/{pull}/comments", tuple[IssueComment, ...]):
            said += page
        async for page in self.api.pages(f"{at}/pulls/{pull}/comments", tuple[ReviewComment, ...]):
            said += page
        async for page in self.api.pages(f"{at}/pulls/{pull}/reviews", tuple[Review, ...]):
            reviews += (review for review in page if review.submitted_at)
        blocks = blocking(reviews)
        said += (review for review in reviews if review.body or review.id in blocks)
        return tuple(
            [
                comment_of(each, await self._trusted(place, each), isinstance(each, Review) and each.id in blocks)
                for each in sorted(said, key=when)
            ]
        )

    async def issues(self, repo: Repo, label: str) -> tuple[Issue, ...]:
        """As the port says."""
        place = await self._place(repo)
        params = {"labels": label, "state": "open", "sort": "created", "direction": "asc"}
        found: list[Issue] = []
        async for page in self.api.pages(f"/repos/{place}/issues", tuple[IssueAnswer, ...], params):
            found += [issue_of(each, await self._trusted(place, each)) for each in page if each.pull_request is UNSET]
        return tuple(found)

    async def tell(self, repo: Repo, number: int, key: str, text: str) -> None:
        """As the port says."""
        place = await self._place(repo)
        at, line = f"/repos/{place}/issues/{number}/comments", marker("said", key, instance_of(self._state))
        try:
            async for page in self.api.pages(at, tuple[IssueComment, ...]):
                if any(carries(comment.body, line) for comment in page):
                    return
            await self.api.send("POST", at, {"body": self._body(line, text)}, IssueComment)
        except Said as said:
            if said.status not in (404, 410):
                raise holds.unfit(f"{number} can't be commented on: {said}") from None

    async def _trusted(self, place: Place, said: Written | IssueAnswer) -> bool:
        """Whether its author may write to the repository now."""
        if said.user is None or said.author_association not in INVITED:
            return False
        path = f"/repos/{place}/collaborators/{quote(said.user.login, safe='')}/permission"
        try:
            return (await self.api.get(path, Permission)).permission in WRITERS
        except Said:
            return False

    # -- inside -------------------------------------------------------------------------------------------------

    async def _get(self, place: Place, pull: int) -> Pull | None:
        try:
            return await self.api.get(f"/repos/{place}/pulls/{pull}", Pull)
        except Said:
            return None

    async def _branch(self, place: Place, branch: str) -> Branch | None:
        try:
            return await self.api.get(f"/repos/{place}/branches/{quote(branch, safe='')}", Branch)
        except Said:
            return None

    async def _shown(self, place: Place, pull: Pull) -> PullRequest:
        """With the base's tip of now: what a pull request says of its base is as old as its last push."""
        base = await self._branch(place, pull.base.ref)
        tip = base.commit.sha if base else pull.base.sha
        merged = pull.merge_commit_sha or "" if pull.merged_at else ""
        return PullRequest(
            number=pull.number, url=pull.html_url, head=pull.head.sha, base=pull.base.ref, base_commit=tip,
            draft=pull.draft, state="merged" if pull.merged_at else pull.state, mergeable=pull.mergeable,
            merged=merged, current=base is not None and await self._holds(place, pull.head.sha, tip),
        )  # fmt: skip

    async def _holds(self, place: Place, head: str, tip: str) -> bool:
        """Whether a head holds a tip. What was once found stays true: both are commits."""
        if (tip, head) not in self._behind:
            try:
                found = await self.api.get(f"/repos/{place}/compare/{tip}...{head}", Comparison, {"per_page": 1})
            except Said:
                return False
            self._behind[tip, head] = found.behind_by
            while len(self._behind) > _COMPARED:
                self._behind.popitem(last=False)
        return self._behind[tip, head] == 0

    def _title(self, title: str) -> str:
        return one_line(self._without(title), _TITLE)

    def _body(self, line: str, body: str) -> str:
        return marked(line, self._without(body))


def _settled(pull: Pull | None, head: str) -> Merged | ForgeRefused | None:
    """What a look says of a merge before it is tried."""
    if pull is None:
        return ForgeRefused(reason="gone", why="it is not there any more")
    if pull.head.sha != head:
        return ForgeRefused(reason="moved", why=f"its head is {pull.head.sha[:12]}, not {head[:12]}")
    if pull.merged_at:
        return Merged(commit=pull.merge_commit_sha or "")
    if pull.state == "closed":
        return ForgeRefused(reason="closed", why="it was closed without a merge")
    return ForgeRefused(reason="draft", why="it is still a draft") if pull.draft else None


def _not_merged(said: Said, now: Pull | None) -> ForgeRefused:
    if said.status == 409:
        return ForgeRefused(reason="moved", why=f"its head or base moved meanwhile: {said.message}")
    if said.status in (405, 422) and now is not None and now.mergeable is False:
        return ForgeRefused(reason="not-mergeable", why=f"it conflicts with `{now.base.ref}`: {said.message}")
    if said.status == 405:
        return ForgeRefused(reason="protected", why=f"the forge does not merge it: {said.message}")
    return ForgeRefused(reason="forbidden", why=f"the token may not merge it: {said.message}")
