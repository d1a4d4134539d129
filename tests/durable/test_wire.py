"""Desk, wire and client, over a real socket and between real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

import overnight.errors as errors
from overnight.durable.client import Client
from overnight.durable.desk import Desk
from overnight.durable.journal import Journal, verify_journal
from overnight.durable.wire import MAX_LINE, NAME, Server, error_from_json, error_to_json, short_path
from overnight.errors import (
    BadInput,
    BadState,
    DaemonSilent,
    DaemonUnreachable,
    OvernightError,
    StateNotWritable,
    UnknownTask,
)

TASK = {"id": "t1", "flow": "story", "lane": "repo", "input": {"text": "naïve ✓"}, "phase": "queued"}


@contextlib.asynccontextmanager
async def daemon(home: Path, call: Callable[[str, dict[str, Any]], Any] | None = None) -> AsyncGenerator[Journal]:
    """What a daemon serves, without an engine."""
    journal = Journal(home)
    server = Server(home, call or Desk(journal).call)
    try:
        await server.start()
        yield journal
    finally:
        await server.stop()
        journal.close()


def served(home: Path, talk: Callable[[Journal], Any], call: Callable[[str, dict[str, Any]], Any] | None = None) -> Any:
    """Run blocking client code in a thread while a daemon serves."""

    async def main() -> Any:
        async with daemon(home, call) as journal:
            return await asyncio.to_thread(talk, journal)

    return asyncio.run(main())


def in_process(home: Path, verb: str, **arguments: Any) -> subprocess.CompletedProcess[str]:
    """One call by a client in another process; prints the answer, or the error's class and words."""
    code = (
        "import json, sys; from pathlib import Path; from overnight.durable.client import Client\n"
        "from overnight.errors import OvernightError\n"
        "try: print(json.dumps(Client(Path(sys.argv[1]), 'other').call(sys.argv[2], **json.loads(sys.argv[3]))))\n"
        "except OvernightError as error: print(type(error).__name__, error)"
    )
    argv = [sys.executable, "-c", code, home, verb, json.dumps(arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_another_process_is_served(home: Path) -> None:
    """Answers and errors reach it as they were; what it asked for is in the journal, with its name."""

    def talk(_journal: Journal) -> list[str]:
        calls = [in_process(home, "submit", **TASK), in_process(home, "submit", **TASK)]
        calls.append(in_process(home, "want", task="nope", want="pause"))
        assert [call.stderr for call in calls] == [""] * 3
        return [call.stdout.strip() for call in calls]

    new, again, error = served(home, talk)
    assert (new, again) == ("true", "false")
    assert error == "UnknownTask No task is called 'nope'. `overnight status` lists them."
    journal = Journal(home)
    try:
        row = journal.db.execute("SELECT actor FROM event WHERE what = 'task.submitted'").fetchone()
        assert row["actor"] == "other"
    finally:
        journal.close()


def test_without_a_daemon_the_client_does_it_itself(home: Path) -> None:
    """It takes the lock, writes, and lets go; a socket that a dead daemon left does not mislead it."""
    assert Client(home).call("submit", **TASK) is True
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home / NAME))
    assert Client(home).call("submit", **TASK) is False
    assert Client(home).running() is None
    with pytest.raises(UnknownTask):
        Client(home).call("resume", task="nope")
    with pytest.raises(DaemonUnreachable) as caught:
        Client(home).daemon("shutdown")
    assert not isinstance(caught.value, DaemonSilent)
    assert verify_journal(home / "journal.db") == 1


def test_clients_without_a_daemon_wait_for_each_other(home: Path) -> None:
    """Many at once all get their task in, none twice."""

    def submit(n: int) -> None:
        Client(home).call("submit", **{**TASK, "id": f"t{n}"})

    fresh = [threading.Thread(target=submit, args=(n,)) for n in range(8)]
    for thread in fresh:
        thread.start()
    for thread in fresh:
        thread.join()
    journal = Journal(home)
    try:
        assert journal.db.execute("SELECT count(*) FROM task").fetchone()[0] == 8
    finally:
        journal.close()


def test_a_client_finds_a_daemon_that_is_just_starting(home: Path) -> None:
    """The lock is taken and the socket not yet there: the client waits for it."""

    async def main() -> None:
        journal = Journal(home)
        server = Server(home, Desk(journal).call)
        asked = asyncio.create_task(asyncio.to_thread(Client(home).call, "submit", **TASK))
        try:
            await asyncio.wait({asked}, timeout=0.05)
            assert not asked.done()
            await server.start()
            assert await asked is True
        finally:
            await server.stop()
            journal.close()

    asyncio.run(main())


ERRORS: list[OvernightError] = [
    BadInput(problem="no"),
    UnknownTask(task="t1", hint=" (did you mean t2?)"),
    BadState(task="t1", state="landed", verb="retry", next="Add a new one."),
    errors.AlreadyRunning(pid=7, path=Path("/state")),
    errors.JournalNewer(found=9, known=1),
    StateNotWritable(path=Path("/state"), reason=OSError("disk")),
    errors.GitFailed(command="merge", code=128, stderr="caf\udce9"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_travel_as_the_same_class(home: Path, error: OvernightError) -> None:
    """With the same words and the same exit code."""

    def refuse(_verb: str, _arguments: dict[str, Any]) -> Any:
        raise error

    def talk(_journal: Journal) -> OvernightError:
        with pytest.raises(OvernightError) as caught:
            Client(home).call("x")
        return caught.value

    there = served(home, talk, refuse)
    assert (type(there), str(there), there.exit_code) == (type(error), str(error), error.exit_code)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "FromTheFuture", "fields": {"a": 1}},
        {"error": "BadState", "fields": {"other": 1}},
        {"error": "Any", "fields": {}},
    ],
)
def test_an_error_that_is_not_known_keeps_its_words(answer: dict[str, Any]) -> None:
    """An error of another version is shown with its name and fields, and is no crash."""
    assert str(answer["error"]) in str(error_from_json(answer))
    assert isinstance(error_from_json(answer), OvernightError)


