"""What people decide and what is refused goes into the audit, whole and once; a flood of it is counted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from notify_lab import NOON, serving
from people_lab import ANN, COMMIT, OTHER, Hand, Lab
from phone_lab import NtfyServer, TelegramServer
from phone_world import NTFY, TELEGRAM, process, soon

from overnight.audit.checkpoints import make_checkpoint
from overnight.audit.decisions import DecisionView, decisions
from overnight.audit.places import PEOPLE, Places, day_at
from overnight.audit.verify import verify
from overnight.durable.clock import ManualClock
from overnight.durable.journal import Journal
from overnight.missions.approval import Action, Reason, Redeemed
from overnight.people.floods import MOST, SENDERS, SPAN_S, Floods, Seen
from overnight.people.record import Record


def reasons(home: Path) -> list[str]:
    """Of every decision on record: why it was refused, or what it was."""
    return [view.reason or view.what for view in decisions(home)]


def place(home: Path) -> Path:
    """Today's file."""
    return Places(home).path(f"{day_at()}/{PEOPLE}")


def hand(lab: Lab) -> Hand:
    """Its clock."""
    assert isinstance(lab.clock, Hand)
    return lab.clock


def test_every_refusal_and_every_decision_is_audited(lab: Lab) -> None:
    """Garbled, forged, another sender, taken, repeated, decided, after landing, expired: each with who and how."""
    lab.commits = [COMMIT, OTHER]
    lab.submit()
    first, other = lab.issue(), lab.issue(action=Action.REJECT)
    lab.redeem("yes")
    lab.redeem(first[:-1] + ("A" if first[-1] != "A" else "Q"))
    lab.redeem(first, "2002")
    assert isinstance(lab.redeem(first), Redeemed)
    lab.redeem(first)
    lab.drive()
    lab.redeem(other)
    late = lab.issue(lifetime=60)
    hand(lab).at += 61
    lab.redeem(late)
    lab.redeem(lab.issue())
    lab.drive()
    lab.redeem(first)
    assert reasons(lab.home) == [
        "garbled", "forged", "sender", "approval.taken", "used", "decided", "expired", "approval.taken", "used",
    ]  # fmt: skip
    taken = decisions(lab.home)[3]
    assert (taken.who, taken.channel, taken.sender, taken.commit, taken.action) == (
        "ann", "telegram", "1001", COMMIT, "land",
    )  # fmt: skip
    assert verify(lab.home).flaws == ()
    assert len(decisions(lab.home)) == len(lab.events("approval.taken")) + len(lab.events("approval.refused"))


def test_what_was_decided_is_signed_and_can_not_be_changed(lab: Lab) -> None:
    """A line that is changed, one that is gone and a file that is gone are found, before and after a checkpoint."""
    lab.submit()
    lab.redeem("yes")
    lab.redeem(lab.issue())
    path = place(lab.home)
    whole = path.read_bytes()
    for signed in (False, True):
        if signed:
            assert make_checkpoint(lab.home, "person").head is not None
        assert verify(lab.home).whole
        path.write_bytes(whole.replace(b"garbled", b"expired"))
        assert [flaw.file for flaw in verify(lab.home).flaws] == [f"{day_at()}/{PEOPLE}"]
        path.unlink()
        assert any("missing" in flaw.problem for flaw in verify(lab.home).flaws)
        path.write_bytes(whole)
    path.write_bytes(whole.splitlines(keepends=True)[0])
    assert any("its end is missing" in flaw.problem for flaw in verify(lab.home).flaws)


def test_what_a_kill_left_out_is_copied_by_the_next(lab: Lab) -> None:
    """Decided and killed before the audit: the next process copies it; nothing is copied twice."""
    lab.submit()
    journal = Journal(lab.home, clock=lab.clock)
    journal.tell("approval.refused", actor="telegram:1", why="used: it was", reason="used", channel="telegram")
    journal.close()
    for _ in range(3):
        journal = Journal(lab.home, clock=lab.clock)
        Record(journal).follow()
        journal.close()
    assert reasons(lab.home) == ["used"]


def test_an_audit_that_can_not_be_written_loses_nothing(lab: Lab) -> None:
    """The decision stands and trouble is told; with the folder mended the audit has it."""
    lab.submit()
    audit = lab.home / "audit"
    audit.write_text("in the way")
    assert isinstance(lab.redeem(lab.issue()), Redeemed)
    said = list[str]()
    journal = Journal(lab.home, clock=lab.clock)
    record = Record(journal, said.append)
    record.follow()
    assert "tried again" in said[0]
    audit.unlink()
    record.follow()
    journal.close()
    assert reasons(lab.home) == ["approval.taken"]


def test_a_journal_that_was_put_back_is_followed_again(lab: Lab, tmp_path: Path) -> None:
    """Its events have numbers that the audit knows of another past: what is new is copied all the same."""
    lab.submit()
    for _ in range(3):
        lab.redeem("yes")
    other = Lab(tmp_path / "other")
    other.submit()
    other.redeem("no")
    (lab.home / "audit").rename(other.home / "kept")
    for path in (other.home / "audit").rglob("*"):
        if path.is_file():
            path.unlink()
    for path in (other.home / "kept").rglob("*.ndjson"):
        aim = other.home / "audit" / path.relative_to(other.home / "kept")
        aim.parent.mkdir(parents=True, exist_ok=True)
        path.rename(aim)
    assert isinstance(other.redeem(other.issue()), Redeemed)
    assert reasons(other.home)[-2:] == ["garbled", "approval.taken"]


