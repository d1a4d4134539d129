"""The command `overnight`: the table of its verbs, and how every end of one is told.

Only `click` and the error family are imported here, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NamedTuple, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from overnight import __version__
from overnight.errors import OvernightError

#: Meaning of every exit code, for help and documentation.
EXIT_CODES = {
    0: "It was done.",
    1: "Something unexpected happened; the message names a file with the details.",
    2: "Bad input: the message says what to mend.",
    3: "Refused: a bound would be broken.",
    4: "Something outside is not there: a daemon, a box, an agent, a repository.",
    5: "A record is broken: something in the audit, a recording or a backup is not as it was written.",
    6: "A replay is not as it was recorded.",
    130: "Interrupted (Ctrl-C).",
    141: "Whoever read the output went away.",
}


class Entry(NamedTuple):
    """A command: where it is written, and one line about it."""

    target: str
    help: str


#: Section -> command -> entry.
SECTIONS: dict[str, dict[str, Entry]] = {
    "Begin": {
        "demo": Entry("overnight.cli.demo:demo", "See it work, on a repository made for the purpose."),
        "init": Entry("overnight.cli.init:init", "Propose checks for a repository, try them, write overnight.toml."),
        "add": Entry("overnight.cli.add:add", "Put a task on the queue."),
        "up": Entry("overnight.cli.up:up", "Start the daemon, which carries the tasks."),
        "down": Entry("overnight.cli.up:down", "End the daemon; runs under way go on."),
        "watchdog": Entry(
            "overnight.cli.watchdog:watchdog", "Watch it all, and tell you when something is dead or hangs."
        ),
    },
    "Look": {
        "status": Entry("overnight.cli.status:status", "What needs you, what goes on, what ended."),
        "report": Entry("overnight.cli.report:report", "What the night brought; any night, any span of time."),
        "watch": Entry("overnight.cli.watch:watch", "All of it at the terminal, live; decide and steer there."),
        "inbox": Entry("overnight.cli.inbox:inbox", "Everything that you are asked, in one list."),
        "holds": Entry("overnight.cli.holds:holds", "What is held, why, and what releases it."),
        "show": Entry("overnight.cli.show:show", "The story of one task, with its evidence."),
        "log": Entry("overnight.cli.log:log", "What a task's run did, line by line."),
        "diff": Entry("overnight.cli.diff:diff", "What a task changed."),
        "evidence": Entry("overnight.cli.evidence:evidence", "What is known about a result, as judges see it."),
        "risk": Entry("overnight.cli.evidence:risk", "Every point of a result's risk."),
        "levels": Entry("overnight.cli.levels:levels", "How much may happen without you, and how it was earned."),
        "usage": Entry("overnight.cli.usage:usage", "What models were used for, over all your agents, and its worth."),
        "routes": Entry("overnight.cli.routes:routes", "Which model did what, how well and for how much."),
        "limits": Entry("overnight.cli.limits:limits", "What vendors allow, how much is used, and whether they work."),
        "replay": Entry("overnight.cli.replay:replay", "Run a recorded run again, at no cost, and compare."),
        "budget": Entry("overnight.cli.budget:budget", "What may be spent and what was; sets limits."),
    },
    "Steer": {
        "pause": Entry("overnight.cli.steer:pause", "Let nothing new start; what runs goes on to its end."),
        "resume": Entry("overnight.cli.steer:resume", "Take back a pause, or try a held task again now."),
        "stop": Entry("overnight.cli.steer:stop", "End what runs, keep its work, and pause."),
        "cancel": Entry("overnight.cli.steer:cancel", "End a task for good; its work is kept on a ref."),
        "retry": Entry("overnight.cli.steer:retry", "Begin a task anew that ended without landing."),
        "answer": Entry("overnight.cli.steer:answer", "Answer a task that asks."),
        "approve": Entry("overnight.cli.decide:approve", "Let a result land that waits for your word."),
        "reject": Entry("overnight.cli.decide:reject", "Say no to a result that waits for your word."),
    },
    "Keep": {
        "service": Entry(
            "overnight.cli.service:service", "Have the machine start daemon and watchdog, and keep them running."
        ),
        "repo": Entry("overnight.cli.repo:repo", "Register, list and remove repositories."),
        "web": Entry("overnight.cli.web:web", "The dashboard and the HTTP API."),
        "guard": Entry("overnight.cli.guard:guard", "What the guard makes of a command; the guard by itself."),
        "doctor": Entry(
            "overnight.cli.doctor:doctor", "Whether this machine is fit for a night; tries what is forbidden."
        ),
        "soak": Entry("overnight.cli.soak:soak", "Work and faults for half an hour, and whether promises are kept."),
        "box": Entry("overnight.cli.box:box", "The box that runs and checks live in."),
        "config": Entry("overnight.cli.config:config", "The settings of this machine."),
        "notify": Entry("overnight.cli.notify:notify", "Who is told, what waits to be told; sends a test."),
        "audit": Entry("overnight.cli.audit:audit", "The tamper-evident record of every tool call."),
        "journal": Entry("overnight.cli.journal:journal", "The record of everything that happened."),
        "backup": Entry("overnight.cli.backup:backup", "Write all that matters into one file, while everything runs."),
        "restore": Entry("overnight.cli.backup:restore", "Put a backup back, after it is proved."),
        "version": Entry("overnight.cli.version:version", "Versions of Overnight and of what it uses."),
    },
}
COMMANDS: dict[str, Entry] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


#: Commands of which every one changes, starts or ends something, or lets somebody in. What is elsewhere asks the journal's
#: writer, which looks as well.
CONTROLS = frozenset({
    "add", "up", "down", "watch", "pause", "resume", "stop", "cancel", "retry", "answer", "approve", "reject", "web",
    "notify", "backup", "restore", "service", "repo",
})  # fmt: skip


def _refuse_runs(args: list[str]) -> None:
    """Raises InsideRun where a run started this command, and it would control what it is part of."""
    if args[0] not in CONTROLS or {"--help", "-h"} & set(args):
        return
    from overnight.cli.home import state_folder
    from overnight.durable.inside import run_above
    from overnight.errors import InsideRun

    if (run := run_above(os.getpid(), state_folder())) is not None:
        raise InsideRun(run=run)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's)
        entry = COMMANDS.get(cmd_name)
        return load(entry) if entry is not None else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"Did you mean `overnight {close[0]}`?" if close else "`overnight --help` lists them."
            ctx.fail(f"No such command: {args[0]!r}. {hint}")
        if args:
            _refuse_runs(args)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's)
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in entries.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            value = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be said there
            ctx.exit(141)
        return value

    def main(  # type: ignore[override] (click's own is overloaded for ways to call it that nobody uses here)
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **_ways: Any
    ) -> NoReturn:
        """Run a command and exit with its code. Every error ends in one message that names the next step."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            code: object = super().main(args, prog_name or "overnight", standalone_mode=False)
        except Exception as error:  # the last place that can turn it into words
            sys.exit(tell(error))
        sys.exit(code if isinstance(code, int) else 0)


