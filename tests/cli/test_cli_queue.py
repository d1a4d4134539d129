"""`add` and `repo`: what gets in, what is refused, and what it says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from cli_stage import POLICY, Desktop, git, make_repo
from hypothesis import given
from hypothesis import strategies as st

from overnight.cli.add import new_id, submit
from overnight.errors import UnknownTask
from overnight.flows.rehearsal import Act
from overnight.missions.codec import decode
from overnight.missions.places import split_run
from overnight.missions.policy import LandingMode
from overnight.missions.task import Task
from overnight.report.find import task_id
from overnight.report.status import repos
from overnight.report.story import story


def inputs(desktop: Desktop) -> list[Task]:
    """Every task as the journal has it."""
    found = [row["id"] for repo in desktop.json("status")["status"]["repos"] for row in repo["next"]]
    return [story(desktop.home, each).task for each in found]


# -- add ----------------------------------------------------------------------------------------------------


def test_a_task_is_queued_word_for_word(desktop: Desktop) -> None:
    """Every option arrives in the journal; piped, only the id is printed."""
    path = desktop.shop()
    first = desktop.add("Do this first")
    said = desktop.ok(
        "add", "Fix the", "login", "--accept", "it works", "--accept", "it is fast", "--after", first[:12],
        "--priority", "7", "--landing", "branch", "--agent", "claude", "--attempts", "2", at=path,
    )  # fmt: skip
    assert re.fullmatch(r"fix-the-login-[a-z2-7]{4}\n", said)
    task = story(desktop.home, said.strip()).task
    assert (task.title, task.text) == ("Fix the login", "Fix the login")
    assert task.acceptance == ("it works", "it is fast")
    assert task.after == (first,)
    assert (task.priority, task.landing, task.agent, task.attempts) == (7, LandingMode.BRANCH, "claude", 2)
    assert task.repo == repos(desktop.home)[0]


def test_a_missing_daemon_is_said_aside(desktop: Desktop) -> None:
    """The hint is on standard error, so that a script gets the id alone."""
    path = desktop.shop()
    result = desktop.run("add", "x", at=path)
    assert "overnight up" in result.stderr
    assert len(result.stdout.split()) == 1


def test_the_text_may_come_from_a_file_or_a_pipe(desktop: Desktop) -> None:
    """A file's first line is the title, its text is kept as it is."""
    path = desktop.shop()
    text = "\n# Fix   the login\n\n- one\n\tü\n"
    (desktop.folder / "task.md").write_text(text)
    for words, stdin in ((["--file", str(desktop.folder / "task.md")], None), (["--file", "-"], text), (["-"], text)):
        task = decode(json.dumps(json.loads(desktop.ok("add", *words, "--json", stdin=stdin, at=path))), Task)
        assert (task.title, task.text) == ("Fix the login", text)


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        (["--file", "-"], b"a\xff", "not UTF-8 at byte 1"),
        (["--file", "-"], b"a\0b", "must be text"),
        (["--file", "-"], b"a" * ((1 << 20) + 1), "at most 1 MiB"),
        (["--file", "-"], b" \n ", "has no text"),
        (["x", "--file", "-"], b"y", "not both"),
        (["x", "--after", "nothing"], None, "No task is called 'nothing'"),
        (["x", "--agent", "robot"], None, "Known: claude, command"),
        (["x", "--repo", "shpo"], None, "'shpo' (did you mean 'shop'?). `"),
        (["x", "--attempts", "0"], None, "1<=x<=20"),
        (["x", "--landing", "push"], None, "'branch', 'merge'"),
    ],
)
def test_bad_tasks_are_refused(desktop: Desktop, words: list[str], stdin: bytes | None, says: str) -> None:
    """Nothing is queued, and the message says why."""
    path = desktop.shop()
    result = desktop.run("add", *words, stdin=stdin, at=path)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not inputs(desktop)


def test_the_repo_is_the_one_around(desktop: Desktop) -> None:
    """Without `--repo`, the innermost registered folder around the working folder counts; elsewhere one must be named."""
    outer = desktop.shop()
    inner = make_repo(outer / "deep" / "inner")
    desktop.ok("repo", "add", inner)
    (inner / "sub").mkdir()
    assert desktop.json("add", "x", at=inner / "sub")["repo"]["name"] == "inner"
    assert desktop.json("add", "x", at=outer / "deep")["repo"]["name"] == "shop"
    result = desktop.run("add", "x")
    assert result.exit_code == 2
    assert "inner, shop" in result.stderr


def test_merging_needs_a_check(desktop: Desktop) -> None:
    """A merge that nothing would prove is refused at once."""
    path = make_repo(desktop.folder / "bare-words", 'landing = "branch"\n')
    desktop.ok("repo", "add", path)
    result = desktop.run("add", "x", "--landing", "merge", at=path)
    assert (result.exit_code, "at least one check" in result.stderr) == (2, True)


