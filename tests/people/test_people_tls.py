"""ntfy and Telegram over TLS: with a CA of one's own, and never with a certificate that does not count."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from notify_lab import NOON, serving
from phone_lab import NtfyServer, TelegramServer
from phone_world import NTFY, TELEGRAM, process, soon

from overnight.durable.clock import ManualClock
from overnight.people.channels.http import Untrusted, ask


class Authority:
    """A CA, and a certificate that it made for some name, by openssl."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True)
        self.ca, self._pem, self._key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        self._run("req", "-x509", *curve, "-keyout", folder / "ca.key", "-out", self.ca, "-subj", "/CN=A CA of a test",
                  "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
        self._run("req", "-x509", *curve, "-keyout", self._key, "-out", self._pem, "-subj", "/CN=a server",
                  "-CA", self.ca, "-CAkey", folder / "ca.key", "-addext", f"subjectAltName={name}",
                  "-addext", "basicConstraints=critical,CA:FALSE")  # fmt: skip

    def _run(self, *words: str | Path) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)

    @asynccontextmanager
    async def front(self, port: int) -> AsyncGenerator[int]:
        """A TLS server before a plain one; gives its port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pem, self._key)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            behind, before = await asyncio.open_connection("127.0.0.1", port)
            both = [asyncio.create_task(_pump(reader, before)), asyncio.create_task(_pump(behind, writer))]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (writer, before):  # before anything is waited for: that may be cancelled once more
                    each.transport.abort()
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        async with server:
            yield server.sockets[0].getsockname()[1]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """For 127.0.0.1."""
    return Authority(tmp_path_factory.mktemp("tls") / "ours", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """For another name."""
    return Authority(tmp_path_factory.mktemp("tls") / "wrong", "DNS:night.example")


@pytest.mark.parametrize("kind", ["ntfy", "telegram"])
def test_a_phone_decides_over_tls(tmp_path: Path, ours: Authority, kind: str) -> None:
    """With `ca` messages go out, presses come in and land it, all over TLS."""

    async def main() -> None:
        ntfy, telegram, landed = NtfyServer(), TelegramServer(), list[str]()
        server, text = (ntfy, NTFY) if kind == "ntfy" else (telegram, TELEGRAM)
        async with serving(server.handle) as plain, ours.front(plain) as port:
            text = text.replace("http://", "https://").replace("PORT", str(port)) + f'ca = "{ours.ca}"\n'
            async with process(tmp_path, text, ManualClock(NOON), landed) as p:
                await p.submit()
                if kind == "ntfy":
                    (message,) = await soon(ntfy.wait("alerts", 1))
                    action = message["actions"][0]
                    assert action["url"].startswith("https://")
                    pressed = await ask("POST", action["url"], body=action["body"].encode(), ca=str(ours.ca))
                    assert pressed.status == 200
                else:
                    number, _ = await soon(telegram.message(1))
                    await soon(telegram.press(number, "Approve"))
                await p.until(lambda: landed)
        assert landed == ["t1 True by ann"]

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["ntfy", "telegram"])
def test_a_certificate_that_does_not_count_is_refused_and_said(tmp_path: Path, ours: Authority, kind: str) -> None:
    """Without `ca` nothing is sent and nobody is heard, and both say why and what to do; no token gets there."""

    async def main() -> None:
        ntfy, telegram, landed = NtfyServer(), TelegramServer(), list[str]()
        server, text = (ntfy, NTFY) if kind == "ntfy" else (telegram, TELEGRAM)
        async with serving(server.handle) as plain, ours.front(plain) as port:
            text = text.replace("http://", "https://").replace("PORT", str(port))
            async with process(tmp_path, text, ManualClock(NOON), landed) as p:
                await p.until(lambda: p.said)
                assert "the certificate of 127.0.0.1 does not count" in p.said[0]
                assert "name its file in `ca`" in p.said[0]
                await p.submit()
                rows = p.journal.db.execute("SELECT state, why FROM delivery").fetchall()
                assert [row["state"] for row in rows] == ["waiting"]
                assert "does not count" in rows[0]["why"]
        assert (ntfy.topics, telegram.messages, telegram.polls) == ({}, {}, [])

    asyncio.run(main())


def test_another_name_another_ca_and_no_ca_at_all(ours: Authority, wrong: Authority, tmp_path: Path) -> None:
    """A certificate for another name, one of another CA, and a file that is none: each is refused in words."""
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")

    async def tried(port: int, ca: Path) -> str:
        with pytest.raises(Untrusted) as caught:
            await ask("GET", f"https://127.0.0.1:{port}/", ca=str(ca))
        return str(caught.value)

    async def main() -> None:
        server = NtfyServer()
        async with serving(server.handle) as plain, ours.front(plain) as right, wrong.front(plain) as other:
            assert "IP address mismatch" in await tried(other, wrong.ca)
            assert "does not count" in await tried(right, wrong.ca)
            assert "no certificate that can be read" in await tried(right, empty)
            assert "No such file" in await tried(right, tmp_path / "none.pem")

    asyncio.run(main())
