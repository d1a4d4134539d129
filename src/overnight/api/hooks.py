"""Webhooks of the forge: the one door that needs no token, since GitHub signs what it sends.

What is verified makes the daemon look sooner; nothing of it is believed. What is not, is turned away and counted.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from overnight.api.app import Busy, problem
from overnight.api.site import Site
from overnight.errors import OvernightError
from overnight.landing.forge.webhooks import event_of, signed
from overnight.missions.codec import builtins, encode

PATH = "/api/webhooks/github"
#: Refusals are put on record together, no more often than this, in seconds.
TOLD_EVERY_S = 60.0
_OFF = "No secret is set, so no webhook is taken. Start the daemon with one in the variable `forge.webhook_variable`."
_NONE = "Send `X-Hub-Signature-256`: set the same secret at the forge."
_WRONG = "The signature is not of this body with our secret."


class Heard(Struct, frozen=True, kw_only=True):
    """A webhook that was signed."""

    #: Whether it is about something that may matter here.
    heeded: bool
    #: How many tasks look sooner for it.
    tasks: int = 0


class Hooks:
    """The door. now: epoch seconds."""

    def __init__(self, site: Site, busy: Busy, now: Callable[[], float] = time.time) -> None:
        self._site, self._busy, self._now = site, busy, now
        self._refused, self._told = 0, 0.0

    async def github(self, request: Request) -> Response:
        """`POST /api/webhooks/github`. Raises TooMuch, DaemonUnreachable."""
        secret, signature = self._site.machine.webhook_secret, request.headers.get("x-hub-signature-256")
        if not secret:
            return problem(404, "NoWebhooks", _OFF, {"connection": "close"})
        if signature is None:
            return await self._refuse(401, "NotSigned", _NONE)
        body = await request.body()
        if not signed(secret, body, signature):
            return await self._refuse(403, "WrongSignature", _WRONG)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return problem(415, "http_415", "Choose the content type `application/json` for the webhook at the forge.")
        return await self._heed(request, body)

    async def _heed(self, request: Request, body: bytes) -> Response:
        event = event_of(request.headers.get("x-github-event", ""), body)
        if event is None:
            return _answer(Heard(heeded=False))
        delivery, digest = request.headers.get("x-github-delivery", ""), hashlib.sha256(body).hexdigest()
        said = await self._busy.run(self._ask, delivery, digest, builtins(event))
        return _answer(Heard(heeded=said["new"], tasks=said["tasks"]))

    def _ask(self, delivery: str, digest: str, event: object) -> dict[str, int]:
        return self._site.ask("webhook", "forge", delivery=delivery, digest=digest, event=event)

    async def _refuse(self, status: int, kind: str, words: str) -> Response:
        """Nothing of what was sent is kept or printed: anybody may send it."""
        self._refused += 1
        if self._now() - self._told >= TOLD_EVERY_S:
            count, self._refused, self._told = self._refused, 0, self._now()
            print(f"overnight: webhooks refused: {count}, the last one as {kind}", file=sys.stderr)
            await self._busy.run(self._tell, kind, count)
        return problem(status, kind, words, {"connection": "close"})

    def _tell(self, kind: str, count: int) -> None:
        try:
            self._site.ask("webhook_refused", "web", why=kind, count=count)
        except OvernightError as error:  # it is in this process's log
            print(f"overnight: that is not on record: {error}", file=sys.stderr)


def _answer(heard: Heard) -> Response:
    return Response(encode(heard), status_code=202, media_type="application/json")
