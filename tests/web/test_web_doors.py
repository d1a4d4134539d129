"""Who is let in, and what is turned away: tokens, links, cookies, hosts, origins, sizes, paces, paths."""

from __future__ import annotations

import contextlib
import socket
import stat
import time
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from web_lab import HAPPENS_WITHIN_S, Http, wait
from web_served import Pages

from overnight.api.access import CODE_S, Access, Login
from overnight.api.endpoints import OPERATIONS
from overnight.api.settings import WebSettings
from overnight.api.shield import LARGEST, Bucket, Shield
from overnight.durable.journal import Journal

NO_TOKEN_NEEDED = ("/health", "/login", "/favicon.ico")


def test_nothing_is_told_without_the_token(pages: Pages) -> None:
    """Every operation, page and stream answers 401 to a stranger; only health, login and assets are open."""
    stranger = Http(pages.url)
    paths = [(each.method, each.path.replace("{task}", "a").replace("{account}", "a")) for each in OPERATIONS]
    paths += [
        ("GET", path)
        for path in ("/", "/tasks", "/system", "/live/now", "/api/events", "/metrics", "/openapi.json", "/no-such")
    ]
    for method, path in paths:
        assert stranger.ask(method, path)[0] == 401, (method, path)
    for path in NO_TOKEN_NEEDED:
        assert stranger.ask("GET", path)[0] in (200, 503), path
    assert stranger.ask("GET", "/", headers={"Authorization": "Bearer wrong"})[0] == 401
    assert stranger.ask("GET", "/", headers={"Accept": "text/html"})[1]["location"] == "/login"


def test_the_token_is_its_owners_alone(tmp_path: Path) -> None:
    """0600 in a folder with 0700; the same one again; a new one when asked, which ends sessions."""
    access = Access(tmp_path / "state", 60.0)
    token, session = access.token, access.session(100.0)
    path = tmp_path / "state" / "web" / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert Access(tmp_path / "state", 60.0).token == token
    assert access.by_session(session, 100.0) == Login()
    access.renew()
    assert (access.token == token, access.by_token(token), access.by_session(session, 100.0)) == (False, None, None)


@pytest.mark.parametrize("left", ["", "\n", "abc"])
def test_a_token_that_was_cut_off_lets_nobody_in(tmp_path: Path, left: str) -> None:
    """A power cut that left an empty file: no token is no key, neither as a program nor in a cookie; a new one is made."""
    access = Access(tmp_path, 60.0)
    session = access.session(100.0)
    path = tmp_path / "web" / "token"
    path.write_text(left)
    assert [access.by_token(given) for given in ("", left, left.strip())] == [None] * 3
    assert (access.by_session(session, 100.0), Access(tmp_path, 60.0).by_token("")) == (None, None)
    assert (access.by_token(access.token), stat.S_IMODE(path.stat().st_mode)) == (Login(), 0o600)


def test_a_token_that_can_not_be_read_is_said(tmp_path: Path) -> None:
    """Not as a fault of the server's without a word: nobody gets in, and the file is named."""
    access = Access(tmp_path, 60.0)
    path = tmp_path / "web" / "token"
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)
    client = TestClient(Shield(PlainTextResponse("inside"), access, ("testserver",)))
    answer = client.get("/tasks", headers={"authorization": "Bearer x"})
    assert (answer.status_code, str(path) in answer.text) == (503, True)


def test_a_session_ends_and_can_not_be_made_up(tmp_path: Path) -> None:
    """Too old, longer than signed, without a signature: none is one."""
    access = Access(tmp_path, 60.0)
    value = access.session(1000.0)
    until, rest = value.split(".", 1)
    assert access.by_session(value, 1059.0)
    for wrong in ("", "..", f"{int(until) + 9}.{rest}", value[:-1], value.rpartition(".")[0]):
        assert not access.by_session(wrong, 1000.0), wrong
    assert not access.by_session(value, 1061.0)


