"""Telegram: a bot's messages with buttons, whose presses and replies come back by long polling.

By the Bot API's documentation (core.telegram.org/bots/api: "Making requests", "sendMessage", "InlineKeyboardButton",
"answerCallbackQuery", "getUpdates", "ResponseParameters").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from overnight.errors import BadInput
from overnight.people.channels.http import Answer, Garbled, ask
from overnight.people.errand import Button, Errand
from overnight.people.outbox import Result
from overnight.people.secret import filled
from overnight.people.settings import Target

SERVER = "https://api.telegram.org"
#: The number of a chat.
CHAT = re.compile(r"-?[0-9]{1,20}")
#: Characters of a message; bytes that a button carries; characters of the answer to a press.
MOST_TEXT, MOST_DATA, MOST_ANSWER = 4096, 64, 200
#: Buttons of one message.
MOST_BUTTONS = 8


class Refused(Exception):
    """The API says no."""

    def __init__(self, status: int, why: str, retry_after: float | None) -> None:
        self.status, self.why, self.retry_after = status, why, retry_after
        super().__init__(f"{status} {why}")


class _Parameters(Struct, frozen=True):
    retry_after: float | None = None


class _Envelope(Struct, frozen=True):
    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    description: str = ""
    parameters: _Parameters = _Parameters()


class _Sent(Struct, frozen=True):
    message_id: int


class Bot(Struct, frozen=True, kw_only=True):
    """A bot and its chat, with its token."""

    server: str
    token: str
    chat: int
    #: The file of the CA whose certificates count; empty for those that this machine knows.
    ca: str = ""

    async def call(self, method: str, limit: float, **arguments: Any) -> bytes:
        """The `result` of a method, as JSON. Raises Refused, OSError."""
        url = f"{self.server}/bot{self.token}/{method}"
        body = msgspec.json.encode({name: value for name, value in arguments.items() if value is not None})
        head = {"content-type": "application/json"}
        return _opened(await ask("POST", url, headers=head, body=body, limit=limit, ca=self.ca))

    async def send(self, errand: Errand) -> Result:
        """Send it. Raises OSError."""
        message = errand.message
        text = f"{message.title}\n\n{message.text}"
        try:
            sent = await self.say(text, errand.limit, markup(errand.buttons, answers=bool(errand.answers)))
        except Refused as no:
            return Result(ok=False, why=str(no), retry_after=no.retry_after)
        return Result(ok=True, remote=f"{self.chat} {sent}")

    async def say(
        self, text: str, limit: float, reply_markup: Mapping[str, Any] | None = None, to: int | None = None
    ) -> int:
        """Write plain text to the chat; the message's id. to: the message that it replies to. Raises Refused, OSError."""
        cut = text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"
        raw = await self.call(
            "sendMessage", limit, chat_id=self.chat, text=cut, reply_markup=reply_markup,
            link_preview_options={"is_disabled": True},
            reply_parameters=None if to is None else {"message_id": to, "allow_sending_without_reply": True},
        )  # fmt: skip
        try:
            return msgspec.json.decode(raw, type=_Sent).message_id
        except msgspec.MsgspecError as error:
            raise Garbled(f"sendMessage gave no message: {error}") from error


def markup(buttons: Sequence[Button], *, answers: bool) -> dict[str, Any] | None:
    """Buttons below a message, or the field for a reply. A message has one or the other."""
    if buttons:
        rows = [[{"text": each.label, "callback_data": each.token}] for each in buttons[:MOST_BUTTONS]]
        return {"inline_keyboard": rows}
    return {"force_reply": True} if answers else None


def _opened(answer: Answer) -> bytes:
    try:
        envelope = msgspec.json.decode(answer.body, type=_Envelope)
    except msgspec.MsgspecError as error:
        if answer.status != 200:
            raise Refused(answer.status, "without words", None) from error
        raise Garbled("its answer is none of the Bot API's") from error
    if not envelope.ok:
        raise Refused(answer.status, envelope.description, envelope.parameters.retry_after)
    return bytes(envelope.result)


def channel(target: Target, environ: Mapping[str, str]) -> tuple[Bot, list[str]]:
    """The bot of a target, and what of it is secret. Raises BadInput."""
    secrets: list[str] = []

    def fill(text: str | None, *, url: bool = False) -> str:
        value, found = filled(text or "", environ, url=url)
        secrets.extend(found)
        return value

    chat = fill(target.chat)
    if not CHAT.fullmatch(chat):
        raise BadInput(problem="its `chat` is not a chat's number, such as -1001234567890.")
    made = Bot(
        server=(fill(target.url, url=True) or SERVER).rstrip("/"),
        token=fill(target.token),
        chat=int(chat),
        ca=target.ca or "",
    )
    return made, secrets
