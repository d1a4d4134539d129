"""An agent may look at Overnight and control nothing of it, however the command is written."""

from __future__ import annotations

import pytest

from overnight.cli.app import COMMANDS
from overnight.guard.models.overnight import _LOOKS  # pyright: ignore[reportPrivateUsage] (held against the commands)
from overnight.guard.verdict import Decision

from .helpers import bash

CONTROLS = (
    "overnight approve t1", "overnight approve t1 --anyway", "overnight approve t1 -v", "overnight approve t1 --version",
    "overnight approve --help -- t1", "overnight reject t1 --commit --help", "overnight reject t1 -- --help", "overnight answer t1 keep",
    "overnight answer t1.q0badcafe show", "overnight add 'do more'", "overnight retry t1", "overnight cancel t1", "overnight stop",
    "overnight pause", "overnight resume", "overnight up", "overnight down", "overnight web", "overnight web token",
    "overnight web login --as ann", "overnight budget set day '400 USD'", "overnight limits lift", "overnight levels set r docs L3",
    "overnight repo add .", "overnight repo remove r", "overnight notify test", "overnight guard test x", "overnight guard hook",
    "overnight journal", "overnight audit checkpoint", "overnight backup x", "overnight restore x", "overnight doctor", "overnight watch",
    "overnight service install", "overnight soak", "overnight evidence t1 --open", "overnight $VERB t1", "overnight a*",
    "python -m overnight approve t1", "python3 -P -m overnight answer t1 b", "python3.12 -Im overnight up",
    "python -m overnight.__main__ approve t1", "python -m overnight.cli approve t1", "python -m overnight.daemon",
    "python -P -m overnight.people.deliver /tmp/x", "python -m overnight.warden_process /tmp/x", "python -m overnight.web_process",
    ".venv/bin/overnight approve t1", "/usr/local/bin/overnight approve t1", "uv run overnight approve t1", "env -i overnight approve t1",
    "sh -c 'overnight approve t1'", "echo t1 | xargs overnight approve", "o=overnight; $o approve t1", "echo overnight approve t1 | sh",
    "true && overnight approve t1", "nohup overnight approve t1 &", "python -c \"import os; os.system('overnight approve t1')\"",
    "command overnight approve t1", "alias o=overnight; overnight status; overnight approve t1",
)  # fmt: skip
LOOKS = (
    "overnight", "overnight --version", "overnight --help", "overnight approve --help", "overnight status", "overnight status --json",
    "overnight show t1", "overnight log t1 --raw", "overnight diff t1", "overnight report", "overnight inbox", "overnight inbox show t1",
    "overnight inbox --json", "overnight holds", "overnight usage --since 7d", "overnight routes", "overnight limits", "overnight limits --json",
    "overnight budget", "overnight levels --repo r", "overnight audit show t1", "overnight audit verify", "overnight audit decisions",
    "overnight journal verify", "overnight config show", "overnight repo list", "overnight guard explain 'rm -rf /'", "overnight version",
    "python -m overnight status", "python -m overnight.cli.reference", "grep -rn overnight src", "cat docs/overnight.md",
    "overnight status --markdown out.md", "which overnight", "pip show overnight",
)  # fmt: skip


@pytest.mark.parametrize("command", CONTROLS)
def test_what_controls_is_denied(command: str) -> None:
    """Whatever adds, decides, steers, pays, starts or ends is a person's."""
    assert bash(command).verdict.decision is Decision.DENY


@pytest.mark.parametrize("command", LOOKS)
def test_what_looks_passes(command: str) -> None:
    """Reading harms nobody."""
    assert bash(command).verdict.decision is Decision.ALLOW


def test_a_look_that_writes_is_a_write() -> None:
    """Outside of the worktree it is stopped as any other."""
    assert bash("overnight status --markdown /etc/motd").verdict.decision is Decision.DENY
    assert bash("overnight evidence t1 --export=/etc/x").verdict.decision is Decision.DENY


def test_every_look_is_a_command() -> None:
    """A command that is renamed is not let through by its old name."""
    assert set(_LOOKS) <= set(COMMANDS)
