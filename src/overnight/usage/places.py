"""Where agents keep their logs, as the agents themselves decide it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

AGENTS = ("claude", "codex", "gemini")


class UsageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the logs are that `overnight usage` counts, where they are not where the agents usually keep them."""

    #: Configuration folders of Claude Code, such as `~/.claude`.
    claude: tuple[str, ...] | None = None
    #: Folders of Codex, such as `~/.codex`.
    codex: tuple[str, ...] | None = None
    #: Folders of Gemini CLI, such as `~/.gemini`.
    gemini: tuple[str, ...] | None = None
    #: Whose days are counted, such as `Europe/Berlin`; this machine's time zone when absent.
    timezone: str | None = None


class Root(Struct, frozen=True, kw_only=True):
    """A folder with logs of one agent."""

    agent: str
    path: str
    #: The run whose agent wrote them; empty for those of a person.
    run: str = ""


def roots(env: Mapping[str, str], settings: UsageSettings) -> tuple[Root, ...]:
    """The person's own logs. A folder that is there under two names is one."""
    found = dict[tuple[str, str], Root]()
    for agent in AGENTS:
        named: tuple[str, ...] | None = getattr(settings, agent)
        folders = [_expanded(each, env) for each in named] if named is not None else list(_usual(agent, env))
        for folder in folders:
            for path in _within(agent, folder):
                real = str(path.resolve())
                found.setdefault((agent, real), Root(agent=agent, path=real))
    return tuple(found.values())


def run_roots(state: Path) -> Iterator[Root]:
    """Logs of the agents that Overnight ran: each run has a home of its own."""
    for home in sorted(state.glob("runs/*/*/*/home")):
        life = home.parent
        run = f"{life.parent.parent.name}.{life.parent.name}.{life.name}"
        for agent, folder in (("claude", ".claude"), ("codex", ".codex"), ("gemini", ".gemini")):
            if (home / folder).is_dir():
                for path in _within(agent, home / folder):
                    yield Root(agent=agent, path=str(path), run=run)


def _usual(agent: str, env: Mapping[str, str]) -> Iterator[Path]:
    match agent:
        case "claude":
            if listed := [each.strip() for each in env.get("CLAUDE_CONFIG_DIR", "").split(",") if each.strip()]:
                yield from (_expanded(each, env) for each in listed)
                return
            yield _xdg(env, "XDG_CONFIG_HOME", ".config") / "claude"
            yield _expanded("~/.claude", env)
        case "codex":
            yield _expanded(env.get("CODEX_HOME") or "~/.codex", env)
        case _:
            yield _expanded("~/.gemini", env)


def _within(agent: str, folder: Path) -> tuple[Path, ...]:
    """What of an agent's folder holds its logs."""
    match agent:
        case "claude":
            return (folder / "projects",)
        case "codex":
            return folder / "sessions", folder / "archived_sessions"
        case _:
            return (folder / "tmp",)


def _xdg(env: Mapping[str, str], variable: str, default: str) -> Path:
    named = env.get(variable, "")
    return Path(named) if named.startswith("/") else _expanded(f"~/{default}", env)


def _expanded(path: str, env: Mapping[str, str]) -> Path:
    if path == "~" or path.startswith("~/"):
        return Path(env.get("HOME") or Path.home()) / path[2:]
    return Path(path).absolute()
