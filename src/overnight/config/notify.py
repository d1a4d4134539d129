"""What is wrong with `[notify]` beyond the form of its values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from overnight.config.shape import Path, Problem, name_of, show
from overnight.judge.telling import read_span, read_time
from overnight.people.operators import People
from overnight.people.secret import only_places, places, problem
from overnight.people.settings import Kind, NotifySettings, Target, texts

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHAT = re.compile(r"-?\d{1,20}")


def notify_rules(notify: NotifySettings, people: People) -> Iterator[Problem]:
    """Problems of who is told. people: who may decide."""
    if notify.quiet is not None and read_span(notify.quiet) is None:
        yield _bad(("notify", "quiet"), 'a span of the day such as "22:00-07:00"', notify.quiet)
    if read_time(notify.digest) is None:
        yield _bad(("notify", "digest"), 'a time of the day such as "08:00"', notify.digest)
    if notify.zone is not None and not _zone(notify.zone):
        yield _bad(("notify", "zone"), 'a time zone such as "Europe/Berlin"', notify.zone)
    for name, target in notify.targets.items():
        path: Path = ("notify", "targets", name)
        if not _NAME.fullmatch(name):
            text = f"{show(name)} is no name of a target: up to 40 lower-case letters, digits and dashes"
            yield Problem(path, text, value=False)
        yield from _secrets(target, path)
        yield from _person(target, people, path)
        if target.ca is not None and not target.ca.startswith("/"):
            yield _bad((*path, "ca"), "a file by its whole path", target.ca)
        yield from {Kind.APPRISE: _apprise, Kind.NTFY: _ntfy, Kind.TELEGRAM: _telegram}[target.kind](target, path)


def _zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _bad(path: Path, right: str, value: str) -> Problem:
    return Problem(path, f"`{name_of(path)}` must be {right}, not {show(value)}")


def _secrets(target: Target, path: Path) -> Iterator[Problem]:
    for key in ("token", "reply_token"):
        value: str | None = getattr(target, key)
        if value is not None and not only_places(value):
            where = name_of((*path, key))
            text = f"`{where}` names where the secret is, ${{NAME}} or ${{file:/path}}: the secret itself stays out of files"
            yield Problem((*path, key), text)
    for text in texts(target):
        if why := problem(text):
            yield Problem(path, f"`{name_of(path)}` {why}", value=False)


def _person(target: Target, people: People, path: Path) -> Iterator[Problem]:
    """Whoever presses its buttons must be known by what the channel knows of senders."""
    if target.person is None:
        return
    where = name_of((*path, "person"))
    if target.person not in people:
        yield Problem((*path, "person"), f"`{where}`: nobody is called {show(target.person)} in [people]")
        return
    senders = people[target.person].senders.get(target.kind, ())
    if target.kind is Kind.TELEGRAM and not senders:
        text = f'`{where}`: [people.{target.person}] needs `senders = {{ telegram = ["..."] }}`, the number of the user'
        yield Problem((*path, "person"), text, about=("people", target.person))
    if target.kind is Kind.NTFY and target.replies and not places(target.replies) and target.replies not in senders:
        text = f"`{where}`: [people.{target.person}] needs {show(target.replies)} among its `senders.ntfy`"
        yield Problem((*path, "person"), text, about=("people", target.person))


def _apprise(target: Target, path: Path) -> Iterator[Problem]:
    if not target.url:
        yield _needs(path, "url", "the URL by which Apprise knows the service")
    elif not only_places(target.url) and "://" not in target.url:
        yield Problem((*path, "url"), f'`{name_of((*path, "url"))}` must be a URL such as "ntfys://HOST/TOPIC"')
    for key in ("token", "replies", "reply_token", "chat", "ca"):
        if getattr(target, key) is not None:
            yield Problem(
                (*path, key), f"`{name_of((*path, key))}` means nothing here: Apprise only tells", value=False
            )


def _ntfy(target: Target, path: Path) -> Iterator[Problem]:
    if not target.url:
        yield _needs(path, "url", "the topic's URL, such as https://ntfy.example.org/topic")
    elif not places(target.url) and not _fits(target.url, topic=True):
        right = 'the topic\'s URL, such as "https://ntfy.example.org/topic", without a login'
        yield Problem((*path, "url"), f"`{name_of((*path, 'url'))}` must be {right}")
    if target.person is not None and not target.replies:
        yield _needs(path, "replies", "the topic that its buttons answer to")
    if target.replies is not None and not places(target.replies) and not _TOPIC.fullmatch(target.replies):
        yield Problem((*path, "replies"), f"`{name_of((*path, 'replies'))}` must be a topic's name")
    if target.chat is not None:
        yield Problem((*path, "chat"), f"`{name_of((*path, 'chat'))}` is for Telegram", value=False)


def _telegram(target: Target, path: Path) -> Iterator[Problem]:
    if not target.token:
        yield _needs(path, "token", "where the bot's token is, such as ${TELEGRAM_TOKEN}")
    if not target.chat:
        yield _needs(path, "chat", "the number of the chat that is written to")
    elif not places(target.chat) and not _CHAT.fullmatch(target.chat):
        yield Problem((*path, "chat"), f"`{name_of((*path, 'chat'))}` must be a chat's number in quotes")
    if target.url and not places(target.url) and not _fits(target.url, topic=False):
        yield Problem(
            (*path, "url"), f"`{name_of((*path, 'url'))}` must be the API's server, such as https://api.telegram.org"
        )
    for key in ("replies", "reply_token"):
        if getattr(target, key) is not None:
            yield Problem((*path, key), f"`{name_of((*path, key))}` is for ntfy", value=False)


def _needs(path: Path, key: str, what: str) -> Problem:
    return Problem(path, f"`{name_of(path)}` needs `{key}`: {what}", value=False)


def _fits(url: str, *, topic: bool) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        return False
    return _TOPIC.fullmatch(parts.path.rpartition("/")[2]) is not None if topic else True
