"""ntfy and the Telegram Bot API on 127.0.0.1, as their documentation has them, with everything that can go wrong.

ntfy: docs.ntfy.sh, "Publish as JSON", "Send HTTP request", "Subscribe as JSON stream", "Fetching cached messages" (a `since`
that the server does not know gives everything that it has). Telegram: core.telegram.org/bots/api of Bot API 10.1: the
fields of the methods below, "InlineKeyboardButton" (1 to 64 bytes of callback_data), "getUpdates" (offset confirms).
"""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

from overnight.warden.http import Exchange, Request, Response

#: Fields of ntfy's "Publish as JSON" and of its `http` action, with the types that the documentation gives.
NTFY = {
    "topic": str, "message": str, "title": str, "tags": list, "priority": int, "actions": list, "click": str,
    "attach": str, "markdown": bool, "icon": str, "filename": str, "delay": str, "email": str, "call": str,
}  # fmt: skip
NTFY_ACTION = {
    "action": str, "label": str, "url": str, "method": str, "headers": dict, "body": str, "clear": bool,
}  # fmt: skip
#: Of each method that we use: (field, type, required), from the Bot API's tables.
TELEGRAM: dict[str, dict[str, tuple[type, bool]]] = {
    "sendMessage": {
        "chat_id": (int, True), "text": (str, True), "reply_markup": (dict, False), "reply_parameters": (dict, False),
        "link_preview_options": (dict, False),
    },
    "getUpdates": {"offset": (int, False), "limit": (int, False), "timeout": (int, False), "allowed_updates": (list, False)},
    "answerCallbackQuery": {"callback_query_id": (str, True), "text": (str, False), "show_alert": (bool, False)},
    "editMessageReplyMarkup": {"chat_id": (int, False), "message_id": (int, False), "reply_markup": (dict, False)},
}  # fmt: skip


class Faults:
    """What a server does instead of answering, one request after the other."""

    def __init__(self) -> None:
        #: A response, "garbage", or "cut".
        self.next: list[Response | str] = []
        #: The request that is held back until `go`, by a part of its target.
        self.slow = ""
        self.go = asyncio.Event()

    async def hit(self, request: Request, exchange: Exchange) -> Response | None:
        """What goes wrong now; None when nothing does."""
        if self.slow and self.slow in request.target:
            await self.go.wait()
        if not self.next:
            return None
        fault = self.next.pop(0)
        if fault == "cut":
            await exchange.start(200, [(b"content-length", b"999")])
            await exchange.send(b'{"id":')
            await exchange.cut()
            return Response(status=500)
        return Response(body=b"<html>hello</html>") if isinstance(fault, str) else fault


