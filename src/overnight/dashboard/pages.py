"""The pages' routes, and the pages that need little more than their model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from overnight.api import looks
from overnight.api.app import Busy
from overnight.api.shapes import Explain
from overnight.api.site import Site
from overnight.dashboard import entry, forms, loops, system, task, usage, word
from overnight.dashboard.shared import Pages, form_of, guarded, shaped
from overnight.report.denials import denials
from overnight.report.status import repos
from overnight.report.tasks import tasks
from overnight.report.views import State


def routes(site: Site, busy: Busy) -> list[BaseRoute]:
    """Every page."""
    pages = Pages(site, busy)

    def at(path: str, do: Callable[[Pages, Request], Any], *methods: str) -> Route:
        return Route(path, guarded(pages, do), methods=list(methods or ("GET",)))

    return [
        at("/", _now),
        at("/live/now", _live_now),
        at("/tasks", _tasks),
        at("/tasks/new", _new),
        at("/tasks/{task}", task.page),
        at("/live/tasks/{task}", task.live),
        at("/tasks/{task}/diff", task.diff),
        at("/tasks/{task}/calls", task.calls),
        at("/tasks/{task}/evidence", task.evidence),
        at("/guard", _guard),
        at("/guard/explain", _explain, "POST"),
        at("/usage", usage.page),
        at("/live/usage", usage.live),
        at("/night", _night),
        at("/schedule", _schedule),
        at("/system", _system),
        at("/live/system", _live_system),
        at("/login", entry.login, "GET", "POST"),
        at("/logout", entry.logout, "POST"),
        at("/choose", entry.choose, "POST"),
        at("/do/{verb}", forms.do, "POST"),
        at("/word/{tokens}/ask", word.page, "GET", "POST"),
        Route("/static/{path:path}", entry.static, methods=["GET"]),
        Route("/favicon.ico", entry.favicon, methods=["GET"]),
    ]


def _glance(pages: Pages) -> dict[str, Any]:
    return {"glance": pages.glances.look()}


async def _now(pages: Pages, request: Request) -> Response:
    return await pages.page(request, "now.html", lambda: _glance(pages))


async def _live_now(pages: Pages, request: Request) -> Response:
    language = pages.language(request)
    return pages.live(request, lambda: pages.drawer.draw("_now.html", language, **_glance(pages)))


async def _tasks(pages: Pages, request: Request) -> Response:
    q = request.query_params
    state = q.get("state", "")
    offset = int(q["offset"]) if q.get("offset", "").isdecimal() and len(q["offset"]) < 10 else 0
    wanted = State(state) if state in set(State) else None
    words, repo = q.get("q", "")[:200], q.get("repo", "")[:200]

    def make() -> dict[str, Any]:
        found = tasks(pages.site.home, state=wanted, repo=repo or None, words=words, offset=offset, most=50)
        return {
            "found": found, "state": state, "words": words, "repo": repo, "offset": offset, "states": list(State),
            "repos": repos(pages.site.home),
        }  # fmt: skip

    return await pages.page(request, "tasks.html", make)


async def _new(pages: Pages, request: Request) -> Response:
    return await pages.page(
        request, "new.html", lambda: {"repos": repos(pages.site.home), "health": pages.site.health()}
    )


async def _guard(pages: Pages, request: Request) -> Response:
    chosen = request.query_params.get("rule", "")[:200]

    def make() -> dict[str, Any]:
        found = denials(pages.site.home, time.time())
        wishes = [each for each in found.questions if chosen in ("", each.question.rule)]
        return {"denied": found, "wishes": wishes, "chosen": chosen, "repos": repos(pages.site.home), "explained": None}

    return await pages.page(request, "guard.html", make)


async def _explain(pages: Pages, request: Request) -> Response:
    form = await form_of(request)
    asked = shaped({"command": form.get("command", ""), "repo": form.get("repo") or None}, Explain)
    return await pages.page(request, "_explained.html", lambda: {"explained": looks.explain(pages.site, asked)})


async def _night(pages: Pages, request: Request) -> Response:
    name = request.query_params.get("night") or None
    return await pages.page(request, "night.html", lambda: system.night(pages.site, name))


async def _schedule(pages: Pages, request: Request) -> Response:
    return await pages.page(request, "schedule.html", lambda: loops.model(pages.site))


async def _system(pages: Pages, request: Request) -> Response:
    return await pages.page(request, "system.html", lambda: system.model(pages.site))


async def _live_system(pages: Pages, request: Request) -> Response:
    language = pages.language(request)
    return pages.live(request, lambda: pages.drawer.draw("_system.html", language, **system.model(pages.site)))
