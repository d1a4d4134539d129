"""The model gateway: what passes, whose key it carries, and that bytes stay as they are."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import certificates
import h11
import pytest
import wire

from overnight.errors import SettingsInvalid
from overnight.ports import Route
from overnight.warden.events import Event, Exchanged
from overnight.warden.gateway import Gateway, Patience
from overnight.warden.http import Exchange, Request, Response

KEY = "sk-real-0123456789"
TOKEN = "overnight-dummy"
ALLOWED = (("POST", r"/v1/messages"), ("GET", r"/v1/models(/[a-z]+)?"), ("HEAD", r"/"))


def route(port: int, *, base: str = "", scheme: str = "http", header: str = "x-api-key") -> Route:
    return Route(
        kind="gateway", upstream=f"{scheme}://127.0.0.1:{port}{base}", key_header=header, key_variable="MODEL_KEY",
        allowed=ALLOWED,
    )  # fmt: skip


class Model:
    """A model API that keeps what it is asked."""

    def __init__(self, answer: Response | None = None) -> None:
        self.asked: list[Request] = []
        self._answer = answer or Response.json(200, {"type": "message"})

    async def handle(self, request: Request, exchange: Exchange) -> Response:
        self.asked.append(request)
        return self._answer


@asynccontextmanager
async def gateway(port: int, log: wire.Log, **options: Any) -> AsyncGenerator[int]:
    """A gateway to the model API at a port; yields its own."""
    given = options.pop("route", None) or route(port)
    async with wire.served(Gateway(given, TOKEN, KEY, log, **options).handle) as (own, _):
        yield own


@asynccontextmanager
async def asked(log: wire.Log, model: Model, **options: Any) -> AsyncGenerator[wire.Client]:
    """A client of a gateway to this model."""
    async with wire.served(model.handle) as (port, _), gateway(port, log, **options) as own, wire.client(own) as client:
        yield client


def exchanged(events: list[Event]) -> list[Exchanged]:
    assert all(isinstance(event, Exchanged) for event in events)
    return [event for event in events if isinstance(event, Exchanged)]


def error_of(answer: wire.Answer) -> tuple[int, str]:
    said = json.loads(answer.body)
    assert said["type"] == "error"
    assert said["error"]["message"]
    return answer.status, said["error"]["type"]


@pytest.mark.parametrize("offer", [{"x_api_key": TOKEN}, {"authorization": f"Bearer {TOKEN}"},
                                   {"x_api_key": TOKEN, "authorization": f"bearer {TOKEN}"}])  # fmt: skip
def test_the_dummy_goes_in_and_the_key_comes_out(offer: dict[str, str]) -> None:
    """The model API gets the key once, and never the dummy; body, query and other headers are as they were."""
    log, model = wire.Log(), Model()

    async def story() -> wire.Answer:
        async with asked(log, model) as client:
            return await client.ask("POST", "/v1/messages?beta=true", b'{"a": 1}', anthropic_version="2023", **offer)

    answer = wire.run(story())
    (request,) = model.asked
    assert (answer.status, answer.body) == (200, b'{"type": "message"}')
    assert (request.method, request.target, request.body) == ("POST", "/v1/messages?beta=true", b'{"a": 1}')
    assert request.values(b"x-api-key") == (KEY.encode(),)
    assert request.values(b"authorization") == ()
    assert request.values(b"anthropic-version") == (b"2023",)
    assert TOKEN.encode() not in b"".join(value for _, value in request.headers)


def test_each_exchange_is_one_event() -> None:
    """Method, path without its query, status, times and sizes; one for each, in order, on one connection."""
    log, model = wire.Log(), Model()

    async def story() -> list[Event]:
        async with asked(log, model) as client:
            await client.ask("POST", "/v1/messages?secret=1", b"12345", x_api_key=TOKEN)
            await client.ask("GET", "/v1/models/opus", x_api_key=TOKEN)
            await client.ask("HEAD", "/", x_api_key=TOKEN)
            return await log.reaches(3)

    first, second, third = exchanged(wire.run(story()))
    assert (first.method, first.path, first.status, first.sent, first.received) == ("POST", "/v1/messages", 200, 5, 19)
    assert first.first_byte_ms is not None
    assert first.ms is not None
    assert 0 < first.first_byte_ms <= first.ms
    assert (second.path, third.method, third.status, third.received) == ("/v1/models/opus", "HEAD", 200, 0)


@pytest.mark.parametrize(
    "offer",
    [
        {},
        {"x_api_key": "wrong"},
        {"x_api_key": ""},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer wrong"},
        {"x_api_key": TOKEN, "authorization": "Bearer another"},
        {"x_api_key": TOKEN + "x"},
        {"x_goog_api_key": TOKEN},
    ],
)
def test_who_has_not_the_token_gets_nothing(offer: dict[str, str]) -> None:
    """Every credential that is offered has to be this run's token; the model API is not asked otherwise."""
    log, model = wire.Log(), Model()

    async def story() -> wire.Answer:
        async with asked(log, model) as client:
            await client.ask("HEAD", "/", b"", **offer)
            return await client.ask("POST", "/v1/messages", b"{}", **offer)

    assert error_of(wire.run(story())) == (401, "authentication_error")
    assert model.asked == []
    assert [event.refused for event in exchanged(log.events)] == ["this is not the run's token"] * 2


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1/files"),
        ("GET", "/v1/messages"),
        ("DELETE", "/v1/models/opus"),
        ("POST", "/v1/messages/"),
        ("POST", "/v1/messages/../files"),
        ("POST", "/v1/messages%2f..%2ffiles"),
        ("POST", "//v1/messages"),
        ("POST", "/v1/messages;x"),
        ("POST", "/v1/messages#?"),
        ("POST", "http://elsewhere/v1/messages"),
        ("CONNECT", "elsewhere:443"),
        ("OPTIONS", "*"),
        ("PRI", "/v1/messages"),
    ],
)
def test_only_what_the_route_lists_passes(method: str, target: str) -> None:
    """Other methods and paths are refused, however they are spelled."""
    log, model = wire.Log(), Model()

    async def story() -> wire.Answer:
        async with asked(log, model) as client:
            return await client.ask(method, target, x_api_key=TOKEN)

    assert error_of(wire.run(story())) == (403, "permission_error")
    assert model.asked == []
    assert exchanged(log.events)[0].status == 403


