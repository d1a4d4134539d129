"""`overnight add`"""

from __future__ import annotations

import re
import secrets
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from overnight.cli import home
from overnight.cli.checklist import checklist
from overnight.cli.gitlook import open_repo, target_policy
from overnight.cli.paper import note, say, say_json, terminal
from overnight.errors import BadInput, UnknownAgent
from overnight.flows.task import WORK, ask_about
from overnight.landing.text import one_line
from overnight.missions.clarify import Question, show_questions, understand
from overnight.missions.codec import builtins
from overnight.missions.policy import LandingMode, Policy, Tier
from overnight.missions.task import Phase, Repo, Task
from overnight.missions.units import Duration
from overnight.report.find import repo_around, repo_named, task_id
from overnight.report.status import repos
from overnight.report.story import story
from overnight.report.views import State

#: A text longer than this is a mistake: an agent reads it whole.
LONGEST = 1 << 20
TITLE, SLUG, RANDOM = 100, 32, 4
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


@click.command
@click.argument("text", nargs=-1)
@click.option("--file", "file", metavar="PATH", help="Read the text from a file; `-` is standard input.")
@click.option(
    "--runbook",
    metavar="PATH",
    help="Carry out this checklist of numbered steps; it is committed on the target branch.",
)
@click.option("--title", help="One line that names the task. Default: the first line of the text.")
@click.option("--repo", metavar="NAME", help="The repo to work on. Default: the one whose folder you stand in.")
@click.option("--accept", multiple=True, metavar="TEXT", help="Something that must be true at the end. Repeatable.")
@click.option("--after", multiple=True, metavar="TASK", help="Begin when this task has landed. Repeatable.")
@click.option("--priority", type=click.IntRange(-1000, 1000), default=0, help="Higher goes first. Default: 0.")
@click.option(
    "--landing",
    type=click.Choice([mode.value for mode in LandingMode]),
    help="How it lands, instead of what the repo says.",
)
@click.option("--agent", metavar="NAME", help="The agent to run, instead of what the repo says.")
@click.option("--model", metavar="MODEL", help="The model to ask for, in the agent's own words.")
@click.option(
    "--tier",
    type=click.Choice([tier.value for tier in Tier]),
    help="The tier of models, instead of what fits its words.",
)
@click.option(
    "--path", "paths", multiple=True, metavar="GLOB", help="It is about these paths only, such as `src/**`. Repeatable."
)
@click.option(
    "--estimate", metavar="TIME", help="How long one run should take, such as `45m`. One much longer is ended."
)
@click.option("--attempts", type=click.IntRange(1, 20), help="Runs it may spend, instead of what the repo says.")
@click.option("--as-is", is_flag=True, help="Ask nothing about it before it starts, however little it says.")
@click.option("--json", "as_json", is_flag=True, help="Print the task as JSON.")
def add(
    text: tuple[str, ...],
    file: str | None,
    runbook: str | None,
    title: str | None,
    repo: str | None,
    accept: tuple[str, ...],
    after: tuple[str, ...],
    priority: int,
    landing: str | None,
    agent: str | None,
    model: str | None,
    tier: str | None,
    paths: tuple[str, ...],
    estimate: str | None,
    attempts: int | None,
    as_is: bool,
    as_json: bool,
) -> None:
    """Put a task on the queue.

    TEXT says in words what you want, as you would tell a colleague. What leaves too much open is asked about: at once
    at a terminal, else before the task starts. Piped, the command prints the new task's id and nothing else.
    """
    words = "" if runbook and not (text or file) else _text(text, file)
    state = home.state_folder()
    chosen = _repo(state, repo)
    mode = LandingMode(landing) if landing else None
    policy = target_policy(open_repo(chosen), chosen.target)
    _check(policy, mode, agent)
    steps = checklist(chosen, policy, runbook) if runbook else None
    if steps is not None:
        words = words or f"Carry out the runbook `{steps.path}`."
        title = title or (steps.runbook.title if not text and not file else None)
    name = _title(title or words)
    task = Task(
        id=new_id(name),
        repo=chosen,
        title=name,
        text=words,
        acceptance=accept,
        after=tuple(_before(state, each) for each in after),
        priority=priority,
        landing=mode,
        agent=agent,
        model=model,
        tier=Tier(tier) if tier else None,
        paths=_globs(paths),
        estimate=float(Duration.parse(estimate)) if estimate else None,
        attempts=attempts,
        as_is=as_is,
        runbook=steps.path if steps else None,
    )
    questions = ask_about(task, policy.clarify).questions
    answer = _ask(questions) if questions else ""
    task = submit(task)
    if answer:
        home.ask("signal", task=task.id, name="answer", payload=answer)
    if as_json:
        say_json(task)
    elif terminal():
        say("Queued ", (task.id, "bold"), f" in {chosen.name}. `overnight show {task.id}` tells its story.")
    else:
        click.echo(task.id)
    if home.daemon() is None:
        note("No daemon runs, so nothing begins yet: `overnight up` starts one.")


