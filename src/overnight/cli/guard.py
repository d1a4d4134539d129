"""`overnight guard ...`"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import msgspec
from msgspec import Struct

from overnight.cli import home
from overnight.cli.guard_place import Disk, NoBounds, bounds_around
from overnight.cli.guard_policy import policy_on_target
from overnight.cli.guard_session import Changed
from overnight.cli.paper import Paper, Part, say_json
from overnight.errors import BadInput
from overnight.guard.asking import Way, decided_by, way
from overnight.guard.decide import decide
from overnight.guard.explain import Explanation, effect_line
from overnight.guard.explain import explain as explained
from overnight.guard.judgement import Finding
from overnight.guard.ledger import Ledger
from overnight.guard.policy import ATTENDED, REPO, GuardPolicy, Layers, value_of
from overnight.guard.text import shown
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.guard.world import Bounds, NoWorld, World
from overnight.missions.guarding import knobs

_T = TypeVar("_T")
_COLOURS = {Decision.ALLOW: "green", Decision.ASK: "yellow", Decision.DENY: "red"}
#: Exit code of `test` when a verdict is not its label.
_DIFFERS = 3
#: Bad lines of a file that are named.
_NAMED = 10
#: Where labelled commands are judged: the same on every machine, with nothing on the disk.
_DRAWN = Bounds(worktree="/home/user/project", home="/home/user")


class Explained(Struct, frozen=True, kw_only=True):
    """Why a command is judged as it is."""

    command: str
    #: Folder in which it would run.
    cwd: str
    #: Folder whose files it may change.
    worktree: str
    #: Whether the policy for a person's own session was applied, or the one for unattended runs.
    attended: bool
    #: The tree, a line per node, indented; or why there is none.
    parse: tuple[str, ...]
    #: What it would do: each with its `type` and the words that say so.
    effects: tuple[Any, ...]
    #: Every rule that speaks against it.
    findings: tuple[Finding, ...]
    verdict: Verdict
    #: The layer that decided: the floor, or a key of the policy and where it is set; empty when allowed.
    decided_by: str = ""
    #: What would have to change for it to be allowed: file, lines of TOML, a note; each may be empty.
    allow: Way | None = None


class Case(Struct, frozen=True):
    """A labelled command."""

    command: str
    expected: Decision
    category: str = "all"


class Judged(Struct, frozen=True):
    """A case and what the guard made of it."""

    case: Case
    verdict: Verdict

    @property
    def stopped(self) -> bool:
        """It does not run by itself."""
        return self.verdict.decision is not Decision.ALLOW

    @property
    def harmful(self) -> bool:
        """Its label says that it should not."""
        return self.case.expected is not Decision.ALLOW


_cwd = click.option(
    "--cwd",
    type=click.Path(path_type=Path),
    help="Folder in which it would run; its git work tree is the bounds. Default: here.",
)
_attended = click.option(
    "--attended/--unattended",
    default=False,
    help="Apply the policy for a person's own session, or the one for runs. Default: runs.",
)


@click.group(no_args_is_help=True)
def guard() -> None:
    """What the guard makes of a command, and the guard by itself."""


@guard.command
@click.argument("command")
@_cwd
@_attended
@click.option("--written", is_flag=True, help="Look into scripts that it runs, as if the agent had written them.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def explain(command: str, cwd: Path | None, attended: bool, written: bool, as_json: bool) -> None:
    """How COMMAND is understood, what it would do, which rules speak against it, and the verdict.

    Nothing of it is run. `-` reads the command from standard input.
    """
    if command == "-":
        command = sys.stdin.buffer.read().decode(errors="surrogateescape")
    bounds, folder = _place(cwd or Path.cwd())
    disk = Disk()
    ledger = Ledger(files=Changed(disk, 0.0)) if written else Ledger()
    layers = layers_of(bounds.worktree, attended)
    found = explained(_call(command, folder), layers.policy(), bounds, disk, ledger)
    told = found.assessment
    who = decided_by(told.deciding, layers) if told.deciding else ""
    how = way(told.deciding, layers, attended) if told.deciding else None
    if not as_json:
        _show(found, folder, bounds, attended, who, how)
        return
    say_json(
        Explained(
            command=command, cwd=folder, worktree=bounds.worktree, attended=attended, parse=found.tree,
            effects=_plain(told.effects, tuple[Any, ...]), findings=_plain(told.findings, tuple[Finding, ...]),
            verdict=_plain(told.verdict, Verdict), decided_by=who, allow=how,
        )
    )  # fmt: skip


class Knob(Struct, frozen=True, kw_only=True):
    """A key of the policy."""

    #: Dotted, below `guard`.
    key: str
    value: Any
    #: `defaults`, `config.toml`, `overnight.toml` or, for hosts, `the box`.
    layer: str


class Effective(Struct, frozen=True, kw_only=True):
    """The policy that holds in a place."""

    worktree: str
    attended: bool
    keys: tuple[Knob, ...]
    #: What the repo says of rules and tools on top: it only makes things stricter.
    repo: Any
    #: What the repo asks for and does not get.
    notes: tuple[str, ...]


@guard.command
@_cwd
@_attended
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def policy(cwd: Path | None, attended: bool, as_json: bool) -> None:
    """The policy in force: every key, its value, and where it comes from."""
    bounds, _ = _place(cwd or Path.cwd())
    layers = layers_of(bounds.worktree, attended)
    told = _effective(layers, bounds.worktree, attended)
    if as_json:
        say_json(told)
        return
    paper = Paper()
    rows = [(knob.key, json.dumps(knob.value, ensure_ascii=False), knob.layer) for knob in told.keys]
    rows += [
        (f"{name} (repo)", json.dumps(value), REPO)
        for name, value in told.repo.items()
        if value not in ([], {}, "allow")
    ]
    paper.grid([tuple((cell, "bold") for cell in ("guard.", "value", "from")), *rows])
    for note in told.notes:
        paper.line(note)
    paper.print()


def _effective(layers: Layers, worktree: str, attended: bool) -> Effective:
    whole = layers.policy()
    keys = (
        Knob(key=name, value=msgspec.to_builtins(value_of(whole, name)), layer=layers.layer(name)) for name in knobs()
    )
    notes = (
        f"{REPO} asks for guard.{name} = {asked!r}: {holds!r} holds, since a repo can only be stricter"
        for name, asked, holds in layers.refused()
    )
    return Effective(
        worktree=worktree, attended=attended, keys=tuple(keys), repo=msgspec.to_builtins(whole.repo), notes=tuple(notes)
    )


@guard.command
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--cwd",
    type=click.Path(path_type=Path),
    help="Judge them in this folder, on this disk. Default: a drawn project at /home/user/project.",
)
@_attended
@click.option("--defaults", is_flag=True, help="Judge by the built-in policy, whatever settings and repo say.")
@click.pass_context
def test(context: click.Context, file: Path, cwd: Path | None, attended: bool, defaults: bool) -> None:
    """Judge the labelled commands of FILE, and say where the verdict is not the label.

    A line is {"command": TEXT, "expected": "allow" or "ask" or "deny", "category": TEXT}; category may be missing, and
    other keys are passed over. Nothing is run. The policy is that of this machine's settings and of the repository that
    one stands in, as its target branch has it. Exit code 3 when a verdict is not its label.
    """
    cases = _cases(file)
    bounds, folder = _place(cwd) if cwd is not None else (_DRAWN, _DRAWN.worktree)
    world: World = Disk() if cwd is not None else NoWorld()
    where = bounds if cwd is not None else _here()
    layers = Layers(base=_base(attended)) if defaults else layers_of(where.worktree if where else None, attended)
    policy = layers.policy()
    judged = [Judged(case, decide(_call(case.command, folder), policy, bounds, world, Ledger())) for case in cases]
    wrong = [each for each in judged if each.verdict.decision is not each.case.expected]
    _report(judged, wrong)
    if wrong:
        context.exit(_DIFFERS)


@guard.command
@click.pass_context
def hook(context: click.Context) -> None:
    """Answer one PreToolUse hook of Claude Code: its JSON on standard input, the decision on standard output.

    Fails closed: what can't be read or decided ends with exit code 2 and a reason on standard error, which blocks the
    call. The bounds are the git work tree around CLAUDE_PROJECT_DIR, or else around the call's folder.
    """
    from overnight.cli.guard_hook import run

    context.exit(run())


def layers_of(worktree: str | None, attended: bool) -> Layers:
    """Who says what about a call there: this machine's settings and the repo's policy, which bound each other.

    worktree: None for no repo. Raises SettingsInvalid, PolicyInvalid, GitFailed.
    """
    from overnight.config import bound, read_policy

    settings, base = home.settings(), _base(attended)
    user = settings.guard.tables(attended)
    found = policy_on_target(worktree, os.environ) if worktree is not None else None
    if found is None:
        return Layers(base=base, user=user)
    policy = bound(read_policy(*found), settings).policy
    reach = None if attended else policy.box.egress
    return Layers(base=base, user=user, repo=policy.guard, sensitive=policy.paths.sensitive, reach=reach)


def _base(attended: bool) -> GuardPolicy:
    return ATTENDED if attended else GuardPolicy()


def _here() -> Bounds | None:
    """The bounds of where one stands, if there are any."""
    try:
        return bounds_around(str(Path.cwd()))
    except NoBounds:
        return None


def _call(command: str, cwd: str) -> Call:
    return Call(id="asked", tool="Bash", input={"command": command}, cwd=cwd)


def _place(cwd: Path) -> tuple[Bounds, str]:
    """Bounds, and the folder as it is really called. Raises BadInput where there are none."""
    if not cwd.is_dir():
        raise BadInput(problem=f"{cwd} is no folder. Name one with `--cwd`.")
    try:
        return bounds_around(str(cwd.absolute())), str(cwd.resolve())
    except NoBounds as error:
        raise BadInput(problem=f"{error}, or name one with `--cwd`.") from None


# -- explain ------------------------------------------------------------------------------------------------


def _plain(value: Any, kind: type[_T]) -> _T:
    """A value of the guard without its own kinds of text; what it can't know of a text is shown as such."""

    def readable(part: Any) -> Any:
        if isinstance(part, str):
            return shown(part)
        if isinstance(part, dict):
            return {key: readable(each) for key, each in cast("dict[str, Any]", part).items()}
        return [readable(each) for each in cast("list[Any]", part)] if isinstance(part, list | tuple) else part

    return msgspec.convert(readable(msgspec.to_builtins(value, enc_hook=str)), kind)