def test_headers_of_the_connection_or_of_an_identity_do_not_pass() -> None:
    """Hop-by-hop headers, also those that `Connection` names, cookies and every known way to say who asks stay here."""
    log, model = wire.Log(), Model()

    async def story() -> wire.Answer:
        async with asked(log, model) as client:
            return await client.ask(
                "GET", "/v1/models", x_api_key=TOKEN, connection="x-mine, keep-alive", x_mine="1", keep_alive="5",
                te="trailers", upgrade="h2c", cookie="a=b", proxy_authorization="x", api_key="y", x_goog_api_key="z",
                x_passes="yes",
            )  # fmt: skip

    assert wire.run(story()).status == 200
    names = sorted(name for name, _ in model.asked[0].headers)
    assert names == [b"accept-encoding", b"connection", b"host", b"x-api-key", b"x-passes"]
    assert model.asked[0].values(b"host")[0].startswith(b"127.0.0.1:")


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\nx: a\rx-api-key: evil\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\nx: a\x00b\r\n\r\n",
        b"POST /v1/messages?a=b%%0d HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\n x-folded: evil\r\n\r\n",
        b"POST /v1/messages HTTP/1.1 HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\n\r\n",
        b"POST /v1/messages\tHTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ],
)
def test_headers_can_not_be_smuggled(sent: bytes) -> None:
    """What two readers could understand in two ways does not pass."""
    log, model = wire.Log(), Model()

    async def story() -> bytes:
        async with wire.served(model.handle) as (port, _), gateway(port, log) as own:
            async with wire.connected(own) as (reader, writer):
                writer.write(sent % TOKEN.encode())
                writer.write_eof()
                return await reader.read()

    said = wire.run(story())
    assert said[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 401", b"HTTP/1.1 403", b"HTTP/1.1 501")
    assert model.asked == []


def test_a_second_request_in_the_body_stays_a_body() -> None:
    """Both lengths at once: the chunks count, and what follows is judged as a request of its own."""
    log, model = wire.Log(), Model()
    evil = b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ncontent-length: %d\r\ntransfer-encoding: chunked\r\n\r\n"

    async def story() -> bytes:
        async with wire.served(model.handle) as (port, _), gateway(port, log) as own:
            return await wire.say(own, head % (TOKEN.encode(), len(evil) + 5) + b"0\r\n\r\n" + evil)

    wire.run(story())
    assert [(request.target, request.body) for request in model.asked] in ([], [("/v1/messages", b"")])


def test_the_base_path_of_the_upstream_is_kept() -> None:
    """An upstream may live below a path; the list of the route speaks of what comes after it."""
    log, model = wire.Log(), Model()

    async def story() -> None:
        async with wire.served(model.handle) as (port, _):
            async with gateway(port, log, route=route(port, base="/llm/")) as own, wire.client(own) as client:
                await client.ask("POST", "/v1/messages", b"{}", x_api_key=TOKEN)

    wire.run(story())
    assert model.asked[0].target == "/llm/v1/messages"


def test_a_key_may_go_into_authorization() -> None:
    """Then it is a Bearer token, and the only one."""
    log, model = wire.Log(), Model()

    async def story() -> None:
        async with wire.served(model.handle) as (port, _):
            async with gateway(port, log, route=route(port, header="Authorization")) as own, wire.client(own) as client:
                await client.ask("POST", "/v1/messages", b"{}", authorization=f"Bearer {TOKEN}", x_api_key=TOKEN)

    wire.run(story())
    assert model.asked[0].values(b"authorization") == (f"Bearer {KEY}".encode(),)
    assert model.asked[0].values(b"x-api-key") == ()


def test_pieces_pass_one_by_one_before_the_model_has_finished() -> None:
    """A streamed answer is not gathered: each piece is here before the model says the next."""

    async def story() -> tuple[list[bytes], dict[bytes, bytes]]:
        arrived = [asyncio.Event() for _ in range(20)]

        async def model(request: Request, exchange: Exchange) -> None:
            await exchange.start(200, [(b"content-type", b"text/event-stream")])
            for n, event in enumerate(arrived):
                await exchange.send(b"event: ping\ndata: %d\n\n" % n)
                await event.wait()
            await exchange.finish()

        got: list[bytes] = []
        async with wire.served(model) as (port, _), gateway(port, wire.Log()) as own, wire.client(own) as client:
            head = await client.begin("POST", "/v1/messages", b"{}", x_api_key=TOKEN)
            async for piece in client.pieces():
                got.append(piece)
                arrived[len(got) - 1].set()
        return got, dict(head.headers)

    got, headers = wire.run(story())
    assert got == [b"event: ping\ndata: %d\n\n" % n for n in range(20)]
    assert headers[b"content-type"] == b"text/event-stream"


def test_many_requests_at_once_do_not_mix() -> None:
    """Forty clients at once, each with its own answer."""

    async def model(request: Request, exchange: Exchange) -> Response:
        return Response(body=request.body * 1000)

    async def one(own: int, n: int) -> bool:
        async with wire.client(own) as client:
            answers = [await client.ask("POST", "/v1/messages", b"<%d>" % n, x_api_key=TOKEN) for _ in range(5)]
        return all(answer.body == b"<%d>" % n * 1000 for answer in answers)

    async def story() -> list[bool]:
        async with wire.served(model) as (port, _), gateway(port, wire.Log()) as own:
            return await asyncio.gather(*(one(own, n) for n in range(40)))

    assert all(wire.run(story()))


def test_bodies_pass_unchanged() -> None:
    """Any bytes, compressed or not, large both ways."""
    data = bytes(range(256)) * 20_000

    async def model(request: Request, exchange: Exchange) -> Response:
        return Response(
            headers=((b"content-encoding", b"gzip"), (b"x-same", b"%d" % (request.body == data))), body=data
        )

    async def story() -> wire.Answer:
        async with wire.served(model) as (port, _), gateway(port, wire.Log()) as own, wire.client(own) as client:
            return await client.ask("POST", "/v1/messages", data, x_api_key=TOKEN, accept_encoding="gzip")

    answer = wire.run(story())
    assert (answer.body == data, answer.headers[b"x-same"], answer.headers[b"content-encoding"]) == (
        True,
        b"1",
        b"gzip",
    )


@pytest.mark.parametrize("status", [204, 304, 400, 429, 500, 529])
def test_the_models_own_status_passes(status: int) -> None:
    """Errors and empty answers of the model API are its own."""
    body = b"" if status in (204, 304) else b"{}"
    model = Model(Response(status=status, headers=((b"retry-after", b"3"),), body=body))

    async def story() -> wire.Answer:
        async with asked(wire.Log(), model) as client:
            await client.ask("POST", "/v1/messages", b"{}", x_api_key=TOKEN)
            return await client.ask("POST", "/v1/messages", b"{}", x_api_key=TOKEN)

    answer = wire.run(story())
    assert (answer.status, answer.headers[b"retry-after"], answer.body) == (status, b"3", body)


def test_a_model_that_refuses_connections_is_a_bad_gateway() -> None:
    """502 in the shape of the API's errors, and the same connection serves on."""
    log = wire.Log()
    closed = wire.listening()
    port = wire.port_of(closed)
    closed.close()

    async def story() -> list[wire.Answer]:
        async with gateway(port, log) as own, wire.client(own) as client:
            return [await client.ask("POST", "/v1/messages", b"{}", x_api_key=TOKEN) for _ in range(2)]

    assert [error_of(answer) for answer in wire.run(story())] == [(502, "api_error")] * 2
    assert [(event.status, event.refused) for event in exchanged(log.events)] == [
        (502, "the model API can't be reached: ConnectionRefusedError")
    ] * 2


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 20", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n"])
def test_a_model_that_says_nothing_sensible_is_a_bad_gateway(said: bytes) -> None:
    """Closed or nonsense before an answer: 502."""
    log = wire.Log()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)

    async def story() -> wire.Answer:
        async with wire.raw_server(talk) as port, gateway(port, log) as own, wire.client(own) as client:
            return await client.ask("GET", "/v1/models", x_api_key=TOKEN)

    assert error_of(wire.run(story())) == (502, "api_error")