@pytest.mark.parametrize("state", ["landed", "failed"])
def test_nothing_begins_after_a_failure(desktop: Desktop, state: str) -> None:
    """`--after` a task that failed is refused; after one that landed it is fine."""
    desktop.shop()
    first = desktop.add("first")
    desktop.drive({first: [Act.GOOD if state == "landed" else Act.NOTHING]})
    result = desktop.run("add", "x", "--repo", "shop", "--after", first)
    assert result.exit_code == (0 if state == "landed" else 2)
    assert state == "landed" or f"overnight retry {first}" in result.stderr


def test_a_taken_id_is_replaced_and_a_repeated_submission_is_not(
    desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another task's id is never overwritten; the same task asked for twice is one task."""
    desktop.shop()
    for name, value in desktop.env.items():
        monkeypatch.setenv(name, value)
    task = Task(id="t-aaaa", repo=repos(desktop.home)[0], title="t", text="t")
    assert submit(task) == task
    assert submit(task) == task
    other = submit(Task(id="t-aaaa", repo=task.repo, title="t", text="another"))
    assert other.id != task.id
    assert {each.text for each in inputs(desktop)} == {"t", "another"}


@given(st.text(max_size=200))
def test_ids_are_safe_whatever_the_title(title: str) -> None:
    """An id is a word that is fine in paths, refs, run ids and shells."""
    made = new_id(title)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-[a-z2-7]{4}", made)
    assert len(made) <= 40
    assert split_run(f"{made}.1.2") == (made, "1", "2")
    assert subprocess.run(["git", "check-ref-format", f"refs/overnight/{made}/{made}.1.1"], check=False).returncode == 0


def test_ids_may_be_shortened_while_it_is_clear(desktop: Desktop) -> None:
    """A unique beginning is enough; an unclear one is answered with what it could be."""
    desktop.shop()
    one, two = desktop.add("same words"), desktop.add("same words")
    other = desktop.add("others")
    assert task_id(desktop.home, "oth") == other
    assert task_id(desktop.home, one) == one
    with pytest.raises(UnknownTask, match=f"it could be {', '.join(sorted([one, two]))}"):
        task_id(desktop.home, "same")
    with pytest.raises(UnknownTask, match=rf" \(did you mean {other}\?\)\. `"):
        task_id(desktop.home, other[:-1] + "1")
    with pytest.raises(UnknownTask):
        task_id(desktop.home, "")
    with pytest.raises(UnknownTask):
        task_id(desktop.home, "%")


def test_control_characters_never_reach_the_output(desktop: Desktop) -> None:
    """A task's text is kept as given and shown without what moves a cursor."""
    desktop.shop()
    evil = "fix\x1b]0;owned\x07 \x1b[2J\x9b31m\u202edone\r\rwell"
    task = desktop.add(evil, "--title", evil, "--accept", evil)
    assert story(desktop.home, task).task.text == evil
    for words in (["status"], ["status", "--plain"], ["show", task]):
        said = desktop.ok(*words)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said)
        assert "owned" not in said


# -- repo ---------------------------------------------------------------------------------------------------


def test_repositories_come_and_go(desktop: Desktop) -> None:
    """Registered under their folder's name, listed, removed; nothing in them is touched."""
    path = make_repo(desktop.folder / "my shop.git")
    before = sorted(str(p) for p in path.rglob("*"))
    assert "1 checks" in desktop.ok("repo", "add", path)
    assert desktop.json("repo", "list") == [{"name": "my-shop", "path": str(path), "target": "main"}]
    assert str(path) in desktop.ok("repo", "list")
    desktop.ok("repo", "remove", "my-shop")
    assert desktop.json("repo", "list") == []
    assert sorted(str(p) for p in path.rglob("*")) == before


def test_a_repository_is_found_from_inside(desktop: Desktop) -> None:
    """From a folder below, by a relative path, through a link: the same top folder is registered once."""
    path = make_repo(desktop.folder / "shop")
    (path / "sub").mkdir()
    (desktop.folder / "link").symlink_to(path)
    desktop.ok("repo", "add", at=path / "sub")
    desktop.ok("repo", "add", "link/sub")
    desktop.ok("repo", "add", "shop")
    assert [repo.path for repo in repos(desktop.home)] == [str(path)]


