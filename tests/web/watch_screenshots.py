"""`python tests/web/watch_screenshots.py FOLDER`: pictures of the dashboard at the terminal, of the same night."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser
from textual.pilot import Pilot
from textual.widgets._footer import FooterKey
from web_browser import browser
from web_screenshots import WITHIN_S, demo

from overnight.api.site import Site
from overnight.cli.demo import _Night  # pyright: ignore[reportPrivateUsage] (its stage is the point)
from overnight.config import Settings
from overnight.report.now import now
from overnight.watch.app import Watching
from overnight.watch.rows import Board
from overnight.web_process import machine_of

_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)
_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def main(folder: Path) -> None:
    """Write the pictures."""
    os.environ.pop("OVERNIGHT_HOME", None)
    with (
        tempfile.TemporaryDirectory(prefix="overnight-pictures-", ignore_cleanup_errors=True) as name,
        demo(Path(name)) as (night, _),
    ):
        drawings = asyncio.run(drawn(night))
    with browser() as found:
        for title, svg in drawings.items():
            picture(found, svg, folder / f"{title}.png")


async def drawn(night: _Night) -> dict[str, str]:
    """Title -> the screen as SVG."""
    return {
        "watch": await screen(night, (120, 28), light=False),
        "watch-approve": await screen(night, (120, 30), "a", light=True),
        "watch-live": await screen(night, (120, 30), "enter", "2", light=False),
    }


async def screen(night: _Night, size: tuple[int, int], *keys: str, light: bool) -> str:
    """What stands there after some keys."""
    site = Site(machine_of(Settings(), night.home))
    app = Watching(site, light=light)
    async with app.run_test(size=size) as pilot:
        seen = now(night.home, time.time(), 0.0)
        await until(pilot, lambda: app.last is not None and app.last.health is not None)
        await until(pilot, lambda: app.screen.query_one(Board).stops() >= len(seen.needs_person))
        await until(pilot, lambda: len(app.screen.query(FooterKey)) > 6)
        for key in keys:
            before = app.screen
            await pilot.press(key)
            await until(pilot, lambda: app.screen is not before or key.isdigit())  # noqa: B023 (called at once)
            await pilot.pause(1.0)
        await pilot.pause(1.0)
        drawing = app.export_screenshot(title="overnight watch")
    await asyncio.to_thread(site.stop)
    return drawing


async def until(pilot: Pilot[None], look: Callable[[], Any]) -> None:
    """Go on when it is so."""
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end and not look():
        await pilot.pause(0.05)


def picture(found: Browser, svg: str, path: Path) -> None:
    """In this machine's own fonts: nothing is loaded from elsewhere."""
    size = _SIZE.search(svg)
    assert size is not None
    page = found.new_page(viewport={"width": int(float(size[1])), "height": int(float(size[2]))})
    page.set_content(f'<body style="margin:0">{_FONTS.sub("", svg)}</body>')
    page.screenshot(path=path)
    page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