def test_a_model_that_stays_silent_is_given_up() -> None:
    """Nobody waits for ever."""
    log = wire.Log()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def story() -> wire.Answer:
        async with wire.raw_server(talk) as port, gateway(port, log, patience=Patience(silence_s=0.05)) as own:
            async with wire.client(own) as client:
                return await client.ask("GET", "/v1/models", x_api_key=TOKEN)

    assert error_of(wire.run(story())) == (502, "api_error")
    assert exchanged(log.events)[0].refused == "the model API did not answer: TimeoutError"


@pytest.mark.parametrize(
    "head",
    [b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"content-length: 100\r\n\r\nhalf"],
    ids=["chunked", "length"],
)
def test_a_cut_answer_stays_cut(head: bytes) -> None:
    """What the model said so far arrives, then the cut: it never looks like a whole answer."""
    log = wire.Log()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head)
        await writer.drain()

    async def story() -> bytes:
        async with wire.raw_server(talk) as port, gateway(port, log) as own, wire.client(own) as client:
            await client.begin("GET", "/v1/models", x_api_key=TOKEN)
            pieces = client.pieces()
            got = await anext(pieces)
            with pytest.raises(h11.RemoteProtocolError):
                await anext(pieces)
            await log.reaches(1)
        return got

    assert wire.run(story()) == b"half"
    (event,) = exchanged(log.events)
    assert (event.status, event.received, event.cut) == (200, 4, "the model API broke off: RemoteProtocolError")


