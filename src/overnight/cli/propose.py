"""What a repository says about its own checks, turned into a commented `overnight.toml`.

Only files are read; no command of the repository runs here. Every proposal names the file that it comes from, so
that a person can tell at once whether it is right.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import wrap

from msgspec import Struct

from overnight.cli.detect import Look, ProposedCheck, checks_of
from overnight.cli.toolfolders import ToolFolder, tool_folders
from overnight.config.places import POLICY_FILE
from overnight.config.policy import BAD_BRANCH
from overnight.errors import BadInput, NotARepository


class Proposal(Struct, frozen=True, kw_only=True):
    """What `init` proposes for a repository."""

    #: The repository's top folder; for a bare one, the folder itself.
    root: str
    target: str
    checks: tuple[ProposedCheck, ...] = ()
    #: Folders outside the system's own that the checks' programs live in, for `[box] tools` of the machine.
    tools: tuple[ToolFolder, ...] = ()
    #: What a person should know before the checks run; each one sentence or two.
    notes: tuple[str, ...] = ()


def propose(root: Path, env: Mapping[str, str] | None = None) -> Proposal:
    """Look at the repository that `root` lies in. env: where PATH and HOME are read from; the process's own if None.

    Raises NotARepository.
    """
    env = os.environ if env is None else env
    top = _top(root)
    look = Look(top)
    checks = checks_of(look)
    folders, tool_notes = tool_folders(top, (c.run for c in checks), env)
    notes = (*_notes(look, checks), *tool_notes)
    return Proposal(root=str(top), target=_default_branch(top), checks=checks, tools=folders, notes=notes)


# -- git ----------------------------------------------------------------------------------------------------


def _git(folder: Path, *words: str) -> str | None:
    # Variables such as GIT_DIR would answer for another repository.
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *words], capture_output=True, env=env, check=False
    )
    return os.fsdecode(done.stdout).removesuffix("\n") if done.returncode == 0 else None


def _top(root: Path) -> Path:
    if not root.is_dir():
        raise NotARepository(path=root.absolute())
    top = _git(root, "rev-parse", "--show-toplevel")
    if top:
        return Path(top)
    if _git(root, "rev-parse", "--is-bare-repository") == "true":
        return Path(_git(root, "rev-parse", "--absolute-git-dir") or root)
    raise NotARepository(path=root.absolute())


def _default_branch(top: Path) -> str:
    """What the remote calls its default, else what is checked out, else a branch with a usual name."""
    remote = _git(top, "symbolic-ref", "--quiet", "refs/remotes/origin/HEAD")
    branch = (remote or "").removeprefix("refs/remotes/origin/")
    if not branch or _git(top, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}") is None:
        branch = (_git(top, "symbolic-ref", "--quiet", "HEAD") or "").removeprefix("refs/heads/")
    if not branch:  # a detached HEAD
        usual = ("main", "master", "trunk", "develop")
        known = (b for b in usual if _git(top, "rev-parse", "--verify", "--quiet", f"refs/heads/{b}") is not None)
        branch = next(known, "main")
    if BAD_BRANCH.search(branch) or not _is_text(branch):
        raise BadInput(problem=f"Branch {branch!r} of {top} can't be named in {POLICY_FILE}: check out another branch.")
    return branch


def _is_text(text: str) -> bool:
    return not any(0xD800 <= ord(c) < 0xE000 for c in text)


# -- what a person should know --------------------------------------------------------------------------------


def _notes(look: Look, checks: tuple[ProposedCheck, ...]) -> Iterator[str]:
    if not checks:
        yield (
            "Nothing here says how to check a change. Without a check Overnight proves nothing, so results stay on "
            "branches; add commands under [checks] to let them be merged."
        )
    runs = [c.run for c in checks]
    yield from _python_notes(look, any("python3 -m " in run for run in runs))
    if any(" run " in f" {run}" for run in runs) and _node_needs(look):
        yield (
            "package.json names dependencies, and node_modules/ is not in a fresh checkout. Keep an installed copy "
            "outside the repository, list it under `[box] tools` in your own settings, and let each check begin with "
            "`ln -s /THE/COPY/node_modules node_modules && `."
        )
    if any(run.startswith("cargo ") for run in runs) and "source = " in look.text("Cargo.lock"):
        yield from _vendored(look, "Cargo.lock", "cargo vendor")
    if any(run.startswith("go ") for run in runs) and look.text("go.sum").strip():
        yield from _vendored(look, "go.sum", "go mod vendor")
    if look.first(".pre-commit-config.yaml", ".pre-commit-config.yml"):
        yield (
            "pre-commit fetches its hooks from the network, so it is not proposed as a whole; hooks that are known here "
            "are proposed one by one."
        )
    if look.has(".gitmodules"):
        yield "Submodules are not checked out for a task; checks that need their files will fail."


def _python_notes(look: Look, used: bool) -> Iterator[str]:
    if not used:
        return
    named = look.first("uv.lock", "poetry.lock", "requirements.txt")
    virtual = look.first(".venv", "venv")
    if virtual:
        yield (
            f"{virtual}/ can't serve the checks: it is not in a fresh checkout, and an environment made for this folder "
            f"tests this folder's code."
        )
    if virtual or named:
        yield (
            f"The checks use the first python3 on their PATH. If they need what {named or 'the project'} installs, make "
            f"an environment outside the repository, install the dependencies there without the project itself, and list "
            f"it first under `[box] tools` in your own settings."
        )


def _node_needs(look: Look) -> bool:
    package = look.json("package.json")
    return bool(package.get("dependencies") or package.get("devDependencies"))


def _vendored(look: Look, name: str, command: str) -> Iterator[str]:
    if not look.has("vendor"):
        yield f"{name} names dependencies, and checks have no network of their own: `{command}` puts them into the repository."


# -- writing --------------------------------------------------------------------------------------------------


def render(proposal: Proposal) -> str:
    """The proposal as a commented `overnight.toml` that `read_policy` accepts."""
    merge = bool(proposal.checks)
    lines = [
        f"# {POLICY_FILE}: what Overnight may do in this repository, and what proves a change.",
        "# It is read from the target branch; a task can't change the rules it is judged by.",
        "",
        "# The branch that tasks start from and land on.",
        f"target = {_quote(proposal.target)}",
        "",
        '# "merge": a proved change is merged into the target branch here. "branch": it is left on a branch for you.',
        f"landing = {_quote('merge' if merge else 'branch')}",
        "",
        'agent = "claude"',
        "",
        "# Every check must pass, on exactly the commit that lands. Each runs in a fresh checkout, in a box without",
        "# network. What this folder has besides, such as .venv/ or node_modules/, is not there.",
        "[checks]",
    ]
    for check in proposal.checks:
        lines += [f"# {_comment(check.why)}", f"{check.name} = {_check(check)}"]
    if not proposal.checks:
        lines += ['# test = { run = "make test", limit = "10m" }']
    lines += ["", *_noted(proposal.notes)]
    if merge:
        lines += [
            "",
            "# Families of models that must pass a change before it merges by itself. On a machine without judges each",
            "# change waits for your `overnight approve`; 0 leaves it to checks and risk.",
            "[judges]",
            "families = 2",
        ]
    lines += [
        "",
        "[limits]",
        "# Runs that end without a proved result before the task fails.",
        "attempts = 3",
        "# One run of the agent is stopped after this time, and after this long without any output.",
        'wall = "2h"',
        'silence = "8m"',
    ]
    return "\n".join(_squeeze(lines)) + "\n"


def _noted(notes: Iterable[str]) -> Iterator[str]:
    for note in notes:
        yield from wrap(f"Note: {_comment(note)}", 118, initial_indent="# ", subsequent_indent="#   ")


def _squeeze(lines: Iterable[str]) -> Iterator[str]:
    before = ""
    for line in lines:
        if line or before:
            yield line
        before = line


def _check(check: ProposedCheck) -> str:
    return f"{{ run = {_quote(check.run)}, limit = {_quote(check.limit)} }}"


def _quote(text: str) -> str:
    """A TOML basic string. JSON's escapes differ where they matter: surrogate pairs and DEL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