class NtfyServer:
    """One server with topics."""

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.topics: dict[str, list[dict[str, Any]]] = {}
        self.faults, self.problems = Faults(), list[str]()
        self.streams = 0
        self._number, self._news = count(1), asyncio.Condition()

    async def handle(self, request: Request, exchange: Exchange) -> Response | None:
        if request.method == "GET":
            return await self._subscribe(request, exchange)
        if (fault := await self.faults.hit(request, exchange)) is not None:
            return None if exchange.started else fault
        topic = request.path.strip("/")
        if not topic:
            return await self._json(request)
        return Response.json(200, await self.add(topic, {"message": request.body.decode()}))

    async def _json(self, request: Request) -> Response:
        if self.token and (b"authorization", f"Bearer {self.token}".encode()) not in request.headers:
            return Response.json(403, {"code": 40301, "http": 403, "error": "forbidden"})
        said: dict[str, Any] = json.loads(request.body)
        self._check("publication", said, NTFY)
        for action in said.get("actions", []):
            self._check("action", action, NTFY_ACTION)
        if len(said.get("actions", [])) > 3:
            self.problems.append("more than three actions")
        if len(said["message"].encode()) > 4096:
            self.problems.append("a message that becomes an attachment")
        return Response.json(200, await self.add(said.pop("topic"), said))

    def _check(self, what: str, said: dict[str, Any], known: dict[str, type]) -> None:
        for name, value in said.items():
            if name not in known or not isinstance(value, known[name]):
                self.problems.append(f"{what}: {name} = {value!r}")

    async def add(self, topic: str, said: dict[str, Any]) -> dict[str, Any]:
        """A message on a topic."""
        number = next(self._number)
        made = {"id": f"m{number:09d}", "time": 1_795_000_000 + number, "event": "message", "topic": topic, **said}
        async with self._news:
            self.topics.setdefault(topic, []).append(made)
            self._news.notify_all()
        return made

    async def wait(self, topic: str, many: int) -> list[dict[str, Any]]:
        """The messages of a topic, once there are so many."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.topics.get(topic, [])) >= many)
        return self.topics[topic]

    async def press(self, message: dict[str, Any], label: str) -> dict[str, Any]:
        """What a phone does when a button is pressed: the action's request."""
        action = next(each for each in message["actions"] if each["label"] == label)
        assert (action["action"], action["method"]) == ("http", "POST")
        topic: str = str(action["url"]).rpartition("/")[2]
        return await self.add(topic, {"message": action["body"]})

    async def _subscribe(self, request: Request, exchange: Exchange) -> Response | None:
        if (fault := await self.faults.hit(request, exchange)) is not None:
            return None if exchange.started else fault
        parts = urlsplit(request.target)
        topic, kind = parts.path.strip("/").split("/")
        if kind != "json":
            self.problems.append(f"subscribes to {kind}")
        (since,) = parse_qs(parts.query).get("since", ["none"])
        sent = self._after(topic, since)
        await exchange.start(200, [(b"content-type", b"application/x-ndjson; charset=utf-8")])
        await self._line(exchange, {"id": "open1", "time": 1, "event": "open", "topic": topic})
        self.streams += 1
        while True:
            for each in self.topics.get(topic, [])[sent:]:
                await self._line(exchange, each)
                sent += 1
            await self._line(exchange, {"id": "keep1", "time": 1, "event": "keepalive", "topic": topic})
            async with self._news:
                await self._news.wait_for(lambda had=sent: len(self.topics.get(topic, [])) > had)

    def _after(self, topic: str, since: str) -> int:
        known = [each["id"] for each in self.topics.get(topic, [])]
        if since == "none":
            return len(known)
        return known.index(since) + 1 if since in known else 0

    async def _line(self, exchange: Exchange, value: dict[str, Any]) -> None:
        await exchange.send(json.dumps(value).encode() + b"\n")


