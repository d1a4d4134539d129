"""What people write in files: a repo's policy, a machine's settings, and how the second bounds the first.

Names are looked up when they are asked for: a hook that only wants the guard's tables waits for nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overnight.config.bounds import Bounded, bound
    from overnight.config.places import POLICY_FILE, settings_path
    from overnight.config.policy import read_policy
    from overnight.config.settings import Settings, parse_settings, read_settings, state_home

__all__ = [
    "POLICY_FILE",
    "Bounded",
    "Settings",
    "bound",
    "parse_settings",
    "read_policy",
    "read_settings",
    "settings_path",
    "state_home",
]
_HOMES = {
    "bounds": ("Bounded", "bound"),
    "places": ("POLICY_FILE", "settings_path"),
    "policy": ("read_policy",),
    "settings": ("Settings", "parse_settings", "read_settings", "state_home"),
}


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