def test_a_link_works_once_and_not_for_long(tmp_path: Path) -> None:
    """The second use of a code, an old one and one that is a path are refused."""
    access = Access(tmp_path, 60.0)
    now = time.time()
    code, old = access.code(now), access.code(now)
    assert [access.by_code(code, now), access.by_code(code, now)] == [Login(), None]
    assert not access.by_code(old, now + CODE_S + 5)
    assert not access.by_code("../token", now)
    assert not access.by_code("a" * 32, now)


def test_a_browser_logs_in_by_its_link(pages: Pages) -> None:
    """The page of the link uses nothing up; its form gives a cookie that scripts can't read and others can't send."""
    code = pages.access.code()
    stranger, form = Http(pages.url), {"Content-Type": "application/x-www-form-urlencoded"}
    for _ in range(2):
        assert code.encode() in stranger.ask("GET", f"/login?code={code}")[2]
    status, headers, _ = stranger.ask("POST", "/login", f"code={code}".encode(), form)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert all(word in cookie.lower() for word in ("httponly", "samesite=strict", "path=/"))
    assert stranger.ask("GET", "/", headers={"Cookie": cookie.split(";")[0]})[0] == 200
    assert stranger.ask("POST", "/login", f"code={code}".encode(), form)[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80", "a b"])
def test_a_foreign_name_is_refused(pages: Pages, host: str) -> None:
    """A name that somebody points at this machine (DNS rebinding) gets nothing, with the right token too."""
    assert pages.http.ask("GET", "/api/now", headers={"Host": host})[0] in (400, 421)


def test_our_own_names_are_served(tmp_path: Path) -> None:
    """localhost, addresses, and what `web.hosts` says."""
    with Pages(tmp_path, WebSettings(hosts=("night.example",))) as pages:
        for host in ("localhost", f"127.0.0.1:{pages.port}", "[::1]", "NIGHT.example", "night.example:443"):
            assert pages.http.ask("GET", "/api/now", headers={"Host": host})[0] == 200, host


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {},
    ],
)
def test_another_sites_page_changes_nothing(pages: Pages, headers: dict[str, str]) -> None:
    """With a logged-in browser's cookie, a request that no page of ours sent is refused."""
    browser = Http(pages.url)
    sent = {"Cookie": pages.cookie(), **headers}
    assert browser.ask("POST", "/api/pause", {}, sent)[0] == 403
    form = {**sent, "Content-Type": "application/x-www-form-urlencoded"}
    assert browser.ask("POST", "/do/pause-all", b"", form)[0] == 403
    assert not (pages.home / "PAUSED").exists()


def test_our_own_page_changes_things(pages: Pages) -> None:
    """The same request with our own origin is done."""
    sent = {"Cookie": pages.cookie(), "Origin": pages.url, "Content-Type": "application/x-www-form-urlencoded"}
    assert Http(pages.url).ask("POST", "/do/pause-all", b"", sent)[0] == 303
    assert (pages.home / "PAUSED").exists()


