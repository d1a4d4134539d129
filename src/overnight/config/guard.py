"""What is wrong with a `[guard]` table beyond the form of its values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from overnight.config.hosts import hosts
from overnight.config.shape import Path, Problem, name_of, show
from overnight.guard.effects import TAGS
from overnight.missions.guarding import Decision, GuardTable, Rule, said


class GuardSettings(GuardTable, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[guard]` of the user's settings: for runs, and for the user's own sessions."""

    #: On top of it, for the user's own sessions alone.
    attended: GuardTable = GuardTable()

    def tables(self, attended: bool) -> tuple[GuardTable, ...]:
        """What is said for a run, or for a person's own session; the more general first."""
        own = GuardTable(**{name: getattr(self, name) for name in GuardTable.__struct_fields__})
        return (own, self.attended) if attended else (own,)


def guard_rules(table: GuardTable, path: Path, *, repo: bool = False) -> Iterator[Problem]:
    """Problems of a table. repo: it is a repository's, whose rules can only be stricter."""
    given = said(table)
    for index, rule in enumerate(given.get("rules", ())):
        yield from _rule(rule, (*path, "rules", index), repo)
    if given.get("egress") != ("*",):
        yield from hosts((*path, "egress"), given.get("egress", ()))
    for key in ("secrets", "protected", "sensitive", "git.protected"):
        yield from _globs(given.get(key, ()), (*path, *key.split(".")))
    yield from _mcp(given.get("mcp", {}), (*path, "mcp"))
    yield from _patterns(given.get("secret_patterns", ()), (*path, "secret_patterns"))


def _rule(rule: Rule, path: Path, repo: bool) -> Iterator[Problem]:
    if rule.effect not in TAGS:
        from difflib import get_close_matches

        close = get_close_matches(rule.effect, TAGS, n=1, cutoff=0.5)
        hint = f"did you mean {show(close[0])}?" if close else f"known: {', '.join(TAGS)}"
        yield Problem((*path, "effect"), f"{show(rule.effect)} is no kind of effect; {hint}")
    if not rule.match:
        yield Problem((*path, "match"), f"`{name_of(path)}.match` is empty: leave it out to mean all")
    if repo and rule.then is Decision.ALLOW:
        text = (
            f"`{name_of(path)}` would allow something: a repository can only be stricter than the machine it is on. "
            'Write "ask" or "deny", or ask the owner of the machine for the rule in config.toml'
        )
        yield Problem((*path, "then"), text)


def _globs(globs: tuple[str, ...], path: Path) -> Iterator[Problem]:
    for index, glob in enumerate(globs):
        if not glob or glob.startswith("!") or ".." in glob.split("/"):
            yield Problem((*path, index), f'`{name_of(path)}` holds globs such as "**/*.key", not {show(glob)}')


def _patterns(patterns: tuple[str, ...], path: Path) -> Iterator[Problem]:
    for index, pattern in enumerate(patterns):
        try:
            empty = re.compile(pattern).search("") is not None
        except re.error as error:
            yield Problem((*path, index), f"{show(pattern)} is no regular expression: {error}")
        else:
            if empty:
                yield Problem(
                    (*path, index), f"{show(pattern)} fits every text, also an empty one: write what secrets have"
                )


def _mcp(table: dict[str, Any], path: Path) -> Iterator[Problem]:
    for name in table:
        if not name.startswith(("mcp__", "*")):
            text = f'{show(name)} names no MCP tool: they are called mcp__SERVER__TOOL, as in "mcp__github__get_*"'
            yield Problem((*path, name), text, value=False)
