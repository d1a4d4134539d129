"""What a ClientHello is understood to say."""

from __future__ import annotations

import pytest
from hellos import hello, in_records, names, with_extensions
from hypothesis import example, given
from hypothesis import strategies as st

from overnight.warden.tls import NotTls, server_name


def test_the_name_of_a_real_hello_is_found() -> None:
    """In lower case; empty when there is none."""
    assert server_name(hello("Api.Example.COM")) == "api.example.com"
    assert server_name(hello(None)) == ""
    assert server_name(with_extensions()) == ""


def test_a_hello_is_understood_once_it_is_whole() -> None:
    """Every shorter beginning asks for more; what follows it is of no interest."""
    data = hello("api.example.com")
    assert {server_name(data[:size]) for size in range(len(data))} == {None}
    assert server_name(data + b"more") == "api.example.com"


@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_a_hello_in_several_records_is_put_together(size: int) -> None:
    """The name is found however the handshake is cut into records."""
    assert server_name(in_records(hello("api.example.com"), size)) == "api.example.com"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-OpenSSH",
        b"\x80\x2e\x01\x03\x01",
        b"\x16\x02\x00\x00\x05",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x17\x03\x03\x00\x05hello",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        with_extensions(names(b"a.test", b"b.test")),
        with_extensions(names(b"a.test"), names(b"a.test")),
        with_extensions(names(b"a.test", kind=1)),
        with_extensions(names(b"\xff.test")),
        with_extensions((0, b"\x00\x09\x00\x00")),
        with_extensions((0, b"")),
        in_records(hello("a.test"), 60)[:65] + b"\x17\x03\x03\x00\x01x",
    ],
    ids=[
        "http", "ssh", "ssl2", "version", "empty-record", "long-record", "data", "server-hello", "two-names",
        "two-extensions", "odd-kind", "not-ascii", "short", "no-list", "broken-off",
    ],
)  # fmt: skip
def test_what_is_odd_is_not_tls(data: bytes) -> None:
    """Other protocols, and hellos that two readers could understand in two ways."""
    with pytest.raises(NotTls):
        server_name(data)


@given(st.data())
def test_a_broken_hello_never_gets_another_name(data: st.DataObject) -> None:
    """Bytes changed within the hello: the name, no name, a refusal, more wanted, or a name that has its length."""
    whole = bytearray(hello("api.example.com"))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[at] = data.draw(st.integers(0, 255))
    try:
        name = server_name(bytes(whole))
    except NotTls:
        return
    assert name is None or name == "" or name.encode() in bytes(whole).lower()


@given(st.binary(max_size=300))
@example(b"")
def test_any_bytes_have_an_answer(data: bytes) -> None:
    """Nothing but NotTls is raised."""
    try:
        assert server_name(data) is None or len(data) > 40
    except NotTls:
        return
