"""Pages in a real browser: what a person does at night on a phone, and in the morning at a desk."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from web_browser import DESK, PATIENCE_MS, PHONE, browser, flaws, needs_chromium, visitor
from web_lab import Http, Lab, wait
from web_lab import held as waits
from web_served import Pages

from overnight.report.soaked import Promise, Soaked, keep

pytestmark = [needs_chromium, pytest.mark.slow]
expect.set_options(timeout=PATIENCE_MS)
#: Every page but that of a task.
EVERY = ("/", "/tasks", "/guard", "/night", "/usage", "/schedule", "/system", "/tasks/new", "/login")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


def held(night: Lab, text: str) -> str:
    """A task whose result waits for a word; its id."""
    http = Http(night.served().url, night.token())
    name = http.json("POST", "/api/tasks", {"text": text, "as_is": True})["id"]
    wait(lambda: waits(http, f"/api/tasks/{name}"))
    return name


def phase(night: Lab, name: str) -> str:
    return Http(night.served().url, night.token()).json("GET", f"/api/tasks/{name}")["row"]["phase"]


def test_a_result_is_approved_from_a_phone(night: Lab, chromium: Browser) -> None:
    """It is on the first screen, can be looked at, and lands by one tap; the card goes by itself."""
    name = held(night, "Approve me from a phone")
    with visitor(chromium, night.login(), PHONE, has_touch=True, is_mobile=True) as page:
        card = page.locator(f"#need-{name}")
        expect(card).to_contain_text("Approve me from a phone")
        button = card.get_by_role("button", name="Approve")
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        button.tap()
        expect(page.locator(".toast")).to_contain_text("approved")
        expect(card).to_have_count(0)
        expect(page.locator(f"#row-{name}")).to_contain_text("Landed")
    assert phase(night, name) == "landed"


def test_what_happens_is_seen_at_once(night: Lab, chromium: Browser) -> None:
    """A task that another program adds comes up on the open page, which is not loaded again."""
    with visitor(chromium, night.login()) as page:
        page.evaluate("window.same = true")
        name = held(night, "Come up by yourself")
        expect(page.locator(f"#need-{name}")).to_be_visible()
        page.goto(page.url + f"tasks/{name}")
        expect(page.locator("#change .add .code")).to_contain_text("work of")
        page.evaluate("window.same = true")
        Http(night.served().url, night.token()).json("POST", f"/api/tasks/{name}/cancel")
        expect(page.locator(".timeline")).to_contain_text("Cancelled")
        assert page.evaluate("window.same") is True


def test_what_is_typed_stays_while_the_page_changes(night: Lab, chromium: Browser) -> None:
    """A reason that is half written survives live updates, and goes with the rejection."""
    name = held(night, "Reject me with a reason")
    with visitor(chromium, night.login()) as page:
        card = page.locator(f"#need-{name}")
        card.get_by_text("Reject", exact=True).click()
        card.get_by_label("Why not").fill("not like")
        other = held(night, "Something else that happens")
        expect(page.locator(f"#need-{other}")).to_be_visible()
        expect(card.get_by_label("Why not")).to_have_value("not like")
        card.get_by_label("Why not").press_sequentially(" this")
        card.get_by_role("button", name="Reject this commit").click()
        expect(card).to_have_count(0)
    assert wait(lambda: phase(night, name) == "rejected")


def test_it_comes_back_after_the_server_was_killed(tmp_path: Path, chromium: Browser) -> None:
    """The page says that the connection is lost, and is live again when the server is back, without a new login."""
    pages = Pages(tmp_path / "state")
    with pages:
        link = f"{pages.url}/login?code={pages.access.code()}"
        context = visitor(chromium, link)
        page = context.__enter__()
        expect(page.locator("#live")).to_contain_text("The daemon does not run")
    expect(page.locator("#lost")).to_be_visible()
    pages.submit("later", "Added meanwhile")
    with Pages(tmp_path / "state", port=pages.port):
        expect(page.locator("#live")).to_contain_text("Added meanwhile")
        expect(page.locator("#lost")).to_be_hidden()
        context.__exit__(None, None, None)


def test_pages_live_on_when_the_daemon_is_killed(tmp_path: Path, chromium: Browser) -> None:
    """They say that it is dead, still show everything, change nothing, and see the next daemon."""
    lab = Lab(tmp_path / "lab", agent="true")
    try:
        lab.up()
        with visitor(chromium, lab.login()) as page:
            expect(page.locator(".strip")).to_contain_text("up since")
            lab.kill("daemon")
            expect(page.get_by_role("heading", level=1)).to_contain_text("The daemon does not run")
            url, token = lab.served().url, lab.token()
            assert Http(url, token).ask("POST", "/api/tasks", {"text": "x"})[0] == 503
    finally:
        lab.end()


def test_light_and_dark(pages: Pages, chromium: Browser) -> None:
    """Pages are as the system is, until a person chooses; the choice stays."""
    link = f"{pages.url}/login?code={pages.access.code()}"
    with visitor(chromium, link, color_scheme="dark") as page:
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(ground)
        page.emulate_media(color_scheme="light")
        light = page.evaluate(ground)
        assert dark != light
        page.get_by_title("Light, dark or as the system").click()
        page.wait_for_load_state()
        assert page.evaluate(ground) == dark
        page.goto(f"{pages.url}/system")
        assert page.evaluate(ground) == dark


def test_everything_is_done_by_keys_alone(night: Lab, chromium: Browser) -> None:
    """`?` shows the keys, `g t` goes to the tasks, `j` and `a` choose a result, Enter approves it."""
    name = held(night, "Approve me by keys")
    with visitor(chromium, night.login()) as page:
        keys = page.keyboard
        keys.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        keys.press("Escape")
        keys.press("g")
        keys.press("t")
        page.wait_for_url("**/tasks")
        keys.press("g")
        keys.press("n")
        page.wait_for_url(re.compile(r"/$"))
        mine = page.locator(f"#need-{name}")
        mine.wait_for()
        for _ in range(page.locator("[data-item]").count()):
            keys.press("j")
            if mine.evaluate("each => each === document.activeElement"):
                break
        keys.press("a")
        keys.press("Enter")
        expect(mine).to_have_count(0)
    assert wait(lambda: phase(night, name) == "landed")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(night: Lab, chromium: Browser, scheme: str) -> None:
    """On every page, wide and on a phone, with something that needs a person on it."""
    name = held(night, f"Look at me in the {scheme}")
    for size in (DESK, PHONE):
        with visitor(chromium, night.login(), size, color_scheme=scheme) as page:
            root = page.url.rstrip("/")
            for path in (*EVERY, f"/tasks/{name}"):
                page.goto(root + path)
                if path.startswith("/tasks/") and path != "/tasks/new":
                    expect(page.locator("#change .file")).to_be_visible()
                assert flaws(page) == [], (path, size)
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (path, size)


def test_what_comes_by_itself_is_shown(pages: Pages, chromium: Browser) -> None:
    """The schedule has what the records and settings say, and the place of the loops says that there are none yet."""
    link = f"{pages.url}/login?code={pages.access.code()}"
    with visitor(chromium, link) as page:
        page.keyboard.press("g")
        page.keyboard.press("l")
        expect(page.get_by_role("heading", level=1)).to_have_text("Loops and schedule")
        for words in ("The audit of the day is signed", "The brief of the night is made"):
            expect(page.locator(".agenda").get_by_text(words)).to_be_visible()
        expect(page.locator(".placeholder")).to_contain_text("Loops are not here yet")


def test_a_proof_is_begun_by_keys_and_its_end_is_seen(pages: Pages, chromium: Browser) -> None:
    """A look that takes long goes on by itself: the open page shows what came of it, without being loaded again."""
    pages.submit("one")
    link = f"{pages.url}/login?code={pages.access.code()}"
    with visitor(chromium, link) as page:
        page.goto(f"{pages.url}/system")
        page.evaluate("window.same = true")
        card = page.locator("article").filter(has=page.locator("#s-audit"))
        expect(card).to_contain_text("not looked at yet")
        card.get_by_role("button", name="Look now").focus()
        page.keyboard.press("Enter")
        expect(card).to_contain_text("looked at")
        expect(card.locator(".chip")).to_have_text("whole")
        expect(page.locator("article").filter(has=page.locator("#s-journal"))).to_contain_text("each following")
        assert page.evaluate("window.same") is True


def test_the_last_soak_is_shown_with_what_it_broke(pages: Pages, chromium: Browser) -> None:
    """Nothing is made up before there was one; then every promise is shown, and the one that was not kept as such."""
    link = f"{pages.url}/login?code={pages.access.code()}"
    with visitor(chromium, link) as page:
        page.goto(f"{pages.url}/system")
        card = page.locator("section").filter(has=page.locator("#s-soak"))
        expect(card).to_contain_text("There was none here yet")
        promises = (
            Promise("Nothing is lost", kept=True, seen="12 commits"),
            Promise("Nothing leaks", kept=False, seen="3 files"),
        )
        soaked = Soaked(
            at=time.time(), seconds=1800.0, seed=7, version="0.1.0", commit="", tasks=12, landed=11, faults=4,
            interrupted=False, promises=promises,
        )  # fmt: skip
        assert keep(pages.home, soaked)
        page.reload()
        expect(card).to_contain_text("30m00s of work under 4 faults: 11 of 12 tasks landed")
        expect(card.locator("li .chip")).to_have_text(["kept", "broken"])


def test_what_can_not_be_replayed_says_why(night: Lab, chromium: Browser) -> None:
    """The button of a task's page begins a replay; its end is shown where it was begun."""
    name = held(night, "Replay me")
    with visitor(chromium, night.login()) as page:
        page.goto(page.url + f"tasks/{name}")
        page.get_by_role("button", name="Replay run 1").click()
        expect(page.locator("#replay")).to_contain_text("not possible")
        expect(page.locator("#replay")).to_contain_text("There is no recording")


def test_another_language(pages: Pages, chromium: Browser) -> None:
    """A German browser is shown German, and a person may choose English."""
    link = f"{pages.url}/login?code={pages.access.code()}"
    context = chromium.new_context(locale="de-DE")
    try:
        page = context.new_page()
        page.goto(link)
        page.get_by_role("button", name="Hier anmelden").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Der Dienst läuft nicht")
        page.get_by_role("button", name="English").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("The daemon does not run")
    finally:
        context.close()
