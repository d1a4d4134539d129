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
    #: subscription's token from `claude setup-token`. local: a model server of your own, which nobody bills. auto:
    #: direct when its token is set, else gateway; never local.
    route: Literal["auto", "gateway", "direct", "local"] = "auto"
    #: gateway: base URL of the model API.
    upstream: str = "https://api.anthropic.com"
    #: local: base URL of a server that speaks the Messages API, such as Ollama's. Set `model` in the policy to one of
    #: its models.
    local: str = "http://127.0.0.1:11434"
    #: gateway: the environment variable that holds the API key.
    key_variable: str = "ANTHROPIC_API_KEY"
    #: direct: the hosts that the CLI may reach, over HTTPS.
    hosts: tuple[str, ...] = ("api.anthropic.com",)
    #: The CLI's built-in tools that the model is offered.
    tools: Annotated[tuple[str, ...], Meta(min_length=1)] = ("Bash", "Edit", "Read", "Write")
    #: Tokens that one answer may have, thinking included. What they would cost is set aside before each request is
    #: sent, so a larger number leaves less of a budget to be used.
    output_limit: Annotated[int, Meta(ge=1024, le=1_000_000)] = 32_000
    #: How often the CLI repeats a failed model request before it gives up, about 3 minutes for 10. The session
    #: survives that long; a longer outage ends it, and the task holds.
    retries: Annotated[int, Meta(ge=0, le=100)] = 10
    #: A model request without any answer is given up after this time.
    answer_limit: Duration = Duration(300)
    #: An answer that stops coming is given up after this time.
    stall_limit: Duration = Duration(120)
    #: More environment variables for the agent, such as PATH. Those that choose a route or a home are refused.
    env: dict[str, str] = {}
