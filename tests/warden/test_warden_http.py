"""The server that the box talks to: what it answers, and what it bears."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import h11
import pytest
import wire
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.warden.http import Exchange, Limits, Request, Response, close_stream

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def echo(request: Request, exchange: Exchange) -> Response:
    """Says what was asked."""
    said = f"{request.method} {request.target} ".encode() + request.body
    return Response(headers=((b"x-seen", b"yes"),), body=said)


def test_one_connection_carries_many_requests() -> None:
    """A connection is kept alive, and every request gets its own answer."""

    async def story() -> list[bytes]:
        async with wire.served(echo) as (port, _), wire.client(port) as client:
            return [(await client.ask("POST", f"/{n}", b"body")).body for n in range(3)]

    assert wire.run(story()) == [b"POST /0 body", b"POST /1 body", b"POST /2 body"]


def test_many_clients_at_once_get_their_own_answers() -> None:
    """A hundred connections with five requests each don't mix."""

    async def one(port: int, name: int) -> bool:
        async with wire.client(port) as client:
            answers = [(await client.ask("POST", f"/{name}/{n}", b"%d" % name)).body for n in range(5)]
        return answers == [b"POST /%d/%d %d" % (name, n, name) for n in range(5)]

    async def story() -> list[bool]:
        async with wire.served(echo) as (port, _):
            return await asyncio.gather(*(one(port, name) for name in range(100)))

    assert all(wire.run(story()))


def test_a_piece_arrives_before_the_next_one_exists() -> None:
    """What a handler sends is at the client while the handler still works on the rest."""

    async def story() -> list[bytes]:
        arrived = [asyncio.Event() for _ in range(3)]

        async def handler(request: Request, exchange: Exchange) -> None:
            await exchange.start(200, [])
            for n, event in enumerate(arrived):
                await exchange.send(b"piece %d" % n)
                await event.wait()
            await exchange.finish()

        got: list[bytes] = []
        async with wire.served(handler) as (port, _), wire.client(port) as client:
            await client.begin("GET", "/")
            async for piece in client.pieces():
                got.append(piece)
                arrived[len(got) - 1].set()
        return got

    assert wire.run(story()) == [b"piece 0", b"piece 1", b"piece 2"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nbad header: 1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nbad: a\x00b\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1000\r\n" + b"x" * 0x1000 + b"\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"x" * 200_000, b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
    ],
)
def test_what_is_no_request_is_refused(sent: bytes, status: bytes) -> None:
    """Malformed and oversized requests get a refusal, and never reach the handler."""
    reached: list[Request] = []

    async def handler(request: Request, exchange: Exchange) -> Response:
        reached.append(request)
        return Response()

    async def story() -> bytes:
        async with wire.served(handler, Limits(body=1000)) as (port, _):
            async with wire.connected(port) as (reader, writer):
                writer.write(sent)
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return await reader.read()

    answer = wire.run(story())
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert not reached


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([GET, GET[:9], b"\r\n", b"POST /a HTTP/1.0\r\n"]))))
def test_whatever_is_sent_the_next_client_is_served(pieces: list[bytes]) -> None:
    """No bytes break the server for others, and none leave anything behind."""

    async def story() -> bytes:
        async with wire.served(echo) as (port, _):
            async with wire.connected(port) as (reader, writer):
                writer.write(b"".join(pieces))
                writer.write_eof()
                with contextlib.suppress(OSError):
                    await reader.read()
            async with wire.client(port) as client:
                return (await client.ask("GET", "/next")).body

    assert wire.run(story()) == b"GET /next "


def test_a_chunked_body_is_put_together() -> None:
    """Chunks are one body."""
    sent = (
        b"POST /c HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n"
    )

    async def story() -> bytes:
        async with wire.served(echo) as (port, _):
            return await wire.say(port, sent)

    assert wire.run(story()).endswith(b"POST /c abcde")


def test_requests_sent_ahead_are_answered_in_order() -> None:
    """Pipelining works."""

    async def story() -> bytes:
        async with wire.served(echo) as (port, _):
            last = b"GET /2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            return await wire.say(port, GET + b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\n" + last)

    said = wire.run(story())
    assert said.count(b"HTTP/1.1 200") == 3
    assert said.index(b"GET / ") < said.index(b"GET /1 ") < said.index(b"GET /2 ")


def test_a_client_that_waits_for_leave_gets_it() -> None:
    """`Expect: 100-continue` is answered before the body is sent."""

    async def story() -> tuple[bytes, bytes]:
        async with wire.served(echo) as (port, _), wire.connected(port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
            leave = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"ok")
            return leave, await reader.readuntil(b"\r\n\r\n")

    leave, answer = wire.run(story())
    assert (leave.startswith(b"HTTP/1.1 100"), answer.startswith(b"HTTP/1.1 200")) == (True, True)


