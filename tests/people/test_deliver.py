"""Real deliveries: a process of its own, real Apprise, real servers on loopback; hanging, crashing, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from notify_lab import PATIENCE, MailServer, Webhook, World, notice, serving

from overnight.missions.notice import Message, Priority
from overnight.people.errand import ERRAND, Errand, lock, write
from overnight.people.notify import Notifier, perform
from overnight.people.outbox import UNKNOWN, Result
from overnight.people.settings import Kind, Target
from overnight.warden.http import Exchange, Request, Response

MESSAGE = Message(title="t1 waits for your word", text="» because\n→ `overnight approve t1`", priority=Priority.HIGH)
ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "HOOK_SECRET": "p@ss/word&1", "OTHER_KEY": "not-for-it"}


async def performed(folder: Path, target: Target, limit: float = PATIENCE) -> Result:
    """One errand, done by a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    errand = Errand(name="hook", target=target, message=MESSAGE, limit=limit)
    write(folder / ERRAND, errand)
    return await perform(folder, errand, ENVIRON)


def processes(folder: Path) -> list[Path]:
    """The processes that a folder is named to, in /proc."""
    found: list[Path] = []
    for each in Path("/proc").iterdir():
        with suppress(OSError):
            words = (each / "cmdline").read_bytes().split(b"\0") if each.name.isdecimal() else []
            if any(word.startswith(bytes(folder)) for word in words):
                found.append(each)
    return found


def test_a_webhook_gets_it(tmp_path: Path) -> None:
    """Apprise posts title, text and kind; the secret in the URL comes from the environment, quoted."""

    async def main() -> None:
        hook = Webhook()
        async with serving(hook.handle) as port:
            said = await performed(tmp_path / "a", Target(url=f"json://127.0.0.1:{port}/in/?:x=${{HOOK_SECRET}}"))
        assert said == Result(ok=True)
        assert hook.got[0]["title"] == MESSAGE.title
        assert hook.got[0]["message"] == MESSAGE.text
        assert hook.got[0]["type"] == "warning"

    asyncio.run(main())


def test_a_mail_server_gets_it(tmp_path: Path) -> None:
    """The same as a mail over SMTP."""

    async def main() -> None:
        server = MailServer()
        async with server.serving() as port:
            url = (
                f"mailto://127.0.0.1:{port}/?from=overnight@example.org&to=me@example.org&mode=insecure&smtp=127.0.0.1"
            )
            said = await performed(tmp_path / "a", Target(url=url))
        assert said == Result(ok=True), said
        ((to, mail),) = server.mails
        assert "me@example.org" in to[0]
        assert MESSAGE.title in mail
        assert "overnight approve t1" in mail

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("json://127.0.0.1:1/${HOOK_SECRET}", "onnection"),
        ("json://127.0.0.1:1/${NOT_SET}", "NOT_SET is not set in the environment"),
        ("json://127.0.0.1:1/${file:/nonexistent/secret}", "/nonexistent/secret can't be read"),
        ("nonsense://${HOOK_SECRET}", "Apprise does not understand its URL"),
    ],
)
def test_what_goes_wrong_is_said_without_secrets(tmp_path: Path, url: str, why: str) -> None:
    """Nobody there, a secret that is missing, a URL that means nothing: each has words, and none of them is secret."""
    said = asyncio.run(performed(tmp_path / "a", Target(url=url)))
    assert not said.ok
    assert why in said.why
    assert "p@ss" not in said.why
    assert "p%40ss" not in said.why


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (Target(kind=Kind.NTFY, url="http://127.0.0.1:1/t", token="${HOOK}"), "has a character that can't be sent"),
        (Target(kind=Kind.TELEGRAM, url="http://127.0.0.1:1", token="${HOOK}", chat="1"), "has a character that can't"),
        (Target(kind=Kind.TELEGRAM, token="${HOOK}", chat="${HOOK}"), "`chat` is not a chat's number"),
        (Target(kind=Kind.TELEGRAM, url="${HOOK}", token="${HOOK}", chat="1"), "`url` is no address"),
        (Target(kind=Kind.TELEGRAM, url="http://h:${HOOK}", token="${HOOK}", chat="1"), "`url` is no address"),
        (Target(kind=Kind.NTFY, url="https://[${HOOK}/t"), "`url` is not that of a topic"),
    ],
)
def test_a_secret_that_can_not_be_sent_is_not_said(tmp_path: Path, target: Target, why: str) -> None:
    """A token with the end of a line in it, an address that is none: the reason, which goes on record, quotes nothing."""
    environ = {**os.environ, "HOOK": "verysecret\r value"}
    (folder := tmp_path / "a").mkdir()
    errand = Errand(name="x", target=target, message=MESSAGE, limit=PATIENCE)
    write(folder / ERRAND, errand)
    said = asyncio.run(perform(folder, errand, environ))
    assert (said.ok, why in said.why, "verysecret" in said.why) == (False, True, False), said.why
    assert (folder / "stderr").read_text() == ""


def test_a_server_that_refuses_is_quoted_without_secrets(tmp_path: Path) -> None:
    """A status that is no success fails the try, and the URL's secret is not in the reason."""

    async def main() -> None:
        hook = Webhook()
        hook.answers = [503] * 10
        async with serving(hook.handle) as port:
            said = await performed(tmp_path / "a", Target(url=f"json://127.0.0.1:{port}/${{HOOK_SECRET}}"))
        assert not said.ok
        assert "503" in said.why
        assert "p@ss" not in said.why

    asyncio.run(main())


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    """A far end that takes the connection and never answers costs the limit, and nothing else."""

    async def main() -> None:
        async def hang(_request: Request, _exchange: Exchange) -> Response:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        async with serving(hang) as port:
            url = f"json://127.0.0.1:{port}/?rto=600"
            said = await performed(tmp_path / "a", Target(url=url), limit=2.0)
        assert not said.ok
        assert processes(tmp_path) == []

    asyncio.run(main())


