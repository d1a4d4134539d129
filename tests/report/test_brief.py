"""The brief of nights that really happened: it says what git, the journal and the ledger say, and nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_lab import Night

from overnight.missions.codec import convert
from overnight.report.brief import Brief


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Two land, one fails its check, one does nothing, one asks; one is left for the next night."""
    night = Night(tmp_path_factory.mktemp("night"))
    night.add("good-1", "bad-1", "asks-1")
    night.add("idle-1", title="Do <b>nothing</b> *at all* [here](http://x) \x1b[2Jand \u202eback")
    night.add("good-2")
    night.carry_out()
    night.add("next-1")
    return night


@pytest.fixture(scope="module")
def told(night: Night) -> Brief:
    """What `overnight report --json` prints."""
    return convert(json.loads(night.ok("report", "--json")), Brief)


def test_it_says_what_became_of_every_task(told: Brief) -> None:
    """Each task is in exactly one place, and the tally counts them."""
    assert [each.task for each in told.landed] == ["good-1", "good-2"]
    assert [each.task for each in told.failed] == ["bad-1", "idle-1"]
    assert [(each.task, each.reason) for each in told.needs] == [("asks-1", "needs-answer")]
    assert [each.task for each in told.next] == ["next-1"]
    tally = told.verdict.tally
    assert (tally.landed, tally.failed, tally.needs_you, tally.queued, tally.going, tally.held) == (2, 2, 1, 1, 0, 0)
    assert told.verdict.sentence == "No daemon works on it: 2 landed, 2 failed, 1 still to come; 1 waits for you."


def test_it_reconciles_with_git(night: Night, told: Brief) -> None:
    """What it calls landed is on the target, task by task and commit by commit, and nothing else is."""
    log = night.git("log", "--first-parent", "--format=%H %(trailers:key=Overnight-Task,valueonly,separator=)", "main")
    landed = {task: commit for commit, _, task in (line.partition(" ") for line in log) if task}
    assert {each.task: each.proof.commit for each in told.landed} == landed
    for each in told.failed:
        assert each.rescue is None or night.git("rev-parse", each.rescue)


def test_it_reconciles_with_the_journal(night: Night, told: Brief) -> None:
    """Ends, and when they were, are the journal's events; checks are those on record."""
    ends = {row["task"]: (row["at"], json.loads(row["data"])["phase"]) for row in
            night.rows("SELECT task, at, data FROM event WHERE what = 'task.ended'")}  # fmt: skip
    assert {each.task: (each.at, each.phase) for each in (*told.landed, *told.failed)} == ends
    for each in told.landed:
        assert (each.proof.checks, each.proof.passed, each.runs) == (("test",), ("test",), 1)
    [bad] = [each for each in told.failed if each.task == "bad-1"]
    assert (bad.proof.checks, bad.proof.passed) == (("test",), ())
    assert bad.proof.output is not None
    assert (bad.proof.output.words, bad.proof.output.by) == ("the file is broken", "check")


def test_it_reconciles_with_the_ledger(night: Night, told: Brief) -> None:
    """Sums are the ledger's; every run that was settled is counted once."""
    [row] = night.rows(
        "SELECT count(*) AS runs, sum(usd) AS usd, sum(tokens) AS tokens FROM spend WHERE settled NOT NULL"
    )
    assert (told.cost.runs, int(told.cost.usd * 10**12), told.cost.tokens) == (row["runs"], row["usd"], row["tokens"])
    assert sum(each.runs for each in (*told.landed, *told.failed)) == row["runs"] - 1  # the one that asks goes on


def test_an_agents_words_are_only_quoted(told: Brief) -> None:
    """What it asks is a quotation, without escapes and keys; our own words are beside it."""
    [need] = told.needs
    assert need.why == ""
    assert need.quote is not None
    assert need.quote.by == "agent"
    assert "which colour? <script>alert(1)</script>" in need.quote.words
    assert "ghp_" not in need.quote.words
    assert "[redacted]" in need.quote.words
    assert need.how.startswith("`overnight answer asks-1 ")