def _ask(questions: Sequence[Question]) -> str:
    """A person's answer, if one is there to give it; otherwise nothing, and the task asks before it starts."""
    asked = show_questions(questions)
    if not (terminal() and sys.stdin.isatty()):
        note(f"It leaves much open, and will wait for an answer before it starts:\n{asked}")
        return ""
    click.echo(f"This leaves much open.\n{asked}")
    while True:
        words = str(click.prompt('Your answer, such as "b" or "1=b 2=own words"', default="defaults"))
        try:
            understand(questions, words)
        except BadInput as error:
            click.echo(str(error))
        else:
            return words


def submit(task: Task) -> Task:
    """Put a task on the queue, under another id if its own is taken; the task as it was queued."""
    while not home.ask(
        "submit", id=task.id, flow="task", lane=task.repo.name, input=builtins(task), phase=Phase.QUEUED,
        priority=task.priority, pool=WORK, why=task.title,
    ):  # fmt: skip
        if story(home.state_folder(), task.id).task == task:
            break  # asked twice: the first answer was lost on its way
        task = replace(task, id=new_id(task.title))
    return task


def new_id(title: str) -> str:
    """`Fix the login!` -> `fix-the-login-7k3f`"""
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", ascii_title)
    slug = ""
    for word in words:
        if len(slug) + len(word) + 1 > SLUG:
            break
        slug += f"{word}-"
    slug = slug or (f"{words[0][:SLUG]}-" if words else "task-")
    return slug + "".join(secrets.choice(_BASE32) for _ in range(RANDOM))


def _text(words: tuple[str, ...], file: str | None) -> str:
    if words and file:
        raise BadInput(problem="Give the task's text as words or with `--file`, not both.")
    if words == ("-",):
        file = "-"
    text = _read(file) if file else " ".join(words)
    if not text.strip():
        raise BadInput(problem='The task has no text. Say what you want: `overnight add "fix the login"`.')
    if "\0" in text or len(text.encode(errors="surrogateescape")) > LONGEST:
        raise BadInput(
            problem=f"The task's text must be text of at most {LONGEST >> 20} MiB. Put large data into files."
        )
    return text


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read(LONGEST + 1) if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise BadInput(problem=f"{file} can't be read: {error.strerror}. Name another file.") from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(problem=f"{file} is not UTF-8 at byte {error.start}. Save it as UTF-8.") from error


def _title(text: str) -> str:
    lines = (one_line(line.lstrip("# "), TITLE) for line in text.splitlines())
    return next((line for line in lines if line), "task")


def _repo(state: Path, name: str | None) -> Repo:
    if name is not None:
        return repo_named(state, name)
    known = repos(state)
    if (here := repo_around(known, Path.cwd())) is not None:
        return here
    if not known:
        raise BadInput(
            problem="No repo is registered yet. `overnight init` in a repository proposes checks and adds it."
        )
    names = ", ".join(repo.name for repo in known[:10])
    raise BadInput(problem=f"You stand in no registered repo's folder. Name one with `--repo`: {names}.")


def _before(state: Path, name: str) -> str:
    row = story(state, task_id(state, name)).row
    if row.state is State.ENDED and row.phase != Phase.LANDED:
        problem = f"{row.id} has ended as {row.phase}, so nothing can begin after it. `overnight retry {row.id}` first?"
        raise BadInput(problem=problem)
    return row.id


def _globs(paths: tuple[str, ...]) -> tuple[str, ...]:
    for path in paths:
        if not path or path.startswith(("/", "!", "./")) or ".." in path.split("/"):
            raise BadInput(
                problem=f"`--path` takes globs from the root of the repository, such as `src/**`, not {path!r}."
            )
    # A folder's name means what is in it.
    return tuple(f"{path}**" if path.endswith("/") else path for path in paths)


def _check(policy: Policy, landing: LandingMode | None, agent: str | None) -> None:
    from overnight.agents import AGENTS

    if agent is not None and agent not in AGENTS:
        raise UnknownAgent(agent=agent, known=", ".join(AGENTS))
    if landing in (LandingMode.MERGE, LandingMode.PR) and not policy.checks:
        raise BadInput(
            problem=f"`--landing {landing}` needs at least one check in overnight.toml: nothing else would prove it."
        )
