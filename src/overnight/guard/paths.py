"""Paths on strings: what a name means from a folder, what lies under what, what matches a glob."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache

from overnight.guard.text import HOLE, STAR
from overnight.guard.world import Bounds, World

#: Folders of the system: written or deleted, the machine is broken.
SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/opt", "/proc", "/root", "/run", "/sbin", "/snap",
          "/srv", "/sys", "/usr", "/var", "/Applications", "/Library", "/System", "/private", "/nix")  # fmt: skip
#: Devices that swallow or give bytes and harm nothing.
HARMLESS = frozenset({"/dev/null", "/dev/zero", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/random",
                      "/dev/urandom", "/dev/full", "/dev/ptmx"})  # fmt: skip
#: Devices that give bytes without end.
BOTTOMLESS = frozenset({"/dev/zero", "/dev/random", "/dev/urandom", "/dev/full"})
#: Other names of the root and of the working folder. Those of other processes are taken for one's own.
_PROCESS = re.compile(r"/proc/(?:self|thread-self|\d+)(?:/task/\d+)?/(root|cwd)(?=/|\Z)")


def absolute(path: str, cwd: str) -> str:
    """`path` as seen from `cwd`, normalised. Holes stay holes."""
    found = _PROCESS.match(path)
    if found:
        path = (cwd if found.group(1) == "cwd" else "") + (path[found.end() :] or "/")
    return posixpath.normpath(path if path.startswith("/") else f"{cwd}/{path}").replace("//", "/", 1)


def under(path: str, folder: str) -> bool:
    """True when path is the folder or lies in it."""
    return path == folder or path.startswith(folder if folder.endswith("/") else folder + "/")


#: Names, below a hidden folder of the home, of what programs keep to log in with.
_KEEPER = re.compile(
    r"\.[^/]+/(?:.*/)?[^/]*(?:credential|secret|token|oauth|passw|auth\.json|api[_-]?key|cookies|keyring|wallet)[^/]*\Z",
    re.IGNORECASE,
)
_NO_KEEPER = re.compile(
    r"\.(?:cache|cargo/registry|rustup|nvm|pyenv|rbenv|local/(?:lib|share/(?:uv|pnpm|mise))|npm/_|vscode|venv)|\.(?:py|rs|js|ts|go|md|html|h|c|rb)\Z"
)
_STORES = (".ssh", ".aws", ".gnupg", ".config/gcloud", ".kube", ".docker", ".password-store", ".config/gh")


def personal_secret(path: str, bounds: Bounds) -> bool:
    """True for a file in the home folder, outside of the work tree, whose name says that it holds credentials."""
    if not under(path, bounds.home) or under(path, bounds.worktree):
        return False
    inner = path[len(bounds.home) + 1 :]
    return inner.endswith((".pem", ".ppk")) or (bool(_KEEPER.match(inner)) and not _NO_KEEPER.search(inner))


def holds_stores(path: str, bounds: Bounds) -> bool:
    """True for a folder of the home that has stores of credentials somewhere below it."""
    return path != "/" and any(under(f"{bounds.home}/{store}", path) for store in _STORES)


def resolved(path: str, world: World) -> str:
    """The real path of the part before the first hole or glob, with the rest put back."""
    cut = next((i for i, char in enumerate(path) if char >= HOLE and char <= STAR), -1)
    if cut < 0:
        return world.realpath(path)
    head, _, tail = path[:cut].rpartition("/")
    return posixpath.normpath((world.realpath(head) if head else "") + "/" + tail + path[cut:])


def writable(path: str, bounds: Bounds) -> bool:
    """True when the bounds let a call write there."""
    return any(under(path, place) for place in (bounds.worktree, *bounds.tmp, *bounds.scratch)) or path in HARMLESS


@lru_cache(maxsize=4096)
def glob(pattern: str) -> re.Pattern[str]:
    """`**` crosses folders, `*` and `?` do not."""
    out, i = "", 0
    while i < len(pattern):
        if pattern.startswith("**/", i):
            out, i = out + "(?:.*/)?", i + 3
        elif pattern.startswith("**", i):
            out, i = out + ".*", i + 2
        elif pattern[i] == "*":
            out, i = out + "[^/]*", i + 1
        elif pattern[i] == "?":
            out, i = out + "[^/]", i + 1
        else:
            out, i = out + re.escape(pattern[i]), i + 1
    return re.compile(out + r"\Z", re.DOTALL)


def matches(path: str, patterns: tuple[str, ...], worktree: str = "") -> bool:
    """True when a pattern matches the absolute path, or its part below the work tree."""
    inner = path[len(worktree) + 1 :] if worktree and under(path, worktree) else None
    for pattern in patterns:
        found = glob(pattern)
        if found.match(path) or (inner is not None and found.match(inner)):
            return True
    return False
