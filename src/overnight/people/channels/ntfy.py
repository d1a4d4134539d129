"""ntfy: messages with buttons, whose presses come back over a second topic.

By its documentation (docs.ntfy.sh: publish, "Publish as JSON" and "Send HTTP request"; subscribe/api, "Subscribe as JSON
stream" and "Fetching cached messages"). Who reads or writes a topic is decided by the server: a topic without access
control belongs to everybody who knows its name. What makes a press count is the ticket in it, not the topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from overnight.errors import BadInput
from overnight.missions.notice import Message, Priority
from overnight.people.channels.http import Answer, ask
from overnight.people.errand import Button, Errand
from overnight.people.outbox import Result
from overnight.people.secret import filled
from overnight.people.settings import Target

#: ntfy's 1 to 5.
PRIORITIES = {Priority.URGENT: 5, Priority.HIGH: 4, Priority.NORMAL: 3, Priority.LOW: 2}
#: Buttons that ntfy takes, bytes of a message (a longer one becomes an attachment) and of a title.
MOST_BUTTONS, MOST_TEXT = 3, 4096


class _Said(Struct, frozen=True):
    id: str = ""
    error: str = ""


class Ntfy(Struct, frozen=True, kw_only=True):
    """A topic on a server, with its secrets in."""

    server: str
    topic: str
    replies: str = ""
    token: str = ""
    reply_token: str = ""
    #: The file of the CA whose certificates count; empty for those that this machine knows.
    ca: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What lets us in."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    async def send(self, errand: Errand) -> Result:
        """Publish it. Raises OSError."""
        return await self.publish(errand.message, errand.buttons, errand.limit, errand.link)

    async def publish(
        self, message: Message, buttons: Sequence[Button] = (), limit: float = 30.0, link: str = ""
    ) -> Result:
        """Publish a message as JSON to the server's root. Raises OSError."""
        body = msgspec.json.encode(self.payload(message, buttons, link))
        headers = {**self.headers, "content-type": "application/json"}
        return result(await ask("POST", f"{self.server}/", headers=headers, body=body, limit=limit, ca=self.ca))

    def payload(self, message: Message, buttons: Sequence[Button], link: str = "") -> dict[str, Any]:
        """The message as ntfy takes it."""
        text = message.text.encode()[:MOST_TEXT].decode(errors="ignore")
        said: dict[str, Any] = {
            "topic": self.topic, "title": message.title, "message": text, "priority": PRIORITIES[message.priority],
        }  # fmt: skip
        if link:
            said["click"] = link
        if buttons and self.replies:
            said["actions"] = [self._action(button) for button in buttons[:MOST_BUTTONS]]
        return said

    def _action(self, button: Button) -> dict[str, Any]:
        action: dict[str, Any] = {
            "action": "http", "label": button.label, "url": f"{self.server}/{self.replies}", "method": "POST",
            "body": button.token, "clear": True,
        }  # fmt: skip
        if self.reply_token:
            action["headers"] = {"Authorization": f"Bearer {self.reply_token}"}
        return action


def result(answer: Answer) -> Result:
    """What an answer to a publication says."""
    try:
        said = msgspec.json.decode(answer.body, type=_Said)
    except msgspec.MsgspecError:
        said = _Said()
    if answer.status == 200 and said.id:
        return Result(ok=True, remote=said.id)
    if answer.status == 200:
        return Result(ok=False, why="its answer is none of ntfy's")
    why = f"{answer.status} {said.error}".strip()
    return Result(ok=False, why=why, retry_after=_seconds(answer.headers.get("retry-after")))


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.isdecimal() else None


def channel(target: Target, environ: Mapping[str, str]) -> tuple[Ntfy, list[str]]:
    """The topic of a target, and what of it is secret. Raises BadInput."""
    secrets: list[str] = []

    def fill(text: str | None, *, url: bool = False) -> str:
        value, found = filled(text or "", environ, url=url)
        secrets.extend(found)
        return value

    none = BadInput(problem="its `url` is not that of a topic, such as https://ntfy.example.org/topic.")
    try:
        parts = urlsplit(fill(target.url, url=True))
    except ValueError:  # its words quote what may be secret
        raise none from None
    server, _, topic = f"{parts.scheme}://{parts.netloc}{parts.path}".rpartition("/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not topic:
        raise none
    made = Ntfy(
        server=server,
        topic=topic,
        replies=fill(target.replies),
        token=fill(target.token),
        reply_token=fill(target.reply_token),
        ca=target.ca or "",
    )
    return made, secrets
