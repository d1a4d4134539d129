"""What a BoxSpec must fulfil before anything is started; the same for every box."""

from __future__ import annotations

import os
from pathlib import Path

from overnight.boxes.listeners import MOST
from overnight.errors import BoxUnavailable
from overnight.ports import BoxSpec

_KERNEL_TREES = ("/proc", "/dev", "/sys")
#: Private inside; the machine's own must not be laid over them. Folders in them may be shown.
_PRIVATE = ("/", "/tmp", "/var/tmp")  # noqa: S108


def check(spec: BoxSpec) -> None:
    """Raises BoxUnavailable, which says what is wrong with the spec."""
    if not spec.argv:
        raise _bad("there is no command to run", "Give argv at least a program.")
    _check_texts(spec)
    for path in (*spec.writable, *spec.readable):
        _check_path(path)
    if not Path(spec.cwd).is_dir():
        raise _bad(f"its working folder {spec.cwd} is not there", "Create it, or start the box elsewhere.")
    odd = [port for port in spec.ports if not 0 < port < 1 << 16]
    if odd or len(set(spec.ports)) != len(spec.ports) or len(spec.ports) > MOST:
        raise _bad(f"ports {spec.ports} repeat, are no ports or more than {MOST}", "Ask the box for its ports.")
    if spec.git is not None:
        _check_git(*spec.git, shown=(*spec.writable, *spec.readable))


def within(path: str, folders: tuple[str, ...]) -> bool:
    """Whether a path is one of the folders or lies below one."""
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _check_texts(spec: BoxSpec) -> None:
    for name, value in spec.env.items():
        if not name or "=" in name or "\0" in name + value:
            raise _bad(f"{name!r} can't be an environment variable", "Take `=` and NUL out of it.")
    paths = (*spec.writable, *spec.readable, *(spec.git or ()), spec.cwd)
    if any("\0" in text for text in (*spec.argv, *paths)):
        raise _bad("a path or an argument holds a NUL", "Take it out.")
    for path in paths:
        if not path.startswith("/") or path != os.path.normpath(path) or path.startswith("//"):
            raise _bad(f"{path!r} is not an absolute, plain path", "Write it from `/`, without `.`, `..` or `//`.")


def _check_path(path: str) -> None:
    if path in _PRIVATE or within(path, _KERNEL_TREES):
        raise _bad(f"{path} can't be shown in a box", "Name the folders that are needed.")
    if not Path(path).exists():
        raise _bad(f"{path} is not there", "Create it, or take it out of what the box is shown.")


def _check_git(tree: str, git_dir: str, shown: tuple[str, ...]) -> None:
    cover = Path(tree, ".git")
    if cover.is_symlink() or not cover.is_file():
        raise _bad(f"{cover} is not a file", "Make the work tree with `git worktree add`.")
    if not Path(git_dir).is_dir():
        raise _bad(f"the git dir {git_dir} is not there", "Open it anew.")
    if "\n" in git_dir:
        raise _bad(f"the git dir {git_dir!r} has a line break in its name", "Choose another place for it.")
    for path in (tree, git_dir):
        if not within(path, shown):
            raise _bad(f"{path} is not shown in the box", "Name it, or a folder above it, as writable or readable.")


def _bad(reason: str, install: str) -> BoxUnavailable:
    return BoxUnavailable(reason=reason, install=install)