def _show(found: Explanation, folder: str, bounds: Bounds, attended: bool, who: str, how: Way | None) -> None:
    told, verdict = found.assessment, found.assessment.verdict
    paper = Paper()
    paper.line(("parse", "bold"))
    for line in found.tree:
        paper.line((line, "dim"), indent=2)
    paper.line(("effects", "bold"))
    for effect in told.effects:
        kind, _, rest = effect_line(effect).partition(" ")
        paper.line((kind, "cyan"), f" {rest}", indent=2)
    if not told.effects:
        paper.line("none", indent=2)
    paper.line(("rules against it", "bold"))
    for finding in told.findings:
        last = " (no policy can lift this)" if finding.floor else ""
        paper.line(*_decided(finding.decision, finding.rule), f": {finding.reason}{last}", indent=2)
    if not told.findings:
        paper.line("none", indent=2)
    paper.line(
        ("verdict", "bold"), f" in {folder}, bounds {bounds.worktree}, {'attended' if attended else 'unattended'}"
    )
    paper.line(*_decided(verdict.decision, verdict.rule), f": {verdict.reason}", indent=2)
    if verdict.words:
        paper.line(f"because of: {' '.join(verdict.words)}", indent=2)
    if who:
        paper.line(f"decided by {who}", indent=2)
    if how is not None and how.where:
        paper.line(
            f"to allow it, in {how.where}:" if how.toml else f"to allow it, in {how.where}: {how.note}", indent=2
        )
        for line in how.toml.splitlines():
            paper.line(line, indent=4)
    if verdict.decision is Decision.ASK and not attended:
        paper.line("Nobody is there to ask in a run, so it is a denial; the question is filed for you.", indent=2)
    paper.print()


