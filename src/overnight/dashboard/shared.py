"""What all pages share: how they are drawn and kept live, how forms are read and answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from overnight.api.app import Busy, status_of, stream
from overnight.api.pictures import ALIVE_S, Pictures
from overnight.api.site import Site
from overnight.dashboard.draw import Drawer
from overnight.dashboard.glance import Glances
from overnight.dashboard.words import choose
from overnight.errors import BadInput, OvernightError


class Pages:
    """What all pages share."""

    def __init__(self, site: Site, busy: Busy) -> None:
        self.site, self.busy = site, busy
        self.drawer, self.glances = Drawer(site.machine.redact), Glances(site)
        self.pictures = Pictures(site.pulse, busy)

    def language(self, request: Request) -> str:
        return choose(request.cookies.get("lang", ""), request.headers.get("accept-language", ""))

    async def page(
        self, request: Request, name: str, make: Callable[[], dict[str, Any]], status: int = 200
    ) -> Response:
        """A page, its model made in a thread."""
        language = self.language(request)
        values = {"path": request.url.path, "theme": request.cookies.get("theme", ""), "who": request.state.who}

        def drawn() -> str:
            return self.drawer.draw(name, language, **values, **make())

        html = await self.busy.run(drawn)
        return Response(html, status_code=status, media_type="text/html", headers={"vary": "cookie, accept-language"})

    def live(self, request: Request, draw: Callable[[], str], every: float = ALIVE_S) -> Response:
        """A picture whenever it has changed, the same for all who watch it in this language. every: as of `Pictures`."""
        key = f"{self.language(request)} {request.url.path}"
        return stream(self.busy, self.pictures.watch(key, draw, every))


def guarded(pages: Pages, do: Callable[[Pages, Request], Any]) -> Callable[[Request], Any]:
    """A handler whose errors are pages."""

    async def handle(request: Request) -> Response:
        try:
            return await do(pages, request)
        except OvernightError as error:
            status, words = status_of(error), str(error)
            if "hx-request" in request.headers:
                return toast(pages, request, words, "bad", status)
            make: Callable[[], dict[str, Any]] = lambda: {"status": status, "words": words}  # noqa: E731
            return await pages.page(request, "error.html", make, status)

    return handle


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form. Raises BadInput."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise BadInput(problem="Send a form.")
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=50)
    except (UnicodeDecodeError, ValueError) as error:
        raise BadInput(problem="The form can't be read.") from error
    return dict(pairs)


def shaped(values: Mapping[str, Any], kind: Any) -> Any:
    try:
        return msgspec.convert(dict(values), kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(problem=f"That does not fit: {error}.") from error


def onward(request: Request, where: str) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=200, headers={"hx-redirect": where})
    return RedirectResponse(where, status_code=303)


def back(request: Request) -> str:
    """The path of the page that a form was on; never another site's."""
    path = urlsplit(request.headers.get("referer", "")).path
    return path if path.startswith("/") and not path.startswith("//") and "\\" not in path else "/"


def toast(pages: Pages, request: Request, words: str, tone: str, status: int = 200) -> Response:
    html = pages.drawer.draw("_toast.html", pages.language(request), words=words, tone=tone)
    return Response(
        html, status_code=status, media_type="text/html", headers={"hx-retarget": "#toasts", "hx-reswap": "beforeend"}
    )
