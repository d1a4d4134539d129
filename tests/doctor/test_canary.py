"""The canary with the real CLI in the real box: it passes here, and fails for the right reason where something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab import Lab, failed

from overnight.config import read_settings
from overnight.doctor.record import digest, fingerprint, last_pass

pytestmark = pytest.mark.cli

HELD = {
    "agent", "hooks", "allowed", "write outside", "push", "policy", "settings", "rm -rf", "audit", "dead guard",
    "killed guard", "wall limit", "turn limit", "box: write outside", "box: delete outside", "box: read outside",
    "box: network", "box: processes",
}  # fmt: skip


def leftovers(lab: Lab) -> list[str]:
    """What a canary left in the state folder, and outside of it."""
    return [path.name for path in (lab.home / "canary").glob("night-*")] + [
        path.name for path in Path("/opt").glob("overnight-night-*")
    ]


def test_it_passes_here_and_is_kept(lab: Lab) -> None:
    """Every claim is shown, nothing is left behind, and the pass names CLI, box and version."""
    shown = lab.canary()
    assert shown.passed, failed(shown)
    assert {line.name for line in shown.lines} == HELD
    assert leftovers(lab) == []
    kept = last_pass(lab.home, "claude")
    assert kept is not None
    settings = read_settings(lab.environ)
    assert kept.fingerprint == fingerprint("claude", settings, lab.environ)
    assert kept.digest == digest(kept.fingerprint.cli.split()[0])
    assert kept.version in next(line.seen for line in shown.lines if line.name == "agent")
    assert kept.guarantees.network


def test_a_cli_that_reads_the_homes_settings_has_its_hooks_switched_off(lab: Lab) -> None:
    """`disableAllHooks` and open permissions in the run's HOME: the first call that nobody decided ends it, and it says so."""
    loose = '{"disableAllHooks": true, "permissions": {"allow": ["Bash", "Write", "Edit"]}}'
    script = f'mkdir -p "$HOME/.claude"; echo \'{loose}\' > "$HOME/.claude/settings.json"\n'
    lab.settings(
        lab.wrapped(
            script + 'case "$1" in --version) ;; *) set -- "$@" --setting-sources user ;; esac\nexec "$CLAUDE" "$@"'
        )
    )
    shown = lab.canary()
    assert not shown.passed
    assert "hooks are switched off" in failed(shown)["hooks"]
    assert "nobody had decided it" in failed(shown)["agent"]
    assert "HAPPENED" in failed(shown)["dead guard"]
    assert last_pass(lab.home, "claude") is None


def test_without_a_box_it_can_not_pass(lab: Lab) -> None:
    """The guard holds, and what the guard is not asked about happens: each such claim fails, and names the box."""
    lab.settings('[box]\nname = "none"\ni_know = true\n')
    shown = lab.canary()
    assert not shown.passed
    assert set(failed(shown)) == {name for name in HELD if name.startswith("box: ")}
    assert all("box 'none'" in seen for seen in failed(shown).values())
