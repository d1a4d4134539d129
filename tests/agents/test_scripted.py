"""The scripted model: what it sends, to whom, and how it fails on purpose."""

from __future__ import annotations

import asyncio
import gc
import http.client
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h11
import msgspec
import pytest
from msgspec import Struct

from overnight.agents.scripted import (
    Cut,
    Fail,
    Garble,
    Play,
    Reply,
    Say,
    Scenario,
    Script,
    Stall,
    Think,
    Use,
    dump,
    load,
    play,
    playing,
)

PARTS = (Think("Hm, so."), Say("Two words\nhere."), Use("Bash", {"command": "ls ü", "n": [1, {"a": None}]}))
PATIENCE = 60


class Answer(Struct, frozen=True):
    """A response, read whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        """The first block's text, or the error's message."""
        value = self.json
        return value["error"]["message"] if value["type"] == "error" else value["content"][0]["text"]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The server-sent events; each one's name is its data's type."""
        events: list[dict[str, Any]] = []
        for block in self.body.decode().removesuffix("\n\n").split("\n\n"):
            name, data = block.split("\n")
            value = msgspec.json.decode(data.removeprefix("data: "))
            assert name == f"event: {value['type']}"
            events.append(value)
        return events


def _send(url: str, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


async def send(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """One request on a connection of its own."""
    return await asyncio.to_thread(_send, url, method, path, body, headers)


async def ask(url: str, text: str = "Go.", session: str = "s1", stream: bool = False, **more: Any) -> Answer:
    """A request for an answer."""
    body = {"model": "m-1", "max_tokens": 100, "messages": [{"role": "user", "content": text}], "stream": stream}
    headers = {"x-claude-code-session-id": session}
    return await asyncio.to_thread(_send, url, "POST", "/v1/messages", msgspec.json.encode(body | more), headers)


def assembled(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a stream spells, put together as the API's reference says."""
    message: dict[str, Any] = {}
    partial: dict[int, str] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(event["content_block"])
            case "content_block_delta":
                delta, block = event["delta"], message["content"][event["index"]]
                if delta["type"] == "input_json_delta":
                    partial[event["index"]] = partial.get(event["index"], "") + delta["partial_json"]
                else:
                    key = delta["type"].removesuffix("_delta")
                    block[key] += delta[key]
            case "content_block_stop":
                if event["index"] in partial:
                    message["content"][event["index"]]["input"] = msgspec.json.decode(partial[event["index"]])
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
            case other:
                assert other in ("ping", "message_stop")
    assert events[-1] == {"type": "message_stop"}
    return message


@pytest.mark.parametrize("reply", [Reply(PARTS), Reply(), Reply((Say(""),)), Reply((Say("a"),), stop="max_tokens")])
def test_a_stream_spells_the_whole_answer(reply: Reply) -> None:
    """Put together, the events are the message that a request without a stream gets."""

    async def story() -> None:
        async with playing(play(reply, reply)) as (url, _):
            whole, streamed = await ask(url), await ask(url, stream=True)
        assert whole.headers["content-type"] == "application/json"
        assert streamed.headers["content-type"].startswith("text/event-stream")
        found, plain = assembled(streamed.events), whole.json
        blocks = [{k: v for k, v in b.items() if k != "id"} for b in found.pop("content")]
        assert blocks == [{k: v for k, v in b.items() if k != "id"} for b in plain.pop("content")]
        assert found.pop("id") != plain.pop("id")
        assert found == plain
        calls = any(isinstance(part, Use) for part in reply.parts)
        assert plain["stop_reason"] == (reply.stop or ("tool_use" if calls else "end_turn"))

    asyncio.run(story())


def test_a_scenario_is_chosen_by_the_first_words() -> None:
    """The first scenario whose text stands in the first user message answers; without one, the request is refused."""

    async def story() -> None:
        scenes = [Scenario((Script((Say(f"for {name}"),)),), name) for name in ("t-1", "t-2")]
        async with playing(Play(tuple(scenes))) as (url, _):
            blocks = [{"type": "text", "text": "a reminder"}, {"type": "text", "text": "Do t-2."}]
            assert (await ask(url, "Do t-1.", "a")).text == "for t-1"
            messages = [{"role": "user", "content": blocks}, {"role": "assistant", "content": "t-1"}]
            assert (await ask(url, session="b", messages=messages)).text == "for t-2"
            refused = await ask(url, "Do t-3.", "c")
        assert (refused.status, refused.text) == (400, "no scenario of the script matches the first user message")

    asyncio.run(story())


def test_each_session_takes_the_next_script() -> None:
    """Sessions go on in their own scripts at the same time; the last script serves all later sessions."""

    async def story() -> None:
        scripts = (Script((Say("a1"), Say("a2"))), Script((Say("b1"), Say("b2"))))
        async with playing(Play((Scenario(scripts),))) as (url, model):
            said = [(await ask(url, session=name)).text for name in ("x", "y", "x", "z", "y")]
            assert said == ["a1", "b1", "a2", "b1", "b2"]
            over = await ask(url, session="x")
            assert (over.status, "ended after 2 steps" in over.text) == (400, True)
        assert [record.session for record in model.asked] == ["x", "y", "x", "z", "y", "x"]

    asyncio.run(story())


def test_without_a_session_id_the_first_words_tell_sessions_apart() -> None:
    """A client that names no session is counted by its first user message."""

    async def story() -> None:
        async with playing(play(Say("one"), Say("two"))) as (url, _):
            body = msgspec.json.encode({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]})
            said = [(await send(url, "POST", "/v1/messages?beta=true", body)).text for _ in range(2)]
        assert said == ["one", "two"]

    asyncio.run(story())


def test_failures_come_as_scripted() -> None:
    """Status, type, headers and the number of times; then the script goes on."""

    async def story() -> None:
        limit = Fail(429, "slow down", headers={"retry-after": "3"}, times=2)
        async with playing(play(limit, Fail(418, type="odd_error"), Say("ok"))) as (url, _):
            answers = [await ask(url, stream=True) for _ in range(3)]
            last = await ask(url)
        assert [a.status for a in answers] == [429, 429, 418]
        assert answers[0].headers["retry-after"] == "3"
        assert answers[0].json["error"] == {"type": "rate_limit_error", "message": "slow down"}
        assert answers[2].json["error"]["type"] == "odd_error"
        assert last.text == "ok"

    asyncio.run(story())


def test_a_cut_breaks_the_connection() -> None:
    """The client has the head and no end."""

    async def story() -> None:
        async with playing(play(Cut())) as (url, _):
            with pytest.raises((ConnectionError, http.client.IncompleteRead)):
                await ask(url, stream=True)

    asyncio.run(story())


def test_garbage_comes_as_it_is() -> None:
    """Status 200 and the scripted body."""

    async def story() -> None:
        async with playing(play(Garble("data: {"))) as (url, _):
            answer = await ask(url, stream=True)
        assert (answer.status, answer.body) == (200, b"data: {")

    asyncio.run(story())


@pytest.mark.parametrize("midway", [False, True])
def test_a_stall_ends_when_released(midway: bool) -> None:
    """Nobody waits by the clock: the stall says when it is reached, and a release ends it."""

    async def story() -> None:
        async with playing(play(Stall("gate", Say("at last"), midway=midway))) as (url, model):
            waiting = asyncio.create_task(ask(url, stream=True))
            await asyncio.wait_for(model.reached("gate"), PATIENCE)
            assert not waiting.done()
            model.release("gate")
            answer = await waiting
        assert assembled(answer.events)["content"] == [{"type": "text", "text": "at last"}]

    asyncio.run(story())


def test_a_client_that_leaves_a_stall_is_forgotten() -> None:
    """Closing the server waits for nobody."""

    async def story() -> None:
        async with playing(play(Stall("gate", Say("never")))) as (url, model):
            reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
            body = msgspec.json.encode({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]})
            client = h11.Connection(h11.CLIENT)
            head = [("host", "x"), ("content-length", str(len(body)))]
            for event in (
                h11.Request(method="POST", target="/v1/messages", headers=head),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                writer.write(client.send(event) or b"")
            await asyncio.wait_for(model.reached("gate"), PATIENCE)
            writer.close()
            await writer.wait_closed()
            assert await reader.read() == b""

    asyncio.run(asyncio.wait_for(story(), PATIENCE))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"model":"m","max_tokens":1,"messages":[]}',
        b'{"model":1,"max_tokens":1,"messages":[{}]}',
    ],
)
def test_a_malformed_request_takes_no_step(body: bytes) -> None:
    """It is refused as the API does, kept, and the script waits for a good one."""

    async def story() -> None:
        async with playing(play(Say("ok"))) as (url, model):
            refused = await send(url, "POST", "/v1/messages", body)
            assert (refused.status, refused.json["error"]["type"]) == (400, "invalid_request_error")
            assert (len(model.requests), model.asked) == (1, [])
            assert (await ask(url)).text == "ok"

    asyncio.run(story())


