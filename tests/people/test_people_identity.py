"""Who acts: people who are logged in by name act in that name, with their rights and no others."""

from __future__ import annotations

import time
from pathlib import Path

from link_world import World, run, world
from people_lab import COMMIT

from overnight.api.access import Access, Login
from overnight.api.endpoints import OPERATIONS, OWN_RIGHTS
from overnight.audit.decisions import decisions

ASK = {"commit": COMMIT, "task": "t1"}


async def cookie(w: World, person: str) -> str:
    """The cookie of a browser that logged in by that person's link."""
    done = await w.post("/login", {"code": w.access.code(person=person)})
    assert done.status == 303
    return done.headers["set-cookie"].split(";")[0]


def test_logins_name_a_person(tmp_path: Path) -> None:
    """Codes, cookies and tokens are one person's; nobody can turn one into another's, and an unknown person is nobody."""
    access, now = Access(tmp_path, 60.0, ("ann", "bob")), time.time()
    assert access.by_code(access.code(now, "ann"), now) == Login("ann")
    assert access.by_code(access.code(now, "eve"), now) is None
    mine, hers = access.session(now), access.session(now, Login("ann"))
    assert (access.by_session(mine, now), access.by_session(hers, now)) == (Login(), Login("ann"))
    body, _, signature = hers.rpartition(".")
    for wrong in (f"{body.removesuffix('ann')}.{signature}", f"{body.replace('ann', 'bob')}.{signature}"):
        assert access.by_session(wrong, now) is None
    token = access.token_of("ann")
    assert (access.by_token(token), access.by_token(access.token)) == (Login("ann"), Login())
    assert access.by_token(token.replace("ann", "bob")) is None
    assert access.by_token("ann") is None
    assert Access(tmp_path, 60.0, ("bob",)).by_token(token) is None
    assert Access(tmp_path, 60.0, ("bob",)).by_session(hers, now) is None
    access.renew("ann")
    assert (access.by_token(token), access.by_session(hers, now), access.by_session(mine, now)) == (None, None, Login())
    again = access.session(now, Login("ann"))
    access.renew()
    assert access.by_session(again, now) is None


def test_a_decision_on_the_web_is_that_persons(tmp_path: Path) -> None:
    """Ann approves: the ticket is hers and comes over the web; Bob, who may only pause, is refused, and on record."""

    async def main() -> None:
        async with world(tmp_path) as w:
            await w.process.submit()
            headers = {"content-type": "application/json", "authorization": f"Bearer {w.access.token_of('bob')}"}
            refused = await w.post("/do/cancel", ASK, cookie=await cookie(w, "bob"))
            assert (refused.status, b"people.bob.may" in refused.body) == (403, True)
            decide = {"token": w.access.token_of("ann"), "sender": "ann", "channel": "web"}
            assert w.process.desk.call("redeem", {"actor": "t", **decide})["type"] == "refused"
            said = [
                await w.api("/api/pause", {}, headers),
                await w.api("/api/resume", {}, headers),
                await w.api("/api/stop", {}, headers),
                await w.api("/api/tasks/t1/cancel", {}, headers),
                await w.api("/api/tasks", {"text": "x"}, headers),
                await w.api("/api/tasks/t1/answer", {"text": "x"}, headers),
                await w.api("/api/limits/restore", {}, headers),
                await w.api("/api/jobs/doctor", {}, headers),
            ]
            assert said == [200, 200, 200, 403, 403, 403, 403, 403]
            assert w.process.refusals() == ["right", "garbled", *["right"] * 5]
            views = decisions(w.home)
            assert {(each.channel, each.sender, each.reason) for each in views} == {
                ("web", "bob", "right"), ("web", "ann", "garbled"), ("api", "bob", "right"),
            }  # fmt: skip

    run(main())


def test_a_ticket_of_the_web_is_issued_in_the_persons_name(tmp_path: Path) -> None:
    """What is decided is on record as ann's, not as the machine's user's."""

    async def main() -> None:
        async with world(tmp_path) as w:
            await w.process.submit()
            sent = {"actor": "web:ann", "ask": "t1", "operator": "ann", "action": "land", "commit": COMMIT}
            token = w.process.desk.call("issue", sent)
            for sender in ("bob", "eve", "", "root"):
                call = {"actor": "web", "token": token, "sender": sender, "channel": "web"}
                assert w.process.desk.call("redeem", call)["reason"] == "sender", sender
            call = {"actor": "web:ann", "token": token, "sender": "ann", "channel": "web"}
            assert w.process.desk.call("redeem", call)["operator"] == "ann"
            await w.process.engine.idle()
            assert w.process.landed == ["t1 True by ann"]

    run(main())


def test_what_needs_no_right_is_named() -> None:
    """Every operation that changes something and is not named as looking at rights itself needs `manage`."""
    changing = {each.id for each in OPERATIONS if each.method != "GET"}
    assert changing > OWN_RIGHTS
