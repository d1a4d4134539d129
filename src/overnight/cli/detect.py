"""The checks that a repository's own files speak of.

Only files are read; nothing of the repository runs here.
"""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from overnight.cli.toolfolders import programs_of

#: Files larger than this are generated; nothing in them is worth reading here.
_READ_AT_MOST = 4_000_000


class ProposedCheck(Struct, frozen=True, kw_only=True):
    """A command that probably proves a change in this repository."""

    name: str
    run: str
    #: The file it comes from and what that file says.
    why: str
    limit: str = "10m"


# -- reading ------------------------------------------------------------------------------------------------


class Look:
    """A repository's files, read forgivingly: what can't be read or parsed is as if it were not there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, name: str) -> bool:
        return (self.root / name).exists()

    def text(self, name: str) -> str:
        path = self.root / name
        try:
            if not path.is_file() or path.stat().st_size > _READ_AT_MOST:
                return ""
            return path.read_text("utf-8", errors="replace")
        except OSError:
            return ""

    def toml(self, name: str) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text(name))
        except (ValueError, RecursionError):
            return {}

    def json(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads(self.text(name) or "{}")
        except (ValueError, RecursionError):
            return {}
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

    def sections(self, name: str) -> set[str]:
        """The section names of an INI file."""
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(self.text(name))
        except configparser.Error:
            return set()
        return set(parser.sections())

    def tool(self, name: str) -> dict[str, Any] | None:
        """`[tool.NAME]` of pyproject.toml."""
        tools = self.toml("pyproject.toml").get("tool")
        found = cast("dict[str, Any]", tools).get(name) if isinstance(tools, dict) else None
        return cast("dict[str, Any]", found) if isinstance(found, dict) else None

    def glob(self, *patterns: str) -> list[str]:
        return sorted({str(p.relative_to(self.root)) for pattern in patterns for p in self.root.glob(pattern)})

    def first(self, *names: str) -> str | None:
        return next((n for n in names if self.has(n)), None)


# -- what each kind of project says ---------------------------------------------------------------------------


def checks_of(look: Look) -> tuple[ProposedCheck, ...]:
    """The checks to propose, each with a name of its own."""
    return tuple(_unique(_all_checks(look)))


def _all_checks(look: Look) -> Iterator[ProposedCheck]:
    hooks, commands = _hooks(look), _ci_commands(look)
    yield from _python(look, hooks, commands)
    yield from _node(look)
    yield from _rust(look, commands)
    yield from _go(look, commands)
    yield from _make(look)


def _python(look: Look, hooks: Mapping[str, str], commands: Mapping[str, str]) -> Iterator[ProposedCheck]:
    def check(name: str, run: str, why: str) -> ProposedCheck:
        return ProposedCheck(name=name, run=run, why=why)

    if why := _says_pytest(look) or commands.get("pytest"):
        yield check("test", _pytest(look), why)
    elif tests := look.glob("tests/test_*.py", "test/test_*.py"):
        folder = tests[0].split("/")[0]
        yield check("test", f"python3 -m unittest discover -s {folder}", f"{folder}/ holds unittest's tests")
    elif tests := [name for name in look.glob("test_*.py") if _IMPORTS_UNITTEST.search(look.text(name))]:
        yield check("test", "python3 -m unittest", f"{tests[0]} is a test for unittest")
    ruff = look.first("ruff.toml", ".ruff.toml") or ("pyproject.toml" if look.tool("ruff") is not None else None)
    if why := (f"{ruff} configures ruff" if ruff else hooks.get("ruff") or commands.get("ruff check")):
        yield check("lint", "ruff check", why)
    if why := hooks.get("ruff-format") or commands.get("ruff format"):
        yield check("format", "ruff format --check", why)
    if why := hooks.get("black") or commands.get("black"):
        yield check("format", "black --check .", why)
    if why := _says_mypy(look) or hooks.get("mypy") or commands.get("mypy"):
        settings = look.tool("mypy") or {}
        aimed = settings.keys() & {"files", "packages", "modules"} or re.search(
            r"(?m)^\s*(files|packages|modules)\s*=",
            look.text("mypy.ini") + look.text(".mypy.ini") + look.text("setup.cfg"),
        )
        yield check("types", "mypy" if aimed else "mypy .", why)
    pyright = look.first("pyrightconfig.json") or ("pyproject.toml" if look.tool("pyright") is not None else None)
    if why := (f"{pyright} configures pyright" if pyright else commands.get("pyright")):
        yield check("types", "pyright", why)


_IMPORTS_UNITTEST = re.compile(r"(?m)^\s*(import unittest|from unittest)\b")


def _says_pytest(look: Look) -> str | None:
    pytest = look.tool("pytest")
    if pytest is not None:
        return "pyproject.toml configures pytest"
    for name, section in (("pytest.ini", "pytest"), ("setup.cfg", "tool:pytest"), ("tox.ini", "pytest")):
        if section in look.sections(name):
            return f"{name} configures pytest"
    if look.has("conftest.py") or look.has("tests/conftest.py"):
        return "conftest.py is pytest's"
    for name in look.glob("tests/**/test_*.py", "test/**/test_*.py", "tests/**/*_test.py", "test_*.py"):
        if re.search(r"(?m)^\s*(import pytest|from pytest)|^(async )?def test_", look.text(name)):
            return f"{name} is a test for pytest"
    return None


def _pytest(look: Look) -> str:
    # Nothing is installed from a fresh checkout, so its code must be found where it lies: `python3 -m` adds the
    # root, a `src` folder has to be named.
    options = (look.tool("pytest") or {}).get("ini_options")
    told = isinstance(options, dict) and "pythonpath" in options
    return ("PYTHONPATH=src " if look.has("src") and not told else "") + "python3 -m pytest -q"


def _says_mypy(look: Look) -> str | None:
    if look.tool("mypy") is not None:
        return "pyproject.toml configures mypy"
    name = look.first("mypy.ini", ".mypy.ini")
    if name is None and "mypy" in look.sections("setup.cfg"):
        name = "setup.cfg"
    return f"{name} configures mypy" if name else None


_LOCKS = {
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "bun.lock": "bun",
    "bun.lockb": "bun",
    "package-lock.json": "npm",
}
_SCRIPTS = {
    "test": "test",
    "lint": "lint",
    "typecheck": "types",
    "type-check": "types",
    "check-types": "types",
    "tsc": "types",
    "build": "build",
}


def _node(look: Look) -> Iterator[ProposedCheck]:
    package = look.json("package.json")
    scripts = package.get("scripts")
    if not isinstance(scripts, dict):
        return
    lock = look.first(*_LOCKS)
    named = str(package.get("packageManager", "")).split("@")[0]
    manager = _LOCKS[lock] if lock else named if named in _LOCKS.values() else "npm"
    for script, name in _SCRIPTS.items():
        command = cast("dict[str, Any]", scripts).get(script)
        # `npm init` writes a test script that always fails.
        if isinstance(command, str) and command.strip() and "no test specified" not in command:
            why = f"package.json has the script {script!r}"
            yield ProposedCheck(name=name, run=f"{manager} run {script}", why=why)


def _rust(look: Look, commands: Mapping[str, str]) -> Iterator[ProposedCheck]:
    if not look.has("Cargo.toml"):
        return
    locked = " --locked" if look.has("Cargo.lock") else ""
    yield ProposedCheck(name="test", run=f"cargo test{locked}", why="Cargo.toml is here", limit="30m")
    if why := commands.get("cargo clippy"):
        yield ProposedCheck(name="lint", run=f"cargo clippy --all-targets{locked} -- -D warnings", why=why, limit="30m")
    name = look.first("rustfmt.toml", ".rustfmt.toml")
    if why := (f"{name} configures rustfmt" if name else commands.get("cargo fmt")):
        yield ProposedCheck(name="format", run="cargo fmt --all --check", why=why)


def _go(look: Look, commands: Mapping[str, str]) -> Iterator[ProposedCheck]:
    if not look.has("go.mod"):
        return
    yield ProposedCheck(name="test", run="go test ./...", why="go.mod is here")
    yield ProposedCheck(name="vet", run="go vet ./...", why="go.mod is here")
    name = look.first(".golangci.yml", ".golangci.yaml", ".golangci.toml")
    if why := (f"{name} configures golangci-lint" if name else commands.get("golangci-lint")):
        yield ProposedCheck(name="lint", run="golangci-lint run", why=why)


def _make(look: Look) -> Iterator[ProposedCheck]:
    name = look.first("GNUmakefile", "makefile", "Makefile")
    if name is None:
        return
    targets = set(re.findall(r"(?m)^([A-Za-z0-9_-]+)\s*::?(?![:=])", look.text(name)))
    for target in ("test", "check", "lint"):
        if target in targets:
            yield ProposedCheck(name=target, run=f"make {target}", why=f"{name} has the target {target!r}")


def _unique(checks: Iterable[ProposedCheck]) -> Iterator[ProposedCheck]:
    """One check per name and command. A second language's check gets a name of its own; make only fills gaps."""
    seen: dict[str, str] = {}
    for check in checks:
        tool = next(programs_of(check.run), "other")
        name = check.name
        if name in seen:
            if tool == "make" or check.run in seen.values():
                continue
            name = next(n for n in _names(f"{name}-{tool}") if n not in seen)
        seen[name] = check.run
        yield ProposedCheck(name=name, run=check.run, why=check.why, limit=check.limit)


