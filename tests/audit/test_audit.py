"""The audit: whatever is done to its files is found and named, and a power cut is not taken for it."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from overnight.audit.chained import ChainedFile, Head, Reading, read_line, sealed
from overnight.audit.checkpoints import make_checkpoint, missed, sweep_runs
from overnight.audit.entries import Unseen
from overnight.audit.key import make_key, read_key, signed_by
from overnight.audit.places import Places, day_at
from overnight.audit.record import RunAudit
from overnight.audit.verify import Verified, lines_of, verify
from overnight.errors import AuditKeyUnusable
from overnight.guard.redact import redacted
from overnight.guard.verdict import Call, Decision, Verdict, Weighed
from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import End, RunOutcome, RunSpec

NO = Weighed(decision=Decision.DENY, rule="r", reason="not here", effects=("write path='/etc/x'",), fingerprint="f")
YES = Verdict(decision=Decision.ALLOW, rule="permitted", reason="fine")


def spec(run: str = "t1.1.1") -> RunSpec:
    return RunSpec(
        id=run, task=run.rsplit(".", 2)[0], worktree="/w", git_dir="/g", objects="/o", start="0" * 40, agent="claude",
        prompt="Do.", limits=Limits(), box=BoxPolicy(),
    )  # fmt: skip


def call(n: int, command: str = "ls") -> Call:
    return Call(id=f"toolu_{n}", tool="Bash", input={"command": command}, cwd="/w")


def ran(state: Path, run: str = "t1.1.1", calls: int = 3, *, close: bool = True) -> Path:
    """The file of a run with so many calls."""
    audit = RunAudit(state, spec(run), redacted, "1.0", "os")
    for n in range(calls):
        audit.called(call(n), "ls", YES)
        audit.resulted(f"toolu_{n}", "Bash", {"stdout": "x"}, failed=False, ms=3.0)
    audit.close(RunOutcome(run=run, end=End.COMPLETED, why="ok") if close else None)
    return Places(state).path(f"{day_at()}/{run}")


def problems(found: Verified) -> list[tuple[str, int | None]]:
    return [(flaw.file.rpartition("/")[2], flaw.line) for flaw in found.flaws]


def edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def test_what_is_recorded(tmp_path: Path) -> None:
    """Who, what, the decision and why; the result by its digest; no secret, no control character, the real input's digest."""
    audit = RunAudit(tmp_path, spec(), redacted)
    secret = "curl -H 'x-api-key: 98f7a6b5c4d3e2f1' \x1b[31m" + "x" * 9000
    audit.called(call(1, secret), secret, NO, again=True)
    audit.unseen("toolu_9", "Write", "nobody decided it")
    audit.close(RunOutcome(run="t1.1.1", end=End.FAILED, why="no"))
    lines = [json.loads(line.body) for line in lines_of(tmp_path, f"{day_at()}/t1.1.1")]
    assert [line["kind"] for line in lines] == ["opened", "call", "unseen", "closed"]
    assert (lines[0]["run"], lines[0]["task"], lines[0]["agent"]) == ("t1.1.1", "t1", "claude")
    told = lines[1]
    assert (told["decision"], told["rule"], told["reason"], told["again"]) == ("deny", "r", "not here", True)
    assert (told["effects"], told["fingerprint"]) == (["write path='/etc/x'"], "f")
    assert told["call"] == "toolu_1"
    assert told["size"] > 9000 > len(told["input"])
    assert "98f7" not in told["input"]
    assert "\x1b" not in told["input"]
    assert len(told["digest"]) == 64


def test_a_whole_audit_is_whole(tmp_path: Path) -> None:
    """Two runs, one of them under way, a checkpoint in between: nothing to find."""
    ran(tmp_path)
    made = make_checkpoint(tmp_path, "person")
    ran(tmp_path, "t2.1.1", close=False)
    found = verify(tmp_path)
    assert found.whole, found.flaws
    assert (found.checkpoints, found.unended, found.torn) == (1, ("t2.1.1",), ())
    assert made.files == 2
    assert found.signed_until is not None


