"""Descriptors handed to a child that starts; they are closed here whatever happens."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from overnight.errors import BoxUnavailable


class Handover:
    """A context: opens what a child gets, closes it again at the end."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self.fds:
            os.close(self.fds.pop())

    def own(self, fd: int) -> int:
        """Take over a descriptor."""
        self.fds.append(fd)
        return fd

    def data(self, content: bytes) -> int:
        """A descriptor that reads as these bytes."""
        fd = self.own(os.memfd_create("handover"))
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(content)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def words(self, words: Iterable[str]) -> int:
        """NUL-separated words, as `bwrap --args` reads them."""
        return self.data(b"".join(os.fsencode(word) + b"\0" for word in words))

    def source(self, path: str | None, *, copied: bool) -> int:
        """Standard input. copied: a regular file is copied first, so that nobody writes it through /proc/self/fd."""
        fd = self._open(path, os.O_RDONLY)
        if not copied or path is None or not stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        copy = self.own(os.memfd_create("stdin"))
        with os.fdopen(os.dup(fd), "rb") as source, os.fdopen(os.dup(copy), "wb") as target:
            shutil.copyfileobj(source, target)
        os.lseek(copy, 0, os.SEEK_SET)
        return copy

    def sink(self, path: str | None) -> int:
        """Standard output or error: appended to."""
        return self._open(path, os.O_WRONLY if path is None else os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def _open(self, path: str | None, flags: int) -> int:
        try:
            return self.own(os.open(os.devnull if path is None else path, flags | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise BoxUnavailable(
                reason=f"{path} can't be opened: {error.strerror}", install="Mend the path."
            ) from error
