"""Webhooks: what GitHub signs makes the daemon look sooner, and is not believed; everything else is turned away."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from web_lab import Http, Lab, rules, wait
from web_served import Pages

from overnight.api.hooks import PATH
from overnight.api.shield import LARGEST
from overnight.landing.forge.local.server import TOKEN, LocalGitHub
from overnight.landing.forge.webhooks import event_of

SECRET = "only the daemon and the forge know it"
EXAMPLES = Path(__file__).parents[2] / "node_modules/@octokit/webhooks-examples/api.github.com/index.json"
#: Commits something; when it is told that a check is red, something else.
AGENT = (
    'if grep -q "forge\'s check" "$OVERNIGHT_PROMPT"; then echo hello > hello.txt; else echo hi > hello.txt; fi; '
    'git add -A && git commit -q -m "Say hello" && echo done'
)


@cache
def examples() -> dict[str, list[Any]]:
    """Kind -> GitHub's own examples."""
    return {each["name"]: each["examples"] for each in json.loads(EXAMPLES.read_bytes())}


def deliver(
    url: str, kind: str, payload: Any, *, delivery: str, secret: str = SECRET, **headers: str
) -> tuple[int, Any]:
    """As GitHub sends it; (status, answer)."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    sent = {
        "X-GitHub-Event": kind, "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": signature,
        "User-Agent": "GitHub-Hookshot/044aadd", **{name.replace("_", "-"): value for name, value in headers.items()},
    }  # fmt: skip
    status, _, answer = Http(url).ask("POST", PATH, body, {k: v for k, v in sent.items() if v})
    return status, json.loads(answer)


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A daemon with its pages, which knows the secret."""
    lab = Lab(tmp_path_factory.mktemp("hooked"), agent="true")
    lab.env["OVERNIGHT_WEBHOOK_SECRET"] = SECRET
    try:
        lab.up()
        yield lab
    finally:
        lab.end()


