"""The page of a signed link: what one person is asked, and the buttons to decide it. It needs no login and shows nothing
else. Opening it decides nothing, however often and by whatever program; the form does, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from overnight.dashboard.shared import Pages, form_of
from overnight.dashboard.words import reteller, speaker
from overnight.errors import BadInput, DaemonSilent, DaemonUnreachable
from overnight.missions.approval import Action, Redeemed, Refusal
from overnight.people.operators import LINK
from overnight.people.tickets import Shown
from overnight.people.verbs import read_redeemed, read_shown

if TYPE_CHECKING:
    from overnight.api.site import Site

#: Characters of the tokens in an address; and of words in the form.
_ADDRESS, _WORDS = 400, 20_000


class Said(Struct, frozen=True, kw_only=True):
    """What came of a form."""

    ok: bool
    words: str


async def page(pages: Pages, request: Request) -> Response:
    """GET shows, POST decides."""
    tokens = str(request.path_params["tokens"])[:_ADDRESS]
    said = None
    if request.method == "POST":
        said = await _decided(pages, request, tokens)
    shown = await _asked(pages, "look", tokens=tokens.split(".")) if said is None else None

    def make() -> dict[str, Any]:
        return {
            "here": Markup(f"/word/{quote(tokens)}/ask"), "said": said,  # noqa: S704 (quoted; no text for the redactor)
            "shown": None if shown is None else read_shown(shown),
            "now": time.time(), "is_shown": _is_shown, "Action": Action,
        }  # fmt: skip

    language = pages.language(request)
    html = await pages.busy.run(lambda: pages.drawer.draw("word.html", language, **make()))
    refused = (said is not None and not said.ok) or (shown is not None and not _is_shown(read_shown(shown)))
    return Response(html, status_code=409 if refused else 200, media_type="text/html")


async def _decided(pages: Pages, request: Request, tokens: str) -> Said:
    """A form of ours was sent: the shield let no other origin pass, and here one must be named."""
    if "origin" not in request.headers:
        raise HTTPException(403, "Only the page of the link decides.")
    language = pages.language(request)
    form, say, retell = await form_of(request), speaker(language), reteller(language)
    if form.get("token", "") not in tokens.split("."):
        raise BadInput(problem="The form does not belong to this link. Open the link again.")
    given = await _asked(
        pages, "redeem", token=form["token"], sender=_client(request), channel=LINK, why=form.get("words", "")[:_WORDS],
        expect=form.get("action", ""),
    )  # fmt: skip
    match read_redeemed(given):
        case Redeemed(task=task, commit=commit, action=action):
            return Said(ok=True, words=f"{say(_DONE[action])}: {task} {commit[:12]}".rstrip())
        case Refusal(words=words):
            return Said(ok=False, words=f"{say('Not taken')}: {retell(words)}.")


_DONE = {
    Action.LAND: "Approved",
    Action.LAND_ANYWAY: "Approved, blocks and all",
    Action.REJECT: "Rejected",
    Action.ANSWER: "Answered",
}


async def _asked(pages: Pages, verb: str, **arguments: Any) -> Any:
    site: Site = pages.site
    try:
        return await pages.busy.run(lambda: site.ask(verb, LINK, **arguments))
    except DaemonSilent as error:
        problem = "Overnight gave no answer. Open the link again later: it shows whether your word was taken."
        raise BadInput(problem=problem) from error
    except DaemonUnreachable as error:
        problem = "Overnight does not run now, so nothing can be decided. Open the link again later."
        raise BadInput(problem=problem) from error


def _client(request: Request) -> str:
    return request.client.host if request.client is not None else "somewhere"


def _is_shown(value: object) -> bool:
    return isinstance(value, Shown)
