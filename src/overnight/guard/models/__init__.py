"""Models of programs: argv in, effects out. Importing this registers them all."""

from overnight.guard.models import (
    cloud,
    containers,
    data,
    databases,
    files,
    find,
    git,
    machine,
    net,
    overnight,
    packages,
    quiet,
    text,
    transfer,
)

__all__ = [
    "cloud",
    "containers",
    "data",
    "databases",
    "files",
    "find",
    "git",
    "machine",
    "net",
    "overnight",
    "packages",
    "quiet",
    "text",
    "transfer",
]