def test_it_knows_no_other_secret(tmp_path: Path) -> None:
    """The process gets what its target names, and no other variable that may hold a key."""

    async def main() -> None:
        seen: list[str] = []

        async def look(_request: Request, _exchange: Exchange) -> Response:
            seen.extend((each / "environ").read_text() for each in processes(tmp_path))
            return Response.json(200, {})

        async with serving(look) as port:
            await performed(tmp_path / "a", Target(url=f"json://127.0.0.1:{port}/${{HOOK_SECRET}}"))
        assert seen
        assert "HOOK_SECRET" in seen[0]
        assert "OTHER_KEY" not in seen[0]

    asyncio.run(main())


SETTLED = ("after", "outbox settle")
ONE = '[notify]\nlimit = "2m"\n[notify.targets.phone]\nurl = "json://127.0.0.1:{port}/"\n'


def test_a_fact_goes_out_and_the_folder_is_gone(tmp_path: Path) -> None:
    """From an event to a webhook: one message, on record, and nothing left on disk."""

    async def main() -> None:
        hook = Webhook()
        async with serving(hook.handle) as port:
            w = World(tmp_path / "home", ONE.format(port=port))
            notifier = Notifier(w.journal, w.settings.notify, ENVIRON)
            notifier.outbox.add(notice("disk", Priority.URGENT, quote="2 % left"))
            notifier.step()
            await notifier.settled()
            assert [each["title"] for each in hook.got] == ["disk happened"]
            assert w.rows("SELECT state FROM delivery") == [{"state": "sent"}]
            assert list((w.journal.home / "notify").iterdir()) == []
            w.close()

    asyncio.run(main())


def test_a_daemon_that_is_killed_meanwhile_sends_nothing_twice(tmp_path: Path) -> None:
    """The delivery goes on in its own process; the next notifier waits for it and takes what it said."""

    async def main() -> None:
        hook, asked, let = Webhook(), asyncio.Event(), asyncio.Event()

        async def slow(request: Request, exchange: Exchange) -> Response | None:
            asked.set()
            await let.wait()
            return await hook.handle(request, exchange)

        async with serving(slow) as port:
            text = ONE.replace('/"', '/?rto=100"').format(port=port)
            w = World(tmp_path / "home", text)
            first = Notifier(w.journal, w.settings.notify, ENVIRON)
            first.outbox.add(notice("disk", Priority.URGENT))
            running = asyncio.create_task(first.run())
            await asyncio.wait_for(asked.wait(), PATIENCE)
            running.cancel()
            await asyncio.wait([running])
            assert w.rows("SELECT state FROM delivery") == [{"state": "sending"}]
            w.close()
            settled = asyncio.Event()

            def watch(moment: str, label: str) -> None:
                if (moment, label) == SETTLED:
                    settled.set()

            w = World(tmp_path / "home", text, observer=watch)
            second = Notifier(w.journal, w.settings.notify, ENVIRON)
            again = asyncio.create_task(second.run())
            await asyncio.sleep(0)
            let.set()
            await asyncio.wait_for(settled.wait(), PATIENCE)
            again.cancel()
            await asyncio.wait([again])
            assert w.rows("SELECT state FROM delivery") == [{"state": "sent"}]
            assert len(hook.got) == 1
            w.close()

    asyncio.run(main())


def test_one_that_is_killed_is_tried_again(tmp_path: Path) -> None:
    """When nobody knows whether it arrived, it is sent again, and the record says so."""

    async def main() -> None:
        hook, killed = Webhook(), asyncio.Event()

        async def kill(request: Request, exchange: Exchange) -> Response | None:
            if killed.is_set():
                return await hook.handle(request, exchange)
            killed.set()
            for each in processes(tmp_path):
                os.kill(int(each.name), signal.SIGKILL)
            return Response.json(200, {})

        async with serving(kill) as port:
            w = World(tmp_path / "home", ONE.format(port=port))
            notifier = Notifier(w.journal, w.settings.notify, ENVIRON)
            notifier.outbox.add(notice("disk", Priority.URGENT))
            notifier.step()
            await notifier.settled()
            (row,) = w.rows()
            assert row["state"] == "waiting"
            assert row["why"].startswith(UNKNOWN)
            w.clock.advance(row["due"] - w.clock.now())
            notifier.step()
            await notifier.settled()
            assert [(each["state"], each["tries"]) for each in w.rows()] == [("sent", 2)]
            assert len(hook.got) == 1
            w.close()

    asyncio.run(main())


def test_one_taken_back_before_it_began_does_nothing(tmp_path: Path) -> None:
    """A process that starts after the next daemon gave its message up finds no errand, and sends nothing."""

    async def main() -> None:
        hook = Webhook()
        async with serving(hook.handle) as port:
            folder = tmp_path / "a"
            folder.mkdir()
            target = Target(kind=Kind.APPRISE, url=f"json://127.0.0.1:{port}/")
            errand = Errand(name="hook", target=target, message=MESSAGE, limit=PATIENCE)
            said = await perform(folder, errand, ENVIRON)
            assert not said.ok
            assert hook.got == []
            held = lock(folder)
            assert held is not None
            write(folder / ERRAND, errand)
            assert not (await perform(folder, errand, ENVIRON)).ok
            os.close(held)
            assert hook.got == []

    asyncio.run(main())


def test_apprise_is_not_in_the_daemon() -> None:
    """The notifier and its settings import neither Apprise nor an HTTP library."""
    code = "import sys, overnight.people.notify, overnight.config.settings; print([m for m in sys.modules if m in ('apprise', 'requests', 'h11')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