def test_an_error_survives_the_round_trip() -> None:
    """To JSON and back, fields included."""
    error = UnknownTask(task="t1", hint="")
    assert error_from_json(json.loads(json.dumps(error_to_json(error)))).fields == error.fields


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\xfe\n", b'{"verb": "submit", "arguments": {}}\n', b'{"verb": "submit", "arguments": 3}\n', b'{"verb": 3, "arguments": {}}\n', b'{"verb": "submit", "arguments": {"actor": 1, "evil": 2}}\n']
)  # fmt: skip
def test_nonsense_on_the_socket_is_answered(home: Path, line: bytes) -> None:
    """Whatever comes, the answer is an error in one line, and the next request on the connection is served."""

    def talk(_journal: Journal) -> None:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(30)
            link.connect(str(home / NAME))
            link.sendall(line + json.dumps({"verb": "put", "arguments": {"actor": "a", "kind": "k", "key": "x", "value": 1}}).encode() + b"\n")  # fmt: skip
            with link.makefile("rb") as answers:
                assert json.loads(answers.readline())["error"] == "BadInput"
                assert json.loads(answers.readline()) == {"ok": None}

    served(home, talk)


def test_too_much_at_once_is_refused_by_both_sides(home: Path) -> None:
    """The client says so before it asks; a line that is too long ends that connection and harms no other."""

    def talk(_journal: Journal) -> None:
        with pytest.raises(BadInput, match="8 MiB"):
            Client(home).call("submit", **{**TASK, "input": "x" * MAX_LINE})
        with socket.socket(socket.AF_UNIX) as link, contextlib.suppress(ConnectionError):
            link.settimeout(30)
            link.connect(str(home / NAME))
            link.sendall(b"x" * (MAX_LINE * 3))
            assert link.recv(1) == b""
        assert Client(home).call("submit", **{**TASK, "input": "x" * (MAX_LINE - 1000)}) is True

    served(home, talk)


def test_a_daemon_that_dies_while_asked_is_not_asked_twice(home: Path) -> None:
    """Nobody knows whether it did it: the client says so instead of doing it again."""
    Journal(home).close()
    asked: list[bytes] = []

    def die(listener: socket.socket) -> None:
        link, _ = listener.accept()
        with link:
            asked.append(link.recv(65536))
        listener.close()

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(home / NAME))
    listener.listen()
    thread = threading.Thread(target=die, args=(listener,))
    thread.start()
    with pytest.raises(DaemonSilent, match="may still do it"):
        Client(home).call("submit", **TASK)
    thread.join()
    assert len(asked) == 1
    assert Client(home).call("submit", **TASK) is True


def test_a_journal_that_cannot_be_written_is_told_to_the_client(home: Path) -> None:
    """A full disk reaches the person as an error that says what to do, and the daemon goes on serving."""

    def talk(_journal: Journal) -> str:
        with pytest.raises(StateNotWritable) as caught:
            Client(home).call("submit", **{**TASK, "input": "x" * 1_000_000})
        assert Client(home).call("put", kind="k", key="x", value=1) is None
        return str(caught.value)

    async def main() -> str:
        async with daemon(home) as journal:
            pages = journal.db.execute("PRAGMA page_count").fetchone()[0]
            journal.db.execute(f"PRAGMA max_page_count = {pages + 20}")
            return await asyncio.to_thread(talk, journal)

    assert "Free some space" in asyncio.run(main())


@pytest.mark.parametrize("length", [60, 103, 104, 107, 108, 109, 200, 400])
def test_a_state_folder_may_have_any_length(home: Path, length: int) -> None:
    """Paths longer than a unix socket's address work too, relative and absolute names alike."""
    deep = home
    while len(str(deep / NAME)) < length:
        deep = deep / ("d" * max(1, min(100, length - len(str(deep / NAME)) - 1)))
    deep.mkdir(parents=True)

    def talk(_journal: Journal) -> Any:
        return Client(deep).call("submit", **TASK)

    assert served(deep, talk) is True
    with short_path(deep) as path:
        assert len(os.fsencode(path)) <= 107
    assert not (deep / NAME).exists()


def test_the_socket_is_the_owners_alone(home: Path) -> None:
    """Nobody else may connect, whatever the umask."""

    def talk(_journal: Journal) -> int:
        return (home / NAME).stat().st_mode & 0o777

    old = os.umask(0)
    try:
        assert served(home, talk) == 0o600
    finally:
        os.umask(old)


def test_a_stopped_server_leaves_nothing(home: Path) -> None:
    """No socket file, no connection that hangs: whoever is connected sees the end."""

    async def main() -> None:
        async with daemon(home):
            reader, writer = await asyncio.open_unix_connection(str(home / NAME))
            writer.write(b"{}\n")
            await reader.readline()
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        await writer.wait_closed()
        assert not (home / NAME).exists()

    asyncio.run(main())
