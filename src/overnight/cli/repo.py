"""`overnight repo ...`"""

from __future__ import annotations

import re
from pathlib import Path

import click

from overnight.cli import home
from overnight.cli.gitlook import Found, default_target, find_repository, open_repo, target_policy
from overnight.cli.paper import Paper, say, say_json
from overnight.errors import BadInput, NotConfirmed, OvernightError
from overnight.missions.codec import builtins
from overnight.missions.task import Repo
from overnight.report.find import repo_named
from overnight.report.status import repos, tasks_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@click.group(no_args_is_help=True)
def repo() -> None:
    """Register, list and remove repositories."""


@repo.command
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("--name", help="What to call it. Default: its folder's name.")
@click.option("--target", metavar="BRANCH", help="The branch to start from and land on. Default: the one checked out.")
def add(path: Path, name: str | None, target: str | None) -> None:
    """Register the repository at PATH (default: here).

    Its overnight.toml must be on the target branch: that is where it is read from, always.
    """
    found = find_repository(path)
    branch = target or default_target(found)
    policy = target_policy(found, branch)
    made = register(found, name, branch)
    proof = f"{len(policy.checks)} checks" if policy.checks else "no checks"
    say("Registered ", (made.name, "bold"), f": {made.path}, branch {branch}, {proof}.")


@repo.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(as_json: bool) -> None:
    """The registered repositories."""
    known = repos(home.state_folder())
    if as_json:
        say_json(known)
        return
    if not known:
        say("No repo is registered. `overnight init` in a repository proposes checks and adds it.")
        return
    paper = Paper()
    paper.grid([((each.name, "bold"), each.target, each.path, *_trouble(each)) for each in known])
    paper.print()


@repo.command
@click.argument("name")
@click.option("--force", is_flag=True, help="Cancel its tasks that have not ended.")
def remove(name: str, force: bool) -> None:
    """Forget a repository. Nothing in it is touched; what its tasks left on refs stays there."""
    state = home.state_folder()
    known = repo_named(state, name)
    left = tasks_of(state, known.name)
    if left and not force:
        how = f"`--force` cancels {'it' if len(left) == 1 else 'them'}"
        raise NotConfirmed(what=f"Removing {name}, where {_tasks(len(left))} not ended,", how=how)
    home.ask("drop", kind="repo", key=known.name)
    for row in left:
        home.ask("want", task=row.id, want="cancel")
    say(f"Removed {known.name}.", f" {_tasks(len(left)).capitalize()} been asked to end." if left else "")


def register(found: Found, name: str | None, target: str) -> Repo:
    """Put a repository on record; the same one again is brought up to date. Raises BadInput for a name in use."""
    known = repos(home.state_folder())
    before = next((each for each in known if Path(each.path) == found.path), None)
    called = name or (before.name if before else _name_of(found.path))
    if not _NAME.fullmatch(called):
        problem = f"{called!r} can't name a repo: use letters, digits, `.`, `_` and `-`, with `--name`."
        raise BadInput(problem=problem)
    if any(each.name == called and each is not before for each in known):
        raise BadInput(problem=f"Another repo is called {called!r} already. Choose a name with `--name`.")
    if before is not None and before.name != called:
        problem = f"{found.path} is registered as {before.name!r}. `overnight repo remove {before.name}` first."
        raise BadInput(problem=problem)
    if not str(found.path).isprintable():
        problem = f"The path {str(found.path)!r} holds characters that can't be kept. Rename the folder."
        raise BadInput(problem=problem)
    made = Repo(name=called, path=str(found.path), target=target)
    home.ask("put", kind="repo", key=called, value=builtins(made))
    return made


def _name_of(path: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name.removesuffix(".git")).strip("-.")
    return name or "repo"


def _trouble(known: Repo) -> tuple[tuple[str, str], ...]:
    try:
        target_policy(open_repo(known), known.target)
    except OvernightError as error:
        return ((str(error), "red"),)
    return ()


def _tasks(n: int) -> str:
    return "one task has" if n == 1 else f"{n} tasks have"
