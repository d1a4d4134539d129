"""`overnight init`"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from overnight.cli.gitlook import Found, find_repository, require_commit
from overnight.cli.paper import Paper, note, say
from overnight.cli.propose import Proposal, propose, render
from overnight.cli.repo import register
from overnight.config import POLICY_FILE, read_policy
from overnight.errors import BadInput, NotConfirmed, OvernightError
from overnight.missions.hold import Held
from overnight.missions.policy import Policy
from overnight.missions.run import CheckResult
from overnight.missions.units import show_duration
from overnight.report.story import proof


@click.command
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("--name", help="What to call the repo. Default: its folder's name.")
@click.option("--force", is_flag=True, help=f"Write {POLICY_FILE} anew even if there is one.")
@click.option("--no-try", is_flag=True, help="Do not run the proposed checks.")
@click.option("--no-register", is_flag=True, help="Only write the file.")
def init(path: Path, name: str | None, force: bool, no_try: bool, no_register: bool) -> None:
    """Look at the repository at PATH, propose checks, run them once in a box, write a commented overnight.toml."""
    found = find_repository(path)
    file = found.path / POLICY_FILE
    if found.git_dir == found.path:
        problem = (
            f"{found.path} is a bare repository: commit {POLICY_FILE} in a clone, push it, then `overnight repo add`."
        )
        raise BadInput(problem=problem)
    if os.path.lexists(file) and not force:
        how = (
            f"`overnight init --force` replaces it; `overnight repo add {found.path}` registers the repository with it"
        )
        raise NotConfirmed(what=f"Replacing {file}", how=how)
    proposal = propose(found.path)
    require_commit(found, proposal.target)
    text = render(proposal)
    policy = read_policy(text.encode(), POLICY_FILE)
    _show(proposal)
    if policy.checks and not no_try:
        _try(found, policy)
    _write(file, text)
    say("Wrote ", (str(file), "bold"), ". Read it: it says what may land.")
    if not no_register:
        made = register(found, name, proposal.target)
        say("Registered ", (made.name, "bold"), f": branch {made.target}.")
    _next(found.path, proposal, registered=not no_register)


def _show(proposal: Proposal) -> None:
    paper = Paper()
    paper.line((proposal.root, "bold"), f", branch {proposal.target}")
    paper.grid([((check.name, "bold"), check.run, (check.why, "dim")) for check in proposal.checks], indent=2)
    if not proposal.checks:
        paper.line("found no checks", indent=2)
    for text in proposal.notes:
        paper.line(("note: ", "yellow"), text, indent=2)
    if proposal.tools:
        folders = ", ".join(f'"{tool.folder}"' for tool in proposal.tools)
        programs = ", ".join(dict.fromkeys(program for tool in proposal.tools for program in tool.programs))
        paper.line(("note: ", "yellow"), f"{programs} live where no box looks. Your settings can show them:", indent=2)
        paper.line(f"[box] tools = [{folders}]", indent=8)
    paper.print()


def _try(found: Found, policy: Policy) -> None:
    """Run the proposed checks as tasks will. What they say is for the person to judge; nothing depends on it."""
    from overnight.wiring import try_checks

    note("Running the checks once, each in a box, on the commit checked out ...")
    try:
        results = asyncio.run(try_checks(found.path, policy))
    except (OvernightError, Held) as error:
        say(("They could not be run: ", "yellow"), str(error))
        return
    paper = Paper()
    paper.grid([_result(result) for result in results], indent=2)
    if any(not result.passed for result in results):
        paper.line(
            "A check that fails before any work proves nothing, and where none passes, nothing lands. Mend it, or "
            "take it out of the file."
        )
    paper.print()


def _result(result: CheckResult) -> tuple[tuple[str, str], tuple[str, str], str, str]:
    word = ("passed", "green") if result.passed else ("failed", "red")
    how = "time limit" if result.code is None else f"exit {result.code}"
    return (result.name, "bold"), word, f"{how}, {show_duration(result.seconds)}", proof(result.output)


def _write(file: Path, text: str) -> None:
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadInput(problem=f"{file} can't be written: {error.strerror}. Mend the folder's permissions.") from error


def _next(root: Path, proposal: Proposal, *, registered: bool) -> None:
    here = "" if root == Path.cwd() else f"-C {root} "
    paper = Paper().gap().line(("Next", "bold"))
    paper.line(f"git {here}add {POLICY_FILE} && git {here}commit -m 'Say what Overnight may do'", indent=2)
    if not registered:
        paper.line(f"overnight repo add {root}", indent=2)
    paper.line(f'overnight add "what you want done"   (the file counts once it is on {proposal.target})', indent=2)
    paper.print()
