"""Looks into a repository for commands: where it is, what is checked out, what its policy says."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec import Struct

from overnight.config import POLICY_FILE, read_policy
from overnight.errors import BadInput, EmptyRepository, NotARepository, PolicyMissing, RepositoryGone
from overnight.landing.git import Git
from overnight.landing.repository import common_dir, find_git_dir
from overnight.missions.policy import Policy
from overnight.missions.task import Repo


class Found(Struct, frozen=True):
    """A repository on disk."""

    #: The top of its work tree, or the bare repository.
    path: Path
    git_dir: Path

    def ask(self, *words: str) -> str | None:
        """What git says, stripped; None when it says no."""
        return asyncio.run(self._git().ask(*words))

    def read(self, *words: str) -> bytes:
        """What git prints. Raises GitFailed."""
        return asyncio.run(self._git().run(*words))

    def commit(self, name: str) -> str | None:
        """The commit that a ref or an id names, or None."""
        return self.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")

    def _git(self) -> Git:
        return Git(common_dir(self.git_dir))


def find_repository(folder: Path) -> Found:
    """The repository that the folder is or lies in. Raises NotARepository."""
    here = folder.resolve()
    for each in (here, *here.parents):
        if (git_dir := find_git_dir(each)) is not None:
            return Found(each, git_dir)
    raise NotARepository(path=here)


def open_repo(repo: Repo) -> Found:
    """The repository of a registered repo. Raises RepositoryGone."""
    git_dir = find_git_dir(Path(repo.path))
    if git_dir is None:
        raise RepositoryGone(path=repo.path, name=repo.name)
    return Found(Path(repo.path), git_dir)


def default_target(found: Found) -> str:
    """The branch checked out; for a detached HEAD the remote's default. Raises BadInput when there is neither."""
    head = Git(found.git_dir)  # a linked worktree has a HEAD of its own
    branch = asyncio.run(head.ask("symbolic-ref", "--quiet", "HEAD"))
    if branch is not None:
        return branch.removeprefix("refs/heads/")
    remote = found.ask("symbolic-ref", "--quiet", "refs/remotes/origin/HEAD")
    if remote is not None and found.commit(f"refs/heads/{remote.removeprefix('refs/remotes/origin/')}"):
        return remote.removeprefix("refs/remotes/origin/")
    problem = f"{found.path} has no branch checked out (detached HEAD): name the branch to land on with `--target`."
    raise BadInput(problem=problem)


def require_commit(found: Found, target: str) -> str:
    """The target's commit. Raises EmptyRepository; BadInput when only that branch is missing."""
    commit = found.commit(f"refs/heads/{target}")
    if commit is not None:
        return commit
    branches = (found.ask("for-each-ref", "--format=%(refname:short)", "refs/heads") or "").split()
    if not branches:
        raise EmptyRepository(path=found.path, target=target)
    known = ", ".join(branches[:5]) + (", ..." if len(branches) > 5 else "")
    raise BadInput(problem=f"{found.path} has no branch {target!r}. It has {known}: name one with `--target`.")


def target_policy(found: Found, target: str) -> Policy:
    """The policy as it is on the target branch. Raises PolicyMissing, PolicyInvalid, EmptyRepository, BadInput."""
    commit = require_commit(found, target)
    if found.ask("cat-file", "-e", f"{commit}:{POLICY_FILE}") is None:
        raise PolicyMissing(target=target, path=found.path)
    policy = read_policy(found.read("cat-file", "blob", f"{commit}:{POLICY_FILE}"), f"{POLICY_FILE} on {target}")
    if policy.target != target:
        problem = (
            f'{POLICY_FILE} on branch {target!r} says `target = "{policy.target}"`: tasks land there. Register that '
            f"branch with `--target {policy.target}`, or mend the file."
        )
        raise BadInput(problem=problem)
    return policy
