"""Who may decide: names, what each may do, and the senders of channels that are theirs. `[people.NAME]` in TOML."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from overnight.missions.approval import Right

#: The channel of commands on this machine: whoever reaches the socket owns the state folder.
CLI = "cli"
#: The channel of people who are logged in by name; our own login knows who they are.
WEB = "web"
#: The channel of signed links: whoever holds one acts for the operator that it was made for.
LINK = "link"


class Person(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One who may be asked. There is no default for `may`: who is named is given nothing by it."""

    #: `approve` (and reject), `anyway` (approve also what is blocked), `answer`, `pause` (resume, stop), `manage` (tasks
    #: and money).
    may: tuple[Right, ...]
    #: Which senders of a channel are this person: `telegram` ids of users, `ntfy` reply topics.
    senders: dict[str, tuple[str, ...]] = {}


People = Mapping[str, Person]


def cli_operator(user: str) -> str:
    """The operator that a user of this machine is."""
    return f"{CLI}:{user}"


def operator_of(people: People, channel: str, sender: str) -> str | None:
    """Who sent it; None when that is nobody known, or more than one."""
    if channel == CLI:
        return cli_operator(sender)
    if channel == WEB:
        return sender if sender in people else None
    found = [name for name, person in people.items() if sender and sender in person.senders.get(channel, ())]
    return found[0] if len(found) == 1 else None


def known(people: People, operator: str) -> bool:
    """Whether there is such an operator."""
    return operator in people or operator.startswith(f"{CLI}:")


def may(people: People, operator: str, right: Right) -> bool:
    """Whether an operator has a right. Whoever is on the machine has them all."""
    if operator in people:
        return right in people[operator].may
    return operator.startswith(f"{CLI}:")


def actor_of(door: str, person: str) -> str:
    """Who acts, for the record: the door (`web`, `api`), and the person where one is logged in by name."""
    return f"{door}:{person}" if person else door


def person_in(actor: str) -> str:
    """The person in what `actor_of` made; empty for the user of this machine."""
    return actor.partition(":")[2]
