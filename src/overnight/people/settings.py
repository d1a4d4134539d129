"""`[notify]`: who is told what, when, and by which way. No secret stands in it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from overnight.missions.notice import Priority
from overnight.missions.units import Duration


class Kind(StrEnum):
    """How a target is reached."""

    #: Any service that Apprise knows; one way.
    APPRISE = "apprise"
    #: An ntfy server, with buttons that decide.
    NTFY = "ntfy"
    #: A Telegram bot, with buttons that decide and replies that answer.
    TELEGRAM = "telegram"


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place where a person is told."""

    #: `apprise` (any of its services, one way), `ntfy` or `telegram` (with buttons).
    kind: Kind = Kind.APPRISE
    #: Apprise's URL; of `ntfy` the topic's, such as `https://ntfy.example.org/topic`; of `telegram` the API's server.
    #: `${NAME}` in it is an environment variable, `${file:/path}` the content of a file.
    url: str | None = None
    #: `ntfy`: an access token. `telegram`: the bot's token. Only as `${NAME}` or `${file:/path}`.
    token: str | None = None
    #: `ntfy`: the topic on the same server that buttons answer to. `telegram`: needs none.
    replies: str | None = None
    #: `ntfy`: an access token that may only write to `replies`; it goes to the phone in each button.
    reply_token: str | None = None
    #: `telegram`: the chat that is written to.
    chat: str | None = None
    #: `ntfy`, `telegram`: the file of the CA whose certificates count there, instead of those that this machine knows.
    ca: str | None = None
    #: Whose it is: a name of `[people]`. Its buttons and links decide in this name. Without, it only tells.
    person: str | None = None
    #: What is told as soon as it happens, quiet hours aside.
    at_once: tuple[Priority, ...] = (Priority.URGENT, Priority.HIGH)
    #: What is gathered, and told at the hour of the digest.
    digest: tuple[Priority, ...] = (Priority.NORMAL, Priority.LOW)


class NotifySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told, and when."""

    #: A span of every day, such as `"22:00-07:00"`, in which only what is urgent is told. None when absent.
    quiet: str | None = None
    #: The time zone that `quiet` and `digest` are meant in, such as `"Europe/Berlin"`; the machine's own when absent.
    zone: str | None = None
    #: When what was gathered is told.
    digest: str = "08:00"
    #: The same fact within this time after it was told is counted, not told again.
    repeat: Duration = Duration(6 * 3600)
    #: Messages that a target gets within an hour, urgent ones aside; what comes on top is gathered until the hour is over.
    most: Annotated[int, Meta(ge=1, le=1000)] = 30
    #: How often one message is tried before it is given up.
    tries: Annotated[int, Meta(ge=1, le=100)] = 12
    #: A delivery that takes longer is ended, and tried again.
    limit: Duration = Duration(60)
    #: Targets, by a name of your choice.
    targets: dict[str, Target] = {}


def words(name: str, target: Target) -> str:
    """A target for a person: never its address, which may hold a secret."""
    scheme = (target.url or "").partition(":")[0] if target.kind is Kind.APPRISE else ""
    what = f"{target.kind}{f' {scheme}' if scheme.isalnum() else ''}"
    return f"{name} ({what}{f', for {target.person}' if target.person else ''})"


def texts(target: Target) -> tuple[str, ...]:
    """Every text of a target that may name secrets."""
    return tuple(text for text in (target.url, target.token, target.replies, target.reply_token, target.chat) if text)
