"""Templates to bytes. Whatever a page shows is escaped, and without secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from overnight.dashboard.words import FILTERS, LANGUAGES, Say, clock, reteller, speaker
from overnight.guard.redact import sanitised

#: What is sent with a page; the browser keeps each for ever, since its address changes with its content.
ASSETS = (
    "app.css",
    "app.js",
    "vendor/htmx.min.js",
    "vendor/hx-sse.min.js",
    "vendor/uPlot.iife.min.js",
    "vendor/uPlot.min.css",
)


def folder() -> Path:
    """Where templates and assets lie."""
    return Path(str(resources.files("overnight.dashboard")))


@cache
def digests() -> dict[str, str]:
    """Asset -> the first digits of its content's digest. What is not there has none."""
    found = dict[str, str]()
    for name in ASSETS:
        path = folder() / "static" / name
        if path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return found


def asset(name: str) -> str:
    """Its address."""
    return f"/static/{name}?v={digests().get(name, '0')}"


def _is_new(part: object, whole: str) -> bool:
    """Whether a text does not stand in another one already."""
    return str(part) not in whole


@pass_context
def _clock(context: Context, at: float | None, now: float | None = None) -> str:
    """A moment, in the language of the page."""
    return clock(at, now, context["t"])


class Drawer:
    """The templates, for one redactor."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        def final(value: Any) -> Any:
            return value if isinstance(value, Markup | int | float) else sanitised(redact(str(value)))

        self._env = Environment(
            loader=FileSystemLoader(folder() / "templates"), autoescape=True, undefined=StrictUndefined, finalize=final,
            trim_blocks=True, lstrip_blocks=True, auto_reload=False,
        )  # fmt: skip
        cast("dict[str, Any]", self._env.filters).update({**FILTERS, "clock": _clock})
        cast("dict[str, Any]", self._env.tests)["not_in"] = _is_new
        cast("dict[str, Any]", self._env.globals).update(asset=asset, languages=LANGUAGES)

    def draw(self, name: str, language: str, **values: Any) -> str:
        """One template in one language."""
        say: Say = speaker(language)
        return self._env.get_template(name).render(t=say, retell=reteller(language), language=language, **values)
