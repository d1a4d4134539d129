"""Reading all logs takes long where there are many: the page of Usage says how far it is, and comes by itself."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from web_browser import PATIENCE_MS, PHONE, browser, flaws, needs_chromium, visitor
from web_lab import HAPPENS_WITHIN_S, wait
from web_served import Pages

from overnight.api.lately import DEAR_S, MOST_S, Lately
from overnight.durable.clock import ManualClock
from overnight.usage.index import Index

LOGS = 3


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Pages]:
    """Three logs, each with one answer of a model, over which pages are served."""
    usage = {"input_tokens": 1200, "output_tokens": 34, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    for n in range(LOGS):
        row = {
            "type": "assistant", "uuid": f"u{n}", "timestamp": "2026-11-20T10:00:00.000Z", "cwd": "/work/a",
            "sessionId": f"s{n}", "requestId": f"r{n}",
            "message": {"id": f"m{n}", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "usage": usage},
        }  # fmt: skip
        path = tmp_path / "claude" / "projects" / "-work-a" / f"s{n}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(row) + "\n")
    with Pages(tmp_path / "state", logs=tmp_path / "claude") as pages:
        yield pages


@contextlib.contextmanager
def kept_from_writing(home: Path) -> Generator[Index]:
    """Inside, nobody else can put what he read into the index."""
    with Index(home) as index:
        index.refresh(())
        with index.step():
            yield index


def usage_page(pages: Pages) -> str:
    status, _, body = pages.http.ask("GET", "/usage", headers={"Cookie": pages.cookie()})
    assert status == 200
    return body.decode()


def pictures(pages: Pages, until: str) -> list[str]:
    """What one who watches is sent, up to what holds these words."""
    found = list[str]()
    with pages.http.stream("/live/usage", {"Cookie": pages.cookie()}) as stream:
        while not found or until not in found[-1]:
            lines = list[str]()
            while (line := stream.readline().decode()).strip():
                lines.append(line)
            if lines and lines[0].startswith("data: "):
                found.append("".join(lines))
    return found


def test_a_page_that_would_wait_for_the_logs_says_how_far_they_are(served: Pages) -> None:
    """At once, though nothing of them can be put into the index yet; whoever asks the API waits; then it is all there."""
    answers = list[object]()
    asking = threading.Thread(target=lambda: answers.append(served.http.json("GET", "/api/usage")))
    with kept_from_writing(served.home):
        wait(lambda: f"0 of {LOGS} logs" in usage_page(served))
        assert "By model" not in usage_page(served)
        assert f"0 of {LOGS} logs" in pictures(served, f"0 of {LOGS} logs")[-1]
        asking.start()
        assert answers == []
    assert 'hx-get="/usage"' in pictures(served, "The logs are read")[-1]
    assert "claude-opus-5-5" in usage_page(served)
    asking.join(HAPPENS_WITHIN_S)
    assert [answer["total"]["answers"] for answer in answers if isinstance(answer, dict)] == [LOGS]


def test_what_comes_in_the_way_is_told_and_tried_again(served: Pages) -> None:
    """In words, to who watches; once it is mended the next who asks has the page."""
    with kept_from_writing(served.home) as index:
        wait(lambda: f"0 of {LOGS} logs" in usage_page(served))
        index.db.execute("ALTER TABLE rate RENAME TO gone")
    last = pictures(served, "could not be read")[-1]
    assert "rate" in last
    assert "Try again now" in last
    with Index(served.home) as index:
        index.db.execute("ALTER TABLE gone RENAME TO rate")
    wait(lambda: "claude-opus-5-5" in usage_page(served))


def test_who_would_wait_is_known_before() -> None:
    """For what is not there, too old, or cheap and changed; not for what serves on while it is made anew."""
    clock = ManualClock()
    lately = Lately(clock.now)
    assert lately.waits("a", 1, 100.0)
    lately.get("a", 1, lambda: clock.advance(DEAR_S * 2))
    assert not lately.waits("a", 1, 100.0)
    assert not lately.waits("a", 2, 100.0)
    clock.advance(MOST_S)
    assert not lately.waits("a", 1, 100.0)
    clock.advance(100.0)
    assert lately.waits("a", 1, 100.0)
    lately.get("cheap", 1, lambda: 1)
    assert not lately.waits("cheap", 1, 100.0)
    assert lately.waits("cheap", 2, 100.0)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@needs_chromium
@pytest.mark.slow
def test_the_open_page_becomes_the_real_one(served: Pages, chromium: Browser) -> None:
    """Without being loaded again: what is read is said, then the figures and the chart are there; both are fit for all."""
    link = f"{served.url}/login?code={served.access.code()}"
    with visitor(chromium, link, PHONE) as page:
        with kept_from_writing(served.home):
            page.goto(f"{served.url}/usage")
            page.evaluate("window.same = true")
            expect(page.locator(".reading")).to_contain_text(f"0 of {LOGS} logs", timeout=PATIENCE_MS)
            expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "0.0")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            assert flaws(page) == []
        expect(page.locator("#h-models")).to_be_visible(timeout=PATIENCE_MS)
        expect(page.locator(".uplot canvas")).to_be_visible(timeout=PATIENCE_MS)
        expect(page.locator(".reading")).to_have_count(0)
        assert page.evaluate("window.same") is True
        assert flaws(page) == []