def test_bare_and_linked_repositories(desktop: Desktop) -> None:
    """A bare repository and a linked worktree can be registered."""
    path = make_repo(desktop.folder / "shop")
    git(path, "clone", "-q", "--bare", str(path), str(desktop.folder / "bare.git"))
    git(path, "worktree", "add", "-q", "-b", "side", str(desktop.folder / "linked"))
    (desktop.folder / "linked" / "overnight.toml").write_text(POLICY.replace("main", "side"))
    git(desktop.folder / "linked", "commit", "-qam", "policy")
    desktop.ok("repo", "add", "bare.git")
    desktop.ok("repo", "add", "linked")
    assert {repo.name: repo.target for repo in repos(desktop.home)} == {"bare": "main", "linked": "side"}


def test_a_detached_head_takes_the_remotes_default(desktop: Desktop) -> None:
    """Without a branch checked out, the remote's default counts, and without one a name is asked for."""
    origin = make_repo(desktop.folder / "origin")
    git(desktop.folder, "clone", "-q", str(origin), "shop")
    path = desktop.folder / "shop"
    git(path, "checkout", "-q", "--detach")
    desktop.ok("repo", "add", path)
    assert repos(desktop.home)[0].target == "main"
    git(origin, "checkout", "-q", "--detach")
    result = desktop.run("repo", "add", origin)
    assert (result.exit_code, "--target" in result.stderr) == (2, True)
    desktop.ok("repo", "add", origin, "--target", "main")


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (None, "only what is committed counts: `git add overnight.toml && git commit`"),
        ("agnt = 1\n", "overnight.toml on main:1:1"),
        ('target = "dev"\n[checks]\nt = "true"\n', "--target dev"),
    ],
)
def test_a_repository_needs_its_policy(desktop: Desktop, policy: str | None, says: str) -> None:
    """A missing, wrong or contradicting overnight.toml is refused, and what to do is said."""
    path = make_repo(desktop.folder / "shop", policy)
    result = desktop.run("repo", "add", path)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not repos(desktop.home)


def test_what_is_no_repository_is_refused(desktop: Desktop) -> None:
    """No repository, no commit, no such branch, no such folder."""
    (desktop.folder / "plain").mkdir()
    (desktop.folder / "empty").mkdir()
    git(desktop.folder / "empty", "init", "-q", "-b", "main")
    path = make_repo(desktop.folder / "shop")
    for words, says in [
        (["plain"], "git init"), (["nowhere"], "not a git repository"), (["empty"], "has no commit yet"),
        ([str(path), "--target", "dev"], "It has main"), ([str(path), "--name", "a b"], "can't name a repo"),
    ]:  # fmt: skip
        result = desktop.run("repo", "add", *words)
        assert result.exit_code == 2
        assert says in result.stderr
    here = desktop.run("init", at=desktop.folder / "plain").stderr
    assert f"{desktop.folder / 'plain'} is not a git repository" in here
    assert not desktop.home.exists()


def test_names_are_used_once(desktop: Desktop) -> None:
    """A second repository of the same name needs another; a registered one keeps its name."""
    desktop.shop()
    other = make_repo(desktop.folder / "other" / "shop")
    result = desktop.run("repo", "add", other)
    assert (result.exit_code, "--name" in result.stderr) == (2, True)
    desktop.ok("repo", "add", other, "--name", "shop2")
    result = desktop.run("repo", "add", other, "--name", "shop3")
    assert (result.exit_code, "overnight repo remove shop2" in result.stderr) == (2, True)
    assert [repo.name for repo in repos(desktop.home)] == ["shop", "shop2"]


def test_a_repo_with_tasks_is_removed_only_by_force(desktop: Desktop) -> None:
    """Unended tasks keep it; `--force` asks them to end."""
    desktop.shop()
    task = desktop.add("x")
    result = desktop.run("repo", "remove", "shop")
    assert (result.exit_code, "--force" in result.stderr) == (2, True)
    assert repos(desktop.home)
    desktop.ok("repo", "remove", "shop", "--force")
    assert not repos(desktop.home)
    assert story(desktop.home, task).row.want == "cancel"
    said = desktop.ok("status")
    assert "registered no more" in said


def test_trouble_with_a_repository_is_listed(desktop: Desktop) -> None:
    """`repo list` says which repository would hold its tasks, and why."""
    path = desktop.shop()
    assert "not there" not in desktop.ok("repo", "list")
    path.rename(path.with_name("elsewhere"))
    assert "is not there any more" in desktop.ok("repo", "list")


def test_a_repositorys_own_settings_start_no_program(desktop: Desktop) -> None:
    """Looking into a repository runs nothing that its configuration names."""
    path = make_repo(desktop.folder / "shop")
    trap = desktop.folder / "trapped"
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "diff.external", "core.editor"):
        git(path, "config", key, f"touch {trap}; false")
    desktop.ok("repo", "add", path)
    desktop.ok("repo", "list")
    assert not trap.exists()
    assert Path(path).exists()
