"""Whatever switches a CLI's hooks off, the canary notices: settings of the machine, of the repository, flags, broken files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doctor_lab import Lab, failed

from overnight.doctor.record import last_pass

pytestmark = [pytest.mark.cli, pytest.mark.slow]

NO_BOX = '[box]\nname = "none"\ni_know = true\n'
#: An organisation's settings, which bind above every flag.
MANAGED = {"allowManagedHooksOnly": True, "permissions": {"allow": ["Bash", "Write", "Edit"]}}
_UNASKED = ("hooks", "calls were made without asking the guard")
#: What stands around the CLI; the line that fails then, and what it says.
WRAPPERS = {
    # Reads what the repository brings along.
    "repository": ('set -- "$@" --setting-sources project', *_UNASKED),
    # Flags that leave hooks out.
    "bare": ('set -- "$@" --bare', *_UNASKED),
    "safe mode": ('set -- "$@" --safe-mode', *_UNASKED),
    # The CLI passes over a settings file that it can't read, without a word: neither hooks nor login are left.
    "torn settings": (
        'echo "{" > "$HOME/torn.json"; set -- "$@" --settings "$HOME/torn.json"',
        "agent",
        "made 0 calls",
    ),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_cli_without_its_hooks_does_not_pass(name: str, lab: Lab) -> None:
    """Calls were made that nobody was asked about, or none at all: that is said, and nothing is taken for proved."""
    script, line, words = WRAPPERS[name]
    lab.settings(lab.wrapped(f'case "$1" in --version) ;; *) {script} ;; esac\nexec "$CLAUDE" "$@"'))
    shown = lab.canary()
    assert not shown.passed
    assert words in failed(shown)[line]
    assert last_pass(lab.home, "claude") is None


def with_managed_settings(lab: Lab) -> dict[str, str]:
    """What fails on a machine whose /etc is a copy with settings of an organisation. The real one is not touched."""
    etc = lab.folder / "etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore=lambda folder, _: ["claude-code"] if folder == "/etc" else [])
    (etc / "claude-code").mkdir()
    (etc / "claude-code" / "managed-settings.json").write_text(json.dumps(MANAGED))
    overnight = f"exec {sys.executable} -P -m overnight doctor --canary --json"
    argv = ("unshare", "--mount", "--propagation", "private", "sh", "-c", f'mount --bind "{etc}" /etc && {overnight}')
    env = {**lab.environ, "OVERNIGHT_HOME": str(lab.home)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    played = json.loads(done.stdout)["lines"]
    assert any(line["name"] == "agent" for line in played), done.stdout
    return {line["name"]: line["seen"] for line in played if line["level"] == "fail"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount namespace with an /etc of its own")
def test_an_organisations_settings_are_noticed(lab: Lab) -> None:
    """Without a box the CLI heeds them and its hooks are off; in the box it does not see them, and all holds."""
    lab.settings(NO_BOX)
    assert "hooks are switched off" in with_managed_settings(lab)["hooks"]
    assert last_pass(lab.home, "claude") is None
    shutil.rmtree(lab.folder / "etc")
    lab.settings("")
    assert set(with_managed_settings(lab)) <= {"login"}
    assert last_pass(lab.home, "claude") is not None
    assert not Path("/etc/claude-code").exists()
