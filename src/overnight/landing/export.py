"""From a box to a pack of objects: what an agent left is read in a box, and imported as data.

The script uses a git dir made by us for the occasion. The agent's own is only asked for commit ids, its settings,
hooks, index and ignore rules take no part. Nothing that the agent could write is written.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from overnight.errors import BoxUnavailable, GitFailed
from overnight.landing import holds
from overnight.landing.gates import nested_repositories
from overnight.landing.git import SAFE, config_in_environment
from overnight.landing.places import Places
from overnight.landing.private import EMAIL, NAME, quoted_path, write_private
from overnight.landing.repository import Repository
from overnight.ports import Box, BoxSpec

SCRIPT = r"""
set -u
exec 2>"$OUT/said" 3>"$OUT/report"
agent() { git --git-dir="$AGENT" "$@"; }
sound() { git rev-list --objects --quiet "$1" --not $KNOWN; }
head=
if [ -n "$AGENT" ]; then
  for name in HEAD "refs/heads/$BRANCH"; do
    id=$(agent rev-parse --verify --quiet "$name") || id=$(head -c 64 "$AGENT/$name" 2>&-)
    id=$(git rev-parse --verify --quiet "$id^{commit}") && sound "$id" || { echo "broken $name" >&3; continue; }
    if [ "$name" = HEAD ]; then echo "head $id" >&3; else echo "branch $id" >&3; fi
    [ -n "$head" ] || head=$id
  done
  { agent for-each-ref --format='%(objectname)' refs/heads refs/stash; agent rev-list -g refs/stash; } |
    head -n 64 | sort -u > "$OUT/refs"
  while read -r id; do
    new=$(git rev-list -n 1 "$id" --not $head $KNOWN) && [ -n "$new" ] && sound "$id" && echo "$id"
  done < "$OUT/refs" > "$OUT/tips"
  while read -r id; do echo "tip $id" >&3; done < "$OUT/tips"
else
  : > "$OUT/tips"
fi
if [ -n "$head" ]; then git read-tree --reset "$head" || exit 11; fi
xargs -0 -n 1 sh -c '[ $# = 0 ] || git check-ignore -q -- "./$1" || printf "%s\0" "$1"' sh < "$NESTED" > "$OUT/nested"
{
  printf ':(top)\0'
  xargs -0 -n 1 sh -c '[ $# = 0 ] || printf ":(top,exclude,literal)%s\0" "$1"' sh < "$OUT/nested"
} > "$OUT/paths"
git update-index -q --refresh  # the box's user is another one: file times are not to be trusted, contents are
git add --all --ignore-errors --pathspec-from-file="$OUT/paths" --pathspec-file-nul || echo "unread" >&3
tree=$(git write-tree) || exit 12
: > "$OUT/work"
if [ "$tree" != "$(git rev-parse "${head:-$START}^{tree}")" ]; then
  git commit-tree "$tree" -p "${head:-$START}" -m 'Left in the work tree' > "$OUT/work" || exit 12
  echo "work $(cat "$OUT/work")" >&3
fi
{
  [ -z "$head" ] || echo "$head"
  cat "$OUT/tips" "$OUT/work"
  for id in $KNOWN; do echo "^$id"; done
} | git pack-objects --revs --thin --stdout --delta-base-offset -q > "$OUT/pack" || exit 13
echo done >&3
"""

#: Objects of a pack up to which they become single files, as git itself does; more stay a pack.
_FEW = 100
#: Bytes of the script's report that are read.
_REPORT = 1 << 20
#: Who makes the commit that carries the work tree's files out of the box. It ends there.
_NOBODY = {"NAME": NAME, "EMAIL": EMAIL, "DATE": "946684800 +0000"}
_LINE = re.compile(r"(head|branch|tip|work) ([0-9a-f]{40}|[0-9a-f]{64})")


class ExportSettings(Struct, frozen=True, kw_only=True):
    """How work comes out of a box."""

    #: The box is ended after this time, in seconds.
    limit: float = 900.0
    #: PATH inside; `git` and `sh` must be on it.
    path: str = "/usr/local/bin:/usr/bin:/bin"


class Export(Struct, frozen=True, kw_only=True):
    """What came out, all of it in the repository's objects now and checked by git."""

    #: Where the agent's HEAD was; None when there was no agent's git dir or it can't be read.
    head: str | None = None
    #: Where the task's own branch was.
    branch: str | None = None
    #: Other commits that the agent made: on further branches, in stashes.
    tips: tuple[str, ...] = ()
    #: All files of the work tree, as a tree. None when not even that could be had.
    tree: str | None = None
    #: Nested repositories that were left out, and are not ignored.
    nested: tuple[bytes, ...] = ()
    #: What could not be had, for a person.
    problems: tuple[str, ...] = ()
    #: A file that keeps the imported pack from being dropped before a ref holds it; to be removed then.
    guard: Path | None = None


