"""make, npm run and other runners: what the repository says is run."""

from __future__ import annotations

import re

from overnight.guard.effects import Infra
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.text import HOLE, NETWORK, Text

_MAKE = ("-C", "--directory", "-f", "--file", "--makefile", "-I", "-j", "-l", "-o", "-W", "--eval", "-E")


@model("make", "gmake", "bmake")
def make(run: Run) -> Text | None:
    """Recipes of a makefile are the repository's own; those that were written in this run are looked at."""
    found = options(run.args, valued=_MAKE, longs=("--dry-run", "--just-print", "--version", "--help"))
    state = run.state
    folder = found.value("-C", "--directory")
    here = run.path(folder) if folder else state.cwd
    for word in found.all("--eval", "-E"):
        _recipes(run, word)
    for word in found.operands:
        name, equals, value = word.partition("=")
        if equals and name in ("SHELL", ".SHELLFLAGS", "MAKEFLAGS"):
            run.unverifiable(f"make {name}=")
        elif equals and re.search(r"\$\((?:shell|eval)|`|\$\$\(", value):
            for inner in re.findall(r"\$\(shell ([^)]*)\)", value):
                run.shell(Text(inner), "make")
    files = found.all("-f", "--file", "--makefile")
    if not files:
        files = [Text(f"{here}/{name}") for name in ("GNUmakefile", "makefile", "Makefile")]
    for name in files:
        path = run.path(name)
        text = run.stdin if name in ("-", "/dev/stdin") else run.m.content(path, state)
        if text is not None and (text.taint & NETWORK or name in ("-", "/dev/stdin")):
            _tainted(run, text)
        elif text is not None and (path in run.m.ledger.files or path in state.files) and text != HOLE:
            _recipes(run, text)
    return Text(HOLE)


def _tainted(run: Run, text: Text) -> None:
    if text.taint & NETWORK or text == HOLE:
        run.opaque("tainted" if text.taint & NETWORK else "stdin", text.taint)
    else:
        _recipes(run, text)


def _recipes(run: Run, text: Text) -> None:
    """Every recipe line, and every `$(shell ...)`, as shell code."""
    body = text.replace("\\n", "\n").replace("\\t", "\t")
    for inner in re.findall(r"\$\(shell ([^)]*)\)", body) + re.findall(r"!=\s*(.*)", body):
        run.shell(Text(inner), "make")
    joined = body.replace("\\\n", " ")
    for line in re.findall(r"^\t(.*)$|^[^\t\n#=]+:[^=\n;]*;(.*)$", joined, re.MULTILINE):
        recipe = (line[0] or line[1]).lstrip("@-+ ")
        recipe = re.sub(r"\$\$", "\0", recipe)
        recipe = re.sub(r"\$\([^)]*\)|\$\{[^}]*\}|\$[@<^*?%+|]", "VARIABLE", recipe).replace("\0", "$")
        if recipe:
            run.shell(Text(recipe), "make")


def package_script(run: Run, verb: str, name: str) -> None:
    """A script of package.json, looked at when the file was written in this run."""
    from overnight.guard.content import manifest_scripts

    path = run.path("package.json")
    if path not in run.m.ledger.files and path not in run.state.files:
        return
    text = run.m.content(path, run.state)
    scripts = manifest_scripts(text)
    if scripts is None:
        run.unverifiable("package.json can't be read")
        return
    names = (f"pre{name}", name, f"post{name}")
    if verb in ("install", "ci"):
        names = ("preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare")
    for key in names:
        if key in scripts:
            run.shell(Text(scripts[key]), f"package.json {key}")


@model("just", "task", "rake", "tox", "nox", "invoke", "inv", "ninja", "cmake", "ctest", "meson", "bazel", "bazelisk", "buck2",
       "ant", "mvn", "mvnw", "sbt", "lein", "mix", "rebar3", "dune", "stack", "cabal", "zig", "scons", "waf", "turbo", "nx", "lerna",
       "rush", "moon", "earthly", "pants", "please", "xcodebuild", "swift", "dotnet", "msbuild", "gn", "tsc", "vite",
       "webpack", "rollup", "esbuild", "parcel", "jest", "vitest", "mocha", "karma", "cypress", "playwright", "eslint",
       "prettier", "pytest", "py.test", "mypy", "pyright", "flake8", "pylint", "black", "isort", "ruff", "pre-commit",
       "golangci-lint", "rustc", "rustfmt", "gofmt", "javac", "gcc", "cc", "g++", "clang", "clang++", "ld", "as")  # fmt: skip
def builder(run: Run) -> Text | None:
    """Builders, testers, linters: they run the repository's own code, which the box holds."""
    from overnight.guard.models.unknown import touched

    if run.name in ("mvn", "mvnw", "sbt", "dotnet") and any(
        re.match(r"(?:deploy|release:|publish|nuget$)", word) for word in run.args
    ):
        from overnight.guard.effects import Install

        run.emit(Install(manager=run.name, kind="publish", words=run.words))
    if run.name == "cmake" and "-P" in run.args[:-1]:
        _cmake_script(run, run.read(run.args[run.args.index(Text("-P")) + 1]))
    given = [i for i, word in enumerate(run.args) if word in ("-c", "--command")]
    if run.name == "just" and given:
        return run.exec(run.args[given[0] + 1 :])
    if run.name == "cmake" and run.args[:1] == ["-E"]:
        return _cmake_tool(run)
    if re.search(r"\b(?:db|ecto|database)[:.](?:drop|reset|wipe|purge|migrate:reset|schema:load)", " ".join(run.args)):
        run.emit(Infra(service=run.name, verb="destroy", detail=" ".join(run.args[:3]), words=run.words))
    touched(run, run.args)
    return Text(HOLE)


def _cmake_script(run: Run, text: Text) -> None:
    """What a script of CMake starts, deletes and writes."""
    if text.taint & NETWORK:
        run.opaque("tainted", text.taint)
    for inner in re.findall(r"(?i)\bexecute_process\s*\(([^()]*)\)", text):
        for words in re.split(r"\bCOMMAND\b", inner)[1:]:
            run.shell(Text(re.split(r"\s[A-Z_]{6,}\b", words)[0].strip()), "cmake")
    for verb, names in re.findall(r"(?i)\bfile\s*\(\s*(REMOVE|REMOVE_RECURSE|WRITE|APPEND)\s+([^()]*)\)", text):
        for name in names.replace('"', " ").split()[: 1 if verb.upper() in ("WRITE", "APPEND") else 64]:
            if verb.upper().startswith("REMOVE"):
                run.delete(name, recursive=verb.upper().endswith("RECURSE"), how="cmake")
            else:
                run.write(name)


def _cmake_tool(run: Run) -> Text | None:
    words = run.args[1:]
    if words[:1] in (["rm"], ["remove"], ["remove_directory"]):
        return run.exec([Text("rm"), Text("-rf"), *[word for word in words[1:] if not word.startswith("-")]])
    if words[:1] in (["copy"], ["rename"]):
        return run.exec([Text("cp" if words[0] == "copy" else "mv"), *words[1:]])
    if words[:1] == ["env"] or words[:1] == ["time"]:
        return run.exec([Text("env"), *words[1:]])
    return Text(HOLE)


@model("gradle", "gradlew")
def gradle(run: Run) -> Text | None:
    """Gradle: `publish` goes out."""
    from overnight.guard.effects import Install

    if any(re.match(r":?(?:[\w-]+:)*publish", word) for word in run.args):
        run.emit(Install(manager="gradle", kind="publish", words=run.words))
    return Text(HOLE)
