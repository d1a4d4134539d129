"""The run's record: what is written, what is read back, and what a crash or a full disk leaves."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.guard.verdict import Decision
from overnight.warden.events import (
    MOST_TEXT,
    AgentSaid,
    Asked,
    Decided,
    Done,
    Ended,
    Event,
    EventLog,
    Exchanged,
    Heard,
    HookRefused,
    Launched,
    Left,
    Limit,
    Reached,
    Started,
    Stopping,
    Unreadable,
    clean,
    follow_events,
    read_events,
)

EVERY = (
    Started(run="t.1.1", agent="claude"),
    Launched(agent="claude", version="2.1", route="gateway", box="os"),
    Asked(call="c1", tool="Bash", input="ls", digest="00", again=True),
    Decided(call="c1", tool="Bash", decision=Decision.DENY, rule="r", reason="no", words=("ls", "-l")),
    Done(call="c1", tool="Bash", failed=True, error="Exit code 3", ms=5.0),
    Heard(name="Stop"),
    HookRefused(why="not JSON"),
    AgentSaid(event="text", text="hello"),
    Exchanged(method="POST", path="/v1/messages", status=200, first_byte_ms=1.5, ms=2.5, sent=1, received=2),
    Reached(target="h:443", allowed=False, why="no"),
    Left(target="h:443", sent=1, received=2, lasted=0.5),
    Limit(limit="wall", why="too long"),
    Stopping(why="asked"),
    Ended(end="completed", why="done"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.ndjson"


def write(path: Path, *events: Event) -> None:
    log = EventLog(path)
    for event in events:
        log.write(event)
    log.close()


def bare(event: Event) -> dict[str, object]:
    """An event without its place in the log."""
    return {name: getattr(event, name) for name in event.__struct_fields__ if name not in ("seq", "at")}


def test_every_kind_comes_back_as_it_was_written(path: Path) -> None:
    """Kinds and fields survive; sequence numbers count from 1 and times don't go back."""
    write(path, *EVERY)
    back = list(read_events(path))
    assert [(type(event), bare(event)) for event in back] == [(type(event), bare(event)) for event in EVERY]
    assert [event.seq for event in back] == list(range(1, len(EVERY) + 1))
    assert [event.at for event in back] == sorted(event.at for event in back)


def test_each_event_is_one_json_line_with_its_kind(path: Path) -> None:
    """Whoever has no class for a line still finds kind, number and time in it."""
    write(path, *EVERY)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all({"kind", "seq", "at"} <= line.keys() for line in lines)
    assert [line["kind"] for line in lines] == [
        "started", "launched", "asked", "verdict", "done", "hook", "hook-refused", "agent", "model", "egress",
        "egress-end", "limit", "stopping", "ended",
    ]  # fmt: skip


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_any_text_makes_one_readable_line(text: str) -> None:
    """Cleaned text has no control characters, no halves of characters, and can be written and shown."""
    kept = clean(text)
    assert kept.encode().decode() == kept
    assert all(char in "\t\n" or not (ord(char) < 32 or 127 <= ord(char) < 160) for char in kept)
    assert len(kept) <= len(text)


def test_hostile_text_is_one_line_without_control_characters(path: Path) -> None:
    """Escape sequences, line ends of all sorts and halves of characters neither break the line nor reach a terminal."""
    text = "\x1b[2J\x9b31m\r\n\u2028\u202e\ud800\x00end"
    write(path, AgentSaid(event="text", text=text, tool="a\x1bb"))
    assert path.read_bytes().count(b"\n") == 1
    event = next(read_events(path))
    assert isinstance(event, AgentSaid)
    assert (event.text, event.tool) == ("\n\N{REPLACEMENT CHARACTER}end", "a")


def test_long_texts_are_cut_and_say_so(path: Path) -> None:
    """A cut text names how much is missing."""
    write(path, HookRefused(why="x" * (MOST_TEXT + 7)))
    event = next(read_events(path))
    assert isinstance(event, HookRefused)
    assert event.why == "x" * MOST_TEXT + " … (7 characters left out)"


def test_a_torn_last_line_is_not_an_event_yet(path: Path) -> None:
    """A reader sees whole lines only, and the rest once it is whole, from the offset where it was."""
    write(path, Started(run="t.1.1", agent="a"), Stopping(why="w"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    (first, offset), *more = follow_events(path)
    assert (type(first), more) == (Started, [])
    path.write_bytes(whole)
    ((second, end),) = follow_events(path, offset)
    assert (type(second), end) == (Stopping, len(whole))


def test_a_log_goes_on_behind_a_torn_line(path: Path) -> None:
    """What was torn stays on record as unreadable, and the next event is whole, with the next number."""
    write(path, Started(run="t.1.1", agent="a"), Stopping(why="w"))
    path.write_bytes(path.read_bytes()[:-5])
    write(path, Ended(end="lost", why="it died"))
    kinds = [(type(event), event.seq) for event in read_events(path)]
    assert kinds == [(Started, 1), (Unreadable, 0), (Ended, 2)]


def test_lines_of_later_versions_are_not_lost(path: Path) -> None:
    """A kind that is not known is told as such; a field that is not known is left out."""
    path.write_bytes(b'{"kind":"new","x":1}\n{"kind":"stopping","seq":1,"at":1,"why":"w","new":1}\n\xff\n[]\n')
    unknown, known, *broken = read_events(path)
    assert isinstance(unknown, Unreadable)
    assert "new" in unknown.line
    assert known == Stopping(seq=1, at=1, why="w")
    assert [type(event) for event in broken] == [Unreadable, Unreadable]


def test_no_file_has_no_events(path: Path) -> None:
    """A run that has not begun has an empty record."""
    assert list(read_events(path)) == []


def test_only_the_owner_can_read_it(path: Path) -> None:
    """The record tells what the agent did: it is nobody else's."""
    write(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_log_takes_only_how_the_run_ended(path: Path) -> None:
    """The agent can't fill the disk through its record; what matters most is written all the same."""
    log = EventLog(path, most=100)
    log.write(HookRefused(why="x" * 200))
    with pytest.raises(OSError, match="full"):
        log.write(Asked(call="c", tool="Bash", input="ls"))
    for event in (Limit(limit="wall", why="w"), Stopping(why="w"), Ended(end="stopped", why="w")):
        log.write(event)
    log.close()
    log.close()
    assert [type(event) for event in read_events(path)] == [HookRefused, Limit, Stopping, Ended]


def _write_on_a_full_disk(path: str) -> None:
    """In a process of its own: files can't grow beyond 200 bytes, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
    log = EventLog(Path(path))
    log.write(Started(run="t.1.1", agent="a"))
    for _ in range(2):
        try:
            log.write(HookRefused(why="x" * 300))
        except OSError:
            continue
        os._exit(1)
    os._exit(0)


def test_a_full_disk_is_an_error_and_the_record_stays_readable(path: Path) -> None:
    """An event that can't be written whole raises; the log goes on once there is room."""
    process = multiprocessing.get_context("spawn").Process(target=_write_on_a_full_disk, args=(str(path),))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    process.close()
    write(path, Ended(end="failed", why="the disk was full"))
    assert [type(event) for event in read_events(path)] == [Started, Unreadable, Ended]
