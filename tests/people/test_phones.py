"""Decisions from a phone, against local servers that speak ntfy's and Telegram's published protocols."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from notify_lab import NOON, serving
from phone_lab import NtfyServer, TelegramServer
from phone_world import NTFY, TELEGRAM, process, soon

from overnight.durable.clock import ManualClock
from overnight.people.channels.listen import DEAF_AFTER
from overnight.warden.http import Response


class _Killed(BaseException):
    """The process is gone."""


def busy(seconds: int) -> Response:
    """How Telegram says that it is asked too often."""
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": seconds}}
    return Response.json(429, body)


def test_a_press_on_ntfy_lands_it_and_a_second_one_is_refused_there(tmp_path: Path) -> None:
    """The message carries two buttons; a press counts, the other one and the same again are refused with words on the
    phone, and everything is on record."""

    async def main() -> None:
        server, landed = NtfyServer(), list[str]()
        async with serving(server.handle) as port:
            async with process(tmp_path, NTFY.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                await p.submit()
                (message,) = await soon(server.wait("alerts", 1))
                assert [each["label"] for each in message["actions"]] == ["Approve", "Reject"]
                assert message["priority"] == 4
                await server.press(message, "Approve")
                taken = (await soon(server.wait("alerts", 2)))[1]
                assert taken["message"] == "Approved: t1 aaaaaaaaaaaa"
                await p.engine.idle()
                assert landed == ["t1 True by ann"]
                await server.press(message, "Approve")
                refused = (await soon(server.wait("alerts", 3)))[2]
                assert refused["message"] == "Not taken: it was used already."
                await server.press(message, "Reject")
                assert "Not taken: the task has ended" in (await soon(server.wait("alerts", 4)))[3]["message"]
                assert p.count("approval.taken") == 1
                assert p.refusals() == ["used", "ended"]
        assert server.problems == []
        assert landed == ["t1 True by ann"]

    asyncio.run(main())


def test_a_press_on_telegram_lands_it_and_a_second_one_is_refused_there(tmp_path: Path) -> None:
    """The same: the press is answered, the buttons go, and a second press shows why it does not count."""

    async def main() -> None:
        server, landed = TelegramServer(), list[str]()
        async with serving(server.handle) as port:
            async with process(tmp_path, TELEGRAM.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                await p.submit()
                number, message = await soon(server.message(1))
                token = message["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
                shown = await soon(server.press(number, "Approve"))
                assert (shown["text"], shown["show_alert"]) == ("Approved: t1 aaaaaaaaaaaa", False)
                confirmed = (await soon(server.message(2)))[1]
                assert confirmed["reply_parameters"]["message_id"] == number
                assert server.messages[number]["reply_markup"] == {"inline_keyboard": []}
                await p.engine.idle()
                assert landed == ["t1 True by ann"]
                again = await soon(server.press(number, "", data=token))
                assert (again["text"], again["show_alert"]) == ("Not taken: it was used already.", True)
                assert p.refusals() == ["used"]
        assert server.problems == []
        assert landed == ["t1 True by ann"]

    asyncio.run(main())


def test_a_stranger_decides_nothing(tmp_path: Path) -> None:
    """A user who is not one of the people is refused with a right button, and unheard with words; nothing changes."""

    async def main() -> None:
        server, landed = TelegramServer(), list[str]()
        async with serving(server.handle) as port:
            async with process(tmp_path, TELEGRAM.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                await p.submit()
                number, _ = await soon(server.message(1))
                shown = await soon(server.press(number, "Approve", user=666))
                assert shown["text"] == "Not taken: it was made for somebody else than who sent it."
                await server.say("approve", number, user=666)
                await server.say("approve", number, chat=78)
                await soon(server.read())
                assert p.refusals() == ["sender"]
                assert len(server.messages) == 1
                await soon(server.press(number, "Approve"))
        assert landed == ["t1 True by ann"]

    asyncio.run(main())


def test_words_answer_a_question_and_approve_nothing(tmp_path: Path) -> None:
    """A reply to a question's message is its answer, cleaned, once; a reply to an approval's is refused with words."""

    async def main() -> None:
        server, landed = TelegramServer(), list[str]()
        async with serving(server.handle) as port:
            async with process(tmp_path, TELEGRAM.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                await p.submit("t1")
                approval, _ = await soon(server.message(1))
                await server.say("approve", approval)
                assert "words approve nothing" in (await soon(server.message(2)))[1]["text"]
                await p.submit("q1", "question")
                question, asked = await soon(server.message(3))
                assert asked["reply_markup"] == {"force_reply": True}
                await server.say("as\x1b[31m TOML", None)
                await server.say("as\x1b[31m TOML", question)
                assert (await soon(server.message(4)))[1]["text"] == "Answered: q1"
                await p.engine.idle()
                await server.say("no, as JSON", question)
                assert "does not wait for this now" in (await soon(server.message(5)))[1]["text"]
                assert (p.count("answer.taken"), p.count("answer.refused")) == (1, 2)
        assert landed == ["q1 hears as TOML"]
        assert server.problems == []

    asyncio.run(main())


def test_updates_that_come_twice_count_once(tmp_path: Path) -> None:
    """A server that forgets that an update was confirmed gives it again: it is neither taken nor refused again."""

    async def main() -> None:
        server, landed = TelegramServer(), list[str]()
        async with serving(server.handle) as port:
            async with process(tmp_path, TELEGRAM.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                await p.submit()
                number, _ = await soon(server.message(1))
                await soon(server.press(number, "Approve"))
                await soon(server.read())
                (update,) = (each for each in server.confirmed[-1:])
                assert update == 5000
            ends = {"update_id": 5000, "callback_query": {
                "id": "q9", "from": {"id": 1001, "is_bot": False, "first_name": "A"}, "chat_instance": "c",
                "data": "o1" + "A" * 38}}  # fmt: skip
            server.updates = [ends]
            async with process(
                tmp_path, TELEGRAM.replace("PORT", str(port)), ManualClock(NOON + 9 * 86400), landed
            ) as p:
                await soon(server.read())
                assert p.refusals() == []
                assert server.polls.count(None) == 2  # a mark of last week is not used: numbers may have begun anew
        assert landed == ["t1 True by ann"]

    asyncio.run(main())


def test_a_mark_that_is_lost_on_either_side_takes_nothing_twice(tmp_path: Path) -> None:
    """ntfy gives everything from the beginning when it does not know the mark, or we don't: pressed stays pressed."""

    async def main() -> None:
        server, landed = NtfyServer(), list[str]()
        async with serving(server.handle) as port:
            text = NTFY.replace("PORT", str(port))
            async with process(tmp_path, text, ManualClock(NOON), landed) as p:
                await p.submit()
                (message,) = await soon(server.wait("alerts", 1))
                await server.press(message, "Approve")
                await soon(server.wait("alerts", 2))
            server.topics["replies"].insert(
                0, {"id": "old", "time": 1, "event": "message", "topic": "replies", "message": "hi"}
            )
            server.topics["replies"][1]["id"] = "another name for the same press"
            async with process(tmp_path, text, ManualClock(NOON), landed) as p:
                refused = (await soon(server.wait("alerts", 3)))[2]
                assert refused["message"] == "Not taken: it was used already."
                p.journal.drop("channel", "phone")
            async with process(tmp_path, text, ManualClock(NOON), landed) as p:
                await soon(server.wait("alerts", 4))
                assert p.count("approval.taken") == 1
        assert landed == ["t1 True by ann"]

    asyncio.run(main())


