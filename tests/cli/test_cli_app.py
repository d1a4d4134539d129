"""The command table, help, exit codes and errors."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli_stage import Desktop
from click.testing import CliRunner

from overnight import errors
from overnight.cli.app import COMMANDS, EXIT_CODES, LazyGroup, app, load


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_says_what_the_table_says(name: str) -> None:
    """Each entry leads to a command of that name; its own help is at least a sentence."""
    command = load(COMMANDS[name])
    assert command.name == name
    assert (command.help or "").strip().split("\n")[0].rstrip().endswith((".", ":"))
    assert COMMANDS[name].help.endswith(".")
    assert len(COMMANDS[name].help) <= 75


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    """No option of any command is without help."""
    waiting = [load(COMMANDS[name])]
    while waiting:
        command = waiting.pop()
        waiting += command.commands.values() if isinstance(command, click.Group) else []
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, f"{command.name} {option.name}"


def test_help_lists_every_command_and_exit_code() -> None:
    """`overnight --help` names all verbs, each once, and what the exit codes mean."""
    said = CliRunner().invoke(app, ["--help"])
    assert said.exit_code == 0
    for name, entry in COMMANDS.items():
        assert len(re.findall(rf"(?m)^  {name} +{re.escape(entry.help.split()[0])}", said.output)) == 1
    assert all(re.search(rf"(?m)^  {code} ", said.output) for code in EXIT_CODES)


def test_nothing_to_do_shows_the_help_and_is_no_error() -> None:
    """`overnight` and a group alone: the help as it is, with the code of bad input."""
    for words in ([], ["repo"]):
        said = CliRunner().invoke(app, words)
        assert (said.exit_code, said.output.startswith("Usage: ")) == (2, True), said.output


def test_help_imports_nothing_heavy() -> None:
    """`overnight --help` needs neither rich nor msgspec nor asyncio nor SQLite."""
    code = (
        "import sys\nsys.argv = ['overnight', '--help']\n"
        "from overnight.__main__ import main\n"
        "try:\n main()\nexcept SystemExit as end:\n assert end.code == 0\n"
        "heavy = {'rich', 'msgspec', 'asyncio', 'sqlite3', 'psutil', 'tree_sitter'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["stauts"], "Did you mean `overnight status`?"),
        (["qqqqq"], "`overnight --help` lists them"),
        (["status", "--jsn"], "`overnight status --help`"),
        (["show"], "`overnight show --help`"),
        (["web", "logn"], "Did you mean 'login'? `overnight web --help`"),
        (["show", "nothing"], "`overnight status` lists them"),
        (["status", "--repo", "nothing"], "`overnight repo list`"),
        (["status", "--since", "5"], "write it with its unit"),
        (["stop"], "overnight stop --all"),
        (["pause", "x", "--all"], "only one of them"),
        (["add", ""], "overnight add"),
        (["add", "--file", "/nonexistent"], "can't be read"),
        (["answer", "x", " "], "empty"),
        (["journal", "verify"], "no journal"),
    ],
)
def test_bad_input_is_answered_with_the_next_step(desktop: Desktop, words: list[str], says: str) -> None:
    """Exit code 2, one message on standard error, no traceback."""
    result = desktop.run(*words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output
    assert not result.stdout


def test_exit_codes_of_errors() -> None:
    """Every error of the family ends with a documented code."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert {kind.exit_code for kind in kinds if issubclass(kind, errors.OvernightError)} <= EXIT_CODES.keys()


