"""The reference page of the command line, made from the commands themselves: `python -m overnight.cli.reference`.

A test holds `docs/reference/cli.md` to what this prints.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click
from msgspec import Struct

from overnight.api.shapes import LevelRow
from overnight.cli.app import EXIT_CODES, SECTIONS, load
from overnight.cli.guard import Explained
from overnight.cli.service_view import ServiceView
from overnight.cli.status import Seen
from overnight.doctor.findings import Diagnosis, Sighting
from overnight.guard.judgement import Finding
from overnight.guard.verdict import Verdict
from overnight.judge.anomalies import Anomaly
from overnight.judge.autonomy import Standing
from overnight.judge.evidence import Audited, CheckFact, Evidence, FileFact
from overnight.judge.risk import Factor, Risk
from overnight.judge.routing import Line, Route
from overnight.judge.tamper.findings import Tampering
from overnight.judge.verdict import Opinion, Said
from overnight.missions.clarify import Clarity, Question, Signal
from overnight.missions.limits import Contact, Window
from overnight.missions.run import Mutation, Result, RunOutcome, TakenBack, Usage
from overnight.missions.task import Ending, Repo, Task
from overnight.missions.tokens import Tokens
from overnight.ports import Examined
from overnight.report.brief import (
    Brief,
    Broken,
    Cost,
    Denial,
    Done,
    Injection,
    ModelCost,
    Need,
    Next,
    NightRow,
    NightVerdict,
    Proof,
    Quote,
    RepoCost,
    Tally,
    Waiting,
)
from overnight.report.forecast import ForecastView, WindowSeen
from overnight.report.limits import AccountView, LimitsView, WindowView
from overnight.report.usage import UsageRow, UsageView
from overnight.report.views import (
    Action,
    CheckView,
    DaemonView,
    HoldView,
    LandingView,
    LaunchFacts,
    Moment,
    PauseView,
    PullView,
    RepoView,
    RunView,
    StatusView,
    TaskRow,
    TaskStory,
)
from overnight.service.install import PartView

#: Everything that `--json` prints, outermost first.
PRINTED: tuple[type[Struct], ...] = (
    Seen, StatusView, DaemonView, PauseView, RepoView, TaskRow, HoldView, Action, Ending,
    TaskStory, Task, Repo, RunView, LaunchFacts, RunOutcome, Usage, Result, CheckView, Examined, Risk, Factor, Standing,
    Opinion, Said, LandingView, PullView, Moment, Evidence, FileFact, CheckFact, Tampering, Audited, Mutation, TakenBack, LevelRow,
    Route, Line, Clarity, Signal, Question, Explained, Finding, Verdict, Diagnosis, Sighting,
    UsageView, UsageRow, Tokens, ForecastView, WindowSeen,
    LimitsView, AccountView, WindowView, Contact, Window,
    Brief, NightVerdict, Tally, Need, Done, Proof, Waiting, Next, Cost, RepoCost, ModelCost, Denial, Injection, Broken,
    Anomaly, Quote, NightRow, ServiceView, PartView,
)  # fmt: skip
_HEAD = """# Command line

Made from the commands themselves; `overnight COMMAND --help` says the same.

- A `TASK` may be shortened to any unique beginning of its id.
- In a terminal the output has colour (`NO_COLOR` is heeded); piped, it is plain text without boxes. Results go to
  standard output, hints and errors to standard error.
- Commands that change something work with and without a daemon: without one they take the journal's lock and write
  themselves.
- `OVERNIGHT_HOME` names the state folder, `OVERNIGHT_CONFIG` the settings file; see
  [configuration](../configuration.md).
"""
_JSON = """## What `--json` prints

Names and meanings stay; new ones may come. Times are epoch seconds. `null` is unknown or none, never zero.

| command | prints |
|---|---|
| `overnight status` | [Seen](#seen) |
| `overnight show` | [TaskStory](#taskstory) |
| `overnight levels` | list of [LevelRow](#levelrow) |
| `overnight add` | [Task](#task) |
| `overnight repo list` | a list of [Repo](#repo) |
| `overnight config show` | the [settings](../configuration.md), with durations in seconds and sizes in bytes |
| `overnight guard explain` | [Explained](#explained) |
| `overnight doctor` | [Diagnosis](#diagnosis) |
| `overnight usage` | [UsageView](#usageview) |
| `overnight report` | [Brief](#brief) |
| `overnight report --nights` | a list of [NightRow](#nightrow) |
| `overnight service status` | [ServiceView](#serviceview) |
| `overnight version` | names and versions |
"""


def reference() -> str:
    """The page, as Markdown."""
    parts = [_HEAD]
    for title, entries in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name, entry in entries.items():
            parts += _command(load(entry), f"overnight {name}")
    parts.append("## Exit codes\n\n| code | what it says |\n|---|---|")
    parts += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    parts.append(f"\n{_JSON}")
    for kind in PRINTED:
        parts += _printed(kind)
    return "\n".join(parts).rstrip() + "\n"


def _command(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"### {path}\n"
    yield f"```text\n{' '.join([path, *command.collect_usage_pieces(context)])}\n```\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    options = [
        record
        for option in command.params
        if isinstance(option, click.Option) and (record := option.get_help_record(context)) is not None
    ]
    if options:
        yield "| option | meaning |\n|---|---|"
        yield from (f"| `{_cell(names)}` | {_cell(meaning)} |" for names, meaning in options)
        yield ""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from _command(each, f"{path} {name}")


def _printed(kind: type[Struct]) -> Iterator[str]:
    yield f"### {kind.__name__}\n"
    yield inspect.cleandoc(kind.__doc__ or "") + "\n"
    yield "| key | type | meaning |\n|---|---|---|"
    comments = dict(_comments(kind))
    for name, annotation in inspect.get_annotations(kind).items():
        meaning = re.sub(r"\bNone\b", "null", comments.get(name, ""))
        yield f"| `{name}` | {_type(annotation)} | {_cell(meaning)} |"
    yield ""


def _comments(kind: type[Struct]) -> Iterator[tuple[str, str]]:
    """(field, what its `#:` comment says)"""
    said = list[str]()
    for line in inspect.getsource(kind).splitlines():
        if match := re.fullmatch(r"\s+#: (.*)", line):
            said.append(match[1])
        elif match := re.match(r"    (\w+): ", line):
            yield match[1], " ".join(said)
            said.clear()


def _type(annotation: Any) -> str:
    """`tuple[TaskRow, ...]` -> list of TaskRow, with links to what is described here."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    text = re.sub(r"tuple\[(\w+), \.\.\.\]", r"list of \1", text)
    text = re.sub(r"tuple\[tuple\[(.+)\], \.\.\.\]", r"list of [\1]", text)
    for name, plain in {
        "None": "null",
        "str": "text",
        "int": "number",
        "float": "number",
        "Decimal": "text",
        "bool": "true or false",
    }.items():
        text = re.sub(rf"\b{name}\b", plain, text)
    for kind in PRINTED:
        text = re.sub(rf"\b{kind.__name__}\b", f"[{kind.__name__}](#{kind.__name__.lower()})", text)
    text = re.sub(
        r"\b(State|Decision|Level|Phase|End|FailureClass|Trouble|LandingMode|Word|Kind|Severity)\b", "text", text
    )
    return _cell(text.replace(" | ", " or "))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").strip()


if __name__ == "__main__":
    print(reference(), end="")