def load(entry: Entry) -> click.Command:
    """The command of an entry."""
    module, _, name = entry.target.partition(":")
    return getattr(import_module(module), name)


# -- errors -------------------------------------------------------------------------------------------------


def tell(error: Exception) -> int:
    """Say on standard error what went wrong; the exit code."""
    if isinstance(error, click.Abort):
        complain("interrupted.")
        return 130
    if isinstance(error, NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return 2
    if isinstance(error, click.UsageError):
        complain(_usage(error))
        return 2
    if isinstance(error, click.ClickException):
        complain(error.format_message())
        return error.exit_code if error.exit_code != 1 else 2
    if isinstance(error, OvernightError):
        complain(str(error))
        return error.exit_code
    where = _keep_crash(error)
    kept = f"The details are in {where}." if where else "Its details could not be written to the state folder."
    complain(
        f"something unexpected happened: {type(error).__name__}: {error}. {kept} No task is lost: see `overnight status`."
    )
    return 1


def complain(message: str) -> None:
    """`error: ...` on standard error, red in a terminal."""
    from overnight.landing.text import plain

    click.echo(f"{click.style('error:', fg='red', bold=True)} {plain(message)}", err=True)


def _usage(error: click.UsageError) -> str:
    message = error.format_message()
    if error.ctx is None or "`" in message:
        return message
    message = message if message.endswith("?") else f"{message.rstrip('.')}."
    return f"{message} `{error.ctx.command_path} --help` shows how it is called."


def _keep_crash(error: Exception) -> str | None:
    """Write the traceback to the state folder; where, or None when it can't be written."""
    import platform
    import time
    import traceback

    from overnight.cli.home import state_folder

    words = " ".join(sys.argv[1:2])
    text = f"overnight {__version__}, Python {platform.python_version()}, {platform.platform()}, command {words!r}\n"
    try:
        home = state_folder()
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = home / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        path.write_text(text + "".join(traceback.format_exception(error)), errors="backslashreplace")
        path.chmod(0o600)
    except (OSError, OvernightError):
        traceback.print_exception(error)
        return None
    return str(path)


@click.group(
    "overnight",
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    no_args_is_help=True,
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def app() -> None:
    """Run coding agents on your git repositories while nobody is watching.

    `overnight COMMAND --help` says more about a command. A TASK may be shortened to any unique beginning of its id.
    """
