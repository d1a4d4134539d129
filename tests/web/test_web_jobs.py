"""What programs see besides tasks; long work, kept with what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from web_lab import Http, Lab, wait
from web_served import Pages


def _ended(http: Http, name: str) -> Any:
    def look() -> Any:
        job = http.json("GET", f"/api/jobs/{name}")
        return job if job["state"] != "running" else None

    return wait(look)


def test_a_job_is_begun_kept_and_told(tmp_path: Path) -> None:
    """What came of it is there for whoever looks, also after the server was started again."""
    with Pages(tmp_path / "state") as pages:
        pages.submit("one")
        assert pages.http.ask("GET", "/api/jobs/audit")[0] == 404
        status, _, body = pages.http.ask("POST", "/api/jobs/audit")
        assert (status, json.loads(body)["state"]) == (202, "running")
        assert _ended(pages.http, "audit")["answer"]["whole"] is True
        assert pages.http.ask("POST", "/api/jobs/nonsense")[0] == 400
    with Pages(tmp_path / "state") as pages:
        assert [(job["name"], job["state"]) for job in pages.http.json("GET", "/api/jobs")] == [("audit", "done")]


def test_one_that_its_server_did_not_outlive_is_lost(tmp_path: Path) -> None:
    """Nobody is told that something goes on which does not."""
    with Pages(tmp_path / "state") as pages:
        folder = pages.home / "web/jobs"
        folder.mkdir(parents=True)
        (folder / "audit.json").write_text(json.dumps({"name": "audit", "state": "running", "begun": 1.0}))
        assert pages.http.json("GET", "/api/jobs/audit")["state"] == "lost"


def test_what_the_command_line_shows_programs_see(pages: Pages) -> None:
    """Inbox, schedule, levels, targets, audit, versions and the brief as text are there without a daemon."""
    pages.submit("one", "First")
    for path in ("/api/inbox", "/api/levels", "/api/notify", "/api/tasks/one/audit", "/api/jobs"):
        assert pages.http.json("GET", path) == [], path
    assert pages.http.json("GET", "/api/journal")["state"] == "whole"
    assert pages.http.json("GET", "/api/version")["python"].startswith("3.")
    assert {each["sort"] for each in pages.http.json("GET", "/api/schedule")["coming"]} == {"brief", "checkpoint"}
    for form, kind in (("markdown", "text/markdown"), ("html", "text/html")):
        status, headers, body = pages.http.ask("GET", f"/api/report/{form}")
        assert (status, headers["content-type"].partition(";")[0], bool(body)) == (200, kind, True)
    assert pages.http.ask("POST", "/api/tasks/one/replay", {})[0] == 409


@pytest.mark.slow
def test_a_level_is_set_and_a_machine_looked_over(night: Lab) -> None:
    """A person's word on a level goes through the daemon; the doctor's lines come as its command prints them."""
    http = Http(night.served().url, night.token())
    assert {row["level"] for row in http.json("GET", "/api/levels")} != {"L1"}
    http.json("PUT", "/api/levels", {"repo": "shop", "kind": "test", "level": "L1"})
    assert [row["level"] for row in http.json("GET", "/api/levels?repo=shop") if row["kind"] == "test"] == ["L1"]
    assert http.ask("POST", "/api/jobs/doctor")[0] == 202
    lines = _ended(http, "doctor")["answer"]["lines"]
    assert {"git", "disk"} & {line["name"] for line in lines}, lines
