"""Cassettes: what is written is what is read, without secrets; what was touched is refused."""

from __future__ import annotations

import random
import resource
import signal
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tape_lab import JSON, RUN, SSE, TOKEN, body, call, events, exchange, readable, recorder, sample, says

from overnight.cassette.entries import NAME, unpack
from overnight.cassette.reading import read
from overnight.cassette.streams import rewritten
from overnight.errors import CassetteBroken, NoCassette
from overnight.guard.redact import Redactor
from overnight.missions.run import Tape

CALM = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
KEY = "sk-ant-api03-Qw8Rt5Yu2Io9Pa4Sd7Fg1Hj6"


def test_what_was_recorded_is_read_again(tmp_path: Path) -> None:
    """Bodies, answers, pieces, calls and their order come back as they were."""
    found = readable(tmp_path, sample(tmp_path))
    assert [exchange.n for exchange in found.exchanges] == [1, 2, 3]
    assert [len(exchange.body["messages"]) for exchange in found.exchanges] == [1, 2, 3]
    assert found.exchanges[0].answer == b"".join(says("Hel", "lo"))
    assert [size for _, size in found.exchanges[0].pieces] == [len(piece) for piece in says("Hel", "lo")]
    assert [decided.call.input["command"] for decided in found.calls] == ["echo one", "echo two"]
    assert (found.missing, found.doubt) == ("", "")


def test_what_is_said_again_is_kept_once(tmp_path: Path) -> None:
    """A session sends everything with each request; a cassette grows with what is new."""
    to = recorder(tmp_path)
    noise = random.Random(1)
    texts = ["".join(noise.choices("abcdefghijklmnop ", k=4000)) for _ in range(40)]
    for n in range(1, 41):
        exchange(to, body(*texts[:n]), says("ok"))
    tape = to.close()
    whole = sum(map(len, texts))
    assert (tmp_path / NAME).stat().st_size < 1.5 * whole
    assert readable(tmp_path, tape).exchanges[-1].body["messages"][39]["content"] == texts[39]


def test_exchanges_at_once_keep_the_order_of_their_requests(tmp_path: Path) -> None:
    """What ended first stands first in the file, and is told by the order in which it was asked."""
    to = recorder(tmp_path)
    first = to.hear("POST", "/v1/messages", (), body("slow"))
    exchange(to, body("quick"), says("quick"))
    first.begun(200, SSE)
    first.over(whole=False, left=True)
    found = readable(tmp_path, to.close())
    assert [e.body["messages"][0]["content"] for e in found.exchanges] == ["slow", "quick"]
    assert (found.exchanges[0].whole, found.exchanges[0].left) == (False, True)


