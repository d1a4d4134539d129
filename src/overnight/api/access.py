"""Who may in, and as whom: tokens for programs, one-time links for people, signed cookies for their browsers.

The tokens lie in the state folder, readable for its owner only. Whoever can read them owns the journal as well. One is
the machine's own user's; people whom the settings name have one each. A link holds a code that works once, for a short
time: only its digest is kept, as a file that names the person, and whoever removes that file has used the code. A cookie
is signed with a key made from the machine's token and the person's, so sessions outlive a restart, and a new token ends
them: the machine's all, a person's theirs.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Collection
from pathlib import Path

from msgspec import Struct

from overnight.errors import StateNotWritable

FOLDER, TOKEN, TOKENS, CODES = "web", "token", "tokens", "codes"
#: How long a one-time link works.
CODE_S = 600.0
_CODE = re.compile(r"[A-Za-z0-9_-]{20,64}")
#: Characters that a token has at least. A file with less was cut off, and holds none: an empty one would let everybody in.
_LEAST = 20


class Login(Struct, frozen=True):
    """Who is in."""

    #: A name of `[people]`; empty for the user of this machine.
    person: str = ""


class Access:
    """The keys of one state folder."""

    def __init__(self, home: Path, session_s: float, people: Collection[str] = ()) -> None:
        """session_s: how long a browser stays logged in. people: who may be logged in by name; others are nobody."""
        self._folder, self._session_s, self._people = home / FOLDER, session_s, frozenset(people)
        self._read: dict[Path, tuple[tuple[int, int], str]] = {}

    @property
    def token(self) -> str:
        """The machine's own token as it is now; made when there is none yet. Raises StateNotWritable."""
        return self.token_of("")

    def token_of(self, person: str) -> str:
        """A person's token, made when there is none yet. Raises StateNotWritable."""
        path = self._place(person)
        try:
            seen = path.stat()
        except OSError:
            return self._made(path, person)
        stamp = (seen.st_mtime_ns, seen.st_ino)
        if path not in self._read or self._read[path][0] != stamp:
            token = _read(path)
            if len(token) < _LEAST:
                path.unlink(missing_ok=True)
                return self._made(path, person)
            self._read[path] = (stamp, token)
        return self._read[path][1]

    def renew(self, person: str = "") -> None:
        """A new token: sessions and programs with the old one are out; with the machine's, everybody's sessions.

        Raises StateNotWritable."""
        self._write(self._place(person), person)

    def _place(self, person: str) -> Path:
        return self._folder / TOKENS / person if person else self._folder / TOKEN

    def _made(self, path: Path, person: str) -> str:
        """Two that find none at once agree on the one that was there first."""
        self._write(path, person, new=True)
        return _read(path)

    def _write(self, path: Path, person: str, *, new: bool = False) -> None:
        part = path.with_name(f".{secrets.token_hex(8)}.part")
        secret = secrets.token_urlsafe(32)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.parent.mkdir(exist_ok=True, mode=0o700)
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(f"{person}.{secret}\n" if person else f"{secret}\n")
                file.flush()
                os.fsync(fd)  # or a power cut may leave its name without its content
            if new:
                with contextlib.suppress(FileExistsError):
                    os.link(part, path)
                part.unlink()
            else:
                part.replace(path)
        except OSError as error:
            raise StateNotWritable(path=path.parent, reason=error.strerror or error) from error

    def _known(self, person: str) -> bool:
        return not person or person in self._people

    # -- programs -------------------------------------------------------------------------------------------

    def by_token(self, given: str) -> Login | None:
        """Whose token it is; None when it is nobody's."""
        person, dot, _ = given.partition(".")
        if dot and person in self._people and self._place(person).exists():
            return Login(person) if _same(given, self.token_of(person)) else None
        return Login() if _same(given, self.token) else None

    # -- links ----------------------------------------------------------------------------------------------

    def code(self, now: float | None = None, person: str = "") -> str:
        """A new code for a link. Raises StateNotWritable."""
        now = time.time() if now is None else now
        code, folder = secrets.token_urlsafe(24), self._folder / CODES
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for old in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):  # somebody used it up meanwhile
                    if old.stat().st_mtime < now - CODE_S:
                        old.unlink()
            path = folder / _digest(code)
            path.touch(mode=0o600)
            path.write_text(person)
        except OSError as error:
            raise StateNotWritable(path=folder, reason=error.strerror or error) from error
        return code

    def by_code(self, code: str, now: float) -> Login | None:
        """Use a code up; None for one that is unknown, used or too old."""
        if not _CODE.fullmatch(code):
            return None
        path = self._folder / CODES / _digest(code)
        try:
            made, person = path.stat().st_mtime, path.read_text()
            path.unlink()  # of two at once, one fails here
        except OSError:
            return None
        return Login(person) if now - CODE_S <= made <= now + CODE_S and self._known(person) else None

    # -- browsers -------------------------------------------------------------------------------------------

    def session(self, now: float, login: Login | None = None) -> str:
        """A new cookie's value."""
        person = login.person if login is not None else ""
        body = f"{int(now + self._session_s)}.{secrets.token_urlsafe(12)}.{person}"
        return f"{body}.{self._signed(body, person)}"

    def by_session(self, value: str, now: float) -> Login | None:
        """Whose cookie it is; None when it is not ours, or too old."""
        body, _, signature = value.rpartition(".")
        until, _, rest = body.partition(".")
        person = rest.partition(".")[2]
        if not self._known(person) or not _same(signature, self._signed(body, person)):
            return None
        return Login(person) if until.isascii() and until.isdigit() and int(until) > now else None

    def _signed(self, body: str, person: str) -> str:
        secret = self.token + (f"\0{self.token_of(person)}" if person else "")
        key = hashlib.sha256(b"overnight web session\0" + secret.encode()).digest()
        return hmac.new(key, body.encode(errors="replace"), hashlib.sha256).hexdigest()


def _read(path: Path) -> str:
    """Raises StateNotWritable."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError as error:
        raise StateNotWritable(path=path, reason=error.strerror or error) from error


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), right.encode())


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
