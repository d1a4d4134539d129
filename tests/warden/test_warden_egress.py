"""The way out: who may be reached, and what is refused."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import certificates
import pytest
import wire
from hellos import hello, in_records

from overnight.warden.egress import Bounds, Egress, is_public
from overnight.warden.events import Left, Reached

HOSTS = ("allowed.test", "*.below.test")


class Names:
    """A resolver that answers from a table, one answer after another, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        if not self._answers:
            raise OSError("no such host")
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def is_loopback(address: str) -> bool:
    """For tests the loopback stands for the public."""
    return address == "127.0.0.1"


@asynccontextmanager
async def egress(log: wire.Log, port: int, names: Names, **options: Any) -> AsyncGenerator[int]:
    """A proxy that may reach one port of the loopback; yields its own port."""
    bounds = Bounds(ports=frozenset({port}), **options.pop("bounds", {}))
    options.setdefault("address_ok", is_loopback)
    proxy = Egress(HOSTS, log, bounds=bounds, resolver=names, **options)
    async with wire.served(proxy.handle) as (own, _):
        yield own


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says everything back in capitals, and that it heard the end."""
    while data := await reader.read(65536):
        writer.write(data.upper())
        await writer.drain()
    writer.write(b"END")
    await writer.drain()


async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str) -> bytes:
    """CONNECT; the head of the answer."""
    writer.write(f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n".encode())
    return await reader.readuntil(b"\r\n\r\n")


def refuse(request: bytes, names: Names | None = None, **options: Any) -> tuple[bytes, list[Reached]]:
    """What a proxy that must not connect answers to a request, and what it recorded. Port 443 is allowed."""
    log, names = wire.Log(), names or Names()

    async def story() -> bytes:
        async with egress(log, 443, names, **options) as own:
            async with wire.connected(own) as (reader, writer):
                writer.write(request)
                writer.write_eof()
                return await reader.read()

    answer = wire.run(story())
    return answer, [event for event in log.events if isinstance(event, Reached)]


def why(answer: bytes) -> str:
    assert answer.startswith(b"HTTP/1.1 403")
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_a_listed_host_is_reached_over_tls(certificate: certificates.Certificate) -> None:
    """A real TLS client talks to a real TLS server through the proxy; the decision and the bytes are on record."""
    log = wire.Log()

    async def serve_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()

    async def story() -> tuple[bytes, int]:
        async with wire.raw_server(serve_tls, ssl=certificate.server()) as port:
            async with egress(log, port, Names(["127.0.0.1"])) as own, wire.connected(own) as (reader, writer):
                await connect(reader, writer, f"allowed.test:{port}")
                await writer.start_tls(certificate.client(), server_hostname="allowed.test")
                writer.write(b"hello through the tunnel\n")
                said = await reader.readline()
                writer.close()
                await log.reaches(2)
                return said, port

    said, port = wire.run(story())
    reached, left = log.events
    assert said == b"HELLO THROUGH THE TUNNEL\n"
    assert reached == Reached(target=f"allowed.test:{port}", allowed=True)
    assert isinstance(left, Left)
    assert left.sent > 200
    assert left.received > 200


@pytest.mark.parametrize("name", ["a.below.test", "A.B.Below.Test", "allowed.test."])
def test_names_are_listed_exactly_or_below_a_suffix(name: str) -> None:
    """Case and a dot at the end don't matter; a tunnel carries bytes and each side's end."""
    log, names = wire.Log(), Names(["127.0.0.1"])
    sent = hello(name.removesuffix("."))

    async def story() -> bytes:
        async with wire.raw_server(upper) as port, egress(log, port, names) as own:
            async with wire.connected(own) as (reader, writer):
                await connect(reader, writer, f"{name}:{port}")
                writer.write(in_records(sent, 50) + b"more")
                writer.write_eof()
                said = await reader.read()
                await log.reaches(2)
                return said

    assert wire.run(story()) == in_records(sent, 50).upper() + b"MOREEND"
    assert len(names.asked) == 1


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("other.test:443", "not on the list"),
        ("below.test:443", "not on the list"),
        ("xallowed.test:443", "not on the list"),
        ("allowed.test.evil.test:443", "not on the list"),
        ("evilbelow.test:443", "not on the list"),
        ("..below.test:443", "not on the list"),
        ("-.below.test:443", "not on the list"),
        ("a_.b%00.below.test:443", "not on the list"),
        ("user@allowed.test:443", "not on the list"),
        ("*.below.test:443", "not on the list"),
        ("x" * 64 + ".below.test:443", "not on the list"),
        ("a." * 130 + "below.test:443", "not on the list"),
        (":443", "not on the list"),
        ("allowed.test", "port"),
        ("allowed.test:", "port"),
        ("allowed.test:80", "port"),
        ("allowed.test:22", "port"),
        ("allowed.test:0443x", "port"),
        ("allowed.test:+443", "port"),
        ("allowed.test:443443", "port"),
        ("127.0.0.1:443", "addresses"),
        ("127.1:443", "addresses"),
        ("2130706433:443", "addresses"),
        ("0x7f000001:443", "addresses"),
        ("0x7f.1:443", "addresses"),
        ("0177.0.0.1:443", "addresses"),
        ("127.0.0.1.:443", "addresses"),
        ("[::1]:443", "addresses"),
        ("::1:443", "addresses"),
        ("[::ffff:127.0.0.1]:443", "addresses"),
        ("[::ffff:7f00:1]:443", "addresses"),
        ("[fe80::1%25eth0]:443", "addresses"),
        ("169.254.169.254:443", "addresses"),
        ("8.8.8.8:443", "addresses"),
    ],
)
def test_other_targets_are_refused(target: str, reason: str) -> None:
    """403 with the reason, on record, without asking for an address."""
    names = Names(["127.0.0.1"])
    answer, recorded = refuse(f"CONNECT {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode(), names)
    assert reason in why(answer)
    assert names.asked == []
    ((target_told, allowed),) = [(event.target, event.allowed) for event in recorded]
    assert (target_told, allowed) == (target, False)


@pytest.mark.parametrize(
    "named", ["other.test", "other.test:443", "allowed.test:80", "allowed.test.evil.test", "127.0.0.1", "x"]
)
def test_the_host_header_must_agree(named: str) -> None:
    """What a request says twice, it says alike; nobody is asked for an address otherwise."""
    names = Names(["127.0.0.1"])
    answer, recorded = refuse(f"CONNECT allowed.test:443 HTTP/1.1\r\nhost: {named}\r\n\r\n".encode(), names)
    assert "names another host" in why(answer)
    assert names.asked == []
    assert [event.allowed for event in recorded] == [False]


@pytest.mark.parametrize(
    "request_",
    [b"CONNECT allowed.test:443 HTTP/1.0\r\n\r\n", b"CONNECT Allowed.Test.:443 HTTP/1.1\r\nHost: ALLOWED.test\r\n\r\n"],
)
def test_a_host_header_in_other_letters_or_none_agrees(request_: bytes) -> None:
    """Case, a dot at the end and a missing port make no difference; HTTP/1.0 has no such header. The next question comes."""
    answer, _ = refuse(request_, Names())
    assert "no address" in why(answer)


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_plain_http_is_refused(method: str) -> None:
    """Also to a listed host."""
    answer, recorded = refuse(f"{method} http://allowed.test:443/ HTTP/1.1\r\nhost: allowed.test\r\n\r\n".encode())
    assert "only CONNECT" in why(answer)
    assert [event.allowed for event in recorded] == [False]


REBOUND = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "192.88.99.1", "::1", "::", "fe80::1", "fe80::1%eth0",
    "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::7f00:1",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::1", "2001:db8::1", "3fff::1",
    "5f00::1", "nonsense", "",
]  # fmt: skip


@pytest.mark.parametrize("address", REBOUND)
def test_a_listed_name_that_leads_inside_is_refused(address: str) -> None:
    """Whatever the name's owner makes it resolve to, this machine and its neighbourhood are not reached."""
    answer, recorded = refuse(
        b"CONNECT allowed.test:443 HTTP/1.1\r\nhost: allowed.test:443\r\n\r\n", Names([address]), address_ok=is_public
    )
    assert "no public address" in why(answer)
    assert [event.allowed for event in recorded] == [False]


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808"])
def test_public_addresses_are_public(address: str) -> None:
    """The other side of the rule: what is somebody's out there, also through NAT64."""
    assert is_public(address)