def _names(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1


# -- what others run already ----------------------------------------------------------------------------------

_KNOWN_COMMANDS = (
    "pytest", "ruff check", "ruff format", "black", "mypy", "pyright", "cargo clippy", "cargo fmt", "golangci-lint",
)  # fmt: skip
_CI_FILES = (
    ".github/workflows/*.yml", ".github/workflows/*.yaml", ".gitlab-ci.yml", ".circleci/config.yml",
    "azure-pipelines.yml", ".woodpecker.yml", ".woodpecker/*.yml", ".forgejo/workflows/*.yml", "Jenkinsfile", "tox.ini",
)  # fmt: skip


def _ci_commands(look: Look) -> dict[str, str]:
    """Known command -> "FILE runs COMMAND", for each that the CI files run."""
    found: dict[str, str] = {}
    for name in look.glob(*_CI_FILES):
        for line in look.text(name).splitlines():
            command = re.sub(r"^\s*(- )?((run|script|commands)\s*[:=]\s*)?", "", line)
            for known in _KNOWN_COMMANDS:
                # Not inside `pip install ruff`, a comment or a step's title.
                if re.match(rf"(?:(?:uv|poetry|pdm|hatch) run |python3? -m )?{re.escape(known)}(\s|$)", command):
                    found.setdefault(known, f"{name} runs {known}")
    return found


def _hooks(look: Look) -> dict[str, str]:
    """Hook id -> "FILE runs HOOK", for the hooks of pre-commit."""
    name = look.first(".pre-commit-config.yaml", ".pre-commit-config.yml")
    if name is None:
        return {}
    ids = re.findall(r"(?m)^\s*-?\s*id:\s*['\"]?([A-Za-z0-9_-]+)", look.text(name))
    found = {i: f"{name} runs {i}" for i in ids}
    if "ruff-check" in found:
        found["ruff"] = found["ruff-check"]
    return found
