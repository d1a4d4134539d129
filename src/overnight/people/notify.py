"""The notifier: what happened becomes messages, and each message a process of its own that can hang or crash alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from overnight.durable.journal import Journal
from overnight.errors import OvernightError
from overnight.judge.telling import message_of
from overnight.missions.notice import Notice
from overnight.people.errand import ERRAND, Button, Errand, lock, read_result, write
from overnight.people.outbox import CURSOR, UNKNOWN, Batch, Outbox, Result
from overnight.people.secret import variables
from overnight.people.settings import NotifySettings, Target, texts

#: Seconds between two looks at the journal and the clock.
LOOK_S = 1.0
#: What a delivery's process knows of this one's environment, besides the secrets that its target names.
_PASSED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy",
    "https_proxy", "no_proxy", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PYTHONPATH",
)  # fmt: skip
#: Seconds that a process may take to begin and to end, besides its limit.
_GRACE_S = 30.0
_LOOK_LOCK_S = 0.05


class Offered(Struct, frozen=True, kw_only=True):
    """What can be decided about a notice, and by which ways."""

    buttons: tuple[Button, ...] = ()
    #: The task whose question a reply to the message answers.
    answers: str = ""
    #: The page where it can be looked at and decided.
    link: str = ""
    #: How to answer in words; empty where nothing is asked that takes them.
    how: str = ""


#: What can be decided about a notice at a target.
Buttons = Callable[[Notice, Target], Offered]


def no_buttons(_notice: Notice, _target: Target) -> Offered:
    """Nothing can be decided there."""
    return Offered()


class Notifier:
    """Tells people, as long as it runs. Everything that it must remember is in the journal."""

    def __init__(
        self,
        journal: Journal,
        settings: NotifySettings,
        environ: Mapping[str, str] = os.environ,
        buttons: Buttons = no_buttons,
    ) -> None:
        self.outbox = Outbox(journal, settings)
        self._journal, self._settings, self._environ, self._buttons = journal, settings, environ, buttons
        self._sending: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled. What is being sent then goes on in its own process, and the next notifier hears of it."""
        if not self._settings.targets:
            if self._journal.get(*CURSOR) is not None:
                self._journal.drop(*CURSOR)  # whoever is named later is not told of all that was before
            return
        try:
            for batch, target in self.outbox.unfinished():
                self._go(batch, self._take_over(batch, target))
            while True:
                with contextlib.suppress(sqlite3.Error):  # the engine meets it as well, and says so
                    self.step()
                clock = self._journal.clock
                await clock.wait(asyncio.Event(), clock.now() + LOOK_S)
        finally:
            for task in self._sending.values():
                task.cancel()
            await asyncio.gather(*self._sending.values(), return_exceptions=True)

    def step(self) -> None:
        """One look: what happened, and what is due. Raises sqlite3.Error."""
        while self.outbox.take():
            pass
        for batch in self.outbox.begin():
            self._go(batch.id, self._deliver(batch))

    async def settled(self) -> None:
        """Nothing is being sent any more."""
        while self._sending:
            await asyncio.wait(self._sending.values())

    def _go(self, batch: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._sending[batch] = task
        task.add_done_callback(lambda _: self._sending.pop(batch, None))

    def place(self, batch: str) -> Path:
        """The folder of a message."""
        return self._journal.home / "notify" / batch

    async def _deliver(self, batch: Batch) -> None:
        folder = self.place(batch.id)
        try:
            errand = self._errand(batch)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write(folder / ERRAND, errand)
            said = await perform(folder, errand, self._environ)
        except (OSError, OvernightError) as error:
            said = Result(ok=False, why=f"it could not be tried: {error}")
        self._settle(batch.id, said)

    def _errand(self, batch: Batch) -> Errand:
        target = self._settings.targets[batch.target]
        errand = Errand(
            name=batch.target, target=target, message=message_of(batch.lines), limit=float(self._settings.limit)
        )
        first = batch.lines[0].notice
        if len(batch.lines) != 1 or target.person is None or not first.ask:
            return errand
        offered = self._buttons(first, target)
        lines = [errand.message.text, offered.how, f"Look and decide: {offered.link}" if offered.link else ""]
        message = replace(errand.message, text="\n".join(line for line in lines if line))
        return replace(errand, message=message, buttons=offered.buttons, answers=offered.answers, link=offered.link)

    def _settle(self, batch: str, said: Result) -> None:
        with contextlib.suppress(sqlite3.Error):  # the next notifier finds what became of it in the folder
            self.outbox.settle(batch, said)
            shutil.rmtree(self.place(batch), ignore_errors=True)

    async def _take_over(self, batch: str, target: str) -> None:
        """What the last daemon was sending when it ended: its process may still be at it."""
        folder = self.place(batch)
        if not folder.exists() or target not in self._settings.targets:
            self._settle(batch, Result(ok=False, why="it was not begun"))
            return
        try:
            while (held := lock(folder)) is None:  # noqa: ASYNC110 (another process holds it)
                await asyncio.sleep(_LOOK_LOCK_S)
            try:
                said = read_result(folder)
                if said is None:  # one that has not begun yet finds nothing to do when it does
                    (folder / ERRAND).unlink(missing_ok=True)
            finally:
                os.close(held)
        except OSError as error:
            said = Result(ok=False, why=f"{UNKNOWN}: {error}")
        self._settle(batch, said or Result(ok=False, why=f"{UNKNOWN}: its process ended without a word"))


async def perform(folder: Path, errand: Errand, environ: Mapping[str, str]) -> Result:
    """Have the errand in a folder done by a process of its own. Raises OSError when none can be started.

    Cancelled, it leaves the process to its work.
    """
    child, log = _spawned(folder, errand.target, environ), folder / "stderr"
    code = await _ended(child, errand.limit + _GRACE_S)
    if (said := read_result(folder)) is not None:
        return said
    if code == -signal.SIGALRM or code == -signal.SIGKILL:
        return Result(ok=False, why=f"{UNKNOWN}: it took longer than {errand.limit:g} s")
    last = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return Result(ok=False, why=f"{UNKNOWN}: its process ended with {code}{f': {last[-1][:200]}' if last else ''}")


def _spawned(folder: Path, target: Target, environ: Mapping[str, str]) -> int:
    """A process with a session of its own, which no subprocess transport ends when this loop does."""
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "overnight.people.deliver", str(folder)],
        _environment(target, environ),
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(folder / "stderr"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        ],
    )


def _environment(target: Target, environ: Mapping[str, str]) -> dict[str, str]:
    named = variables(*texts(target))
    return {name: environ[name] for name in (*_PASSED, *named) if name in environ}


async def _ended(child: int, limit: float) -> int:
    """Its exit code, negative for a signal. One that is late is killed."""
    pidfd = os.pidfd_open(child)
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, over.set)
    try:
        try:
            async with asyncio.timeout(limit):
                await over.wait()
        except TimeoutError:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            await over.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])  # noqa: ASYNC222 (it has ended)
