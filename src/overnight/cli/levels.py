"""`overnight levels`"""

from __future__ import annotations

import asyncio
import time

import click

from overnight.api.shapes import LevelRow
from overnight.cli import home
from overnight.cli.gitlook import open_repo, target_policy
from overnight.cli.paper import Paper, Part, say, say_json
from overnight.cli.words import count
from overnight.judge.autonomy import LEVEL, Fate, Override, level_key
from overnight.judge.routing import Kind
from overnight.missions.codec import builtins
from overnight.missions.judging import Level
from overnight.missions.task import Repo
from overnight.report.find import repo_named
from overnight.report.status import repos


@click.group(invoke_without_command=True)
@click.option("--repo", metavar="NAME", help="Only this repo.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def levels(context: click.Context, repo: str | None, as_json: bool) -> None:
    """How much may happen without you, for each repo and kind of work, and how that was earned or lost.

    L1 reports, L2 works and you land, L3 lands by itself what is proved and of low risk.
    """
    if context.invoked_subcommand is not None:
        return
    state = home.state_folder()
    known = repos(state) if repo is None else (repo_named(state, repo),)
    rows = [row for each in known for row in _rows(each)]
    if as_json:
        say_json(rows)
    elif not rows:
        say("No repo is registered. `overnight repo add PATH` adds one.")
    else:
        lines: list[list[Part]] = [
            [(r.repo, "bold"), r.kind, (r.level, "bold"), f"{r.why}; {_record(r)}"] for r in rows
        ]
        Paper().grid(lines).print()


@levels.command("set")
@click.argument("repo")
@click.argument("kind", type=click.Choice([each.value for each in Kind]))
@click.argument("level", type=click.Choice([each.value for each in Level]))
def set_(repo: str, kind: str, level: str) -> None:
    """Set the level of a REPO and KIND of work, up or down. The repo's policy bounds it.

    It counts from here on: what came before is not looked at any more, and a revert or a broken bound takes it away as
    ever.
    """
    _say(repo, kind, Level(level))
    say(f"{repo}, {kind}: {level} from here on.")


@levels.command()
@click.argument("repo")
@click.argument("kind", type=click.Choice([each.value for each in Kind]))
def reset(repo: str, kind: str) -> None:
    """Forget what became of the changes of a REPO and KIND of work: it begins where the repo's policy lets it begin."""
    _say(repo, kind, None)
    say(f"{repo}, {kind}: begins anew.")


def _say(repo: str, kind: str, level: Level | None) -> None:
    name = repo_named(home.state_folder(), repo).name
    word = Override(level=level, since=time.time(), by=home.user())
    home.ask("put", kind=LEVEL, key=level_key(name, kind), value=builtins(word))


def _rows(repo: Repo) -> list[LevelRow]:
    from overnight.wiring import examiner_for

    settings = home.settings()
    policy = target_policy(open_repo(repo), repo.target).autonomy
    examiner = examiner_for(settings, home.state_folder(), home.redactor())
    rows: list[LevelRow] = []
    for kind in Kind:
        stands, fates = asyncio.run(examiner.level(repo, kind, policy))
        numbers = {fate.value: fates.count(fate) for fate in Fate}
        rows.append(LevelRow(repo=repo.name, kind=kind, level=stands.level, why=stands.why, **numbers))
    return rows


def _record(row: LevelRow) -> str:
    words = [f"{n} {name}" for name in ("landed", "mended", "rejected", "reverted") if (n := getattr(row, name))]
    words += [count(row.security, "broken bound")] if row.security else []
    return ", ".join(words) or "no change yet"
