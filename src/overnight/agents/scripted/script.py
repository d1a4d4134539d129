"""A script: what the scripted model answers, as values that live in a JSON file.

A `Scenario` is chosen by text in the first user message. Every session that matches takes the scenario's next
script; every request of that session takes the script's next step.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

#: Tokens that an answer reports unless it says otherwise.
USAGE: dict[str, int] = {
    "input_tokens": 1000,
    "cache_creation_input_tokens": 200,
    "cache_read_input_tokens": 300,
    "output_tokens": 50,
}


class Think(Struct, frozen=True, forbid_unknown_fields=True, tag="think", tag_field="do"):
    """Thinking."""

    text: str


class Say(Struct, frozen=True, forbid_unknown_fields=True, tag="say", tag_field="do"):
    """Text. As a step of its own it ends the session: the model asks for no tool."""

    text: str


class Use(Struct, frozen=True, forbid_unknown_fields=True, tag="use", tag_field="do"):
    """A tool call."""

    tool: str
    input: dict[str, Any]


class Reply(Struct, frozen=True, forbid_unknown_fields=True, tag="reply", tag_field="do"):
    """One answer of several parts, none of them, or with figures of its own."""

    parts: tuple[Think | Say | Use, ...] = ()
    #: Overrides of `USAGE`, and whatever else the API's `usage` may hold: `cache_creation`, `server_tool_use` ...
    usage: dict[str, Any] = {}
    #: Extra response headers, such as a subscription's windows.
    headers: dict[str, str] = {}
    #: The API's stop_reason; None is `tool_use` after a tool call, else `end_turn`.
    stop: str | None = None


class Fail(Struct, frozen=True, forbid_unknown_fields=True, tag="fail", tag_field="do"):
    """An HTTP error, for `times` requests in a row."""

    status: Annotated[int, Meta(ge=400, le=599)]
    message: str = "scripted failure"
    #: The API's error type; None takes the one that belongs to the status.
    type: str | None = None
    headers: dict[str, str] = {}
    times: Annotated[int, Meta(ge=1)] = 1


class Cut(Struct, frozen=True, forbid_unknown_fields=True, tag="cut", tag_field="do"):
    """The connection drops in the middle of the answer's first part."""

    text: str = "I was about to"


class Garble(Struct, frozen=True, forbid_unknown_fields=True, tag="garble", tag_field="do"):
    """A stream that is no protocol: status 200 and this body."""

    body: str = 'event: message_start\ndata: {"type": \n\n'


class Stall(Struct, frozen=True, forbid_unknown_fields=True, tag="stall", tag_field="do"):
    """Nothing comes until somebody releases `name`; then the answer is `then`."""

    name: str
    then: Say | Use | Reply
    #: True: the head and the start of the message are sent first, so the stream stalls and not the request.
    midway: bool = False


Step = Say | Use | Reply | Fail | Cut | Garble | Stall


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """What one session gets, request by request. A request after the last step is refused with status 400."""

    steps: tuple[Step, ...]


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """What sessions get whose first user message contains `match`; an empty match fits every session."""

    #: One script for each session, in the order of their first requests; the last serves all later ones.
    runs: Annotated[tuple[Script, ...], Meta(min_length=1)]
    match: str = ""
    #: Only for requests that name exactly this model; empty for all.
    model: str = ""


class Play(Struct, frozen=True, forbid_unknown_fields=True):
    """A script file. The first scenario that matches counts."""

    scenarios: tuple[Scenario, ...]


def play(*steps: Step, match: str = "") -> Play:
    """One scenario with one script: what most tests want."""
    return Play((Scenario((Script(steps),), match),))


def load(data: bytes) -> Play:
    """A script file's content. Raises msgspec.ValidationError or DecodeError that names the place."""
    return msgspec.json.decode(data, type=Play)


def dump(value: Play) -> bytes:
    """The content of a script file."""
    return msgspec.json.format(msgspec.json.encode(value))