def test_a_name_without_an_address_is_refused() -> None:
    """Said as such."""
    answer, _ = refuse(b"CONNECT allowed.test:443 HTTP/1.1\r\nhost: allowed.test:443\r\n\r\n", Names())
    assert "has no address" in why(answer)


def test_the_systems_names_are_judged_too() -> None:
    """With the real resolver and the real rule, a listed name for this machine itself is refused."""
    log = wire.Log()

    async def story() -> bytes:
        async with wire.served(Egress(["localhost"], log).handle) as (own, _):
            return await wire.say(own, b"CONNECT localhost:443 HTTP/1.0\r\n\r\n")

    assert "no public address" in why(wire.run(story()))
    assert len(log.events) == 1


def test_what_was_judged_is_what_is_reached() -> None:
    """The name is resolved once: a second answer that leads elsewhere is never asked for."""
    log, names = wire.Log(), Names(["10.1.1.1", "127.0.0.1"], ["10.9.9.9"])

    async def story() -> bytes:
        async with wire.raw_server(upper) as port, egress(log, port, names) as own:
            async with wire.connected(own) as (reader, writer):
                await connect(reader, writer, f"allowed.test:{port}")
                writer.write(hello("allowed.test"))
                writer.write_eof()
                return await reader.read()

    assert wire.run(story()).endswith(b"END")
    assert len(names.asked) == 1


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (hello("other.test"), "TLS names 'other.test'"),
        (hello("a.below.test"), "TLS names 'a.below.test'"),
        (hello("allowed.test.evil.test"), "TLS names 'allowed.test.evil.test'"),
        (hello(None), "TLS names no host"),
        (b"GET / HTTP/1.1\r\nhost: allowed.test\r\n\r\n", "not TLS"),
        (b"SSH-2.0-x\r\n", "not TLS"),
        (hello("allowed.test")[:-1], "no TLS hello came"),
        (b"", "no TLS hello came"),
    ],
    ids=["other", "listed-too", "longer", "none", "http", "ssh", "torn", "nothing"],
)
def test_only_tls_for_the_same_host_goes_through(sent: bytes, reason: str) -> None:
    """The tunnel is closed without a byte to the host, which is not even called; on record."""
    log = wire.Log()
    called: list[bool] = []

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(True)

    async def story() -> bytes:
        async with wire.raw_server(never) as port, egress(log, port, Names(["127.0.0.1"])) as own:
            async with wire.connected(own) as (reader, writer):
                await connect(reader, writer, f"allowed.test:{port}")
                writer.write(sent)
                writer.write_eof()
                return await reader.read()

    assert (wire.run(story()), called) == (b"", [])
    (event,) = log.events
    assert isinstance(event, Reached)
    assert reason in event.why
    assert not event.allowed


