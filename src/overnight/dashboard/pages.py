"""The pages' routes: what is shown, what is sent from forms, what is kept live."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from overnight.api import acts, looks
from overnight.api.app import Busy, name_of, status_of, stream
from overnight.api.jobs import Job
from overnight.api.pictures import Pictures
from overnight.api.shapes import Approve, Done, Explain, NewTask, Reject
from overnight.api.shield import cookie_name
from overnight.api.site import Site
from overnight.dashboard import loops, system, usage
from overnight.dashboard.calls import calls_of
from overnight.dashboard.draw import ASSETS, Drawer, folder
from overnight.dashboard.glance import Glances
from overnight.dashboard.timeline import timeline
from overnight.dashboard.words import LANGUAGES, choose, speaker
from overnight.errors import BadInput, DaemonUnreachable, OvernightError
from overnight.report.denials import denials
from overnight.report.find import task_id
from overnight.report.rundir import EVENTS, folder_of
from overnight.report.status import repos
from overnight.report.story import story
from overnight.report.tasks import tasks
from overnight.report.views import State, TaskStory

#: Lines of a run's log that are shown live.
TAIL = 120
#: Bytes of a log's end that hold them.
_TAIL_BYTES = 96 << 10
YEAR_S = 365 * 86400


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

    # -- models ---------------------------------------------------------------------------------------------

    def now(self) -> dict[str, Any]:
        return {"glance": self.glances.look()}

    def task(self, name: str, language: str) -> dict[str, Any]:
        told = story(self.site.home, name)
        line = timeline(told, speaker(language))
        examined = looks.examined_of(told)
        waits = told.row.hold is not None and told.row.hold.reason in acts.ASKS
        run = next((each for each in reversed(told.runs) if each.life == told.row.life), None)
        return {
            "told": told, "row": told.row, "items": line, "examined": examined if examined else None, "waits": waits,
            "run": run, "log": self._tail(run.id) if run is not None else (), "cost": cost_of(told),
            "health": self.site.health(), "now": time.time(), "replay": self._replay(told),
        }  # fmt: skip

    def _replay(self, told: TaskStory) -> dict[str, Any]:
        """The last run that ended, and what came of running it again."""
        run = next((each for each in reversed(told.runs) if each.outcome is not None), None)
        job = self.site.jobs.get(f"replay.{run.id}") if run is not None else None
        return {"run": run, "job": None if job is None else msgspec.structs.asdict(job)}

    def _tail(self, run: str) -> tuple[Any, ...]:
        path = folder_of(self.site.home, run) / EVENTS
        try:
            size = path.stat().st_size
        except OSError:
            return ()
        start = max(0, size - _TAIL_BYTES)
        found = list[Any]()
        for n, (line, _) in enumerate(looks.lines_from(path, start)):
            event = looks.read_event(line)
            if event is not None and _tells(event) and not (start and n == 0):
                found.append((event.get("seq", n), looks.log_line(self.site, event)))
        return tuple(found[-TAIL:])

    # -- streams --------------------------------------------------------------------------------------------

    def live(self, request: Request, draw: Callable[[], str]) -> Response:
        """A picture whenever it has changed, the same for all who watch it in this language."""
        key = f"{self.language(request)} {request.url.path}"
        return stream(self.busy, self.pictures.watch(key, draw))


def _tells(event: dict[str, Any]) -> bool:
    """Whether a record is worth a line of the live log; what a model is asked and what it used is counted elsewhere."""
    return event.get("kind") not in ("asking", "usage") and not looks.routine(event)


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


def routes(site: Site, busy: Busy) -> list[BaseRoute]:
    """Every page."""
    from overnight.dashboard import word

    pages = Pages(site, busy)

    def at(path: str, do: Callable[[Pages, Request], Any], *methods: str) -> Route:
        return Route(path, guarded(pages, do), methods=list(methods or ("GET",)))

    return [
        at("/", _now),
        at("/live/now", _live_now),
        at("/tasks", _tasks),
        at("/tasks/new", _new),
        at("/tasks/{task}", _task),
        at("/live/tasks/{task}", _live_task),
        at("/tasks/{task}/diff", _diff),
        at("/tasks/{task}/calls", _calls),
        at("/tasks/{task}/evidence", _evidence),
        at("/guard", _guard),
        at("/guard/explain", _explain, "POST"),
        at("/usage", _usage),
        at("/night", _night),
        at("/schedule", _schedule),
        at("/system", _system),
        at("/live/system", _live_system),
        at("/login", _login, "GET", "POST"),
        at("/logout", _logout, "POST"),
        at("/choose", _choose, "POST"),
        at("/do/{verb}", _do, "POST"),
        at("/word/{tokens}/ask", word.page, "GET", "POST"),
        Route("/static/{path:path}", _static, methods=["GET"]),
        Route("/favicon.ico", _favicon, methods=["GET"]),
    ]


def guarded(pages: Pages, do: Callable[[Pages, Request], Any]) -> Callable[[Request], Any]:
    """A handler whose errors are pages."""

    async def handle(request: Request) -> Response:
        try:
            return await do(pages, request)
        except OvernightError as error:
            status, words = status_of(error), str(error)
            if "hx-request" in request.headers:
                return _toast(pages, request, words, "bad", status)
            make: Callable[[], dict[str, Any]] = lambda: {"status": status, "words": words}  # noqa: E731
            return await pages.page(request, "error.html", make, status)

    return handle


# -- pages --------------------------------------------------------------------------------------------------


async def _now(pages: Pages, request: Request) -> Response:
    return await pages.page(request, "now.html", pages.now)


async def _live_now(pages: Pages, request: Request) -> Response:
    language = pages.language(request)
    return pages.live(request, lambda: pages.drawer.draw("_now.html", language, **pages.now()))


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


async def _task(pages: Pages, request: Request) -> Response:
    name, language = name_of(request), pages.language(request)
    whole = await pages.busy.run(task_id, pages.site.home, name)
    if whole != name:
        return RedirectResponse(f"/tasks/{quote(whole)}", status_code=303)
    return await pages.page(request, "task.html", lambda: pages.task(name, language))


async def _live_task(pages: Pages, request: Request) -> Response:
    name, language = name_of(request), pages.language(request)
    return pages.live(request, lambda: pages.drawer.draw("_task.html", language, **pages.task(name, language)))


def _run_number(request: Request) -> int | None:
    text = request.query_params.get("run", "")
    return int(text) if text.isdecimal() and len(text) < 6 else None


async def _diff(pages: Pages, request: Request) -> Response:
    name, n = name_of(request), _run_number(request)

    def make() -> dict[str, Any]:
        told = story(pages.site.home, name)
        found, examined = looks.diff(pages.site, told, n), looks.examined_of(told)
        same = examined is not None and examined.commit == found.commit
        return {"diff": found, "risk": examined.risk if examined is not None and same else None}

    return await pages.page(request, "_diff.html", make)


async def _calls(pages: Pages, request: Request) -> Response:
    name, n = name_of(request), _run_number(request)

    def make() -> dict[str, Any]:
        run = looks.run_of(story(pages.site.home, name), n)
        return {"calls": calls_of(folder_of(pages.site.home, run.id)) if run is not None else (), "run": run}

    return await pages.page(request, "_calls.html", make)


async def _evidence(pages: Pages, request: Request) -> Response:
    name = name_of(request)

    def make() -> dict[str, Any]:
        told = story(pages.site.home, name)
        examined = looks.examined_of(told)
        if examined is None:
            raise BadInput(problem="No result of it has passed its checks yet.")
        return {"bundle": looks.evidence(pages.site, told, examined), "examined": examined}

    return await pages.page(request, "_evidence.html", make)


async def _guard(pages: Pages, request: Request) -> Response:
    chosen = request.query_params.get("rule", "")[:200]

    def make() -> dict[str, Any]:
        found = denials(pages.site.home, time.time())
        wishes = [each for each in found.questions if chosen in ("", each.question.rule)]
        return {"denied": found, "wishes": wishes, "chosen": chosen, "repos": repos(pages.site.home), "explained": None}

    return await pages.page(request, "guard.html", make)


async def _explain(pages: Pages, request: Request) -> Response:
    form = await form_of(request)
    asked = _shaped({"command": form.get("command", ""), "repo": form.get("repo") or None}, Explain)
    return await pages.page(request, "_explained.html", lambda: {"explained": looks.explain(pages.site, asked)})


async def _usage(pages: Pages, request: Request) -> Response:
    return await pages.page(request, "usage.html", lambda: usage.model(pages.site))


async def _night(pages: Pages, request: Request) -> Response:
    name = request.query_params.get("night") or None
    return await pages.page(request, "night.html", lambda: system.night(pages.site, name))


async def _system(pages: Pages, request: Request) -> Response:
    return await pages.page(request, "system.html", lambda: system.model(pages.site))


async def _live_system(pages: Pages, request: Request) -> Response:
    language = pages.language(request)
    return pages.live(request, lambda: pages.drawer.draw("_system.html", language, **system.model(pages.site)))


async def _schedule(pages: Pages, request: Request) -> Response:
    return await pages.page(request, "schedule.html", lambda: loops.model(pages.site))


# -- forms --------------------------------------------------------------------------------------------------


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form. Raises BadInput."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise BadInput(problem="Send a form.")
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=50)
    except (UnicodeDecodeError, ValueError) as error:
        raise BadInput(problem="The form can't be read.") from error
    return dict(pairs)


def _shaped(values: Mapping[str, Any], kind: Any) -> Any:
    try:
        return msgspec.convert(dict(values), kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(problem=f"That does not fit: {error}.") from error


def _verbs(site: Site, form: dict[str, str], actor: str) -> dict[str, Callable[[], Any]]:
    task, repo = form.get("task", ""), form.get("repo") or None
    return {
        "approve": lambda: acts.approve(
            site, task, _shaped({"commit": form.get("commit", ""), "anyway": "anyway" in form}, Approve), actor
        ),
        "reject": lambda: acts.reject(
            site, task, _shaped({"commit": form.get("commit", ""), "why": form.get("why", "")}, Reject), actor
        ),
        "answer": lambda: acts.answer(site, task, form.get("text", ""), actor),
        "pause": lambda: acts.pause(site, task, actor),
        "resume": lambda: acts.resume(site, task, actor),
        "stop": lambda: acts.stop(site, task, actor),
        "cancel": lambda: acts.cancel(site, task, actor),
        "retry": lambda: acts.retry(site, task, actor),
        "replay": lambda: _begun(acts.replay(site, task, None, actor)),
        "audit": lambda: _begun(acts.begin(site, "audit", actor)),
        "doctor": lambda: _begun(acts.begin(site, "doctor", actor)),
        "pause-all": lambda: acts.pause_all(site, repo, actor),
        "resume-all": lambda: acts.resume_all(site, repo, actor),
        "stop-all": lambda: acts.stop_all(site, actor),
        "add": lambda: _add(site, form, actor),
    }


def _begun(job: Job) -> Done:
    return Done(message=f"{job.name}: begun. What comes of it is shown here.")


def _add(site: Site, form: dict[str, str], actor: str) -> Any:
    accept = [line.strip() for line in form.get("accept", "").splitlines() if line.strip()]
    values = {
        "text": form.get("text", ""),
        "accept": accept,
        "repo": form.get("repo") or None,
        "key": form.get("key") or None,
    }
    return acts.add(site, _shaped(values, NewTask), actor)


async def _do(pages: Pages, request: Request) -> Response:
    """Something that a person asked for. With htmx a toast, without a way back."""
    form = await form_of(request)
    do = _verbs(pages.site, form, str(request.state.who)).get(str(request.path_params["verb"]))
    if do is None:
        raise BadInput(problem="There is no such thing to do here.")
    try:
        done = await pages.busy.run(do)
    except DaemonUnreachable as error:
        problem = "The daemon does not run, so nothing can be changed. `overnight up` starts it."
        raise BadInput(problem=problem) from error
    pages.site.pulse.touch()
    if isinstance(done, acts.Added):
        return _onward(request, f"/tasks/{quote(done.id)}")
    if "hx-request" in request.headers:
        return _toast(pages, request, str(done.message), "good")
    return RedirectResponse(_back(request), status_code=303)


def _onward(request: Request, where: str) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=200, headers={"hx-redirect": where})
    return RedirectResponse(where, status_code=303)


def _back(request: Request) -> str:
    """The path of the page that a form was on; never another site's."""
    path = urlsplit(request.headers.get("referer", "")).path
    return path if path.startswith("/") and not path.startswith("//") and "\\" not in path else "/"


