"""Backups: what is kept comes back as it was; whatever was done to the file, nothing half or foreign is put in place."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec
import pytest
from service_lab import audited, contents, lived_in, modes, spec, written

from overnight.audit.checkpoints import make_checkpoint
from overnight.audit.places import Places, day_at
from overnight.audit.record import RunAudit
from overnight.audit.verify import verify
from overnight.durable.client import Client
from overnight.durable.journal import Journal, Lock, connect, verify_journal
from overnight.errors import AlreadyRunning, BackupBroken, BadInput, JournalNewer, Refused
from overnight.guard.redact import redacted
from overnight.service.backup import make_backup, restore
from overnight.service.bundle import FORMAT, MANIFEST, Manifest, Member, is_sound

Files = dict[str, bytes]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder after some nights."""
    return lived_in(tmp_path / "state")


@pytest.fixture
def made(tmp_path: Path, state: Path) -> Path:
    """Its backup, with settings."""
    written(tmp_path / "config.toml", "[keep]\ndays = 30\n")
    make_backup(state, tmp_path / "config.toml", tmp_path / "night.tar.gz")
    return tmp_path / "night.tar.gz"


def held(path: Path) -> Files:
    """What is in a backup, by name."""
    with tarfile.open(path, "r:gz") as tar:
        found = {each.name: tar.extractfile(each) for each in tar}
        return {name: file.read() for name, file in found.items() if file is not None}