def test_the_rest_of_the_api_takes_no_step() -> None:
    """Counting, listing and looking are answered; anything else is not found."""

    async def story() -> None:
        async with playing(play()) as (url, model):
            counted = await send(url, "POST", "/v1/messages/count_tokens", b'{"messages":[]}')
            listed = await send(url, "GET", "/v1/models?limit=10")
            looked = await send(url, "HEAD", "/")
            missing = await send(url, "GET", "/v1/secrets")
            assert counted.json["input_tokens"] > 0
            assert [each["type"] for each in listed.json["data"]] == ["model"]
            assert (looked.status, missing.status) == (200, 404)
            assert model.asked == []

    asyncio.run(story())


def test_one_connection_serves_many_requests() -> None:
    """Clients that keep their connection get every answer on it."""

    async def story() -> list[int]:
        async with playing(play(Reply(PARTS), Fail(500), Say("ok"))) as (url, _):
            return await asyncio.to_thread(on_one_connection, urlsplit(url).netloc)

    def on_one_connection(netloc: str) -> list[int]:
        connection = http.client.HTTPConnection(netloc, timeout=PATIENCE)
        question = {"model": "m", "max_tokens": 1, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        statuses: list[int] = []
        for _ in range(3):
            connection.request("POST", "/v1/messages", msgspec.json.encode(question))
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        connection.close()
        return statuses

    assert asyncio.run(story()) == [200, 500, 200]


# -- files and the process -----------------------------------------------------------------------------------

EVERYTHING = Play(
    (
        Scenario((Script((Reply(PARTS, {"input_tokens": 5}, {"a": "b"}, "refusal"), Say("x"))),), "t-1"),
        Scenario((Script((Fail(500), Cut(), Garble())), Script((Stall("n", Use("T", {}), midway=True),)))),
    )
)


def test_a_script_file_holds_everything() -> None:
    """Written and read again it is the same play."""
    assert load(dump(EVERYTHING)) == EVERYTHING


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"scenarios":[{"runs":[]}]}', r"length >= 1 - at `\$.scenarios\[0\].runs`"),
        (
            '{"scenarios":[{"runs":[{"steps":[{"do":"sing"}]}]}]}',
            r"'sing' - at `\$.scenarios\[0\].runs\[0\].steps\[0\]",
        ),
        ('{"scenarios":[{"runs":[{"steps":[{"do":"fail","status":200}]}]}]}', ">= 400"),
        ('{"scenes":[]}', "unknown field `scenes`"),
    ],
)
def test_a_bad_script_file_names_the_place(text: str, problem: str) -> None:
    """A file that can't be played is refused with where and why."""
    with pytest.raises(msgspec.ValidationError, match=problem):
        load(text.encode())


