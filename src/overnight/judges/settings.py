"""Settings of one judge, and what its kind says of whatever they leave out."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from overnight.missions.units import Duration, Money
from overnight.ports import Route
from overnight.usage.protocols import ANTHROPIC, GEMINI, OPENAI, Protocol

#: Judges that a machine may have.
MOST_JUDGES = 8


class Kind(StrEnum):
    """How a judge is spoken to."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    GEMINI = "gemini"
    #: Whoever else speaks OpenAI's chat completions, billed by use.
    COMPATIBLE = "compatible"
    #: A server of one's own that speaks chat completions; nobody bills it.
    LOCAL = "local"
    #: Claude Code, as the agent `claude` is set up: with its login, or its key.
    CLAUDE = "claude"


class JudgeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that judges results by their evidence."""

    #: `anthropic`, `openai` (the Responses API) and `gemini` are the vendors themselves. `compatible` is another vendor
    #: that speaks OpenAI's chat completions, `local` a server of your own that does, which nobody bills. `claude` is the
    #: CLI Claude Code in a box, without tools, found and paid as `[agents.claude]` says.
    kind: Kind
    #: The model, as the vendor calls it. Only `claude` can do without: the CLI chooses then.
    model: str = ""
    #: Who made the model. The vendors' own kinds know it; the others must say it.
    family: Annotated[str, Meta(min_length=1)] | None = None
    #: Base URL of the API; `compatible` needs one.
    address: str | None = None
    #: The environment variable of the daemon that holds the API key. The vendors' own kinds have a default; without one
    #: a `local` server gets no key.
    key_variable: Annotated[str, Meta(min_length=1)] | None = None
    #: No verdict after this time, a second try included.
    limit: Duration = Duration(300)
    #: Tokens that one answer may have, thinking included.
    output: Annotated[int, Meta(ge=256, le=200_000)] = 16_000
    #: The most that one verdict may cost, a second try included. It is set aside from the task's budget beforehand.
    allowance: Money = Money("1")
    #: Hold the model to the form of a verdict, where the server can. Without, it is only told the form.
    structured: bool = True


class Vendor(Struct, frozen=True, kw_only=True):
    """What a kind stands for."""

    protocol: Protocol
    #: What may be asked for: a method and a regex of the path.
    call: tuple[str, str]
    #: Empty where the settings must say it.
    family: str = ""
    address: str = ""
    key_variable: str = ""
    #: Who bills, as the price list calls it; empty where nobody knows.
    bills: str = ""


_CHAT = ("POST", r"/chat/completions")
VENDORS = {
    Kind.ANTHROPIC: Vendor(
        protocol=ANTHROPIC, call=("POST", r"/v1/messages"), family="anthropic", address="https://api.anthropic.com",
        key_variable="ANTHROPIC_API_KEY", bills="anthropic",
    ),
    Kind.OPENAI: Vendor(
        protocol=OPENAI, call=("POST", r"/responses"), family="openai", address="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY", bills="openai",
    ),
    Kind.GEMINI: Vendor(
        protocol=GEMINI, call=("POST", r"/v1(beta)?/models/[A-Za-z0-9._-]+:generateContent"), family="google",
        address="https://generativelanguage.googleapis.com", key_variable="GEMINI_API_KEY", bills="google",
    ),
    Kind.COMPATIBLE: Vendor(protocol=OPENAI, call=_CHAT),
    Kind.LOCAL: Vendor(protocol=OPENAI, call=_CHAT, address="http://127.0.0.1:11434/v1"),
    Kind.CLAUDE: Vendor(
        protocol=ANTHROPIC, call=("POST", r"/v1/messages"), family="anthropic", address="https://api.anthropic.com",
        bills="anthropic",
    ),
}  # fmt: skip

#: Models whose maker shows in their names, wherever they are served.
_MAKERS = (
    ("anthropic", re.compile(r"\bclaude\b", re.I)),
    ("openai", re.compile(r"\b(gpt-(?!oss)\w|o[1-9]\b|chatgpt)", re.I)),
    ("google", re.compile(r"\bgemini\b", re.I)),
)


#: What a judge's model is called where the settings name none.
ANY_MODEL = "the CLI's own choice"


def maker_of(model: str) -> str:
    """Who made a model, where its name says so; else empty."""
    return next((family for family, name in _MAKERS if name.search(model)), "")


def family_of(settings: JudgeSettings) -> str:
    """Who made a judge's model. Empty when nobody says: such a judge can't be told from the author."""
    known = maker_of(settings.model) or VENDORS[settings.kind].family
    return (settings.family or known).strip().lower()


def key_variable_of(settings: JudgeSettings) -> str:
    """The variable that holds the key; empty for none."""
    return settings.key_variable or VENDORS[settings.kind].key_variable


def route_of(settings: JudgeSettings) -> Route:
    """The way to a judge's model: one call of one API, and nothing else."""
    vendor = VENDORS[settings.kind]
    return Route(
        kind="local" if settings.kind is Kind.LOCAL else "gateway",
        protocol=vendor.protocol.name,
        upstream=settings.address or vendor.address,
        key_header=vendor.protocol.key_header,
        key_variable=key_variable_of(settings),
        allowed=(vendor.call,),
    )
