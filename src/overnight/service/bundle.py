"""The file that a backup is: a gzipped tar of plain files, behind a manifest with the size and digest of each.

What is read may come from anybody: only names that a backup can have are taken, each once, each as long as the manifest
says, and nothing but plain files. They are written here, not by tarfile: no owner, mode, link or device comes with them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

import msgspec
from msgspec import Struct

from overnight.errors import BackupBroken, StateNotWritable

MANIFEST = "manifest.json"
FORMAT = 1
#: What a name in a backup begins with.
TOPS = frozenset({
    "journal.db", "usage.db", "PAUSED", "audit", "archive", "evidence", "people", "reports", "repos", "loops", "forge",
    "web", "settings",
})  # fmt: skip
#: Bytes of the largest manifest that is read: some 500,000 files.
MOST_MANIFEST = 64 << 20
_CHUNK = 1 << 20


class Member(Struct, frozen=True, kw_only=True):
    """One file of a backup."""

    #: Bytes.
    size: int
    #: Hex.
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """What a backup holds, at its very beginning."""

    format: int
    #: Epoch seconds.
    made: float
    #: The Overnight that made it.
    version: str
    #: Path below the state folder -> file.
    files: dict[str, Member]


def pack(folder: Path, path: Path, made: float, version: str) -> Manifest:
    """Write all files of a folder as a backup: mode 0600, there entirely or not at all. Raises OSError."""
    names = sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())
    files = {name: _member(folder / name) for name in names}
    manifest = Manifest(format=FORMAT, made=made, version=version, files=files)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            with (
                gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=int(made)) as out,
                tarfile.open(fileobj=out, mode="w|") as tar,
            ):
                head = msgspec.json.encode(manifest)
                tar.addfile(_header(MANIFEST, len(head), made), io.BytesIO(head))
                for name, member in files.items():
                    with (folder / name).open("rb") as content:
                        tar.addfile(_header(name, member.size, made), content)
            file.flush()
            os.fsync(fd)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)
    return manifest


def _header(name: str, size: int, made: float) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size, 0o600, int(made)
    return header


def _member(path: Path) -> Member:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        return Member(size=file.tell(), sha256=found)


def sync_folder(folder: Path) -> None:
    """New names outlive a power cut only with their folder's entry."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def unpack(path: Path, folder: Path) -> Manifest:
    """Write a backup's files into an empty folder, every one as the manifest says.

    Raises BackupBroken, StateNotWritable.
    """
    try:
        with gzip.open(path, "rb") as raw:
            with tarfile.open(fileobj=raw, mode="r|") as tar:
                manifest = _Unpacking(path, folder, tar).all()
            while raw.read(_CHUNK):  # to the very end, where gzip keeps its own sum
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise BackupBroken(path=path, problem=f"it can't be read to its end ({error})") from error
    return manifest


class _Unpacking:
    """One pass over a tar."""

    def __init__(self, path: Path, folder: Path, tar: tarfile.TarFile) -> None:
        self._path, self._folder, self._tar = path, folder, tar

    def all(self) -> Manifest:
        members = iter(self._tar)
        manifest = self._manifest(next(members, None))
        left = dict(manifest.files)
        for header in members:
            if (member := left.pop(header.name, None)) is None:
                self._broken(f"it holds {header.name!r}, which its manifest does not name, or not twice")
            self._write(header, member)
        if left:
            self._broken(f"{min(left)} is missing, with {len(left) - 1} more")
        for below in sorted({(self._folder / name).parent for name in manifest.files}):
            sync_folder(below)
        return manifest

    def _manifest(self, header: tarfile.TarInfo | None) -> Manifest:
        if header is None or header.name != MANIFEST or header.size > MOST_MANIFEST:
            self._broken("it does not begin with a manifest: it is no backup of Overnight")
        try:
            found = msgspec.json.decode(self._content(header).read(), type=Manifest)
        except msgspec.MsgspecError as error:
            self._broken(f"its manifest can't be understood ({error})")
        if found.format != FORMAT:
            self._broken(f"it has format {found.format}, and this Overnight ({FORMAT=}) does not know that")
        for name in found.files:
            if not is_sound(name):
                self._broken(f"{name!r} is no name that a backup can hold")
        room, need = shutil.disk_usage(self._folder).free, sum(each.size for each in found.files.values())
        if need > room:
            raise StateNotWritable(path=self._folder, reason=f"{need} bytes are needed, {room} are free")
        return found

    def _content(self, header: tarfile.TarInfo) -> IO[bytes]:
        if header.type != tarfile.REGTYPE or header.issparse() or (file := self._tar.extractfile(header)) is None:
            self._broken(f"{header.name!r} is no plain file")
        return file

    def _write(self, header: tarfile.TarInfo, member: Member) -> None:
        content = self._content(header)
        if header.size != member.size:
            self._broken(f"{header.name} has {header.size} bytes, and {member.size} belong there")
        found = hashlib.sha256()
        with _new(self._folder, header.name) as out:
            for chunk in _chunks(content):
                found.update(chunk)
                _put(out, chunk, self._folder)
            os.fsync(out.fileno())
        if found.hexdigest() != member.sha256:
            self._broken(f"{header.name} is not what was put in: its digest is another")

    def _broken(self, problem: str) -> NoReturn:
        raise BackupBroken(path=self._path, problem=problem)


def is_sound(name: str) -> bool:
    """Whether a path stays below the state folder, in a place that a backup has."""
    path = PurePosixPath(name)
    return (
        path.as_posix() == name and "\0" not in name and ".." not in path.parts
        and bool(path.parts) and path.parts[0] in TOPS
    )  # fmt: skip


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _new(folder: Path, name: str) -> IO[bytes]:
    path = folder / name
    try:
        for above in reversed(PurePosixPath(name).parents[:-1]):
            (folder / above).mkdir(exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
    except OSError as error:
        raise StateNotWritable(path=path, reason=error.strerror) from error


def _put(out: IO[bytes], chunk: bytes, folder: Path) -> None:
    view = memoryview(chunk)
    try:
        while view:
            view = view[out.write(view) :]
    except OSError as error:
        raise StateNotWritable(path=folder, reason=error.strerror) from error
