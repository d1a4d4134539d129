"""Who may in: one token for programs, one-time links for people, signed cookies for their browsers.

The token lies in the state folder, readable for its owner only. Whoever can read it owns the journal as well. A link
holds a code that works once, for a short time: only its digest is kept, as a file, and whoever removes that file has
used the code. A cookie is signed with a key made from the token, so sessions outlive a restart, and a new token ends
them all.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import time
from pathlib import Path

from overnight.errors import StateNotWritable

FOLDER, TOKEN, CODES = "web", "token", "codes"
#: How long a one-time link works.
CODE_S = 600.0
_CODE = re.compile(r"[A-Za-z0-9_-]{20,64}")


class Access:
    """The keys of one state folder."""

    def __init__(self, home: Path, session_s: float) -> None:
        """session_s: how long a browser stays logged in. Raises StateNotWritable."""
        self._folder, self._session_s = home / FOLDER, session_s
        self._read: tuple[tuple[int, int], str] | None = None

    @property
    def token(self) -> str:
        """The token as it is now; made when there is none yet. Raises StateNotWritable."""
        path = self._folder / TOKEN
        try:
            seen = path.stat()
        except OSError:
            return self._made(path)
        stamp = (seen.st_mtime_ns, seen.st_ino)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, path.read_text().strip())
        return self._read[1]

    def renew(self) -> None:
        """A new token: every session and every program with the old one is out. Raises StateNotWritable."""
        self._write(self._folder / TOKEN)

    def _made(self, path: Path) -> str:
        """Two that find none at once agree on the one that was there first."""
        self._write(path, new=True)
        return path.read_text().strip()

    def _write(self, path: Path, *, new: bool = False) -> None:
        part = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
            if new:
                with contextlib.suppress(FileExistsError):
                    os.link(part, path)
                part.unlink()
            else:
                part.replace(path)
        except OSError as error:
            raise StateNotWritable(path=path.parent, reason=error.strerror or error) from error

    # -- programs -------------------------------------------------------------------------------------------

    def is_token(self, given: str) -> bool:
        """Whether a program's token is the one."""
        return hmac.compare_digest(given.encode(errors="replace"), self.token.encode())

    # -- links ----------------------------------------------------------------------------------------------

    def code(self, now: float | None = None) -> str:
        """A new code for a link. Raises StateNotWritable."""
        now = time.time() if now is None else now
        code, folder = secrets.token_urlsafe(24), self._folder / CODES
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for old in folder.iterdir():
                if old.stat().st_mtime < now - CODE_S:
                    old.unlink(missing_ok=True)
            (folder / _digest(code)).touch(mode=0o600)
        except OSError as error:
            raise StateNotWritable(path=folder, reason=error.strerror or error) from error
        return code

    def redeem(self, code: str, now: float) -> bool:
        """Use a code up; False for one that is unknown, used or too old."""
        if not _CODE.fullmatch(code):
            return False
        path = self._folder / CODES / _digest(code)
        try:
            made = path.stat().st_mtime
            path.unlink()  # of two at once, one fails here
        except OSError:
            return False
        return now - CODE_S <= made <= now + CODE_S

    # -- browsers -------------------------------------------------------------------------------------------

    def session(self, now: float) -> str:
        """A new cookie's value."""
        body = f"{int(now + self._session_s)}.{secrets.token_urlsafe(12)}"
        return f"{body}.{self._signed(body)}"

    def is_session(self, value: str, now: float) -> bool:
        """Whether a cookie's value is ours, and not too old."""
        body, _, signature = value.rpartition(".")
        until, _, _ = body.partition(".")
        genuine = hmac.compare_digest(signature.encode(errors="replace"), self._signed(body).encode())
        return genuine and until.isascii() and until.isdigit() and int(until) > now

    def _signed(self, body: str) -> str:
        key = hashlib.sha256(b"overnight web session\0" + self.token.encode()).digest()
        return hmac.new(key, body.encode(errors="replace"), hashlib.sha256).hexdigest()


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