def _toast(pages: Pages, request: Request, words: str, tone: str, status: int = 200) -> Response:
    html = pages.drawer.draw("_toast.html", pages.language(request), words=words, tone=tone)
    return Response(
        html, status_code=status, media_type="text/html", headers={"hx-retarget": "#toasts", "hx-reswap": "beforeend"}
    )


# -- in and out ---------------------------------------------------------------------------------------------


async def _login(pages: Pages, request: Request) -> Response:
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


async def _logout(_pages: Pages, request: Request) -> Response:
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(cookie_name(request.scope), path="/", httponly=True, samesite="strict")
    return response


async def _choose(_pages: Pages, request: Request) -> Response:
    """Language and light."""
    form = await form_of(request)
    response = RedirectResponse(_back(request), status_code=303)
    keep = partial(response.set_cookie, max_age=YEAR_S, samesite="strict", path="/")
    if form.get("lang") in LANGUAGES:
        keep("lang", form["lang"])
    if form.get("theme") in ("light", "dark", "auto"):
        keep("theme", form["theme"])
    return response


# -- files --------------------------------------------------------------------------------------------------


async def _static(request: Request) -> Response:
    """One of our own files, by its name in a list: no path is made of what somebody sends."""
    name = str(request.path_params["path"])
    if name not in ASSETS or not (folder() / "static" / name).is_file():
        return Response(status_code=404)
    kept = "public, max-age=31536000, immutable" if "v" in request.query_params else "no-cache"
    return FileResponse(folder() / "static" / name, headers={"cache-control": kept})


async def _favicon(_request: Request) -> Response:
    moon = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#1c2140"/>'
        '<path d="M21.5 19.8A9 9 0 0 1 12.2 7.6a9 9 0 1 0 9.3 12.2z" fill="#f4d58d"/></svg>'
    )
    return Response(moon, media_type="image/svg+xml", headers={"cache-control": "public, max-age=86400"})