def test_a_process_ends_with_the_code_and_one_line(desktop: Desktop) -> None:
    """Seen from outside: the code is the process's, the message one line without colour codes."""
    done = desktop.process("show", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: No task is called 'nothing'. `overnight status` lists them.\n"


def test_refusals_end_with_three(desktop: Desktop) -> None:
    """A journal of a newer Overnight is not touched."""
    desktop.shop()
    db = sqlite3.connect(desktop.home / "journal.db")
    db.execute("PRAGMA user_version = 999")
    db.close()
    for words in (["status"], ["pause"], ["repo", "list"]):
        result = desktop.run(*words)
        assert result.exit_code == 3, result.output
        assert "newer Overnight" in result.stderr


def test_a_file_that_is_no_journal_is_refused(desktop: Desktop) -> None:
    """Rubbish in the journal's place is said to be that."""
    desktop.home.mkdir()
    (desktop.home / "journal.db").write_bytes(b"rubbish" * 2000)
    result = desktop.run("status")
    assert result.exit_code == 3
    assert "can't be read" in result.stderr


def test_what_is_outside_ends_with_four(desktop: Desktop) -> None:
    """A repository that vanished is unavailable."""
    path = desktop.shop()
    path.rename(path.with_name("elsewhere"))
    result = desktop.run("add", "x", "--repo", "shop")
    assert result.exit_code == 4
    assert "overnight repo remove shop" in result.stderr


def test_the_unexpected_is_kept_in_a_file(desktop: Desktop) -> None:
    """A bug ends with code 1, one line, and a private file with the traceback."""

    @click.command()
    def broken() -> None:
        raise RuntimeError("out of\x1b[31m thin air")

    class Broken(LazyGroup):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return broken

    result = CliRunner().invoke(Broken("overnight"), ["status"], env=desktop.env)
    assert result.exit_code == 1
    assert "RuntimeError: out of thin air" in result.stderr
    assert "Traceback" not in result.stderr
    [kept] = desktop.home.glob("crash-*.log")
    assert str(kept) in result.stderr
    assert "Traceback" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_ctrl_c_ends_with_130(desktop: Desktop) -> None:
    """An interrupt is no crash."""

    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    class Interrupted(LazyGroup):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return interrupted

    result = CliRunner().invoke(Interrupted("overnight"), ["status"], env=desktop.env)
    assert result.exit_code == 130
    assert not list(desktop.folder.rglob("crash-*"))


def test_a_reader_that_leaves_is_no_error(desktop: Desktop) -> None:
    """`overnight ... | head` ends quietly."""
    path = desktop.shop()
    for n in range(300):
        desktop.call(
            "put", kind="repo", key=f"r{n}", value={"name": f"r{n}", "path": str(path) + "x" * 500, "target": "main"}
        )
    reads, writes = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", "overnight", "repo", "list", "--json"],
        env=desktop.env, stdout=writes, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(writes)
    os.read(reads, 10)
    os.close(reads)
    _, complaints = child.communicate(timeout=60)
    assert (child.returncode, complaints) == (141, b"")


def test_a_plain_locale_prints_all_the_same(desktop: Desktop) -> None:
    """Where the terminal knows only ASCII, nothing crashes."""
    desktop.shop()
    desktop.add("Grüße → später")
    desktop.env["PYTHONIOENCODING"] = "ascii"
    done = desktop.process("status")
    assert done.returncode == 0, done.stderr
    assert "queued     1: gru" in done.stdout


def test_no_state_folder_is_made_by_looking(desktop: Desktop) -> None:
    """Commands that only look leave no trace."""
    desktop.ok("status")
    desktop.ok("repo", "list")
    desktop.ok("down")
    assert not desktop.home.exists()


def test_versions(desktop: Desktop) -> None:
    """`--version` and `version` agree; `--verbose` names the programs."""
    first = desktop.ok("--version")
    assert desktop.ok("version").split() == first.split()
    facts = desktop.json("version", "--verbose")
    assert facts["overnight"] in first
    assert facts["git"].startswith("git version")
    assert Path(facts["state"]) == desktop.home


def test_settings_are_shown(desktop: Desktop) -> None:
    """`config show` prints what is in force and where it is from."""
    (desktop.folder / "config.toml").write_text("[work]\ntotal = 7\n")
    said = desktop.ok("config", "show")
    assert re.search(r"(?m)^work\.total +7$", said)
    assert str(desktop.home) in said
    assert desktop.json("config", "show")["work"]["total"] == 7
    (desktop.folder / "config.toml").write_text("[work]\ntotl = 7\n")
    result = desktop.run("config", "show")
    assert (result.exit_code, "config.toml:2:1" in result.stderr) == (2, True)