async def _process(*argv: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    module = (sys.executable, "-m", "overnight.agents.scripted")
    return await asyncio.create_subprocess_exec(*module, *argv, stdout=pipe, stderr=pipe)


def test_it_runs_as_a_process(tmp_path: Path) -> None:
    """It prints its URL, can be directed from outside, and ends well when asked."""
    script = tmp_path / "script.json"
    script.write_bytes(dump(play(Stall("gate", Say("hello")))))

    async def story() -> None:
        process = await _process("--port", "0", "--script", str(script))
        assert process.stdout is not None
        url = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode().strip()
        waiting = asyncio.create_task(ask(url))
        await send(url, "GET", "/_scripted/reached/gate")
        assert not waiting.done()
        await send(url, "POST", "/_scripted/release/gate")
        assert (await waiting).text == "hello"
        kept = (await send(url, "GET", "/_scripted/requests")).json
        assert [record["session"] for record in kept] == ["s1"]
        assert (await send(url, "GET", "/_scripted/nonsense")).status == 404
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        assert process.returncode == 0

    asyncio.run(story())


@pytest.mark.parametrize("content", [None, b"{", b'{"scenes":[]}'])
def test_the_process_refuses_a_bad_file(content: bytes | None, tmp_path: Path) -> None:
    """Code 2, and the file's name with what is wrong with it."""
    script = tmp_path / "script.json"
    if content is not None:
        script.write_bytes(content)

    async def story() -> None:
        process = await _process("--script", str(script))
        _, stderr = await process.communicate()
        assert process.returncode == 2
        assert str(script) in stderr.decode()

    asyncio.run(story())


@pytest.mark.parametrize("turns", range(8))
def test_a_client_that_comes_at_the_very_end_is_cut_off(turns: int) -> None:
    """Whatever stage its connection has reached when the model goes: it is closed, and nothing stays open."""

    async def story() -> bytes:
        async with playing(Play(())) as (url, _):
            coming = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", urlsplit(url).port))
            for _ in range(turns):
                await asyncio.sleep(0)
        try:
            reader, writer = await coming
        except ConnectionError:
            return b""
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)

    assert asyncio.run(asyncio.wait_for(story(), PATIENCE)) == b""
    gc.collect()
