"""Settings of the agent `claude`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from overnight.missions.units import Duration


class ClaudeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How Claude Code is found, who pays for it, and how patient it is."""

    #: The CLI's native binary. None looks for `claude` on the PATH, then for the one in `overnight[claude]`.
    path: str | None = None
    #: How the model is reached. gateway: an API key, billed by use, that stays outside the box. direct: a
    #: subscription's token from `claude setup-token`. auto: direct when its token is set, else gateway.
    route: Literal["auto", "gateway", "direct"] = "auto"
    #: gateway: base URL of the model API.
    upstream: str = "https://api.anthropic.com"
    #: gateway: the environment variable that holds the API key.
    key_variable: str = "ANTHROPIC_API_KEY"
    #: direct: the hosts that the CLI may reach, over HTTPS.
    hosts: tuple[str, ...] = ("api.anthropic.com",)
    #: The CLI's built-in tools that the model is offered.
    tools: Annotated[tuple[str, ...], Meta(min_length=1)] = ("Bash", "Edit", "Read", "Write")
    #: How often the CLI repeats a failed model request before it gives up, about 3 minutes for 10. The session
    #: survives that long; a longer outage ends it, and the task holds.
    retries: Annotated[int, Meta(ge=0, le=100)] = 10
    #: A model request without any answer is given up after this time.
    answer_limit: Duration = Duration(300)
    #: An answer that stops coming is given up after this time.
    stall_limit: Duration = Duration(120)
    #: More environment variables for the agent, such as PATH. Those that choose a route or a home are refused.
    env: dict[str, str] = {}
