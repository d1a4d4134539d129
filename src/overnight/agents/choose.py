"""Agents by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.command import CommandAgent, CommandSettings
from overnight.errors import UnknownAgent
from overnight.ports import Agent


class AgentSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the agents, by their names."""

    #: Claude Code.
    claude: ClaudeSettings = ClaudeSettings()
    #: A program of your own.
    command: CommandSettings = CommandSettings()


_MAKERS: dict[str, Callable[[AgentSettings, Mapping[str, str]], Agent]] = {
    ClaudeAgent.name: lambda settings, environ: ClaudeAgent(settings.claude, environ),
    CommandAgent.name: lambda settings, _: CommandAgent(settings.command),
}
#: Who makes the model of an agent, where that is sure; the judges of its work are others.
FAMILIES = {ClaudeAgent.name: "anthropic"}


def family_of(name: str, settings: AgentSettings) -> str:
    """Who made the model of an agent; empty where nobody can say, as on a server of one's own."""
    own = name == ClaudeAgent.name and settings.claude.route == "local"
    return "" if own else FAMILIES.get(name, "")


#: The names that a policy may use.
AGENTS = tuple(_MAKERS)


def choose(name: str, settings: AgentSettings, environ: Mapping[str, str]) -> Agent:
    """The adapter of this name; each call makes its own. Raises UnknownAgent.

    environ: the environment of the process that will start it; adapters look there for logins and programs.
    """
    make = _MAKERS.get(name)
    if make is None:
        raise UnknownAgent(agent=name, known=", ".join(AGENTS))
    return make(settings, environ)
