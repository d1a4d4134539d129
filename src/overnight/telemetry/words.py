"""Texts that may leave the machine: names that look like names, and, where it was asked for, what was said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

#: Characters of what was said that are sent.
MOST_SAID = 4000
OTHER = "_OTHER"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]{0,99}")
#: Who serves a model, as the conventions name them, by how the model's name begins.
_PROVIDERS = (
    (r"claude|anthropic|opus|sonnet|haiku", "anthropic"),
    (r"gpt|openai|o\d|codex|chatgpt", "openai"),
    (r"gemini|google", "gcp.gemini"),
    (r"grok|xai", "x_ai"),
    (r"mistral|codestral|devstral|magistral", "mistral_ai"),
    (r"deepseek", "deepseek"),
    (r"kimi|moonshot", "moonshot_ai"),
    (r"command-|cohere", "cohere"),
)
UNKNOWN = "unknown"


class Words:
    """What becomes of a text before it is sent."""

    def __init__(self, without: Callable[[str], str], *, content: bool) -> None:
        """without: takes secrets out of a text. content: what was said may be sent."""
        self._without, self.content = without, content

    def name(self, text: object, default: str = OTHER) -> str:
        """A name of something; the default for what does not look like one."""
        clean = self._without(str(text))
        return clean if _NAME.fullmatch(clean) else default

    def commit(self, key: str, text: str | None) -> dict[str, str]:
        """An attribute that names a commit; none for what is no commit's id."""
        return {key: text} if text and _COMMIT.fullmatch(text) else {}

    def said(self, text: str) -> str:
        """What somebody said. To be asked for only with `content`."""
        clean = self._without(text)
        return clean if len(clean) <= MOST_SAID else clean[: MOST_SAID - 1] + "…"

    def message(self, role: str, text: str) -> str:
        """One message in the form of the conventions, JSON."""
        return json.dumps([{"role": role, "parts": [{"type": "text", "content": self.said(text)}]}], ensure_ascii=False)


def provider_of(model: str, agent: str = "") -> str:
    """Who serves a model, by its name or else by its agent's; `unknown` when neither says."""
    for text in (model.rpartition("/")[2].lower(), agent.lower()):
        for pattern, provider in _PROVIDERS:
            if re.match(pattern, text):
                return provider
    return UNKNOWN


def tail_of(task: str) -> str:
    """The part of a task's id that no words of its title are in: `fix-the-login-7k3f` -> `7k3f`."""
    return task.rpartition("-")[2][-12:]
