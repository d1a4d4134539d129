"""The key that signs tickets: 32 random bytes, made on first use, readable by its owner alone, never shown to a box."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from overnight.errors import PeopleKeyUnusable

BYTES = 32


def place(home: Path) -> Path:
    """Where it lies in a state folder."""
    return home / "people" / "key"


def read_key(path: Path) -> bytes | None:
    """The key; None when there is none. Raises PeopleKeyUnusable, also when others than its owner may read it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PeopleKeyUnusable(path=path, reason=error.strerror) from error
    try:
        mode, key = stat.S_IMODE(os.fstat(fd).st_mode), os.read(fd, BYTES + 1)
    except OSError as error:
        raise PeopleKeyUnusable(path=path, reason=error.strerror) from error
    finally:
        os.close(fd)
    if mode & 0o077:
        raise PeopleKeyUnusable(path=path, reason=f"others may read it (mode {mode:04o}, not 0600)")
    if len(key) != BYTES:
        raise PeopleKeyUnusable(path=path, reason=f"it does not hold {BYTES} bytes")
    return key


def make_key(path: Path) -> bytes:
    """The key, made if there is none. Raises PeopleKeyUnusable, OSError."""
    if (found := read_key(path)) is not None:
        return found
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"key.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(secrets.token_bytes(BYTES))
        file.flush()
        os.fsync(fd)
    try:
        path.hardlink_to(part)  # unlike a rename, this never takes another's place
    except FileExistsError:
        pass
    finally:
        part.unlink()
    made = read_key(path)
    if made is None:
        raise PeopleKeyUnusable(path=path, reason="it vanished while it was made")
    return made
