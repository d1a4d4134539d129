"""`[people.NAME]`: who may decide, what is refused, and who a sender is."""

from __future__ import annotations

import pytest
from people_lab import PEOPLE

from overnight.config import parse_settings
from overnight.errors import SettingsInvalid
from overnight.missions.approval import Right
from overnight.people.operators import known, may, operator_of

ANN = '[people.ann]\nmay = ["approve"]\nsenders = { telegram = ["1"] }\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[people.ann]", "`people.ann` needs `may`"),
        ('[people.ann]\nmay = ["land"]', 'one of "approve"'),
        (ANN + 'sender = "1"', "unknown key `sender`"),
        ('[people."Ann B"]\nmay = []', '"Ann B" is no name of a person'),
        ('[people."cli:root"]\nmay = []', "is no name of a person"),
        ("[people.cli]\nmay = []", '"cli" is no name of a person'),
        ('[people.ann]\nmay = []\nsenders = { cli = ["root"] }', "this machine's own channel"),
        ('[people.ann]\nmay = []\nsenders = { ntfy = [" "] }', "holds ids such as"),
        (ANN + ANN.replace("people.ann", "people.bob"), "\"1\" is ann's already: a sender is one person's"),
    ],
)
def test_what_is_wrong_is_refused(text: str, says: str) -> None:
    """Rights are said, names can't be taken for this machine's users, and a sender is one person's."""
    with pytest.raises(SettingsInvalid) as refused:
        parse_settings(text.encode(), "config.toml")
    assert says in str(refused.value)


def test_what_is_right_is_taken() -> None:
    """Nobody is named by default; who is named may what is said and nothing else."""
    assert parse_settings(b"", "c").people == {}
    people = parse_settings(ANN.encode(), "c").people
    assert may(people, "ann", Right.APPROVE)
    assert not any(may(people, "ann", right) for right in (Right.ANYWAY, Right.ANSWER, Right.PAUSE))


def test_a_sender_is_one_operator_or_nobody() -> None:
    """By channel; users of this machine are operators of their own, with all rights."""
    assert operator_of(PEOPLE, "telegram", "1001") == "ann"
    assert operator_of(PEOPLE, "ntfy", "1001") is None
    assert operator_of(PEOPLE, "telegram", "") is None
    assert operator_of({**PEOPLE, "twin": PEOPLE["ann"]}, "telegram", "1001") is None
    assert operator_of(PEOPLE, "cli", "root") == "cli:root"
    assert all(may(PEOPLE, "cli:root", right) for right in Right)
    assert known(PEOPLE, "cli:root")
    assert not known(PEOPLE, "eve")
    assert not may(PEOPLE, "eve", Right.APPROVE)
