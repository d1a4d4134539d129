"""A run that ended well is replayed by the button of its page: the real agent CLI, recorded in a real night."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from web_browser import PATIENCE_MS, browser, flaws, needs_chromium, visitor
from web_lab import Http, Lab, wait

from overnight.agents.scripted import Say, Use, playing
from overnight.agents.scripted.script import Play, Scenario, Script
from testkit.repos import git

pytestmark = [pytest.mark.cli, pytest.mark.slow, needs_chromium]
CONFIG = """
[agents.claude]
route = "gateway"
upstream = "{url}"
retries = 0
tools = ["Bash", "Write"]
[canary]
required = false
[web]
port = 0
"""
POLICY = """
target = "main"
landing = "branch"
agent = "claude"
[checks]
test = "test -s seed.txt"
[limits]
attempts = 1
[judges]
families = 0
[clarify]
threshold = 101
[risk]
asks_from = 100
"""
STEPS = (
    Use("Bash", {"command": "echo work > work.txt && cat work.txt", "description": "Work"}),
    Use("Bash", {"command": "git push origin main", "description": "What the guard denies"}),
    Use("Bash", {"command": "git add -A && git commit -q -m Work && echo committed", "description": "Commit"}),
    Say("Done."),
)


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[tuple[Lab, str]]:
    """A machine whose pages are served, and its task that landed; its model is gone."""
    lab = Lab(tmp_path / "lab", agent="true")
    lab.env["ANTHROPIC_API_KEY"] = "sk-ant-api03-Tr7Ue4Io1Pa8Sd5Fg2Hj9Kl6"
    (lab.repo / "overnight.toml").write_text(POLICY)
    git(lab.repo, "commit", "-qam", "The policy of a real agent")

    def worked() -> str:
        http = Http(lab.up().url, lab.token())
        name: str = http.json("POST", "/api/tasks", {"text": "Do the work.", "as_is": True})["id"]
        row = wait(lambda: (row := http.json("GET", f"/api/tasks/{name}")["row"])["state"] in ("ended", "held") and row)
        assert row["phase"] == "landed", row
        return name

    async def night() -> str:
        async with playing(Play((Scenario((Script(STEPS),)),))) as (url, _):
            (lab.folder / "config.toml").write_text(CONFIG.format(url=url))
            return await asyncio.to_thread(worked)

    try:
        yield lab, asyncio.run(night())
    finally:
        lab.end()


def test_a_run_is_replayed_by_the_button_of_its_page(recorded: tuple[Lab, str]) -> None:
    """The open page says in the end that all of it was as recorded, in both languages; nothing of the second run is left."""
    lab, name = recorded
    with browser() as chromium, visitor(chromium, lab.login()) as page:
        page.goto(page.url + f"tasks/{name}")
        page.evaluate("window.same = true")
        card = page.locator("#replay")
        card.get_by_role("button", name="Replay run 1").click()
        expect(card.locator(".chip")).to_have_text("as recorded", timeout=PATIENCE_MS)
        expect(card).to_contain_text("4 of 4 recorded exchanges played; 3 tool calls, 0 of them not the same")
        expect(card).to_contain_text("played ")
        expect(card.locator(".marks")).to_have_count(0)
        expect(card.get_by_role("button", name="Replay run 1")).to_be_visible()
        assert page.evaluate("window.same") is True
        assert flaws(page) == []
        page.get_by_role("button", name="Deutsch").click()
        expect(card.locator(".chip")).to_have_text("wie aufgezeichnet", timeout=PATIENCE_MS)
        expect(card).to_contain_text("4 von 4 aufgezeichneten Anfragen gespielt; 3 Aufrufe, davon 0 anders")
    assert list((lab.home / "replays").glob("*/*")) == []
