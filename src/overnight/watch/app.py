"""The application: one look after another, and the screens that show them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.css.query import NoMatches
from textual.theme import Theme

from overnight.api.site import Site
from overnight.watch.host import Host
from overnight.watch.look import Eye
from overnight.watch.now import NowScreen
from overnight.watch.steer import Steering

#: Seconds between two looks at least, and after which there is one for no reason.
APART_S, AT_LEAST_S = 0.5, 2.0
DARK = Theme(
    name="night", primary="#7c9cff", secondary="#9b8cff", accent="#7c9cff", warning="#f0b429", error="#ff6b6b",
    success="#4fd18b", foreground="#d7dce8", background="#0e1117", surface="#141925", panel="#1b2233", dark=True,
    variables={"dim": "#8792ab", "busy": "#58c4f6", "footer-key-foreground": "#7c9cff"},
)  # fmt: skip
LIGHT = Theme(
    name="day", primary="#2f55d4", secondary="#6a4fd0", accent="#2f55d4", warning="#8a5a00", error="#b3261e",
    success="#14713f", foreground="#1c2333", background="#f7f8fb", surface="#ffffff", panel="#e6e9f2", dark=False,
    variables={"dim": "#5b6579", "busy": "#0b6a9c", "footer-key-foreground": "#2f55d4"},
)  # fmt: skip


class Watching(Host):
    """Overnight at the terminal."""

    TITLE = "overnight watch"
    CSS_PATH = "watch.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, site: Site, *, light: bool = False) -> None:
        """site: not begun yet; the app begins it. light: the colours of the day."""
        super().__init__(site)
        self._eye = Eye(site)
        self._light = light
        self._touched = asyncio.Event()

    def on_mount(self) -> None:
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = (LIGHT if self._light else DARK).name
        self.push_screen(NowScreen())
        self.run_worker(self._ask_daemon(), group="daemon")
        self.run_worker(self._follow(), group="look")

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(DARK.variables)

    def touch(self) -> None:
        self._touched.set()

    async def _ask_daemon(self) -> None:
        """A daemon that hangs is waited for here, while everything else is shown."""
        await asyncio.to_thread(self.site.start)
        self._eye.asked = True
        self.touch()

    async def _follow(self) -> None:
        while True:
            self._touched.clear()
            beat = self.site.pulse.beat
            look = await asyncio.to_thread(self._eye.look)
            screens = [screen for screen in self.screen_stack if isinstance(screen, Steering) and screen.ready]
            if look is not None:
                self.last = look
            for screen in screens:
                with suppress(NoMatches):  # it is being taken down
                    screen.take(look) if look is not None else screen.beat()
            await asyncio.sleep(APART_S)
            await self._wait(beat)

    async def _wait(self, beat: int) -> None:
        """Until something was written, somebody acted, or some time went by."""
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(self.site.pulse.wait(beat, AT_LEAST_S)),
            asyncio.create_task(self._touched.wait()),
        ]
        try:
            await asyncio.wait(waits, timeout=AT_LEAST_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def change_theme(self) -> None:
        self.theme = (LIGHT if self.theme == DARK.name else DARK).name
        for screen in self.screen_stack:
            if isinstance(screen, Steering):
                self.call_after_refresh(screen.repaint)