TAMPERINGS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int | None]] = {
    "changed": (lambda ls: [ls[0], ls[1].replace(b'"ls"', b'"id"'), *ls[2:]], 2),
    "missing": (lambda ls: [*ls[:2], *ls[3:]], 3),
    "two missing": (lambda ls: [*ls[:2], *ls[4:]], 3),
    "first missing": (lambda ls: ls[1:], 1),
    "swapped": (lambda ls: [ls[0], ls[2], ls[1], *ls[3:]], 2),
    "repeated": (lambda ls: [*ls[:3], ls[2], *ls[3:]], 4),
    "foreign text": (lambda ls: [*ls[:3], b"hello\n", *ls[3:]], 4),
    "foreign object": (lambda ls: [*ls[:3], b'{"kind":"call"}\n', *ls[3:]], 4),
    "half a line in between": (lambda ls: [*ls[:3], ls[3][:40] + b"\n", *ls[3:]], 4),
    "blank": (lambda ls: [*ls[:3], b"\n", *ls[3:]], 4),
    "truncated": (lambda ls: ls[:-1], None),
    "truncated in a line": (lambda ls: [*ls[:-1], ls[-1][:30]], None),
    "extended": (lambda ls: [*ls, extension(ls)], None),
    "emptied": (lambda _ls: [], None),
}


def extension(lines: list[bytes]) -> bytes:
    """A line that fits, made by somebody who knows how."""
    last = read_line(lines[-1][:-1], 0)
    assert last is not None
    body = json.dumps({"kind": "call", "seq": last.link.seq + 1, "at": 1.0, "before": last.digest})
    return sealed(body.replace(" ", "").encode())[0]


@pytest.mark.parametrize("how", TAMPERINGS)
@pytest.mark.parametrize("signed", [True, False])
def test_tampering_is_found_and_named(tmp_path: Path, how: str, *, signed: bool) -> None:
    """With the file, and the line where there is one; before a checkpoint and after it."""
    path = ran(tmp_path)
    ran(tmp_path, "t2.1.1")
    if signed:
        make_checkpoint(tmp_path, "person")
    change, line = TAMPERINGS[how]
    edit(path, change)
    found = verify(tmp_path)
    assert not found.whole
    assert problems(found)[0] == ("t1.1.1", line), found.flaws
    assert {name for name, _ in problems(found)} == {"t1.1.1"}


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    """A run's file, a day's heads, a whole day; also when the heads were rewritten to hide it, once that was signed."""
    path = ran(tmp_path)
    path.unlink()
    assert problems(verify(tmp_path)) == [("t1.1.1", None)]
    state = tmp_path / "second"
    path = ran(state)
    make_checkpoint(state, "person")
    path.with_name("heads.ndjson").unlink()
    assert ("heads", None) in problems(verify(state))
    shutil.rmtree(path.parent)
    assert {name for name, _ in problems(verify(state))} >= {"heads", "t1.1.1"}


def test_files_from_elsewhere_are_found(tmp_path: Path) -> None:
    """A run's file under another run's name, a copy of a run that never was, and anything else."""
    path, other = ran(tmp_path), ran(tmp_path, "t2.1.1")
    shutil.copy(path, other)
    shutil.copy(path, path.with_name("t3.1.1.ndjson"))
    path.with_name("note.txt").write_text("hello")
    found = verify(tmp_path)
    assert {name for name, _ in problems(found)} == {"t2.1.1", "t3.1.1", "note.txt"}


def test_a_rewritten_past_does_not_fit_what_was_signed(tmp_path: Path) -> None:
    """Somebody who recomputes a whole chain, and the heads with it, still can't sign: the checkpoint contradicts."""
    path = ran(tmp_path, close=False)
    ran(tmp_path, "t2.1.1")
    make_checkpoint(tmp_path, "person")
    name = f"{day_at()}/t1.1.1"
    lines = path.read_bytes().splitlines()
    path.unlink()
    file = ChainedFile(path, name)
    for raw in lines:
        line = read_line(raw, 0)
        assert line is not None
        kind = json.loads(line.body)["kind"]
        file.append(Unseen(call="c", tool="t", why=f"made up: {kind}"))
    file.close()
    found = verify(tmp_path)
    assert problems(found) == [("t1.1.1", None)]
    assert "another file than the one that was signed" in found.flaws[0].problem
    assert [flaw.file for flaw in make_checkpoint(tmp_path, "person").flaws] == [name]


