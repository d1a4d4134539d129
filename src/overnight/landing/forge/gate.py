"""The gate before the forge: reads everything that a push would bring there, and says what must not leave."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from overnight.judge.gate import GateSettings, Leak, Outgoing, OutgoingCommit, OutgoingFile, leaking, refusals
from overnight.landing.forge.scanner import scan
from overnight.landing.gates import GITLINK, Change, changes
from overnight.landing.gates import refusals as tree_refusals
from overnight.landing.git import Git
from overnight.landing.private import EMAIL
from overnight.landing.text import path_shown

_GONE = b"000000"


class _Version(Struct, frozen=True):
    """One version of a file that a commit brings, and what its parents had."""

    commit: str
    path: bytes
    blob: str
    gitlink: bool


class _Carried(Struct, frozen=True):
    """A commit with all that it brings."""

    id: str
    raw: bytes
    brings: tuple[_Version, ...]
    #: Contents of the same paths before: lines of these are no news.
    before: frozenset[str]


async def refused(
    git: Git, branch: str, commit: str, known: Sequence[str], target: str, limits: GateSettings, secrets: Sequence[str]
) -> tuple[str, ...]:
    """Why a commit may not be pushed; empty when it may.

    git: on the objects alone. known: commits that the forge has; the first is the tip of its target. secrets: values
    that must never leave, whatever they look like.
    """
    carried = [await _carried(git, each) for each in await _range(git, commit, known)]
    sizes = await _sizes(git, {v.blob for c in carried for v in c.brings if not v.gitlink})
    files = [
        OutgoingFile(commit=v.commit, path=path_shown(v.path), size=sizes.get(v.blob, 0), gitlink=v.gitlink)
        for c in carried
        for v in c.brings
    ]
    out = Outgoing(branch=branch, commits=tuple(_signed(c) for c in carried), files=tuple(files))
    told = (*refusals(out, EMAIL, target, limits), *await tree_refusals(git, await changes(git, known[0], commit)))
    if told:
        return told
    return await _leaks(git, carried, limits, secrets)


async def _range(git: Git, commit: str, known: Sequence[str]) -> list[str]:
    listed = await git.text("rev-list", "--topo-order", "--reverse", commit, "--not", *known)
    return listed.split()


async def _carried(git: Git, commit: str) -> _Carried:
    raw = await git.run("cat-file", "commit", commit)
    parents = [os.fsdecode(line[7:]) for line in _head(raw) if line.startswith(b"parent ")]
    from_each = [await changes(git, parent, commit) for parent in parents or [await _empty(git)]]
    paths = {c.path for c in from_each[0]}.intersection(*({c.path for c in changed} for changed in from_each[1:]))
    versions = tuple(
        _Version(commit, c.path, c.id, c.mode == GITLINK) for c in from_each[0] if c.path in paths and c.mode != _GONE
    )
    old = {
        blob for parent, changed in zip(parents, from_each, strict=False) for blob in await _old(git, parent, changed)
    }
    return _Carried(commit, raw, versions, frozenset(old))


async def _empty(git: Git) -> str:
    return await git.text("hash-object", "-t", "tree", "--stdin")


async def _old(git: Git, parent: str, changed: Iterable[Change]) -> list[str]:
    """The blobs that a parent had at these paths."""
    there = [c.path for c in changed if c.old_mode not in (_GONE, GITLINK)]
    if not there:
        return []
    names = b"".join(parent.encode() + b":" + path + b"\0" for path in there)
    done = await git.run("cat-file", "-z", "--batch-check=%(objectname)", stdin=names)
    return done.decode().split()


def _head(raw: bytes) -> list[bytes]:
    return raw.partition(b"\n\n")[0].split(b"\n")


def _signed(carried: _Carried) -> OutgoingCommit:
    said = {kind: rest for line in _head(carried.raw) for kind, _, rest in (line.partition(b" "),)}
    author, committer = (said.get(kind, b"").rpartition(b">")[0] + b">" for kind in (b"author", b"committer"))
    return OutgoingCommit(
        id=carried.id, author=author.decode(errors="replace"), committer=committer.decode(errors="replace")
    )


async def _sizes(git: Git, blobs: Iterable[str]) -> dict[str, int]:
    names = "".join(f"{blob}\n" for blob in blobs)
    said = await git.run("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=names.encode())
    return {blob: int(size) for blob, _, size in (line.partition(" ") for line in said.decode().splitlines())}


async def _contents(git: Git, blobs: Iterable[str]) -> dict[str, bytes]:
    names = "".join(f"{blob}\n" for blob in blobs)
    said = await git.run("cat-file", "--batch", stdin=names.encode())
    found: dict[str, bytes] = {}
    at = 0
    while at < len(said):
        end = said.index(b"\n", at)
        blob, _, size = said[at:end].decode().split(" ")
        found[blob] = said[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
    return found


async def _leaks(
    git: Git, carried: Sequence[_Carried], limits: GateSettings, secrets: Sequence[str]
) -> tuple[str, ...]:
    contents = await _contents(
        git, {v.blob for c in carried for v in c.brings} | {b for c in carried for b in c.before}
    )
    texts: list[tuple[str, bytes, bytes]] = []
    for each in carried:
        texts.append((each.id, b"", each.raw))
        old = {line for blob in each.before for line in contents[blob].split(b"\n")}
        texts += [(v.commit, v.path, news(contents[v.blob], old)) for v in each.brings]
        texts.append((each.id, b"", b"\n".join(v.path for v in each.brings)))
    named = [
        f"a secret of this machine is in {path_shown(path) or 'the message'} of {commit[:12]}"
        for commit, path, text in texts
        if any(secret.encode() in text for secret in secrets)
    ]
    if named:
        return tuple(named)
    found = await scan([readable(text) for _, _, text in texts])
    leaks = [
        Leak(
            rule=f.rule,
            commit=texts[f.text][0],
            path=path_shown(texts[f.text][1]),
            line=f.line,
            fingerprint=f.fingerprint,
        )
        for f in found
    ]
    return leaking(leaks, limits)


def news(content: bytes, old: Collection[bytes]) -> bytes:
    """A file with every line blank that was there before: what is left is new, and stands where it stood."""
    return b"\n".join(b"" if line in old else line for line in content.split(b"\n"))


def readable(content: bytes) -> bytes:
    """Bytes as text that a scanner reads to the end: without zero bytes, UTF-16 becomes plain as well."""
    return content.replace(b"\0", b"")
