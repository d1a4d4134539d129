"""A whole story: a real daemon, real git and a real run; the task asks, the phone shows it, a press lands it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from notify_lab import PATIENCE, serving
from phone_lab import NtfyServer, TelegramServer
from phone_world import NTFY, TELEGRAM, soon

from overnight.config import parse_settings
from overnight.daemon import serve
from overnight.durable.client import Client
from overnight.durable.journal import connect, verify_journal
from overnight.missions.task import Repo, Task
from testkit.computer import submit
from testkit.repos import git, repository

CONFIG = """
[box]
name = "none"
i_know = true
[agents.command]
argv = ["sh", "-c", "echo done > work.txt && git add -A && git -c user.name=t -c user.email=t@localhost commit -q -m Work && echo done"]
[canary]
required = false
"""
#: Changes wait for a person: no judge is there to pass them.
POLICY = """
target = "main"
landing = "merge"
agent = "command"
[checks]
test = "test -s seed.txt"
[box]
minimum = "none"
[clarify]
threshold = 101
"""


def landed(path: Path) -> int:
    """How often the task is in the target's history."""
    return len(git(path, "log", "--format=%H", "--grep=^Overnight-Task: one$", "main").splitlines())


@pytest.mark.parametrize("kind", ["ntfy", "telegram"])
def test_a_press_on_the_phone_lands_the_task(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task asks for approval; the phone shows it with buttons; one press lands it; a second is refused with a reason on
    the phone; all of it is on record."""
    home, repo = tmp_path / "state", tmp_path / "repo"
    monkeypatch.setenv("BOT", TelegramServer.TOKEN)
    monkeypatch.setenv("OVERNIGHT_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("OVERNIGHT_HOME", str(home))
    repository(repo, {"seed.txt": "seed\n", "overnight.toml": POLICY})
    task = Task(id="one", repo=Repo(name="repo", path=str(repo), target="main"), title="One", text="Do one.")
    home.mkdir()

    async def main() -> None:
        ntfy, telegram = NtfyServer(), TelegramServer()
        over = asyncio.Event()

        def watch(moment: str, label: str) -> None:
            if (moment, label) == ("after", "end"):
                over.set()

        async with serving((ntfy if kind == "ntfy" else telegram).handle) as port:
            text = CONFIG + (NTFY if kind == "ntfy" else TELEGRAM).replace("PORT", str(port))
            (tmp_path / "config.toml").write_text(text)
            ready = asyncio.Event()
            daemon = asyncio.create_task(serve(parse_settings(text.encode(), "config.toml"), home, ready.set, watch))
            await soon(ready.wait())
            await asyncio.to_thread(submit, home, task)
            if kind == "ntfy":
                (message,) = await soon(ntfy.wait("alerts", 1))
                assert "one in repo" in message["title"]
                assert landed(repo) == 0
                await ntfy.press(message, "Approve")
                assert "Approved: one" in (await soon(ntfy.wait("alerts", 2)))[1]["message"]
                await soon(over.wait())
                await ntfy.press(message, "Approve")
                assert "used already" in (await soon(ntfy.wait("alerts", 3)))[2]["message"]
            else:
                number, said = await soon(telegram.message(1))
                assert "one in repo" in said["text"]
                assert landed(repo) == 0
                token = said["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
                assert "Approved: one" in (await soon(telegram.press(number, "Approve")))["text"]
                await soon(over.wait())
                assert "used already" in (await soon(telegram.press(number, "", data=token)))["text"]
            await asyncio.to_thread(lambda: Client(home).daemon("shutdown"))
            async with asyncio.timeout(PATIENCE):
                await daemon
        assert (ntfy.problems, telegram.problems) == ([], [])

    asyncio.run(main())
    assert landed(repo) == 1
    db = connect(home / "journal.db", read_only=True)
    try:
        whats = [row["what"] for row in db.execute("SELECT what FROM event")]
    finally:
        db.close()
    for what in ("notify.sent", "approval.issued", "approval.taken", "approval.refused"):
        assert what in whats
    assert whats.count("approval.taken") == 1
    assert verify_journal(home / "journal.db") > 0
