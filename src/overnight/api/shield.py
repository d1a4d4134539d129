"""What stands in front of every request: the right host, the right origin, little enough, often enough, and known.

A browser sends whatever any page tells it to. So a request that changes something must come from a page of ours
(`Origin`, `Sec-Fetch-Site`), and every one must be for a name that is ours (`Host`): a name that somebody points here
is refused (DNS rebinding). IP addresses can't be pointed anywhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overnight.api.access import Access
from overnight.errors import StateNotWritable
from overnight.people.operators import actor_of

#: Bytes of a body; a task's text is the largest.
LARGEST = 2 << 20
#: Seconds until a body has come.
BODY_S = 20.0
#: Requests of one client: so many at once, and so many a second in the long run.
BURST, RATE = 240, 60.0
#: The same for attempts to log in, over all clients: nobody guesses 192 bits, and logs stay small.
LOGIN_BURST, LOGIN_RATE = 20, 0.2
MOST_CLIENTS = 1000
#: Where forges report; what they send is signed.
HOOKS = "/api/webhooks/"
OPEN = ("/login", "/static/", "/health", "/favicon.ico", "/word/", HOOKS)
#: Signed links, over all who are not logged in.
LINK_BURST, LINK_RATE = 60, 5.0
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Refusal(NamedTuple):
    """Why a request goes no further."""

    status: int
    kind: str
    message: str


class Bucket:
    """Lets so many through at once, and so many a second in the long run."""

    def __init__(self, burst: float, rate: float) -> None:
        self._burst, self._rate, self._left, self._at = burst, rate, float(burst), 0.0

    def take(self, now: float) -> bool:
        """One more? now: monotonic seconds."""
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Shield:
    """ASGI: refuses, or passes on with `scope["state"]["who"]` set: `api`, `web`, `web:NAME`, or
    nothing where all may in."""

    def __init__(
        self, app: ASGIApp, access: Access, hosts: tuple[str, ...], *, burst: float = BURST, rate: float = RATE
    ) -> None:
        self._app, self._access = app, access
        self._burst, self._rate = burst, rate
        self._hosts = frozenset(("localhost", *(host.lower() for host in hosts)))
        self._clients: dict[str, Bucket] = {}
        self._logins, self._links = Bucket(LOGIN_BURST, LOGIN_RATE), Bucket(LINK_BURST, LINK_RATE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refuse(scope, receive, _hardened(send), refusal)
            return
        body = _Body(receive)
        await self._app(scope, body, _hardened(send))

    def _refusal(self, scope: Scope, headers: Headers) -> Refusal | None:
        path, method = str(scope["path"]), str(scope["method"])
        if not self._is_ours(headers.getlist("host")):
            problem = "This server is not called so. Name it in `web.hosts` if it should be."
            return Refusal(421, "wrong_host", problem)
        if (refusal := _crossed(scope, headers, method)) is not None:
            return refusal
        try:
            who = self._who(headers, cookie_name(scope))
        except StateNotWritable as error:
            return Refusal(503, "state", str(error))
        client = f"{'a forge' if path.startswith(HOOKS) else who} {scope['client'][0] if scope.get('client') else ''}"
        if not self._bucket(client).take(time.monotonic()):
            return Refusal(429, "too_many", "Too many requests. Wait a second and try again.")
        if path == "/login" and method == "POST" and not self._logins.take(time.monotonic()):
            return Refusal(429, "too_many", "Too many attempts to log in. Wait a minute and try again.")
        if path.startswith("/word/") and who is None and not self._links.take(time.monotonic()):
            return Refusal(429, "too_many", "Too many links were opened. Wait a minute and try again.")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > LARGEST:
            return Refusal(413, "too_large", f"More than {LARGEST >> 20} MiB may not be sent at once.")
        scope.setdefault("state", {})["who"] = who
        if who is None and not path.startswith(OPEN):
            return Refusal(401, "login", "Log in first: `overnight web login` prints a link; programs send the token.")
        return None

    def _is_ours(self, given: list[str]) -> bool:
        if len(given) != 1:
            return False
        try:
            name = urlsplit(f"//{given[0]}").hostname or ""
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _who(self, headers: Headers, cookie: str) -> str | None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            login = self._access.by_token(token.strip())
            return None if login is None else actor_of("api", login.person)
        value = cookies(headers).get(cookie, "")
        login = self._access.by_session(value, time.time()) if value else None
        return None if login is None else actor_of("web", login.person)

    def _bucket(self, client: str) -> Bucket:
        if client not in self._clients:
            if len(self._clients) >= MOST_CLIENTS:
                self._clients.clear()
            self._clients[client] = Bucket(self._burst, self._rate)
        return self._clients[client]


def cookie_name(scope: Scope) -> str:
    """Cookies know no ports: two servers on one machine must not overwrite each other's."""
    server = scope.get("server")
    return f"overnight_{server[1] if server else 0}"


def cookies(headers: Mapping[str, str]) -> dict[str, str]:
    """The cookies of a request."""
    jar = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


def _crossed(scope: Scope, headers: Headers, method: str) -> Refusal | None:
    """Whether another site's page sent it. A browser says so by two headers; a program sends neither."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    own = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
    proxied = f"https://{headers.get('host', '')}"
    foreign = Refusal(403, "wrong_origin", "Another site's page may not ask for this.")
    if origin is not None and origin not in (own, proxied):
        return foreign
    if site in ("cross-site", "same-site"):
        navigates = headers.get("sec-fetch-mode") == "navigate" and method == "GET"
        return None if navigates else foreign
    if method not in SAFE and origin is None and site is None and "cookie" in headers:
        return foreign
    return None


def _hardened(send: Send) -> Send:
    """With the headers that every answer carries."""

    began = time.perf_counter()

    async def hardened(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["server-timing"] = f"app;dur={(time.perf_counter() - began) * 1000:.1f}"
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return hardened


class TooMuch(Exception):
    """A body that is too large, or takes too long."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


class _Body:
    """A request's body, within its bounds."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._left, self._over = receive, LARGEST, False
        self._until: float | None = None

    async def __call__(self) -> Message:
        """Raises TooMuch."""
        if self._over:  # what comes now is only that the client has gone
            return await self._receive()
        loop = asyncio.get_running_loop()
        self._until = self._until or loop.time() + BODY_S
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise TooMuch(Refusal(408, "too_slow", "The request did not come within its time.")) from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise TooMuch(Refusal(413, "too_large", f"More than {LARGEST >> 20} MiB may not be sent at once."))
            self._over = not message.get("more_body", False)
        return message


async def refuse(scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
    """Answer with a refusal: as JSON, or to a person's browser as a page that leads on."""
    from starlette.responses import JSONResponse, RedirectResponse, Response

    headers = Headers(scope=scope)
    response: Response
    if refusal.status == 401 and "text/html" in headers.get("accept", "") and scope["method"] == "GET":
        response = RedirectResponse("/login", status_code=303)
        if "hx-request" in headers:
            response = Response(status_code=401, headers={"hx-redirect": "/login"})
    else:
        body = {"error": {"kind": refusal.kind, "message": refusal.message}}
        response = JSONResponse(body, status_code=refusal.status)
        if refusal.status == 401:
            response.headers["www-authenticate"] = "Bearer"
        if refusal.status == 429:
            response.headers["retry-after"] = "1"
    response.headers["connection"] = "close" if refusal.status in (408, 413) else "keep-alive"
    await response(scope, receive, send)