def forged(path: Path, change: Callable[[Files], None], extra: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    """The backup with other files, and a manifest that fits them, as somebody makes it who knows how."""
    files = held(path)
    manifest = msgspec.json.decode(files.pop(MANIFEST), type=Manifest)
    change(files)
    members = {name: Member(size=len(data), sha256=hashlib.sha256(data).hexdigest()) for name, data in files.items()}
    head = msgspec.json.encode(msgspec.structs.replace(manifest, files=members))
    return packed(path.with_name("forged.tar.gz"), {MANIFEST: head, **files}, extra)


def packed(path: Path, files: Files, extra: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
        for header in extra:
            tar.addfile(header)
    return path


def refused(path: Path, target: Path) -> str:
    """A backup that is not restored: nothing is there afterwards, also not beside it. What was said."""
    before = sorted(target.parent.iterdir())
    with pytest.raises(BackupBroken) as said:
        restore(path, target)
    assert sorted(target.parent.iterdir()) == before
    return str(said.value)


# -- there and back -----------------------------------------------------------------------------------------


def test_what_comes_back(tmp_path: Path, state: Path, made: Path) -> None:
    """Journal with archive, audit, keys, evidence, reports, pauses, settings: byte by byte; no run, worktree or log."""
    restore(made, tmp_path / "again")
    again = contents(tmp_path / "again")
    assert b'"version"' in again.pop("restored.json")
    assert again.pop("settings/config.toml") == b"[keep]\ndays = 30\n"
    here = contents(state)
    gone = {name for name in here if name.split("/")[0] in ("runs", "worktrees", "scratch") or name == "web/log"}
    assert len(gone) == 4
    assert again == {name: data for name, data in here.items() if name not in gone}
    assert {"audit/key", "people/key", "evidence/t1/a.json", "web/token"} <= again.keys()
    assert any(name.startswith("archive/") for name in again)
    for one in ("event", "record"):
        assert rows(tmp_path / "again", one) == rows(state, one)


def rows(state: Path, table: str) -> list[tuple[object, ...]]:
    with contextlib.closing(connect(state / "journal.db", read_only=True)) as db:
        return [tuple(row) for row in db.execute(f"SELECT * FROM {table}")]


def test_the_journal_goes_on(tmp_path: Path, made: Path) -> None:
    """What came back is written on: the chain holds over the seam."""
    restore(made, tmp_path / "again")
    journal = Journal(tmp_path / "again")
    assert journal.get("marks", "one") == "kept"
    journal.tell("after.restore")
    journal.close()
    assert verify_journal(tmp_path / "again" / "journal.db") == 7  # five young ones, the sweep's, and this
    audited(tmp_path / "again", "t2.1.1")
    assert make_checkpoint(tmp_path / "again", "person").flaws == ()
    assert verify(tmp_path / "again").whole


def test_only_the_owner_may_read(tmp_path: Path, made: Path) -> None:
    """The backup, and every file that comes out of it, has the mode 0600; the folder 0700, under any umask."""
    before = os.umask(0)
    try:
        restore(made, tmp_path / "again")
        make_backup(tmp_path / "again", tmp_path / "config.toml", tmp_path / "second.tar.gz")
    finally:
        os.umask(before)
    assert (tmp_path / "second.tar.gz").stat().st_mode & 0o777 == 0o600
    assert modes(tmp_path / "again") == {0o600}
    assert (tmp_path / "again").stat().st_mode & 0o777 == 0o700


def test_nothing_is_left_beside_it(tmp_path: Path, state: Path, made: Path) -> None:
    """Neither a backup nor a restore leaves a half file; a refused one neither."""
    with pytest.raises(BadInput, match="is there already"):
        make_backup(state, tmp_path / "config.toml", made)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "night.tar.gz", "state"]


def test_the_index_of_usage(tmp_path: Path, state: Path) -> None:
    """A second database is copied as of one instant too, also what lies in its log only."""
    with contextlib.closing(sqlite3.connect(state / "usage.db")) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE answer(id)")
        db.execute("INSERT INTO answer VALUES ('a')")
        db.commit()
        make_backup(state, tmp_path / "none.toml", tmp_path / "b")
    restore(tmp_path / "b", tmp_path / "again")
    with contextlib.closing(sqlite3.connect(tmp_path / "again" / "usage.db")) as db:
        assert db.execute("SELECT id FROM answer").fetchall() == [("a",)]


# -- what can't be backed up --------------------------------------------------------------------------------


def test_no_journal(tmp_path: Path) -> None:
    """Nothing to back up is told; no empty backup is made."""
    with pytest.raises(BadInput, match="nothing to back up"):
        make_backup(tmp_path / "state", tmp_path / "config.toml", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_broken_record_is_told_when_it_is_made(tmp_path: Path, state: Path) -> None:
    """A backup that could not be restored is not made: a changed journal, a changed audit, a link where a key belongs."""
    run = Places(state).path(f"{day_at()}/t1.1.1")
    whole = run.read_bytes()
    run.write_bytes(whole.replace(b'"ls"', b'"rm"', 1))
    with pytest.raises(Refused, match=r"audit is broken: .*t1\.1\.1: its content"):
        make_backup(state, tmp_path / "none", tmp_path / "b")
    run.write_bytes(whole)
    (state / "evidence" / "link").symlink_to("/etc/passwd")
    with pytest.raises(Refused, match="is no plain file"):
        make_backup(state, tmp_path / "none", tmp_path / "b")
    (state / "evidence" / "link").unlink()
    with contextlib.closing(sqlite3.connect(state / "journal.db")) as db:
        db.execute("DROP TRIGGER event_no_update")
        db.execute("UPDATE event SET why = 'another' WHERE seq = 8")
        db.commit()
    with pytest.raises(Refused, match="chain breaks at event 8"):
        make_backup(state, tmp_path / "none", tmp_path / "b")
    assert not (tmp_path / "b").exists()


# -- what is not restored -----------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0.0, 0.02, 0.3, 0.9])
def test_a_truncated_backup(tmp_path: Path, made: Path, left: float) -> None:
    """Cut anywhere, it is refused."""
    data = made.read_bytes()
    made.write_bytes(data[: int(len(data) * left)])
    refused(made, tmp_path / "again")


def test_a_backup_without_its_last_byte(tmp_path: Path, made: Path) -> None:
    """Also where all the files are still there."""
    made.write_bytes(made.read_bytes()[:-1])
    assert "to its end" in refused(made, tmp_path / "again")


def test_a_flipped_bit(tmp_path: Path, made: Path) -> None:
    """Damage in the middle is noticed."""
    data = bytearray(made.read_bytes())
    data[len(data) // 2] ^= 1
    made.write_bytes(data)
    refused(made, tmp_path / "again")


def test_a_file_that_is_another(tmp_path: Path, made: Path) -> None:
    """A file that does not fit the manifest: by its digest, its length, missing, twice, or besides."""
    files = held(made)
    name = "evidence/t1/a.json"
    other = tmp_path / "other.tar.gz"
    data = files[name]
    assert "digest" in refused(packed(other, files | {name: data[:-1] + b"?"}), tmp_path / "again")
    assert "belong there" in refused(packed(other, files | {name: data + b"?"}), tmp_path / "again")
    less = {key: value for key, value in files.items() if key != name}
    assert f"{name} is missing" in refused(packed(other, less), tmp_path / "again")
    assert "does not name" in refused(packed(other, files | {"reports/new.md": b""}), tmp_path / "again")
    again = tarfile.TarInfo(name)
    assert "or not twice" in refused(packed(other, files, (again,)), tmp_path / "again")


def test_a_rewritten_record(tmp_path: Path, made: Path) -> None:
    """With a manifest that fits, the journal's chain and the audit's signatures still tell."""

    def audit(files: Files) -> None:
        name = f"audit/{day_at()}/t1.1.1.ndjson"
        files[name] = b"".join(files[name].splitlines(keepends=True)[:-2])

    def journal(files: Files) -> None:
        path = tmp_path / "forged.db"
        path.write_bytes(files["journal.db"])
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("DROP TRIGGER event_no_update")
            db.execute("UPDATE event SET actor = 'nobody' WHERE seq = 9")
            db.commit()
        files["journal.db"] = path.read_bytes()

    def archive(files: Files) -> None:
        name = next(name for name in files if name.startswith("archive/"))
        files[name] = gzip.compress(gzip.decompress(files[name]).replace(b'"n\\": 3', b'"n\\": 4'))

    def none(files: Files) -> None:
        del files["journal.db"]

    assert "its end is missing" in refused(forged(made, audit), tmp_path / "again")
    path = forged(made, journal)
    (tmp_path / "forged.db").unlink()
    assert "event 9" in refused(path, tmp_path / "again")
    assert "event 4" in refused(forged(made, archive), tmp_path / "again")
    assert "journal" in refused(forged(made, none), tmp_path / "again")


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "evidence/../../evil", "evidence/./evil", "runs/t/1/1/home/x", "", ".", "a\0b"]
)
def test_a_name_that_leads_elsewhere(tmp_path: Path, made: Path, name: str) -> None:
    """Nothing is written outside of the folder, nor where no backup has anything, even when the manifest says so."""
    assert not is_sound(name)
    files = held(made)
    manifest = msgspec.json.decode(files[MANIFEST], type=Manifest)
    members = manifest.files | {name: Member(size=4, sha256=hashlib.sha256(b"evil").hexdigest())}
    head = msgspec.json.encode(msgspec.structs.replace(manifest, files=members))
    path = packed(tmp_path / "evil.tar.gz", {**files, MANIFEST: head, name: b"evil"})
    assert "no name that a backup can hold" in refused(path, tmp_path / "again")
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_what_is_no_file(tmp_path: Path, made: Path, kind: bytes) -> None:
    """A link, folder, device or pipe in the place of a file is refused."""
    files = held(made)
    del files["evidence/t1/a.json"]
    header = tarfile.TarInfo("evidence/t1/a.json")
    header.type, header.linkname = kind, "/etc/passwd"
    assert "no plain file" in refused(packed(tmp_path / "x.tar.gz", files, (header,)), tmp_path / "again")


def test_what_is_no_backup(tmp_path: Path, made: Path) -> None:
    """Another file, another tar, a backup of another format, none at all."""
    written(tmp_path / "text", "not a backup")
    refused(tmp_path / "text", tmp_path / "again")
    assert "no backup of Overnight" in refused(packed(tmp_path / "tar", {"a": b"b"}), tmp_path / "again")
    later = msgspec.json.encode(Manifest(format=FORMAT + 1, made=0.0, version="9", files={}))
    assert "format" in refused(packed(tmp_path / "later", {MANIFEST: later}), tmp_path / "again")
    with pytest.raises(BadInput, match="There is no backup"):
        restore(tmp_path / "none", tmp_path / "again")


def test_a_journal_of_a_later_version(tmp_path: Path, made: Path) -> None:
    """It is refused with the words for it: an older Overnight does not understand it."""

    def newer(files: Files) -> None:
        path = tmp_path / "newer.db"
        path.write_bytes(files["journal.db"])
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version=9999")
        files["journal.db"] = path.read_bytes()

    path = forged(made, newer)
    with pytest.raises(JournalNewer):
        restore(path, tmp_path / "again")
    assert not (tmp_path / "again").exists()


# -- where it is put ----------------------------------------------------------------------------------------


def test_a_folder_that_is_not_empty(tmp_path: Path, state: Path, made: Path) -> None:
    """It stays as it is; an empty one is taken; what appears in it meanwhile stays too."""
    before = contents(state)
    with pytest.raises(Refused, match="is not empty"):
        restore(made, state)
    assert contents(state) == before
    (tmp_path / "again").mkdir()
    with pytest.raises(Refused, match="is not empty"):
        restore(made, tmp_path / "again", lambda: written(tmp_path / "again" / "mine", "mine"))
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["mine"]
    (tmp_path / "again" / "mine").unlink()
    restore(made, tmp_path / "again")
    assert verify(tmp_path / "again").whole


def test_a_daemon_holds_the_folder(state: Path, made: Path) -> None:
    """That is what is told, before anything else."""
    lock = Lock(state)
    try:
        with pytest.raises(AlreadyRunning):
            restore(made, state)
    finally:
        lock.release()


# -- while everything runs ----------------------------------------------------------------------------------


class Busy:
    """Writes through a daemon, and audits as a warden does, until it is told to stop."""

    def __init__(self, state: Path) -> None:
        self.state, self.written = state, 0
        self.begun, self._stop = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._journal, self._audit)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _journal(self) -> None:
        client = Client(self.state)
        while not self._stop.is_set():
            client.call("put", kind="marks", key=f"{self.written:06d}", value="x")
            self.written += 1
            self.begun.set()

    def _audit(self) -> None:
        n = 0
        while not self._stop.is_set():
            n += 1
            audited(self.state, f"busy.1.{n}", calls=1)
            make_checkpoint(self.state, "day")