@pytest.mark.parametrize("moment", range(6))
@pytest.mark.parametrize("kind", ["ntfy", "telegram"])
def test_killed_between_fetching_and_acting(tmp_path: Path, kind: str, moment: int) -> None:
    """Cut off at any commit after a press arrived: the next process lands it exactly once."""

    async def main() -> None:
        ntfy, telegram, landed = NtfyServer(), TelegramServer(), list[str]()
        server, text = (ntfy, NTFY) if kind == "ntfy" else (telegram, TELEGRAM)
        armed, left = [False], [moment]
        dead = asyncio.Event()

        def watch(_moment: str, _label: str) -> None:
            if armed[0]:
                left[0] -= 1
                if left[0] == -1:
                    dead.set()
                    raise _Killed

        async with serving(server.handle) as port:
            async with process(tmp_path, text.replace("PORT", str(port)), ManualClock(NOON), landed, hears=False) as p:
                await p.submit()
            if kind == "ntfy":
                (message,) = await soon(ntfy.wait("alerts", 1))
                await ntfy.press(message, "Approve")
            else:
                number, said = await soon(telegram.message(1))
                token = said["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
                await telegram.update({"callback_query": {
                    "id": "q1", "from": {"id": 1001, "is_bot": False, "first_name": "A"}, "chat_instance": "c",
                    "message": {"message_id": number, "chat": {"id": 77, "type": "private"}, "date": 1}, "data": token}})  # fmt: skip
            async with process(
                tmp_path, text.replace("PORT", str(port)), ManualClock(NOON), landed, observer=watch
            ) as p:
                armed[0] = True
                await p.until(lambda: dead.is_set() or landed)
            async with process(tmp_path, text.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                done = "SELECT 1 FROM task WHERE state = 'done'"
                await p.until(lambda: p.journal.db.execute(done).fetchone() is not None)
                assert p.count("approval.taken") == 1
        assert set(landed) == {"t1 True by ann"}

    asyncio.run(main())


def test_what_goes_wrong_at_a_far_end_is_borne(tmp_path: Path) -> None:
    """A refusal, garbage, an answer that is cut off, nobody there: each is tried again later, told once, and then heard."""

    async def main() -> None:
        server, landed, clock = TelegramServer(), list[str](), ManualClock(NOON)
        server.faults.next = [busy(700), "garbage", "cut", Response(status=502), Response.json(409, {
            "ok": False, "error_code": 409, "description": "Conflict: terminated by other getUpdates request"})]  # fmt: skip
        async with serving(server.handle) as port:
            async with process(tmp_path, TELEGRAM.replace("PORT", str(port)), clock, landed) as p:
                for n in range(DEAF_AFTER):
                    await p.until(lambda n=n: len(p.said) == n + 1)
                    await asyncio.sleep(0)
                    clock.advance(699 if n == 0 else 600)
                    if n == 0:
                        await asyncio.sleep(0)
                        assert len(p.said) == 1  # it asked for 700 s
                        clock.advance(1)
                await p.submit()
                assert p.count("notify.deaf") == 1
                numbers = [await soon(server.message(n)) for n in (1, 2)]
                number = next(number for number, each in numbers if "reply_markup" in each)
                await soon(server.press(number, "Approve"))
                await p.engine.idle()
            assert "429 Too Many Requests" in p.said[0]
            assert "none of the Bot API's" in p.said[1]
            assert "502" in p.said[3]
            assert "409 Conflict" in p.said[4]
            assert TelegramServer.TOKEN not in "".join(p.said)
        assert landed == ["t1 True by ann"]

    asyncio.run(main())


def test_a_token_that_can_not_be_sent_deafens_no_other_phone(tmp_path: Path) -> None:
    """A file of two lines as a token: that phone is not heard, nobody is told the token, and the other one decides."""
    (tmp_path / "token").write_text("tk_first\ntk_second\n")
    both = TELEGRAM + (
        f'[notify.targets.bad]\nkind = "ntfy"\nurl = "http://127.0.0.1:PORT/alerts"\ntoken = "${{file:{tmp_path}/token}}"\n'
        'replies = "replies"\nperson = "ann"\nat_once = []\ndigest = []\n'
    )

    async def main() -> None:
        server, landed = TelegramServer(), list[str]()
        async with serving(server.handle) as port:
            async with process(tmp_path, both.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                await p.until(lambda: p.said)
                await p.submit()
                await soon(server.press((await soon(server.message(1)))[0], "Approve"))
                await p.engine.idle()
        assert "bad is not heard" in p.said[0]
        assert "can't be sent" in p.said[0]
        assert "tk_" not in "".join(p.said)
        assert landed == ["t1 True by ann"]

    asyncio.run(main())


def test_updates_of_a_form_that_nobody_knows_are_passed_over(tmp_path: Path) -> None:
    """What Telegram invents next keeps nobody from deciding."""

    async def main() -> None:
        server, landed = TelegramServer(), list[str]()
        async with serving(server.handle) as port:
            async with process(tmp_path, TELEGRAM.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                await p.submit()
                number, _ = await soon(server.message(1))
                await server.update({"callback_query": {"id": 7, "from": "ann"}})
                await server.update({"message": "words"})
                await server.update({"stars": 5})
                await soon(server.press(number, "Approve"))
                await p.engine.idle()
        assert landed == ["t1 True by ann"]

    asyncio.run(main())


def test_junk_on_a_reply_topic_costs_nothing(tmp_path: Path) -> None:
    """Whoever knows the topic's name can write there: what is no ticket is neither answered nor put on record, and a
    ticket that was made up is refused."""

    async def main() -> None:
        server, landed = NtfyServer(), list[str]()
        async with serving(server.handle) as port:
            async with process(tmp_path, NTFY.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                await p.submit()
                (message,) = await soon(server.wait("alerts", 1))
                before = p.count("approval.refused")
                for junk in ("approve t1", "yes", "\x00" * 9, "x" * 4000, json.dumps({"approve": "t1"})):
                    await server.add("replies", {"message": junk})
                await server.add("replies", {"message": "o1" + "A" * 38})
                assert "no such approval" in (await soon(server.wait("alerts", 2)))[1]["message"]
                assert p.count("approval.refused") == before + 1
                await server.press(message, "Reject")
                await soon(server.wait("alerts", 3))
                await p.engine.idle()
        assert landed == ["t1 False by ann"]

    asyncio.run(main())


def test_a_message_that_telegram_delays_arrives_once(tmp_path: Path) -> None:
    """429 with retry_after: the message waits so long, and goes out once."""

    async def main() -> None:
        server, landed, clock = TelegramServer(), list[str](), ManualClock(NOON)
        async with serving(server.handle) as port:
            async with process(tmp_path, TELEGRAM.replace("PORT", str(port)), clock, landed, hears=False) as p:
                server.faults.next = [busy(900)]
                await p.submit()
                assert p.notifier.outbox.next_due() == clock.now() + 900
                clock.advance(899)
                await p.tell()
                assert len(server.messages) == 1
                (row,) = p.journal.db.execute("SELECT state, tries, remote FROM delivery").fetchall()
                assert (row["state"], row["tries"], row["remote"]) == ("sent", 2, "77 100")
        assert server.problems == []

    asyncio.run(main())


def test_access_tokens_travel_as_the_documentation_says(tmp_path: Path) -> None:
    """ntfy gets its token as a bearer, the phone gets the one that may only write, and neither is in the journal."""

    async def main() -> None:
        server, landed = NtfyServer(token="tk_reader"), list[str]()
        text = NTFY + 'token = "${NTFY}"\nreply_token = "${BOT}"\n'
        async with serving(server.handle) as port:
            async with process(tmp_path, text.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                await p.submit()
                (message,) = await soon(server.wait("alerts", 1))
                assert message["actions"][0]["headers"] == {"Authorization": f"Bearer {TelegramServer.TOKEN}"}
        assert server.problems == []
        for path in tmp_path.glob("journal.db*"):
            assert b"tk_reader" not in path.read_bytes()

    asyncio.run(main())


def test_a_button_is_only_made_for_what_its_owner_may(tmp_path: Path) -> None:
    """Somebody who may only answer gets an approval without buttons, and no ticket is made."""

    async def main() -> None:
        server, landed = NtfyServer(), list[str]()
        text = NTFY.replace('["approve", "answer"]', '["answer"]')
        async with serving(server.handle) as port:
            async with process(tmp_path, text.replace("PORT", str(port)), ManualClock(NOON), landed) as p:
                await p.submit()
                (message,) = await soon(server.wait("alerts", 1))
                assert "actions" not in message
                assert p.count("approval.issued") == 0

    asyncio.run(main())