def test_who_may_not_is_on_record_though_no_ticket_was_made(lab: Lab) -> None:
    """A person who asks for a ticket beyond their rights."""
    lab.anyway = True
    lab.submit()
    with pytest.raises(Exception, match="may not"):
        lab.issue("ann", Action.LAND_ANYWAY)
    assert [(view.reason, view.who) for view in decisions(lab.home)] == [("right", "operator:ann")]


# -- floods -------------------------------------------------------------------------------------------------


def test_a_flood_is_counted() -> None:
    """Ten by themselves, then the hundredth and the thousandth say how many; another sender and another hour begin anew."""
    floods = Floods()
    seen = [floods.see("ntfy", "t", 0.0) for _ in range(1500)]
    assert sum(each.alone for each in seen) == MOST
    assert [(n + 1, each.counted) for n, each in enumerate(seen) if each.counted] == [(100, 90), (1000, 900)]
    assert floods.see("telegram", "t", 0.0) == Seen(True)
    assert floods.see("ntfy", "t", SPAN_S) == Seen(True, 500)
    assert floods.over(2 * SPAN_S) == []
    assert floods.see("ntfy", "t", 5.0) == Seen(True), "a clock that was set back begins anew"


def test_many_senders_count_as_one() -> None:
    """Whoever changes the name with each try gains nothing."""
    floods = Floods()
    alone = sum(floods.see("link", str(n), 0.0).alone for n in range(5000))
    assert alone == SENDERS + MOST
    assert sum(count for _, _, count in floods.over(None)) < 5000


def events(views: list[DecisionView]) -> tuple[int, int]:
    """(by themselves, counted) of refusals on record."""
    return sum(not view.count for view in views), sum(view.count for view in views)


def test_a_flood_of_forged_presses_leaves_a_phone_usable(tmp_path: Path) -> None:
    """A thousand made-up tickets on the reply topic: few records, few messages, no growth of the journal, and the right
    press counts in between; once the time is over it begins anew."""

    async def main() -> None:
        server, landed, clock = NtfyServer(), list[str](), ManualClock(NOON)
        async with serving(server.handle) as port:
            async with process(tmp_path, NTFY.replace("PORT", str(port)), clock, landed) as p:
                await p.submit()
                (message,) = await soon(server.wait("alerts", 1))
                for n in range(500):
                    await server.add("replies", {"message": f"o1{n:038d}"})
                await server.press(message, "Approve")
                for n in range(499):
                    await server.add("replies", {"message": f"o1{n:038d}"})
                await server.add("replies", {"message": message["actions"][1]["body"]})
                await p.until(lambda: landed)
                await p.until(lambda: p.count("refusals.counted") == 2)
                told = await soon(server.wait("alerts", 1 + MOST + 1))
                assert [each["message"] for each in told if "Approved" in each["message"]]
                clock.advance(SPAN_S)
                for n in range(2):
                    await server.add("replies", {"message": f"o1{n:037d}x"})
                await p.until(lambda: p.count("approval.refused") == MOST + 2)
                await soon(server.wait("alerts", 1 + MOST + 1 + 2))
                assert events(decisions(tmp_path)) == (1 + MOST + 2, 1000 - MOST)
                assert p.journal.db.execute("SELECT count(*) FROM event").fetchone()[0] < 60
        assert landed == ["t1 True by ann"]

    asyncio.run(main())


def test_strangers_on_telegram_are_refused_counted_and_unanswered(tmp_path: Path) -> None:
    """Their presses and replies are on record by their number, few of them; nobody is told anything back in the chat."""

    async def main() -> None:
        server, landed = TelegramServer(), list[str]()
        async with serving(server.handle) as port:
            async with process(tmp_path, TELEGRAM.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                await p.submit()
                number, message = await soon(server.message(1))
                token = message["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
                for n in range(40):
                    who = {"id": 666, "is_bot": False, "first_name": "E"}
                    await server.update(
                        {"callback_query": {"id": f"x{n}", "from": who, "chat_instance": "c", "data": token}}
                    )
                    await server.say("approve", number, user=667)
                await soon(server.read())
                assert p.refusals() == ["sender"] * MOST
                assert p.count("answer.refused") == MOST
                assert len(server.messages) == 1
                await soon(server.press(number, "Approve"))
                await p.engine.idle()
            found = {(view.sender, view.reason) for view in decisions(tmp_path)}
            assert found == {("666", "sender"), ("667", "operator"), ("1001", "")}
        assert landed == ["t1 True by ann"]

    asyncio.run(main())


def test_reasons_have_words() -> None:
    """Each for a person; ann of the lab is who these tests think she is."""
    from overnight.missions.approval import WORDS

    assert set(WORDS) == set(Reason)
    assert "1001" in ANN.senders["telegram"]