def test_while_a_daemon_writes(tmp_path: Path) -> None:
    """A backup beside a real daemon, wardens and checkpoints is one instant: every mark before it, in order, none after."""
    state = tmp_path / "state"
    env = {**os.environ, "OVERNIGHT_HOME": str(state), "OVERNIGHT_CONFIG": str(tmp_path / "config.toml")}
    env |= {"HOME": str(tmp_path), "OVERNIGHT_WEB": "off"}
    run = [sys.executable, "-m", "overnight"]
    written(tmp_path / "config.toml", "")
    subprocess.run([*run, "up", "--detach"], env=env, check=True, capture_output=True)
    try:
        with Busy(state) as busy:
            assert busy.begun.wait(120)
            n, before, after = 0, 0, 0
            while before == after:  # until something was really written meanwhile
                n, before = n + 1, busy.written
                make_backup(state, tmp_path / "none", tmp_path / f"{n}.tar.gz")
                after = busy.written
        assert verify(state).whole
    finally:
        subprocess.run([*run, "down"], env=env, check=True, capture_output=True)
    restore(tmp_path / f"{n}.tar.gz", tmp_path / "again")
    with contextlib.closing(connect(tmp_path / "again" / "journal.db", read_only=True)) as db:
        marks = [row["key"] for row in db.execute("SELECT key FROM record WHERE kind = 'marks' ORDER BY key")]
    assert marks == [f"{i:06d}" for i in range(len(marks))]
    assert before <= len(marks) <= after + 1
    assert not (tmp_path / "again" / "daemon.sock").exists()


def test_a_run_under_way(tmp_path: Path, state: Path) -> None:
    """A run that has not ended is in it as far as it went, and is no flaw."""
    audit = RunAudit(state, spec("t9.1.1"), redacted)
    try:
        make_backup(state, tmp_path / "none", tmp_path / "b")
    finally:
        audit.close()
    assert restore(tmp_path / "b", tmp_path / "again").proved.audit.unended == ("t9.1.1",)
