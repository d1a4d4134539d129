"""The pure parts of an approval: a token is short, whole or nothing, and says what its ticket says."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from overnight.missions.approval import (
    ID_BYTES,
    NEEDS,
    TAG_BYTES,
    WORDS,
    Action,
    Filed,
    Reason,
    Ticket,
    fits,
    read_token,
    text_of,
    write_token,
)
from overnight.missions.codec import decode, encode

KEYS = st.binary(min_size=32, max_size=32)
TIMES = st.floats(0, 4e9)
TICKETS = st.builds(
    Ticket,
    id=st.binary(min_size=ID_BYTES, max_size=ID_BYTES).map(text_of),
    ask=st.text(max_size=40),
    operator=st.text(max_size=40),
    task=st.text(max_size=40),
    commit=st.text(string.hexdigits, max_size=40),
    action=st.sampled_from(Action),
    answer=st.text(max_size=40),
    issued=TIMES,
    expires=TIMES,
    after=st.integers(0, 2**53),
)
#: Room for a prefix in the 64 bytes that a Telegram button carries.
ROOM = 64 - len("overnight:")


@given(KEYS, TICKETS)
def test_a_token_names_and_signs_its_ticket(key: bytes, ticket: Ticket) -> None:
    """It fits a button, is safe in URLs, gives the ticket's id back, and the record keeps its signature."""
    token = write_token(key, ticket)
    assert len(token) <= ROOM
    assert set(token) <= {*string.ascii_letters, *string.digits, "-", "_"}
    parts = read_token(token)
    assert parts is not None
    assert parts[0] == ticket.id
    assert fits(key, decode(encode(Filed(ticket=ticket)), Filed).ticket, parts[1])


@given(KEYS, TICKETS, TICKETS, st.sampled_from(Ticket.__struct_fields__))
def test_a_signature_is_about_every_word_of_its_ticket(key: bytes, ticket: Ticket, other: Ticket, field: str) -> None:
    """With any one field of another ticket it does not fit."""
    changed = replace(ticket, **{field: getattr(other, field)})
    parts = read_token(write_token(key, ticket))
    assert parts is not None
    assert fits(key, changed, parts[1]) is (encode(changed) == encode(ticket))


@given(KEYS, KEYS, TICKETS)
def test_another_key_signs_otherwise(key: bytes, other: bytes, ticket: Ticket) -> None:
    """No two keys agree on a ticket."""
    parts = read_token(write_token(key, ticket))
    assert parts is not None
    assert fits(other, ticket, parts[1]) is (key == other)


@given(KEYS, TICKETS, st.data())
def test_a_token_is_whole_or_nothing(key: bytes, ticket: Ticket, data: st.DataObject) -> None:
    """Cut, stretched, or with one character changed: it is none, or names or signs something else."""
    token = write_token(key, ticket)
    at = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(st.characters().filter(lambda c: c != token[at]))
    assert read_token(token[:at]) is None
    assert read_token(token + char) is None
    parts = read_token(token[:at] + char + token[at + 1 :])
    assert parts is None or parts[0] != ticket.id or not fits(key, ticket, parts[1])


@given(st.text(max_size=80))
def test_words_are_no_token(text: str) -> None:
    """Whatever a person writes, unless it has the very form of one."""
    parts = read_token(text)
    assert parts is None or (len(text) == len("o1") + 16 + 22 and text.startswith("o1"))


def test_every_reason_has_words_and_every_action_a_right() -> None:
    """Nothing is refused without a sentence, and nothing can be done without a right to it."""
    assert set(WORDS) == set(Reason)
    assert set(NEEDS) == set(Action)
    assert (ID_BYTES * 8, TAG_BYTES * 8) == (96, 128)