@pytest.mark.parametrize(
    ("target", "request_body", "headers", "answer"),
    [
        ("/v1/responses", b'{"model":"m","input":[{"role":"user","content":"hi"}]}', SSE,
         events({"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "delta": "hello"})),
        ("/v1/chat/completions", b'{"model":"m","messages":[{"role":"user","content":"hi"}]}', SSE,
         [b'data: {"choices":[{"index":0,"delta":{"content":"hel"}}]}\n\n', b"data: [DONE]\n\n"]),
        ("/v1beta/models/g:generateContent", b'{"contents":[{"parts":[{"text":"hi"}]}]}', JSON,
         [b'{"candidates":[{"content":{"parts":[{"text":"hello"}]}}]}']),
        ("/v1/models", b"", JSON, [b'{"data":[]}']),
        ("/v1/messages", b"\xff\xfe no JSON", JSON, [b"\x00\xff"]),
    ],
)  # fmt: skip
def test_every_protocol_is_recorded(
    tmp_path: Path, target: str, request_body: bytes, headers: dict[str, str], answer: list[bytes]
) -> None:
    """OpenAI's and Gemini's shapes too, and what is no shape at all."""
    to = recorder(tmp_path)
    exchange(to, request_body, answer, headers=headers, at=("POST", target))
    (found,) = readable(tmp_path, to.close()).exchanges
    assert (found.target, found.answer) == (target, b"".join(answer))
    assert (found.body is None) == (not request_body)


# -- secrets ------------------------------------------------------------------------------------------------


def everything(path: Path) -> bytes:
    """All that a cassette holds, unpacked."""
    raw = path.read_bytes()
    for word in raw.replace(b'"', b" ").split():
        try:
            raw += unpack(word.decode())
        except (ValueError, zlib.error):
            continue
    return raw


@CALM
@given(cut=st.integers(1, len(KEY) - 1), place=st.sampled_from(["body", "system", "answer", "tool", "whole", "header"]))
def test_no_secret_gets_in(tmp_path_factory: pytest.TempPathFactory, cut: int, place: str) -> None:
    """Not in a request, not in an answer, not where an answer cuts it in two, not in a header; nor the run's token."""
    folder = tmp_path_factory.mktemp("tape")
    to = recorder(folder)
    given_body, answer, headers, asked = body("hi"), says("ok"), SSE, ((b"x-api-key", TOKEN.encode()),)
    match place:
        case "body":
            given_body = body(f"the key is {KEY} and {TOKEN}")
        case "system":
            given_body = body("hi", system=[{"type": "text", "text": KEY}], metadata={"user": TOKEN})
        case "answer":
            answer = says("it is " + KEY[:cut], KEY[cut:] + " and " + TOKEN[:cut], TOKEN[cut:])
        case "tool":
            text = '{"command":"curl -H ' + KEY + '"}'
            deltas = [
                {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": part}}
                for part in (text[: cut + 10], text[cut + 10 :])
            ]
            answer = events(*deltas)
        case "whole":
            answer, headers = [b'{"content":[{"type":"text","text":"' + KEY.encode() + b'"}]}'], JSON
        case _:
            headers, asked = (
                {**SSE, "x-note": KEY},
                ((b"anthropic-note", KEY.encode()), (b"authorization", TOKEN.encode())),
            )
    exchange(to, given_body, answer, headers=headers, asked=asked)
    call(to, f"echo {KEY} {TOKEN}")
    to.close()
    held = everything(folder / NAME)
    assert KEY.encode() not in held
    assert TOKEN.encode() not in held
    if place in ("answer", "tool"):
        assert KEY[-12:].encode() not in held


def test_an_answer_that_lost_a_secret_says_so(tmp_path: Path) -> None:
    """Who hears it again does not hear the same."""
    to = recorder(tmp_path)
    exchange(to, body("hi"), says("the key: ", KEY))
    exchange(to, body("ho"), says("nothing"))
    call(to, f"echo {KEY}")
    found = readable(tmp_path, to.close())
    assert [e.redacted > 0 for e in found.exchanges] == [True, False]
    assert found.calls[0].redacted


@CALM
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), min_size=1, max_size=8))
def test_what_holds_no_secret_keeps_its_bytes(pieces: list[str]) -> None:
    """An answer in which nothing changes is the answer that came, byte for byte."""
    whole = b"".join(says(*pieces))
    assert rewritten(whole, SSE["content-type"], lambda text: text) == (whole, 0)


@CALM
@given(cut=st.lists(st.integers(0, 40), max_size=5))
def test_a_path_is_found_however_it_is_cut(cut: list[int]) -> None:
    """A text that comes in pieces is changed as one."""
    text = "look into /then/work/src/a.py and go on"
    at = [0, *sorted(min(c, len(text)) for c in cut), len(text)]
    pieces = [text[a:b] for a, b in pairwise(at)]
    new, count = rewritten(b"".join(says(*pieces)), SSE["content-type"], lambda t: t.replace("/then/work", "/now"))
    assert count == 1
    assert b"/then" not in new
    assert b"look into /now/src/a.py and go on" in new


# -- bounds -------------------------------------------------------------------------------------------------


def test_a_full_cassette_says_so(tmp_path: Path) -> None:
    """It records no more, names the reason and the setting, and what is in it is still sound."""
    to = recorder(tmp_path, most=6000)
    noise = random.Random(2)
    for _ in range(10):
        exchange(to, body("".join(noise.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=1500))), says("ok"))
    tape = to.close()
    found = readable(tmp_path, tape)
    assert 0 < len(found.exchanges) < 10
    assert "larger than 6000 bytes (`cassette.most`)" in found.missing == tape.missing
    assert (tmp_path / NAME).stat().st_size < 6000 + 1000