def test_a_replaced_checkpoint_is_found(tmp_path: Path) -> None:
    """Its content, its signature, another key's, and one that is gone from the end."""
    ran(tmp_path)
    make_checkpoint(tmp_path, "person")
    ran(tmp_path, "t2.1.1")
    make_checkpoint(tmp_path, "person")
    path = Places(tmp_path).path("checkpoints")
    good = path.read_bytes()
    first, second = good.splitlines(keepends=True)

    path.write_bytes(first.replace(b'"person"', b'"start"') + second)
    assert ("checkpoints", 1) in problems(verify(tmp_path))

    line = read_line(first[:-1], 0)
    assert line is not None
    path.write_bytes(first.replace(line.signature.encode(), b"0" * 128) + second)
    assert problems(verify(tmp_path)) == [("checkpoints", 1)]

    path.write_bytes(first)
    assert problems(verify(tmp_path)) == [("checkpoints", 2)]

    other = make_key(tmp_path / "other" / "key")
    resigned, _ = sealed(line.body.replace(read(tmp_path).encode(), other.public.encode()), other.sign)
    path.write_bytes(resigned)
    assert ("checkpoints", 1) in problems(verify(tmp_path))

    path.write_bytes(good)
    assert verify(tmp_path).whole
    assert problems(verify(tmp_path, other.public))[0] == ("checkpoints", 1)

    path.unlink()
    assert ("checkpoints", 2) in problems(verify(tmp_path))


def read(state: Path) -> str:
    key = read_key(Places(state).key)
    assert key is not None
    return key.public


def test_the_key(tmp_path: Path) -> None:
    """Made once, for its owner alone; a lost one is not silently replaced, a broken one is said to be."""
    key = make_key(tmp_path / "audit" / "key")
    assert stat.S_IMODE((tmp_path / "audit" / "key").stat().st_mode) == 0o600
    assert make_key(tmp_path / "audit" / "key").public == key.public
    assert signed_by(key.public, "d", key.sign("d"))
    assert not signed_by(key.public, "e", key.sign("d"))
    assert not signed_by("zz", "d", key.sign("d"))
    ran(tmp_path)
    make_checkpoint(tmp_path, "person")
    (tmp_path / "audit" / "key").unlink()
    ran(tmp_path, "t2.1.1")
    with pytest.raises(AuditKeyUnusable, match="it is gone"):
        make_checkpoint(tmp_path, "person")
    assert not verify(tmp_path).whole
    assert verify(tmp_path, key.public).whole
    (tmp_path / "audit" / "key").write_text("rubbish")
    with pytest.raises(AuditKeyUnusable):
        make_checkpoint(tmp_path, "person")


def test_a_power_cut_is_not_taken_for_tampering(tmp_path: Path) -> None:
    """Half a line at the end of a run that was lost, and between two lines of a day's heads."""
    path = ran(tmp_path, close=False)
    heads = path.with_name("heads.ndjson")
    for file in (path, heads):
        with file.open("ab") as out:
            out.write(b'{"kind":"call","seq":8,"at"')
    assert verify(tmp_path).whole
    ran(tmp_path, "t2.1.1")
    found = verify(tmp_path)
    assert found.whole, found.flaws
    assert [(torn.file.rpartition("/")[2], torn.line) for torn in found.torn] == [("heads", 2), ("t1.1.1", 8)]
    make_checkpoint(tmp_path, "start")
    assert verify(tmp_path).whole


def test_a_run_whose_start_was_cut_off_is_no_foreign_file(tmp_path: Path) -> None:
    """Its file has its first line, and the day's heads do not know it yet."""
    path = ran(tmp_path, calls=0, close=False)
    path.with_name("heads.ndjson").write_bytes(b"")
    found = verify(tmp_path)
    assert found.whole
    assert [torn.file.rpartition("/")[2] for torn in found.torn] == ["t1.1.1"]