def test_what_is_too_large_is_not_read(pages: Pages) -> None:
    """A length that is too large is refused at once; a body without a length as soon as it is too large."""
    big = str(LARGEST + 1)
    with socket.create_connection(("127.0.0.1", pages.port)) as link:
        head = f"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {pages.access.token}\r\n"
        link.sendall(f"{head}Content-Length: {big}\r\n\r\n".encode())
        assert b" 413 " in link.recv(100)
    with socket.create_connection(("127.0.0.1", pages.port)) as link:
        link.sendall(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        said = b""
        try:
            for _ in range(LARGEST // 0x10000 + 2):
                link.sendall(piece)
            said = link.recv(100)
        except ConnectionError:  # it has hung up: what it said may be lost
            said = said or b" 413 "
        assert b" 413 " in said


@pytest.mark.slow
def test_who_never_finishes_asking_is_left(pages: Pages) -> None:
    """A head that does not end, and a connection that says nothing, are closed; others are served meanwhile."""
    address = ("127.0.0.1", pages.port)
    with socket.create_connection(address) as mute, socket.create_connection(address) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert pages.http.ask("GET", "/api/now")[0] == 200
        for link in (mute, slow):
            link.settimeout(HAPPENS_WITHIN_S)
            with contextlib.suppress(ConnectionError):
                assert link.recv(1) == b""


def _streams(pages: Pages) -> int:
    lines = pages.http.ask("GET", "/metrics")[2].decode().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("overnight_streams "))


@pytest.mark.slow
def test_who_reads_nothing_is_cut_off(tmp_path: Path) -> None:
    """A stream and a page that nobody takes are let go of after a while; whoever reads is served all that time."""
    with Pages(tmp_path / "state") as pages, contextlib.ExitStack() as links:
        journal = Journal(pages.home)
        with journal.tx("fill"):
            for n in range(4000):
                journal.tell("mark", why=str(n), much="x" * 4000)
        journal.close()
        for _ in range(3):
            link = links.enter_context(socket.socket())
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            link.connect(("127.0.0.1", pages.port))
            head = f"GET /api/events?after=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {pages.access.token}\r\n\r\n"
            link.sendall(head.encode())
        wait(lambda: _streams(pages) == 3)
        with pages.http.stream("/api/events?after=0") as stream:
            seen = 0
            while seen < 4000:  # all of it, past those who read nothing
                seen += stream.readline().startswith(b"id: ")
            wait(lambda: _streams(pages) == 1)


def test_who_asks_too_often_waits(tmp_path: Path) -> None:
    """After a burst a client is told to wait; another client is not."""
    access = Access(tmp_path, 60.0)
    door = TestClient(Shield(PlainTextResponse("in"), access, (), burst=3, rate=0.0), base_url="http://localhost")
    assert [door.get("/").status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert door.get("/", headers={"Authorization": f"Bearer {access.token}"}).status_code == 200


def test_a_bucket_fills_again() -> None:
    """So many at once, and so many a second."""
    bucket = Bucket(2, 10.0)
    assert [bucket.take(100.0), bucket.take(100.0), bucket.take(100.0), bucket.take(100.125), bucket.take(100.125)] == [
        True, True, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../errors.py", "/static/%2e%2e/%2e%2e/errors.py", "/static/vendor/%2e%2e/app.css", "/static//etc/passwd",
        "/api/tasks/..%2f..%2fetc", "/api/tasks/%2e%2e", "/api/tasks/a%00b", "/tasks/..%2f/diff", "/api/tasks/..%5c..%5c/log",
    ],
)  # fmt: skip
def test_no_path_leads_out(pages: Pages, path: str) -> None:
    """What looks like a path is no name of a file or of a task."""
    pages.submit("a")
    status, _, body = pages.http.ask("GET", path)
    assert status == 404, body
    assert b"root:" not in body


def test_every_answer_is_hardened(pages: Pages) -> None:
    """No script and no host but our own; nothing is guessed, framed or kept, on pages and refusals alike."""
    for http, path in (
        (pages.http, "/"),
        (pages.http, "/api/now"),
        (Http(pages.url), "/api/now"),
        (pages.http, "/none"),
    ):
        headers = http.ask("GET", path)[1]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
        assert headers["cache-control"] == "no-store"


def test_secrets_are_not_told(pages: Pages) -> None:
    """A key in a task's words is in no answer, of the API or of a page."""
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
    pages.submit("leaky", f"Use {secret}", f"The token is {secret}.")
    for path in ("/api/tasks/leaky", "/api/tasks", "/api/tasks/leaky/events", "/tasks/leaky", "/tasks", "/"):
        status, _, body = pages.http.ask("GET", path)
        assert status == 200
        assert secret.encode() not in body, path
        assert path.endswith("events") or b"[redacted]" in body, path