def test_a_disk_that_takes_no_more_ends_the_recording_only(tmp_path: Path) -> None:
    """What could not be written is said in the outcome; nobody gets an error."""
    to = recorder(tmp_path)
    exchange(to, body("one"), says("ok"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        exchange(to, body("two"), says("ok"))
        tape = to.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert tape.missing.startswith("it could not be written")


# -- touched ------------------------------------------------------------------------------------------------


def refused(folder: Path, data: bytes, tape: Tape | None) -> str:
    """Why a cassette of these bytes is refused; empty when it is read."""
    (folder / NAME).write_bytes(data)
    try:
        readable(folder, tape)
    except CassetteBroken as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, Tape]:
    """A sound cassette: its folder, its bytes, and what the outcome says of it."""
    folder = tmp_path_factory.mktemp("made")
    tape = sample(folder)
    return folder, (folder / NAME).read_bytes(), tape


@CALM
@given(data=st.data())
def test_a_flipped_bit_is_refused(made: tuple[Path, bytes, Tape], data: st.DataObject) -> None:
    """Any bit of any byte."""
    folder, sound, tape = made
    at, bit = data.draw(st.integers(0, len(sound) - 1)), data.draw(st.integers(0, 7))
    assert refused(folder, sound[:at] + bytes([sound[at] ^ (1 << bit)]) + sound[at + 1 :], tape)


@CALM
@given(data=st.data())
def test_a_cut_is_refused(made: tuple[Path, bytes, Tape], data: st.DataObject) -> None:
    """Any stretch of bytes taken out, at the end too."""
    folder, sound, tape = made
    start = data.draw(st.integers(0, len(sound) - 1))
    end = data.draw(st.integers(start + 1, len(sound)))
    assert refused(folder, sound[:start] + sound[end:], tape)


@CALM
@given(data=st.data())
def test_moved_doubled_and_foreign_lines_are_refused(made: tuple[Path, bytes, Tape], data: st.DataObject) -> None:
    """Lines in another order, a line twice, a line left out, a line of another cassette."""
    folder, sound, tape = made
    lines = sound.splitlines(keepends=True)
    how = data.draw(st.sampled_from(["swap", "double", "drop", "foreign"]))
    one, other = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
    touched = list(lines)
    if how == "swap":
        touched[one], touched[other] = touched[other], touched[one]
    elif how == "double":
        touched.insert(other, lines[one])
    elif how == "drop":
        del touched[one]
    else:
        other_folder = folder / "other"
        other_folder.mkdir(exist_ok=True)
        (other_folder / NAME).unlink(missing_ok=True)
        to = recorder(other_folder, run="t2.1.1")
        exchange(to, body("foreign"), says("foreign"))
        to.close()
        touched[one] = (other_folder / NAME).read_bytes().splitlines(keepends=True)[1]
    if touched != lines:
        assert refused(folder, b"".join(touched), tape)


def test_a_torn_end_is_told_from_tampering(made: tuple[Path, bytes, Tape]) -> None:
    """A warden that died leaves no word of how far its cassette goes: half a line is dropped, and the doubt is said."""
    folder, sound, _ = made
    assert refused(folder, sound[:-40], None) == ""
    found = readable(folder)
    assert len(found.exchanges) == 3
    assert found.missing == "it has no end"
    assert "warden died" in found.doubt


def test_another_runs_cassette_is_refused(made: tuple[Path, bytes, Tape]) -> None:
    """A file that was copied from elsewhere does not fit, however sound it is."""
    folder, sound, tape = made
    (folder / NAME).write_bytes(sound)
    with pytest.raises(CassetteBroken, match="comes from another file"):
        read(folder / NAME, "t9.1.1", tape)
    assert readable(folder, tape).opened.run == RUN


def test_no_cassette_is_told_as_such(tmp_path: Path) -> None:
    """The reason, and what makes one."""
    with pytest.raises(NoCassette, match=r"cassette\.record"):
        readable(tmp_path)


def test_redaction_is_the_same_each_time() -> None:
    """What was cleaned once is not changed by cleaning it again: a recorded request equals the replayed one."""
    without = Redactor((TOKEN,))
    text = f"password = '{KEY}' and {TOKEN}"
    assert without(without(text)) == without(text)
