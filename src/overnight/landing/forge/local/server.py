"""`LocalGitHub`: the API at `/api/v3`, GraphQL at `/api/graphql` and git over HTTP at `/git`, on a loopback port."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from overnight.landing.forge.local.rest import Rest
from overnight.landing.forge.local.store import Refused, Store

TOKEN = "github_pat_local"  # noqa: S105 (a token of nothing)
#: Stands in a bare repository as its `update` hook, as protection stands on GitHub.
_UPDATE = """#!/bin/sh
if grep -qxF "$1" protected 2>/dev/null; then
  echo "GH006: Protected branch update failed for $1." >&2
  exit 1
fi
"""


@dataclass
class Fault:
    """Something that goes wrong with matching requests.

    act: before the request is carried out, instead of it: `status`, `hang-up`, `primary`, `secondary`, `slow` (until
    `release` is set); after it: `hang-up-after`.
    """

    act: str
    #: A regex that finds `METHOD PATH`.
    where: str = ""
    #: How many times; None for ever.
    times: int | None = None
    status: int = 502
    #: Seconds that a limit asks to wait.
    wait: int = 60
    #: A slow request waits for this, and says that it waits.
    release: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Event = field(default_factory=threading.Event)


class Exchange(Struct, frozen=True):
    """A request to the API and its answer, for whoever checks them."""

    method: str
    #: From the base URL on, without the query.
    path: str
    query: dict[str, str]
    body: Any
    status: int
    answer: Any


def _unseen(_exchange: Exchange) -> None:
    """Nobody looks."""


def _unwatched(_moment: str, _request: str) -> None:
    """Nobody looks."""


class _Answer(Struct):
    status: int
    body: bytes = b""
    headers: dict[str, str] = {}


class LocalGitHub:
    """Serves one repository while it is entered. folder: for bare repositories."""

    def __init__(self, folder: Path, owner: str = "acme", name: str = "site") -> None:
        self.store = Store(folder, owner, name)
        self.folder = folder
        hook = self.store.git_dir / "hooks" / "update"
        hook.write_text(_UPDATE)
        hook.chmod(0o755)
        self.store.git("config", "http.receivepack", "true")
        self.token = TOKEN
        self.faults: list[Fault] = []
        #: Requests of the hour, all and left; epoch seconds of its end.
        self.limit, self.remaining, self.reset = 5000, 5000, 4_000_000_000
        #: How often `METHOD /path` was answered, by its status: ("GET /repos/...", 304).
        self.asked: Counter[tuple[str, int]] = Counter()
        self.observer: Callable[[Exchange], None] = _unseen
        #: Told `before` and `after` each request is carried out, with its `METHOD PATH`, git's as well; the answer is
        #: sent afterwards. By the thread that serves it; a ConnectionError that it raises ends the request there.
        self.watch: Callable[[str, str], None] = _unwatched
        self.lock = threading.RLock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for fault in self.faults:
            fault.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT`"""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def api(self) -> str:
        """The API's base URL."""
        return f"{self.address}/api/v3"

    @property
    def git(self) -> str:
        """The base URL of repositories."""
        return f"{self.address}/git"

    def protects(self, branch: str) -> None:
        """Nobody pushes to it from now on."""
        with (self.store.git_dir / "protected").open("a") as file:
            file.write(f"refs/heads/{branch}\n")

    # -- one request --------------------------------------------------------------------------------------------

    def fault(self, method: str, path: str) -> Fault | None:
        """What goes wrong with this request, used up."""
        with self.lock:
            for fault in self.faults:
                if fault.times != 0 and re.search(fault.where, f"{method} {path}"):
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    def api_answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        """What the API says."""
        with self.lock:
            url = urlsplit(target)
            path, query = url.path, dict(parse_qsl(url.query))
            sent: Any = json.loads(body) if body else None
            if headers.get("authorization") not in (f"Bearer {self.token}", f"token {self.token}"):
                return _json(401, {"message": "Bad credentials", "documentation_url": "", "status": "401"})
            if self.remaining <= 0:
                return _json(403, {"message": "API rate limit exceeded for user."}, self.counted())
            if path == "/api/graphql":
                self.asked["POST /graphql", 200] += 1
                return _json(200, Rest(self.store, self.api).graphql(sent), {"x-ratelimit-resource": "graphql"})
            path = path.removeprefix("/api/v3")
            try:
                status, found = Rest(self.store, self.api).answer(method, path, query, sent)
            except Refused as no:
                errors = [{"resource": "PullRequest", "code": "custom", "message": text} for text in no.errors]
                status, found = no.status, {"message": no.message, "documentation_url": "", "status": str(no.status)}
                found |= {"errors": errors} if errors else {}
            found, more = self._page(path, query, found)
            self.observer(Exchange(method, path, query, sent, status, found))
            answer = _json(status, found, more)
            tag = f'"{hashlib.sha256(answer.body).hexdigest()}"'
            if method == "GET" and status == 200:
                answer.headers["etag"] = tag
                if headers.get("if-none-match") == tag:
                    answer = _Answer(304, b"", {"etag": tag})
            if answer.status != 304:
                self.remaining -= 1
            answer.headers |= self.counted()
            self.asked[f"{method} {path}", answer.status] += 1
            return answer

    def counted(self) -> dict[str, str]:
        """The headers that say what is left of the hour."""
        facts = {"limit": self.limit, "remaining": max(self.remaining, 0), "reset": self.reset}
        return {**{f"x-ratelimit-{name}": str(value) for name, value in facts.items()}, "x-ratelimit-resource": "core"}

    def _page(self, path: str, query: Mapping[str, str], found: Any) -> tuple[Any, dict[str, str]]:
        """One page of what is a list, and the address of the next."""
        part = "check_runs" if path.endswith("/check-runs") else "statuses" if path.endswith("/status") else ""
        everything: Any = found.get(part, found) if part else found
        if not isinstance(everything, list):
            return found, {}
        everything = cast("list[Any]", everything)
        size, at = min(int(query.get("per_page", "30")), 100), int(query.get("page", "1"))
        shown = everything[size * (at - 1) : size * at]
        more = {}
        if size * at < len(everything):
            following = "&".join(f"{k}={v}" for k, v in {**query, "page": str(at + 1)}.items())
            more = {"link": f'<{self.api}{path}?{following}>; rel="next"'}
        return ({**found, part: shown} if part else shown), more

    def git_answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        """What git's own server says."""
        wanted = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        if headers.get("authorization") != f"Basic {wanted}":
            return _Answer(401, b"", {"www-authenticate": 'Basic realm="GitHub"'})
        url = urlsplit(target)
        env = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.folder), "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "x", "REQUEST_METHOD": method, "PATH_INFO": unquote(url.path).removeprefix("/git"),
            "QUERY_STRING": url.query, "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "GIT_PROTOCOL": headers.get("git-protocol", ""), "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        said = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n") if line)
        status = int(said.pop("Status", "200").split(" ")[0]) if done.returncode == 0 else 500
        return _Answer(status, content, said)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, github: LocalGitHub) -> None:
        self.github = github
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked is gone: nobody needs to be told."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing is printed."""

    def _serve(self) -> None:
        github = cast("_Server", self.server).github
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._body(headers)
        fault = github.fault(self.command, urlsplit(self.path).path)
        if fault is not None and (instead := self._instead(github, fault)) is not None:
            self._send(instead) if instead.status else self._hang_up()
            return
        answer = github.git_answer if self.path.startswith("/git/") else github.api_answer
        request = f"{self.command} {urlsplit(self.path).path}"
        github.watch("before", request)
        said = answer(self.command, self.path, headers, body)
        github.watch("after", request)
        if fault is not None and fault.act == "hang-up-after":
            self._hang_up()
        else:
            self._send(said)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(headers.get("content-length", "0")))
        parts: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _instead(self, github: LocalGitHub, fault: Fault) -> _Answer | None:
        """What comes instead of the answer; status 0: nothing at all. None: the request is carried out."""
        if fault.act == "slow":
            fault.waiting.set()
            fault.release.wait()
        words = {"message": "Server Error"}
        match fault.act:
            case "status":
                return _json(fault.status, words)
            case "hang-up":
                return _Answer(0)
            case "primary":
                left = {**github.counted(), "x-ratelimit-remaining": "0"}
                return _json(403, {"message": "API rate limit exceeded for user."}, left)
            case "secondary":
                words = {"message": "You have exceeded a secondary rate limit."}
                return _json(fault.status, words, {"retry-after": str(fault.wait)})
            case _:
                return None

    def _hang_up(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _send(self, answer: _Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)


def _json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> _Answer:
    kind = {"content-type": "application/json; charset=utf-8"}
    return _Answer(status, json.dumps(body).encode(), {**kind, **(headers or {})})
