"""A file of lines that each carry the digest of the line before: none can be changed, moved, added or lost unseen.

A line is a JSON object: `seq` (from 1), `at` (epoch seconds), its own fields, `before` (the digest of the line before;
of the file's name, for the first) and last `digest`, SHA-256 in hex over everything before it. It may be signed. A line
without an end is half: the machine went down over it. The next one then says `torn`, so that half a line that nobody
admits to is foreign.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

_LINE = re.compile(
    rb'(?P<body>\{.*),"digest":"(?P<digest>[0-9a-f]{64})"(,"signature":"(?P<signature>[0-9a-f]{128})")?\}', re.DOTALL
)
#: Enough of a file's end to hold its last lines.
_TAIL = 1 << 20
#: Signs a digest; the signature in hex.
Sign = Callable[[str], str]


class Link(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every line has. `seq`, `at`, `before` and `torn` are given by the file."""

    seq: int = 0
    at: float = 0.0
    before: str = ""
    #: The line before this one is half.
    torn: bool = False


class Head(Struct, frozen=True, array_like=True):
    """How far a file goes: the number of its lines, and the digest of the last one."""

    lines: int
    digest: str


class Line(Struct, frozen=True, kw_only=True):
    """A whole line."""

    #: From 1; half lines count too.
    number: int
    #: The JSON that the digest is over.
    body: bytes
    link: Link
    digest: str
    signature: str = ""


class Flaw(Struct, frozen=True, kw_only=True):
    """Something that is not as it was written."""

    #: Below the audit's folder.
    file: str
    #: None when it is about the whole file.
    line: int | None
    problem: str


class Torn(Struct, frozen=True, kw_only=True):
    """Half a line, or a record cut off between two files: the machine went down over it. No sign of tampering."""

    file: str
    line: int | None
    problem: str


def genesis(name: str) -> str:
    """The digest before the first line of the file of this name."""
    return hashlib.sha256(f"overnight audit {name}".encode()).hexdigest()


def sealed(body: bytes, sign: Sign | None = None) -> tuple[bytes, str]:
    """A line for a body, with its end, and its digest."""
    digest = hashlib.sha256(body[:-1]).hexdigest()
    signature = f',"signature":"{sign(digest)}"' if sign else ""
    return body[:-1] + f',"digest":"{digest}"{signature}}}\n'.encode(), digest


# -- writing ------------------------------------------------------------------------------------------------


class ChainedFile:
    """Appends to one file. Raises OSError when it can't be opened, or in `append` when a line is not on disk whole."""

    def __init__(
        self, path: Path, name: str, *, new: bool = False, most: int | None = None, durable: bool = True
    ) -> None:
        """new: it must not be there yet. most: no more than so many bytes, but for what is `last`. durable: wait for
        the disk with every line; otherwise the system writes when it likes, and only what is `last` waits."""
        self._name, self._most, self._durable = name, most, durable
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_EXCL if new else 0)
        self._fd = os.open(path, flags, 0o600)
        self._head, self._torn, self._size = Head(0, genesis(name)), False, 0
        try:
            if os.fstat(self._fd).st_size:
                self._find_head()
            else:
                _keep_name(path.parent)
        except BaseException:
            self.close()
            raise

    @property
    def head(self) -> Head:
        """How far it goes, as this writer knows it."""
        return self._head

    @property
    def open(self) -> bool:
        """Whether it was not let go of."""
        return self._fd >= 0

    def append(self, entry: Link, sign: Sign | None = None, *, last: bool = False) -> Head:
        """Write one line; it is on disk when this returns, where that was asked for."""
        if self._most is not None and self._size > self._most and not last:
            raise OSError(errno.EFBIG, "the audit of this run is full")
        filled = msgspec.structs.replace(
            entry, seq=self._head.lines + 1, at=round(time.time(), 3), before=self._head.digest, torn=self._torn
        )
        line, digest = sealed(msgspec.json.encode(filled), sign)
        line = b"\n" + line if self._torn else line
        self._torn = True  # until it is known to be whole
        written = os.write(self._fd, line)
        self._size += written
        if written != len(line):
            raise OSError(errno.ENOSPC, "the audit could not be written whole")
        if self._durable or last:
            os.fdatasync(self._fd)
        self._torn = False
        self._head = Head(filled.seq, digest)
        return self._head

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        """Inside, no other writer of this file is at it; what others wrote is taken up first."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            self._find_head()
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file. A second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _find_head(self) -> None:
        self._size = os.fstat(self._fd).st_size
        tail = os.pread(self._fd, _TAIL, max(0, self._size - _TAIL))
        self._torn = not tail.endswith(b"\n") and bool(tail)
        self._head = _last(tail) or Head(0, genesis(self._name))


def _last(tail: bytes) -> Head | None:
    """The head in the end of a file; None when there is no whole line in it."""
    whole = tail[: tail.rfind(b"\n") + 1]
    for raw in reversed(whole.splitlines()):
        if (line := read_line(raw, 0)) is not None:
            return Head(line.link.seq, line.digest)
    return None


def head_of(path: Path, name: str) -> Head:
    """How far a file goes, by its last whole line. Raises OSError when it can't be read."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        return _last(file.read()) or Head(0, genesis(name))


