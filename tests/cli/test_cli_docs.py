"""README and reference: every command line in them is one that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from cli_stage import Desktop, git, make_repo

from overnight.cli.app import COMMANDS, app, load
from overnight.cli.reference import PRINTED, reference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
AGENT = '[agents.command]\nargv = ["sh", "-c", "echo two >> a.txt; git commit -qam \'Say two\'"]\n'


def command_lines(text: str) -> list[str]:
    """Every `overnight ...` in a page's code: blocks and spans, without comments."""
    blocks = re.findall(r"(?ms)^```(?:console|sh|text)\n(.*?)^```", text)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`(overnight [^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text))
    found = [line.split("  #")[0].strip() for line in (*lines, *spans)]
    return [line for line in found if line.startswith("overnight ") and "COMMAND" not in line]


def parse(words: list[str]) -> None:
    """Raises click.UsageError when the words are no command line."""
    command: click.Command = load(COMMANDS[words[0]]) if words[0] in COMMANDS else app
    rest = words[1:] if words[0] in COMMANDS else words
    context = command.make_context("overnight", list(rest), resilient_parsing=not rest)
    if isinstance(command, click.Group) and rest and rest[0] in command.commands:
        command.commands[rest[0]].make_context("overnight", rest[1:], parent=context)


LINES = sorted({(path.name, line) for path in PAGES for line in command_lines(path.read_text())})


@pytest.mark.parametrize(("page", "line"), LINES)
def test_command_lines_parse(page: str, line: str) -> None:
    """Every command line in the documentation names a command and options that there are."""
    words = shlex.split(line.split(" && ")[0].replace("...", "x"))[1:]
    if words[-1:] == ["--help"] or words[0].startswith("-"):
        words = words[:-1]
    if words:
        parse(words)


def test_the_readme_is_read() -> None:
    """The parser of this test finds the README's commands."""
    assert {line.split()[1] for line in command_lines(README)} >= {"demo", "init", "add", "up", "status", "show", "log"}


def test_the_readmes_first_use_works(desktop: Desktop) -> None:
    """Its commands, one after another, on a real repository; only the agent is another one."""
    path = make_repo(desktop.folder / "project", policy=None)
    (path / "Makefile").write_text("test:\n\tgrep -q one a.txt\n")
    (path / "task.md").write_text("Let a.txt say two instead of one\n")
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "make")
    (desktop.folder / "config.toml").write_text(AGENT)
    use = README.split("## First real use")[1].split("\n## ")[0]
    ran, tasks = list[str](), list[str]()
    try:
        for line in (line for block in re.findall(r"(?ms)^```console\n(.*?)^```", use) for line in block.splitlines()):
            words = shlex.split(line.removeprefix("$ "))
            if words[0] == "git":
                git(path, *words[1:])
                continue
            done = desktop.process(*words[1:], at=path)
            assert done.returncode == 0, (line, done.stderr)
            ran.append(words[1])
            if words[1] == "add":
                tasks.append(done.stdout.strip())
            if words[1] == "init":
                policy = (path / "overnight.toml").read_text()
                (path / "overnight.toml").write_text(
                    policy.replace('agent = "claude"', 'agent = "command"').replace("families = 2", "families = 0")
                )
        for task in tasks:
            desktop.process("log", task, "--follow")
    finally:
        desktop.process("stop", "--all")
        desktop.process("down")
    assert ran == ["init", "add", "add", "up", "status"]
    phases = [task["phase"] for task in desktop.json("status")["status"]["repos"][0]["ended"]]
    assert phases
    assert set(phases) == {"landed"}


def test_the_reference_is_up_to_date() -> None:
    """docs/reference/cli.md is what `python -m overnight.cli.reference` prints."""
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert page == reference(), "run `python -m overnight.cli.reference > docs/reference/cli.md`"


def test_everything_printed_is_described() -> None:
    """Every value that a documented value holds is documented too."""
    known = {kind.__name__ for kind in PRINTED}
    page = reference()
    for kind in PRINTED:
        for annotation in kind.__annotations__.values():
            for name in re.findall(r"\b[A-Z]\w+(?:View|Row|Facts|Outcome|Story)\b", str(annotation)):
                assert name in known
                assert f"### {name}\n" in page
