"""`overnight audit`: the calls on record, and whether the record is whole."""

from __future__ import annotations

import json
from contextlib import closing

from cli_stage import Desktop

from overnight.audit.places import Places, day_at
from overnight.audit.record import RunAudit
from overnight.audit.upkeep import Upkeep
from overnight.cli.audit import BROKEN
from overnight.durable.journal import connect, read_events
from overnight.guard.redact import redacted
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import End, RunOutcome, RunSpec


def ran(desktop: Desktop, run: str) -> None:
    """A run with an allowed call and a denied one."""
    spec = RunSpec(
        id=run, task=run.rsplit(".", 2)[0], worktree="/w", git_dir="/g", objects="/o", start="0" * 40, agent="claude",
        prompt="Do.", limits=Limits(), box=BoxPolicy(),
    )  # fmt: skip
    audit = RunAudit(desktop.home, spec, redacted)
    yes = Verdict(decision=Decision.ALLOW, rule="permitted", reason="fine")
    no = Verdict(decision=Decision.DENY, rule="git.push", reason="pushes are not yours")
    audit.called(Call(id="1", tool="Bash", input={"command": "ls"}, cwd="/w"), "ls", yes)
    audit.resulted("1", "Bash", {"stdout": ""}, failed=True, ms=1.0)
    audit.called(Call(id="2", tool="Bash", input={"command": "git push"}, cwd="/w"), "git push", no)
    audit.close(RunOutcome(run=run, end=End.COMPLETED, why="ok"))


def test_calls_are_shown(desktop: Desktop) -> None:
    """All, of a task, of a run, only the denied ones, only the recent ones, as JSON; an unknown name is bad input."""
    for run in ("fix-a.1.1", "fix-a.1.2", "fix-b.1.1"):
        ran(desktop, run)
    assert desktop.ok("audit", "show").count("Bash: git push") == 3
    assert desktop.ok("audit", "show", "fix-a").count("allowed Bash: ls") == 2
    assert desktop.ok("audit", "show", "fix-a.1.2").count("denied Bash: git push") == 1
    said = desktop.ok("audit", "show", "fix-b", "--denied")
    assert "pushes are not yours (git.push)" in said
    assert "ls" not in said.replace("pushes", "")
    views = desktop.json("audit", "show", "fix-b")
    assert [(view["decision"], view["failed"], view["line"]) for view in views] == [
        ("allow", True, 2),
        ("deny", None, 4),
    ]
    assert desktop.ok("audit", "show", "--since", "1h").count("git push") == 3
    assert desktop.run("audit", "show", "nobody").exit_code == 2
    assert desktop.run("audit", "show", "--since", "long").exit_code == 2


def test_verify_says_what_is_broken(desktop: Desktop) -> None:
    """Whole: 0. Changed: 5, with file and line, in words and as JSON."""
    assert "nothing is on record yet" in desktop.ok("audit", "verify")
    ran(desktop, "fix-a.1.1")
    assert "No checkpoint was signed yet" in desktop.ok("audit", "verify")
    assert "Checkpoint 1 signs 2 files" in desktop.ok("audit", "checkpoint")
    assert "Nothing is new" in desktop.ok("audit", "checkpoint")
    assert "The audit is whole: 9 lines in 3 files" in desktop.ok("audit", "verify")
    key = desktop.ok("audit", "key").strip()
    assert desktop.run("audit", "verify", "--key", key).exit_code == 0
    assert desktop.run("audit", "verify", "--key", "0" * 64).exit_code == BROKEN
    path = Places(desktop.home).path(f"{day_at()}/fix-a.1.1")
    path.write_bytes(path.read_bytes().replace(b"git push", b"git pull"))
    result = desktop.run("audit", "verify")
    assert result.exit_code == BROKEN
    assert f"{day_at()}/fix-a.1.1 line 4: its content does not fit its digest" in result.stdout
    told = json.loads(desktop.run("audit", "verify", "--json").stdout)
    assert (told["whole"], told["flaws"][0]["line"]) == (False, 4)


def test_there_is_no_key_before_the_first_checkpoint(desktop: Desktop) -> None:
    """Nothing is made by looking."""
    assert desktop.run("audit", "key").exit_code == 3
    assert not (desktop.home / "audit").exists()


def test_the_daemon_signs_when_it_ends(desktop: Desktop) -> None:
    """A clean stop leaves nothing unsigned, and the journal's chain knows the checkpoint too."""
    ran(desktop, "fix-a.1.1")
    assert desktop.process("up", "--detach").returncode == 0
    assert desktop.process("down").returncode == 0
    found = desktop.json("audit", "verify")
    assert (found["whole"], found["checkpoints"]) == (True, 1)
    assert "Nothing is new" in desktop.ok("audit", "checkpoint")
    with closing(connect(desktop.home / "journal.db")) as db:
        assert [event.what for event in read_events(db) if event.what.startswith("audit.")] == ["audit.signed"]


def test_upkeep_sweeps_what_no_task_needs(desktop: Desktop) -> None:
    """Old runs go unless their task is kept; what went is told from what is missing."""
    troubles = list[str]()
    upkeep = Upkeep(desktop.home, lambda _made: None, troubles.append)
    for run in ("fix-a.1.1", "fix-b.1.1"):
        ran(desktop, run)
    upkeep.sweep(86400.0, lambda _task: False)
    assert len(Places(desktop.home).runs()) == 2
    upkeep.sweep(-2 * 86400.0, lambda task: task == "fix-b")
    assert [name.partition("/")[2] for name in Places(desktop.home).runs()] == ["fix-b.1.1"]
    assert "1 file removed by retention" in desktop.ok("audit", "verify")
    assert troubles == []