def test_no_control_character_gets_through(night: Night) -> None:
    """In no form does it move a cursor or turn text around."""
    for form in ([], ["--markdown"], ["--html"]):
        said = night.ok("report", *form)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", said)
    assert all(ord(c) < 0x202A or ord(c) > 0x202E for c in night.ok("report", "--json"))


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_safe_and_whole_by_itself(night: Night) -> None:
    """Nothing in it runs or is loaded, and what agents and titles say is text in it."""
    page = Page()
    page.feed(night.ok("report", "--html"))
    known = {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "section", "ul", "li", "div",
             "span", "strong", "code", "q"}  # fmt: skip
    assert set(page.tags) <= known
    assert {name for _, name, _ in page.attributes} <= {"lang", "charset", "http-equiv", "content", "name", "class"}
    policy = next(value for tag, name, value in page.attributes if (tag, name) == ("meta", "content"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    text = "".join(page.text)
    assert "<script>alert(1)</script>" in text
    assert "<b>nothing</b> *at all*" in text
    assert "url(" not in text


def test_markdown_keeps_strangers_words_from_becoming_markup(night: Night) -> None:
    """No link, no HTML, no emphasis comes to life; quotations are code, where no name is called either."""
    said = night.ok("report", "--markdown")
    assert r"Do \<b\>nothing\</b\> \*at all\* \[here\](http://x) and back" in said
    outside = re.sub(r"(`+).*?\1", "", said)
    assert "@you" in said
    assert "@you" not in outside
    assert "<script>" not in outside


def test_the_night_is_done_when_nothing_is_left(tmp_path: Path) -> None:
    """With a daemon or without: what is left decides."""
    night = Night(tmp_path)
    assert "There was nothing to do." in night.ok("report")
    night.add("good-1")
    night.carry_out()
    assert "The night is done: 1 landed." in night.ok("report")


def test_a_span_begins_where_it_is_said(night: Night, told: Brief) -> None:
    """`--since` takes spans, times and days; what is none of them is refused with what would be right."""

    def of(*words: str) -> dict[str, Any]:
        return json.loads(night.ok("report", "--json", *words))

    assert len(of("--since", "8h")["landed"]) == 2
    assert of("--since", "1ms")["landed"] == []
    assert of("--since", "1ms")["verdict"]["tally"]["needs_you"] == 1
    assert of("--since", "2020-01-01")["since"] < told.since
    for wrong in ("soon", "25:00", "2020-13-01", "2999-01-01"):
        assert "`--since`" in night.refused("report", "--since", wrong)
    assert "not over" in night.refused("report", "--night", "2999-01-01")
    assert "exclude one another" in night.refused("report", "--night", "2020-01-01", "--nights")


def test_a_night_without_records_is_empty(night: Night) -> None:
    """A night before everything: nothing landed in it, and the list of nights says that none is kept."""
    old = json.loads(night.ok("report", "--json", "--night", "2020-01-01"))
    assert (old["night"], old["landed"], old["cost"]["usd"]) == ("2020-01-01", [], "0")
    assert "No night's brief is kept yet" in night.ok("report", "--nights")


def test_the_status_can_be_kept_in_a_file(night: Night, tmp_path: Path) -> None:
    """All of it between fences that nothing in it can close; a place that can't be written is told."""
    file = tmp_path / "status.md"
    assert night.ok("status", "--markdown", str(file)) == ""
    lines = file.read_text().splitlines()
    assert lines[0].startswith("# Overnight, 20")
    fence = lines[2].removesuffix("text")
    assert lines[-1] == fence
    inside = "\n".join(lines[3:-1])
    assert "needs you" in inside
    assert fence not in inside
    assert [path.name for path in tmp_path.iterdir()] == ["status.md"]
    assert "can't be written" in night.refused("status", "--markdown", str(tmp_path / "missing" / "status.md"))
