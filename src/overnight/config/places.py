"""Where the two files are, and what may stand at their top. Imports next to nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

#: A repo's policy, at the root of the repository.
POLICY_FILE = "overnight.toml"
#: Keys at the top of `overnight.toml` and of `config.toml`.
POLICY_KEYS = frozenset({
    "target", "landing", "agent", "model", "tier", "paths", "checks", "limits", "box", "clarify", "guard",
    "judges", "risk", "autonomy", "holds", "forge", "allow_remote_writes",
})  # fmt: skip
SETTINGS_KEYS = frozenset({
    "home", "work", "keep", "box", "agents", "bounds", "routing", "canary", "guard", "redact", "budget", "prices",
    "cassette", "usage", "limits", "judges", "report", "web", "telemetry", "watchdog", "people", "notify", "forge",
    "daemon", "logs",
})  # fmt: skip


def settings_path(env: Mapping[str, str] | None = None) -> Path:
    """Where the settings are read from: OVERNIGHT_CONFIG, else `overnight/config.toml` in the user's config folder."""
    env = os.environ if env is None else env
    if named := env.get("OVERNIGHT_CONFIG"):
        return Path(named)
    return xdg(env, "XDG_CONFIG_HOME", ".config") / "overnight" / "config.toml"


def xdg(env: Mapping[str, str], variable: str, default: str) -> Path:
    """A folder of the user's. The standard says that a relative path in these variables is to be ignored."""
    named = env.get(variable, "")
    return Path(named) if named.startswith("/") else expanded(f"~/{default}", env)


def expanded(path: str, env: Mapping[str, str]) -> Path:
    """A path of which `~/` means the user's home."""
    if not path.startswith("~/"):
        return Path(path)
    home = env.get("HOME", "")
    return (Path(home) if home.startswith("/") else Path.home()) / path[2:]
