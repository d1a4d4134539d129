"""What people do by forms: one verb each, with a toast for an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from overnight.api import acts
from overnight.api.jobs import Job
from overnight.api.shapes import Added, Approve, Done, NewTask, Reject
from overnight.api.site import Site
from overnight.dashboard.shared import Pages, back, form_of, onward, shaped, toast
from overnight.errors import BadInput, DaemonSilent, DaemonUnreachable


async def do(pages: Pages, request: Request) -> Response:
    """Something that a person asked for. With htmx a toast, without a way back."""
    form = await form_of(request)
    do = _verbs(pages.site, form, str(request.state.who)).get(str(request.path_params["verb"]))
    if do is None:
        raise BadInput(problem="There is no such thing to do here.")
    try:
        done = await pages.busy.run(do)
    except DaemonSilent:
        raise  # it may be done yet: nobody is told that nothing was changed
    except DaemonUnreachable as error:
        problem = "The daemon does not run, so nothing can be changed. `overnight up` starts it."
        raise BadInput(problem=problem) from error
    pages.site.pulse.touch()
    if isinstance(done, Added):
        return onward(request, f"/tasks/{quote(done.id)}")
    if "hx-request" in request.headers:
        return toast(pages, request, str(done.message), "good")
    return RedirectResponse(back(request), status_code=303)


def _verbs(site: Site, form: dict[str, str], actor: str) -> dict[str, Callable[[], Any]]:
    task, repo = form.get("task", ""), form.get("repo") or None
    return {
        "approve": lambda: acts.approve(
            site, task, shaped({"commit": form.get("commit", ""), "anyway": "anyway" in form}, Approve), actor
        ),
        "reject": lambda: acts.reject(
            site, task, shaped({"commit": form.get("commit", ""), "why": form.get("why", "")}, Reject), actor
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
    return acts.add(site, shaped(values, NewTask), actor)
