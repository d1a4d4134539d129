"""A machine on which canaries are played: a state folder, settings, and agents' CLIs that are not as they should be."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from overnight.agents.claude_binary import find
from overnight.doctor.canary import Shown, canary
from overnight.doctor.findings import Level


class Lab:
    """One person's machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "state"
        self.home.mkdir()
        (folder / "person").mkdir()
        #: What else is in the person's environment.
        self.more: dict[str, str] = {}
        self.settings("")

    def settings(self, text: str) -> None:
        """The person's config.toml."""
        (self.folder / "config.toml").write_text(text)

    @property
    def environ(self) -> dict[str, str]:
        """No login anywhere."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "person"),
            "OVERNIGHT_CONFIG": str(self.folder / "config.toml"),
            **self.more,
        }

    def canary(self, agent: str = "claude") -> Shown:
        """Play it."""
        return asyncio.run(canary(agent, self.home, self.environ))

    def wrapped(self, script: str) -> str:
        """Settings with a CLI that is a script around the real one: `$CLAUDE` is that, `$@` what it was called with."""
        real = find(None, self.environ).path
        folder = self.folder / "tools"
        (folder / "bin").mkdir(parents=True)
        os.link(real, folder / "bin" / "claude-itself") if _one_disk(real, folder) else _copy(real, folder)
        path = folder / "claude"
        path.write_text(f'#!/bin/sh\nCLAUDE="{folder}/bin/claude-itself"\n{script}\n')
        path.chmod(0o755)
        return f'[agents.claude]\npath = "{path}"\n[box]\ntools = ["{folder}"]\n'


def failed(shown: Shown) -> dict[str, str]:
    """What did not hold: name -> what was seen."""
    return {line.name: line.seen for line in shown.lines if line.level is Level.FAIL}


def _one_disk(path: str, folder: Path) -> bool:
    return Path(path).stat().st_dev == folder.stat().st_dev and sys.platform == "linux"


def _copy(path: str, folder: Path) -> None:
    (folder / "bin" / "claude-itself").write_bytes(Path(path).read_bytes())
    (folder / "bin" / "claude-itself").chmod(0o755)
