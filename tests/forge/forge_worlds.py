"""What a test of the port `Forge` needs of the world around it, and the world of the forge in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from overnight.landing.forge.fake import MemoryForge
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.policy import Policy
from overnight.missions.task import Repo, Task
from overnight.ports import CiState, Forge, Ground, Issue, PullRequest, Pushed

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """One call on a loop of its own, as after a restart."""
    return asyncio.run(work)


class ForgeWorld(Protocol):
    """A forge with one repository whose target is `main`, a task, and people and machines that act there."""

    task: Task
    ground: Ground

    def forge(self) -> Forge:
        """A fresh adapter, as after a restart."""
        ...

    def commit(self, what: str) -> str:
        """A commit of Overnight's on top of the forge's target as it is now. what: tells commits apart."""
        ...

    def ahead(self) -> None:
        """The task is based on a commit of Overnight's that landed here and that the forge does not have."""
        ...

    def clashing(self) -> str:
        """Such a commit, and then a commit by somebody else on the target that changes the same place."""
        ...

    def target_moves(self) -> str:
        """Somebody pushes to the target; its new tip."""
        ...

    def undone_elsewhere(self) -> None:
        """Somebody changes on the target what the last merge changed."""
        ...

    def branch_moves(self) -> str:
        """Somebody pushes to the task's branch by force; its new tip."""
        ...

    def branch_goes(self) -> None:
        """Somebody deletes the task's branch."""
        ...

    def branch(self) -> str | None:
        """Where the task's branch is on the forge."""
        ...

    def tip(self) -> str:
        """Where the target is on the forge."""
        ...

    def reports(self, commit: str, state: CiState, name: str = "ci") -> None:
        """A check says how a commit does."""
        ...

    def requires(self, name: str) -> None:
        """The target's protection requires a check from now on."""
        ...

    def refuses_merges(self) -> None:
        """The target's protection lets nobody merge from now on."""
        ...

    def says(self, pull: int, body: str, *, trusted: bool = True, path: str = "", line: int | None = None) -> None:
        """Somebody comments, on the whole or on a line."""
        ...

    def reviews(self, pull: int, body: str, *, blocks: bool, author: str = "pat") -> None:
        """Somebody who may write there reviews: asks for changes, or approves."""
        ...

    def asks(self, title: str, *labels: str, trusted: bool = True) -> int:
        """Somebody opens an issue; its number."""
        ...

    def told(self, number: int) -> list[str]:
        """What Overnight said on an issue."""
        ...

    def closes(self, pull: int) -> None:
        """Somebody closes a pull request."""
        ...

    def merged_by_hand(self, pull: int) -> str:
        """Somebody merges one; the merge's commit."""
        ...

    def changes_base(self, pull: int) -> None:
        """Somebody has it merged into branch `other`."""
        ...

    def pulls(self) -> int:
        """How many pull requests were ever opened."""
        ...

    def holds(self, reason: str) -> None:
        """limit-reached, vendor-outage, network-lost or auth-expired: from now on, the forge answers nothing else."""
        ...


class MemoryWorld:
    """`ForgeWorld` around the forge in memory."""

    def __init__(self) -> None:
        self.it = MemoryForge()
        self.task = Task(
            id="t1", repo=Repo(name="repo", path="/nowhere", target="main"), title="Add a thing", text="Please."
        )
        self.ground = Ground(base="base", policy=Policy(), worktree="/nowhere/t1", objects="/nowhere/objects")
        self._clashing: set[str] = set()

    def forge(self) -> Forge:
        """The same one: it is the world itself."""
        return self.it

    def commit(self, what: str) -> str:
        """As the protocol says."""
        return f"commit {what} on {self.it.branches['main']}"

    def ahead(self) -> None:
        """As the protocol says."""
        self.ground = replace(self.ground, base="landed here")

    def clashing(self) -> str:
        """As the protocol says."""
        commit = self.commit("clashing")
        self.target_moves()
        self.it.conflicts(1)
        return commit

    def target_moves(self) -> str:
        """As the protocol says."""
        self.it.moves("main", f"more than {self.it.branches['main']}")
        return self.it.branches["main"]

    def undone_elsewhere(self) -> None:
        """As the protocol says."""
        self.target_moves()
        self.it.in_the_way = True

    def branch_moves(self) -> str:
        """As the protocol says."""
        self.it.moves("overnight/t1", "somebody's")
        return "somebody's"

    def branch_goes(self) -> None:
        """As the protocol says."""
        self.it.deletes("overnight/t1")

    def branch(self) -> str | None:
        """As the protocol says."""
        return self.it.branches.get("overnight/t1")

    def tip(self) -> str:
        """As the protocol says."""
        return self.it.branches["main"]

    def reports(self, commit: str, state: CiState, name: str = "ci") -> None:
        """As the protocol says."""
        self.it.report(commit, state, name, "what it says of itself")

    def requires(self, name: str) -> None:
        """As the protocol says."""
        self.it.required += (name,)

    def refuses_merges(self) -> None:
        """As the protocol says."""
        self.it.merges = False

    def says(self, pull: int, body: str, *, trusted: bool = True, path: str = "", line: int | None = None) -> None:
        """As the protocol says."""
        author = "pat" if trusted else "stranger"
        self.it.say(pull, body, author=author, trusted=trusted, path=path, line=line)

    def reviews(self, pull: int, body: str, *, blocks: bool, author: str = "pat") -> None:
        """As the protocol says."""
        self.it.review(pull, body, blocks=blocks, author=author)

    def asks(self, title: str, *labels: str, trusted: bool = True) -> int:
        """As the protocol says."""
        n = 100 + len(self.it.asked)
        author = "pat" if trusted else "stranger"
        issue = Issue(number=n, url=f"https://forge.example/{n}", author=author, trusted=trusted, title=title, body="?")
        self.it.asked[n] = (labels, issue)
        return n

    def told(self, number: int) -> list[str]:
        """As the protocol says."""
        return [text for (n, _), text in self.it.told.items() if n == number]

    def closes(self, pull: int) -> None:
        """As the protocol says."""
        self.it.closes(pull)

    def merged_by_hand(self, pull: int) -> str:
        """As the protocol says."""
        return self.it.merged_by_hand(pull)

    def changes_base(self, pull: int) -> None:
        """As the protocol says."""
        self.it.moves("other", "base")
        self.it.rebases(pull, "other")

    def pulls(self) -> int:
        """As the protocol says."""
        return len(self.it.pulls)

    def holds(self, reason: str) -> None:
        """As the protocol says."""
        self.it.hold = Hold(reason=HoldReason(reason), why="it says so", releases_on="another try", until=1.0)


def pushed(world: ForgeWorld, what: str = "one") -> Pushed:
    """A commit on the task's branch of the forge."""
    found = run(world.forge().push(world.task, world.ground, world.commit(what)))
    assert isinstance(found, Pushed), found
    return found


def opened(world: ForgeWorld, what: str = "one") -> PullRequest:
    """A draft pull request with one commit."""
    found = run(world.forge().open(world.task, world.ground, pushed(world, what), "Add a thing", "What was done"))
    assert isinstance(found, PullRequest), found
    return found


def looked(world: ForgeWorld, pull: int) -> PullRequest:
    """One that is known to be there, as it is now."""
    found = run(world.forge().look(world.task, pull))
    assert found is not None
    return found