def test_a_tunnel_that_says_nothing_is_closed() -> None:
    """A hello has to come in time."""
    log = wire.Log()

    async def story() -> bytes:
        async with egress(log, 443, Names(["127.0.0.1"]), bounds={"hello_s": 0.05}) as own:
            async with wire.connected(own) as (reader, writer):
                await connect(reader, writer, "allowed.test:443")
                writer.write(hello("allowed.test")[:20])
                return await reader.read()

    assert wire.run(story()) == b""
    assert [getattr(event, "why", "") for event in log.events] == ["no TLS hello came"]


def test_a_tunnel_that_stands_still_is_closed() -> None:
    """Nothing in either direction for the bound: both ends are closed, and the record says why."""
    log = wire.Log()

    async def story() -> tuple[bytes, bytes]:
        ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            data = b""
            try:
                while more := await reader.read(65536):
                    data += more
            except OSError:
                data += b"!"
            ended.set_result(data[-1:])

        async with wire.raw_server(listen) as port:
            async with egress(log, port, Names(["127.0.0.1"]), bounds={"idle_s": 0.05}) as own:
                async with wire.connected(own) as (reader, writer):
                    await connect(reader, writer, f"allowed.test:{port}")
                    writer.write(hello("allowed.test") + b"x")
                    said = await reader.read()
                    await log.reaches(2)
                    return said, await ended

    said, heard = wire.run(story())
    assert (said, heard in (b"x", b"!")) == (b"", True)
    assert isinstance(log.events[1], Left)
    assert log.events[1].why == "it stood still"


