"""Listening to phones: one task for each channel, for as long as the daemon lives; far ends may fail as they like."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import quote

import msgspec
from msgspec import Struct

from overnight.durable.journal import Journal
from overnight.errors import BadInput
from overnight.judge.limits import backoff
from overnight.missions.notice import Message, Priority
from overnight.people.channels import ntfy, telegram
from overnight.people.channels.http import Answer, Garbled, exchange
from overnight.people.channels.inbound import Inbound, Reply
from overnight.people.deliver import cleaned
from overnight.people.operators import People
from overnight.people.outbox import MOST_WAIT_S
from overnight.people.record import Record
from overnight.people.settings import Kind, NotifySettings, Target

#: Failures in a row after which it is on record that a channel is not heard.
DEAF_AFTER = 5
#: Seconds that ntfy may say nothing: it sends a keepalive every 45 s unless its owner said otherwise.
_SILENCE_S = 180.0
#: Seconds that Telegram holds a request open, and that it may take to answer besides.
POLL_S, _SLACK_S = 50, 20.0
#: Telegram may begin its numbers anew when nothing came for a week; an older mark would throw new presses away.
_MARK_S = 6 * 86400.0
#: Seconds for what is said back to a phone.
_SAY_S = 15.0


class Listeners:
    """Everybody who is heard, over one open journal."""

    def __init__(
        self,
        journal: Journal,
        settings: NotifySettings,
        people: People,
        wake: Callable[[], None],
        say: Callable[[str], None],
        environ: Mapping[str, str] = os.environ,
        record: Record | None = None,
    ) -> None:
        """wake: tells the engine that something changed. say: into the daemon's log. record: keeps the audit."""
        self._journal, self._people, self._wake, self._say, self._environ = journal, people, wake, say, environ
        self._record = record or Record(journal)
        self._targets = {
            name: each
            for name, each in settings.targets.items()
            if each.person is not None and each.kind is not Kind.APPRISE
        }

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, target in self._targets.items():
                group.create_task(self._hear(name, target))

    async def _hear(self, name: str, target: Target) -> None:
        inbound = Inbound(self._journal, self._people, name, str(target.kind), self._wake, self._record)
        row = 0

        def well() -> None:
            nonlocal row
            row = 0

        while True:
            why, wait = await self._until_it_fails(target, inbound, well)
            row += 1
            with contextlib.suppress(sqlite3.Error):  # the engine meets it as well, and says so
                if row == DEAF_AFTER:
                    inbound.deaf(why)
            self._say(f"{name} is not heard: {why}; it is tried again")
            clock = self._journal.clock
            wait = max(backoff(row, f"{name} {row}"), min(wait, MOST_WAIT_S))
            await clock.wait(asyncio.Event(), clock.now() + wait)

    async def _until_it_fails(self, target: Target, inbound: Inbound, well: Callable[[], None]) -> tuple[str, float]:
        """(why, seconds that the far end wants to be left alone)."""
        secrets: list[str] = []
        why, wait = "the far end closed the connection", 0.0
        try:
            ear, secrets[:] = _ear(target, inbound, self._environ)
            await ear.hear(well)
        except telegram.Refused as no:
            why, wait = str(no), no.retry_after or 0.0
        except BadInput as error:
            why = str(error)
        except OSError as error:
            why = f"{type(error).__name__}: {error.strerror or error}"
        except sqlite3.Error as error:
            why = f"the journal can't be written: {error}"
        return cleaned(why, secrets), wait


class Ear(Protocol):
    """One channel's way in."""

    async def hear(self, well: Callable[[], None]) -> None:
        """Until it fails or the far end has enough. well: called whenever it is seen to work.

        Raises OSError, Refused, sqlite3.Error.
        """
        ...


def _ear(target: Target, inbound: Inbound, environ: Mapping[str, str]) -> tuple[Ear, list[str]]:
    if target.kind is Kind.NTFY:
        topic, secrets = ntfy.channel(target, environ)
        return NtfyEar(topic, inbound), secrets
    bot, secrets = telegram.channel(target, environ)
    return TelegramEar(bot, inbound), secrets


# -- ntfy ---------------------------------------------------------------------------------------------------


class _Line(Struct, frozen=True):
    event: str
    id: str = ""
    topic: str = ""
    message: str = ""


class NtfyEar:
    """The JSON stream of the reply topic, from the last message on that was taken."""

    def __init__(self, topic: ntfy.Ntfy, inbound: Inbound) -> None:
        self._topic, self._inbound = topic, inbound

    async def hear(self, well: Callable[[], None]) -> None:
        """As the stream comes. A mark that the server has forgotten gives everything that it has: what was taken is known."""
        since = quote(self._inbound.place().mark or "all", safe="")
        url = f"{self._topic.server}/{quote(self._topic.replies, safe='')}/json?since={since}"
        async with exchange("GET", url, headers=self._topic.headers, silence=_SILENCE_S, ca=self._topic.ca) as reply:
            if reply.status != 200:
                refused = ntfy.result(Answer(status=reply.status, headers=reply.headers, body=await reply.body()))
                raise telegram.Refused(reply.status, refused.why.removeprefix(f"{reply.status} "), refused.retry_after)
            async for raw in reply.lines():
                if (line := _line(raw)) is None:
                    continue
                well()
                if line.event == "message" and line.id:
                    await self._press(line)

    async def _press(self, line: _Line) -> None:
        said = self._inbound.press(line.id, line.id, line.message.strip(), self._topic.replies)
        if said is None or not said.words:
            await asyncio.sleep(0)  # others have their turn, however many of these come
            return
        title = "Overnight took your word" if said.ok else "Overnight did not take that"
        message = Message(title=title, text=said.words, priority=Priority.NORMAL if said.ok else Priority.HIGH)
        with contextlib.suppress(OSError):  # what was decided stands, and is on record
            await self._topic.publish(message, limit=_SAY_S)