def test_retention_leaves_a_verifiable_record(tmp_path: Path) -> None:
    """A swept run's head stays, signed; the file is gone and not missed. One that was tampered with stays."""
    ran(tmp_path)
    ran(tmp_path, "t1.1.2")
    kept, bad = ran(tmp_path, "t2.1.1"), ran(tmp_path, "t3.1.1")
    make_checkpoint(tmp_path, "day")
    edit(bad, lambda lines: [lines[0], *lines[2:]])
    assert sweep_runs(tmp_path, ["t1", "t3"]) == 2
    assert sorted(path.name for path in kept.parent.iterdir()) == ["heads.ndjson", "t2.1.1.ndjson", "t3.1.1.ndjson"]
    found = verify(tmp_path)
    assert {name for name, _ in problems(found)} == {"t3.1.1"}
    assert found.swept == 2
    assert sweep_runs(tmp_path, ["t1"]) == 0
    # Not by saying so without the key.
    kept.unlink()
    assert ("t2.1.1", None) in problems(verify(tmp_path))


def test_a_checkpoint_only_when_there_is_something_new(tmp_path: Path) -> None:
    """The second one has nothing to sign; a run that goes on has."""
    audit = RunAudit(tmp_path, spec(), redacted)
    assert make_checkpoint(tmp_path, "stop").files == 2
    assert make_checkpoint(tmp_path, "stop").head is None
    audit.called(call(1), "ls", YES)
    again = make_checkpoint(tmp_path, "stop")
    assert (again.files, again.head is not None) == (1, True)
    audit.close()
    assert not missed(tmp_path)
    assert verify(tmp_path).whole


def test_days_without_a_checkpoint_are_missed(tmp_path: Path) -> None:
    """A day that is over and was never signed is told, until it is."""
    ran(tmp_path)
    old = Places(tmp_path)
    (old.top / "2020-01-01").mkdir()
    file = ChainedFile(old.path("2020-01-01/heads"), "2020-01-01/heads")
    file.append(Unseen(call="", tool="", why="anything"))
    file.close()
    assert missed(tmp_path)
    make_checkpoint(tmp_path, "start")
    assert not missed(tmp_path)


def test_a_run_has_one_audit(tmp_path: Path) -> None:
    """A second writer of the same run is refused: nothing is appended to what is over."""
    ran(tmp_path)
    with pytest.raises(FileExistsError):
        RunAudit(tmp_path, spec(), redacted)


def test_a_full_audit_takes_only_the_end(tmp_path: Path) -> None:
    """What the agent does can't be recorded any more and so does not happen; the end still is."""
    name = f"{day_at()}/t1.1.1"
    places = Places(tmp_path)
    places.make(day_at())
    file = ChainedFile(places.path(name), name, new=True, most=10)
    file.append(Unseen(call="", tool="", why="fits"))
    with pytest.raises(OSError, match="full"):
        file.append(Unseen(call="", tool="", why="no more"))
    assert isinstance(file.append(Unseen(call="", tool="", why="the end"), last=True), Head)
    file.close()


def test_what_is_not_written_whole_is_half(tmp_path: Path) -> None:
    """A disk that takes only a part: the call is refused, the next line says so, and the chain holds."""
    path = tmp_path / "x.ndjson"
    file = ChainedFile(path, "x")
    file.append(Unseen(call="", tool="", why="one"))
    os.write(file._fd, b'{"kind":"un')
    file._torn = True
    file.append(Unseen(call="", tool="", why="two"))
    file.close()
    reading = Reading("x")
    with path.open("rb") as lines:
        assert [line.link.torn for line in reading.lines(lines)] == [False, True]
    assert (reading.flaws, [torn.line for torn in reading.torn]) == ([], [2])


def test_many_writers_of_one_days_heads(tmp_path: Path) -> None:
    """Runs that begin at once share a chain without breaking it."""

    def write(n: int) -> None:
        ran(tmp_path, f"t{n}.1.1")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(20)))
    found = verify(tmp_path)
    assert (found.whole, found.files) == (True, 21), found.flaws