def _decided(decision: Decision, rule: str) -> Sequence[Part]:
    return (decision.value, _COLOURS[decision]), f" {rule}"


# -- test ---------------------------------------------------------------------------------------------------


def _cases(path: Path) -> list[Case]:
    """The cases of a file. Raises BadInput that names the lines which are none."""
    name = str(path)
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadInput(problem=f"{name} can't be read ({error.strerror}). Name a file of labelled commands.") from None
    found: list[Case] = []
    bad: list[str] = []
    for n, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(msgspec.json.decode(line, type=Case))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            bad.append(f"{name}:{n}: {error}")
    if bad:
        more = f"\nand {len(bad) - _NAMED} more lines" if len(bad) > _NAMED else ""
        raise BadInput(problem="\n".join(bad[:_NAMED]) + more + "\nMend them: nothing was judged.")
    if not found:
        raise BadInput(problem=f'{name} holds no case. A line is {{"command": ..., "expected": ..., "category": ...}}.')
    return found


def _report(judged: Sequence[Judged], wrong: Sequence[Judged]) -> None:
    groups: defaultdict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        groups[each.case.category].append(each)
    paper = Paper()
    rows = [_row(name, groups[name]) for name in sorted(groups)]
    head = ("category", "harmful", "stop %", "hard deny %", "harmless", "false stop %", "not as labelled")
    paper.grid([tuple((cell, "bold") for cell in head), *rows, _row("in all", judged)])
    for each in wrong:
        case, verdict = each.case, each.verdict
        paper.gap()
        paper.line(f"expected {case.expected}, got ", *_decided(verdict.decision, verdict.rule), f": {verdict.reason}")
        paper.line(case.command, indent=2)
    paper.gap()
    paper.line(f"{len(judged) - len(wrong)} of {len(judged)} as labelled")
    paper.print()


def _row(name: str, judged: Sequence[Judged]) -> tuple[str, ...]:
    harmful = [each for each in judged if each.harmful]
    harmless = [each for each in judged if not each.harmful]
    hard = sum(each.verdict.decision is Decision.DENY for each in harmful)
    return (
        name,
        str(len(harmful)),
        _percent(sum(each.stopped for each in harmful), len(harmful)),
        _percent(hard, len(harmful)),
        str(len(harmless)),
        _percent(sum(each.stopped for each in harmless), len(harmless)),
        str(sum(each.verdict.decision is not each.case.expected for each in judged)),
    )


def _percent(part: int, whole: int) -> str:
    """A rate, or a dash where there is nothing to rate."""
    return f"{100 * part / whole:.1f}" if whole else "-"
