"""Tests that were deleted, switched off or made to insist on less."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from overnight.judge.change import Change, Sort, gone_lines, new_lines, sort_of, sorts_of
from overnight.judge.tamper.findings import Tampering, Trick
from overnight.judge.tamper.outline import Outline, Test, outline


class _File(NamedTuple):
    change: Change
    before: Mapping[str, Test]
    after: Mapping[str, Test]
    was: Outline
    now: Outline


def look(changes: Sequence[Change]) -> Iterator[Tampering]:
    """Findings in files that hold tests, by their name or by what is in them."""
    files, unread = list[_File](), list[Change]()
    for change in changes:
        file = _read(change)
        if file is not None and (file.before or file.after):
            files.append(file)
        elif Sort.TEST in sorts_of(change):
            unread.append(change)
    # A test that is elsewhere under the same last name was moved, not deleted.
    arrived = {
        _last(name): test
        for file in files
        for name, test in file.after.items()
        # ... unless it went from where runners look to where none does.
        if name not in file.before and sort_of(file.change.path) is Sort.TEST
    }
    for file in files:
        yield from _whole(file)
        stays = file.change.was in ("", file.change.path) or sort_of(file.change.path) is Sort.TEST
        for name, test in file.before.items():
            there = file.after.get(name) if stays else None
            yield from _one(file, name, test, there or arrived.get(_last(name)), changes)
        yield from _left(file)
        yield from _added(file)
    for change in unread:
        yield from _by_lines(change)


def _read(change: Change) -> _File | None:
    before = _outline(change.was or change.path, change.before)
    after = _outline(change.path, change.after)
    if before is None or after is None:
        return None
    last = change.path.endswith(".py")
    return _File(change, _named(before, last=last), _named(after, last=last), before, after)


def _outline(path: str, text: str | None) -> Outline | None:
    return Outline(tests=()) if text is None else outline(path, text)


def _named(found: Outline, *, last: bool) -> dict[str, Test]:
    """By name; the same name again gets a number, as both are run in most languages. last: only the last one is."""
    named: dict[str, Test] = {}
    for test in found.tests:
        name, n = test.name, 2
        while name in named and not last:
            name, n = f"{test.name} #{n}", n + 1
        named[name] = test
    return named


def _last(name: str) -> str:
    return re.split(r"\.|::| › ", name)[-1]


def _whole(file: _File) -> Iterator[Tampering]:
    if file.now.broken and not file.was.broken:
        why = "its syntax can't be read any more, so that its tests can't be compared"
        yield Tampering(trick=Trick.UNREADABLE, path=file.change.path, line=1, why=why)
    if file.now.skipped and not file.was.skipped and file.before:
        line = _line_of(file.change.after or "", file.now.skipped)
        why = f"`{file.now.skipped}` keeps the whole file from running"
        yield Tampering(trick=Trick.TEST_SKIPPED, path=file.change.path, line=line, why=why)
    alone = next((test for test in file.after.values() if test.alone), None)
    if alone is not None and not any(test.alone for test in file.before.values()):
        why = f"`{alone.alone}` at {alone.name!r} keeps all other tests of the file from running"
        yield Tampering(trick=Trick.TEST_ALONE, path=file.change.path, line=alone.line, why=why)


#: Leaving a test, or the whole run of tests, from outside the tests themselves.
_LEAVES = re.compile(
    r"\b(?:self\.skipTest|pytest\.skip|raise\s+(?:unittest\.)?SkipTest|this\.skip|ctx\.skip)\s*\(|\b[tb]\.Skip(?:f|Now)?\(|Assumptions\.abort\(|"
    r"\b__test__\s*=\s*False"
)


def _left(file: _File) -> Iterator[Tampering]:
    """New words that skip, in what is set up for tests: they skip all of them."""
    inside = "\n".join(test.text for test in file.after.values())
    if not file.before:
        return
    for line in new_lines(file.change):
        if _LEAVES.search(line) and line.strip() not in inside:
            path, at = file.change.path, _line_of(file.change.after or "", line)
            why = f"`{line.strip()[:100]}` keeps tests from running"
            yield Tampering(trick=Trick.TEST_SKIPPED, path=path, line=at, why=why)


def _one(file: _File, name: str, was: Test, now: Test | None, changes: Sequence[Change]) -> Iterator[Tampering]:
    path = file.change.path
    if now is None:
        if not _subject_gone(was, changes):
            yield Tampering(trick=Trick.TEST_DELETED, path=path, line=was.line, why=f"{name} is gone")
        return
    if now.text == was.text and now.skipped == was.skipped:
        return
    if now.skipped and not was.skipped:
        why = f"{name} does not run any more: `{now.skipped}`"
        yield Tampering(trick=Trick.TEST_SKIPPED, path=path, line=now.line, why=why)
    elif was.assertions and not now.assertions:
        why = f"{name} asserts nothing any more"
        yield Tampering(trick=Trick.TEST_EMPTIED, path=path, line=now.line, why=why)
    elif now.text != was.text:
        yield from _compared(path, name, was, now, _moved(file, was, now))


def _subject_gone(test: Test, changes: Iterable[Change]) -> bool:
    """What the test calls is no longer defined by the change: then it had to go."""
    called = set(re.findall(r"\b([A-Za-z_]\w{2,})\s*\(", test.text)) - {_last(test.name)}
    gone = {name for change in changes for name in _defined(change.before)}
    gone -= {name for change in changes for name in _defined(change.after)}
    return bool(called & {name for name in gone if not name.lower().startswith("test")})


def _defined(text: str | None) -> set[str]:
    return set(re.findall(r"\b(?:def|class|function|func(?:\s+\([^)]*\))?|fn|struct|interface|const|void|int|String|boolean)\s+([A-Za-z_]\w{2,})", text or ""))  # fmt: skip


def _moved(file: _File, was: Test, now: Test) -> int:
    """How much of what the test insisted on stands in tests that are new."""
    new = {each.text for name, test in file.after.items() if name not in file.before for each in test.assertions}
    kept = {each.text for each in now.assertions}
    return sum(each.strength for each in was.assertions if each.text in new and each.text not in kept)


def _compared(path: str, name: str, was: Test, now: Test, moved: int) -> Iterator[Tampering]:
    fewer = len(now.assertions) < len(was.assertions)
    if now.strength + moved < was.strength:
        trick = Trick.FEWER_ASSERTIONS if fewer else Trick.LOOSER_ASSERTION
        lost = _lost(was, now)
        what = f": `{lost}` is gone" if lost else ""
        why = f"{name} asserts {'less often' if fewer else 'less'}{what}"
        yield Tampering(trick=trick, path=path, line=now.line, why=why)
    for before, after in _broadened(was.text, now.text):
        why = f"{name} is content with {after} where it asked for {before}"
        yield Tampering(trick=Trick.BROADER_EXCEPTION, path=path, line=now.line, why=why)
    for before, after in _loosened(was.text, now.text):
        why = f"{name} allows {after} where it allowed {before}"
        yield Tampering(trick=Trick.RAISED_TOLERANCE, path=path, line=now.line, why=why)
    changed = _expectations(was, now)
    if changed and now.strength >= was.strength:
        why = f"{name} expects something else: `{changed[0]}` became `{changed[1]}`"
        yield Tampering(trick=Trick.EXPECTATION_CHANGED, path=path, line=now.line, why=why)


def _lost(was: Test, now: Test) -> str:
    kept = {each.text for each in now.assertions}
    return next((each.text[:120] for each in was.assertions if each.text not in kept), "")


def _expectations(was: Test, now: Test) -> tuple[str, str] | None:
    kept_before, kept_after = {a.text for a in was.assertions}, {a.text for a in now.assertions}
    before = [each.text for each in was.assertions if each.text not in kept_after]
    after = [each.text for each in now.assertions if each.text not in kept_before]
    for old in before:
        for new in after:
            if _subject(old) == _subject(new) and _exactly(old) != _exactly(new):
                return old[:100], new[:100]
    return None


def _exactly(assertion: str) -> str:
    """Without how near it must be: that is looked at by itself."""
    for pattern, _ in _TOLERANCES:
        assertion = pattern.sub("", assertion)
    return assertion


def _subject(assertion: str) -> str:
    """What is looked at, without what is expected of it."""
    return re.split(r"==|!=|\.to[A-Z.]|\.(?:is|equals?)|,", assertion, maxsplit=1)[0].strip()


def _added(file: _File) -> Iterator[Tampering]:
    for name, test in file.after.items():
        if name in file.before or test.skipped:
            continue
        if not test.assertions:
            why = f"{name} is new and asserts nothing that is known as an assertion"
        elif not test.strength:
            why = f"{name} is new and can't fail"
        else:
            continue
        yield Tampering(trick=Trick.VACUOUS_TEST, path=file.change.path, line=test.line, why=why)


# -- exceptions and tolerances ------------------------------------------------------------------------------

_RAISES = re.compile(
    r"(?:raises|assertRaises|assertRaisesRegex|assertThrows|assertThrowsExactly|toThrow|toThrowError|throws|should_panic\(expected\s*=)\s*\(?\s*"
    r"(?P<what>\(?[\w.:\"' ,]*?(?:\.class)?)\s*[),]"
)
_BROAD = frozenset({"Exception", "BaseException", "Error", "Throwable", "RuntimeException", "builtins.Exception", ""})


def _broadened(was: str, now: str) -> Iterator[tuple[str, str]]:
    before, after = ([m["what"].removesuffix(".class").strip() for m in _RAISES.finditer(text)] for text in (was, now))
    for old, new in zip(before, after, strict=False):
        if old != new and new in _BROAD and old not in _BROAD:
            yield old, new or "anything"
        elif re.search(r"\bmatch\s*=", was) and not re.search(r"\bmatch\s*=", now) and old == new:
            yield f"{old} with its message", old
            return


_TOLERANCES = (
    (re.compile(r"\b(?:abs|rel|atol|rtol|delta|tolerance|tol|epsilon|eps|abs_tol|rel_tol)\s*[=:]\s*(?P<n>[\d._]+(?:e-?\d+)?)", re.I), 1),
    (re.compile(r"\b(?:InDelta|InEpsilon)\(.*,\s*(?P<n>[\d._]+(?:e-?\d+)?)\s*\)"), 1),
    (re.compile(r"\b(?:places|decimal)\s*=\s*(?P<n>\d+)|toBeCloseTo\([^,()]+,\s*(?P<m>\d+)"), -1),
    (re.compile(r"\b(?:timeout|max_time|deadline)\w*\s*[=:]\s*(?P<n>[\d._]+)", re.I), 1),
)  # fmt: skip


def _loosened(was: str, now: str) -> Iterator[tuple[str, str]]:
    for pattern, direction in _TOLERANCES:
        before, after = (list(pattern.finditer(text)) for text in (was, now))
        for old, new in zip(before, after, strict=False):
            first, second = _number(old), _number(new)
            if first is not None and second is not None and (second - first) * direction > 0:
                yield old[0], new[0]


def _number(match: re.Match[str]) -> float | None:
    text = next((group for group in match.groups() if group), "")
    try:
        return float(text.replace("_", ""))
    except ValueError:
        return None


# -- languages that are not read by syntax ------------------------------------------------------------------

_ASSERTS = re.compile(r"\b(?:assert\w*|expect\w*|should\w*|require\w*|verify\w*|check\w*|must\w*)\b|\bfail\w*\(", re.I)
_SKIPS = re.compile(r"\b(?:skip\w*|disabled?|ignored?|pending|xit|xtest|xdescribe|todo)\b", re.I)


def _by_lines(change: Change) -> Iterator[Tampering]:
    """Without a grammar: lines that assert went, or lines that skip came."""
    if change.before is None and change.existed:
        return
    if not change.exists:
        yield Tampering(trick=Trick.TEST_DELETED, path=change.path, line=1, why="the file is gone")
        return
    gone = [line for line in gone_lines(change) if _ASSERTS.search(line)]
    came = [line for line in new_lines(change) if _ASSERTS.search(line)]
    if len(gone) > len(came):
        why = f"{len(gone) - len(came)} lines more that assert went than came: `{gone[0].strip()[:100]}`"
        yield Tampering(trick=Trick.FEWER_ASSERTIONS, path=change.path, line=1, why=why)
    if change.before is not None and (skips := [line for line in new_lines(change) if _SKIPS.search(line)]):
        line = _line_of(change.after or "", skips[0])
        why = f"a new line may skip tests: `{skips[0].strip()[:100]}`"
        yield Tampering(trick=Trick.SILENCED, path=change.path, line=line, why=why)


def _line_of(text: str, part: str) -> int:
    return text[: max(0, text.find(part))].count("\n") + 1
