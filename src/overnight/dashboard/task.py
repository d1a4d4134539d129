"""The page of a task: its story, its change, its calls, its log; and the parts of it that are read when they are wanted."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from overnight.api import acts, looks
from overnight.api.app import name_of
from overnight.api.site import Site
from overnight.dashboard.calls import calls_of
from overnight.dashboard.shared import Pages
from overnight.dashboard.timeline import timeline
from overnight.dashboard.words import speaker
from overnight.errors import BadInput
from overnight.report.find import task_id
from overnight.report.rundir import EVENTS, folder_of, lines_from, read_event, routine
from overnight.report.story import story
from overnight.report.views import TaskStory

#: Lines of a run's log that are shown live.
TAIL = 120
#: Bytes of a log's end that hold them.
_TAIL_BYTES = 96 << 10


def model(site: Site, name: str, language: str) -> dict[str, Any]:
    """Everything of the page."""
    told = story(site.home, name)
    line = timeline(told, speaker(language))
    examined = looks.examined_of(told)
    waits = told.row.hold is not None and told.row.hold.reason in acts.ASKS
    run = next((each for each in reversed(told.runs) if each.life == told.row.life), None)
    return {
        "told": told, "row": told.row, "items": line, "examined": examined if examined else None, "waits": waits,
        "run": run, "log": _tail(site, run.id) if run is not None else (), "cost": cost_of(told),
        "health": site.health(), "now": time.time(), "replay": _replay(site, told),
    }  # fmt: skip


def _replay(site: Site, told: TaskStory) -> dict[str, Any]:
    """The last run that ended, and what came of running it again."""
    run = next((each for each in reversed(told.runs) if each.outcome is not None), None)
    job = site.jobs.get(f"replay.{run.id}") if run is not None else None
    return {"run": run, "job": None if job is None else msgspec.structs.asdict(job)}


def _tail(site: Site, run: str) -> tuple[Any, ...]:
    path = folder_of(site.home, run) / EVENTS
    try:
        size = path.stat().st_size
    except OSError:
        return ()
    start = max(0, size - _TAIL_BYTES)
    found = list[Any]()
    for n, (line, _) in reversed(list(enumerate(lines_from(path, start)))):
        event = read_event(line)
        if event is not None and _tells(event) and not (start and n == 0):
            found.append((event.get("seq", n), looks.log_line(site, event)))
            if len(found) == TAIL:
                break
    return tuple(reversed(found))


def _tells(event: dict[str, Any]) -> bool:
    """Whether a record is worth a line of the live log; what a model is asked and what it used is counted elsewhere."""
    return event.get("kind") not in ("asking", "usage") and not routine(event)


def cost_of(told: TaskStory) -> dict[str, Any]:
    """What all runs of a task came to."""
    dollars, tokens, unknown = 0.0, 0, 0
    for run in told.runs:
        if run.outcome is None:
            continue
        bill, used = run.outcome.bill, run.outcome.usage
        cost = (
            float(bill.cost) if bill is not None and bill.cost is not None else used.cost_usd if bill is None else None
        )
        unknown += cost is None
        dollars += cost or 0.0
    return {"usd": dollars, "tokens": tokens, "unknown": unknown, "runs": len(told.runs)}


async def page(pages: Pages, request: Request) -> Response:
    """The page."""
    name, language = name_of(request), pages.language(request)
    whole = await pages.busy.run(task_id, pages.site.home, name)
    if whole != name:
        return RedirectResponse(f"/tasks/{quote(whole)}", status_code=303)
    return await pages.page(request, "task.html", lambda: model(pages.site, name, language))


async def live(pages: Pages, request: Request) -> Response:
    """The same, whenever it changes."""
    name, language = name_of(request), pages.language(request)
    return pages.live(request, lambda: pages.drawer.draw("_task.html", language, **model(pages.site, name, language)))


def _run_number(request: Request) -> int | None:
    text = request.query_params.get("run", "")
    return int(text) if text.isdecimal() and len(text) < 6 else None


async def diff(pages: Pages, request: Request) -> Response:
    """What a run changed."""
    name, n = name_of(request), _run_number(request)

    def make() -> dict[str, Any]:
        told = story(pages.site.home, name)
        found, examined = looks.diff(pages.site, told, n), looks.examined_of(told)
        same = examined is not None and examined.commit == found.commit
        return {"diff": found, "risk": examined.risk if examined is not None and same else None}

    return await pages.page(request, "_diff.html", make)


async def calls(pages: Pages, request: Request) -> Response:
    """What a run asked to do."""
    name, n = name_of(request), _run_number(request)

    def make() -> dict[str, Any]:
        run = looks.run_of(story(pages.site.home, name), n)
        return {"calls": calls_of(folder_of(pages.site.home, run.id)) if run is not None else (), "run": run}

    return await pages.page(request, "_calls.html", make)


async def evidence(pages: Pages, request: Request) -> Response:
    """What is known about the result."""
    name = name_of(request)

    def make() -> dict[str, Any]:
        told = story(pages.site.home, name)
        examined = looks.examined_of(told)
        if examined is None:
            raise BadInput(problem="No result of it has passed its checks yet.")
        return {"bundle": looks.evidence(pages.site, told, examined), "examined": examined}

    return await pages.page(request, "_evidence.html", make)
