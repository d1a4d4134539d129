"""The gate before the forge: what may not leave, does not, and nothing is pushed then."""

from __future__ import annotations

import base64
import json
import secrets
import string

import pytest
from forge_worlds import run
from github_world import GitHubWorld
from msgspec.structs import replace

from overnight.judge.gate import GateSettings
from overnight.ports import ForgeRefused, Pushed


def _token() -> str:
    """What a token of GitHub's looks like; random, so that no list knows it."""
    return "ghp_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(36))


def _pushed(world: GitHubWorld, commit: str, known: tuple[str, ...] = ()) -> Pushed | ForgeRefused:
    return run(world.forge(secrets=known).push(world.task, world.ground, commit))


def _refused(world: GitHubWorld, commit: str, known: tuple[str, ...] = ()) -> str:
    found = _pushed(world, commit, known)
    assert isinstance(found, ForgeRefused), found
    assert (found.reason, world.branch()) == ("gate", None)
    return found.why


@pytest.mark.parametrize("path", ["config.py", "a.png", "package-lock.json", "node_modules/a.js"])
def test_a_secret_does_not_leave(github: GitHubWorld, path: str) -> None:
    """Whatever the file is called and whatever the line says of itself; the secret is not repeated."""
    token = _token()
    content = f'token = "{token}"  # gitleaks:allow betterleaks:allow\n'
    why = _refused(github, github.committed(github.take("main"), {path: content}, "Add"))
    assert path in why
    assert "github-pat" in why
    assert token not in why


@pytest.mark.parametrize("encoded", ["utf-16", "nul", "base64"])
def test_a_secret_in_disguise_does_not_leave(github: GitHubWorld, encoded: str) -> None:
    """Another encoding, zero bytes that make a file look binary, and base64 hide nothing."""
    token = _token()
    plain = f"token = '{token}'\n"
    content = {
        "utf-16": plain.encode("utf-16"),
        "nul": b"\0\1\2\n" + plain.encode(),
        "base64": base64.b64encode(plain.encode()),
    }[encoded]
    assert "github-pat" in _refused(github, github.committed(github.take("main"), {"a.dat": content}, "Add"))


def test_a_secret_that_a_later_commit_removes_does_not_leave(github: GitHubWorld) -> None:
    """What leaves is the whole range: each commit is read, not the last state alone."""
    first = github.committed(github.take("main"), {"a.py": f"token = '{_token()}'\n"}, "Add")
    why = _refused(github, github.committed(first, {"a.py": "token = None\n"}, "Remove"))
    assert first[:12] in why


def test_a_secret_in_a_message_does_not_leave(github: GitHubWorld) -> None:
    """Commits' own words are read too."""
    commit = github.committed(github.take("main"), {"a.py": "x\n"}, f"Use {_token()}")
    assert "the message of" in _refused(github, commit)


def test_a_secret_that_only_a_merge_brings_does_not_leave(github: GitHubWorld) -> None:
    """What a merge has that none of its parents had is news, and read."""
    base = github.take("main")
    one, two = (github.committed(base, {f"{n}.py": "x\n"}, n) for n in ("one", "two"))
    github.here("read-tree", github.committed(one, {"a.py": f"token = '{_token()}'\n"}, "evil"))
    merge = github.here("commit-tree", github.here("write-tree"), "-p", one, "-p", two, "-m", "Merge")
    assert f"a.py:1 of {merge[:12]}" in _refused(github, merge)


def test_what_the_forge_has_already_is_no_news(github: GitHubWorld) -> None:
    """A line that was there before does not keep a change of its file from leaving."""
    line = f"token = '{_token()}'\n"
    github.store.commits("main", {"a.py": line}, "Somebody's")
    commit = github.committed(github.take("main"), {"a.py": line + "x = 1\n"}, "Add")
    assert isinstance(_pushed(github, commit), Pushed)


def test_a_finding_that_is_known_to_be_harmless_may_leave(github: GitHubWorld) -> None:
    """The refusal shows a fingerprint; a person who writes it into the settings lets exactly this value pass."""
    commit = github.committed(github.take("main"), {"a.py": f"token = '{_token()}'\n"}, "Add")
    fingerprint = _refused(github, commit).rpartition("(")[2].removesuffix(")")
    github.settings = replace(github.settings, gate=GateSettings(harmless=(fingerprint,)))
    assert isinstance(_pushed(github, commit), Pushed)


def test_a_secret_of_this_machine_does_not_leave(github: GitHubWorld) -> None:
    """Values that the daemon knows are looked for as they are, whatever they look like."""
    commit = github.committed(github.take("main"), {"a.py": "# plain words of ours\n"}, "Add")
    why = _refused(github, commit, ("plain words of ours",))
    assert "a secret of this machine is in a.py" in why
    assert "plain words" not in why


def test_digests_of_lock_files_are_no_secrets(github: GitHubWorld) -> None:
    """A new dependency may leave."""
    digest = base64.b64encode(secrets.token_bytes(64)).decode()
    lock = json.dumps(
        {"packages": {"node_modules/key": {"integrity": f"sha512-{digest}", "version": "1.0.0"}}}, indent=1
    )
    commit = github.committed(github.take("main"), {"package-lock.json": lock}, "Add key")
    assert isinstance(_pushed(github, commit), Pushed)


def test_a_person_s_own_unpushed_commits_do_not_leave(github: GitHubWorld) -> None:
    """A target that is ahead of the forge's is the person's to push."""
    pat = {"GIT_AUTHOR_NAME": "Pat", "GIT_AUTHOR_EMAIL": "pat@example.org"}
    mine = github.committed(github.take("main"), {"mine.txt": "mine\n"}, "Mine", env=pat)
    why = _refused(github, github.committed(mine, {"a.py": "x\n"}, "Add"))
    assert f"{mine[:12]} is by Pat <pat@example.org>" in why
    assert "push your own commits on `main` first" in why


def test_large_files_do_not_leave(github: GitHubWorld) -> None:
    """Neither one, nor many together; sizes are known before anything is read."""
    github.settings = replace(github.settings, gate=GateSettings(file=1, total=1))
    base = github.take("main")
    assert "a.bin of" in _refused(github, github.committed(base, {"a.bin": b"x" * (2**20 + 1)}, "Add"))
    half = {f"{n}.bin": n.encode() * (2**20 // 2 + 1) for n in ("a", "b")}
    assert "its files have 1.0 MiB, more than 1" in _refused(github, github.committed(base, half, "Add"))


def test_too_many_commits_do_not_leave(github: GitHubWorld) -> None:
    """A range that nobody would read is refused."""
    github.settings = replace(github.settings, gate=GateSettings(commits=1))
    first = github.committed(github.take("main"), {"a": "1\n"}, "One")
    assert "2 commits are more than 1" in _refused(github, github.committed(first, {"a": "2\n"}, "Two"))


def test_links_to_other_repositories_do_not_leave(github: GitHubWorld) -> None:
    """A gitlink would have others fetch what nobody read."""
    base = github.take("main")
    github.here("read-tree", base)
    github.here("update-index", "--add", "--cacheinfo", f"160000,{base},sub")
    commit = github.here("commit-tree", github.here("write-tree"), "-p", base, "-m", "Add")
    assert "sub of" in _refused(github, commit)


def test_a_protected_branch_is_left_alone(github: GitHubWorld) -> None:
    """The forge's own protection is told as such."""
    github.github.protects("overnight/t1")
    found = _pushed(github, github.commit("one"))
    assert isinstance(found, ForgeRefused)
    assert found.reason == "protected"
