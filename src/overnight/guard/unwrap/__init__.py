"""Programs that run other programs or code: their models take the inner command out and run it."""

from overnight.guard.unwrap import build, editors, interpreters, many, privileged, remote, shells, simple

__all__ = ["build", "editors", "interpreters", "many", "privileged", "remote", "shells", "simple"]
