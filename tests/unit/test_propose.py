"""What `init` proposes for a repository, from its files alone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.cli.detect import ProposedCheck
from overnight.cli.propose import Proposal, propose, render
from overnight.cli.toolfolders import ToolFolder, programs_of
from overnight.config import read_policy
from overnight.errors import BadInput, NotARepository
from overnight.missions.policy import LandingMode
from testkit.repos import git, repository

SYSTEM = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


def make(folder: Path, files: Mapping[str, str], branch: str = "main") -> Path:
    """A repository with these files and one commit."""
    return repository(folder, files, branch=branch, message="first")


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """An executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


PYPROJECT = "[tool.pytest.ini_options]\naddopts = '-q'\n[tool.ruff]\n[tool.mypy]\nfiles = ['a.py']\n"
NODE = json.dumps(
    {
        "scripts": {"test": "vitest", "lint": "eslint .", "build": "tsc", "start": "node ."},
        "devDependencies": {"x": "1"},
    }
)
WORKFLOW = """
jobs:
  t:
    steps:
      - name: pytest is great
      - run: pip install mypy
      - run: cargo clippy -- -D warnings
      - run: |
          cargo fmt --check
"""
HOOKS = "repos:\n- repo: x\n  hooks:\n  - id: ruff-check\n  - id: ruff-format\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {}),
        ({"pyproject.toml": PYPROJECT}, {"test": "python3 -m pytest -q", "lint": "ruff check", "types": "mypy"}),
        ({"setup.cfg": "[tool:pytest]\n[mypy]\n"}, {"test": "python3 -m pytest -q", "types": "mypy ."}),
        ({"tox.ini": "[pytest]\n", "src/a.py": ""}, {"test": "PYTHONPATH=src python3 -m pytest -q"}),
        (
            {"pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['src']", "src/a.py": ""},
            {"test": "python3 -m pytest -q"},
        ),
        ({"tests/test_a.py": "def test_a(): pass"}, {"test": "python3 -m pytest -q"}),
        ({"tests/test_a.py": "import unittest"}, {"test": "python3 -m unittest discover -s tests"}),
        ({"test_a.py": "import unittest"}, {"test": "python3 -m unittest"}),
        ({"test_a.py": "print('a probe of hardware')"}, {}),
        ({"tests/unit/deep/test_a.py": "def test_a(): pass"}, {"test": "python3 -m pytest -q"}),
        ({"pyproject.toml": "not toml [", "pytest.ini": "[pytest]"}, {"test": "python3 -m pytest -q"}),
        ({"pytest.ini": "[pytest]", "uv.lock": ""}, {"test": "python3 -m pytest -q"}),
        ({".pre-commit-config.yaml": HOOKS}, {"lint": "ruff check", "format": "ruff format --check"}),
        (
            {"package.json": NODE, "package-lock.json": "{}"},
            {"test": "npm run test", "lint": "npm run lint", "build": "npm run build"},
        ),
        (
            {"package.json": '{"scripts": {"test": "x", "type-check": "tsc"}}', "pnpm-lock.yaml": ""},
            {"test": "pnpm run test", "types": "pnpm run type-check"},
        ),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, {}),
        ({"package.json": "[]"}, {}),
        ({"package.json": '{"scripts": {"test": "x"}, "packageManager": "yarn@4"}'}, {"test": "yarn run test"}),
        (
            {"Cargo.toml": "", "Cargo.lock": "", ".github/workflows/ci.yml": WORKFLOW},
            {
                "test": "cargo test --locked",
                "lint": "cargo clippy --all-targets --locked -- -D warnings",
                "format": "cargo fmt --all --check",
            },
        ),
        (
            {"go.mod": "", ".golangci.yml": ""},
            {"test": "go test ./...", "vet": "go vet ./...", "lint": "golangci-lint run"},
        ),
        (
            {"Makefile": "test: x\n\t@a\nlint::\ncheck := 3\n.PHONY: check\n"},
            {"test": "make test", "lint": "make lint"},
        ),
        (
            {"Makefile": "test:\n", "pytest.ini": "[pytest]", "go.mod": ""},
            {"test": "python3 -m pytest -q", "test-go": "go test ./...", "vet": "go vet ./..."},
        ),
    ],
)
def test_checks_follow_from_the_files(tmp_path: Path, files: dict[str, str], expected: dict[str, str]) -> None:
    """Each kind of project gets its own commands, and nothing is made up from titles or installations."""
    found = propose(make(tmp_path, files), SYSTEM)
    assert {c.name: c.run for c in found.checks} == expected
    assert all(c.why for c in found.checks)


