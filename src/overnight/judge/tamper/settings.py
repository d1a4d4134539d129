"""Settings of checks that were made to see less: commands that can't fail, files left out, thresholds lowered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from overnight.judge.change import Change, Sort, gone_lines, new_lines, of_sort, sorts_of
from overnight.judge.tamper.findings import Tampering, Trick

#: Where the command of a check, or what it looks at, is said.
_SAID_IN = (Sort.CHECKS, Sort.CI, Sort.MANIFEST, Sort.POLICY)
_SHORT_CIRCUIT = re.compile(
    r"\|\|\s*(?:true|:|exit\s+0|echo\b)|;\s*(?:true|exit\s+0)\s*(?:[\"',]|$)|^\s*exit\s+0\b|continue-on-error\s*:\s*true|allow_failure\s*:\s*true|"
    r"--passWithNoTests|passWithNoTests\s*[:=]\s*true|--exit-zero|--exit-code[= ]0|^\s*-\s*(?:pytest|npm|cargo|go|make|tox)\b(?=.*\S)(?<=\t-)|"
    r"ignoreFailures\s*=\s*true|failOnViolation\s*=?\s*false|<testFailureIgnore>\s*true|maven\.test\.(?:skip|failure\.ignore)|-DskipTests|--no-fail\b|"
    r"\bset \+e\b|\"test\"\s*:\s*\"(?:echo|true|exit 0|:)|sys\.exit\(0\)|os\._exit\(0\)|exitstatus\s*=\s*0|process\.exit\(0\)",
    re.MULTILINE,
)
_EXCLUDES = re.compile(
    r"--(?:ignore|ignore-glob|deselect|exclude(?:-dir)?)[= ]|-k\s*[\"']?not\b|\bcollect_ignore\w*|testPathIgnorePatterns|coveragePathIgnorePatterns|"
    r"\bomit\s*=|\bexclude_lines\b|\bexclude\s*[=:]\s*\[|pragma: no cover|per-file-ignores|\bnorecursedirs\b|\bpython_files\s*=|\bpython_functions\s*=|"
    r"\btestpaths\s*=|\btestMatch\b|\btestRegex\b|skip-dirs|exclude-dirs|--skip\s+\S|\baddopts\s*=.*(?:-k|-m|--ignore|--deselect)|-run\s+\^?\$"
)
_THRESHOLD = re.compile(
    r"(?P<name>fail[-_]under|cov-fail-under|--cov-fail-under|\bbranches|\bfunctions|\blines|\bstatements|threshold|minimum|min[-_]?score|target|max[-_]warnings|"
    r"max-complexity|max[-_]line[-_]length)\W{1,4}(?P<n>\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
#: Higher is laxer.
_UPPER = ("max",)
_LAXER = re.compile(
    r"\bstrict\s*[=:]\s*false|\"strict\"\s*:\s*false|ignore_errors\s*=\s*true|ignore_missing_imports\s*=\s*true|disable_error_code|skipLibCheck|"
    r"noImplicitAny\"?\s*:\s*false|\"?(?:off|0)\"?\s*,?\s*$|\bdisable\s*=|-W\s+ignore|filterwarnings\s*=.*ignore|extend-ignore|\bignore\s*=\s*\[|xfail_strict\s*=\s*false",
    re.IGNORECASE | re.MULTILINE,
)
_SILENCES = re.compile(
    r"#\s*(?:type:\s*ignore|noqa|pylint:\s*disable|pyright:\s*ignore|mypy:\s*ignore-errors|ruff:\s*noqa|nosec|pragma:\s*no\s*cover)|"
    r"@ts-(?:ignore|nocheck|expect-error)|eslint-disable|biome-ignore|istanbul ignore|c8 ignore|v8 ignore|//\s*nolint|#!?\[allow\(|@SuppressWarnings|NOSONAR"
)
#: So many new silencing comments are worth a word.
_MANY_SILENCES = 3


def look(changes: Sequence[Change]) -> Iterator[Tampering]:
    """Findings in settings of checks, in snapshots, and in comments that silence a check."""
    for change in of_sort(changes, *_SAID_IN):
        yield from _commands(change)
        yield from _thresholds(change)
        yield from _recipes(change)
    for change in of_sort(changes, Sort.SNAPSHOT):
        if change.existed and change.before != change.after:
            why = "what was recorded as right was " + ("rewritten" if change.exists else "deleted")
            yield Tampering(trick=Trick.SNAPSHOT_REWRITTEN, path=change.path, line=1, why=why)
    silences = [(change, line) for change in changes for line in _silences(change)]
    if len(silences) >= _MANY_SILENCES:
        change, line = silences[0]
        why = f"{len(silences)} new comments silence checks: `{line.strip()[:100]}`"
        yield Tampering(trick=Trick.SILENCED, path=change.path, line=line_of(change, line), why=why)


def _commands(change: Change) -> Iterator[Tampering]:
    for line in new_lines(change):
        said = f"`{' '.join(line.split())[:120]}`"
        if _SHORT_CIRCUIT.search(line):
            yield _finding(Trick.SHORT_CIRCUIT, change, line, f"{said} passes whatever happens")
        elif _EXCLUDES.search(line) and not _is_new(change):
            yield _finding(Trick.CHECKS_EXCLUDE, change, line, f"{said} changes what is looked at")
        elif _LAXER.search(line) and Sort.CHECKS in sorts_of(change) and not _is_new(change):
            yield _finding(Trick.SILENCED, change, line, f"{said} may make a check laxer")


#: Lines that say what a check does: recipes, scripts, commands.
_RECIPE = re.compile(
    r"^\t\S|\"(?:pre|post)?(?:test|lint|check|typecheck|types|verify|ci)[\w:-]*\"\s*:\s*\"|^\s*-?\s*run\s*:|^\s*commands?\s*=|session\.run\("
)


def _recipes(change: Change) -> Iterator[Tampering]:
    """What a check did before, and does not any more. New ones beside it take nothing away."""
    for line in gone_lines(change):
        if _RECIPE.search(line):
            why = f"`{' '.join(line.split())[:120]}` is not what is run any more"
            yield _finding(Trick.COMMAND_CHANGED, change, "", why)


def _thresholds(change: Change) -> Iterator[Tampering]:
    before: dict[str, float] = {}
    for line in gone_lines(change):
        before |= {match["name"].lower(): float(match["n"]) for match in _THRESHOLD.finditer(line)}
    for line in new_lines(change):
        for match in _THRESHOLD.finditer(line):
            name, now = match["name"].lower(), float(match["n"])
            was = before.get(name)
            if was is not None and (now > was if name.startswith(_UPPER) else now < was):
                why = f"{name} is {now:g} and was {was:g}"
                yield _finding(Trick.THRESHOLD_LOWERED, change, line, why)


def _silences(change: Change) -> Iterator[str]:
    came = [line for line in new_lines(change) if _SILENCES.search(line)]
    gone = sum(1 for line in gone_lines(change) if _SILENCES.search(line))
    yield from came[gone:]


def _is_new(change: Change) -> bool:
    """A new file of settings excludes nothing that was looked at before, as far as can be told."""
    return not change.existed


def _finding(trick: Trick, change: Change, line: str, why: str) -> Tampering:
    return Tampering(trick=trick, path=change.path, line=line_of(change, line), why=why)


def line_of(change: Change, line: str) -> int:
    """Where a line stands in the result, from 1."""
    lines = (change.after or "").splitlines()
    return lines.index(line) + 1 if line in lines else 1
