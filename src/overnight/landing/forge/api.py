"""`Api`: one way to GitHub's REST API. What did not change costs nothing, and what can't be had now is a hold.

githubkit is imported with the first request only: it is large.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from overnight import __version__
from overnight.landing.forge import holds
from overnight.landing.forge.settings import ForgeSettings

if TYPE_CHECKING:
    from githubkit import GitHub
    from githubkit.auth import TokenAuthStrategy
    from githubkit.response import Response

T = TypeVar("T")
#: The version of the API that this adapter speaks.
VERSION = "2022-11-28"
#: Seconds that one request may take; answers that are kept to be asked for again with their ETag; entries of a page.
_LIMIT, _KEPT, _PAGE = 30.0, 500, 100
#: What the forge answers where it has no such thing.
_ABSENT = (404, 409, 410, 422)
#: Pages that are read of one list: more comments or checks than these are no use to anybody.
_PAGES = 30
_NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')


class Said(Exception):
    """The forge answered no, in its own words."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(f"{status}: {message}")


class Left(Struct):
    """What the forge says is left of the hour, for everybody who uses the token."""

    #: None before it said anything.
    remaining: int | None = None
    limit: int = 0
    #: Epoch seconds at which the hour begins anew.
    reset: float = 0.0


class _Problem(Struct):
    message: str = ""
    field: str = ""
    code: str = ""


class _Refusal(Struct):
    message: str = ""
    errors: tuple[_Problem | str, ...] = ()