def _keep_name(folder: Path) -> None:
    """A new file outlives a power cut only with its folder's entry."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# -- reading ------------------------------------------------------------------------------------------------


def read_line(raw: bytes, number: int) -> Line | None:
    """A whole line, without its end; None when it is none. Its digest is not looked at."""
    match = _LINE.fullmatch(raw)
    if match is None:
        return None
    body = match["body"] + b"}"
    try:
        link = msgspec.json.decode(body, type=Link)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return Line(
        number=number, body=body, link=link, digest=match["digest"].decode(),
        signature=(match["signature"] or b"").decode(),
    )  # fmt: skip


class Reading:
    """Goes through one file and finds what is wrong with it. Give it the lines, then look."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.flaws: list[Flaw] = []
        self.torn: list[Torn] = []
        #: The digest at each number of lines, from none on.
        self.digests: list[str] = [genesis(name)]
        self._half: int | None = None

    @property
    def head(self) -> Head:
        """How far it goes."""
        return Head(len(self.digests) - 1, self.digests[-1])

    def lines(self, raws: Iterable[bytes]) -> Iterator[Line]:
        """Every whole line that is where it belongs, each with its end. What is not is a flaw."""
        number = 0
        for number, raw in enumerate(raws, 1):
            line = read_line(raw[:-1], number) if raw.endswith(b"\n") else None
            if line is None:
                self._broken(raw, number)
            elif self._fits(line):
                self.digests.append(line.digest)
                yield line
        if self._half is not None:
            half = "half a line: the machine went down or the disk was full over it"
            self.torn.append(Torn(file=self.name, line=self._half, problem=half))

    def _broken(self, raw: bytes, number: int) -> None:
        if self._half is not None:
            self._flaw(self._half, "it is no line of an audit")
        self._half = number
        if raw.endswith(b"}\n"):
            self._half = None
            self._flaw(number, "it is no line of an audit: it was changed, or it comes from elsewhere")

    def _fits(self, line: Line) -> bool:
        if self._half is not None:
            half, self._half = self._half, None
            if line.link.torn:
                problem = "half a line: the machine went down or the disk was full over it"
                self.torn.append(Torn(file=self.name, line=half, problem=problem))
            else:
                self._flaw(half, "it is no line of an audit, and the one after it knows of none that is half")
        seq, expected = line.link.seq, len(self.digests)
        if hashlib.sha256(line.body[:-1]).hexdigest() != line.digest:
            self._flaw(line.number, "its content does not fit its digest: it was changed")
            if seq == expected and line.link.before == self.digests[-1]:
                self.digests.append(line.digest)  # so that what follows is not blamed for it
            return False
        if seq > expected:
            missing = (
                f"line {expected} is missing" if seq == expected + 1 else f"lines {expected} to {seq - 1} are missing"
            )
            self._flaw(line.number, f"{missing} before it, or moved")
            self.digests += [""] * (seq - expected - 1) + [line.digest]
            return False
        if seq < expected:
            self._flaw(line.number, f"it is number {seq} and stands where {expected} belongs: it was moved or repeated")
            return False
        if line.link.before != self.digests[-1]:
            self._flaw(
                line.number,
                "it does not follow the line before it: it comes from another file, or the one before was replaced",
            )
            self.digests.append(line.digest)
            return False
        return True

    def _flaw(self, number: int, problem: str) -> None:
        self.flaws.append(Flaw(file=self.name, line=number, problem=problem))


def decoded(line: Line, kind: Any) -> Any:
    """A line as one of these kinds; None for a kind of a later version."""
    try:
        return msgspec.json.decode(line.body, type=kind)
    except msgspec.ValidationError:
        return None
