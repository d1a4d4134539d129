"""Coding agents' CLIs behind the port `Agent`, one adapter each."""

from overnight.agents.choose import AGENTS, AgentSettings, choose
from overnight.agents.claude_settings import ClaudeSettings
from overnight.agents.command import CommandSettings

__all__ = ["AGENTS", "AgentSettings", "ClaudeSettings", "CommandSettings", "choose"]