class Exporter:
    """Runs the script in boxes and imports what they wrote."""

    def __init__(self, places: Places, box: Box, settings: ExportSettings) -> None:
        self._places, self._box, self._settings = places, box, settings

    async def export(
        self, repository: Repository, *, work_tree: Path, agent: Path | None, branch: str, start: str,
        known: Sequence[str], index: Path, folder: Path,
    ) -> Export:  # fmt: skip
        """Everything an agent left in a work tree and its git dir. folder: made anew, may be thrown away after.

        known: commits that the repository has. An unreadable history is left out, the files still come.
        Raises Held(box-unavailable).
        """
        assert start in known
        problems: list[str] = []
        for asked in (agent, None) if agent is not None else (None,):
            nested: list[bytes] = []
            try:
                code, out, nested = await self._in_box(
                    repository, work_tree=work_tree, agent=asked, branch=branch, start=start, known=known, index=index,
                    folder=folder,
                )  # fmt: skip
                found = await _imported(repository, out, start, known) if code == 0 else None
                problem = f"the export ended with code {code}: {_said(out)}"
            except GitFailed as refused:
                found, problem = None, f"git refused what it holds: {refused.fields.get('stderr', '')}"
            if found is not None:
                return replace(found, nested=tuple(nested), problems=(*problems, *found.problems))
            problems.append(f"{'its history' if asked else 'its files'} could not be taken over: {problem}")
        return Export(problems=tuple(problems))

    async def _in_box(
        self, repository: Repository, *, work_tree: Path, agent: Path | None, branch: str, start: str,
        known: Sequence[str], index: Path, folder: Path,
    ) -> tuple[int | None, Path, list[bytes]]:  # fmt: skip
        self._places.discard(folder)
        git, out, given = folder / "git", folder / "out", folder / "given"
        for made in (git, out, given):
            made.mkdir(parents=True)
        await write_private(git, repository, start=start, branch=branch, work_tree=work_tree, index=index)
        if agent is not None:  # from here on git runs on it in the box only
            with (git / "objects/info/alternates").open("ab") as file:
                file.write(quoted_path(agent / "objects") + b"\n")
        nested, size = await asyncio.to_thread(nested_repositories, work_tree)
        links = await gitlinks(repository, start)
        nested = [path for path in nested if path not in links]
        whole = size < shutil.disk_usage(self._places.state).free
        (given / "nested").write_bytes(b"".join(path + b"\0" for path in nested))
        env = {
            **config_in_environment({**SAFE, "protocol.allow": "never"}),
            "PATH": self._settings.path, "HOME": str(out), "LC_ALL": "C", "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1", "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_DIR": str(git), "GIT_WORK_TREE": str(work_tree), "AGENT": str(agent or ""), "BRANCH": branch,
            "KNOWN": " ".join(known), "START": start,
            **{f"GIT_{who}_{what}": said for who in ("AUTHOR", "COMMITTER") for what, said in _NOBODY.items()}, "OUT": str(out), "NESTED": str(given / "nested"),
        }  # fmt: skip
        shown = [str(p) for p in (work_tree, given, *([agent] if agent else []), *repository.stores)]
        spec = BoxSpec(
            argv=("/bin/sh", "-c", SCRIPT if whole else _tracked_only(SCRIPT)), env=env, cwd=str(work_tree),
            writable=(str(git), str(out)), readable=tuple(shown),
        )  # fmt: skip
        code = await self._run(spec)
        left_out = set(_read(out / "nested").split(b"\0"))
        return code, out, [path for path in nested if path in left_out]

    async def _run(self, spec: BoxSpec) -> int | None:
        try:
            process = await self._box.start(spec)
        except BoxUnavailable as error:
            raise holds.box_unavailable(f"work can't be taken out safely: {error}", "a box that starts") from error
        try:
            async with asyncio.timeout(self._settings.limit):
                return await process.wait()
        except TimeoutError:
            return None
        finally:
            await process.kill()


