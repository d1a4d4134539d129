"""The runner of the tests, ended early, replaced or told to look elsewhere; and differences that are kept from sight."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from overnight.judge.change import Change, Sort, new_lines, sorts_of
from overnight.judge.tamper.findings import Tampering, Trick
from overnight.judge.tamper.settings import line_of

#: Ends the process with success whatever else happened: in any file that tests load.
_ENDS = re.compile(
    r"\bos\._exit\b|\bos\.kill\(\s*os\.getpid|faulthandler\.register|Runtime\.getRuntime\(\)\.halt|libc::_exit|syscall\.Exit\("
)
#: The same, in files of tests only: programs may end themselves.
_ENDS_TESTS = re.compile(
    r"^\s*(?:sys\.exit|exit|quit)\(|raise\s+SystemExit|\bprocess\.exit\(|\bos\.Exit\(|std::process::exit|System\.exit\("
)
#: The runner's own parts, given another meaning.
_REPLACES = re.compile(
    r"\b(?:unittest|TestCase|pytest|_pytest|doctest)(?:\.\w+)*\.\w+\s*=(?!=)|setattr\(\s*(?:unittest|pytest|_pytest|TestCase)\b|"
    r"\bbuiltins\.(?:AssertionError|__import__|exit)\s*=(?!=)|\b(?:console\.assert|assert(?:\.\w+)?|expect|global(?:This)?\.(?:expect|it|test|describe|assert))\s*=(?!=)\s*(?:function|\(|async|\w+\s*=>|jest|vi)|"
    r"\b(?:Assertions?|Assert)\.\w+\s*=(?!=)"
)
#: Hooks that choose which tests run, or how they end.
_CHOOSES = re.compile(
    r"def\s+(?:load_tests|pytest_collection_modifyitems|pytest_ignore_collect|pytest_runtest_makereport|pytest_runtest_protocol|pytest_sessionfinish|"
    r"pytest_pyfunc_call|pytest_collect_file|pytest_deselected)\b|\bcollect_ignore(?:_glob)?\s*[+=]|\b__test__\s*=\s*False|func\s+TestMain\("
)
#: Files that take the place of a runner, or are loaded before everything else.
_STANDS_IN = re.compile(
    r"(?:src/|lib/)?(?:unittest|pytest|_pytest|nose2?|coverage|hypothesis|mypy|ruff|doctest)(?:\.py|/__(?:init|main)__\.py)|"
    r"(?:.*/)?(?:sitecustomize|usercustomize)\.py|.*\.pth|node_modules/\.bin/.*|(?:bin|scripts)/(?:pytest|jest|vitest|mocha|node|python3?|npm)"
)
_HIDES = re.compile(
    r"(?<!\S)(?:-diff|binary|-text|linguist-generated|diff=\w+|merge=\w+|export-ignore|filter=\w+)(?!\S)"
)


def look(changes: Sequence[Change]) -> Iterator[Tampering]:
    """Findings in any file that was changed."""
    for change in changes:
        if change.exists and not change.existed and _STANDS_IN.fullmatch(change.path):
            yield _found(Trick.SHORT_CIRCUIT, change, "", "it takes the place of the program that runs the tests")
        for line in new_lines(change):
            yield from _line(change, line)


def _line(change: Change, line: str) -> Iterator[Tampering]:
    said = f"`{' '.join(line.split())[:120]}`"
    sorts = sorts_of(change)
    if not sorts & {Sort.SOURCE, Sort.TEST, Sort.CHECKS}:
        if change.path.rpartition("/")[2] == ".gitattributes" and _HIDES.search(line):
            yield _found(Trick.HIDDEN_CHANGE, change, line, f"{said} keeps differences from being shown")
        return
    tests = bool(sorts & {Sort.TEST, Sort.CHECKS})
    if _ENDS.search(line) or (tests and _ENDS_TESTS.search(line)):
        yield _found(Trick.SHORT_CIRCUIT, change, line, f"{said} ends the tests before they are through")
    elif _REPLACES.search(line):
        yield _found(Trick.SHORT_CIRCUIT, change, line, f"{said} replaces a part of what runs the tests")
    elif tests and _CHOOSES.search(line):
        yield _found(Trick.CHECKS_EXCLUDE, change, line, f"{said} chooses which tests run, or how they end")


def _found(trick: Trick, change: Change, line: str, why: str) -> Tampering:
    return Tampering(trick=trick, path=change.path, line=line_of(change, line), why=why)