@pytest.mark.slow
def test_a_tunnel_in_which_something_moves_stays_open() -> None:
    """The bound is about standing still, not about how long a tunnel may be open."""
    log = wire.Log()

    async def story() -> bool:
        loop = asyncio.get_running_loop()
        async with wire.raw_server(upper) as port:
            async with egress(log, port, Names(["127.0.0.1"]), bounds={"idle_s": 1.5}) as own:
                async with wire.connected(own) as (reader, writer):
                    await connect(reader, writer, f"allowed.test:{port}")
                    sent = hello("allowed.test")
                    writer.write(sent)
                    await reader.readexactly(len(sent))
                    end = loop.time() + 2.0
                    while loop.time() < end:
                        writer.write(b"x")
                        assert await reader.readexactly(1) == b"X"
                    return True

    assert wire.run(story())


def test_a_host_that_can_not_be_reached_is_on_record() -> None:
    """Every address is tried; then the tunnel is closed."""
    log = wire.Log()
    closed = wire.listening()
    port = wire.port_of(closed)
    closed.close()

    async def story() -> bytes:
        async with egress(log, port, Names(["127.0.0.1"])) as own, wire.connected(own) as (reader, writer):
            await connect(reader, writer, f"allowed.test:{port}")
            writer.write(hello("allowed.test"))
            return await reader.read()

    assert wire.run(story()) == b""
    (event,) = log.events
    assert isinstance(event, Reached)
    assert (event.allowed, event.why) == (False, "127.0.0.1 can't be reached: ConnectionRefusedError")


def test_the_next_address_is_tried() -> None:
    """An address that does not answer does not keep the host from being reached."""
    log = wire.Log()

    async def story() -> bytes:
        async with wire.raw_server(upper) as port:
            names = Names(["127.0.0.2", "127.0.0.1"])
            async with egress(log, port, names, address_ok=bool) as own:
                async with wire.connected(own) as (reader, writer):
                    await connect(reader, writer, f"allowed.test:{port}")
                    writer.write(hello("allowed.test"))
                    writer.write_eof()
                    return await reader.read()

    assert wire.run(story()).endswith(b"END")


def test_many_tunnels_carry_much_at_once() -> None:
    """Twenty tunnels with half a megabyte each way, unmixed and unchanged."""
    log = wire.Log()
    greeting = hello("allowed.test")

    async def one(own: int, port: int, n: int) -> bool:
        data = bytes([97 + n]) * 500_000
        async with wire.connected(own) as (reader, writer):
            await connect(reader, writer, f"allowed.test:{port}")
            writer.write(greeting + data)
            writer.write_eof()
            return await reader.read() == greeting.upper() + data.upper() + b"END"

    async def story() -> list[bool]:
        async with wire.raw_server(upper) as port, egress(log, port, Names(["127.0.0.1"])) as own:
            fine = await asyncio.gather(*(one(own, port, n) for n in range(20)))
            await log.reaches(40)
            return fine

    assert all(wire.run(story()))
    left = [event for event in log.events if isinstance(event, Left)]
    assert {(event.sent, event.received) for event in left} == {
        (len(greeting) + 500_000, len(greeting) + 500_000 + len(b"END"))
    }


def test_closing_the_proxy_ends_its_tunnels() -> None:
    """No tunnel outlives the run, and how much went through is still recorded."""
    log = wire.Log()

    async def story() -> bytes:
        async with wire.raw_server(upper) as port:
            proxy = Egress(
                HOSTS,
                log,
                bounds=Bounds(ports=frozenset({port})),
                resolver=Names(["127.0.0.1"]),
                address_ok=is_loopback,
            )
            async with wire.served(proxy.handle) as (own, server), wire.connected(own) as (reader, writer):
                await connect(reader, writer, f"allowed.test:{port}")
                writer.write(hello("allowed.test"))
                await reader.readexactly(5)
                await server.close()
                try:
                    return (await reader.read())[-3:]
                except ConnectionResetError:
                    return b""

    assert wire.run(story()) != b"END"
    assert [type(event) for event in log.events] == [Reached, Left]


def test_a_tunnel_is_checked_before_tls_and_tls_checks_the_host(certificate: certificates.Certificate) -> None:
    """A server without a certificate for the name is the client's to refuse: the proxy does not open the TLS."""
    log = wire.Log()

    async def story() -> None:
        async with wire.raw_server(upper, ssl=certificate.server()) as port:
            async with egress(log, port, Names(["127.0.0.1"])) as own, wire.connected(own) as (reader, writer):
                await connect(reader, writer, f"a.below.test:{port}")
                await writer.start_tls(certificate.client(), server_hostname="a.below.test")

    with pytest.raises(ssl.SSLCertVerificationError):
        wire.run(story())
