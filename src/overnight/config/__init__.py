"""What people write in files: a repo's policy, a machine's settings, and how the second bounds the first."""

from overnight.config.policy import read_policy

__all__ = ["read_policy"]