def test_head_has_no_body() -> None:
    """HEAD gets the headers of the answer alone, and the connection stays in step."""

    async def story() -> tuple[bytes, bytes]:
        async with wire.served(echo) as (port, _), wire.client(port) as client:
            head = await client.ask("HEAD", "/h")
            return head.body + head.headers[b"content-length"], (await client.ask("GET", "/g")).body

    assert wire.run(story()) == (b"8", b"GET /g ")


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"GET / HT", b"HTTP/1.1 408"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx", b"HTTP/1.1 408"),
    ],
)
def test_slow_clients_lose_their_connection(sent: bytes, answer: bytes) -> None:
    """A request must arrive within its time; a connection that never says anything is closed without a word."""

    async def story() -> bytes:
        async with wire.served(echo, Limits(arrives_s=0.05, idle_s=0.05)) as (port, _):
            return await wire.say(port, sent)

    said = wire.run(story())
    assert said.startswith(answer)
    assert bool(said) == bool(answer)


def test_a_client_that_drips_is_cut_off() -> None:
    """Single bytes now and then don't buy more time."""

    async def story() -> bytes:
        async with wire.served(echo, Limits(arrives_s=0.2)) as (port, _), wire.connected(port) as (reader, writer):
            reading = asyncio.ensure_future(reader.read())
            while not reading.done():
                writer.write(b"G")
                await asyncio.wait([reading], timeout=0.02)
            return await reading

    assert wire.run(story()).startswith(b"HTTP/1.1 408")


def test_a_client_that_does_not_read_is_cut_off() -> None:
    """An answer that nobody takes ends the handler."""

    async def story() -> type[BaseException]:
        failed: asyncio.Future[type[BaseException]] = asyncio.get_running_loop().create_future()

        async def handler(request: Request, exchange: Exchange) -> None:
            await exchange.start(200, [])
            try:
                while True:
                    await exchange.send(b"x" * 65536)
            except BaseException as error:
                failed.set_result(type(error))
                raise

        async with wire.served(handler, Limits(stall_s=0.1)) as (port, _), wire.connected(port) as (_, writer):
            writer.write(GET)
            return await failed

    assert wire.run(story()) is TimeoutError


def test_too_many_connections_are_turned_away() -> None:
    """Beyond the bound there is a 503; those within it go on, and a place that gets free is given again."""

    async def story() -> tuple[bytes, bytes, bytes]:
        async with wire.served(echo, Limits(connections=2)) as (port, server):
            async with wire.client(port) as first:
                async with wire.client(port) as second:
                    await second.ask("GET", "/")
                    await first.ask("GET", "/")
                    turned_away = await wire.say(port, b"")
                    held = (await first.ask("GET", "/still")).body
                await wire.until(lambda: server.connections == 1)
                async with wire.client(port) as third:
                    return turned_away, held, (await third.ask("GET", "/third")).body

    turned_away, held, third = wire.run(story())
    assert turned_away.startswith(b"HTTP/1.1 503")
    assert (held, third) == (b"GET /still ", b"GET /third ")


def test_bodies_share_a_bounded_memory() -> None:
    """Bodies that are held at once are refused beyond the bound; memory that gets free serves again."""

    async def story() -> tuple[bytes, bytes, int]:
        async with wire.served(echo, Limits(held=1000)) as (port, server):
            async with wire.connected(port) as (reader, writer):
                writer.write(
                    b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 900\r\n\r\n" + b"a" * 899
                )
                await wire.until(lambda: server.held == 899)
                refused = await wire.say(
                    port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200\r\n\r\n" + b"b" * 200
                )
                writer.write(b"a")
                served = await reader.read()
            return refused, served, server.held

    refused, served, held = wire.run(story())
    assert (refused[:12], served[:12], held) == (b"HTTP/1.1 503", b"HTTP/1.1 200", 0)


def test_a_body_is_let_go_once_it_is_answered() -> None:
    """One connection may send more than the bound in all, one body after another."""

    async def story() -> list[int]:
        async with wire.served(echo, Limits(held=1000)) as (port, _), wire.client(port) as client:
            return [(await client.ask("POST", "/", b"x" * 600)).status for _ in range(3)]

    assert wire.run(story()) == [200, 200, 200]


def test_a_client_that_leaves_ends_its_handler() -> None:
    """Nobody works on for a client that has gone."""

    async def story() -> bool:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def handler(request: Request, exchange: Exchange) -> Response:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return Response()

        async with wire.served(handler) as (port, _):
            async with wire.connected(port) as (_, writer):
                writer.write(GET)
                await begun.wait()
            return await ended.wait()

    assert wire.run(story())


