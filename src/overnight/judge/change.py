"""One changed file, before and after: what tamper and risk look at. Contents are data, and are never believed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct


class Change(Struct, frozen=True, kw_only=True):
    """A path that differs between the base and the result."""

    #: From the root of the repository; undecodable bytes escaped as `\\xNN`.
    path: str
    #: Where it was before, if it was moved; otherwise the same path.
    was: str = ""
    #: Its text on the base; None where it was not there, or is no text, or too long to be looked at.
    before: str | None = None
    #: Its text in the result; None likewise.
    after: str | None = None
    #: Lines added and removed; for what is no text 0.
    added: int = 0
    removed: int = 0
    #: Whether it was there before and is there after: a text that is None may still be a file.
    existed: bool = True
    exists: bool = True


class Sort(StrEnum):
    """What kind of file a path is, by its name."""

    SOURCE = "source"
    TEST = "test"
    SNAPSHOT = "snapshot"
    #: Settings of test runners, linters, coverage, builds.
    CHECKS = "checks"
    CI = "ci"
    MANIFEST = "manifest"
    LOCK = "lock"
    MIGRATION = "migration"
    #: Settings of agents and editors, which act on whoever opens the folder.
    AGENT = "agent"
    POLICY = "policy"
    TEXT = "text"
    OTHER = "other"


_SOURCE = [
    "py",
    "pyi",
    "pyx",
    "js",
    "jsx",
    "mjs",
    "cjs",
    "ts",
    "tsx",
    "mts",
    "cts",
    "go",
    "rs",
    "java",
    "kt",
    "kts",
    "scala",
    "rb",
    "php",
    "c",
    "h",
    "cc",
    "cpp",
    "cxx",
    "hpp",
    "cs",
    "swift",
    "m",
    "mm",
    "sh",
    "bash",
    "zsh",
    "ps1",
    "sql",
    "vue",
    "svelte",
    "dart",
    "ex",
    "exs",
    "erl",
    "hs",
    "ml",
    "clj",
    "lua",
    "pl",
    "pm",
    "r",
    "jl",
    "zig",
    "nim",
    "proto",
    "tf",
]
#: The first that fits counts. What acts by its name alone counts in upper and lower case: some file systems do not
#: tell them apart.
_SORTS: tuple[tuple[Sort, str], ...] = (
    (Sort.POLICY, r"(?i:overnight\.toml)"),
    (
        Sort.CI,
        (r"(?i:\.github/(workflows|actions)/.*|\.gitlab-ci\.ya?ml|\.circleci/.*|Jenkinsfile|azure-pipelines\.ya?ml|\.travis\.ya?ml|"
        r"bitbucket-pipelines\.ya?ml|\.drone\.ya?ml|\.buildkite/.*|\.woodpecker(/.*|\.ya?ml)|(.*/)?\.forgejo/.*|\.ci/.*|(.*/)?cloudbuild\.ya?ml)"),
    ),
    (
        Sort.AGENT,
        (r"(?i:(.*/)?(\.claude|\.cursor|\.codex|\.gemini|\.opencode|\.vscode|\.idea|\.zed|\.devcontainer)/.*|(.*/)?(CLAUDE|AGENTS|GEMINI)\.md|"
        r"(.*/)?\.mcp\.json|(.*/)?\.envrc|(.*/)?\.cursorrules|(.*/)?\.windsurfrules|(.*/)?\.aider.*|\.github/copilot-instructions\.md)"),
    ),
    (
        Sort.LOCK,
        (r"(.*/)?(package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|poetry\.lock|uv\.lock|pdm\.lock|Pipfile\.lock|"
        r"Cargo\.lock|go\.sum|Gemfile\.lock|composer\.lock|gradle\.lockfile|requirements.*\.lock|mix\.lock|pubspec\.lock|flake\.lock)"),
    ),
    (Sort.SNAPSHOT, r"(.*/)?(__snapshots__|snapshots|testdata|golden|goldens|cassettes)/.*|.*\.(snap|golden|approved\.\w+|ambr)"),
    (
        Sort.CHECKS,
        (r"(.*/)?(pytest\.ini|tox\.ini|noxfile\.py|conftest\.py|\.coveragerc|setup\.cfg|mypy\.ini|\.flake8|ruff\.toml|\.ruff\.toml|pyrightconfig\.json|"
        r"\.pylintrc|jest\.config\.\w+|vitest\.config\.\w+|playwright\.config\.\w+|karma\.conf\.\w+|\.mocharc.*|\.nycrc.*|\.eslintrc.*|eslint\.config\.\w+|"
        r"tsconfig.*\.json|biome\.json|\.prettierrc.*|\.golangci\.ya?ml|clippy\.toml|\.?rustfmt\.toml|codecov\.ya?ml|\.codecov\.ya?ml|"
        r"\.pre-commit-config\.ya?ml|Makefile|GNUmakefile|justfile|Taskfile\.ya?ml|checkstyle.*\.xml|phpunit\.xml.*|\.rspec|nextest\.toml)"),
    ),
    (
        Sort.MANIFEST,
        (r"(.*/)?(package\.json|pyproject\.toml|setup\.py|requirements[^/]*\.(txt|in)|constraints[^/]*\.txt|Pipfile|Cargo\.toml|go\.mod|pom\.xml|"
        r"build\.gradle(\.kts)?|settings\.gradle(\.kts)?|Gemfile|composer\.json|mix\.exs|Package\.swift|pubspec\.yaml|[^/]*\.csproj|Dockerfile[^/]*|"
        r"docker-compose[^/]*\.ya?ml|environment\.ya?ml|\.npmrc|\.yarnrc.*|pip\.conf|\.cargo/.*)"),
    ),
    (Sort.MIGRATION, r"(.*/)?(migrations?|migrate|alembic/versions|db/changelog)/.*\.(py|sql|rb|js|ts|xml|ya?ml|php|go)|.*\.flyway\.sql|(.*/)?V\d+__.*\.sql"),
    (
        Sort.TEST,
        (r"(.*/)?(tests?|spec|specs|__tests__|e2e|testing)/.*|(.*/)?test_[^/]*\.py|.*_test\.(py|go|rb|exs|dart|cc|cpp)|.*\.(test|spec)\.[cm]?[jt]sx?|"
        r".*(Test|Tests|IT|Spec)\.(java|kt|scala|cs|swift|php|groovy)|(.*/)?src/test/.*|.*_spec\.rb"),
    ),
    (Sort.TEXT, r".*\.(md|rst|txt|adoc)|(.*/)?(README|CHANGELOG|LICEN[CS]E|NOTICE|AUTHORS|CONTRIBUTING)[^/]*|docs?/.*\.(md|rst|html)"),
    (Sort.SOURCE, rf".*\.({'|'.join(_SOURCE)})"),
)  # fmt: skip
_PATTERNS = tuple((sort, re.compile(pattern, re.DOTALL)) for sort, pattern in _SORTS)


def sort_of(path: str) -> Sort:
    """What kind of file this is."""
    return next((sort for sort, pattern in _PATTERNS if pattern.fullmatch(path)), Sort.OTHER)


def sorts_of(change: Change) -> frozenset[Sort]:
    """A file that was moved counts as what it was and as what it is."""
    return frozenset({sort_of(change.path), sort_of(change.was or change.path)})


def of_sort(changes: Iterable[Change], *sorts: Sort) -> tuple[Change, ...]:
    """The changes of these kinds, in their order."""
    return tuple(change for change in changes if not sorts_of(change).isdisjoint(sorts))


def new_lines(change: Change) -> Sequence[str]:
    """Lines that the result has more often than the base."""
    return _more(change.after, change.before)


def gone_lines(change: Change) -> Sequence[str]:
    """Lines that the base has more often than the result."""
    return _more(change.before, change.after)


def _more(here: str | None, there: str | None) -> list[str]:
    # By count, not by place: a line that only moved is neither new nor gone.
    left = Counter((there or "").splitlines())
    found: list[str] = []
    for line in (here or "").splitlines():
        if left[line]:
            left[line] -= 1
        else:
            found.append(line)
    return found