def test_a_client_that_leaves_aborts_the_model() -> None:
    """Nobody pays for an answer that nobody reads."""
    log = wire.Log()

    async def story() -> bool:
        aborted = asyncio.Event()

        async def model(request: Request, exchange: Exchange) -> None:
            await exchange.start(200, [])
            await exchange.send(b"first")
            try:
                await asyncio.Event().wait()
            finally:
                aborted.set()

        async with wire.served(model) as (port, _), gateway(port, log) as own:
            async with wire.client(own) as client:
                await client.begin("POST", "/v1/messages", b"{}", x_api_key=TOKEN)
                assert await anext(client.pieces()) == b"first"
            await aborted.wait()
            await log.reaches(1)
            return True

    assert wire.run(story())
    assert exchanged(log.events)[0].cut == "the agent left"


def test_an_early_answer_arrives_though_the_body_is_not_wanted() -> None:
    """A model API that refuses a large body before it has read it is heard, and the connection serves on."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await writer.drain()
        await asyncio.Event().wait()

    async def story() -> list[tuple[int, bytes]]:
        async with wire.raw_server(talk) as port, gateway(port, wire.Log()) as own, wire.client(own) as client:
            answers = [await client.ask("POST", "/v1/messages", b"x" * (30 << 20), x_api_key=TOKEN) for _ in range(2)]
        return [(answer.status, answer.body) for answer in answers]

    assert wire.run(story()) == [(413, b"big")] * 2


def test_tls_is_checked(certificate: certificates.Certificate) -> None:
    """https goes through with a certificate that is trusted, and is a bad gateway with one that is not."""
    model, trusting, doubting = Model(), wire.Log(), wire.Log()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER)
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(65536))
                if not http.trailing_data[0] and reader.at_eof():
                    return
        response = h11.Response(status_code=200, headers=[("content-length", "6")])
        for sent in (response, h11.Data(data=b"secure"), h11.EndOfMessage()):
            writer.write(http.send(sent) or b"")

    async def story() -> tuple[wire.Answer, wire.Answer]:
        async with wire.raw_server(forward, ssl=certificate.server()) as port:
            secure = route(port, scheme="https")
            async with gateway(port, trusting, route=secure, tls=certificate.client()) as own:
                async with wire.client(own) as client:
                    trusted = await client.ask("GET", "/v1/models", x_api_key=TOKEN)
            async with gateway(port, doubting, route=secure) as own, wire.client(own) as client:
                return trusted, await client.ask("GET", "/v1/models", x_api_key=TOKEN)

    trusted, doubted = wire.run(story())
    assert (trusted.status, trusted.body, model.asked) == (200, b"secure", [])
    assert error_of(doubted) == (502, "api_error")
    assert exchanged(doubting.events)[0].refused.endswith("SSLCertVerificationError")


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstream is what the route says, whatever the surroundings say."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    model = Model()

    async def story() -> int:
        async with asked(wire.Log(), model) as client:
            return (await client.ask("POST", "/v1/messages", b"{}", x_api_key=TOKEN)).status

    assert (wire.run(story()), len(model.asked)) == (200, 1)


def test_the_key_is_nowhere_but_on_its_way() -> None:
    """Not in events, errors, or what the gateway says of itself."""
    log, model = wire.Log(), Model()

    async def story() -> list[wire.Answer]:
        async with asked(log, model) as client:
            return [
                await client.ask("POST", "/v1/messages", b"{}", x_api_key=TOKEN),
                await client.ask("POST", "/v1/messages", b"{}", x_api_key="wrong"),
                await client.ask("POST", f"/{KEY[:3]}", b"{}", x_api_key=TOKEN),
            ]

    answers = wire.run(story())
    told = repr(log.events) + repr([(answer.headers, answer.body) for answer in answers])
    assert KEY not in told + repr(Gateway(route(1), TOKEN, KEY, log)) + repr(vars(Exchanged))
    for bad in (KEY + "\n", KEY + " x", KEY + "é"):
        with pytest.raises(SettingsInvalid) as raised:
            Gateway(route(1), TOKEN, bad, log)
        assert KEY not in str(raised.value) + repr(raised.value) + repr(raised.value.fields)
        assert "MODEL_KEY" in str(raised.value)


@pytest.mark.parametrize(
    ("given", "key", "token"),
    [
        (route(1), "", TOKEN),
        (route(1), KEY, ""),
        (Route(kind="gateway", upstream="ftp://x", key_header="x-api-key"), KEY, TOKEN),
        (Route(kind="gateway", upstream="https://", key_header="x-api-key"), KEY, TOKEN),
        (Route(kind="gateway", upstream="https://x:99999", key_header="x-api-key"), KEY, TOKEN),
        (Route(kind="gateway", upstream="https://u:p@x", key_header="x-api-key"), KEY, TOKEN),
        (Route(kind="gateway", upstream="https://x/?q", key_header="x-api-key"), KEY, TOKEN),
        (Route(kind="gateway", upstream="https://x/\r\n", key_header="x-api-key"), KEY, TOKEN),
        (Route(kind="gateway", upstream="https://x", key_header="x: y"), KEY, TOKEN),
    ],
)
def test_a_gateway_that_could_not_hold_is_not_made(given: Route, key: str, token: str) -> None:
    """Without key, token, header or upstream there is no gateway, rather than an open one."""
    with pytest.raises(SettingsInvalid):
        Gateway(given, token, key, wire.Log(), tls=ssl.create_default_context())
