"""Signed links: a page for one person and one question, that shows before it decides, and decides once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from link_world import CONFIG, forms, run, world
from notify_lab import NOON
from people_lab import COMMIT, OTHER

from overnight.audit.decisions import decisions
from overnight.durable.clock import ManualClock


def test_a_link_shows_what_is_asked_and_decides_once(tmp_path: Path) -> None:
    """However often it is opened nothing happens; the form of its page decides, and a second one is refused."""

    async def main() -> None:
        async with world(tmp_path) as w:
            await w.process.submit()
            preview = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
            page, *_ = [await w.get(w.link(), **preview) for _ in range(3)]
            assert (page.status, COMMIT.encode() in page.body, b"Mend it" in page.body) == (200, True, True)
            assert (w.process.count("approval.taken"), w.process.refusals()) == (0, [])
            approve, reject = forms(page.body)
            assert (approve["action"], reject["action"]) == ("land", "reject")
            done = await w.post(w.link(), approve)
            assert (done.status, b"Approved: t1" in done.body) == (200, True)
            again, other = await w.post(w.link(), approve), await w.post(w.link(), reject)
            assert (again.status, b"it was used already" in again.body, other.status) == (409, True, 409)
            await w.process.engine.idle()
            assert w.process.landed == ["t1 True by ann"]
            assert b"decides nothing" in (await w.get(w.link())).body
            views = decisions(w.home)
            assert [(each.what, each.channel) for each in views] == [
                ("approval.taken", "link"), ("approval.refused", "link"), ("approval.refused", "link"),
            ]  # fmt: skip
            assert (views[1].reason, views[2].reason in ("decided", "ended")) == ("used", True)

    run(main())


def test_nothing_but_our_own_page_decides(tmp_path: Path) -> None:
    """Another site's form, one without an origin, one of another link and no form at all change nothing."""

    async def main() -> None:
        async with world(tmp_path) as w:
            await w.process.submit()
            approve, _ = forms((await w.get(w.link())).body)
            tries = [
                await w.post(w.link(), approve, origin="https://evil.example"),
                await w.post(w.link(), approve, **{"sec-fetch-site": "cross-site"}),
                await w.post(w.link(), approve, origin=""),
                await w.post(w.link(), {**approve, "token": "w1" + "A" * 38}),
                await w.post(w.link(), approve, **{"content-type": "text/plain"}),
            ]
            assert [each.status for each in tries] == [403, 403, 403, 400, 400]
            head = await w.get(w.link(), host="evil.example")
            assert head.status == 421
            assert w.process.count("approval.taken") == 0
            assert w.process.landed == []

    run(main())


def test_a_link_gives_nothing_else_away(tmp_path: Path) -> None:
    """It opens no other page, a made-up one says nothing of what there is, and no page of it may be framed or kept."""

    async def main() -> None:
        async with world(tmp_path) as w:
            await w.process.submit()
            token = w.link().split("/")[2].split(".")[0]
            for path in ("/", "/tasks/t1", "/api/tasks/t1", f"/word/{token}", "/word/"):
                assert (await w.get(path)).status in (401, 404), path
            forged = token[:-1] + ("A" if token[-1] != "A" else "Q")
            for path in (f"/word/{forged}/ask", "/word/x/ask", f"/word/o1{token[2:]}/ask"):
                page = await w.get(path)
                assert (page.status, b"t1" in page.body, b"Mend" in page.body) == (409, False, False), path
            page = await w.get(w.link())
            assert page.headers["cache-control"] == "no-store"
            assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
            assert page.headers["referrer-policy"] == "same-origin"
            assert b"/tasks" not in page.body

    run(main())


def test_a_links_token_is_no_buttons_and_the_other_way_round(tmp_path: Path) -> None:
    """What a link carries counts on no other channel, nor a button's ticket by a link."""

    async def main() -> None:
        async with world(tmp_path) as w:
            await w.process.submit()
            linked = w.link().split("/")[2].split(".")[0]
            button = w.process.desk.call("issue", {"actor": "t", "ask": "t1", "operator": "ann", "action": "land"})
            for token, sender, channel in (
                (linked, "ann", "web"),
                (button, "::1", "link"),
                (f"o1{linked[2:]}", "ann", "web"),
            ):
                call = {"actor": "t", "token": token, "sender": sender, "channel": channel}
                assert w.process.desk.call("redeem", call)["type"] == "refused"
            assert w.process.refusals() == ["garbled", "garbled", "forged"]

    run(main())


def test_a_link_ends_with_its_time_its_commit_and_its_persons_rights(tmp_path: Path) -> None:
    """Expired, about another commit by now, of somebody who may no longer: the page says why and the form is refused."""

    async def main() -> None:
        clock = ManualClock(NOON)
        async with world(tmp_path, clock=clock) as w:
            await w.process.submit()
            approve, _ = forms((await w.get(w.link())).body)
            with w.process.journal.tx("another commit"):
                sql = "UPDATE task SET hold = replace(hold, ?, ?)"
                w.process.journal.db.execute(sql, (COMMIT, OTHER))
            late = await w.get(w.link())
            assert (late.status, b"another commit" in late.body) == (409, True)
            assert (await w.post(w.link(), approve)).status == 409
            clock.advance(4 * 86400)
            assert b"it has expired" in (await w.get(w.link())).body
            assert (await w.post(w.link(), approve)).status == 409
            assert w.process.refusals() == ["commit", "expired"]
        async with world(tmp_path, CONFIG.replace('"approve", ', ""), ManualClock(NOON)) as later:
            assert b"may not do that" in (await later.get(w.link())).body
            assert (await later.post(w.link(), approve)).status == 409
            assert later.process.landed == []

    run(main())


def test_two_at_once_by_a_link_are_one_decision(tmp_path: Path) -> None:
    """A double press, or the same link on two devices: one counts."""

    async def main() -> None:
        async with world(tmp_path) as w:
            await w.process.submit()
            approve, reject = forms((await w.get(w.link())).body)
            both = await asyncio.gather(*(w.post(w.link(), form) for form in (approve, approve, reject)))
            assert sorted(each.status for each in both) == [200, 409, 409]
            assert w.process.count("approval.taken") == 1

    run(main())


def test_a_question_is_answered_by_its_link(tmp_path: Path) -> None:
    """In the person's own words, as data; empty words are refused and use nothing up."""

    async def main() -> None:
        async with world(tmp_path) as w:
            await w.process.submit("q1", "question")
            (form,) = forms((await w.get(w.link())).body)
            assert form["action"] == "answer"
            empty = await w.post(w.link(), {**form, "words": " "})
            assert (empty.status, b"answer nothing that was asked" in empty.body) == (409, True)
            assert (await w.post(w.link(), {**form, "words": "as TOML"})).status == 200
            await w.process.engine.idle()
            assert w.process.landed == ["q1 hears as TOML"]

    run(main())


def test_without_an_address_there_is_no_link(tmp_path: Path) -> None:
    """A link that leads nowhere, or to whoever's own machine, is not sent."""

    async def main() -> None:
        async with world(tmp_path, CONFIG.replace('url = "http://127.0.0.1:8477"', "")) as w:
            await w.process.submit()
            assert "/word/" not in str(w.messages.got)
            assert len(w.messages.got) == 1

    run(main())
