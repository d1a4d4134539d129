"""What may not come into a repository, whatever the checks say: things that act when a person merely looks."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from overnight.landing.git import Git
from overnight.landing.text import path_shown

GITLINK, SYMLINK = b"160000", b"120000"
#: Reasons of one kind that are spelt out.
_SHOWN = 10


class Change(Struct, frozen=True):
    """One path that differs between two trees."""

    path: bytes
    old_mode: bytes
    mode: bytes
    id: str
    #: A, M, D or T, as git has it.
    status: str


async def changes(git: Git, old: str, new: str) -> tuple[Change, ...]:
    """Every path that differs between two commits or trees, without guessing renames."""
    raw = await git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--end-of-options", old, new)
    fields = raw.split(b"\0")[:-1]
    found: list[Change] = []
    for facts, path in zip(fields[::2], fields[1::2], strict=True):
        old_mode, mode, _, new_id, status = facts.removeprefix(b":").split(b" ")
        found.append(Change(path, old_mode, mode, new_id.decode(), status.decode()))
    return tuple(found)


async def refusals(git: Git, changed: Sequence[Change]) -> tuple[str, ...]:
    """Why these changes may not land, for a person; empty when they may."""
    gitlinks = [c.path for c in changed if c.mode == GITLINK and c.old_mode != GITLINK]
    links = [c for c in changed if c.mode == SYMLINK]
    targets = await _contents(git, [c.id for c in links])
    leaving = [c.path for c, target in zip(links, targets, strict=True) if leaves(c.path, target)]
    return (
        *_told(gitlinks, "{} is a link to another repository (gitlink) that was not there before"),
        *_told(leaving, "{} is a symbolic link that leads out of the tree or into a git dir"),
        *_told(bare_repositories(changed), "{} looks like a bare git repository, whose settings could run programs"),
    )


def leaves(path: bytes, target: bytes) -> bool:
    """Whether a link at `path` could lead out of the tree or into a git dir.

    `..` is followed only at the front, where the folders are real; after a name it could pass another link.
    """
    parts = target.split(b"/")
    if target.startswith(b"/") or not target or any(part.lower() == b".git" for part in parts):
        return True
    plain = [part for part in parts if part not in (b"", b".")]
    up = next((i for i, part in enumerate(plain) if part != b".."), len(plain))
    return b".." in plain[up:] or up > path.count(b"/")


def bare_repositories(changed: Iterable[Change]) -> list[bytes]:
    """Folders that these changes turn into what git takes for a git dir when somebody works in them."""
    present = {c.path for c in changed if c.mode != b"000000"}
    heads = [path for path in present if posixpath.basename(path).lower() == b"head"]
    folders = [posixpath.dirname(path) for path in heads]
    return sorted(
        folder
        for folder in folders
        if folder and all(any(p.startswith(folder + b"/" + part) for p in present) for part in (b"objects/", b"refs/"))
    )


def nested_repositories(tree: Path) -> tuple[list[bytes], int]:
    """Folders below a work tree that have a `.git` of their own, and the bytes of all files outside of them.

    Links are not followed. Folders that can't be read count as empty.
    """
    nested: list[bytes] = []
    size = 0
    root = os.fsencode(tree)
    for folder, names, files in os.walk(root):
        if folder != root and b".git" in (*names, *files):
            nested.append(os.path.relpath(folder, root))
            names.clear()
            continue
        names[:] = [name for name in names if name != b".git"]
        size += sum(os.lstat(folder + b"/" + name).st_size for name in files)
    return sorted(nested), size


def _told(paths: Sequence[bytes], sentence: str) -> list[str]:
    told = [sentence.format(path_shown(path)) for path in paths[:_SHOWN]]
    return told + ([f"and {len(paths) - _SHOWN} more of that kind"] if len(paths) > _SHOWN else [])


def told(paths: Sequence[bytes], sentence: str) -> tuple[str, ...]:
    """One sentence per path (`{}`), the first ones spelt out."""
    return tuple(_told(paths, sentence))


async def _contents(git: Git, ids: Sequence[str]) -> list[bytes]:
    if not ids:
        return []
    out = await git.run("cat-file", "--batch", stdin="".join(f"{i}\n" for i in ids).encode())
    found: list[bytes] = []
    at = 0
    for _ in ids:
        end = out.index(b"\n", at)
        size = int(out[at:end].split(b" ")[2])
        found.append(out[end + 1 : end + 1 + size])
        at = end + size + 2
    return found