def test_the_reason_names_the_file(tmp_path: Path) -> None:
    """A person can look where a proposal comes from."""
    found = propose(make(tmp_path, {".pre-commit-config.yaml": HOOKS, "Makefile": "test:"}), SYSTEM)
    assert [c.why for c in found.checks] == [
        ".pre-commit-config.yaml runs ruff-check",
        ".pre-commit-config.yaml runs ruff-format",
        "Makefile has the target 'test'",
    ]


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"package.json": NODE}, "node_modules/ is not in a fresh checkout"),
        ({"pytest.ini": "[pytest]", "requirements.txt": "x"}, "If they need what requirements.txt installs"),
        ({"Cargo.toml": "", "Cargo.lock": '[[package]]\nsource = "x"'}, "`cargo vendor` puts them"),
        ({"go.mod": "", "go.sum": "x v1 h1:"}, "`go mod vendor` puts them"),
        ({".pre-commit-config.yaml": HOOKS}, "pre-commit fetches its hooks"),
        ({"Makefile": "test:", ".gitmodules": ""}, "Submodules are not checked out"),
        ({}, "Nothing here says how to check a change"),
    ],
)
def test_what_a_fresh_checkout_lacks_is_told(tmp_path: Path, files: dict[str, str], word: str) -> None:
    """Checks have no network and no installed dependencies: the person hears it, with a way out."""
    assert any(word in note for note in propose(make(tmp_path, files), SYSTEM).notes)


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": '{"scripts": {"test": "node --test"}}'},
        {"Cargo.toml": "", "Cargo.lock": "source = ", "vendor/x": ""},
        {"pytest.ini": "[pytest]"},
    ],
)
def test_what_needs_nothing_gets_no_note(tmp_path: Path, files: dict[str, str]) -> None:
    """Notes are not boilerplate."""
    notes = propose(make(tmp_path, files), SYSTEM).notes
    assert not [n for n in notes if "not on your PATH" not in n]


def test_the_default_branch_is_the_one_checked_out(tmp_path: Path) -> None:
    """Without a remote, the branch of the folder is the target."""
    assert propose(make(tmp_path, {}, branch="trunk/é"), SYSTEM).target == "trunk/é"


def test_the_remotes_default_branch_counts_first(tmp_path: Path) -> None:
    """A clone that has another branch checked out still lands on the remote's default."""
    make(tmp_path / "origin", {}, branch="stable")
    git(tmp_path, "clone", "-q", "origin", "copy")
    git(tmp_path / "copy", "switch", "-q", "-c", "mine")
    assert propose(tmp_path / "copy", SYSTEM).target == "stable"


def test_a_detached_head_falls_back_to_a_usual_name(tmp_path: Path) -> None:
    """A detached HEAD is not a branch; `master` is taken when it is there."""
    make(tmp_path, {}, branch="master")
    git(tmp_path, "checkout", "-q", "--detach")
    assert propose(tmp_path, SYSTEM).target == "master"


def test_a_subfolder_means_its_repository(tmp_path: Path) -> None:
    """The file belongs to the top of the work tree, wherever a person stands."""
    make(tmp_path, {"deep/Makefile": "test:", "Makefile": "lint:"})
    found = propose(tmp_path / "deep", SYSTEM)
    assert (found.root, [c.name for c in found.checks]) == (str(tmp_path), ["lint"])


