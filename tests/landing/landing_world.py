"""A user's repository, a state folder and a task, all real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from overnight.boxes.bubblewrap import Bubblewrap
from overnight.boxes.none import Unconfined
from overnight.config.policy import read_policy
from overnight.landing.checks import BoxedChecks, CheckSettings
from overnight.landing.git import Observer, unobserved
from overnight.landing.queue import LocalLander
from overnight.landing.worktree import LocalWorkshop, WorkshopSettings
from overnight.missions.run import Result
from overnight.missions.task import Repo, Task
from overnight.ports import Box, Ground, Landed, Staged
from testkit.repos import git

T = TypeVar("T")
BOXES: dict[str, Callable[[], Box]] = {"none": Unconfined, "bubblewrap": Bubblewrap}


def run(work: Coroutine[Any, Any, T]) -> T:
    """One call on a loop of its own, as after a restart."""
    return asyncio.run(work)


def write(where: Path, files: Mapping[str, str | bytes | None]) -> None:
    """Files by name; None removes one."""
    for name, content in files.items():
        path = where / name
        if content is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def commit(where: Path, files: Mapping[str, str | bytes | None], message: str = "change") -> str:
    """Write (or with None remove) files and commit them; returns the commit."""
    write(where, files)
    git(where, "add", "--force", "--all", "--", *files)
    git(where, "commit", "-q", "-m", message)
    return git(where, "rev-parse", "HEAD")


class World:
    """One repository `repo/` on branch main and everything of this room around it."""

    def __init__(self, root: Path, box: Box | None = None, *, bare: bool = False, object_format: str = "sha1") -> None:
        self.root, self.repo, self.state = root, root / "repo", root / "state"
        self.box = box or Unconfined()
        git(root, "init", "-q", "-b", "main", f"--object-format={object_format}", str(self.repo))
        self.first = commit(self.repo, {"overnight.toml": "", "a.txt": "one\n", "sub/b.txt": "b\n"}, "first")
        if bare:
            git(root, "clone", "-q", "--bare", str(self.repo), str(root / "bare.git"))
            self.repo.rename(root / "seed")
            self.repo = root / "bare.git"
        self.task = Task(
            id="t1", repo=Repo(name="repo", path=str(self.repo), target="main"), title="Add a thing", text="Please."
        )

    def workshop(self, observer: Observer = unobserved, settings: WorkshopSettings | None = None) -> LocalWorkshop:
        """A fresh one, as after a restart."""
        settings = settings or WorkshopSettings(min_free=0)
        return LocalWorkshop(self.state, self.box, read_policy, settings, observer)

    def lander(self, observer: Observer = unobserved) -> LocalLander:
        """A fresh one, as after a restart."""
        return LocalLander(self.state, observer)

    def checks(self, **settings: Any) -> BoxedChecks:
        """A fresh one, as after a restart."""
        return BoxedChecks(self.state, self.box, CheckSettings(**settings))

    def prepare(self) -> Ground:
        """The ground of the task."""
        return run(self.workshop().prepare(self.task))

    def open(self, ground: Ground, n: int = 1, start: str | None = None, against: str | None = None) -> Path:
        """The private git dir of run n."""
        return Path(run(self.workshop().open(self.task, ground, f"t1.1.{n}", start or ground.base, against)))

    def collect(self, ground: Ground, n: int = 1, start: str | None = None, whole: bool = True) -> Result:
        """What run n left."""
        git_dir = str(self.state / f"runs/t1/1/{n}/git")
        return run(self.workshop().collect(self.task, ground, f"t1.1.{n}", git_dir, start or ground.base, whole))

    def agent(self, ground: Ground, git_dir: Path) -> Callable[..., str]:
        """git as the agent of that run has it."""
        env = {"GIT_DIR": str(git_dir), "GIT_WORK_TREE": ground.worktree, "GIT_CONFIG_GLOBAL": "/dev/null"}
        return lambda *args: git(Path(ground.worktree), *args, env=env)

    def change(self, files: Mapping[str, str | bytes | None], message: str = "work") -> tuple[Ground, str]:
        """A ground and a commit on top of its base that the repository has, as a run would leave it."""
        ground = self.prepare()
        git_dir = self.open(ground)
        write(Path(ground.worktree), files)
        agent = self.agent(ground, git_dir)
        agent("add", "-A")
        agent("commit", "-q", "-m", message)
        return ground, self.collect(ground).commit

    def stage(self, ground: Ground, work: str) -> Staged:
        """A merge that is known not to conflict."""
        staged = run(self.lander().stage(self.task, ground, work, "t1.1.1"))
        assert isinstance(staged, Staged), staged
        return staged

    def land(self, ground: Ground, staged: Staged) -> Landed:
        """A landing that is known not to lose."""
        landed = run(self.lander().land(self.task, ground, staged))
        assert isinstance(landed, Landed), landed
        return landed

    def refs(self) -> dict[str, str]:
        """Every ref of the user's repository."""
        lines = git(self.repo, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}
