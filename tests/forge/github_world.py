"""The port's world around the GitHub adapter: a local GitHub, a person's clone and Overnight's commits in it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from forge_worlds import ForgeWorld
from msgspec.structs import replace

from overnight.landing.forge.github import GitHubForge
from overnight.landing.forge.local.server import TOKEN, Fault, LocalGitHub
from overnight.landing.forge.settings import ForgeSettings
from overnight.landing.git import Observer, unobserved
from overnight.missions.policy import Policy
from overnight.missions.task import Repo, Task
from overnight.ports import CiState, Ground

_OURS = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Overnight"), ("EMAIL", "overnight@localhost"))
}
_ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
_CONCLUSIONS = {CiState.GREEN: "success", CiState.RED: "failure", CiState.PENDING: None, CiState.NONE: "skipped"}


class GitHubWorld(ForgeWorld):
    """`ForgeWorld` around the adapter for GitHub."""

    def __init__(self, root: Path, github: LocalGitHub) -> None:
        self.root, self.github, self.store = root, github, github.store
        self.repo, self.state = root / "repo", root / "state"
        self.state.mkdir()
        first = self.store.commits("main", {"a.txt": "one", "b.txt": "one"}, "first")
        self.here("init", "-q", "-b", "main", str(self.repo), where=root)
        self.here("remote", "add", "origin", f"{github.git}/{self.store.place}.git")
        self.take("main")
        self.here("reset", "-q", "--hard", first)
        self.settings = ForgeSettings(kind="github", api=github.api, git=github.git, spare=0)
        self.task = Task(
            id="t1", repo=Repo(name="site", path=str(self.repo), target="main"), title="Add a thing", text="Please."
        )
        self.ground = Ground(
            base=first, policy=Policy(), worktree=str(root / "none"), objects=str(self.repo / ".git/objects")
        )
        self.token = TOKEN

    # -- a person's own git -------------------------------------------------------------------------------------

    def here(self, *args: str, where: Path | None = None, env: dict[str, str] | None = None) -> str:
        """git in the person's clone."""
        ran = subprocess.run(
            ["git", *args], cwd=where or self.repo, env={**_ENV, **_OURS, **(env or {})}, capture_output=True, text=True
        )
        assert ran.returncode == 0, (args, ran.stderr)
        return ran.stdout.strip()

    def take(self, branch: str) -> str:
        """A branch of the forge, fetched past its HTTP; its tip."""
        self.here("fetch", "-q", str(self.store.git_dir), branch)
        return self.here("rev-parse", "FETCH_HEAD")

    def committed(
        self, parent: str, files: Mapping[str, str | bytes], message: str, env: dict[str, str] | None = None
    ) -> str:
        """A commit in the clone, on no branch."""
        index = {"GIT_INDEX_FILE": str(self.root / "index"), **(env or {})}
        self.here("read-tree", parent, env=index)
        for path, text in files.items():
            (self.root / "blob").write_bytes(text.encode() if isinstance(text, str) else text)
            blob = self.here("hash-object", "-w", str(self.root / "blob"))
            self.here("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=index)
        tree = self.here("write-tree", env=index)
        return self.here("commit-tree", tree, "-p", parent, "-m", message, env=index)

    # -- the protocol -------------------------------------------------------------------------------------------

    def forge(
        self,
        observer: Observer = unobserved,
        secrets: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> GitHubForge:
        """As the protocol says."""
        return GitHubForge(self.state, self.settings, self.token, observer=observer, secrets=secrets, clock=clock)

    def commit(self, what: str) -> str:
        """As the protocol says."""
        return self.committed(self.take("main"), {f"{what}.txt": what}, f"Add {what}")

    def ahead(self) -> None:
        """As the protocol says."""
        self.ground = replace(self.ground, base=self.committed(self.take("main"), {"l.txt": "landed"}, "Landed here"))

    def clashing(self) -> str:
        """As the protocol says."""
        commit = self.committed(self.take("main"), {"a.txt": "ours"}, "Ours")
        self.store.commits("main", {"a.txt": "theirs"}, "Theirs")
        return commit

    def target_moves(self) -> str:
        """As the protocol says."""
        return self.store.commits("main", {"c.txt": self.tip()}, "More")

    def undone_elsewhere(self) -> None:
        """As the protocol says."""
        self.store.commits("main", {"one.txt": "theirs"}, "Theirs")

    def branch_moves(self) -> str:
        """As the protocol says."""
        theirs = self.store.commits("elsewhere", {"d.txt": "theirs"}, "Theirs")
        self.store.moves("overnight/t1", theirs)
        return theirs

    def branch_goes(self) -> None:
        """As the protocol says."""
        self.store.deletes("overnight/t1")

    def branch(self) -> str | None:
        """As the protocol says."""
        return self.store.at("overnight/t1") or None

    def tip(self) -> str:
        """As the protocol says."""
        return self.store.at("main")

    def reports(self, commit: str, state: CiState, name: str = "ci") -> None:
        """As the protocol says."""
        self.store.reports(commit, name, _CONCLUSIONS[state], "what it says of itself")

    def requires(self, name: str) -> None:
        """As the protocol says."""
        self.store.required += (name,)

    def refuses_merges(self) -> None:
        """As the protocol says."""
        self.store.locked = True

    def says(self, pull: int, body: str, *, trusted: bool = True, path: str = "", line: int | None = None) -> None:
        """As the protocol says. Who may not write may still be called a collaborator."""
        login = "pat" if trusted else "stranger"
        self.store.permissions |= {"pat": "write", "stranger": "read"}
        self.store.says(pull, login, body, "COLLABORATOR", path, line)

    def reviews(self, pull: int, body: str, *, blocks: bool, author: str = "pat") -> None:
        """As the protocol says."""
        self.store.permissions[author] = "write"
        self.store.reviewed(pull, author, "CHANGES_REQUESTED" if blocks else "APPROVED", body)

    def asks(self, title: str, *labels: str, trusted: bool = True) -> int:
        """As the protocol says."""
        self.store.permissions |= {"pat": "write", "stranger": "read"}
        return self.store.asks("pat" if trusted else "stranger", title, "?", *labels, association="COLLABORATOR")

    def told(self, number: int) -> list[str]:
        """As the protocol says."""
        return [said["body"].rpartition("-->")[2].strip() for said in self.store.comments.get(number, [])]

    def closes(self, pull: int) -> None:
        """As the protocol says."""
        self.store.closes(pull)

    def merged_by_hand(self, pull: int) -> str:
        """As the protocol says."""
        return self.store.merged_by(pull)

    def changes_base(self, pull: int) -> None:
        """As the protocol says."""
        self.store.commits("other", {"o.txt": "other"}, "Other")
        self.store.pulls[pull]["base"] = "other"

    def pulls(self) -> int:
        """As the protocol says."""
        return len(self.store.pulls)

    def holds(self, reason: str) -> None:
        """As the protocol says."""
        match reason:
            case "limit-reached":
                self.github.faults.append(Fault("secondary", status=429))
            case "vendor-outage":
                self.github.faults.append(Fault("status", status=503))
            case "network-lost":
                self.github.faults.append(Fault("hang-up"))
            case _:
                self.token = "another"

    def without_drafts(self) -> None:
        """Settings that know of a plan without drafts."""
        self.settings = replace(self.settings, drafts=False)

    def with_spare(self, spare: int) -> ForgeSettings:
        """Settings that leave so many requests of the hour."""
        return replace(self.settings, spare=spare)

    def with_place(self, place: str) -> ForgeSettings:
        """Settings that name the place."""
        return replace(self.settings, repos={"site": place})

    def nowhere(self) -> None:
        """Settings of a forge that is not there: a port that was just given up."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        away = f"http://127.0.0.1:{port}"
        self.settings = replace(self.settings, api=f"{away}/api/v3", git=f"{away}/git", repos={"site": "acme/site"})