def test_closing_ends_every_connection() -> None:
    """close() ends idle connections, unfinished requests and unfinished answers, and nobody gets in any more."""

    async def story() -> tuple[list[bytes], bool]:
        begun = asyncio.Event()

        async def handler(request: Request, exchange: Exchange) -> None:
            await exchange.start(200, [(b"content-length", b"100")])
            await exchange.send(b"half")
            begun.set()
            await asyncio.Event().wait()

        async with wire.served(handler) as (port, server):
            async with (
                wire.connected(port) as (idle, _),
                wire.connected(port) as (torn, torn_writer),
                wire.connected(port) as (answered, writer),
            ):
                torn_writer.write(b"GET / HT")
                writer.write(GET)
                await begun.wait()
                await answered.readuntil(b"half")
                await wire.until(lambda: server.connections == 3)
                await server.close()
                await server.close()
                rest = [await _all(reader) for reader in (idle, torn, answered)]
            try:
                await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return rest, True
            return rest, False

    assert wire.run(story()) == ([b"", b"", b""], True)


def test_a_connection_that_has_just_come_is_ended_too() -> None:
    """Also one that nobody has begun to serve: its client is not left hanging, and nothing stays open."""

    async def story() -> bytes:
        async with wire.served(_never) as (port, server):
            coming = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", port))
            await wire.until(lambda: server.connections == 1)
            await server.close()
            reader, writer = await coming
            try:
                return await _all(reader)
            finally:
                await close_stream(writer, now=True)

    assert wire.run(story()) == b""


async def _never(request: Request, exchange: Exchange) -> None:
    raise AssertionError((request, exchange))


async def _all(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def test_a_handler_that_fails_cuts_its_connection_and_is_reported() -> None:
    """An error in a handler is not an answer; the event loop hears of it, and others are served on."""

    async def handler(request: Request, exchange: Exchange) -> Response:
        if request.target == "/bad":
            raise RuntimeError("a bug")
        return Response(body=b"fine")

    async def story() -> tuple[bytes, bytes, list[str]]:
        reported: list[str] = []

        def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            reported.append(repr(context["exception"]))

        asyncio.get_running_loop().set_exception_handler(report)
        async with wire.served(handler) as (port, _):
            async with wire.connected(port) as (reader, writer):
                writer.write(b"GET /bad HTTP/1.1\r\nhost: x\r\n\r\n")
                bad = await _all(reader)
            async with wire.client(port) as client:
                return bad, (await client.ask("GET", "/good")).body, reported

    assert wire.run(story()) == (b"", b"fine", ["RuntimeError('a bug')"])


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_cut_answer_can_be_told_from_a_whole_one(version: bytes) -> None:
    """After cut() no client takes what it has for the whole: 1.1 misses the last chunk, 1.0 gets a reset."""

    async def story() -> str:
        begun = asyncio.Event()

        async def handler(request: Request, exchange: Exchange) -> None:
            await exchange.start(200, [])
            await exchange.send(b"half")
            await begun.wait()
            await exchange.cut()

        async with wire.served(handler) as (port, _), wire.connected(port) as (reader, writer):
            writer.write(b"GET / HTTP/%s\r\nhost: x\r\n\r\n" % version)
            got = await reader.readuntil(b"half")
            begun.set()
            try:
                got += await reader.read()
            except ConnectionResetError:
                return "reset"
            http = h11.Connection(h11.CLIENT)
            http.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
            http.receive_data(got)
            http.receive_data(b"")
            try:
                while not isinstance(http.next_event(), h11.EndOfMessage):
                    pass
            except h11.RemoteProtocolError:
                return "not whole"
            return "whole"

    assert wire.run(story()) == {b"1.0": "reset", b"1.1": "not whole"}[version]


def test_a_tunnel_carries_what_came_early_and_what_comes_later() -> None:
    """After CONNECT bytes go both ways as they are, also those that came with the request."""

    async def handler(request: Request, exchange: Exchange) -> None:
        early, reader, writer = await exchange.tunnel()
        writer.write(request.target.encode() + b" " + early)
        while data := await reader.read(100):
            writer.write(data.upper())

    async def story() -> tuple[bytes, bytes]:
        async with wire.served(handler) as (port, _), wire.connected(port) as (reader, writer):
            writer.write(b"CONNECT h:443 HTTP/1.1\r\nhost: h\r\n\r\n\x00early")
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"\x00early")
            writer.write(b"\xfflater")
            writer.write_eof()
            return head, await reader.read()

    head, rest = wire.run(story())
    assert (head.startswith(b"HTTP/1.1 200"), b"transfer-encoding" in head.lower(), rest) == (True, False, b"\xffLATER")


def test_small_pieces_are_not_held_back() -> None:
    """Each connection sends at once (TCP_NODELAY), wherever its listener was made: a held piece costs 40 ms."""

    async def story() -> int:
        seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def handler(request: Request, exchange: Exchange) -> None:
            _, _, writer = await exchange.tunnel()
            seen.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        async with wire.served(handler) as (port, _):
            await wire.say(port, b"CONNECT h:443 HTTP/1.1\r\nhost: h\r\n\r\n")
        return await seen

    assert wire.run(story()) == 1
