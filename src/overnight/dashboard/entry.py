"""In and out, language and light, and the files that pages are made with."""

from __future__ import annotations

import time
from functools import partial

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from overnight.api.shield import cookie_name
from overnight.dashboard.draw import ASSETS, folder
from overnight.dashboard.shared import Pages, back, form_of
from overnight.dashboard.words import LANGUAGES

YEAR_S = 365 * 86400


async def login(pages: Pages, request: Request) -> Response:
    """A link is only shown at first: what follows links by itself does not use it up."""
    if request.method == "GET":
        code = request.query_params.get("code", "")[:100]
        return await pages.page(request, "login.html", lambda: {"code": code, "failed": False})
    form = await form_of(request)
    given, access, now = form.get("code", "").strip(), pages.site.access, time.time()
    login = await pages.busy.run(access.by_code, given, now) or await pages.busy.run(access.by_token, given)
    if login is None:
        return await pages.page(request, "login.html", lambda: {"code": "", "failed": True}, 403)
    response = RedirectResponse("/", status_code=303)
    response.set_cookie(
        cookie_name(request.scope), access.session(now, login), max_age=int(pages.site.machine.web.session), httponly=True,
        samesite="strict", secure=request.headers.get("origin", "").startswith("https://"), path="/",
    )  # fmt: skip
    return response


async def logout(_pages: Pages, request: Request) -> Response:
    """Out."""
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(cookie_name(request.scope), path="/", httponly=True, samesite="strict")
    return response


async def choose(_pages: Pages, request: Request) -> Response:
    """Language and light."""
    form = await form_of(request)
    response = RedirectResponse(back(request), status_code=303)
    keep = partial(response.set_cookie, max_age=YEAR_S, samesite="strict", path="/")
    if form.get("lang") in LANGUAGES:
        keep("lang", form["lang"])
    if form.get("theme") in ("light", "dark", "auto"):
        keep("theme", form["theme"])
    return response


async def static(request: Request) -> Response:
    """One of our own files, by its name in a list: no path is made of what somebody sends."""
    name = str(request.path_params["path"])
    if name not in ASSETS or not (folder() / "static" / name).is_file():
        return Response(status_code=404)
    kept = "public, max-age=31536000, immutable" if "v" in request.query_params else "no-cache"
    return FileResponse(folder() / "static" / name, headers={"cache-control": kept})


async def favicon(_request: Request) -> Response:
    """A moon."""
    moon = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#1c2140"/>'
        '<path d="M21.5 19.8A9 9 0 0 1 12.2 7.6a9 9 0 1 0 9.3 12.2z" fill="#f4d58d"/></svg>'
    )
    return Response(moon, media_type="image/svg+xml", headers={"cache-control": "public, max-age=86400"})
