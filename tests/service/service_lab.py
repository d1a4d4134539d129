"""State folders with something of everything in them, for the tests of backups."""

from __future__ import annotations

from pathlib import Path

from overnight.audit.checkpoints import make_checkpoint
from overnight.audit.record import RunAudit
from overnight.durable.clock import ManualClock
from overnight.durable.journal import Journal
from overnight.durable.retention import sweep
from overnight.guard.redact import redacted
from overnight.guard.verdict import Call, Decision, Verdict
from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import End, RunOutcome, RunSpec
from overnight.people.key import make_key, place

YES = Verdict(decision=Decision.ALLOW, rule="permitted", reason="fine")


def spec(run: str) -> RunSpec:
    """A run's, of which only the name matters."""
    return RunSpec(
        id=run, task=run.rsplit(".", 2)[0], worktree="/w", git_dir="/g", objects="/o", start="0" * 40, agent="claude",
        prompt="Do.", limits=Limits(), box=BoxPolicy(),
    )  # fmt: skip


def audited(state: Path, run: str, calls: int = 2) -> None:
    """A run's audit, from its beginning to its end."""
    audit = RunAudit(state, spec(run), redacted)
    for n in range(calls):
        audit.called(Call(id=f"toolu_{n}", tool="Bash", input={"command": "ls"}, cwd="/w"), "ls", YES)
    audit.close(RunOutcome(run=run, end=End.COMPLETED, why="ok"))


def lived_in(state: Path) -> Path:
    """A state folder after some nights: a swept journal, a signed audit, keys, evidence, and what no backup holds."""
    clock = ManualClock(1_000_000.0)
    journal = Journal(state, clock=clock)
    try:
        for n in range(5):
            journal.tell("old.event", n=n)
        clock.advance(1000.0)
        sweep(journal, 500.0, state / "archive")
        for n in range(5):
            journal.tell("young.event", n=n)
        journal.put("marks", "one", "kept")
    finally:
        journal.close()
    audited(state, "t1.1.1")
    make_checkpoint(state, "person")
    make_key(place(state))
    for name in ("evidence/t1/a.json", "reports/2026-11-21.md", "repos/shop/PAUSED", "web/token", "forge/instance"):
        written(state / name, f"in {name}\n")
    for name in ("runs/t1/1/1/home/.claude/login", "worktrees/t1/a.txt", "web/log", "scratch/x"):
        written(state / name, "stays here\n")
    return state


def written(path: Path, text: str) -> None:
    """A file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but the databases, whose bytes may differ and mean the same."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("journal.", "usage.db"))
    }


def modes(folder: Path) -> set[int]:
    """The rights of all files below a folder."""
    return {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