def test_without_a_secret_nothing_is_taken(pages: Pages) -> None:
    """Whoever sets none has no such door."""
    status, answer = deliver(pages.url, "ping", {}, delivery="1", secret="")
    assert (status, answer["error"]["kind"]) == (404, "NoWebhooks")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X_Hub_Signature_256": ""}, 401),
        ({"X_Hub_Signature_256": "sha256=" + "0" * 64}, 403),
        ({"X_Hub_Signature_256": "sha256=é".encode().decode("latin-1")}, 403),
        ({"X_Hub_Signature_256": "sha1=" + "0" * 40}, 403),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"X_GitHub_Event": "gollum"}, 202),
    ],
)
def test_only_what_is_signed_comes_in(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    """No signature, a wrong one and another kind of it are refused; what means nothing here is acknowledged."""
    payload = examples()["check_run"][0]
    with Pages(tmp_path / "state", secret=SECRET) as pages:
        assert deliver(pages.url, "check_run", payload, delivery="1", **headers)[0] == status


def test_another_body_or_secret_is_refused(tmp_path: Path) -> None:
    """The signature of one body is none of another, and nobody else's secret counts. The token changes nothing."""
    with Pages(tmp_path / "state", secret=SECRET) as pages:
        assert deliver(pages.url, "push", {"a": 1}, delivery="1", secret="another")[0] == 403
        signature = "sha256=" + hmac.new(SECRET.encode(), b"{}", hashlib.sha256).hexdigest()
        assert deliver(pages.url, "push", b"{ }", delivery="1", X_Hub_Signature_256=signature)[0] == 403
        assert deliver(pages.url, "push", b"{}", delivery="1", X_Hub_Signature_256=signature)[0] == 202
        bearer = {"Authorization": f"Bearer {pages.access.token}", "X_Hub_Signature_256": ""}
        assert deliver(pages.url, "push", b"{}", delivery="1", **bearer)[0] == 401


def test_a_large_body_is_not_read(tmp_path: Path) -> None:
    """A length beyond what is taken is refused before anything of it comes."""
    with Pages(tmp_path / "state", secret=SECRET) as pages:
        head = {"Content-Length": str(LARGEST + 1), "X-Hub-Signature-256": "sha256=" + "0" * 64}
        assert Http(pages.url).ask("POST", PATH, None, head)[0] == 413


def test_what_matters_waits_for_the_daemon(tmp_path: Path) -> None:
    """Without a daemon nothing is looked at: GitHub is told so, and shows it as failed."""
    payload = examples()["check_run"][0] | {"action": "completed"}
    with Pages(tmp_path / "state", secret=SECRET) as pages:
        status, answer = deliver(pages.url, "check_run", payload, delivery="1")
        assert (status, answer["error"]["kind"]) == (503, "DaemonUnreachable")


@pytest.mark.slow
def test_published_examples_come_in_once(hooked: Lab) -> None:
    """Of every kind that GitHub publishes: acknowledged, heeded once where it matters, and a task of nobody's moves."""
    url, heeded = hooked.served().url, set[str]()
    for kind, payloads in examples().items():
        for n, payload in enumerate(payloads if kind in ("push", "issues") else payloads[:2]):
            status, answer = deliver(url, kind, payload, delivery=f"{kind}-{n}")
            assert (status, answer.get("tasks")) == (202, 0), (kind, answer)
            assert answer["heeded"] == (event_of(kind, json.dumps(payload).encode()) is not None)
            if answer["heeded"]:
                heeded.add(kind)
                assert deliver(url, kind, payload, delivery=f"{kind}-{n}") == (202, {"heeded": False, "tasks": 0})
                assert deliver(url, kind, payload, delivery=f"{kind}-{n}-again")[1]["heeded"] is False
    assert {"check_suite", "issues", "pull_request", "pull_request_review", "push", "status"} <= heeded


@pytest.mark.slow
def test_who_signs_nothing_is_on_record_without_a_word(hooked: Lab) -> None:
    """The journal counts what was turned away; what was sent is in neither journal nor log."""
    url, http = hooked.served().url, Http(hooked.served().url, hooked.token())
    assert deliver(url, "push", {"said": "remember-me"}, delivery="x", secret="guess")[0] == 403
    with http.stream("/api/events?after=0") as stream:
        while b"event: webhook.refused" not in stream.readline():
            pass
        event = json.loads(stream.readline().removeprefix(b"data: "))
    assert (event["why"], event["data"]["count"]) == ("WrongSignature", 1)
    for file in (hooked.home / "web.log", hooked.home / "journal.db", hooked.home / "journal.db-wal"):
        assert b"remember-me" not in file.read_bytes()
    assert b"webhooks refused: 1" in (hooked.home / "web.log").read_bytes()


def forged(lab: Lab, github: LocalGitHub) -> None:
    """The lab's repo has the local GitHub as its forge, whose green checks count only after an hour."""
    (lab.folder / "config.toml").write_text(
        (lab.folder / "config.toml").read_text()
        + f'[forge]\nkind = "github"\napi = "{github.api}"\ngit = "{github.git}"\nspare = 0\n'
        "[bounds]\nallow_remote_writes = true\n"
    )
    policy = rules().replace('landing = "merge"', 'landing = "pr"')
    (lab.repo / "overnight.toml").write_text(f'allow_remote_writes = true\n{policy}[forge]\nsettle = "1h"\n')
    for words in (
        ("commit", "-q", "-a", "-m", "By the forge"),
        ("push", "-q", str(github.store.git_dir), "main"),
        ("remote", "add", "origin", f"{github.git}/{github.store.place}.git"),
    ):
        lab.git(*words)
    lab.env |= {"OVERNIGHT_WEBHOOK_SECRET": SECRET, "OVERNIGHT_GITHUB_TOKEN": TOKEN}


@pytest.mark.slow
def test_a_change_of_ci_is_looked_at_at_once(tmp_path: Path) -> None:
    """A task that would look in an hour looks when its check turns red, and mends it; the webhook's own word for it is
    not believed: one that says red while the forge says green only makes it look."""
    (tmp_path / "forge").mkdir()
    with LocalGitHub(tmp_path / "forge") as github:
        lab, store = Lab(tmp_path / "lab", agent=AGENT), github.store
        forged(lab, github)
        try:
            http = Http(lab.up().url, lab.token())
            name = http.json("POST", "/api/tasks", {"text": "Add a greeting", "as_is": True})["id"]
            task = f"/api/tasks/{name}"
            pull = wait(lambda: max(store.pulls, default=0), lambda: http.json("GET", task)["row"])
            head = store.head(pull)

            def says(conclusion: str, delivery: str) -> Any:
                payload = json.loads(json.dumps(examples()["check_run"][0]))
                payload["action"], payload["repository"]["full_name"] = "completed", str(store.place)
                payload["check_run"] |= {"head_sha": head, "conclusion": conclusion, "id": delivery}
                return deliver(http_url, "check_run", payload, delivery=delivery)

            def waits_long() -> Any:
                hold = http.json("GET", task)["row"]["hold"]
                return hold is not None and "its checks are green" in hold["why"] and hold["until"]

            http_url = lab.served().url
            store.reports(head, "build", "success")
            assert says("success", "one")[0] == 202
            until = wait(waits_long, lambda: http.json("GET", task)["row"])
            looks = github.asked.copy()
            assert says("failure", "two") == (202, {"heeded": True, "tasks": 1})
            wait(lambda: sum((github.asked - looks).values()))
            assert wait(waits_long) == until

            store.reports(head, "build", "failure", "it says hi")
            assert says("failure", "three") == (202, {"heeded": True, "tasks": 1})
            wait(lambda: store.head(pull) != head, lambda: http.json("GET", task)["row"])
            assert store.git("show", f"{store.head(pull)}:hello.txt") == "hello"
            happened = [each["what"] for each in http.json("GET", task)["moments"]]
            assert "pull.repair" in happened
        finally:
            lab.end()
