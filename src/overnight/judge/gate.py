"""The gate before a forge: what may leave this machine, by facts about what would. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta, Struct

_MIB = 2**20
#: Reasons of one kind that are spelt out.
_SHOWN = 5
#: Files in which what looks like any key at all is a digest. A vendor's key is one there too.
_DIGESTS = frozenset(
    (
        "cargo.lock", "composer.lock", "flake.lock", "gemfile.lock", "go.sum", "mix.lock", "npm-shrinkwrap.json",
        "package-lock.json", "packages.lock.json", "pdm.lock", "pipfile.lock", "pnpm-lock.yaml", "poetry.lock",
        "pubspec.lock", "requirements.lock", "uv.lock", "yarn.lock",
    )
)  # fmt: skip


class GateSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may leave this machine at most, in one push."""

    #: Commits that the forge does not have yet.
    commits: Annotated[int, Meta(ge=1)] = 200
    #: MiB of one file.
    file: Annotated[int, Meta(ge=1)] = 5
    #: MiB of all versions of files together that the forge does not have yet.
    total: Annotated[int, Meta(ge=1)] = 50
    #: What the scan for secrets finds and you have found harmless: fingerprints, as the refusal shows them.
    harmless: tuple[Annotated[str, Meta(pattern="^[0-9a-f]{16,64}$")], ...] = ()


class OutgoingCommit(Struct, frozen=True, kw_only=True):
    """A commit that the forge does not have yet."""

    id: str
    #: `Name <address>`
    author: str
    committer: str


class OutgoingFile(Struct, frozen=True, kw_only=True):
    """One version of a file that a commit brings."""

    commit: str
    path: str
    #: Bytes; 0 for what has none.
    size: int
    #: It is a link to another repository.
    gitlink: bool = False


class Leak(Struct, frozen=True, kw_only=True):
    """Something that looks like a secret, without the secret."""

    rule: str
    commit: str
    #: Empty: in the commit's own words.
    path: str
    line: int
    #: SHA-256 of the value, in hex.
    fingerprint: str


class Outgoing(Struct, frozen=True, kw_only=True):
    """All that a push would bring to the forge."""

    branch: str
    commits: tuple[OutgoingCommit, ...]
    files: tuple[OutgoingFile, ...] = ()


def refusals(out: Outgoing, address: str, target: str, limits: GateSettings) -> tuple[str, ...]:
    """Why this may not leave, without having read any of it; empty when it may. address: of Overnight's own commits."""
    found: list[str] = []
    if not out.branch.startswith("overnight/") or out.branch == target:
        found.append(f"`{out.branch}` is no branch of Overnight's")
    if len(out.commits) > limits.commits:
        found.append(f"{len(out.commits)} commits are more than {limits.commits} (forge.gate.commits)")
    foreign = [c for c in out.commits if not (_of(c.author, address) and _of(c.committer, address))]
    found += _told(
        (f"{c.id[:12]} is by {_other(c, address)}, not by Overnight" for c in foreign),
        f"; push your own commits on `{target}` first" if foreign else "",
    )
    links = [file for file in out.files if file.gitlink]
    found += _told(f"{_where(f.commit, f.path)} is a link to another repository (gitlink)" for f in links)
    large = [file for file in out.files if file.size > limits.file * _MIB]
    found += _told(
        f"{_where(f.commit, f.path)} has {f.size / _MIB:.1f} MiB, more than {limits.file} (forge.gate.file)"
        for f in large
    )
    total = sum(file.size for file in out.files)
    if total > limits.total * _MIB:
        found.append(f"its files have {total / _MIB:.1f} MiB, more than {limits.total} (forge.gate.total)")
    return tuple(found)


def leaking(leaks: Sequence[Leak], limits: GateSettings) -> tuple[str, ...]:
    """Why what was found in it may not leave; empty when all of it is known to be harmless."""
    bad = [
        leak
        for leak in leaks
        if not any(leak.fingerprint.startswith(known) for known in limits.harmless) and not _digest(leak)
    ]
    return _told(
        f"{leak.rule} in {_where(leak.commit, leak.path, leak.line)} ({leak.fingerprint[:16]})" for leak in bad
    )


def _digest(leak: Leak) -> bool:
    return leak.rule.startswith("generic") and posixpath.basename(leak.path).lower() in _DIGESTS


def _of(who: str, address: str) -> bool:
    return who.endswith(f" <{address}>")


def _other(commit: OutgoingCommit, address: str) -> str:
    return commit.committer if _of(commit.author, address) else commit.author


def _where(commit: str, path: str, line: int = 0) -> str:
    if not path:
        return f"the message of {commit[:12]}"
    return f"{path}:{line} of {commit[:12]}" if line else f"{path} of {commit[:12]}"


def _told(all_of_them: Iterable[str], then: str = "") -> tuple[str, ...]:
    texts = tuple(all_of_them)
    more = f"and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    told = (*texts[:_SHOWN], *((more,) if more else ()))
    return (*told[:-1], told[-1] + then) if told else ()
