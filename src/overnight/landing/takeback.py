"""A result without its source: what the tests that came with it say there is whether they prove anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from overnight.judge.change import Change, Sort, new_lines, sorts_of
from overnight.landing.changes import Entry, changes_between, entries_between
from overnight.landing.places import Places
from overnight.landing.repository import Repository
from overnight.landing.text import path_text
from overnight.landing.worktree import commit_tree
from overnight.missions.run import TakenBack
from overnight.missions.task import Task

#: What is taken back; tests, what they compare with, settings and texts stay as the result has them.
_SOURCE = frozenset({Sort.SOURCE, Sort.MIGRATION, Sort.OTHER})
_TESTS = frozenset({Sort.TEST, Sort.SNAPSHOT})
#: Tests that stand in the source itself go away with it.
_INSIDE = re.compile(r"#\[(?:cfg\()?(?:\w+::)*test\b")


class _Sides(NamedTuple):
    source: tuple[Change, ...]
    tests: tuple[Change, ...]


async def take_back(repository: Repository, places: Places, task: Task, base: str, commit: str) -> TakenBack:
    """The commit is an object of the repository that no ref names. Raises GitFailed."""
    git = repository.plain
    sides = _sides(await changes_between(git, base, commit))
    source, tests = tuple(each.path for each in sides.source), tuple(each.path for each in sides.tests)
    if why := _hopeless(sides):
        return TakenBack(why=why, source=source, tests=tests)
    lines = [_entry(each) for each in _taken(await entries_between(git, base, commit), sides.source)]
    place = places.scratch(f"{task.id}-take-back")
    places.discard(place)
    place.mkdir(parents=True)
    try:
        index = git.on(env={"GIT_INDEX_FILE": str(place / "index")})
        await index.run("read-tree", commit)
        await index.run("update-index", "-z", "--index-info", stdin=b"".join(lines))
        tree = await index.text("write-tree")
    finally:
        places.discard(place)
    # Of the result's own time, so that the same again is the same commit.
    moment = f"{await git.text('log', '-1', '--no-show-signature', '--format=%ct', commit)} +0000"
    made = await commit_tree(git, tree, [base], f"{task.id}: the tests of {commit} without its source\n", moment)
    return TakenBack(commit=made, source=source, tests=tests)


def _sides(changes: Sequence[Change]) -> _Sides:
    source = tuple(each for each in changes if sorts_of(each) <= _SOURCE)
    return _Sides(source, tuple(each for each in changes if each.exists and sorts_of(each) & _TESTS))


def _hopeless(sides: _Sides) -> str:
    """Why nothing would be learnt; empty when something would."""
    if not sides.source:
        return "it changes no source"
    if not sides.tests:
        return "no test came with it"
    inside = [each.path for each in sides.source if any(_INSIDE.search(line) for line in new_lines(each))]
    return f"tests stand in the source itself: {inside[0]}" if inside else ""


def _taken(entries: Sequence[Entry], source: Sequence[Change]) -> tuple[tuple[bytes, bytes, bytes], ...]:
    """(mode, object, path) for the index; a mode of zeros removes the path."""
    # One change for each entry, in the same order, but not every change is source: told apart by both their paths.
    wanted = {(each.was or each.path, each.path) for each in source}
    found: list[tuple[bytes, bytes, bytes]] = []
    for entry in entries:
        if (path_text(entry.was), path_text(entry.path)) not in wanted:
            continue
        if entry.was != entry.path:
            found.append((b"0", b"0" * len(entry.after), entry.path))
        found.append((entry.mode_before.replace(b"000000", b"0"), entry.before, entry.was))
    return tuple(found)


def _entry(line: tuple[bytes, bytes, bytes]) -> bytes:
    mode, name, path = line
    return mode + b" " + name + b"\t" + path + b"\0"
