"""Webhooks: only the forge's are believed, and the published examples are understood."""

from __future__ import annotations

import json
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from github_contract import NODE
from jsonschema import Draft7Validator

from overnight.durable.clock import ManualClock
from overnight.durable.desk import Desk
from overnight.durable.journal import Journal
from overnight.landing.forge.settings import Place
from overnight.landing.forge.wake import SOON_S, Wake
from overnight.landing.forge.webhooks import BranchMoved, CiDone, Labelled, PullChanged, event_of, signed

#: From GitHub's own page on validating deliveries: docs.github.com, "Testing the webhook payload validation".
_SECRET, _BODY = "It's a Secret to Everybody", b"Hello, World!"
_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
_DEFINED = {"push": "push$event"}


@cache
def _examples() -> dict[str, list[dict[str, Any]]]:
    found = json.loads((NODE / "webhooks-examples/api.github.com/index.json").read_bytes())
    return {each["name"]: each["examples"] for each in found}


@cache
def _schema() -> dict[str, Any]:
    return json.loads((NODE / "webhooks-schemas/schema.json").read_bytes())


def test_the_published_signature_is_right() -> None:
    """The example of GitHub's documentation passes."""
    assert signed(_SECRET, _BODY, _SIGNATURE)


@pytest.mark.parametrize(
    ("secret", "body", "signature"),
    [
        (_SECRET, _BODY + b" ", _SIGNATURE),
        ("another", _BODY, _SIGNATURE),
        ("", _BODY, "sha256=" + "0" * 64),
        (_SECRET, _BODY, None),
        (_SECRET, _BODY, ""),
        (_SECRET, _BODY, _SIGNATURE.removeprefix("sha256=")),
        (_SECRET, _BODY, _SIGNATURE[:-1]),
        (_SECRET, _BODY, _SIGNATURE + "0"),
        (_SECRET, _BODY, "sha256=é"),
    ],
)
def test_a_wrong_signature_is_none(secret: str, body: bytes, signature: str | None) -> None:
    """Another body, another secret, no secret, none or half a signature: not the forge's."""
    assert not signed(secret, body, signature)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("issues", Labelled),
        ("check_run", CiDone),
        ("check_suite", CiDone),
        ("pull_request", PullChanged),
        ("pull_request_review", PullChanged),
        ("issue_comment", PullChanged),
        ("push", BranchMoved),
    ],
)
def test_published_examples_are_understood(kind: str, wanted: type) -> None:
    """Each kind that matters is read from GitHub's own examples, which its schema vouches for."""
    found: list[object] = []
    for example in _examples()[kind]:
        schema = {"$ref": f"#/definitions/{_DEFINED.get(kind, f'{kind}_event')}", **_schema()}
        published: Any = Draft7Validator(schema)
        if published.is_valid(example):
            event = event_of(kind, json.dumps(example).encode())
            found.append(event)
            if isinstance(event, Labelled):
                assert (example["action"], event.label) == ("labeled", example["label"]["name"])
            if isinstance(event, CiDone):
                assert (example["action"], event.commit) == ("completed", example[kind]["head_sha"])
            if isinstance(event, BranchMoved):
                assert example["ref"] == f"refs/heads/{event.branch}"
                assert event.commit == ("" if example["deleted"] else example["after"])
            if isinstance(event, PullChanged):
                assert event.number == (example.get("pull_request") or example["issue"])["number"]
    assert {type(event) for event in found if event is not None} == ({wanted} if kind != "issue_comment" else set())


def test_a_comment_on_a_pull_request_is_about_it() -> None:
    """GitHub calls pull requests issues there; only those that are one count."""
    example = json.loads(json.dumps(_examples()["issue_comment"][0]))
    example["action"] = "created"
    assert event_of("issue_comment", json.dumps(example).encode()) is None
    example["issue"]["pull_request"] = {"url": "https://api.github.com/pulls/1"}
    event = event_of("issue_comment", json.dumps(example).encode())
    assert isinstance(event, PullChanged)
    assert event.number == example["issue"]["number"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"repository": {"full_name": "../.."}}', b'{"ref": 4}'])
def test_what_can_t_be_read_is_nothing(body: bytes) -> None:
    """No body makes the reader fall over, and no name of a repository leads out of its folder."""
    assert event_of("push", body) is None
    assert event_of("no-such-kind", body) is None


def test_tasks_that_ended_are_forgotten(tmp_path: Path) -> None:
    """Fifty tasks, one after the other: each hears of its pull request while it looks, and ends. Only the last is kept in
    mind, and it looks once more when it waits again."""
    clock = ManualClock()
    with closing(Journal(tmp_path, clock=clock)) as journal:
        wake, place = Wake(journal, lambda: None), Place("an-owner", "a-repo")
        for n in range(50):
            journal.db.execute("UPDATE task SET state = 'done'")
            Desk(journal).do_submit(actor="test", id=f"t{n}", flow="task", lane="site", input=None, phase="landing")
            journal.tell("pull.opened", task=f"t{n}", url=f"https://forge.example/{place}/pull/{n}")
            event = msgspec.to_builtins(PullChanged(place=place, number=n))
            heard = wake.heard(actor="forge", delivery=f"d{n}", digest=str(n), event=event)
            assert heard == {"new": True, "tasks": 1}
        assert wake._missed == {"t49"}
        hold = json.dumps({"looks": True, "late": None})
        journal.db.execute("UPDATE task SET state = 'waiting', wake_at = ?, hold = ? WHERE id = 't49'", (1e12, hold))
        wake.parked("t49")
        (sooner,) = journal.db.execute("SELECT wake_at FROM task WHERE id = 't49'").fetchone()
        assert sooner == clock.now() + SOON_S
        assert wake._missed == set()
