"""What differs between two commits, with both contents of every file: read through git's objects, never a checkout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from overnight.judge.change import Change
from overnight.landing.git import Git
from overnight.landing.text import path_text, plain

#: Bytes of one file, and of all together, that are looked at as text.
MOST_FILE, MOST_ALL = 512 << 10, 32 << 20
#: Bytes of a patch that a judge or a person is shown.
MOST_PATCH = 400 << 10
_GITLINK, _NONE = b"160000", b"000000"


class Entry(NamedTuple):
    """A path that differs, as git says it: modes and object ids before and after."""

    mode_before: bytes
    mode_after: bytes
    before: bytes
    after: bytes
    was: bytes
    path: bytes


async def changes_between(git: Git, base: str, commit: str) -> tuple[Change, ...]:
    """Every path that differs, in git's order. Raises GitFailed."""
    entries = await entries_between(git, base, commit)
    counted = await git.run("diff-tree", "-r", "-z", "--numstat", "-M", "--no-commit-id", base, commit)
    texts = await _texts(git, entries)
    counts = dict(_counts(counted))
    return tuple(_change(entry, texts, counts) for entry in entries)


async def entries_between(git: Git, base: str, commit: str) -> tuple[Entry, ...]:
    """The same as git says it. Raises GitFailed."""
    raw = await git.run("diff-tree", "-r", "-z", "--raw", "--no-abbrev", "-M", "--no-commit-id", base, commit)
    return tuple(_entries(raw))


async def patch_between(git: Git, base: str, commit: str) -> tuple[str, int]:
    """The difference as a patch, without control characters, and how many bytes of it were left out."""
    done = await git.run(
        "diff-tree", "-r", "-p", "-M", "--no-ext-diff", "--no-textconv", "--no-color", "--no-commit-id", base, commit
    )
    return plain(done[:MOST_PATCH].decode("utf-8", "replace")), max(0, len(done) - MOST_PATCH)


def _entries(raw: bytes) -> Iterator[Entry]:
    """`:mode mode id id status NUL path NUL`, with two paths for what moved."""
    parts = iter(raw.split(b"\0"))
    for head in parts:
        if not head.startswith(b":"):
            continue
        mode_before, mode_after, before, after, status = head[1:].split(b" ")
        was = next(parts)
        path = next(parts) if status[:1] in (b"R", b"C") else was
        yield Entry(mode_before, mode_after, before, after, was, path)


def _counts(counted: bytes) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """`added TAB removed TAB path NUL`, or for what moved `added TAB removed TAB NUL was NUL path NUL`; `-` is no text."""
    parts = iter(counted.split(b"\0"))
    for head in parts:
        if not head:
            continue
        added, removed, path = head.split(b"\t", 2)
        if not path:
            next(parts)
            path = next(parts)
        yield path, (_count(added), _count(removed))


def _count(number: bytes) -> int:
    return 0 if number == b"-" else int(number)


async def _texts(git: Git, entries: Sequence[Entry]) -> dict[bytes, str]:
    """The contents of all that is text and not too long, by object id."""
    pairs = ((e.mode_before, e.before) for e in entries), ((e.mode_after, e.after) for e in entries)
    wanted = list(dict.fromkeys(name for side in pairs for mode, name in side if mode not in (_GITLINK, _NONE)))
    sized = await git.run("cat-file", "--batch-check", stdin=b"\n".join(wanted) + b"\n") if wanted else b""
    room, fitting = MOST_ALL, list[bytes]()
    for line in sized.splitlines():
        name, kind, size = line.split(b" ")
        if kind == b"blob" and int(size) <= min(MOST_FILE, room):
            room -= int(size)
            fitting.append(name)
    read = await git.run("cat-file", "--batch", stdin=b"\n".join(fitting) + b"\n") if fitting else b""
    return dict(_blobs(read))


def _blobs(read: bytes) -> Iterator[tuple[bytes, str]]:
    at = 0
    while at < len(read):
        end = read.index(b"\n", at)
        name, _, size = read[at:end].split(b" ")
        content = read[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
        if b"\0" not in content:
            yield name, content.decode("utf-8", "replace")


def _change(entry: Entry, texts: dict[bytes, str], counts: dict[bytes, tuple[int, int]]) -> Change:
    added, removed = counts.get(entry.path, (0, 0))
    moved = entry.was != entry.path
    return Change(
        path=path_text(entry.path),
        was=path_text(entry.was) if moved else "",
        before=texts.get(entry.before),
        after=texts.get(entry.after),
        added=added,
        removed=removed,
        existed=entry.mode_before != _NONE,
        exists=entry.mode_after != _NONE,
    )