def test_a_branch_that_the_file_cant_name_is_refused(tmp_path: Path) -> None:
    """TOML is UTF-8; a branch whose name is not gets a clear refusal."""
    make(tmp_path, {})
    git(tmp_path, "switch", "-q", "-c", os.fsdecode(b"caf\xe9"))
    with pytest.raises(BadInput, match="check out another branch"):
        propose(tmp_path, SYSTEM)


@pytest.mark.parametrize("name", [".", "missing"])
def test_a_folder_without_git_is_refused(tmp_path: Path, name: str) -> None:
    """No repository, no proposal; the next step is named."""
    with pytest.raises(NotARepository, match="git init"):
        propose(tmp_path / name, SYSTEM)


def test_unreadable_files_are_passed_over(tmp_path: Path) -> None:
    """Binary, dangling and circular files prove nothing and break nothing."""
    make(tmp_path, {"Makefile": "test:"})
    (tmp_path / "package.json").write_bytes(b"\xff\xfe{")
    (tmp_path / "pyproject.toml").symlink_to("missing")
    (tmp_path / "setup.cfg").symlink_to("setup.cfg")
    (tmp_path / "tox.ini").mkdir()
    assert [c.name for c in propose(tmp_path, SYSTEM).checks] == ["test"]


# -- tools ----------------------------------------------------------------------------------------------------


def tools(tmp_path: Path, path: str) -> Proposal:
    """What is proposed for a repository with pytest, npm and cargo, on a machine with this PATH."""
    files = {"pytest.ini": "[pytest]", "package.json": '{"scripts": {"lint": "x"}}', "Cargo.toml": ""}
    return propose(make(tmp_path / "repo", files), {"PATH": path, "HOME": str(tmp_path)})


def test_system_programs_need_no_folder(tmp_path: Path) -> None:
    """What lies under /usr is in every box."""
    found = propose(make(tmp_path, {"Makefile": "test:"}), SYSTEM)
    assert (found.tools, found.notes) == ((), ())


def test_version_managers_are_seen_through(tmp_path: Path) -> None:
    """Shims need their manager's variables; the folders of the real programs are proposed."""
    program(tmp_path / ".pyenv/shims/python3")
    program(tmp_path / ".pyenv/versions/3.12.1/bin/python3")
    (tmp_path / ".pyenv/version").write_text("3.12.1\n")
    program(tmp_path / ".volta/bin/npm")
    program(tmp_path / ".volta/tools/image/node/22.1.0/bin/npm")
    user = tmp_path / ".volta/tools/user/platform.json"
    user.parent.mkdir(parents=True)
    user.write_text('{"node": {"runtime": "22.1.0", "npm": null}}')
    program(tmp_path / ".cargo/bin/rustup")
    (tmp_path / ".cargo/bin/cargo").symlink_to("rustup")
    program(tmp_path / ".rustup/toolchains/stable-x/bin/cargo")
    (tmp_path / ".rustup/settings.toml").write_text('default_toolchain = "stable-x"\n')
    path = ":".join(str(tmp_path / f) for f in (".pyenv/shims", ".volta/bin", ".cargo/bin"))
    found = tools(tmp_path, path)
    assert found.tools == (
        ToolFolder(folder="~/.pyenv/versions/3.12.1", programs=("python3",)),
        ToolFolder(folder="~/.volta/tools/image/node/22.1.0", programs=("npm",)),
        ToolFolder(folder="~/.rustup/toolchains/stable-x", programs=("cargo",)),
    )
    assert found.notes == ()


def test_the_repositorys_own_environment_is_refused_with_the_reason(tmp_path: Path) -> None:
    """A `.venv` in the folder is not in a fresh checkout, and would test the wrong code."""
    program(tmp_path / "repo/.venv/bin/python3")
    found = tools(tmp_path, str(tmp_path / "repo/.venv/bin"))
    assert found.tools == ()
    assert any(".venv/ can't serve the checks" in note for note in found.notes)
    assert any("`python3` is only in" in note and "fresh checkout" in note for note in found.notes)