class Api:
    """Requests to one forge with one token, one budget and one memory of what it said last.

    token: "" where there is none; every request holds then. clock: epoch seconds.
    """

    def __init__(self, settings: ForgeSettings, token: str, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._token, self._clock = settings, token, clock
        self.left = Left()
        self._until = 0.0
        self._why = ""
        self._cache: OrderedDict[str, tuple[str, bytes, str]] = OrderedDict()
        self._github: GitHub[TokenAuthStrategy] | None = None

    async def get(self, path: str, what: type[T], params: Mapping[str, str | int] | None = None) -> T:
        """What the forge has there. Raises Said (404 among others), Held."""
        body, _ = await self._read(path, params or {})
        return msgspec.json.decode(body, type=what)

    async def pages(self, path: str, what: type[T], params: Mapping[str, str | int] | None = None) -> AsyncGenerator[T]:
        """A list, page by page. Raises Said, Held."""
        query: Mapping[str, str | int] = {**(params or {}), "per_page": _PAGE}
        for _ in range(_PAGES):
            body, following = await self._read(path, query)
            yield msgspec.json.decode(body, type=what)
            if not following:
                return
            if not following.startswith(self._settings.api.rstrip("/") + "/"):
                raise holds.outage(f"{self._settings.api} sends the next page to another place", self._clock())
            path, query = following, {}

    async def send(self, method: str, path: str, body: Mapping[str, Any], what: type[T]) -> T:
        """Change something; asked for once, whatever happens to the answer. Raises Said, Held."""
        answer = await self._ask(method, path, {}, body, {})
        return msgspec.json.decode(answer.content, type=what)

    async def graphql(self, query: str, variables: Mapping[str, Any]) -> None:
        """The few things that only GraphQL can do. Raises Said with what it complains of, Held."""
        endpoint = self._client().graphql._get_graphql_endpoint()  # noqa: SLF001 (githubkit has no public name for it)
        answer = await self._ask("POST", endpoint, {}, {"query": query, "variables": dict(variables)}, {})
        errors = msgspec.json.decode(answer.content, type=_Graph).errors
        if any(error.type in ("RATE_LIMIT", "RATE_LIMITED") for error in errors):
            raise self._limited("the forge's hourly limit of GraphQL is spent", self.left.reset or self._clock() + 60)
        if errors:
            raise Said(200, "; ".join(error.message for error in errors))

    async def _read(self, path: str, params: Mapping[str, str | int]) -> tuple[bytes, str]:
        """The body, and the address of the next page. A page that did not change comes from memory."""
        key = f"{path}?{sorted(params.items())}"
        kept = self._cache.get(key)
        try:
            answer = await self._ask("GET", path, params, None, {"If-None-Match": kept[0]} if kept else {})
        except Said as said:
            if said.status in _ABSENT:
                raise
            if said.status in (403, 451):
                raise holds.auth(
                    f"the token may not read {path}: {said.message}", self._settings.token_variable
                ) from None
            raise holds.outage(f"{path} can't be read: {said}", self._clock()) from None
        if answer.status_code == 304 and kept is not None:
            self._cache.move_to_end(key)
            return kept[1], kept[2]
        found = _NEXT.search(answer.headers.get("link", ""))
        following = found[1] if found else ""
        if tag := answer.headers.get("etag"):
            self._cache[key] = (tag, answer.content, following)
            while len(self._cache) > _KEPT:
                self._cache.popitem(last=False)
        return answer.content, following

    async def _ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int],
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> Response[Any]:
        from githubkit.exception import GitHubException, RateLimitExceeded, RequestFailed

        self._may_ask()
        try:
            answer = await self._client().arequest(  # pyright: ignore[reportUnknownMemberType] (its `data: dict`)
                method,
                path,
                params=dict(params) or None,
                json=body,
                headers={"X-GitHub-Api-Version": VERSION, **headers},
            )
        except RateLimitExceeded as error:
            self._count(error.response)
            raise self._limited(
                _words(error.response) or "the forge's limit is reached",
                self._clock() + max(1.0, error.retry_after.total_seconds()),
            ) from None
        except RequestFailed as error:
            self._count(error.response)
            raise self._failed(error.response) from None
        except GitHubException as error:  # nothing came back: refused, cut off, too slow
            raise holds.lost(f"{self._settings.api} does not answer: {error!r}", self._clock()) from None
        self._count(answer)
        return answer

    def _may_ask(self) -> None:
        """Raises Held where asking would only cost."""
        now = self._clock()
        if not self._token:
            raise holds.auth(
                f"{self._settings.token_variable} is not set for the daemon", self._settings.token_variable
            )
        if now < self._until:
            raise holds.limit(self._why, self._until)
        left = self.left
        if left.remaining is not None and left.remaining <= min(self._settings.spare, left.limit // 2):
            if now < left.reset:
                why = (
                    f"{left.remaining} of {left.limit} requests of this hour are left, for whoever else uses the token"
                )
                raise holds.limit(why, left.reset)
            self.left = Left()

    def _count(self, answer: Response[Any]) -> None:
        if answer.headers.get("x-ratelimit-resource", "core") != "core":
            return
        values = [answer.headers.get(f"x-ratelimit-{name}", "") for name in ("remaining", "limit", "reset")]
        if all(value.isdecimal() for value in values):
            self.left = Left(int(values[0]), int(values[1]), float(values[2]))

    def _limited(self, why: str, until: float) -> Exception:
        self._why, self._until = why, until
        return holds.limit(why, until)

    def _failed(self, answer: Response[Any]) -> Exception:
        status, words = answer.status_code, _words(answer)
        if status == 401:
            return holds.auth(f"the forge does not take the token: {words}", self._settings.token_variable)
        if status >= 500:
            return holds.outage(f"the forge fails with {status}: {words}", self._clock())
        if status == 429 or (status == 403 and "secondary rate limit" in words):
            return self._limited(words, self._clock() + 60)
        return Said(status, words)

    def _client(self) -> GitHub[TokenAuthStrategy]:
        if self._github is None:
            from githubkit import GitHub

            self._github = GitHub(
                self._token,
                base_url=self._settings.api,
                user_agent=f"overnight/{__version__}",
                follow_redirects=True,
                timeout=_LIMIT,
                trust_env=False,
                http_cache=False,
                auto_retry=False,
            )
        return self._github


class _GraphError(Struct):
    message: str = ""
    type: str = ""


class _Graph(Struct):
    errors: tuple[_GraphError, ...] = ()


def _words(answer: Response[Any]) -> str:
    """What the forge complains of, in one line."""
    try:
        said = msgspec.json.decode(answer.content, type=_Refusal)
    except msgspec.DecodeError:
        return answer.text[:200].strip()
    more = [each if isinstance(each, str) else each.message or f"{each.field} {each.code}" for each in said.errors]
    return ": ".join((said.message, *(text.strip() for text in more if text.strip())))