class TelegramServer:
    """One bot."""

    TOKEN = "12345:AAF-test_token"

    def __init__(self) -> None:
        self.faults, self.problems = Faults(), list[str]()
        self.messages: dict[int, dict[str, Any]] = {}
        self.updates: list[dict[str, Any]] = []
        #: Updates that were given and are not confirmed are given again; what was confirmed is here.
        self.confirmed: list[int] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.polls: list[int | None] = []
        self._update, self._message, self._query = count(5000), count(100), count(1)
        self._news = asyncio.Condition()

    async def handle(self, request: Request, exchange: Exchange) -> Response | None:
        head, _, method = request.path.strip("/").partition("/")
        if head != f"bot{self.TOKEN}":
            return Response.json(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
        if (fault := await self.faults.hit(request, exchange)) is not None:
            return None if exchange.started else fault
        said: dict[str, Any] = json.loads(request.body)
        self._check(method, said)
        result = await getattr(self, f"_{method}")(said)
        return Response.json(200, {"ok": True, "result": result})

    def _check(self, method: str, said: dict[str, Any]) -> None:
        fields = TELEGRAM[method]
        for name, value in said.items():
            if name not in fields or not isinstance(value, fields[name][0]):
                self.problems.append(f"{method}: {name} = {value!r}")
        self.problems += [
            f"{method} lacks {name}" for name, (_, needed) in fields.items() if needed and name not in said
        ]
        if method == "sendMessage" and not 1 <= len(said["text"]) <= 4096:
            self.problems.append("a text of a length that is refused")
        if method == "answerCallbackQuery" and len(said.get("text", "")) > 200:
            self.problems.append("an answer that is too long")
        for row in said.get("reply_markup", {}).get("inline_keyboard", []):
            for button in row:
                if set(button) != {"text", "callback_data"} or not 1 <= len(button["callback_data"].encode()) <= 64:
                    self.problems.append(f"a button: {button}")

    async def _sendMessage(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 (the API's name)
        number = next(self._message)
        async with self._news:
            self.messages[number] = said
            self._news.notify_all()
        return {
            "message_id": number,
            "date": 1,
            "chat": {"id": said["chat_id"], "type": "private"},
            "text": said["text"],
        }

    async def _getUpdates(self, said: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: N802
        offset = said.get("offset")
        self.polls.append(offset)
        if offset is not None:
            self.confirmed += [each["update_id"] for each in self.updates if each["update_id"] < offset]
            self.updates = [each for each in self.updates if each["update_id"] >= offset]
        async with self._news:
            self._news.notify_all()
            await self._news.wait_for(lambda: bool(self.updates))
        return list(self.updates)

    async def _answerCallbackQuery(self, said: dict[str, Any]) -> bool:  # noqa: N802
        async with self._news:
            self.answers[said["callback_query_id"]] = said
            self._news.notify_all()
        return True

    async def _editMessageReplyMarkup(self, said: dict[str, Any]) -> bool:  # noqa: N802
        async with self._news:
            self.messages[said["message_id"]]["reply_markup"] = said["reply_markup"]
            self._news.notify_all()
        return True

    async def message(self, many: int) -> tuple[int, dict[str, Any]]:
        """The last message, once there are so many."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.messages) >= many)
        return list(self.messages.items())[many - 1]

    async def update(self, update: dict[str, Any]) -> None:
        """Something happened in the chat."""
        async with self._news:
            self.updates.append({"update_id": next(self._update), **update})
            self._news.notify_all()

    async def press(self, message: int, label: str, user: int = 1001, data: str = "") -> dict[str, Any]:
        """Somebody presses a button; the answer that the phone shows."""
        said = self.messages[message]
        rows = said.get("reply_markup", {}).get("inline_keyboard", [])
        chosen = data or next(button["callback_data"] for row in rows for button in row if button["text"] == label)
        query = f"q{next(self._query)}"
        where = {"message_id": message, "chat": {"id": said["chat_id"], "type": "private"}, "date": 1}
        who = {"id": user, "is_bot": False, "first_name": "A"}
        await self.update({"callback_query": {
            "id": query, "from": who, "message": where, "chat_instance": "c", "data": chosen}})  # fmt: skip
        return await self.answer(query)

    async def answer(self, query: str) -> dict[str, Any]:
        """What a phone shows for a press."""
        async with self._news:
            await self._news.wait_for(lambda: query in self.answers)
        return self.answers[query]

    async def say(self, text: str, to: int | None, user: int = 1001, chat: int = 77) -> None:
        """Somebody writes, in reply to a message or not."""
        said: dict[str, Any] = {
            "message_id": next(self._message), "from": {"id": user, "is_bot": False, "first_name": "A"}, "date": 1,
            "chat": {"id": chat, "type": "private"}, "text": text,
        }  # fmt: skip
        if to is not None:
            said["reply_to_message"] = {"message_id": to, "chat": said["chat"], "date": 1}
        await self.update({"message": said})

    async def read(self) -> None:
        """Until everything that happened so far is confirmed."""
        async with self._news:
            await self._news.wait_for(lambda: not self.updates)
