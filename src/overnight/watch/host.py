"""What every screen knows of the application that it is part of."""

from __future__ import annotations

import os

from rich.style import Style
from textual.app import App

from overnight.api.site import Site
from overnight.watch.ink import Ink
from overnight.watch.look import Look

_BOLD = ("head", "strong", "chosen")
_COLOURS = {"good": "success", "bad": "error", "warn": "warning", "busy": "busy", "dim": "dim", "chosen": "primary"}


class Host(App[None]):
    """One machine, looked at."""

    def __init__(self, site: Site) -> None:
        """site: not begun yet; the application begins it."""
        # Without colours at all, instead of in grey.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.site, self.ink = site, Ink(site.machine.redact)
        #: Null before the first look.
        self.last: Look | None = None

    def touch(self) -> None:
        """Look again at once."""

    def change_theme(self) -> None:
        """Light to dark, and back."""

    def tone(self, tone: str) -> Style:
        """What a tone looks like in this theme."""
        bold = tone in _BOLD
        if self.no_color:
            return Style(bold=bold or tone in ("bad", "warn"), reverse=tone == "chosen")
        colour = self.get_css_variables().get(_COLOURS.get(tone, ""), "")
        return Style(color=colour or None, bold=bold, reverse=tone == "chosen")
