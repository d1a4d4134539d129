"""A real browser: this machine's Chromium, without a window, with no way out but loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

FOUND = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
#: For every test that needs one.
needs_chromium = pytest.mark.skipif(not FOUND, reason="no chromium on this machine: apt-get install chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
PHONE, DESK = ViewportSize(width=390, height=844), ViewportSize(width=1440, height=900)
#: Nothing is timed here: it only needs to happen.
PATIENCE_MS = 90_000
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@contextlib.contextmanager
def browser() -> Generator[Browser]:
    """One browser."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=FOUND, args=list(FLAGS), timeout=PATIENCE_MS)
        try:
            yield found
        finally:
            found.close()


@contextlib.contextmanager
def visitor(found: Browser, link: str, size: ViewportSize = DESK, **more: Any) -> Generator[Page]:
    """A page of a browser that has logged in by a link. Fails when the page complains of anything."""
    context: BrowserContext = found.new_context(viewport=size, **more)
    context.set_default_timeout(PATIENCE_MS)
    complaints = list[str]()
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("request", lambda asked: complaints.append(asked.url) if not asked.url.startswith(_own(link)) else None)
    try:
        page.goto(link)
        page.get_by_role("button", name="Log in here").click()
        page.get_by_role("heading", level=1).wait_for()
        yield page
        assert not complaints, complaints
    finally:
        context.close()


def _own(link: str) -> tuple[str, ...]:
    return (link.rpartition("/login")[0], "data:")


def flaws(page: Page) -> list[str]:
    """What axe finds wrong with a page that is serious or worse."""
    page.wait_for_function("document.readyState === 'complete'")
    # Past the page's own policy, as a tool of the developer's.
    page.evaluate(AXE.read_text() + ";0")
    result: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['help']} at {each['nodes'][0]['target']}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
    ]
