"""What a TLS ClientHello says before anything is encrypted: the host that it wants (RFC 8446, 4.1.2; RFC 6066, 3)."""

from __future__ import annotations

_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0
#: Bytes of plaintext that one record may hold.
_MOST_RECORD = 1 << 14


class NotTls(Exception):
    """These bytes do not begin a TLS connection."""


class _Bytes:
    """A strict reader: whatever is announced must be there."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) < size:
            raise NotTls("it ends too early")
        self._at += size
        return part

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def block(self, size: int) -> _Bytes:
        """A part that begins with its length in `size` bytes."""
        return _Bytes(self.take(self.number(size)))


def server_name(data: bytes) -> str | None:
    """The host that a connection's first bytes name, in lower case; empty when they name none.

    None: there have to be more bytes. Raises NotTls, also for a hello that names two hosts.
    """
    hello = _hello(data)
    return None if hello is None else _name_in(_Bytes(hello))


def _hello(data: bytes) -> bytes | None:
    """The body of the ClientHello, which may lie in several records; None when it is not all there."""
    message, at = b"", 0
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        if data[at : at + 1] not in (b"", bytes([_HANDSHAKE])) or data[at + 1 : at + 2] not in (b"", b"\x03"):
            raise NotTls("it is no handshake")
        if message and message[0] != _CLIENT_HELLO:
            raise NotTls("it is no ClientHello")
        if len(data) < at + 5:
            return None
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        if not 0 < size <= _MOST_RECORD:
            raise NotTls("a record has an impossible length")
        if len(data) < at + 5 + size:
            return None
        message += data[at + 5 : at + 5 + size]
        at += 5 + size
    if message[0] != _CLIENT_HELLO:
        raise NotTls("it is no ClientHello")
    return message[4 : 4 + int.from_bytes(message[1:4], "big")]


def _name_in(hello: _Bytes) -> str:
    hello.take(2 + 32)  # version, random
    hello.block(1)  # session
    hello.block(2)  # cipher suites
    hello.block(1)  # compression
    if not hello:
        return ""
    extensions, names = hello.block(2), list[bytes]()
    while extensions:
        kind, body = extensions.number(2), extensions.block(2)
        if kind == _SERVER_NAME:
            listed = body.block(2)
            while listed:
                if listed.number(1) != _HOST_NAME:
                    raise NotTls("it names something other than a host")
                names.append(listed.block(2).rest())
    if len(names) > 1:
        raise NotTls("it names several hosts")
    try:
        return names[0].decode("ascii").lower() if names else ""
    except UnicodeDecodeError:
        raise NotTls("its host is not ASCII") from None
