"""What people write in files: a repo's policy, a machine's settings, and how the second bounds the first."""

from overnight.config.bounds import Bounded, bound
from overnight.config.policy import POLICY_FILE, read_policy
from overnight.config.settings import Settings, parse_settings, read_settings, settings_path, state_home

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