def _line(raw: bytes) -> _Line | None:
    """A line of the stream; None for what is none."""
    try:
        return msgspec.json.decode(raw, type=_Line)
    except msgspec.MsgspecError:
        return None


# -- Telegram -----------------------------------------------------------------------------------------------


class _User(Struct, frozen=True):
    id: int


class _Chat(Struct, frozen=True):
    id: int


class _Before(Struct, frozen=True):
    message_id: int


class _Said(Struct, frozen=True):
    message_id: int
    chat: _Chat
    sender: _User | None = msgspec.field(name="from", default=None)
    text: str = ""
    reply_to_message: _Before | None = None


class _Pressed(Struct, frozen=True):
    id: str
    sender: _User = msgspec.field(name="from")
    message: _Said | None = None
    data: str = ""


class _Update(Struct, frozen=True):
    update_id: int
    message: _Said | None = None
    callback_query: _Pressed | None = None


class _Numbered(Struct, frozen=True):
    update_id: int


class TelegramEar:
    """The bot's updates by long polling, from the last one on that was taken."""

    def __init__(self, bot: telegram.Bot, inbound: Inbound, poll_s: int = POLL_S) -> None:
        self._bot, self._inbound, self._poll_s = bot, inbound, poll_s
        self._mark: int | None = None

    async def hear(self, well: Callable[[], None]) -> None:
        """Poll after poll. An update counts as read for Telegram when the next poll begins after it, not before."""
        self._mark = self._begin()
        while True:
            raw = await self._bot.call(
                "getUpdates", self._poll_s + _SLACK_S, offset=self._mark, timeout=self._poll_s,
                allowed_updates=["message", "callback_query"],
            )  # fmt: skip
            updates = _each(raw)
            well()
            for number, update in updates:
                if update is not None:
                    await self._take(update)
                self._mark = number + 1

    def _begin(self) -> int | None:
        place = self._inbound.place()
        fresh = self._inbound.now() - place.at < _MARK_S
        return int(place.mark) if place.mark.isdecimal() and fresh else None

    async def _take(self, update: _Update) -> None:
        name, mark = str(update.update_id), str(update.update_id + 1)
        if (pressed := update.callback_query) is not None:
            said = self._inbound.press(name, mark, pressed.data, str(pressed.sender.id))
            if said is not None and said.words:
                await self._answer(pressed, said)
        elif (message := update.message) is not None and message.reply_to_message is not None:
            await self._reply(name, mark, message, message.reply_to_message)

    async def _answer(self, pressed: _Pressed, said: Reply) -> None:
        """Tell who pressed. What was decided takes the buttons with it."""
        words = said.words[: telegram.MOST_ANSWER]
        with contextlib.suppress(OSError, telegram.Refused):  # what was decided stands, and is on record
            await self._bot.call(
                "answerCallbackQuery", _SAY_S, callback_query_id=pressed.id, text=words, show_alert=not said.ok
            )
        if said.ok and pressed.message is not None:
            with contextlib.suppress(OSError, telegram.Refused):
                where = {"chat_id": pressed.message.chat.id, "message_id": pressed.message.message_id}
                await self._bot.call("editMessageReplyMarkup", _SAY_S, reply_markup={"inline_keyboard": []}, **where)
                await self._bot.say(said.words, _SAY_S, to=pressed.message.message_id)

    async def _reply(self, name: str, mark: str, message: _Said, before: _Before) -> None:
        sender = str(message.sender.id) if message.sender is not None else ""
        if message.chat.id != self._bot.chat:
            return  # it replies to none of our messages
        said = self._inbound.reply(name, mark, f"{message.chat.id} {before.message_id}", message.text, sender)
        if said is not None and said.words:
            with contextlib.suppress(OSError, telegram.Refused):
                await self._bot.say(said.words, _SAY_S, to=message.message_id)


def _each(raw: bytes) -> list[tuple[int, _Update | None]]:
    """(number, update) of each; None for one of a form that nobody knows, which must not be given again for ever."""
    try:
        parts = msgspec.json.decode(raw, type=list[msgspec.Raw])
        numbers = [msgspec.json.decode(part, type=_Numbered).update_id for part in parts]
    except msgspec.MsgspecError as error:
        raise Garbled("its updates are none of the Bot API's") from error
    return [(number, _update(part)) for number, part in zip(numbers, parts, strict=True)]


def _update(raw: msgspec.Raw) -> _Update | None:
    try:
        return msgspec.json.decode(raw, type=_Update)
    except msgspec.MsgspecError:
        return None
