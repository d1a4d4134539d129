"""`overnight.toml`: a repo's policy, from bytes on the target branch to a checked value."""

from __future__ import annotations

import re
from collections.abc import Iterator

from overnight.config.document import read
from overnight.config.guard import guard_rules
from overnight.config.hosts import hosts
from overnight.config.shape import Path, Problem, name_of, show
from overnight.errors import PolicyInvalid
from overnight.missions.hold import TIME_OUTS, HoldReason, Patience
from overnight.missions.money import Amount
from overnight.missions.policy import Check, LandingMode, Policy

_CHECK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What `git check-ref-format` refuses in a branch's name.
BAD_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/.]|[/.]$|/\.|\.lock(/|$)|^@$|^HEAD$|^$")


def read_policy(data: bytes, where: str) -> Policy:
    """The policy in a file's content. where: how to call the file in messages.

    Raises PolicyInvalid, which lists everything that is wrong with the file, each with line and column.
    """
    return read(data, where, Policy, _rules, PolicyInvalid, short={Check: "run", Amount: "usd"})


def _rules(policy: Policy) -> Iterator[Problem]:
    yield from _branch(policy.target)
    if not policy.agent.strip():
        yield Problem(("agent",), '`agent` must name an agent, such as "claude"')
    if policy.model is not None and not policy.model.strip():
        yield Problem(("model",), "`model` must name a model; leave the key out to let the agent choose")
    yield from _globs(("paths", "forbidden"), policy.paths.forbidden)
    yield from _globs(("paths", "sensitive"), policy.paths.sensitive)
    yield from hosts(("box", "egress"), policy.box.egress)
    yield from guard_rules(policy.guard, ("guard",), repo=True)
    for name, check in policy.checks.items():
        yield from _check(name, check)
    for reason, patience in policy.holds.items():
        yield from _patience(reason, patience)
    if policy.landing in (LandingMode.MERGE, LandingMode.PR) and not policy.checks:
        yield Problem(
            ("landing",),
            f'`landing = "{policy.landing}"` needs at least one check, for nothing else would prove the change: '
            'add [checks], or set landing = "branch"',
            about=("checks",),
        )


def _branch(target: str) -> Iterator[Problem]:
    if target.startswith("refs/"):
        short = target.removeprefix("refs/heads/")
        yield Problem(("target",), f'`target` is a branch name without "refs/heads/": write {show(short)}')
    elif BAD_BRANCH.search(target):
        yield Problem(("target",), f"`target` must be a branch name that git accepts, not {show(target)}")


def _check(name: str, check: Check) -> Iterator[Problem]:
    path = ("checks", name)
    if not _CHECK_NAME.fullmatch(name):
        yield Problem(
            path, f"{show(name)} can't name a check: use up to 64 letters, digits, `.`, `_`, `-`", value=False
        )
    if not check.run.strip():
        yield Problem((*path, "run"), f"`{name_of(path)}` has an empty command")
    yield from hosts((*path, "egress"), check.egress)


def _patience(reason: HoldReason, patience: Patience) -> Iterator[Problem]:
    path = ("holds", reason.value)
    if (fitting := TIME_OUTS.get(reason)) is None:
        yield Problem(path, f"a hold of the reason {show(reason.value)} does not wait for a person", value=False)
    elif patience.then not in fitting:
        ways = ", ".join(show(each.value) for each in fitting)
        yield Problem((*path, "then"), f"`{name_of(path)}.then` must be one of {ways}, not {show(patience.then.value)}")


def _globs(path: Path, globs: tuple[str, ...]) -> Iterator[Problem]:
    for index, glob in enumerate(globs):
        parts = glob.split("/")
        if not glob or glob.startswith(("/", "!")) or ".." in parts or "." in parts:
            yield Problem(
                (*path, index),
                f'`{name_of(path)}` holds globs from the root of the repository, such as "infra/**", not {show(glob)}',
            )