def _tracked_only(script: str) -> str:
    """Where there's no room for a copy of everything, only what git knows already is taken."""
    return script.replace("git add --all", "git add --update").replace("tree=$(", "echo full >&3\ntree=$(")


async def gitlinks(repository: Repository, commit: str) -> set[bytes]:
    """Paths of submodules in a commit."""
    listed = await repository.plain.run("ls-tree", "-r", "-z", commit)
    return {line.split(b"\t", 1)[1] for line in listed.split(b"\0") if line.startswith(b"160000 ")}


async def _imported(repository: Repository, out: Path, start: str, known: Sequence[str]) -> Export | None:
    """Take the pack in and believe the report as far as the objects bear it out."""
    report = _read(out / "report").decode("ascii", "replace").splitlines()
    if not report or report[-1] != "done":
        return None
    with _opened(out / "pack") as pack:
        guard = await _take_in(repository, pack)
    facts = [(found[1], found[2]) for line in report if (found := _LINE.fullmatch(line))]
    ids = [i for _, i in facts]
    if ids:
        await repository.plain.run("rev-list", "--objects", "--quiet", *ids, "--not", *known)
    one = dict(facts)
    tree = await repository.tree(one.get("work") or one.get("head") or one.get("branch") or start)
    problems = [f"{line.split(' ', 1)[1]} of its git dir is broken" for line in report if line.startswith("broken ")]
    problems += ["files could not be read: " + _said(out)] if "unread" in report else []
    problems += ["new files were left out: the disk has no room for a copy"] if "full" in report else []
    tips = tuple(i for kind, i in facts if kind == "tip")
    return Export(
        head=one.get("head"),
        branch=one.get("branch"),
        tips=tips,
        tree=tree,
        problems=tuple(problems),
        guard=guard,
    )


async def _take_in(repository: Repository, pack: BinaryIO) -> Path | None:
    """Objects into the user's store, each one checked; returns the file that keeps a new pack from being dropped."""
    header = os.pread(pack.fileno(), 12, 0)
    if int.from_bytes(header[8:12], "big") <= _FEW:
        await repository.plain.run("unpack-objects", "-q", "--strict", stdin=pack)
        return None
    said = await repository.plain.run("index-pack", "--stdin", "--fix-thin", "--strict", "--keep=overnight", stdin=pack)
    kind, name = said.decode().split()
    return repository.objects / "pack" / f"pack-{name}.keep" if kind == "keep" else None


def _opened(path: Path) -> BinaryIO:
    """A file that a box wrote: no link, no pipe, no device."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise GitFailed(command="export", code="refused", stderr=f"{path.name}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise GitFailed(command="export", code="refused", stderr=f"{path.name} is no plain file")
    return os.fdopen(fd, "rb")


def _read(path: Path) -> bytes:
    try:
        with _opened(path) as file:
            return file.read(_REPORT)
    except GitFailed:
        return b""


def _said(out: Path) -> str:
    words = _read(out / "said").decode("utf-8", "replace").strip().splitlines()
    return "; ".join(words[-3:]) or "no message"