def test_links_and_interpreters_are_followed(tmp_path: Path) -> None:
    """A tool in an environment of its own needs that environment, but not on the PATH."""
    program(tmp_path / "pythons/3.13/bin/python3")
    venv = tmp_path / ".local/share/tools/npm"
    program(venv / "bin/npm", f"#!{venv}/bin/python3\n")
    (venv / "pyvenv.cfg").write_text("")
    (venv / "bin/python3").symlink_to(tmp_path / "pythons/3.13/bin/python3")
    (tmp_path / ".local/bin").mkdir()
    (tmp_path / ".local/bin/npm").symlink_to(venv / "bin/npm")
    found = tools(tmp_path, str(tmp_path / ".local/bin"))
    assert [t.folder for t in found.tools if "npm" in t.programs] == [
        "~/.local/bin",
        "~/.local/share/tools",
        "~/pythons/3.13",
    ]


def test_a_folder_with_more_than_tools_is_not_shown_whole(tmp_path: Path) -> None:
    """`~/.cargo` holds credentials and `~/.local` a whole life: only their `bin` is proposed."""
    program(tmp_path / ".cargo/bin/cargo")
    program(tmp_path / ".local/bin/npm")
    program(tmp_path / "bin/python3")
    path = ":".join(str(tmp_path / f) for f in (".cargo/bin", ".local/bin", "bin"))
    assert {t.folder for t in tools(tmp_path, path).tools} == {"~/.cargo/bin", "~/.local/bin", "~/bin"}


def test_missing_programs_are_told(tmp_path: Path) -> None:
    """A program that is nowhere gets a note instead of a guess."""
    notes = tools(tmp_path, "").notes
    assert sum("is not on your PATH" in note for note in notes) == 3


@pytest.mark.parametrize(
    ("command", "programs"),
    [
        ("PYTHONPATH=src python3 -m pytest -q", ["python3"]),
        ("npm ci && A=1 npm run x | tee log; ./local", ["npm", "npm", "tee"]),
        ("cd x && 'unclosed", []),
        ("", []),
    ],
)
def test_programs_of_a_command(command: str, programs: list[str]) -> None:
    """The first word of each part, assignments, builtins and paths left out."""
    assert list(programs_of(command)) == programs


# -- writing --------------------------------------------------------------------------------------------------

ANY_TEXT = st.text(max_size=30)
CHECKS = st.builds(
    ProposedCheck,
    name=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,20}\Z"),
    run=ANY_TEXT.filter(lambda t: bool(t.strip()) and "\0" not in t),
    why=ANY_TEXT,
    limit=st.sampled_from(["10m", "1h30m"]),
)
PROPOSALS = st.builds(
    Proposal,
    root=st.just("/r"),
    target=st.sampled_from(["main", "feature/é", 'quo"te', "tab-\u00a0", "emoji-\U0001f389"]),
    checks=st.lists(CHECKS, max_size=4, unique_by=lambda c: c.name).map(tuple),
    notes=st.lists(ANY_TEXT, max_size=3).map(tuple),
)


@given(PROPOSALS)
@settings(deadline=None)
def test_what_is_written_can_be_read_back(proposal: Proposal) -> None:
    """Whatever the repository's names and reasons hold, the file says exactly what was proposed."""
    policy = read_policy(render(proposal).encode(), "overnight.toml")
    assert policy.target == proposal.target
    assert policy.landing is (LandingMode.MERGE if proposal.checks else LandingMode.BRANCH)
    assert {n: c.run for n, c in policy.checks.items()} == {c.name: c.run for c in proposal.checks}


def test_the_file_explains_itself() -> None:
    """Every line of the file fits a terminal, and reasons stand above what they explain."""
    proposal = Proposal(
        root="/r",
        target="main",
        checks=(ProposedCheck(name="test", run="make test", why="Makefile has it"),),
        notes=("word " * 60,),
    )
    text = render(proposal)
    assert '# Makefile has it\ntest = { run = "make test", limit = "10m" }\n' in text
    assert max(map(len, text.splitlines())) <= 120
