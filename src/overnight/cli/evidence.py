"""`overnight evidence` and `overnight risk`"""

from __future__ import annotations

from pathlib import Path

import click

from overnight.cli import home
from overnight.cli.paper import Paper, Part, say, say_json
from overnight.errors import BadInput, BadState
from overnight.judge.evidence import Evidence, digest, for_judges
from overnight.missions.codec import decode
from overnight.missions.places import evidence_file
from overnight.ports import Examined
from overnight.report.story import story


@click.command
@click.argument("task")
@click.option("--export", metavar="DIR", help="Write the bundle and its text into this folder.")
@click.option("--open", "show", is_flag=True, help="Show its text with this system's own program for such files.")
@click.option("--json", "as_json", is_flag=True, help="Print the bundle as JSON.")
def evidence(task: str, export: str | None, show: bool, as_json: bool) -> None:
    """What is known about the latest result of a task that was examined, in the words that judges get.

    It names its commit and is named by its digest; the agent's own words are not in it.
    """
    _, examined, bundle = _of(task)
    if show:
        place = bundle.with_suffix(".md")
        try:
            place.write_text(for_judges(decode(_read(bundle, examined), Evidence)))
        except OSError as error:
            raise BadInput(
                problem=f"{place} can't be written: {error.strerror}. `--export DIR` writes it elsewhere."
            ) from error
        if code := click.launch(str(place)):
            raise BadInput(problem=f"Nothing here opens {place} (code {code}). Read it there, or use `--export DIR`.")
        say(f"Opened {place}.")
        return
    if export is not None:
        folder = Path(export)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{examined.evidence}.json").write_bytes(_read(bundle, examined))
            (folder / f"{examined.evidence}.md").write_text(for_judges(decode(_read(bundle, examined), Evidence)))
        except OSError as error:
            raise BadInput(problem=f"{folder} can't be written: {error.strerror}. Name another folder.") from error
        say(f"Wrote {examined.evidence}.json and .md to {folder}.")
        return
    found = decode(_read(bundle, examined), Evidence)
    if as_json:
        say_json(found)
    else:
        click.echo(for_judges(found), nl=False)


@click.command
@click.argument("task")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def risk(task: str, as_json: bool) -> None:
    """Every point of the risk of a task's latest result, and what no number outweighs."""
    name, examined, _ = _of(task)
    found = examined.risk
    if as_json:
        say_json(found)
        return
    paper = Paper().line(
        f"{name}, commit {examined.commit[:12]}: risk ", (f"{found.score} of 100", "bold"), f" ({found.band})"
    )
    rows: list[list[Part]] = [[f"{each.points:+.1f}", each.name.replace("_", " "), each.why] for each in found.factors]
    if rows:
        paper.grid(rows, indent=2)
    for block in found.blocks:
        paper.line(("blocks: ", "red"), block, indent=2)
    paper.line(f"level {examined.standing.level}: {examined.standing.why}", indent=2)
    paper.print()


def _of(task: str) -> tuple[str, Examined, Path]:
    told = story(home.state_folder(), task)
    examined = next((run.examined for run in reversed(told.runs) if run.examined is not None), None)
    if examined is None:
        raise BadState(
            task=told.row.id, state=told.row.phase, verb="examine", next="No result of it has passed its checks yet."
        )
    return told.row.id, examined, Path(evidence_file(str(home.state_folder()), told.row.id, examined.evidence))


def _read(path: Path, examined: Examined) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(problem=f"{path} can't be read: {error.strerror}. Restore it from a backup.") from error
    if digest(decode(data, Evidence)) != examined.evidence:
        raise BadInput(problem=f"{path} is not the evidence that was recorded: it was changed afterwards.")
    return data
