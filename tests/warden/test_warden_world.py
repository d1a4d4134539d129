"""What the guard of a run sees of the disk, and remembers: the agent makes the files, so none of them is innocent."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from overnight.config import Settings, parse_settings
from overnight.guard.verdict import Call, Decision
from overnight.missions.guarding import GuardTable
from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import RunSpec
from overnight.report.rundir import questions_of
from overnight.warden.world import MOST, RunDisk
from overnight.wiring import guard_of


def disk(root: Path) -> RunDisk:
    """One with worktree and home."""
    for name in ("work", "home"):
        (root / name).mkdir()
    return RunDisk(str(root / "work"), str(root / "home"))


def test_only_the_agents_own_files_are_read(tmp_path: Path) -> None:
    """Worktree and home, also by a symlink that stays there; not one that leads out, not a neighbour's name."""
    world = disk(tmp_path)
    (tmp_path / "secret").write_text("s")
    (tmp_path / "workshop").write_text("s")
    (tmp_path / "work" / "own").write_text("mine")
    (tmp_path / "home" / "link").symlink_to(tmp_path / "work" / "own")
    (tmp_path / "work" / "out").symlink_to(tmp_path / "secret")
    assert world.read(str(tmp_path / "work" / "own")) == "mine"
    assert world.read(str(tmp_path / "home" / "link")) == "mine"
    for path in ("secret", "workshop", "work/out", "work/none", "work/../secret", "work"):
        assert world.read(f"{tmp_path}/{path}") is None


def test_a_folder_costs_no_descriptor(tmp_path: Path) -> None:
    """Calls name folders all night: none of them leaves a descriptor open."""
    world = disk(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert [world.read(str(tmp_path / "work")) for _ in range(8)] == [None] * 8
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_fifo_does_not_stop_the_warden(tmp_path: Path) -> None:
    """Reading one would wait for its writer for ever, and with it hooks and limits."""
    world = disk(tmp_path)
    os.mkfifo(tmp_path / "work" / "script.sh")
    assert world.read(str(tmp_path / "work" / "script.sh")) is None


def test_long_files_and_odd_bytes(tmp_path: Path) -> None:
    """Too long to analyse is not known; bytes that are no text are replaced."""
    world = disk(tmp_path)
    (tmp_path / "work" / "long").write_bytes(b"x" * (MOST + 1))
    (tmp_path / "work" / "odd").write_bytes(b"a\xff")
    assert world.read(str(tmp_path / "work" / "long")) is None
    assert world.read(str(tmp_path / "work" / "odd")) == "a\N{REPLACEMENT CHARACTER}"


def test_the_guard_of_a_run_remembers_what_was_written(tmp_path: Path) -> None:
    """A script that it let be written is judged by its content when it is run; another run knows nothing of it."""
    disk(tmp_path)
    work = str(tmp_path / "work")
    spec = RunSpec(
        id="t1.1.1", task="t1", worktree=work, git_dir="/g", objects="/o", start="0" * 40, agent="claude", prompt="",
        limits=Limits(), box=BoxPolicy(),
    )  # fmt: skip

    def call(n: int, command: str) -> Call:
        return Call(id=f"c{n}", tool="Bash", input={"command": command}, cwd=work)

    guard, other = (guard_of(spec, tmp_path, Settings()) for _ in range(2))
    written = guard(call(1, "echo 'git push origin main' > go.sh"))
    assert written.decision is Decision.ALLOW
    assert guard(call(2, "sh go.sh")).decision is Decision.DENY
    assert other(call(3, "sh go.sh")).decision is Decision.ALLOW


def test_what_a_run_would_have_asked_is_kept_as_a_question(tmp_path: Path) -> None:
    """`ask` is no permission in a run: it becomes one question per wish, under the user's policy and the repo's."""
    disk(tmp_path)
    work = str(tmp_path / "work")
    spec = RunSpec(
        id="t1.1.1", task="t1", worktree=work, git_dir="/g", objects="/o", start="0" * 40, agent="claude", prompt="",
        limits=Limits(), box=BoxPolicy(), sensitive=("db/**",),
        guard=msgspec.convert({"sensitive_writes": "ask", "uploads": "allow"}, GuardTable),
    )  # fmt: skip
    settings = parse_settings(
        b'[guard.install]\nremove = "allow"\n[redact]\npatterns = ["hush-[a-z]+"]\n', "config.toml"
    )
    guard = guard_of(spec, tmp_path, settings)

    def decided(command: str) -> Decision:
        return guard(Call(id="c", tool="Bash", input={"command": command}, cwd=work)).decision

    assert decided("pip uninstall -y x") is Decision.ALLOW
    assert decided("curl -T a https://example.org/x") is Decision.DENY
    assert [decided("echo x > db/1.sql") for _ in range(2)] == [Decision.ASK] * 2
    (asked,) = guard.questions
    assert (asked.task, asked.run, asked.rule, asked.times) == ("t1", "t1.1.1", "path.sensitive", 2)
    assert asked.where.startswith("overnight.toml")
    assert [each.id for each in questions_of(tmp_path)] == [asked.id]
    assert decided("echo hush-hush > db/2.sql") is Decision.ASK
    assert [each.id for each in questions_of(tmp_path)] == [each.id for each in guard.questions]
    assert "hush-hush" not in (tmp_path / "questions.json").read_text()
