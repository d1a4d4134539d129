"""What is wrong with `[people.NAME]` beyond the form of its values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from overnight.config.shape import Problem, show
from overnight.people.operators import CLI, People

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def people_rules(people: People) -> Iterator[Problem]:
    """Problems of the operators: a sender is one person's, or nobody could say who decided."""
    owners: dict[tuple[str, str], str] = {}
    for name, person in people.items():
        if not _NAME.fullmatch(name) or name == CLI:
            text = (
                f"{show(name)} is no name of a person: up to 40 lower-case letters, digits and dashes, and not `{CLI}`"
            )
            yield Problem(("people", name), text, value=False)
        for channel, senders in person.senders.items():
            path = ("people", name, "senders", channel)
            if channel == CLI:
                yield Problem(
                    path, f"`{CLI}` is this machine's own channel: whoever uses it has all rights", value=False
                )
            for sender in senders:
                if not sender.strip() or sender != sender.strip():
                    yield Problem(
                        path, f'`people.{name}.senders.{channel}` holds ids such as "123456789", not {show(sender)}'
                    )
                elif (other := owners.setdefault((channel, sender), name)) != name:
                    yield Problem(path, f"{show(sender)} is {other}'s already: a sender is one person's")
