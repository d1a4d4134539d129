"""TLS ClientHellos, by the standard library."""

from __future__ import annotations

import contextlib
import ssl


def hello(name: str | None) -> bytes:
    """The first bytes of a TLS connection to a host; None names no host."""
    context = ssl.create_default_context()
    if name is None:
        context.check_hostname = False
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name).do_handshake()
    return sent.read()


def in_records(data: bytes, size: int) -> bytes:
    """The same handshake in records of at most `size` bytes."""
    message = data[5:]
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(data[:3] + len(part).to_bytes(2, "big") + part for part in parts)


def with_extensions(*extensions: tuple[int, bytes]) -> bytes:
    """A ClientHello with just these extensions."""
    listed = b"".join(kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body for kind, body in extensions)
    body = (
        b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00" + len(listed).to_bytes(2, "big") + listed
    )
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def names(*hosts: bytes, kind: int = 0) -> tuple[int, bytes]:
    """The extension that names hosts."""
    listed = b"".join(bytes([kind]) + len(host).to_bytes(2, "big") + host for host in hosts)
    return 0, len(listed).to_bytes(2, "big") + listed
